"""A mixture of two-covariance PLDA: groups of speakers (men, women and children, say) with a spread of their own."""

from pathlib import Path

import numpy as np

import bnlab as bn


def mixture_plda(classes: int = 2, dim: int = 4) -> bn.Network:
    """Each speaker is of one class, which is hidden; it tells where speakers lie and how far apart they are."""
    with bn.Network("mixture_plda") as net:
        pi = bn.parameter("pi", bn.Simplex(classes))
        Sigma_wc = bn.parameter("Sigma_wc", bn.Covariance(dim))
        with bn.plate("k", classes):
            mu = bn.parameter("mu", bn.Real(dim))
            Sigma_ac = bn.parameter("Sigma_ac", bn.Covariance(dim))
        with bn.plate("speaker"):
            c = bn.latent("c", bn.Categorical(pi))
            z = bn.latent("z", bn.Normal(mu[c], cov=Sigma_ac[c]))
            with bn.plate("utterance"):
                bn.observed("x", bn.Normal(z, cov=Sigma_wc))
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
