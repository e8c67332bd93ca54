"""A mixture of factor analysers (Ghahramani and Hinton 1996): clusters that are flat, on irises."""

from pathlib import Path

import numpy as np

import bnlab as bn


def mixture_factor_analysers(components: int = 3, dim: int = 4, factors: int = 1) -> bn.Network:
    """Each cluster has a centre and a few directions of its own; the noise is shared."""
    with bn.Network("mixture_factor_analysers") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        psi = bn.parameter("psi", bn.Positive(dim))
        with bn.plate("k", components):
            mu = bn.parameter("mu", bn.Real(dim))
            W = bn.parameter("W", bn.Real(dim, factors))
        with bn.plate("n"):
            c = bn.latent("c", bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(bn.zeros(factors), cov=bn.eye(factors)))
            bn.observed("x", bn.Normal(W[c] @ y + mu[c], var=psi))
    return net


def data() -> dict[str, np.ndarray]:
    """Length and width of 150 sepals and petals, in centimetres."""
    path = Path(__file__).parents[1] / "data" / "iris.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(4))}
