"""Whether chains have sampled what they should: split R-hat, effective draws, divergences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from bnlab.runtime.records import FitWarning

MIXED = 1.05
"""The largest split R-hat of chains that agree (Vehtari and others ask for 1.01 to publish)."""
ENOUGH = 100
"""The least effective number of draws that a mean is reported from without a word."""

Arrays = Mapping[str, NDArray[Any]]


def r_hat(draws: NDArray[Any]) -> NDArray[np.float64]:
    """Split R-hat of every entry of (chain, draw, ...); NaN where an entry never varies or there are too few draws."""
    if draws.shape[1] < 4:
        return np.full(draws.shape[2:], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(draws.std((0, 1)) > 0, split_gelman_rubin(draws), np.nan)


def effective(draws: NDArray[Any]) -> NDArray[np.float64]:
    """How many independent draws every entry of (chain, draw, ...) is worth; NaN as above."""
    if draws.shape[1] < 4:
        return np.full(draws.shape[2:], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(draws.std((0, 1)) > 0, effective_sample_size(draws), np.nan)


def divergences(statistics: Arrays) -> tuple[FitWarning, ...]:
    """A warning where trajectories left the typical set by numerical error."""
    count = int(statistics["diverging"].sum())
    if not count:
        return ()
    message = f"{count} draws ended in a divergence: parts of the posterior may be missing."
    return (FitWarning("nuts", message, "Raise target_accept to 0.95, or use stronger priors."),)


def unmixed(draws: Arrays) -> tuple[FitWarning, ...]:
    """Parameters whose chains disagree, or whose draws are worth too few independent ones."""
    notes = []
    for name, value in draws.items():
        if value.shape[1] < 4:
            message = f"{value.shape[1]} draws a chain are too few to tell whether chains have mixed."
            notes.append(FitWarning(name, message, "Raise num_samples."))
            continue
        if value.size and value.std() == 0 and value.flat[0] != 1:  # 1: the only state of a simplex
            notes.append(
                FitWarning(name, "the chains have never moved.", "Raise num_warmup and num_samples.")
            )
            continue
        apart, worth = r_hat(value), effective(value)
        worst = float(np.nanmax(apart, initial=1.0))
        least = float(np.nanmin(worth, initial=np.inf))
        if worst > MIXED or least < ENOUGH:
            message = f"the chains have not mixed (R-hat {worst:.2f}, {least:.0f} effective draws)."
            notes.append(FitWarning(name, message, "Raise num_warmup and num_samples."))
    return tuple(notes)
