"""What a finished run of EM should tell its user: records, never prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.network.graph import coefficients, cpds
from bnlab.network.ir import Graph, Variable, VarRef
from bnlab.runtime.em import Limits, State
from bnlab.runtime.records import FitWarning

EMPTY = 1e-8
"""A state that explains less than this of one observation explains nothing: its parameters are rounding."""
EQUAL = 1e-6
"""States whose parameters differ by less than this part of their size are the same state."""


def warnings(graph: Graph, state: State, limits: Limits) -> tuple[FitWarning, ...]:
    """Everything worth knowing about the run, the most important first."""
    return (
        *_stops(state, limits),
        *_collapsed(state),
        *_empty(graph, state),
        *_symmetric(graph, state),
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


def _collapsed(state: State) -> Iterator[FitWarning]:
    """Components whose covariance stands, or once stood, on its floor."""
    for name, ever in state.ever.items():
        active = state.active[name]
        for index in np.argwhere(ever):
            where = _element(name, index)
            if active[tuple(index)]:
                message = (
                    "collapsed onto few points and is held at a floor; the likelihood there means nothing."
                )
                advice = (
                    "Try fewer components, a tied or diagonal covariance, a prior, or more starts (n_init)."
                )
                yield FitWarning(where, message, advice)
            else:
                yield FitWarning(where, "touched its floor on the way and recovered.")


def _empty(graph: Graph, state: State) -> Iterator[FitWarning]:
    for latent in graph.in_role("latent"):
        for k in np.flatnonzero(state.counts.get(latent.name, np.ones(1)) < EMPTY):
            message = "explains none of the data; it kept the parameters it had."
            advice = "Try fewer states, or start elsewhere: init='data', n_init=10."
            yield FitWarning(f"{latent.name} = {k}", message, advice)


def _symmetric(graph: Graph, state: State) -> Iterator[FitWarning]:
    """Latents of which all states are alike: EM started at a saddle and cannot leave it."""
    for latent in graph.in_role("latent"):
        selected = _selected(graph, latent)
        if selected and all(_alike(state.theta[name], axis) for name, axis in selected):
            message = "all its states have the same parameters: a saddle, which EM cannot leave."
            yield FitWarning(
                latent.name, message, "Start from init='data' or init='random', or from different values."
            )


def _selected(graph: Graph, latent: Variable) -> set[tuple[str, int]]:
    """The learnt parameters that `latent` selects in other variables' distributions, with the axis it selects on."""
    found = set()
    for child in (variable for variable in graph.variables if variable.name != latent.name):
        for ref in (ref for cpd in cpds(child) for ref in coefficients(cpd)):
            if not isinstance(ref.target, str) or graph.parameter(ref.target).value is not None:
                continue
            plates = graph.parameter(ref.target).plates
            subscripted = [plate for plate in plates if plate not in child.plates]
            for plate, subscript in zip(subscripted, ref.subscripts, strict=True):
                if isinstance(subscript, VarRef) and subscript.name == latent.name:
                    found.add((ref.target, plates.index(plate)))
    return found


def _alike(values: NDArray[Any], axis: int) -> bool:
    """Whether `values`, of at least two entries along the axis, are the same in all of them."""
    spread = np.ptp(values, axis=axis).max()
    return values.shape[axis] > 1 and bool(spread <= EQUAL * np.abs(values).max())


def _logarithms(graph: Graph, state: State) -> Iterator[FitWarning]:
    if state.logarithms >= 0:
        message = f"rescaled probabilities underflowed at iteration {state.logarithms}; from there on it ran in logarithms."
        yield FitWarning(graph.name, message, "The numbers are right; only the time is longer.")


def _element(name: str, index: NDArray[Any]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if len(index) else name
