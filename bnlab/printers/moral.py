"""The moral graph of one member: who meets whom in a distribution, without arrows; parents of one child are joined."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from bnlab.network.ir import Graph
from bnlab.printers.picture import Edge, Picture, boxes, is_parameter
from bnlab.printers.plates import TABLES, plates


def moral(graph: Graph) -> Picture:
    """The moral graph in plate notation. Parameters are left out: they are held fixed while latents are eliminated."""
    picture = plates(graph)
    nodes = tuple(node for node in picture.nodes if not is_parameter(node))
    known = {node.id for node in nodes}
    edges = tuple(
        Edge(edge.source, edge.target, edge.direction, form="line")
        for edge in picture.edges
        if edge.source in known
    )
    return replace(
        picture,
        nodes=nodes,
        edges=(*edges, *_marriages(edges)),
        boxes=boxes(graph, nodes),
        notes=tuple(note for note in picture.notes if note != TABLES),
    )


def _marriages(edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
    """An edge between each two parents of one child that have none, in the order of the children."""
    joined = {frozenset((edge.source, edge.target)) for edge in edges}
    children = dict.fromkeys(edge.target for edge in edges)
    pairs = (
        pair
        for child in children
        for pair in combinations([edge.source for edge in edges if edge.target == child], 2)
        if frozenset(pair) not in joined
    )
    return tuple(Edge(*pair, "level", form="marriage") for pair in dict.fromkeys(pairs))
