"""What every printer says about itself: from an intermediate form to the text of one kind of file.

A printer is one module of this package with a module-level `PRINTER`. `registry()` finds them all, so that a new printer
is a new file and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal


@dataclass(frozen=True, slots=True)
class Printer:
    """One kind of text that bnlab writes.

    `name` is what the user asks for, `suffix` ends the file's name (`_em.py`, `.dot`). `reads` tells what `text` takes: the
    Graph ("network") or the Program ("program"); its options are keywords. The same input gives the same text.
    """

    name: str
    suffix: str
    reads: Literal["network", "program"]
    text: Callable[..., str]


@cache
def registry() -> dict[str, Printer]:
    """All printers by name, from every module of this package that defines `PRINTER`."""
    package = importlib.import_module("bnlab.printers")
    modules = (
        importlib.import_module(f"bnlab.printers.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    )
    printers = (module.PRINTER for module in modules if "PRINTER" in vars(module))
    return {printer.name: printer for printer in printers}
