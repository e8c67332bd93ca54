"""A hidden Markov model of second order, on the waiting times between eruptions of Old Faithful."""

from pathlib import Path

import numpy as np

import bnlab as bn


def hmm_second_order(states: int = 2) -> bn.Network:
    """The next state depends on the last two: how long a state has lasted, or whether it alternates, is remembered."""
    with bn.Network("hmm_second_order") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        with bn.plate("k", states):
            B = bn.parameter("B", bn.Simplex(states))
            with bn.plate("l", states):
                A = bn.parameter("A", bn.Simplex(states))
            mu = bn.parameter("mu", bn.Real())
            v = bn.parameter("v", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent(
                "z",
                bn.Categorical(A[bn.previous("z", 2), bn.previous("z")]),
                first=(bn.Categorical(pi), bn.Categorical(B[bn.previous("z")])),
            )
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """One sequence of 272 waiting times, in minutes."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    minutes = np.loadtxt(path, delimiter=",", skiprows=1, usecols=1)
    return {"x": minutes, "sequence": np.zeros(len(minutes), dtype=int)}
