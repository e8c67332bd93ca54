"""The picture with plates rolled out: the first members or steps, dots, and the last one.

Chains are rolled out where there are any, and the plates around them stay boxes; else every plate that holds a variable is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

from bnlab.network.graph import children, cpds, max_lag, parents, reads, topological_order, users
from bnlab.network.ir import Graph, Parameter, Plate, Variable
from bnlab.network.text import index_letters
from bnlab.printers.picture import (
    Cell,
    Direction,
    Edge,
    Node,
    Path,
    Picture,
    Relation,
    Symbol,
    bound,
    boxes,
    kind,
    quantities,
    relations,
    value_text,
)

DOTS = "…"
LAST = "last"
SHOWN = 2
"""How many members are shown before the dots; one of a plate with others inside."""

Place = tuple[tuple[str, str], ...]
"""A position in each rolled-out plate, outermost first: its number, DOTS or LAST. Nothing is inside of DOTS."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """A network, the index letters of its plates, the positions shown of each rolled-out plate, the rows of variables."""

    graph: Graph
    letters: Mapping[str, str]
    positions: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, tuple[int, int]]


def unrolled(graph: Graph) -> Picture:
    """The rolled-out picture of a network. Equal networks give equal pictures."""
    positions = {plate.name: _shown(graph, plate) for plate in _rolled_out(graph)}
    rolled = Rolled(graph, index_letters(graph), positions, _rows(graph, frozenset(positions)))
    found = (
        _node(rolled, quantity, place)
        for quantity in quantities(graph)
        for place in _places(rolled, quantity)
    )
    nodes = tuple({node.id: node for node in found}.values())
    edges = (edge for relation in relations(graph) for edge in _edges(rolled, relation))
    rows = (
        tuple(_id(rolled, variable.name, place) for place in _places(rolled, variable))
        for variable in graph.variables
    )
    return Picture(
        name=graph.name,
        nodes=nodes,
        edges=tuple(dict.fromkeys(edges)),
        boxes=boxes(graph, nodes),
        rows=tuple(row for row in rows if len(row) > 1),
    )


def _rows(graph: Graph, rolled_out: frozenset[str]) -> dict[str, tuple[int, int]]:
    """The row of each variable: below what it reads, apart from other plates, and by itself if it reads its own past."""
    levels = _levels(graph, rolled_out)
    around = {
        variable.name: tuple(plate for plate in variable.plates if plate in rolled_out)
        for variable in graph.variables
    }
    kinds = {
        name: (
            _beyond(graph, name, around, levels),
            around[name],
            name if name in parents(graph, name) else "",
        )
        for name in around
    }
    distinct = list(dict.fromkeys(kinds.values()))
    return {
        name: (kind[0], [other for other in distinct if other[0] == kind[0]].index(kind))
        for name, kind in kinds.items()
    }


def _levels(graph: Graph, rolled_out: frozenset[str]) -> dict[str, int]:
    """How many variables of the same step stand above each, one below the other; what is in a box, below what is beside it."""
    boxes = {
        variable.name: tuple(takewhile(lambda plate: plate not in rolled_out, variable.plates))
        for variable in graph.variables
    }
    levels: dict[str, int] = {}
    for name in sorted(
        topological_order(graph), key=lambda name: len(boxes[name])
    ):  # stable: else the order stays
        above = {read.name for cpd in cpds(graph.variable(name)) for read in reads(cpd) if not read.lag}
        above |= {
            other for other in levels if boxes[other] == boxes[name][: len(boxes[other])] != boxes[name]
        }
        levels[name] = 1 + max((levels[parent] for parent in above if parent in levels), default=-1)
    return levels


def _beyond(graph: Graph, name: str, around: Mapping[str, Path], levels: Mapping[str, int]) -> int:
    """The level of a variable; one that is read across plates stands below all others, on the other side of its readers."""
    crossed = any(around[child][: len(around[name])] != around[name] for child in children(graph, name))
    return max(levels.values()) + 1 if crossed else levels[name]


def _rolled_out(graph: Graph) -> tuple[Plate, ...]:
    chains = tuple(plate for plate in graph.plates if plate.chain)
    held = {plate for variable in graph.variables for plate in variable.plates}
    return chains or tuple(plate for plate in graph.plates if plate.name in held)


def _shown(graph: Graph, plate: Plate) -> tuple[str, ...]:
    """The first members, for a chain up to the first step with its general distribution; dots; the last one."""
    holders = [variable for variable in graph.variables if plate.name in variable.plates]
    steps = [max(len(variable.first), max_lag(variable)) + 1 for variable in holders if plate.chain]
    outer = not plate.chain and any(variable.plates[-1] != plate.name for variable in holders)
    count = max([1 if outer else SHOWN, *steps])
    if plate.size is not None and plate.size <= count + 1:
        return tuple(str(number) for number in range(1, plate.size + 1))
    return (*(str(number) for number in range(1, count + 1)), DOTS, LAST)


def _places(rolled: Rolled, quantity: Parameter | Variable) -> tuple[Place, ...]:
    places: list[Place] = [()]
    for plate in quantity.plates:
        positions = rolled.positions.get(plate)
        if positions is not None:
            places = [
                (*place, (plate, position)) if position else place
                for place in places
                for position in ((None,) if _left_out(place) else positions)
            ]
    return tuple(places)


def _left_out(place: Place) -> bool:
    return bool(place) and place[-1][1] == DOTS


def _id(rolled: Rolled, name: str, place: Place) -> str:
    """The identity of a copy. Dots in one row are one node."""
    if _left_out(place) and name in rolled.rows:
        name = next(other for other, row in rolled.rows.items() if row == rolled.rows[name])
    return f"{name}[{','.join(position for _, position in place)}]" if place else name


def _node(rolled: Rolled, quantity: Parameter | Variable, place: Place) -> Node:
    left_out = _left_out(place)
    indices = tuple(_index(rolled, quantity.plates, depth, place) for depth in range(len(quantity.plates)))
    return Node(
        id=_id(rolled, quantity.name, place),
        kind="dots" if left_out else kind(quantity),
        symbol=Symbol(DOTS) if left_out else Symbol(quantity.name, indices),
        path=_path(rolled, quantity, place),
        value="" if left_out else value_text(quantity),
        cell=Cell(_row(rolled, quantity), _member(rolled, place), isinstance(quantity, Parameter)),
    )


def _row(rolled: Rolled, quantity: Parameter | Variable) -> tuple[int, int]:
    """Parameters stand above all variables or below them."""
    if isinstance(quantity, Parameter):
        return (len(rolled.rows) if _is_low(rolled, quantity.name) else -1), 0
    return rolled.rows[quantity.name]


def _member(rolled: Rolled, place: Place) -> tuple[tuple[str, int], ...]:
    return tuple((plate, rolled.positions[plate].index(position)) for plate, position in place)


def _index(rolled: Rolled, plates: tuple[str, ...], depth: int, place: Place) -> Symbol:
    """The index of the plate at `depth`: its letter, its position, or the name of its size for the last one."""
    plate = plates[depth]
    position = dict(place).get(plate, rolled.letters[plate])
    return Symbol(bound(rolled.graph, plate, (), rolled.letters).name if position == LAST else position)


def _path(rolled: Rolled, quantity: Parameter | Variable, place: Place) -> Path:
    """The boxes: the plates that are not rolled out, apart for each position around them; parameters have their own."""
    positions = dict(place)
    plates = tuple(plate for plate in quantity.plates if plate in positions or plate not in rolled.positions)
    if isinstance(quantity, Parameter):
        side = "below" if _is_low(rolled, quantity.name) else "above"
        return tuple(f"{plate}[{side}]" for plate in plates if plate not in positions)
    steps = []
    for depth, plate in enumerate(plates):
        around = [positions[outer] for outer in plates[:depth] if outer in positions]
        steps.append(f"{plate}[{','.join(around)}]" if around else plate)
    return tuple(step for step, plate in zip(steps, plates, strict=True) if plate not in positions)


def _edges(rolled: Rolled, relation: Relation) -> Iterator[Edge]:
    target = rolled.graph.variable(relation.target)
    for place in _places(rolled, target):
        for source in _source_places(rolled, relation, place):
            ends = _id(rolled, relation.source, source), _id(rolled, relation.target, place)
            yield Edge(*ends, _direction(rolled, relation))


def _source_places(rolled: Rolled, relation: Relation, place: Place) -> Iterator[Place]:
    """The copies of the source that the copy of the target at `place` reads."""
    if not _holds(rolled.graph, relation, place) or (_left_out(place) and not relation.lag):
        return
    origin = next(quantity for quantity in quantities(rolled.graph) if quantity.name == relation.source)
    for wanted in _earlier(rolled, place, relation.lag) if relation.lag else (place,):
        common = dict(wanted)
        for source in _places(rolled, origin):
            if all(common.get(plate, position) == position for plate, position in source):
                if relation.lag or not _left_out(source):
                    yield source


def _holds(graph: Graph, relation: Relation, place: Place) -> bool:
    """Whether the target reads the source at this step of its chain."""
    steps = [int(position) for plate, position in place if graph.plate(plate).chain and position.isdigit()]
    initial = len(graph.variable(relation.target).first)
    return steps[0] in relation.steps if steps and steps[0] <= initial else relation.general


def _earlier(rolled: Rolled, place: Place, lag: int) -> tuple[Place, ...]:
    """`place` so many steps earlier; none before the first step. The dots stand for any step between, so they read each of the
    last steps before them that is no further back.
    """
    places: tuple[Place, ...] = ((),)
    for plate, position in place:
        found: tuple[str, ...] = (position,)
        if rolled.graph.plate(plate).chain:
            shown = rolled.positions[plate]
            at = shown.index(position)
            if position.isdigit():
                found = shown[at - lag : at - lag + 1] if at >= lag else ()
            else:
                found = shown[max(at - lag, 0) : at] if position == DOTS else shown[at - 1 : at]
        places = tuple((*before, (plate, each)) for before in places for each in found)
    return places


def _direction(rolled: Rolled, relation: Relation) -> Direction:
    if relation.source == relation.target:
        return "level"
    if relation.source in rolled.rows:
        return "down" if rolled.rows[relation.source] < rolled.rows[relation.target] else "up"
    return "up" if _is_low(rolled, relation.source) else "down"


def _is_low(rolled: Rolled, name: str) -> bool:
    """Whether all that read a parameter stand in the last rows: it stands below these, so that its edges cross nothing."""
    levels = {level for level, _ in rolled.rows.values()}
    return len(levels) > 1 and {rolled.rows[user][0] for user in users(rolled.graph, name)} == {max(levels)}
