"""A hidden Markov model with Gaussian emissions, on Old Faithful's eruptions one after another."""

from pathlib import Path

import numpy as np

import bnlab as bn


def hmm(states: int = 2, dim: int = 2) -> bn.Network:
    """A hidden state moves from step to step; each state emits from its own Gaussian."""
    with bn.Network("hmm") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            mu = bn.parameter("mu", bn.Real(dim))
            Sigma = bn.parameter("Sigma", bn.Covariance(dim))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """One sequence of 272 eruptions: how long each lasted and the wait until the next, in minutes."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    x = np.loadtxt(path, delimiter=",", skiprows=1)
    return {"x": x, "sequence": np.zeros(len(x), dtype=int)}
