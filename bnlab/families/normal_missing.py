"""A Normal of which numbers may be missing: the density of those that are seen.

The entries of a vector that are seen are Normal with the same means and covariances. With 1 on the diagonal and 0 beside it
for all others, and 0 for their residuals, the whole covariance has the determinant and the quadratic form of what is seen:
every row may lack other entries, in one program.
"""

from __future__ import annotations

from bnlab.families.base import Density, Node
from bnlab.families.normal_density import TWO_PI, multiply_like, variance
from bnlab.families.normal_update import turned
from bnlab.program.build import add, divide, einsum, local, log, minus, multiply, square, subtract, total
from bnlab.program.ir import Statement
from bnlab.program.ops import Axes, Binary, Expr, Identity, Linear, Number, Symbol, Where, union


def density_of_seen(node: Node) -> Density:
    """The log density of what is seen, the rest integrated out."""
    assert node.seen is not None
    named = isinstance(node.seen, Symbol)
    seen = node.seen if isinstance(node.seen, Symbol) else local("seen", node.seen.axes)
    body = () if named else (Statement(seen, node.seen, "numerics"),)
    if "cov" not in node.arguments or not node.event:
        found = _diagonal(node, seen)
        return Density(found.log, None, (*body, *found.body))
    more, log_det, energy = whitened(node, seen)
    constant = multiply(total(seen, node.event[:1]), log(TWO_PI))
    return Density(multiply(Number(-0.5), add(constant, log_det, energy)), None, (*body, *more))


def residual(node: Node, seen: Symbol, about: Expr) -> Expr:
    """The data less something, 0 where they are missing (a node may have that as its value). No NaN is squared, so that none
    gets into a gradient."""
    assert node.value is not None
    return (
        node.value if node.residual == node.value else Where(seen, subtract(node.value, about), Number(0.0))
    )


def both(seen: Symbol, event: Axes) -> Expr:
    """Which pairs of entries are seen."""
    return Binary("*", seen, turned(seen, event))


def among_seen(cov: Expr, pairs: Expr, event: Axes) -> Expr:
    """A covariance among the entries seen, 1 for each other one by itself."""
    return Where(pairs, cov, Identity(event))


def _residual(node: Node, seen: Symbol) -> tuple[tuple[Statement, ...], Expr]:
    """The residual, as a statement where it is none yet."""
    value = residual(node, seen, node.arguments["mean"])
    left = local("r", value.axes)
    return ((), value) if value == node.value else ((Statement(left, value, "numerics"),), left)


def whitened(node: Node, seen: Symbol) -> tuple[tuple[Statement, ...], Expr, Expr]:
    """With L L' = cov among the entries seen: what makes them, ln |cov|, and |L^-1 (x - mean)|^2."""
    cov, (row, column) = node.arguments["cov"], node.event
    pairs = local("both", both(seen, node.event).axes)
    known = among_seen(cov, pairs, node.event)
    axes = (*minus(known.axes, node.event), *node.event)
    lower, whiten, (named, left) = local("L", axes), local("whiten", axes), _residual(node, seen)
    plates = minus(union(left, lower), node.event)
    y, log_det = local("y", (*plates, column)), local("log_det", minus(axes, node.event))
    turned = Symbol(whiten.name, (*minus(axes, node.event), column, row))
    body = (
        Statement(pairs, both(seen, node.event), "numerics"),
        Statement(
            lower, Linear("cholesky", known, axes), "numerics", "of cov among what is seen, 1 elsewhere"
        ),
        Statement(whiten, Linear("inverse_lower", lower, axes), "numerics"),
        *named,
        Statement(y, einsum(y.axes, left, turned), "numerics", "L^-1 (x - mean)"),
        Statement(
            log_det, multiply(Number(2.0), Linear("log_diagonal_sum", lower, log_det.axes)), "numerics"
        ),
    )
    return body, log_det, total(multiply_like(y), (column,))


def apart(node: Node, seen: Symbol) -> tuple[tuple[Statement, ...], Expr, Expr]:
    """The same of entries that are independent: sums of ln var and of (x - mean)^2 / var over those that are seen."""
    entries, (body, left) = node.event[:1], _residual(node, seen)
    var = variance(node.arguments)
    terms = (log(var), divide(square(left), var))
    log_det, energy = (total(Where(seen, term, Number(0.0)), entries) for term in terms)
    return body, log_det, energy


def _diagonal(node: Node, seen: Symbol) -> Density:
    """-(sum ln 2 pi var + (x - mean)^2 / var) / 2 over the entries seen."""
    entries = node.event[:1]
    var, (body, left) = variance(node.arguments), _residual(node, seen)
    terms = add(log(multiply(TWO_PI, var)), divide(square(left), var))
    return Density(multiply(Number(-0.5), total(Where(seen, terms, Number(0.0)), entries)), None, body)
