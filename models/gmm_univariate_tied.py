"""A mixture of univariate normals of equal variance."""

from pathlib import Path

import numpy as np

import bnlab as bn


def gmm_univariate_tied(components: int = 2) -> bn.Network:
    """The variance is declared outside the plate of components, so all of them share it."""
    with bn.Network("gmm_univariate_tied") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("k", components):
            mu = bn.parameter("mu", bn.Real())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=sigma2))
    return net


def data() -> dict[str, np.ndarray]:
    """272 waits between eruptions of Old Faithful, in minutes."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1, usecols=1)}
