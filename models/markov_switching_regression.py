"""Markov-switching regression: a line on known inputs whose coefficients change with a hidden regime."""

from pathlib import Path

import numpy as np

import bnlab as bn


def markov_switching_regression(states: int = 2) -> bn.Network:
    """The intercept and the slope belong to the regime, the variance to all (Hamilton, 1989; Kim and Nelson, 1999)."""
    with bn.Network("markov_switching_regression") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            beta = bn.parameter("beta", bn.Real())
            mu = bn.parameter("mu", bn.Real())
        with bn.chain("t"):
            u = bn.given("u", bn.Real())
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("y", bn.Normal(beta[z] * u + mu[z], var=sigma2))
    return net


def data() -> dict[str, np.ndarray]:
    """The federal funds rate in percent and that of the quarter before, which is the input: 225 quarters."""
    path = Path(__file__).parents[1] / "data" / "fedfunds.csv"
    rate = np.loadtxt(path, skiprows=1)
    return {"u": rate[:-1], "y": rate[1:]}
