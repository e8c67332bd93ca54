"""The statements of an E-step that something reads: what only others were made of is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnlab.program.ir import Invoke, Scan, Statement
from bnlab.program.ops import Expr
from bnlab.program.walk import symbols

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def alive(run: Elimination, results: tuple[Expr, ...]) -> tuple[Statement | Scan | Invoke, ...]:
    """The statements that something reads."""
    read = {symbol.name for symbol in symbols(results)}
    kept = []
    for item in reversed(run.body):
        made = {item.target.name} if isinstance(item, Statement) else set()
        made |= {target.name for target in item.targets} if isinstance(item, Invoke) else set()
        if made and not made & read:
            continue
        kept.append(item)
        read |= {symbol.name for symbol in symbols(item)}
    return tuple(kept[::-1])
