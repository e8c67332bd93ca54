"""A hidden Markov model whose states share one variance, on the federal funds rate."""

from pathlib import Path

import numpy as np

import bnlab as bn


def hmm_tied(states: int = 2) -> bn.Network:
    """The variance is declared outside the plate of states, so all of them share it."""
    with bn.Network("hmm_tied") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            mu = bn.parameter("mu", bn.Real())
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=sigma2))
    return net


def data() -> dict[str, np.ndarray]:
    """The federal funds rate in percent, 226 quarters."""
    path = Path(__file__).parents[1] / "data" / "fedfunds.csv"
    return {"x": np.loadtxt(path, skiprows=1)}
