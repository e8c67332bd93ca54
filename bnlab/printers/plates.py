"""The picture in plate notation: each quantity once, a chain as two or more slices, z[t-1] -> z[t]."""

from __future__ import annotations

from bnlab.network.graph import chain_of
from bnlab.network.ir import Graph, Parameter, Variable
from bnlab.network.text import index_letters
from bnlab.printers.picture import (
    Edge,
    Node,
    Picture,
    Relation,
    Symbol,
    boxes,
    crossing,
    kind,
    own_tables,
    quantities,
    relations,
    value_text,
)

TABLES = "Each variable has a table of its own, given its parents."


def plates(graph: Graph) -> Picture:
    """The plate diagram of a network. Equal networks give equal pictures."""
    related = relations(graph)
    slices = {variable.name: _slices(variable, related) for variable in graph.variables}
    nodes = tuple(
        _node(graph, quantity, lag)
        for quantity in quantities(graph)
        for lag in slices.get(quantity.name, (0,))
    )
    return Picture(
        name=graph.name,
        nodes=nodes,
        edges=tuple(_edge(graph, relation) for relation in related),
        boxes=boxes(graph, nodes),
        rows=tuple(tuple(_id(name, lag) for lag in lags) for name, lags in slices.items() if len(lags) > 1),
        notes=(*_notes(nodes), *([TABLES] if own_tables(graph) else [])),
    )


def _slices(variable: Variable, related: tuple[Relation, ...]) -> tuple[int, ...]:
    """The lags at which a variable is drawn, the earliest first."""
    return tuple(
        sorted({0, *(found.lag for found in related if found.source == variable.name)}, reverse=True)
    )


def _node(graph: Graph, quantity: Parameter | Variable, lag: int) -> Node:
    letters = index_letters(graph)
    indices = tuple(
        Symbol(letters[plate], minus=lag if graph.plate(plate).chain else 0) for plate in quantity.plates
    )
    return Node(
        id=_id(quantity.name, lag),
        kind=kind(quantity),
        symbol=Symbol(quantity.name, indices),
        path=quantity.plates,
        echo=lag > 0,
        value=value_text(quantity),
    )


def _edge(graph: Graph, relation: Relation) -> Edge:
    return Edge(
        source=_id(relation.source, relation.lag),
        target=relation.target,
        direction="level" if relation.source == relation.target else "down",
        note="" if relation.general else _note(graph, relation),
    )


def _note(graph: Graph, relation: Relation) -> str:
    """When a distribution of the first steps holds."""
    chain = chain_of(graph, graph.variable(relation.target))
    letter = index_letters(graph)[chain.name] if chain else "t"
    return f"{letter} = {', '.join(str(step) for step in relation.steps)}"


def _id(name: str, lag: int) -> str:
    return f"{name}[-{lag}]" if lag else name


def _notes(nodes: tuple[Node, ...]) -> tuple[str, ...]:
    return tuple(
        f"Plate {inner} crosses plate {outer}, so it is drawn again inside it."
        for inner, outer in crossing(nodes).items()
    )
