"""Expressions without what only serves the machine: weights, masks, padding, shifts."""

from __future__ import annotations

from collections.abc import Mapping

from bnlab.program.ops import (
    EVENT,
    Axes,
    Binary,
    Broadcast,
    Constant,
    Einsum,
    Expr,
    InBlocks,
    Number,
    Symbol,
    Take,
    Where,
)
from bnlab.program.walk import reindexed, symbols


def bare(expr: Expr, inline: Mapping[str, Expr], zero: frozenset[str], variables: frozenset[str]) -> Expr:
    """The expression, bare at its root: `inline` arrays are what they are, those in `zero` are 0.

    `variables` are the names of the network's variables, which no weight or index has.
    """

    def inner(part: Expr) -> Expr:
        return bare(part, inline, zero, variables)

    match expr:
        case Where(Binary("==")):
            return expr
        case Where(condition, yes) if not any(symbol.name in variables for symbol in symbols(condition)):
            return inner(yes)
        case Broadcast(operand) | InBlocks(operand):
            return inner(operand)
        case Symbol(name) if name in zero:
            return Number(0.0)
        case Symbol(name, _, "chunk") if _is_weight(name, variables):
            return Number(1.0)
        case Symbol(name, axes, "local") if name in inline:
            return inner(read_along(inline[name], axes))
        case Einsum(operands) if any(is_zero(inner(operand)) for operand in operands):
            return Number(0.0)
        case Einsum((operand,), axes) if set(operand.axes) == set(axes):
            return inner(operand)
        case Take(table, ((_, Symbol(index)),)) if "_of_" in index and index not in variables:
            return inner(table)
        case Binary("+" | "-", left, right):
            if is_zero(inner(right)):
                return inner(left)
            return inner(right) if expr.op == "+" and is_zero(inner(left)) else expr
        case Binary("*", left, right):
            if is_zero(inner(left)) or is_zero(inner(right)):
                return Number(0.0)
            if inner(right) == Number(1.0):
                return inner(left)
            return inner(right) if inner(left) == Number(1.0) else expr
        case _:
            return expr


def _is_weight(name: str, variables: frozenset[str]) -> bool:
    return name not in variables and name.startswith(("weight", "mask"))


def is_zero(expr: Expr) -> bool:
    """Whether an expression is the number 0, or an array of them."""
    return expr == Number(0.0) or isinstance(expr, Constant) and not any(expr.flat)


def read_along(expr: Expr, axes: Axes) -> Expr:
    """The expression with its axes called as its reader calls them: the other way round, where a matrix was turned."""
    renamed = {a: b for a, b in zip(expr.axes, axes, strict=False) if a != b and a.kind == EVENT}
    if not renamed or set(axes) == set(expr.axes):
        return expr
    return reindexed(expr, {**{b: a for a, b in renamed.items()}, **renamed})
