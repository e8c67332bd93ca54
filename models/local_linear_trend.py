"""A local linear trend (Durbin and Koopman 2012), on the flow of the Nile: a level that moves by a slope, both wandering."""

from pathlib import Path

import numpy as np

import bnlab as bn


def local_linear_trend(start: float = 1000.0, doubt: float = 1e7) -> bn.Network:
    """The level of one year is that of the year before plus the slope; the slope itself is that of the year before."""
    with bn.Network("local_linear_trend") as net:
        eta = bn.parameter("eta", bn.Positive())
        zeta = bn.parameter("zeta", bn.Positive())
        eps = bn.parameter("eps", bn.Positive())
        with bn.chain("t"):
            bn.latent(
                "slope",
                bn.Normal(bn.previous("slope"), var=zeta),
                first=bn.Normal(bn.zeros(), var=bn.constant(doubt)),
            )
            level = bn.latent(
                "level",
                bn.Normal(bn.previous("level") + bn.previous("slope"), var=eta),
                first=bn.Normal(bn.constant(start), var=bn.constant(doubt)),
            )
            bn.observed("x", bn.Normal(level, var=eps))
    return net


def data() -> dict[str, np.ndarray]:
    """Annual flow of the Nile at Aswan from 1871 to 1970, in 10^8 cubic metres."""
    path = Path(__file__).parents[1] / "data" / "nile.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1)}
