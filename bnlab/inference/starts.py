"""Starts of components that a discrete variable selects: where all start alike, EM could never tell them apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bnlab.network.ir import Graph
from bnlab.program.ir import Start

ALIKE = ("unit", "spread", "number", "concentration")
"""Kinds of starts that are the same for all components; the others have clusters or chance in them."""
MOVED = ("unit", "spread")
"""Those of them that a factor for each component may set apart."""


def set_apart(graph: Graph, starts: Iterable[Start]) -> tuple[Start, ...]:
    """The same starts; where all parameters of a plate of components start alike, each component with factors of its own.

    With equal components every member has the same posterior, and no iteration of EM changes that: a saddle.
    """
    found = {start.parameter: start for start in starts}
    lived_in = {plate for variable in graph.variables for plate in variable.plates}
    for plate in graph.plates:
        inside = {name: one for name, one in found.items() if plate.name in graph.parameter(name).plates}
        if plate.name in lived_in or (plate.size or 0) < 2 or any(map(_differs, inside.values())):
            continue
        for name, one in inside.items():
            if one.kind in MOVED:
                place = graph.parameter(name).plates.index(plate.name)
                found[name] = replace(one, apart=(*one.apart, place))
    return tuple(found.values())


def _differs(start: Start) -> bool:
    """Whether components may start from different values."""
    return len(set(start.values)) > 1 if start.kind == "fixed" else start.kind not in ALIKE
