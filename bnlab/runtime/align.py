"""Posterior samples under one naming of the latent states: each draw's states are matched with those of one draw.

Where states are exchangeable, chains may name them differently and change names as they run; means over such draws mean
nothing. What is matched are the parameters that the states index, each relative to its spread over the reference's states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bnlab.network.ir import Graph, Parameter
from bnlab.runtime.proof.relabel import Axis, groups, rename

Arrays = Mapping[str, NDArray[Any]]


def aligned(graph: Graph, draws: Arrays, reference: Arrays) -> dict[str, NDArray[Any]]:
    """Draws as (chain, draw, ...) with their states named as in `reference`."""
    found = {name: np.array(array) for name, array in draws.items()}
    for axes in exchangeable(graph):
        for place in np.ndindex(*next(iter(found.values())).shape[:2]):
            draw = {name: array[place] for name, array in found.items()}
            order = matching(draw, reference, axes)
            for name, value in rename({name: draw[name] for name, _ in axes}, axes, order).items():
                found[name][place] = value
    return found


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


def matching(draw: Arrays, reference: Arrays, axes: set[Axis]) -> NDArray[np.int64]:
    """The state of `draw` for each state of `reference`, by the least sum of squared differences."""
    names = [name for name, _ in sorted(axes)]
    single = [(name, axis) for name, axis in sorted(axes) if names.count(name) == 1]
    cost: Any = 0.0
    for name, axis in single or sorted(axes):
        ours, theirs = (np.moveaxis(array[name], axis, 0) for array in (draw, reference))
        ours, theirs = (array.reshape(len(array), -1) for array in (ours, theirs))
        spread = theirs.std(0) + 1e-12 * np.abs(theirs).max() + np.finfo(float).tiny
        cost = cost + (((theirs[:, None] - ours) / spread) ** 2).mean(-1)
    return np.asarray(linear_sum_assignment(cost)[1])
