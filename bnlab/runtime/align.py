"""Posterior samples under one naming of the latent states.

Where states are exchangeable, chains may name them differently and change names as they run; means over such draws mean
nothing. Each draw's states are matched with those of a reference by the parameters that they index: first with one draw,
then, a few times, with the means over the draws as matched so far, every number relative to its own spread over the draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bnlab.network.ir import Graph, Parameter
from bnlab.runtime.proof.relabel import Axis, groups, rename

PASSES = 3
"""How often the draws are matched: once with the reference, then with their own means."""

Arrays = Mapping[str, NDArray[Any]]


def aligned(graph: Graph, draws: Arrays, reference: Arrays) -> dict[str, NDArray[Any]]:
    """Draws as (chain, draw, ...) with their states named as in `reference`, which is one of them or near them."""
    chains = next(iter(draws.values())).shape[:2]
    found = {name: np.array(array).reshape(-1, *array.shape[2:]) for name, array in draws.items()}
    for axes in exchangeable(graph):
        target = reference
        spread = {name: found[name].std((0, axis + 1), keepdims=True)[0] for name, axis in axes}
        for _ in range(PASSES):
            _match_all(found, target, spread, axes)
            target = {name: array.mean(0) for name, array in found.items()}
            spread = {name: found[name].std(0).mean(axis, keepdims=True) for name, axis in axes}
    return {name: array.reshape(*chains, *array.shape[1:]) for name, array in found.items()}


def _match_all(found: dict[str, NDArray[Any]], target: Arrays, spread: Arrays, axes: set[Axis]) -> None:
    """Renames the states of every draw in place."""
    names = {name for name, _ in axes}
    for i in range(len(next(iter(found.values())))):
        draw = {name: found[name][i] for name in names}
        for name, value in rename(draw, axes, matching(draw, target, spread, axes)).items():
            found[name][i] = value


def exchangeable(graph: Graph) -> list[set[Axis]]:
    """The axes of parameters that latent states count, for states that neither data nor priors tell apart."""
    latents = {variable.name for variable in graph.in_role("latent")}
    return [
        axes
        for variables, axes in groups(graph)
        if variables <= latents and all(_symmetric(graph.parameter(name), axis) for name, axis in axes)
    ]


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
