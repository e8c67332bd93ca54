"""Some members of the outermost plate: what is left out for a score, a slice of long data, rows in another order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.network.ir import Graph
from bnlab.runtime.data import canonical_ids
from bnlab.runtime.data_layout import Layout, sizeless
from bnlab.runtime.records import Bound


def outermost(bound: Bound) -> str | None:
    """The plate without a size whose members are independent; None for a bare chain and where there are several."""
    heads = {path[0] for path in bound.layout.paths.values()}
    return next(iter(heads)) if len(heads) == 1 else None


def independent(graph: Graph, bound: Bound) -> str | None:
    """The outermost plate, if its members are independent given the parameters: not the steps of a chain."""
    head = outermost(bound)
    return None if head is None or graph.plate(head).chain else head


def taken(graph: Graph, bound: Bound, plate: str, members: NDArray[np.int64]) -> Bound:
    """The data of these members of `plate`, the outermost, in this order."""
    layout = bound.layout
    place = np.full(layout.count(plate), -1)
    place[members] = np.arange(len(members))
    rows: dict[
        str, NDArray[np.int64]
    ] = {}  # of each plate, the canonical rows that are taken, in the new order
    parents: dict[str, NDArray[np.int64]] = {}
    for name, path in sorted(layout.paths.items(), key=lambda item: len(item[1])):
        wanted = place[layout.members(name, plate)]
        kept = np.flatnonzero(wanted >= 0)
        rows[name] = kept[np.argsort(wanted[kept], kind="stable")]
        parents[name] = _parents(layout, name, path, rows)
    canonical: dict[str, NDArray[Any]] = {}
    for variable in (one for one in graph.variables if one.name in bound.canonical):
        path = sizeless(graph, variable.plates)
        values = bound.canonical[variable.name]
        canonical[variable.name] = values[rows[path[-1]]] if path else values
    if "weights" in bound.canonical:
        canonical["weights"] = bound.canonical["weights"][members]
    found = Layout("tidy", layout.paths, parents, {})
    return Bound(canonical | canonical_ids(layout.paths, found), found, bound.warnings, bound.partial)


def _parents(
    layout: Layout, name: str, path: tuple[str, ...], rows: dict[str, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """For each row taken of a plate, the new number of the enclosing member."""
    if len(path) == 1:
        return np.zeros(len(rows[name]), np.int64)
    outer = path[-2]
    number = np.empty(layout.count(outer), np.int64)
    number[rows[outer]] = np.arange(len(rows[outer]))
    return number[layout.parents[name][rows[name]]]
