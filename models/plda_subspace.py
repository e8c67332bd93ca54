"""Probabilistic linear discriminant analysis with speakers in a subspace (Prince and Elder 2007)."""

from pathlib import Path

import numpy as np

import bnlab as bn


def plda_subspace(dim: int = 4, factors: int = 2) -> bn.Network:
    """Speakers differ along a few directions only, the columns of V."""
    with bn.Network("plda_subspace") as net:
        mu = bn.parameter("mu", bn.Real(dim))
        V = bn.parameter("V", bn.Real(dim, factors))
        Sigma = bn.parameter("Sigma", bn.Covariance(dim))
        with bn.plate("speaker"):
            y = bn.latent("y", bn.Normal(bn.zeros(factors), cov=bn.eye(factors)))
            with bn.plate("utterance"):
                bn.observed("x", bn.Normal(V @ y + mu, cov=Sigma))
    return net


def data() -> dict[str, np.ndarray]:
    """Logarithms of pitch and three formants, less the mean of their vowel (Peterson and Barney 1952)."""
    path = Path(__file__).parents[1] / "data" / "peterson_barney.csv"
    table = np.genfromtxt(path, delimiter=",", skip_header=1, dtype=str)
    _, speaker = np.unique(table[:, 0], return_inverse=True)
    formants, vowel = np.log(table[:, 5:9].astype(float)), table[:, 3]
    for one in np.unique(vowel):
        formants[vowel == one] -= formants[vowel == one].mean(0)
    return {"x": formants, "speaker": speaker}
