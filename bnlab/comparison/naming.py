"""The same names for the states of exchangeable latents in every fit, and words for what the likelihood cannot tell apart.

Fits are matched with the first by responsibilities: of all namings of the states, the one under which both fits most often
give a row to the same state. That needs no scale, and another latent's names do not enter it, so that with several groups
of exchangeable latents each is matched by itself. The draws of one fit are matched with one another by their parameters
(`runtime/align.py`), in the fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import factorial, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bnlab.domains import Integer
from bnlab.network.ir import Graph
from bnlab.runtime.align import exchangeable, interchangeable
from bnlab.runtime.proof.relabel import Axis, groups, rename
from bnlab.runtime.queries import posterior
from bnlab.runtime.records import Bound, FitWarning
from bnlab.runtime.result import Fit

DOUBTFUL = 0.5
"""Fits that agree on fewer rows than this part under the best naming hardly describe the same states."""

Responsibilities = Mapping[str, NDArray[Any]]


def named_alike(fit: Fit, reference: Fit, bound: Bound) -> tuple[Fit, tuple[FitWarning, ...]]:
    """`fit` with its states named as in `reference`, and a warning for states that have no counterpart."""
    found = exchangeable(fit.network.graph)
    if not found:
        return fit, ()
    ours, theirs = (responsibilities(one, bound) for one in (fit, reference))
    notes = []
    for axes in found:
        latents = sorted(latents_of(fit.network.graph, axes))
        order, agreement = best_naming([theirs[name] for name in latents], [ours[name] for name in latents])
        fit = renamed(fit, axes, order)
        if agreement < DOUBTFUL:
            message = f"{fit.method} and {reference.method} give only {agreement:.0%} of the rows to the same state."
            notes.append(
                FitWarning(", ".join(latents), message, "They found different optima: raise n_init.")
            )
    return fit, tuple(notes)


def responsibilities(fit: Fit, bound: Bound) -> Responsibilities:
    """For each discrete latent the probabilities of its states at the fit's parameters, as (row, state)."""
    found = posterior(fit.network, fit.parameters, bound, str(fit.settings["dtype"]))
    return {name: _rows(value) for name, value in found.items() if not isinstance(value, Mapping)}


def _rows(value: Any) -> NDArray[Any]:
    """Ragged lists and arrays alike, as (row, state)."""
    if isinstance(value, list):
        return np.concatenate([_rows(part) for part in value])
    return np.asarray(value).reshape(-1, np.asarray(value).shape[-1])


def best_naming(reference: list[NDArray[Any]], other: list[NDArray[Any]]) -> tuple[NDArray[np.int64], float]:
    """The state of `other` for each state of `reference`, and the part of the rows on which they then agree."""
    together = sum((r.T @ o for r, o in zip(reference, other, strict=True)), np.zeros(()))
    order = np.asarray(linear_sum_assignment(-together)[1])
    return order, float(together[np.arange(len(order)), order].sum() / together.sum())


def renamed(fit: Fit, axes: set[Axis], order: NDArray[np.int64]) -> Fit:
    """The fit with the states of one group in another order, in its parameters, where it began, and its draws."""
    parameters = rename(fit.parameters, axes, order)
    draws = None if fit.draws is None else rename(fit.draws, {(name, at + 2) for name, at in axes}, order)
    initial = None if fit.initial is None else rename(fit.initial, axes, order)
    return replace(fit, parameters=parameters, draws=draws, initial=initial)


def latents_of(graph: Graph, axes: set[Axis]) -> set[str]:
    """The latents whose states count these axes."""
    return next(variables for variables, touched in groups(graph) if touched == axes)


def symmetries(graph: Graph) -> Iterator[str]:
    """What the likelihood cannot tell apart, and what is done about it."""
    found = exchangeable(graph)
    names = [", ".join(sorted(latents_of(graph, axes))) for axes in found]
    counts = [_states(graph, axes) for axes in found]
    for latents, count in zip(names, counts, strict=True):
        yield (
            f"The states of {latents} can be named in {factorial(count)} ways that fit alike; "
            "draws are matched by their parameters, fits by responsibilities."
        )
    if len(found) > 1:
        product = " x ".join(f"{count}!" for count in counts)
        yield (
            f"Together that is {product} = {prod(map(factorial, counts))} namings; each group is matched by itself."
        )
    for left, right in interchangeable(graph):
        yield (
            f"{left} and {right} can change places with all their parameters; that is not undone: "
            "read their posteriors as a pair, or tell them apart by priors."
        )


def _states(graph: Graph, axes: set[Axis]) -> int:
    """How many states the latents of a group have."""
    domain = graph.variable(min(latents_of(graph, axes))).domain
    assert isinstance(domain, Integer)  # only discrete variables count axes
    return domain.size
