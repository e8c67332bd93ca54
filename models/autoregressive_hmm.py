"""An autoregressive hidden Markov model (Markov-switching autoregression): regimes in which a series goes on differently."""

from pathlib import Path

import numpy as np

import bnlab as bn


def autoregressive_hmm(states: int = 2) -> bn.Network:
    """Each state has a line from one step to the next and a variance; the first step is drawn about a level of its own."""
    with bn.Network("autoregressive_hmm") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        level = bn.parameter("level", bn.Real())
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            a = bn.parameter("a", bn.Real())
            b = bn.parameter("b", bn.Real())
            sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed(
                "x",
                bn.Normal(a[z] * bn.previous("x") + b[z], var=sigma2[z]),
                first=bn.Normal(level, var=bn.constant(1.0)),
            )
    return net


def data() -> dict[str, np.ndarray]:
    """The federal funds rate in percent, 226 quarters."""
    path = Path(__file__).parents[1] / "data" / "fedfunds.csv"
    return {"x": np.loadtxt(path, skiprows=1)}
