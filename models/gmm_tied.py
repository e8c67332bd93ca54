"""A Gaussian mixture whose components share one full covariance."""

from pathlib import Path

import numpy as np

import bnlab as bn


def gmm_tied(components: int = 2, dim: int = 2) -> bn.Network:
    """The covariance is declared outside the plate of components, so all of them share it."""
    with bn.Network("gmm_tied") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        Sigma = bn.parameter("Sigma", bn.Covariance(dim))
        with bn.plate("k", components):
            mu = bn.parameter("mu", bn.Real(dim))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma))
    return net


def data() -> dict[str, np.ndarray]:
    """272 eruptions: how long each lasted and the wait until the next, in minutes."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1)}
