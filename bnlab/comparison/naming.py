"""The same names for the states of exchangeable latents in every fit, the same axes for Gaussian latents that can be turned,
and words for what the likelihood cannot tell apart.

Fits are matched with the first by responsibilities: of all namings of the states, the one under which both fits most often
give a row to the same state. That needs no scale, and another latent's names do not enter it, so that with several groups
of exchangeable latents each is matched by itself. The draws of one fit are matched with one another by their parameters
(`runtime/align.py`), in the fit. Then fits are turned to agree with the first in what turns with a Gaussian latent.
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
from bnlab.runtime.maps import GROUPS
from bnlab.runtime.proof.relabel import Axis, groups, rename
from bnlab.runtime.queries import posterior
from bnlab.runtime.records import Bound, FitWarning
from bnlab.runtime.result import Fit
from bnlab.runtime.symmetry import linear_symmetries, moved
from bnlab.runtime.turn import maps_to

DOUBTFUL = 0.5
"""Fits that agree on fewer rows than this part under the best naming hardly describe the same states."""

Responsibilities = Mapping[str, NDArray[Any]]


def named_alike(fit: Fit, reference: Fit, bound: Bound) -> tuple[Fit, tuple[FitWarning, ...]]:
    """`fit` with its states named and its latents turned as in `reference`, and a warning for states without counterpart."""
    found = exchangeable(fit.network.graph)
    if not found:
        return turned(fit, reference), ()
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
    return turned(fit, reference), tuple(notes)


def turned(fit: Fit, reference: Fit) -> Fit:
    """The fit with its Gaussian latents turned as near to the reference's as their symmetries allow, draws and start along."""
    graph = fit.network.graph
    for symmetry in linear_symmetries(graph):
        maps = maps_to(symmetry, fit.parameters, reference.parameters)
        parameters = moved(graph, symmetry, fit.parameters, maps)
        draws = None if fit.draws is None else moved(graph, symmetry, fit.draws, maps)
        initial = None if fit.initial is None else moved(graph, symmetry, fit.initial, maps)
        fit = replace(fit, parameters=parameters, draws=draws, initial=initial)
    return fit


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
    yield from _linear(graph)
    for left, right in interchangeable(graph):
        yield (
            f"{left} and {right} can change places with all their parameters; that is not undone: "
            "read their posteriors as a pair, or tell them apart by priors."
        )


def _linear(graph: Graph) -> Iterator[str]:
    """What can be done to Gaussian latents, and what the priors leave of it."""
    left = {one.latents: one for one in linear_symmetries(graph)}
    words = {group.name: group.words for group in GROUPS}
    for one in linear_symmetries(graph, priors=False):
        each = f", by itself for each {' and '.join(one.labels)}" if one.labels else ""
        along = f"{', '.join(one.parameters)} along, with no change of the likelihood"
        text = f"{' and '.join(one.latents)} {words[one.group]}{each}, {along}"
        kept = left.get(one.latents)
        if kept is None:
            yield f"{text}; the priors tell these apart, so draws and fits are left as they are."
        else:
            rest = "" if kept.group == one.group else f" Under the priors it {words[kept.group]}."
            how = "orthogonal Procrustes" if kept.group == "rotations" else "least squares"
            yield f"{text}.{rest} Draws and fits are brought to agree ({how})."


def _states(graph: Graph, axes: set[Axis]) -> int:
    """How many states the latents of a group have."""
    domain = graph.variable(min(latents_of(graph, axes))).domain
    assert isinstance(domain, Integer)  # only discrete variables count axes
    return domain.size
