"""A Gaussian mixture with a full covariance for each component, on Old Faithful's eruptions."""

from pathlib import Path

import numpy as np

import bnlab as bn


def gmm(components: int = 2, dim: int = 2) -> bn.Network:
    """Each observation is drawn from one of the components; which one is hidden."""
    with bn.Network("gmm") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        with bn.plate("k", components):
            mu = bn.parameter("mu", bn.Real(dim))
            Sigma = bn.parameter("Sigma", bn.Covariance(dim))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """272 eruptions: how long each lasted and the wait until the next, in minutes."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1)}
