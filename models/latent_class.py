"""Latent classes (naive Bayes without labels): groups of people, or things, that answer yes or no alike."""

from pathlib import Path

import numpy as np

import bnlab as bn


def latent_class(classes: int = 2, items: int = 4) -> bn.Network:
    """Members of a class say yes to each item with a probability of its own, independently of the other items."""
    with bn.Network("latent_class") as net:
        pi = bn.parameter("pi", bn.Simplex(classes))
        with bn.plate("k", classes), bn.plate("item", items):
            theta = bn.parameter("theta", bn.Probability())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            with bn.plate("item", items):
                bn.observed("x", bn.Bernoulli(theta[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """150 irises, each asked of four lengths and widths whether it is above the median of all."""
    path = Path(__file__).parents[1] / "data" / "iris.csv"
    sizes = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(4))
    return {"x": (sizes > np.median(sizes, axis=0)).astype(int)}
