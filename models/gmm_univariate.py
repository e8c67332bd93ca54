"""A mixture of univariate normals, the first model of the lecture."""

from pathlib import Path

import numpy as np

import bnlab as bn


def gmm_univariate(components: int = 2) -> bn.Network:
    """p(x) = sum_k pi[k] Normal(x; mu[k], sigma2[k])."""
    with bn.Network("gmm_univariate") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        with bn.plate("k", components):
            mu = bn.parameter("mu", bn.Real())
            sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=sigma2[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """272 waits between eruptions of Old Faithful, in minutes."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1, usecols=1)}
