"""Normal nodes with Gaussian latents in them: covariances, means before any data, and children as functions of latents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bnlab.families.base import Node, Slope
from bnlab.inference import missing
from bnlab.inference.factor import Factor
from bnlab.inference.gaussian import (
    Pair,
    Quadratic,
    Spread,
    back,
    called,
    coefficient,
    contract,
    forward,
    pair,
    plus,
    zero_free,
)
from bnlab.inference.nodes import node as make_node
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ops import (
    Axes,
    Expr,
    Identity,
    Linear,
    Number,
    Symbol,
    Unary,
    Where,
)

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def prior_mean(run: Elimination, node: Node, plates: tuple[str, ...]) -> Expr:
    """The mean of a node with each Gaussian latent in it at its own prior mean; 0 for those of a chain."""
    value = zero_free(node.arguments["mean"])
    for slope in node.slopes:
        ref = VarRef(slope.parent, slope.lag)
        origin = run.origins.get(ref.name, Number(0.0))
        if origin != Number(0.0):
            at = run.layout.vector(ref, 3)
            term = forward(slope, node.event, _carried(run, origin, ref, plates), at)
            value = term if value == Number(0.0) else build.add(value, term)
    return value


def _carried(run: Elimination, value: Expr, ref: VarRef, plates: tuple[str, ...]) -> Expr:
    """Something of a latent, brought to the members of inner plates."""
    return run.brought(value, run.layout.graph.variable(ref.name).plates, plates)


def spread_of(node: Node, entries: Axes) -> Spread:
    """The covariance of a Normal."""
    for name in ("cov", "var", "std"):
        if name in node.arguments:
            value = node.arguments[name]
            if name == "cov" and not node.event:
                return Spread(value, ())
            return Spread(Unary("square", value) if name == "std" else value, entries)
    raise AssertionError("a Normal has a spread")


def declare_child(run: Elimination, factor: Factor, node: Node) -> None:
    """An observed child of Gaussian latents, as a function of these."""
    assert node.value is not None
    about = prior_mean(run, node, factor.plates)
    residual: Expr = node.value
    if factor.variable in run.leaves or factor in run.plan.seen:
        node, residual = _with_gaps(run, factor, node, about)
    elif about != Number(0.0):
        text = f"{factor.variable} less its prior mean"
        residual = run.statement(f"r_{factor.variable}", build.subtract(residual, about), "numerics", text)
    spread = spread_of(node, node.event)
    precision: Expr
    if isinstance(node.seen, Symbol):
        precision = run.precisions[factor.variable] = missing.precision(run, node, node.seen)
    else:
        precision = _precision(run, factor, spread)
    weighted = _weigh(precision, spread, residual, node.event)
    shift: dict[VarRef, Expr] = {}
    matrix: dict[Pair, Expr] = {}
    for place, slope in enumerate(node.slopes):
        ref = VarRef(slope.parent, slope.lag)
        at = run.layout.vector(ref, 3)
        value = back(slope, node.event, weighted, at)
        shift[ref] = plus(shift.get(ref), value)
        for other in node.slopes[place:]:
            key, value = _curvature(run, node, spread, precision, slope, other)
            matrix[key] = plus(matrix.get(key), value)
    run.quadratics[factor.name] = Quadratic(shift, matrix)
    run.residuals[factor.variable] = residual


def declare_seen(run: Elimination, factor: Factor, node: Node, mean: Expr) -> Expr:
    """A Gaussian latent of which numbers are seen: their density is a factor of its own, and the latent has the distribution
    that they leave it. Returns what it is measured from: itself, or its mean given what is seen of it.
    """
    variable, event = run.layout.graph.variable(factor.variable), node.event
    name, (piece,) = factor.variable, run.pieces(factor)
    declare_child(run, factor, make_node(run.layout, replace(variable, role="observed"), piece))
    found, residual = run.nodes[piece.label], run.residuals[name]
    seen = found.seen
    assert isinstance(seen, Symbol) and isinstance(residual, Symbol) and found.value is not None
    origin, spread, slopes = missing.conditioned(run, found, seen, mean, residual)
    kind = "cov" if len(event) > 1 and set(event) <= set(spread.axes) else "var"
    arguments = {"mean": Number(0.0), kind: spread}
    run.conditioned[name] = replace(node, arguments=arguments, slopes=slopes)
    return origin


def _with_gaps(run: Elimination, factor: Factor, node: Node, about: Expr) -> tuple[Node, Expr]:
    """A child of which numbers may be missing, and its residual: 0 where they are."""
    name, (piece,) = factor.variable, run.pieces(factor)
    whole = missing.with_gaps(node, "Normal")
    assert node.value is not None and whole.seen is not None
    seen = run.statement(f"seen{node.suffix}", whole.seen, "numerics", f"NaN: {name} is missing")
    less = "" if about == Number(0.0) else " less its prior mean"
    value = Where(seen, build.subtract(node.value, about), Number(0.0))
    residual = run.statement(f"r_{name}", value, "numerics", f"{name}{less}; 0 where it is missing")
    run.nodes[piece.label] = replace(node, seen=seen)
    return run.nodes[piece.label], residual


def _precision(run: Elimination, factor: Factor, spread: Spread) -> Expr:
    if spread.full:
        value: Expr = Linear("inverse", spread.value, spread.value.axes)
        text = f"{spread.value.name}^-1" if isinstance(spread.value, Symbol) else "precision"
        return run.statement(f"J_{factor.variable}", value, "numerics", text)
    return build.divide(Number(1.0), spread.value)


def _weigh(precision: Expr, spread: Spread, residual: Expr, event: Axes) -> Expr:
    """Sigma^-1 r."""
    if spread.full:
        row, column = event
        return contract(
            (column,), called(residual, {row: column}), called(precision, {row: column, column: row})
        )
    return contract((), precision, residual)


def _curvature(
    run: Elimination, node: Node, spread: Spread, precision: Expr, slope: Slope, other: Slope
) -> tuple[Pair, Expr]:
    """C_a' Sigma^-1 C_b, over the entries of two parents (or twice over those of one)."""
    a, b = VarRef(slope.parent, slope.lag), VarRef(other.parent, other.lag)
    rows, columns = run.layout.vector(a, 3)[:1], run.layout.vector(b, 3)[:1]
    if a == b:
        columns = run.layout.vector(b, 3)[1:2]
    row = node.event[:1]
    column = node.event[1:2] if spread.full else row
    left, right = coefficient(slope, node.event, row, rows), coefficient(other, node.event, column, columns)
    over = (() if slope.elementwise else row) + (() if other.elementwise else column)
    both = slope.elementwise and other.elementwise
    if row == column:
        over = () if slope.elementwise or other.elementwise else row
    value = contract(over, Number(float(slope.sign * other.sign)), left, precision, right)
    if both and row and not spread.full:
        return pair(a, b), contract((), called(value, {row[0]: rows[0]}), Identity((*rows, *columns)))
    names = dict(zip(row, rows, strict=True)) if slope.elementwise else {}
    names |= dict(zip(column, columns, strict=True)) if other.elementwise else {}
    return pair(a, b), called(value, names)
