"""A mixture of Poisson distributions: counts that vary more than one rate explains."""

from pathlib import Path

import numpy as np

import bnlab as bn


def mixture_poisson(components: int = 2) -> bn.Network:
    """p(x) = sum_k pi[k] Poisson(x; rate[k])."""
    with bn.Network("mixture_poisson") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        with bn.plate("k", components):
            rate = bn.parameter("rate", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Poisson(rate[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """Earthquakes of magnitude 7 or more in each of the years 1900 to 2006, as if years were independent."""
    path = Path(__file__).parents[1] / "data" / "earthquakes.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1, usecols=1, dtype=int)}
