"""Data in which all members of a plate are alike: as many rows everywhere, those that are not there without a value.

An emitted NumPyro model pads ragged members; its latents have values there too. What it must say of them is what the oracle
says of rows at which nothing is observed.
"""

from __future__ import annotations

import itertools

import numpy as np

from bnlab.network.ir import Graph, Variable
from bnlab.runtime.proof.grounding import Data, Member, Unrolling, references, sizeless


def completed(graph: Graph, data: Data) -> dict[str, object]:
    """The same data with rows added until every nest of sizeless plates is a grid; given variables repeat their first row
    there. Weights stay."""
    unrolling = Unrolling(graph, data)
    found: dict[str, object] = dict(data)
    for variable in graph.variables:
        path = sizeless(graph, variable)
        if variable.name in data and len(path) > 1:
            found[variable.name] = _spread(unrolling, variable, path)
    deepest = max((sizeless(graph, variable) for variable in graph.variables), key=len)
    grid = np.indices(_extent(unrolling, deepest))
    for depth, plate in enumerate(deepest[:-1], start=1):
        if plate in data:
            shape = grid.shape[1 : depth + 1]
            found[plate] = np.ravel_multi_index(tuple(grid[:depth]), shape).ravel()
    return found


def grid_shape(graph: Graph, data: Data, variable: Variable) -> tuple[int, ...]:
    """How many members each sizeless plate of a variable has, outermost first, where they are all alike."""
    return _extent(Unrolling(graph, data), sizeless(graph, variable))


def is_scanned(graph: Graph, chain: str) -> bool:
    """Whether something in a chain is read from an earlier step."""
    members = [variable for variable in graph.variables if chain in variable.plates]
    cpds = [cpd for variable in members for cpd in (variable.cpd, *variable.first) if cpd is not None]
    return any(ref.lag for cpd in cpds for ref in references(cpd))


def _positions(unrolling: Unrolling, path: tuple[str, ...]) -> dict[Member, tuple[int, ...]]:
    """Each member's number among its siblings, at every level."""
    number: dict[Member, int] = {}
    siblings: dict[Member, int] = {}
    members = unrolling.members[path]
    for member in members:
        for depth in range(1, len(path) + 1):
            prefix = member[:depth]
            if prefix not in number:
                number[prefix] = siblings.get(prefix[:-1], 0)
                siblings[prefix[:-1]] = number[prefix] + 1
    return {m: tuple(number[m[:depth]] for depth in range(1, len(path) + 1)) for m in members}


def _extent(unrolling: Unrolling, path: tuple[str, ...]) -> tuple[int, ...]:
    """The most siblings at every level."""
    positions = list(_positions(unrolling, path).values())
    return tuple(1 + max(column) for column in zip(*positions, strict=True))


def _spread(unrolling: Unrolling, variable: Variable, path: tuple[str, ...]) -> np.ndarray:
    """The values of a variable on the grid, row by row."""
    values = np.asarray(unrolling.data[variable.name])
    place = {position: row for row, position in enumerate(_positions(unrolling, path).values())}
    nothing = values[0] if variable.role == "given" else -1 if variable.discrete else np.nan
    cells = itertools.product(*map(range, _extent(unrolling, path)))
    rows = [values[place[cell]] if cell in place else np.full(values.shape[1:], nothing) for cell in cells]
    return np.array(rows)
