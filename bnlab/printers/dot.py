"""DOT: the picture of a network as a text that Graphviz lays out.

Observed variables are shaded circles, latent ones white. What is to be learnt is a small solid dot with its symbol above
it; what is known without a distribution (a fixed parameter, a given variable) a small solid square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import assert_never

import graphviz

from bnlab.network.ir import Graph
from bnlab.notation import greek, split
from bnlab.printers.base import Printer
from bnlab.printers.geometry import Point
from bnlab.printers.layout import INCH, Layout, Route, cluster
from bnlab.printers.moral import moral
from bnlab.printers.picture import Box, Edge, Node, Path, Picture, Symbol
from bnlab.printers.plates import plates
from bnlab.printers.shapes import CIRCLE, DOT, below, cut, size, small
from bnlab.printers.unrolled import unrolled

VIEWS: Mapping[str, Callable[[Graph], Picture]] = {"plates": plates, "unrolled": unrolled, "moral": moral}

FONT = "Times"
SHADE = "#d9d9d9"
PALE = "#707070"
MARK = "#c0392b"
SMALL = 11
"""The font size of subscripts and notes: Graphviz does not shrink them by itself."""
LINE = 30
"""The height kept for the symbol above a dot, in points."""

GRAPH_STYLE = {
    "rankdir": "TB",
    "newrank": "true",  # rows reach across boxes
    "nodesep": "0.32",
    "ranksep": "0.4",
    "fontname": FONT,
    "fontsize": "12",
    "labelloc": "b",
    "labeljust": "r",
    "style": "rounded",
}
NODE_STYLE = {
    "shape": "circle",
    "fixedsize": "true",
    "width": f"{CIRCLE / INCH:.3f}",
    "fontname": FONT,
    "fontsize": "16",
}
EDGE_STYLE = {"arrowsize": "0.65", "penwidth": "0.9", "fontname": FONT, "fontsize": str(SMALL)}


def text(graph: Graph, view: str = "plates") -> str:
    """The network as DOT. `view` is one of VIEWS."""
    return source(VIEWS[view](graph))


def source(picture: Picture, room_for_notes: bool = False) -> str:
    """The picture as DOT, for Graphviz's `dot` to lay out. Every text in it is escaped.

    Notes at edges stand where there is room, or with `room_for_notes` have some made for them.
    """
    dot = _digraph(picture)
    _fill(dot, picture, (), None)
    for row in picture.rows:
        _row(dot, picture, row)
    marks = {node.id for node in picture.nodes if small(node)}
    for edge in picture.edges:
        if edge.direction == "up":
            dot.edge(edge.target, edge.source, style="invis")
        label = {"label" if room_for_notes else "xlabel": _note_label(edge)} if edge.note else {}
        # Variables above one another stand in a line.
        upright = {} if edge.source in marks else {"weight": "8"}
        dot.edge(edge.source, edge.target, **_edge_style(edge), **label, **upright)
    _note(dot, picture)
    return str(dot.source)


def placed(picture: Picture, places: Layout) -> str:
    """The picture as DOT with all its places, for Graphviz's `nop2` to draw as it is."""
    dot = _digraph(picture)
    _fill(dot, picture, (), places)
    for edge in picture.edges:
        route = places.routes[edge.source, edge.target]
        dot.edge(edge.source, edge.target, **_edge_style(edge), **_edge_place(edge, route))
    _note(dot, picture)
    width, height = places.size
    dot.attr(bb=f"0,0,{_number(width)},{_number(height)}", lp=f"{_number(width / 2)},10")
    return str(dot.source)


def _digraph(picture: Picture) -> graphviz.Digraph:
    return graphviz.Digraph(picture.name, graph_attr=GRAPH_STYLE, node_attr=NODE_STYLE, edge_attr=EDGE_STYLE)


def _note(dot: graphviz.Digraph, picture: Picture) -> None:
    if picture.notes:  # last, since boxes would inherit it
        dot.attr(label=f"<{'<BR/>'.join(escape(note) for note in picture.notes)}>", labeljust="c")


def _fill(dot: graphviz.Digraph, picture: Picture, path: Path, places: Layout | None) -> None:
    """What is in the box that `path` names, inner boxes included."""
    for node in picture.members(path):
        place = {"pos": _point(places.nodes[node.id])} if places else {}
        mark = {"color": MARK, "penwidth": "2.5"} if node.marked else {}
        dot.node(node.id, f"<{_label(picture, node)}>", **(_style(node) | mark), **place)
    for box in picture.inner(path):
        with dot.subgraph(name=cluster(box.path)) as inside:
            inside.attr(label=f"<{caption(box)}>", **({"style": "rounded,dashed"} if box.repeated else {}))
            if places:
                left, bottom, right, top = places.captions[box.path]
                corners = ",".join(_number(edge) for edge in places.boxes[box.path])
                inside.attr(bb=corners, lp=_point(((left + right) / 2, (bottom + top) / 2)))
            _fill(inside, picture, box.path, places)


def _row(dot: graphviz.Digraph, picture: Picture, row: tuple[str, ...]) -> None:
    """Nodes side by side, in order: neighbours without an edge get an invisible one."""
    drawn = {(edge.source, edge.target) for edge in picture.edges}
    with dot.subgraph() as inside:
        inside.attr(rank="same")
        for left, right in zip(row, row[1:], strict=False):
            if (left, right) not in drawn:
                inside.edge(left, right, style="invis")
            else:
                inside.node(left)
                inside.node(right)


def _edge_style(edge: Edge) -> dict[str, str]:
    style = {"style": "dashed"} if edge.note or edge.form == "marriage" else {}
    head = {} if edge.form == "arrow" else {"dir": "none"}
    free = {"constraint": "false"} if edge.direction == "up" or edge.form == "marriage" else {}
    return style | head | free


def _edge_place(edge: Edge, route: Route) -> dict[str, str]:
    points = route.points if edge.form == "arrow" else (*route.points[:-1], route.tip)
    along = " ".join(_point(point) for point in points)
    note = {"xlabel": _note_label(edge), "xlp": _point(route.note)} if route.note else {}
    return {"pos": f"e,{_point(route.tip)} {along}" if edge.form == "arrow" else along, **note}


def _note_label(edge: Edge) -> str:
    return f"<{_italic(edge.note)}>"


def _point(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _style(node: Node) -> dict[str, str]:
    wide, high = size(node)
    oval = {"shape": "ellipse", "width": _inches(wide), "height": _inches(high)} if wide > CIRCLE else {}
    mark = {"style": "filled", "fillcolor": "black", "fixedsize": "shape", "width": _inches(DOT)}
    match node.kind:
        case "latent":
            return oval | ({"style": "dashed", "color": PALE, "fontcolor": PALE} if node.echo else {})
        case "observed":
            return oval | {"style": "filled,dashed" if node.echo else "filled", "fillcolor": SHADE}
        case "parameter":
            return mark
        case "fixed" | "given":
            return mark | {"shape": "square"}
        case "dots":
            return {"shape": "none"}
        case "separator":
            return {"shape": "box", "width": _inches(wide), "height": _inches(high), "fontsize": str(SMALL)}
        case _:
            assert_never(node.kind)


def _inches(points: float) -> str:
    return _number(points / INCH)


def _label(picture: Picture, node: Node) -> str:
    symbol = html(node.symbol) + (f" = {escape(node.value)}" if node.value else "")
    return _beside(symbol, below(picture, node)) if small(node) else symbol


def _beside(symbol: str, under: bool) -> str:
    """A label that is centred on a dot, with its text in the upper or the lower half."""
    text, empty = f'<TR><TD HEIGHT="{LINE}">{symbol}</TD></TR>', f'<TR><TD HEIGHT="{LINE}"></TD></TR>'
    halves = empty + text if under else text + empty
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{halves}</TABLE>'


def caption(box: Box) -> str:
    """The label of a box: its name if it has one, and where its index runs."""
    end = html(box.bound)
    title = f"{escape(box.title)} &#160;" if box.title else ""
    if not box.bound.name.isdigit():
        return f"{title}{_italic(box.index)} = 1, …, {end}"
    numbers = {1: "1", 2: "1, 2", 3: "1, 2, 3"}.get(int(box.bound.name), f"1, …, {end}")
    return f"{title}{_italic(box.index)} = {numbers}"


def html(symbol: Symbol) -> str:
    """A symbol as an HTML-like label."""
    if symbol.title:
        return escape(cut(symbol.title)) + _script("SUB", ",".join(map(_index, symbol.indices)))
    base, subscripts, superscript = split(symbol.name)
    below = ",".join([*(_word(part) for part in subscripts), *(_index(index) for index in symbol.indices)])
    return _word(base, 1) + _script("SUP", superscript) + _script("SUB", below)


def _script(tag: str, script: str) -> str:
    return f'<{tag}><FONT POINT-SIZE="{SMALL}">{script}</FONT></{tag}>' if script else ""


def _index(index: Symbol) -> str:
    minus = f"−{index.minus}" if index.minus else ""
    inside = ",".join(_index(inner) for inner in index.indices)
    return _word(index.name) + minus + (f"<SUB>{inside}</SUB>" if inside else "")


def _word(word: str, longest: int = 2) -> str:
    """Letters and initials of at most `longest` letters are italic, whole words and numbers upright."""
    sign = greek(word)
    return f"<I>{escape(sign)}</I>" if len(sign) <= longest and sign.isalpha() else escape(sign)


def _italic(words: str) -> str:
    """A short formula with its letters in italics."""
    return "".join(f"<I>{escape(sign)}</I>" if sign.isalpha() else escape(sign) for sign in words)


PRINTERS = (Printer("dot", ".dot", ("network",), text),)
