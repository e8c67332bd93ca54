"""Gaussian functions of latents, by their linear algebra with named axes.

A factor is proportional to exp(sum_a shift_a' y_a - 1/2 sum_ab y_a' precision_ab y_b) of the distances y_a of the latents
from their prior means: data far from 0 lose no digits, and no offset is left to carry along. Its constant is taken where the
posterior is (`at_means`). A latent's own distribution is kept by its covariance P, which may be singular, until it is
integrated out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from bnlab.families.base import Slope
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ops import (
    Axes,
    Axis,
    Binary,
    Constant,
    Einsum,
    Expr,
    Identity,
    Linear,
    Number,
    Relabel,
    Symbol,
    union,
)

Pair = tuple[VarRef, VarRef]


@dataclass(frozen=True, slots=True)
class Quadratic:
    """The log of a Gaussian function, less its constant: `shift` by latent, `precision` by pairs of latents, each pair once."""

    shift: Mapping[VarRef, Expr] = field(default_factory=dict)
    precision: Mapping[Pair, Expr] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spread:
    """A covariance: a matrix over `entries`, or the variance of each entry, or one variance for all of them."""

    value: Expr
    entries: Axes

    @property
    def full(self) -> bool:
        return len(self.entries) > 1 and set(self.entries[:2]) <= set(self.value.axes)


def pair(a: VarRef, b: VarRef) -> Pair:
    """The key of a pair of latents."""
    return (a, b) if (a.name, a.lag) <= (b.name, b.lag) else (b, a)


def called(expr: Expr, names: Mapping[Axis, Axis]) -> Expr:
    """The same array with some axes called otherwise."""
    axes = tuple(names.get(axis, axis) for axis in expr.axes)
    if axes == expr.axes:
        return expr
    if isinstance(expr, Symbol):
        return Symbol(expr.name, axes, expr.space)
    if isinstance(expr, Einsum) and not set(names.values()) & {
        a for part in expr.operands for a in part.axes
    }:
        return Einsum(tuple(called(part, names) for part in expr.operands), axes)
    if isinstance(expr, Relabel):
        return called(expr.operand, dict(zip(expr.operand.axes, axes, strict=True)))
    return Relabel(expr, axes)


def contract(over: Axes, *operands: Expr) -> Expr:
    """The product of the operands, summed over some axes; factors that are 1 fall away, numbers stand in front."""
    numbers = [operand.value for operand in operands if isinstance(operand, Number)]
    factors = [operand for operand in operands if not isinstance(operand, Number)]
    scale = prod(numbers)
    if not factors or scale == 0:
        return Number(scale)
    if any(axis in factor.axes for factor in factors for axis in over):
        value: Expr = build.einsum(build.minus(union(*factors), over), *factors)
    else:
        value = build.multiply(*factors)
    return value if scale == 1 else Binary("*", Number(scale), value)


def is_identity(spread: Spread) -> bool:
    """Whether a covariance is known to be the identity matrix."""
    return isinstance(spread.value, Constant) and spread.full and spread.value.is_identity


def matrix_times(matrix: Expr, right: Expr, entries: Axes) -> Expr:
    """A B over the entries of a latent: `right` is a vector, or a matrix whose rows they are."""
    row, column, inner = entries
    return contract((inner,), called(matrix, {column: inner}), called(right, {row: inner}))


def turned_times(matrix: Expr, right: Expr, entries: Axes) -> Expr:
    """A' B over the entries of a latent."""
    row, column, inner = entries
    return contract((inner,), called(matrix, {row: inner, column: row}), called(right, {row: inner}))


def spread_times(spread: Spread, right: Expr) -> Expr:
    """P B for a covariance P."""
    if is_identity(spread):
        return right
    if spread.full:
        return matrix_times(spread.value, right, spread.entries)
    return contract((), spread.value, right)


def times_spread(matrix: Expr, spread: Spread) -> Expr:
    """A P for a covariance P."""
    if is_identity(spread):
        return matrix
    if spread.full:
        return matrix_times(matrix, spread.value, spread.entries)
    value = called(spread.value, {spread.entries[0]: spread.entries[1]}) if spread.entries else spread.value
    return contract((), matrix, value)


def forward(slope: Slope, child: Axes, right: Expr, at: Axes) -> Expr:
    """C B: from the entries `at` of the parent in `right` to those of the child."""
    if slope.elementwise:
        value = called(right, dict(zip(at[:1], child[:1], strict=True)))
        return _signed(slope, value if slope.coefficient is None else contract((), slope.coefficient, value))
    assert slope.coefficient is not None
    coefficient = called(slope.coefficient, dict(zip(slope.entries, at[:1], strict=True)))
    return _signed(slope, contract(at[:1], coefficient, right))


def back(slope: Slope, child: Axes, right: Expr, at: Axes) -> Expr:
    """C' B: from the entries of the child in `right` to the entries `at` of the parent."""
    if slope.elementwise:
        value = right if slope.coefficient is None else contract((), slope.coefficient, right)
        return _signed(slope, called(value, dict(zip(child[:1], at[:1], strict=True))))
    assert slope.coefficient is not None
    coefficient = called(slope.coefficient, dict(zip(slope.entries, at[:1], strict=True)))
    return _signed(slope, contract(child[:1], coefficient, right))


def _signed(slope: Slope, expr: Expr) -> Expr:
    return expr if slope.sign > 0 else contract((), Number(-1.0), expr)


def plus(old: Expr | None, new: Expr) -> Expr:
    """A sum that begins with its first term."""
    return new if old is None else build.add(old, new)


def zero_free(expr: Expr) -> Expr:
    """An array of zeros as the number 0."""
    return Number(0.0) if isinstance(expr, Constant) and not any(expr.flat) else expr


def coefficient(slope: Slope, event: Axes, child: Axes, parent: Axes) -> Expr:
    """The coefficient of a slope over the entries `child` and `parent`; 1 where there is none."""
    if slope.coefficient is None:
        return Number(1.0)
    names = dict(zip(event[:1], child, strict=True))
    if not slope.elementwise:
        names |= dict(zip(slope.entries[:1], parent, strict=True))
    return called(slope.coefficient, names)


def other_side(matrix: Expr, slope: Slope, entries: Axes, ends: Axes) -> Expr:
    """A C, for A over the rows and columns of the child's entries, and the parent's entries `ends`."""
    column = entries[1:2]
    value = coefficient(slope, entries, column, ends)
    if slope.elementwise:
        scaled = contract((), Number(float(slope.sign)), matrix, value)
        return called(scaled, dict(zip(column, ends, strict=True)))
    return contract(column, Number(float(slope.sign)), matrix, value)


def coefficient_matrix(slope: Slope, entries: Axes, at: Axes) -> Expr:
    """C as a matrix from the parent's entries to the child's."""
    value = coefficient(slope, entries, entries[:1], at[:1])
    if not slope.elementwise or not entries:
        return contract((), Number(float(slope.sign)), value)
    return contract((), Number(float(slope.sign)), value, Identity((entries[0], at[0])))


def multiplied_matrix(left: Expr, right: Expr, entries: Axes) -> Expr:
    return matrix_times(left, right, entries) if entries else contract((), left, right)


def turned(left: Expr, right: Expr, entries: Axes) -> Expr:
    return turned_times(left, right, entries) if entries else contract((), left, right)


def unit(entries: Axes) -> Expr:
    return Identity(entries[:2]) if entries else Number(1.0)


def inverse(expr: Expr, entries: Axes) -> Expr:
    return Linear("inverse", expr, expr.axes) if entries else build.divide(Number(1.0), expr)


def log_det(expr: Expr, entries: Axes) -> Expr:
    return Linear("log_det", expr, build.minus(expr.axes, entries)) if entries else build.log(expr)
