"""A random intercept (one-way random effects), on samples of dyestuff: how much do batches differ?"""

from pathlib import Path

import numpy as np

import bnlab as bn


def random_intercept() -> bn.Network:
    """Each batch has a yield of its own about the common one, and samples scatter about that of their batch."""
    with bn.Network("random_intercept") as net:
        mu = bn.parameter("mu", bn.Real())
        between = bn.parameter("between", bn.Positive())
        within = bn.parameter("within", bn.Positive())
        with bn.plate("batch"):
            a = bn.latent("a", bn.Normal(mu, var=between))
            with bn.plate("sample"):
                bn.observed("x", bn.Normal(a, var=within))
    return net


def data() -> dict[str, np.ndarray]:
    """The yield of five samples from each of six batches of dyestuff, in grams (Davies and Goldsmith 1972)."""
    path = Path(__file__).parents[1] / "data" / "dyestuff.csv"
    table = np.genfromtxt(path, delimiter=",", skip_header=1, dtype=str)
    _, batch = np.unique(table[:, 0], return_inverse=True)
    return {"x": table[:, 1].astype(float), "batch": batch}
