"""A network as it was declared: as JSON, and as its generative story."""

from __future__ import annotations

from bnlab.network.formats import to_json
from bnlab.network.text import story
from bnlab.printers.base import Printer

PRINTERS = (Printer("json", ".json", ("network",), to_json), Printer("text", ".txt", ("network",), story))
