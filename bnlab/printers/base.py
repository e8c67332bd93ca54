"""What every printer says about itself: what it needs, and the text it makes of that.

A printer is a module of this package with a module-level `PRINTERS`, a tuple of them. `registry()` finds them all, so that a
new printer is a new file and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

Need = Literal[
    "network", "em", "viterbi", "marginals", "best", "elimination", "notes", "header", "picture", "places"
]
"""What the driver can hand over: the Graph; the Programs of EM, of hard EM, of posterior marginals and of the most probable
values; the source that eliminates the latents (None where that cannot be derived); sentences on
missing values and evidence; a line on where the text comes from; the
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


@cache
def registry() -> dict[str, Printer]:
    """All printers by name."""
    package = importlib.import_module("bnlab.printers")
    modules = (
        importlib.import_module(f"bnlab.printers.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    )
    found = [printer for module in modules for printer in vars(module).get("PRINTERS", ())]
    return {printer.name: printer for printer in found}
