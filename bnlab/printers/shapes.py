"""How large the nodes of a picture are. All lengths are in points."""

from __future__ import annotations

from math import hypot

from bnlab.notation import greek, split
from bnlab.printers.geometry import Point
from bnlab.printers.picture import Node, Picture, Symbol

CIRCLE = 40.0
"""The diameter of a variable whose symbol is short; a longer one stands in an ellipse of the same height."""
SEPARATOR = 18.0
"""The height of what cliques have in common."""
DOT = 7.0
"""The diameter of what is small and solid."""
LETTER, CAPITAL, BROAD = 8.0, 12.0, 14.0
"""The widths of a letter, of a capital one, and of the broadest ones."""
LONGEST_TITLE = 64
INDEX = 5.0
"""The width of a letter in a subscript."""


def small(node: Node) -> bool:
    """Whether a node is a small solid mark with its symbol beside it."""
    return node.kind in ("parameter", "fixed", "given")


def below(picture: Picture, node: Node) -> bool:
    """Whether the symbol of a small node stands below it, since its edges go up."""
    return any(edge.source == node.id and edge.direction == "up" for edge in picture.edges)


def size(node: Node) -> Point:
    """The width and the height of a node, without the symbol beside a small one."""
    if small(node):
        return DOT, DOT
    if node.kind == "dots":
        return CIRCLE / 2, CIRCLE / 2
    if node.kind == "separator":
        return round(0.72 * _width(node.symbol) + 8), SEPARATOR
    text = _width(node.symbol)
    return (CIRCLE if text <= CIRCLE - 4 else round(1.25 * text + 6)), CIRCLE


def reach(node: Node, centre: Point, goal: Point) -> float:
    """How far the border of a node at `centre` is from there in the direction of `goal`."""
    (wide, high), (dx, dy) = size(node), (goal[0] - centre[0], goal[1] - centre[1])
    if node.kind == "separator":
        return hypot(dx, dy) / max(2 * abs(dx) / wide, 2 * abs(dy) / high)
    return hypot(dx, dy) / (2 * hypot(dx / wide, dy / high))


def covers(node: Node, centre: Point, point: Point, clearance: float) -> bool:
    """Whether `point` is in a node at `centre`, or nearer to it than `clearance`."""
    wide, high = size(node)
    return (
        hypot(
            (point[0] - centre[0]) / (wide / 2 + clearance), (point[1] - centre[1]) / (high / 2 + clearance)
        )
        < 1
    )


def cut(title: str) -> str:
    """A title as it is shown: not longer than a node can be wide."""
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"


def _width(symbol: Symbol) -> float:
    if symbol.title:
        indices = ",".join(map(_letters, symbol.indices))
        return sum(_broad(sign) for sign in cut(symbol.title)) + INDEX * len(indices)
    base, subscripts, superscript = split(symbol.name)
    below = [
        *(greek(part) for part in (*subscripts, superscript) if part),
        *(_letters(index) for index in symbol.indices),
    ]
    return sum(map(_broad, greek(base))) + INDEX * len(",".join(below))


def _broad(sign: str) -> float:
    return BROAD if sign in "mwMW" else CAPITAL if sign.isupper() else LETTER


def _letters(index: Symbol) -> str:
    return greek(index.name) + (f"-{index.minus}" if index.minus else "")
