"""A mixture of Student t distributions: clusters whose centres do not follow outliers, on Old Faithful with typing errors."""

from pathlib import Path

import numpy as np

import bnlab as bn


def mixture_student(components: int = 2, dim: int = 2) -> bn.Network:
    """As a Gaussian mixture, but rows far from every cluster weigh little (Peel and McLachlan 2000)."""
    with bn.Network("mixture_student") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        with bn.plate("k", components):
            nu = bn.parameter("nu", bn.Positive())
            mu = bn.parameter("mu", bn.Real(dim))
            Sigma = bn.parameter("Sigma", bn.Covariance(dim))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.StudentT(nu[z], mu[z], scale_matrix=Sigma[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """272 eruptions, minutes that each lasted and until the next; in every 30th row the wait has lost its last digit."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    x = np.loadtxt(path, delimiter=",", skiprows=1)
    x[::30, 1] = x[::30, 1] // 10
    return {"x": x}
