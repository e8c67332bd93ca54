"""A mixture of linear regressions: groups that answer differently to the same input, on irises."""

from pathlib import Path

import numpy as np

import bnlab as bn


def mixture_regression(components: int = 2, inputs: int = 2) -> bn.Network:
    """Each observation lies near one of several lines (planes); which one is hidden."""
    with bn.Network("mixture_regression") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        with bn.plate("k", components):
            w = bn.parameter("w", bn.Real(inputs))
            b = bn.parameter("b", bn.Real())
            sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("n"):
            u = bn.given("u", bn.Real(inputs))
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("y", bn.Normal(w[z] @ u + b[z], var=sigma2[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """150 irises: the width of the sepals from their length and the length of the petals, in cm; the species is left out."""
    path = Path(__file__).parents[1] / "data" / "iris.csv"
    flowers = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1, 2))
    return {"u": flowers[:, [0, 2]], "y": flowers[:, 1]}
