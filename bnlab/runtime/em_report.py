"""What a finished run of EM should tell its user: records, never prints."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bnlab.network.ir import Graph
from bnlab.runtime.coordinates import entry
from bnlab.runtime.em import Limits, State
from bnlab.runtime.records import FitWarning

EMPTY = 1e-8
"""A state that explains less than this of one observation explains nothing: its parameters are rounding."""


COMPONENT = (
    "collapsed onto few points and is held at a floor; the likelihood there means nothing.",
    "Try fewer components, a shared spread, a prior, or more starts (n_init).",
)
ALONE = (
    "collapsed to 0 along some direction and is held at a floor; the likelihood has no bound there.",
    "Leave out what is constant or follows from the rest, or declare a prior.",
)
"""What is said of a spread on its floor: one of several that a discrete variable selects, and the only one."""


def warnings(graph: Graph, state: State, limits: Limits) -> tuple[FitWarning, ...]:
    """Everything worth knowing about the run, the most important first."""
    return (
        *_stops(state, limits),
        *_collapsed(state, limits),
        *_empty(graph, state),
        *_logarithms(graph, state),
    )


def _stops(state: State, limits: Limits) -> Iterator[FitWarning]:
    last = len(state.objective) - 1
    if state.stop == "max_iter" and last > 0 and limits.tol > 0:
        rise = state.objective[-1] - state.objective[-2]
        yield FitWarning(
            "objective", f"it still rose by {rise:.3g} at the last iteration.", "Raise max_iter."
        )
    if state.stop == "non_monotone":
        fall = state.objective[-2] - state.objective[-1]
        message = (
            f"the objective fell by {fall:.3g} at iteration {last}, which EM cannot do but for rounding."
        )
        yield FitWarning("objective", message, "Rescale or centre the data, or fit with dtype='float64'.")
    if state.stop == "nan":
        message = f"the objective is not a number after iteration {last}; the parameters are those before."
        yield FitWarning("objective", message, "Rescale or centre the data, or fit with dtype='float64'.")


def _collapsed(state: State, limits: Limits) -> Iterator[FitWarning]:
    """Components whose covariance stands, or once stood, on its floor."""
    for name, ever in state.ever.items():
        active = state.active[name]
        for index in np.argwhere(ever):
            where = entry(name, tuple(index))
            if active[tuple(index)]:
                message, advice = COMPONENT if len(index) else ALONE
                if limits.dtype == "float32":
                    advice += " dtype='float64' tells smaller variances from rounding."
                yield FitWarning(where, message, advice)
            else:
                yield FitWarning(where, "touched its floor on the way and recovered.")


def _empty(graph: Graph, state: State) -> Iterator[FitWarning]:
    for latent in graph.in_role("latent"):
        for k in np.flatnonzero(state.counts.get(latent.name, np.ones(1)) < EMPTY):
            message = "explains none of the data; it kept the parameters it had."
            advice = "Try fewer states, or start elsewhere: init='data', n_init=10."
            yield FitWarning(f"{latent.name} = {k}", message, advice)


def _logarithms(graph: Graph, state: State) -> Iterator[FitWarning]:
    if state.logarithms >= 0:
        message = f"rescaled probabilities underflowed at iteration {state.logarithms}; from there on it ran in logarithms."
        yield FitWarning(graph.name, message, "The numbers are right; only the time is longer.")
