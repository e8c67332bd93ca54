"""A Gaussian mixture whose components have independent coordinates."""

from pathlib import Path

import numpy as np

import bnlab as bn


def gmm_diagonal(components: int = 2, dim: int = 2) -> bn.Network:
    """Given its component, the coordinates of an observation are independent: a variance for each."""
    with bn.Network("gmm_diagonal") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        with bn.plate("k", components):
            mu = bn.parameter("mu", bn.Real(dim))
            sigma2 = bn.parameter("sigma2", bn.Positive(dim))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=sigma2[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """272 eruptions: how long each lasted and the wait until the next, in minutes."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1)}
