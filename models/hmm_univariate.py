"""A hidden Markov model that switches between levels, on the federal funds rate."""

from pathlib import Path

import numpy as np

import bnlab as bn


def hmm_univariate(states: int = 2) -> bn.Network:
    """Each state has a level and a variance of its own."""
    with bn.Network("hmm_univariate") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            mu = bn.parameter("mu", bn.Real())
            sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=sigma2[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """The federal funds rate in percent, 226 quarters."""
    path = Path(__file__).parents[1] / "data" / "fedfunds.csv"
    return {"x": np.loadtxt(path, skiprows=1)}
