"""A network as it was declared: as JSON, and as its generative story."""

from __future__ import annotations

from bnlab.network.formats import to_json
from bnlab.network.ir import Graph
from bnlab.network.text import story
from bnlab.printers.base import Printer


def _told(graph: Graph) -> str:
    return story(graph) + "\n"


PRINTERS = (Printer("json", ".json", ("network",), to_json), Printer("text", ".txt", ("network",), _told))
