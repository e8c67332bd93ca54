"""Eight schools (Rubin 1981): effects of coaching, each known with its own error. They are most likely all equal."""

from pathlib import Path

import numpy as np

import bnlab as bn


def eight_schools() -> bn.Network:
    """Every school has an effect about the common one; what is seen of it has a known standard error."""
    with bn.Network("eight_schools") as net:
        mu = bn.parameter("mu", bn.Real())
        tau = bn.parameter("tau", bn.Positive())
        with bn.plate("school"):
            std = bn.given("std", bn.Positive())
            theta_j = bn.latent("theta_j", bn.Normal(mu, std=tau))
            bn.observed("effect", bn.Normal(theta_j, std=std))
    return net


def data() -> dict[str, np.ndarray]:
    """The estimated effect of coaching in each school, and its standard error, in points."""
    path = Path(__file__).parents[1] / "data" / "eight_schools.csv"
    effect, std = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(1, 2)).T
    return {"effect": effect, "std": std}
