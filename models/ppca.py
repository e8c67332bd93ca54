"""Probabilistic principal component analysis (Tipping and Bishop 1999), on irises."""

from pathlib import Path

import numpy as np

import bnlab as bn


def ppca(dim: int = 4, factors: int = 2) -> bn.Network:
    """A few hidden numbers, seen in many coordinates through one noise."""
    with bn.Network("ppca") as net:
        mu = bn.parameter("mu", bn.Real(dim))
        W = bn.parameter("W", bn.Real(dim, factors))
        sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(factors), cov=bn.eye(factors)))
            bn.observed("x", bn.Normal(W @ y + mu, var=sigma2))
    return net


def data() -> dict[str, np.ndarray]:
    """Length and width of 150 sepals and petals, in centimetres."""
    path = Path(__file__).parents[1] / "data" / "iris.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(4))}
