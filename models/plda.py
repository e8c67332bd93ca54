"""Two-covariance probabilistic linear discriminant analysis (the lecture, section 8), on the vowels of 76 speakers."""

from pathlib import Path

import numpy as np

import bnlab as bn


def plda(dim: int = 4) -> bn.Network:
    """Each speaker has a mean, and utterances scatter about it; how far apart speakers are tells who is the same."""
    with bn.Network("plda") as net:
        mu = bn.parameter("mu", bn.Real(dim))
        Sigma_ac = bn.parameter("Sigma_ac", bn.Covariance(dim))
        Sigma_wc = bn.parameter("Sigma_wc", bn.Covariance(dim))
        with bn.plate("speaker"):
            z = bn.latent("z", bn.Normal(mu, cov=Sigma_ac))
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
