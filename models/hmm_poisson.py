"""A hidden Markov model of counts, on the number of great earthquakes a year."""

from pathlib import Path

import numpy as np

import bnlab as bn


def hmm_poisson(states: int = 3) -> bn.Network:
    """The world is quiet or restless for some years; each state has a rate of events."""
    with bn.Network("hmm_poisson") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            rate = bn.parameter("rate", bn.Positive())
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Poisson(rate[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """Earthquakes of magnitude 7 or more in each of the years 1900 to 2006."""
    path = Path(__file__).parents[1] / "data" / "earthquakes.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1, usecols=1, dtype=int)}
