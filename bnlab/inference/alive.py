"""An E-step as it is kept: of its statements those that something reads, under names that are not the data's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bnlab.naming import fresh
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import Expr, Symbol
from bnlab.program.walk import symbols, transform

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def alive(run: Elimination, results: tuple[Expr, ...]) -> tuple[Statement | Scan | Invoke, ...]:
    """The statements that something reads."""
    read = {symbol.name for symbol in symbols(results)}
    kept = []
    for item in reversed(run.body):
        made = _made(item)
        if made and not made & read:
            continue
        kept.append(item)
        read |= {symbol.name for symbol in symbols(item)}
    return tuple(kept[::-1])


def told_apart(function: Function, data: set[str]) -> Function:
    """The function with other names for its own arrays where they are called like data: a residual `r` of a user's `r`."""
    made = {name for item in function.body for name in _made(item)}
    taken = {symbol.name for symbol in symbols(function)} | data
    names = {name: fresh(name, taken) for name in made & data}

    def renamed(part: object) -> object:
        own = isinstance(part, Symbol) and part.space == "local" and part.name in names
        return replace(part, name=names[part.name]) if own else part  # type: ignore[type-var, attr-defined]

    return transform(function, renamed) if names else function


def _made(item: Statement | Scan | Invoke) -> set[str]:
    match item:
        case Statement():
            return {item.target.name}
        case Invoke():
            return {target.name for target in item.targets}
        case _:
            return set()
