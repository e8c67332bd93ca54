"""Data with holes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bnlab.families.base import registry
from bnlab.network.ir import Graph, Variable


def with_gaps(
    graph: Graph, data: dict[str, np.ndarray], rng: np.random.Generator, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """A third of the numbers and of the categories of some variables missing, and one vector in ten altogether."""
    found = dict(data)
    for variable in (graph.variable(name) for name in names):
        values = data[variable.name]
        if variable.discrete:
            found[variable.name] = np.where(rng.random(values.shape) < 0.3, -1, values)
        else:
            found[variable.name] = np.where(_hole(variable, values.shape, rng), np.nan, values)
    return found


def _hole(variable: Variable, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    rank = len(variable.domain.event_shape)
    rows = (*shape[: len(shape) - rank], *[1] * rank)
    assert variable.cpd is not None
    apart = registry()[variable.cpd.family].entrywise
    return (rng.random(shape if apart else rows) < 0.3) | (rng.random(rows) < 0.1)
