"""Members of the outermost plate merged: the rows of several laid under one, as if they had come from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.network.ir import Graph
from bnlab.runtime.data import canonical_ids
from bnlab.runtime.data_layout import Layout, sizeless
from bnlab.runtime.records import Bound

Kind = tuple[tuple[str, tuple[int, ...]], ...]
"""Of each inner plate, how many members it has in each member of the plate around it."""


def together(graph: Graph, first: Bound, second: Bound) -> Bound:
    """The data of both: the members of `first`, then those of `second`."""
    paths = first.layout.paths
    parents = {}
    for name, path in paths.items():
        shift = first.layout.count(path[-2]) if len(path) > 1 else 0
        parents[name] = np.concatenate([first.layout.parents[name], second.layout.parents[name] + shift])
    canonical: dict[str, NDArray[Any]] = {
        variable.name: np.concatenate([first.canonical[variable.name], second.canonical[variable.name]])
        for variable in graph.variables
        if variable.name in first.canonical
    }
    layout = Layout("tidy", paths, parents, {})
    return Bound(canonical | canonical_ids(paths, layout), layout, (), first.partial)


def merged(graph: Graph, bound: Bound, plate: str, groups: NDArray[np.int64]) -> Bound:
    """Data in which member g of `plate`, the outermost, has all rows of the members groups[g] (groups, size) of `bound`.

    All variables with data are in plates within `plate`.
    """
    layout = bound.layout
    rows = {plate: groups.ravel()}
    parents = {plate: np.zeros(len(groups), np.int64)}
    for name, path in sorted(layout.paths.items(), key=lambda item: len(item[1])):
        if name == plate:
            continue
        outer = rows[path[-2]]
        lengths = np.bincount(layout.parents[name], minlength=layout.count(path[-2]))
        starts = np.cumsum(lengths) - lengths
        taken = lengths[outer]
        before = np.cumsum(taken) - taken
        rows[name] = np.arange(taken.sum()) + np.repeat(starts[outer] - before, taken)
        number = np.arange(len(outer))
        parents[name] = np.repeat(number // groups.shape[1] if path[-2] == plate else number, taken)
    canonical: dict[str, NDArray[Any]] = {
        variable.name: bound.canonical[variable.name][rows[sizeless(graph, variable.plates)[-1]]]
        for variable in graph.variables
        if variable.name in bound.canonical
    }
    found = Layout("tidy", layout.paths, parents, {})
    return Bound(canonical | canonical_ids(layout.paths, found), found, bound.warnings, bound.partial)


def row_counts(layout: Layout, plate: str) -> NDArray[np.int64]:
    """How many rows of all inner plates each member of `plate` has."""
    inner = [name for name, path in layout.paths.items() if len(path) > 1]
    counts = [np.bincount(layout.members(name, plate), minlength=layout.count(plate)) for name in inner]
    return np.sum(counts, axis=0)


def shapes(first: Layout, second: Layout, plate: str) -> NDArray[np.int64]:
    """For each pair of members, one of each side, the number of the shape of the two merged, from 0."""
    (left, left_kinds), (right, right_kinds) = _numbered(first, plate), _numbered(second, plate)
    numbers: dict[Kind, int] = {}
    table = np.array(
        [
            [numbers.setdefault(_sum(a, b, plate, first), len(numbers)) for b in right_kinds]
            for a in left_kinds
        ]
    )
    return np.asarray(table[left[:, None], right])


def _numbered(layout: Layout, plate: str) -> tuple[NDArray[np.int64], list[Kind]]:
    """The kind of each member, as a number from 0, and the kinds."""
    parts: list[list[tuple[str, tuple[int, ...]]]] = [[] for _ in range(layout.count(plate))]
    for name, path in sorted(layout.paths.items()):
        if len(path) == 1:
            continue
        lengths = np.bincount(layout.parents[name], minlength=layout.count(path[-2]))
        owner = layout.members(path[-2], plate)
        for part, found in zip(parts, np.split(lengths, np.flatnonzero(np.diff(owner)) + 1), strict=True):
            part.append((name, tuple(found.tolist())))
    numbers: dict[Kind, int] = {}
    code = [numbers.setdefault(tuple(part), len(numbers)) for part in parts]
    return np.array(code), list(numbers)


def _sum(a: Kind, b: Kind, plate: str, layout: Layout) -> Kind:
    """The kind of two members merged: what lies directly in them adds up, what lies deeper stays side by side."""
    return tuple(
        (name, (m[0] + n[0],) if layout.paths[name][-2] == plate else tuple(sorted(m + n)))
        for (name, m), (_, n) in zip(a, b, strict=True)
    )
