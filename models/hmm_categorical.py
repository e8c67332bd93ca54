"""A hidden Markov model that emits symbols, on long and short eruptions of Old Faithful."""

from pathlib import Path

import numpy as np

import bnlab as bn


def hmm_categorical(states: int = 2, symbols: int = 2) -> bn.Network:
    """A hidden state moves from step to step; each state has its own distribution over symbols."""
    with bn.Network("hmm_categorical") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            B = bn.parameter("B", bn.Simplex(symbols))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Categorical(B[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """One sequence of 272 eruptions: 1 where it lasted longer than three minutes, 0 where not."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    minutes = np.loadtxt(path, delimiter=",", skiprows=1, usecols=0)
    return {"x": (minutes > 3).astype(int), "sequence": np.zeros(len(minutes), dtype=int)}
