"""Short words for writing algebra in a Program."""

from __future__ import annotations

from bnlab.program.ops import (
    Axes,
    Binary,
    Constant,
    Einsum,
    Expr,
    Keep,
    Number,
    Reduce,
    Symbol,
    Unary,
)


def add(*terms: Expr) -> Expr:
    """The sum of the terms; 0 without any."""
    if not terms:
        return Number(0.0)
    total = terms[0]
    for term in terms[1:]:
        total = Binary("+", total, term)
    return total


def subtract(left: Expr, right: Expr) -> Expr:
    return left if right == Number(0.0) else Binary("-", left, right)


def multiply(*factors: Expr) -> Expr:
    product = factors[0]
    for factor in factors[1:]:
        product = Binary("*", product, factor)
    return product


def divide(left: Expr, right: Expr) -> Expr:
    return Binary("/", left, right)


def log(operand: Expr) -> Expr:
    return Unary("log", operand)


def exp(operand: Expr) -> Expr:
    return Unary("exp", operand)


def sqrt(operand: Expr) -> Expr:
    return Unary("sqrt", operand)


def square(operand: Expr) -> Expr:
    return Unary("square", operand)


def held(operand: Expr) -> Expr:
    """The operand, on which the result does not depend: no gradient flows through it."""
    return Unary("held", operand)


def einsum(axes: Axes, *operands: Expr) -> Expr:
    """The sum of the product of the operands over all other axes; a lone operand with just these axes is
    itself.
    """
    if len(operands) == 1 and operands[0].axes == axes:
        return operands[0]
    return Einsum(operands, axes)


def total(operand: Expr, over: Axes) -> Expr:
    return Reduce("sum", operand, over) if over else operand


def mean(operand: Expr, over: Axes) -> Expr:
    return Reduce("mean", operand, over) if over else operand


def keep(amount: Expr, count: Expr, old: Expr) -> Expr:
    """amount / count, or the old value where nothing was counted."""
    return Keep(amount, count, old)


def minus(left: Axes, right: Axes) -> Axes:
    """The axes of `left` that `right` lacks."""
    return tuple(axis for axis in left if axis not in right)


def constant(flat: tuple[float, ...], shape: tuple[int, ...], axes: Axes) -> Expr:
    """A constant array; a scalar is a number."""
    return Constant(flat, shape, axes) if shape else Number(flat[0])


def local(name: str, axes: Axes) -> Symbol:
    return Symbol(name, axes)


def arranged(expr: Expr, axes: Axes) -> Expr:
    """The same array with its axes in the given order."""
    return expr if expr.axes == axes else Einsum((expr,), axes)
