"""Pictures of networks: laid out by Graphviz, shown in notebooks, written to files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

from bnlab.atomic import write_bytes
from bnlab.errors import BnlabError, Fault
from bnlab.naming import did_you_mean
from bnlab.network.cliques import Clique
from bnlab.network.ir import Graph
from bnlab.printers.cliques import cliques
from bnlab.printers.dot import VIEWS, placed, source
from bnlab.printers.grid import grid
from bnlab.printers.layout import Layout, faults, layout, measured
from bnlab.printers.mirror import improved
from bnlab.printers.picture import Picture
from bnlab.printers.tikz import tikz
from bnlab.render import render

NO_TITLES: Mapping[str, str] = MappingProxyType({})
SUFFIXES = (".svg", ".png", ".pdf", ".dot", ".tex")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture. Notebooks show it, `save` writes it; `picture` is what is drawn, as plain data."""

    picture: Picture

    @property
    def dot(self) -> str:
        """The text for Graphviz's `dot`, which leaves all places to it."""
        return source(self.picture)

    @property
    def svg(self) -> str:
        return self.rendered("svg").decode()

    @property
    def tex(self) -> str:
        """A LaTeX document of its own with the picture in TikZ."""
        return tikz(self.picture, places(self.picture))

    def rendered(self, format: str) -> bytes:
        """The picture as "svg", "png" or "pdf"."""
        return render(placed(self.picture, places(self.picture)), format, engine="nop2")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture in the format of the suffix, whole or not at all. Raises BnlabError on any other suffix."""
        target = Path(path)
        match target.suffix.lower():
            case ".dot":
                write_bytes(target, self.dot.encode())
            case ".tex":
                write_bytes(target, self.tex.encode())
            case ".svg" | ".png" | ".pdf" as suffix:
                write_bytes(target, self.rendered(suffix[1:]))
            case suffix:
                raise BnlabError(
                    Fault(
                        f"A picture cannot be written as {ascii(suffix) if suffix else 'a file without a suffix'}.",
                        f"The suffixes are {', '.join(SUFFIXES)}.",
                    )
                )

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<picture of {self.picture.name}>"

    def __str__(self) -> str:
        return self.svg


def draw(
    graph: Graph,
    path: str | os.PathLike[str] | None = None,
    view: str = "plates",
    titles: Mapping[str, str] = NO_TITLES,
    tree: tuple[Clique, ...] = (),
    highlight: Collection[str] = (),
) -> Drawing:
    """The picture of a network, also written to `path` in the format of its suffix; `titles` are shown for names.

    The view "cliques" is of the junction tree `tree`. What is called as in `highlight` stands out.

    Raises BnlabError for a view or a suffix that there is not, and where Graphviz is needed but missing.
    """
    views = (*VIEWS, "cliques")
    if view not in views:
        reason = f"There is no view {ascii(view)}.{did_you_mean(view, views)}"
        raise BnlabError(Fault(reason, f"Views are {', '.join(views)}."))
    picture = cliques(graph, tree, titles) if view == "cliques" else _titled(VIEWS[view](graph), titles)
    marked = (replace(node, marked=node.symbol.name in highlight) for node in picture.nodes)
    drawing = Drawing(replace(picture, nodes=tuple(marked)))
    if path is not None:
        drawing.save(path)
    return drawing


def _titled(picture: Picture, titles: Mapping[str, str]) -> Picture:
    nodes = (
        replace(node, symbol=replace(node.symbol, title=titles.get(node.symbol.name, "")))
        for node in picture.nodes
    )
    return replace(picture, nodes=tuple(nodes))


@cache
def places(picture: Picture) -> Layout:
    """A grid for a rolled-out picture; else the best layout that Graphviz makes when it is told in different ways."""
    if all(node.cell for node in picture.nodes):
        loose = replace(picture, edges=(), rows=())  # only to know how large the texts are
        return grid(picture, measured(picture, render(source(loose), "json").decode()))
    layouts = [layout(picture, render(told, "json").decode()) for told in _tellings(picture)]
    return improved(picture, min(layouts, key=faults))


def _tellings(picture: Picture) -> Iterator[str]:
    """Graphviz breaks ties by the order of what it reads; room for notes spreads the rows."""
    turned = replace(picture, nodes=picture.nodes[::-1], boxes=picture.boxes[::-1])
    yield source(picture)
    yield source(turned)
    if any(edge.note for edge in picture.edges):
        yield source(picture, room_for_notes=True)
        yield source(turned, room_for_notes=True)
