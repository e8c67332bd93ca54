"""Posterior samples under one naming of the latent states, and one choice of axes of Gaussian latents (`turn.py`).

Where states are exchangeable, chains may name them differently and change names as they run; means over such draws mean
nothing. Each draw's states are matched with those of a reference by the parameters that they index: first with one draw,
then, a few times, with the means over the draws as matched so far, every number relative to its own spread over the draws.
What turns with a Gaussian latent says little of states, and is matched only where there is nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bnlab.domains import Count
from bnlab.network.graph import cpds
from bnlab.network.ir import CPD, Affine, Argument, Graph, Parameter, Ref, VarRef
from bnlab.runtime.proof.relabel import Axis, groups, rename
from bnlab.runtime.symmetry import linear_symmetries
from bnlab.runtime.turn import turned_all

PASSES = 3
"""How often the draws are matched: once with the reference, then with their own means."""

Arrays = Mapping[str, NDArray[Any]]


def aligned(graph: Graph, draws: Arrays, reference: Arrays) -> dict[str, NDArray[Any]]:
    """Draws as (chain, draw, ...) with their states named, and their latents' axes chosen, as in `reference`, which is one of
    them or near them."""
    chains = next(iter(draws.values())).shape[:2]
    found = {name: np.array(array).reshape(-1, *array.shape[2:]) for name, array in draws.items()}
    turning = {name for symmetry in linear_symmetries(graph) for name in symmetry.parameters}
    for axes in exchangeable(graph):
        still = {axis for axis in axes if axis[0] not in turning}
        target = reference
        spread = {name: found[name].std((0, axis + 1), keepdims=True)[0] for name, axis in axes}
        for _ in range(PASSES):
            _match_all(found, target, spread, axes, still or axes)
            target = {name: array.mean(0) for name, array in found.items()}
            spread = {name: found[name].std(0).mean(axis, keepdims=True) for name, axis in axes}
    found = turned_all(graph, found, reference)
    return {name: array.reshape(*chains, *array.shape[1:]) for name, array in found.items()}


def _match_all(
    found: dict[str, NDArray[Any]], target: Arrays, spread: Arrays, axes: set[Axis], by: set[Axis]
) -> None:
    """Renames the states of every draw in place, as the parameters of `by` tell."""
    names = {name for name, _ in axes}
    for i in range(len(next(iter(found.values())))):
        draw = {name: found[name][i] for name in names}
        for name, value in rename(draw, axes, matching(draw, target, spread, by)).items():
            found[name][i] = value


def exchangeable(graph: Graph) -> list[set[Axis]]:
    """The axes of parameters that latent states count, for states that neither data nor priors tell apart."""
    latents = {variable.name for variable in graph.in_role("latent")}
    return [
        axes
        for variables, axes in groups(graph)
        if variables <= latents and all(_symmetric(graph.parameter(name), axis) for name, axis in axes)
    ]


def interchangeable(graph: Graph) -> list[tuple[str, str]]:
    """Pairs of latents that can change places, with their parameters, without changing the network: like the causes of a
    sum. No alignment of states undoes that."""
    latents = [one for one in graph.in_role("latent") if not isinstance(one.domain, Count)]
    pairs = ((a.name, b.name) for i, a in enumerate(latents) for b in latents[i + 1 :])
    return [(a, b) for a, b in pairs if _swapped(graph, a, b)]


def _swapped(graph: Graph, left: str, right: str) -> bool:
    """Whether the network reads the same with two latents, and parameters used alike by them, exchanged."""
    names = {left: right, right: left}
    for one, other in zip(_parameters_of(graph, left), _parameters_of(graph, right), strict=False):
        if one != other:
            names |= {one: other, other: one}
    return _described(graph, names) == _described(graph, {})


def _parameters_of(graph: Graph, latent: str) -> list[str]:
    """Parameters that a latent's distribution reads or that it selects or multiplies, in order of reading."""
    found = []
    for variable in graph.variables:
        for cpd in cpds(variable):
            for ref, term in readings(cpd):
                selects = any(isinstance(s, VarRef) and s.name == latent for s in ref.subscripts)
                if isinstance(ref.target, str) and (variable.name == latent or selects or term == latent):
                    found.append(ref.target)
    return found


def readings(cpd: CPD) -> Iterator[tuple[Ref, str | None]]:
    """Every parameter or constant that a distribution reads, with the variable that multiplies it."""
    for _, argument in cpd.arguments:
        match argument:
            case Ref():
                yield argument, None
            case Affine(terms):
                for term in terms:
                    if isinstance(term.coefficient, Ref):
                        yield term.coefficient, term.variable.name if term.variable else None


def _described(graph: Graph, names: Mapping[str, str]) -> frozenset[str]:
    """All records as text without an order, names exchanged; terms of a sum have no order either."""

    def name(text: str) -> str:
        return names.get(text, text)

    def variable(ref: VarRef | None) -> str:
        return "" if ref is None else f"{name(ref.name)}-{ref.lag}"

    def ref(one: Ref | VarRef | None) -> str:
        match one:
            case Ref(str() as target, subscripts):
                listed = [variable(s) if isinstance(s, VarRef) else str(s) for s in subscripts]
                return f"{name(target)}{listed}"
            case Ref(values, subscripts):
                return f"{values}{subscripts}"
            case VarRef():
                return variable(one)
            case _:
                return ""

    def argument(one: Argument) -> str:
        if not isinstance(one, Affine):
            return ref(one)
        return str(sorted(f"{t.sign} {ref(t.coefficient)} {t.op} {variable(t.variable)}" for t in one.terms))

    def distribution(cpd: CPD) -> str:
        return f"{cpd.family} {[(slot, argument(one)) for slot, one in cpd.arguments]}"

    variables = (
        f"{name(v.name)} {v.role} {v.domain} {sorted(v.plates)} {[distribution(cpd) for cpd in cpds(v)]}"
        for v in graph.variables
    )
    parameters = (f"{name(p.name)} {p.domain} {len(p.plates)} {p.prior} {p.value}" for p in graph.parameters)
    return frozenset([*variables, *parameters])


def _symmetric(parameter: Parameter, axis: int) -> bool:
    """Whether the prior of a parameter is the same for all members along an axis."""
    if parameter.value is not None:
        return False
    if parameter.prior is None:
        return True
    event = len(parameter.domain.event_shape)
    values = [values.array for _, values in parameter.prior.arguments]
    if axis >= len(parameter.plates):
        return all(array.size == 1 or bool((array == array.flat[0]).all()) for array in values)
    return all(array.ndim <= event for array in values)


def matching(draw: Arrays, target: Arrays, spread: Arrays, axes: set[Axis]) -> NDArray[np.int64]:
    """The state of `draw` for each state of `target`, by the least sum of squared differences in units of `spread`.

    A parameter with two axes of the states (a transition table) is left out where there are others.
    """
    names = [name for name, _ in axes]
    single = [(name, axis) for name, axis in sorted(axes) if names.count(name) == 1]
    cost: Any = 0.0
    for name, axis in single or sorted(axes):
        unit = (
            spread[name] + np.finfo(float).tiny + 1e-9 * np.abs(target[name]).max()
        )  # numbers that never vary
        ours, theirs = (np.moveaxis(array[name] / unit, axis, 0) for array in (draw, target))
        rows = len(ours)
        cost = cost + ((theirs.reshape(rows, 1, -1) - ours.reshape(1, rows, -1)) ** 2).sum(-1)
    return np.asarray(linear_sum_assignment(cost)[1])
