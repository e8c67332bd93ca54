"""Data sets made of other data sets: some members of the outermost plate, in any order, repeated or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bnlab.network.ir import Graph
from bnlab.runtime.proof.grounding import Data, Member, Unrolling, sizeless


def root(graph: Graph) -> str:
    """The outermost plate whose members are independent; "" where all data are one member."""
    paths = [sizeless(graph, variable) for variable in graph.variables if variable.cpd is not None]
    heads = {path[0] if path and not graph.plate(path[0]).chain else "" for path in paths}
    return heads.pop() if len(heads) == 1 else ""


def count(graph: Graph, data: Data) -> int:
    """The number of members of the outermost plate."""
    return len(Unrolling(graph, data).members[(root(graph),)])


def select(graph: Graph, data: Data, which: Sequence[int]) -> dict[str, np.ndarray]:
    """The members `which` of the outermost plate, as canonical data of their own."""
    unrolling = Unrolling(graph, data)
    heads = unrolling.members[(root(graph),)]
    chosen: dict[str, np.ndarray] = {}
    deepest: tuple[tuple[str, ...], list[tuple[int, Member]]] = ((), [])
    for variable in graph.variables:
        path = sizeless(graph, variable)
        rows = [
            (copy, at, member)
            for copy, pick in enumerate(which)
            for at, member in enumerate(unrolling.members[path])
            if member[:1] == heads[pick]
        ]
        if variable.name in data:
            chosen[variable.name] = np.asarray(data[variable.name])[[at for _, at, _ in rows]]
        if len(path) > len(deepest[0]):
            deepest = (path, [(copy, member) for copy, _, member in rows])
    path, found = deepest
    for depth, plate in enumerate(path[:-1], start=1):
        keys = [(copy, member[:depth]) for copy, member in found]
        number = {key: position for position, key in enumerate(dict.fromkeys(keys))}
        chosen[plate] = np.array([number[key] for key in keys])
    if "weights" in data:
        chosen["weights"] = np.asarray(data["weights"])[list(which)]
    return chosen
