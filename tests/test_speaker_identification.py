"""Speakers told apart by mixtures of their frames, adapted from everybody's (Reynolds and others 2000), as MAP-EM.

Japanese Vowels (Kudo and others 1999): 9 men say /ae/, 270 utterances to learn from and 370 to test, 12 cepstra a frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnlab as bn

ARRAYS = Path(__file__).parents[1] / "data" / "japanese_vowels.npz"
RELEVANCE = 16.0
"""How many frames the mixture of everybody counts for, in every component."""


def frames(
    components: int, dim: int, pi: Any = None, weights: Any = None, mu: Any = None, var: Any = None
) -> bn.Network:
    """Frames of one speaker or of all: `pi` and `mu` are priors, `weights` and `var` what is not learnt."""
    with bn.Network("frames") as net:
        pi_ = bn.parameter("pi", bn.Simplex(components), prior=pi, value=weights)
        with bn.plate("k", components):
            mu_ = bn.parameter("mu", bn.Real(dim), prior=mu)
            var_ = bn.parameter("var", bn.Positive(dim), value=var)
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi_))
            bn.observed("x", bn.Normal(mu_[z], var=var_[z]))
    return net


def adapted(all_: dict[str, np.ndarray], both: bool) -> bn.Network:
    """The mixture of one speaker: means about everybody's, weights too if `both`, else everybody's as they are."""
    components, dim = all_["mu"].shape
    about = bn.Normal(all_["mu"], var=all_["var"] / RELEVANCE)
    if both:
        return frames(components, dim, bn.Dirichlet(1 + RELEVANCE * all_["pi"]), None, about, all_["var"])
    return frames(components, dim, None, all_["pi"], about, all_["var"])


def ratios(both: bool, components: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Mean log ratios a frame of each test utterance (rows) by each speaker, and whose it is."""
    arrays = np.load(ARRAYS)
    x, utterance = arrays["frames"].astype(float), arrays["utterance"].astype(int)
    speaker, test = arrays["speaker"] - 1, arrays["test"]
    known, heard = x[~test[utterance]], x[test[utterance]]
    said_by = speaker[utterance[~test[utterance]]]
    everybody = bn.fit(frames(components, x.shape[1]), {"x": known}, progress=False)
    all_, base = dict(everybody.parameters), everybody.score({"x": heard})
    net, init = adapted(all_, both), {"mu": all_["mu"]} | ({"pi": all_["pi"]} if both else {})
    _, of = np.unique(utterance[test[utterance]], return_inverse=True)
    found = []
    for one in range(9):
        weights = (said_by == one).astype(float)  # the same arrays for all: one program
        fit = bn.fit(net, {"x": known}, weights=weights, init=init, max_iter=10, progress=False)
        found.append(np.bincount(of, fit.score({"x": heard}) - base) / np.bincount(of))
    return np.stack(found, -1), speaker[test]


@pytest.mark.slow
def test_adapting_means_and_weights_tells_speakers_apart() -> None:
    scores, truth = ratios(both=True)
    same = truth[:, None] == np.arange(9)
    assert scores.size == 3330
    rate, identified = bn.eer(scores[same], scores[~same]), (scores.argmax(1) == truth).mean()
    print(f"EER {rate:.2%}, identified {identified:.2%}")
    assert rate < 0.014 and identified > 0.96  # 0.8-1.4 %, 96-97.6 % with other starts of the mixture


@pytest.mark.slow
def test_adapting_means_alone_does_worse() -> None:
    """Components of everybody's mixture are one speaker's each: who does not use them must be able to say so."""
    scores, truth = ratios(both=False)
    same = truth[:, None] == np.arange(9)
    rate = bn.eer(scores[same], scores[~same])
    print(f"EER {rate:.2%}, identified {(scores.argmax(1) == truth).mean():.2%}")
    assert rate > 0.02
