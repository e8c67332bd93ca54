"""TikZ: the picture of a network as a LaTeX document of its own, in the manner of the TikZ library bayesnet.

The few styles it needs are in the document. Places come from a layout, since TikZ has none of its own.
"""

from __future__ import annotations

import re
from typing import assert_never

from bnlab.notation import SPECIAL, tex
from bnlab.printers.base import Printer
from bnlab.printers.geometry import Point
from bnlab.printers.layout import Layout
from bnlab.printers.picture import Box, Edge, Node, Picture, Symbol
from bnlab.printers.shapes import CIRCLE, DOT, below, cut, size

SCALE = 0.028
"""Centimetres a point: such circles suit a font of ten points."""

DOCUMENT = r"""\documentclass[tikz, border=4pt]{standalone}
\usepackage[T1]{fontenc}
\usetikzlibrary{arrows.meta, shapes.geometric}
% The styles of the TikZ library bayesnet that are needed here, and some like them.
\tikzset{
  latent/.style = {circle, draw, fill=white, minimum size=CIRCLEcm, inner sep=0pt},
  obs/.style = {latent, fill=gray!30},
  param/.style = {circle, fill, minimum size=DOTcm, inner sep=0pt},
  known/.style = {rectangle, fill, minimum size=DOTcm, inner sep=0pt},
  echo/.style = {dashed, draw=black!60, text=black!60},
  plate/.style = {draw, rounded corners=6pt},
  every edge/.style = {draw, -{Latex[length=1.6mm]}},
}
\newcommand{\edge}[3][]{\path (#2) edge[#1] (#3);}
\newcommand{\plate}[4][]{% options, bottom left, top right, caption
  \draw[plate, #1] (#2) rectangle (#3);
  \node[anchor=south east, inner sep=3pt, font=\footnotesize] at (#3 |- #2) {#4};}
\begin{document}
\begin{tikzpicture}
BODY
\end{tikzpicture}
\end{document}
"""


def tikz(picture: Picture, places: Layout) -> str:
    """The document. Names are plain identifiers by contract, and nothing else of the user's is in it."""
    lines = [_plate(box, places) for box in picture.boxes]
    lines += [_node(picture, node, places.nodes[node.id]) for node in picture.nodes]
    lines += [line for edge in picture.edges for line in _edge(edge, places)]
    lines += _notes(picture, places)
    text = DOCUMENT.replace("CIRCLE", _length(CIRCLE)).replace("DOT", _length(DOT))
    return text.replace("BODY", "\n".join(f"  {line}" for line in lines))


def _plate(box: Box, places: Layout) -> str:
    left, bottom, right, top = places.boxes[box.path]
    style = "[dashed]" if box.repeated else ""
    return rf"\plate{style}{{{_point((left, bottom))}}}{{{_point((right, top))}}}{{{_caption(box)}}}"


def _caption(box: Box) -> str:
    last = _symbol(box.bound)
    title = rf"{_words(box.title)}\enspace " if box.title else ""
    numbers = {"1": "1", "2": "1, 2", "3": "1, 2, 3"}.get(last, rf"1, \dots, {last}")
    return f"{title}${box.index} = {numbers}$"


def _node(picture: Picture, node: Node, place: Point) -> str:
    symbol = f"${_symbol(node.symbol)}{f' = {node.value}' if node.value else ''}$"
    side = "below" if below(picture, node) else "above"
    match node.kind:
        case "latent" | "observed":
            wide = size(node)[0]
            oval = f", ellipse, minimum width={_length(wide)}cm" if wide > CIRCLE else ""
            style = ("latent" if node.kind == "latent" else "obs") + oval + (", echo" if node.echo else "")
            inside = symbol
        case "parameter":
            style, inside = f"param, label={side}:{{{symbol}}}", ""
        case "fixed" | "given":
            style, inside = f"known, label={side}:{{{symbol}}}", ""
        case "dots":
            style, inside = "inner sep=4pt", r"$\cdots$"
        case "separator":
            width, height = (_length(each) for each in size(node))
            style, inside = (
                f"draw, minimum width={width}cm, minimum height={height}cm, font=\\scriptsize",
                symbol,
            )
        case _:
            assert_never(node.kind)
    style += ", draw=red!75!black, very thick" if node.marked else ""
    return rf"\node[{style}] ({_name(node.id)}) at ({_point(place)}) {{{inside}}};"


def _edge(edge: Edge, places: Layout) -> list[str]:
    route = places.routes[edge.source, edge.target]
    dashes = ["dashed"] if edge.note or edge.form == "marriage" else []
    style = ", ".join([*([] if edge.form == "arrow" else ["-"]), *dashes])
    lines = []
    if route.straight:
        option = f"[{style}]" if style else ""
        lines.append(rf"\edge{option}{{{_name(edge.source)}}}{{{_name(edge.target)}}}")
    else:
        rest = [f"({_point(point)})" for point in (*route.points[1:-1], route.tip)]
        pieces = [
            f".. controls {a} and {b} .. {c}"
            for a, b, c in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        ]
        start = f"({_point(route.points[0])})"
        lines.append(rf"\draw[every edge{', ' + style if style else ''}] {start} {' '.join(pieces)};")
    if route.note:
        lines.append(rf"\node[font=\scriptsize] at ({_point(route.note)}) {{${edge.note}$}};")
    return lines


def _notes(picture: Picture, places: Layout) -> list[str]:
    text = r" \\ ".join(_words(note) for note in picture.notes)
    middle = _point((places.size[0] / 2, 0))
    return [rf"\node[font=\footnotesize, align=center] at ({middle}) {{{text}}};"] if text else []


def _symbol(symbol: Symbol) -> str:
    if symbol.title:
        below = ",".join(_index(index) for index in symbol.indices)
        return rf"\mbox{{{_plain(cut(symbol.title))}}}" + (f"_{{{below}}}" if below else "")
    return tex(symbol.name, (_index(index) for index in symbol.indices))


def _index(index: Symbol) -> str:
    return _symbol(index) + (f"-{index.minus}" if index.minus else "")


def _words(text: str) -> str:
    return text.replace("_", r"\_")


def _plain(text: str) -> str:
    """Any text as TeX that only shows it."""
    return "".join(SPECIAL.get(sign, f"\\{sign}" if sign in "#$%&_{}" else sign) for sign in text)


def _name(identity: str) -> str:
    """A name for TikZ, which has a meaning for brackets, commas and dots."""
    return re.sub(r"[\[\],]+", " ", identity.replace("[-", " back ").replace("…", "dots")).strip()


def _point(point: Point) -> str:
    return f"{_length(point[0])}, {_length(point[1])}"


def _length(points: float) -> str:
    return f"{points * SCALE:.2f}"


PRINTERS = (Printer("tikz", ".tex", ("picture", "places"), tikz),)
