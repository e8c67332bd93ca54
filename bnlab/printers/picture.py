"""What is to be drawn: nodes, edges and boxes as plain data, without places or colours.

Drawing goes in three steps: the relations between the quantities of a network (`relations`), the picture (`plates.py`,
`unrolled.py`), its text (`dot.py`, `tikz.py`). Tests compare the middle one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bnlab.network.graph import coefficients, cpds, reads
from bnlab.network.ir import CPD, Graph, Parameter, Ref, Variable
from bnlab.network.text import index_letters, size_text

Kind = Literal["latent", "observed", "given", "parameter", "fixed", "dots", "separator"]
"""`fixed` is a parameter that has its value; `dots` stands for the members that are left out; a `separator` is what two
cliques have in common.
"""

Direction = Literal["down", "level", "up"]
"""Where an edge points: to a row below, within a row, or from a parameter that stands below its variable."""

Form = Literal["arrow", "line", "marriage"]
"""A `marriage` joins two parents of one child in the moral graph."""

MOST_TABLES = 4
"""So many tables of single variables are drawn; the lecture's models have fewer."""

Path = tuple[str, ...]
"""The boxes that something is in, outermost first. A path names its innermost box."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name with indices, `minus` a number: z with indices s and (t minus 1). A `title`, any text, is shown for the name."""

    name: str
    indices: tuple[Symbol, ...] = ()
    minus: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a node stands in a rolled-out picture: its row, and which member it is of each rolled-out plate.

    Rows are numbered from the top, first by level (a variable stands below what it reads), then within a level; those
    `aside` hold parameters, above or below all variables.
    """

    row: tuple[int, int]
    member: tuple[tuple[str, int], ...] = ()
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One quantity. `echo` marks an earlier step that is drawn only as what the next one reads; one that is `marked` stands
    out.
    """

    id: str
    kind: Kind
    symbol: Symbol
    path: Path = ()
    echo: bool = False
    value: str = ""
    cell: Cell | None = None
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """`target` is drawn given `source`; with `note`, only then: "t = 1"."""

    source: str
    target: str
    direction: Direction = "down"
    note: str = ""
    form: Form = "arrow"


@dataclass(frozen=True, slots=True)
class Box:
    """A plate: its index runs from 1 to `bound`. `title` is its name where the index does not tell it.

    `repeated` marks a plate that variables need in more than one place, since boxes cannot cross.
    """

    path: Path
    index: str
    bound: Symbol
    title: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is drawn. Each of `rows` stands side by side, from left to right; `notes` are sentences below."""

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    boxes: tuple[Box, ...]
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def members(self, path: Path) -> tuple[Node, ...]:
        """The nodes directly in the box that `path` names."""
        return tuple(node for node in self.nodes if node.path == path)

    def inner(self, path: Path) -> tuple[Box, ...]:
        """The boxes directly in the box that `path` names."""
        return tuple(box for box in self.boxes if box.path[:-1] == path)


@dataclass(frozen=True, slots=True)
class Relation:
    """`target` reads `source`, `lag` steps earlier: in its general distribution (`general`), and at the first `steps`.

    `steps` count from 1. A target without distributions for its first steps has the general one everywhere.
    """

    source: str
    target: str
    lag: int = 0
    general: bool = True
    steps: tuple[int, ...] = ()


def relations(graph: Graph) -> tuple[Relation, ...]:
    """Who reads whom, each pair once for each lag; in the order of declaration, parameters before variables."""
    hidden = own_tables(graph)
    found = (relation for variable in graph.variables for relation in _relations_to(variable))
    return tuple(relation for relation in found if relation.source not in hidden)


def own_tables(graph: Graph) -> frozenset[str]:
    """The parameters that are not drawn: tables of one variable each, over its parents, where there are many of them.

    The arrows between the variables tell all about them.
    """
    readers: dict[str, list[tuple[Ref, Variable]]] = {}
    for variable in graph.variables:
        for cpd in cpds(variable):
            for ref in coefficients(cpd):
                if isinstance(ref.target, str):
                    readers.setdefault(ref.target, []).append((ref, variable))
    found = frozenset(
        name
        for name, ((ref, variable), *others) in readers.items()
        if not others and variable.discrete and len(ref.subscripts) == len(graph.parameter(name).plates)
    )
    return found if len(found) > MOST_TABLES else frozenset()


def is_parameter(node: Node) -> bool:
    return node.kind in ("parameter", "fixed")


def quantities(graph: Graph) -> tuple[Parameter | Variable, ...]:
    """All that is drawn: parameters, then variables, in the order of declaration."""
    hidden = own_tables(graph)
    return (*(each for each in graph.parameters if each.name not in hidden), *graph.variables)


def kind(quantity: Parameter | Variable) -> Kind:
    """What a quantity of a network is drawn as."""
    if isinstance(quantity, Parameter):
        return "parameter" if quantity.value is None else "fixed"
    match quantity.role:
        case "latent":
            return "latent"
        case "observed":
            return "observed"
        case _:
            return "given"


def value_text(quantity: Parameter | Variable) -> str:
    """The value of a parameter that is fixed at one number; empty for everything else."""
    value = quantity.value if isinstance(quantity, Parameter) else None
    return f"{value.flat[0]:.4g}" if value is not None and len(value.flat) == 1 else ""


def bound(graph: Graph, plate: str, outer: Path, letters: Mapping[str, str]) -> Symbol:
    """What the index of `plate` inside the plates `outer` ends with: 3, N, or T with index s."""
    name, _, inside = size_text(graph, plate, outer, letters).partition("[")
    return Symbol(name, tuple(Symbol(letter) for letter in inside.rstrip("]").split(",") if letter))


def plate_of(step: str) -> str:
    """The plate that a step of a path is; `item[2]` is the plate `item` of the second member of another one."""
    return step.partition("[")[0]


def boxes(graph: Graph, nodes: tuple[Node, ...]) -> tuple[Box, ...]:
    """The boxes that `nodes` are in, outer ones first."""
    letters = index_letters(graph)
    paths = dict.fromkeys(node.path[: depth + 1] for node in nodes for depth in range(len(node.path)))
    repeated = crossing(nodes)
    return tuple(_box(graph, path, letters, path[-1] in repeated) for path in paths)


def crossing(nodes: tuple[Node, ...]) -> Mapping[str, str]:
    """The plates that hold variables both by themselves and inside another one, each with that other one."""
    variables = (node for node in nodes if not is_parameter(node))
    paths = dict.fromkeys(node.path[: depth + 1] for node in variables for depth in range(len(node.path)))
    ends = [path[-1] for path in paths]
    return {path[-1]: path[-2] for path in paths if len(path) > 1 and ends.count(path[-1]) > 1}


def _box(graph: Graph, path: Path, letters: Mapping[str, str], repeated: bool) -> Box:
    plate, *outer = (plate_of(step) for step in reversed(path))
    return Box(
        path=path,
        index=letters[plate],
        bound=bound(graph, plate, () if repeated else tuple(reversed(outer)), letters),
        title="" if plate == letters[plate] else plate,
        repeated=repeated,
    )


def _relations_to(variable: Variable) -> Iterator[Relation]:
    found: dict[tuple[str, int], list[int]] = {}
    general = set(_sources(variable.cpd)) if variable.cpd else set()
    for step, cpd in enumerate(cpds(variable)):  # the general one is entry 0, the first step's entry 1
        for source in _sources(cpd):
            found.setdefault(source, []).extend([step] if step else [])
    for (name, lag), steps in found.items():
        yield Relation(name, variable.name, lag, (name, lag) in general, tuple(steps))


def _sources(cpd: CPD) -> Iterator[tuple[str, int]]:
    yield from ((ref.target, 0) for ref in coefficients(cpd) if isinstance(ref.target, str))
    yield from ((read.name, read.lag) for read in reads(cpd))
