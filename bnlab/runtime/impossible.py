"""Data that the parameters make impossible: which members they are, and along a chain, at which step it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Integer
from bnlab.network.declare import Network
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_layout import sizeless
from bnlab.runtime.emitted import emitted
from bnlab.runtime.load import ready
from bnlab.runtime.records import Bound

NAMED = 5
"""How many members a message names before it only counts."""

Arrays = Mapping[str, NDArray[Any]]


def impossible(net: Network, theta: Arrays, bound: Bound, dtype: str) -> str:
    """What is impossible under `theta`: the members, and for the first one where and with which values. Empty if nothing
    is."""
    where = np.flatnonzero(~np.isfinite(_scores(net, theta, bound, bound.canonical, dtype)))
    if not len(where):
        return ""
    plate = next(iter(bound.layout.paths), "")
    more = f" and {len(where) - NAMED} more" if len(where) > NAMED else ""
    whose = f" of {plate} {', '.join(map(str, where[:NAMED]))}{more}" if plate else ""
    detail = _first(net, theta, bound, dtype, int(where[0]))
    return f"the data{whose} are impossible{': ' if detail else ''}{detail}"


def _scores(net: Network, theta: Arrays, bound: Bound, canonical: Arrays, dtype: str) -> NDArray[Any]:
    """ln p of each member of the outermost plate."""
    text = emitted(net, "posterior", partial=bound.partial)
    module, given, data = ready(text, f"{net.graph.name}_posterior", theta, canonical, dtype)
    return np.atleast_1d(module.score(given, data))


def _first(net: Network, theta: Arrays, bound: Bound, dtype: str, member: int) -> str:
    """Where the first impossible member becomes so, and what was observed there; empty where nothing tells."""
    graph, layout = net.graph, bound.layout
    chain = next((plate for plate in layout.paths if graph.plate(plate).chain), None)
    if chain is None or len(layout.paths[chain]) > 2:
        plate = next(iter(layout.paths), "")
        values = _values(graph, bound.canonical, plate, member)
        return f"{values} at {plate} {member} has probability 0" if values else ""
    *around, chain = layout.paths[chain]
    every = np.arange(layout.count(chain))
    rows = every[layout.members(chain, around[0]) == member] if around else every

    def possible(steps: int) -> bool:
        part = _beginning(graph, bound, chain, member, rows[:steps])
        return bool(np.isfinite(_scores(net, theta, bound, part, dtype)).all())

    before, after = 0, len(rows)  # possible, impossible
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if possible(middle) else (before, middle)
    place = "".join(f"{plate} {member}, " for plate in around) + f"{chain} {after - 1}"
    values = _values(graph, bound.canonical, chain, int(rows[after - 1]))
    return f"{values or 'what is observed'} at {place} has probability 0 given the steps before it"


def _beginning(
    graph: Graph, bound: Bound, chain: str, member: int, rows: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """The data of one member, its chain cut off after `rows`."""
    part = {}
    for name in (variable.name for variable in graph.variables if variable.name in bound.canonical):
        path = sizeless(graph, graph.variable(name).plates)
        array = bound.canonical[name]
        part[name] = array[rows] if path[-1:] == (chain,) else array[[member]] if path else array
    return part | {plate: np.zeros(len(rows), np.int64) for plate in bound.layout.paths[chain][:-1]}


def _values(graph: Graph, canonical: Arrays, plate: str, row: int) -> str:
    """The scalars observed in one row of a plate: x = 2, y = 'low'."""
    found = [
        f"{variable.name} = {_value(variable, canonical[variable.name][row])}"
        for variable in graph.in_role("observed")
        if plate and sizeless(graph, variable.plates)[-1:] == (plate,) and canonical[variable.name].ndim == 1
    ]
    return ", ".join(found)


def _value(variable: Variable, value: Any) -> str:
    if value < 0 if variable.discrete else np.isnan(value):
        return "missing"
    labels = variable.domain.labels if isinstance(variable.domain, Integer) else ()
    return repr(labels[int(value)]) if labels else f"{value:g}"
