"""Rows that repeat, counted: with few categories many members have the same data, and one of them stands for all."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Integer
from bnlab.network.ir import Graph

LARGEST_KEY = 2**62
"""Rows that have more possible values than this hardly ever repeat."""
PARTS = 8
"""Different rows are rounded up to a multiple of so small a part of the power of two below them, and of no less than as many
rows: a loop over data of one size meets a few shapes, and compiles a few times, not once for each number of them."""


def collapsed(graph: Graph, canonical: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    """The data with each different row once, and how much it weighs; as they are where that saves less than half.

    Only where all data are categories of the members of one plate. Rows come out in the order of their values, so that the
    order they had makes no difference.
    """
    names = [variable.name for variable in graph.variables if variable.name in canonical]
    if not _categories_of_one_plate(graph, names):
        return canonical
    rows = len(canonical[names[0]])
    columns = [column for name in names for column in _columns(graph, name, canonical[name])]
    sizes = [size for _, size in columns]
    if prod(sizes) > LARGEST_KEY:
        return canonical
    keys = np.zeros(rows, dtype=np.int64)
    for values, size in columns:
        keys = keys * size + values
    _, first, places = np.unique(keys, return_index=True, return_inverse=True)
    if 2 * len(first) > rows:
        return canonical
    few = rounded_up(len(first))
    weights = np.bincount(places, canonical.get("weights"), few).astype(float)
    first = np.append(first, np.repeat(first[:1], few - len(first)))
    return {**canonical, **{name: canonical[name][first] for name in names}, "weights": weights}


def rounded_up(rows: int) -> int:
    """The number of rows that so many different ones are filled up to."""
    part = max(PARTS, 2 ** (rows.bit_length() - 1) // PARTS)
    return -(-rows // part) * part


def _categories_of_one_plate(graph: Graph, names: list[str]) -> bool:
    plates = {
        tuple(plate for plate in variable.plates if graph.plate(plate).size is None)
        for variable in graph.variables
    }
    (found, *others) = plates or {()}
    alone = not others and len(found) == 1 and not graph.plate(found[0]).chain
    return bool(alone and names and all(graph.variable(name).discrete for name in names))


def _columns(graph: Graph, name: str, values: NDArray[Any]) -> list[tuple[NDArray[np.int64], int]]:
    """The columns of a variable's data as numbers from 0, each with how many they may be; -1, unknown, comes first."""
    domain = graph.variable(name).domain
    assert isinstance(domain, Integer), "checked before"
    flat = np.asarray(values).reshape(len(values), -1)
    if flat.dtype == bool:
        return [(column.astype(np.int64), 2) for column in flat.T]
    return [(column.astype(np.int64) + 1, domain.size + 1) for column in flat.T]
