"""Factor analysis: what many measurements have in common, on irises."""

from pathlib import Path

import numpy as np

import bnlab as bn


def factor_analysis(dim: int = 4, factors: int = 1) -> bn.Network:
    """A few hidden factors tie the coordinates; what is left of each is its own."""
    with bn.Network("factor_analysis") as net:
        mu = bn.parameter("mu", bn.Real(dim))
        W = bn.parameter("W", bn.Real(dim, factors))
        psi = bn.parameter("psi", bn.Positive(dim))
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(factors), cov=bn.eye(factors)))
            bn.observed("x", bn.Normal(W @ y + mu, var=psi))
    return net


def data() -> dict[str, np.ndarray]:
    """Length and width of 150 sepals and petals, in centimetres."""
    path = Path(__file__).parents[1] / "data" / "iris.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(4))}
