"""What every printer says about itself: what it needs, and the text it makes of that.

A printer is a module of this package with a module-level `PRINTERS`, a tuple of them. `registry()` finds them all, so that a
new printer is a new file and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

Need = Literal[
    "network",
    "em",
    "complete",
    "gaps",
    "viterbi",
    "vbem",
    "marginals",
    "best",
    "elimination",
    "notes",
    "header",
    "picture",
    "places",
]
"""What the driver can hand over: the Graph; the Program of EM, and that on complete data with the names of the variables of
which numbers may be missing; the Programs of hard EM, of variational EM, of posterior marginals and of the most probable
values; the source that eliminates the latents (None where that cannot be derived);
sentences on missing values and evidence; a line on where the text comes from; the
picture in plates, and the places of all that is in it."""


@dataclass(frozen=True, slots=True)
class Printer:
    """One kind of text that bnlab writes.

    `name` is what the user asks for, `suffix` ends the file's name (`_em.py`, `.dot`). `text` takes what `needs` lists, in that
    order. The same input gives the same text. Only printers with `partial` take account of missing values and of evidence.
    """

    name: str
    suffix: str
    needs: tuple[Need, ...]
    text: Callable[..., str]
    partial: bool = False


def printer(name: str) -> Printer | None:
    """The printer called `name`, if there is one. Modules that are imported already are asked first: to write one kind of
    text, the others are not needed."""
    known = sorted(_modules(), key=lambda module: module not in sys.modules)
    found = (one for module in known for one in _printers(module) if one.name == name)
    return next(found, None)


@cache
def registry() -> dict[str, Printer]:
    """All printers by name."""
    return {one.name: one for module in _modules() for one in _printers(module)}


def _modules() -> list[str]:
    package = importlib.import_module("bnlab.printers")
    return [f"bnlab.printers.{info.name}" for info in pkgutil.iter_modules(package.__path__)]


def _printers(module: str) -> tuple[Printer, ...]:
    found: tuple[Printer, ...] = vars(importlib.import_module(module)).get("PRINTERS", ())
    return found
