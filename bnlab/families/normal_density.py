"""The log density of a Normal, in the formulation that is fastest for its shapes among those that lose no digits.

Small cases are written as one would on a board: residuals, then a sum of squares. Large ones are one matrix product. Never are
triangular systems solved row by row: inverting the Cholesky factor once is several times faster.
"""

from __future__ import annotations

from collections.abc import Mapping

from bnlab.families.base import Density, Node
from bnlab.families.normal_update import origin, turned
from bnlab.program.build import (
    add,
    divide,
    einsum,
    held,
    local,
    log,
    minus,
    multiply,
    square,
    subtract,
    total,
)
from bnlab.program.ir import Statement
from bnlab.program.ops import EVENT, STATE, Axes, Axis, Binary, Constant, Expr, Linear, Number, Symbol

WIDE = 4
"""From this many entries of a vector on, products with the rows of data last are faster."""

MANY = 64
"""From this many means (states times entries) on, one matrix product beats broadcasting."""

TWO_PI = multiply(Number(2.0), Symbol("pi", (), "constant"))


def variance(arguments: Mapping[str, Expr]) -> Expr:
    """The variance of a scalar, diagonal or spherical Normal."""
    return square(arguments["std"]) if "std" in arguments else arguments["var"]


def _fixed_cells(expr: Expr) -> bool:
    """Whether a parameter is read whole: by states alone, the same for every row of data."""
    return isinstance(expr, Constant) or isinstance(expr, Symbol) and expr.space == "theta"


def full(node: Node) -> Density:
    """With L L' = cov: -(D ln 2 pi + ln |cov| + |L^-1 (x - mean)|^2) / 2."""
    cov, mean = node.arguments["cov"], node.arguments["mean"]
    row, column = node.event
    plates = minus(cov.axes, node.event)
    whole = _fixed_cells(cov) and _fixed_cells(mean) and all(axis.kind == STATE for axis in plates)
    wide = (row.size or 1) >= WIDE and whole and set(minus(mean.axes, node.event)) <= set(plates)
    if wide and node.gradients:
        return _multiplied_out(node, plates)
    *factors, determinant = _factored(cov, plates)
    whiten, log_det = factors[-1].target, determinant.target
    whitened = _rows_last(node, whiten, plates) if wide else _rows_first(node, whiten, plates)
    y, body = whitened[-1].target, (*factors, *whitened, determinant)
    constant = multiply(Number(float(row.size or 1)), log(TWO_PI))
    return Density(
        multiply(Number(-0.5), add(constant, log_det, total(multiply_like(y), (column,)))), None, body
    )


def _factored(cov: Expr, plates: Axes) -> tuple[Statement, Statement, Statement]:
    """The Cholesky factor L of a covariance, L^-1, and ln |cov|."""
    lower, whiten, log_det = local("L", cov.axes), local("whiten", cov.axes), local("log_det", plates)
    return (
        Statement(lower, Linear("cholesky", cov, cov.axes), "numerics"),
        Statement(whiten, Linear("inverse_lower", lower, cov.axes), "numerics"),
        Statement(log_det, multiply(Number(2.0), Linear("log_diagonal_sum", lower, plates)), "numerics"),
    )


def of_products(node: Node, N: Symbol, S: Symbol) -> Density:
    """-(N (D ln 2 pi + ln |cov|) + tr(cov^-1 S)) / 2: of N rows, where S is the sum of products of what the mean leaves."""
    row, column = node.event
    body = _factored(node.arguments["cov"], ())
    _, whiten, log_det = (statement.target for statement in body)
    constant = multiply(Number(float(row.size or 1)), log(TWO_PI))
    inner = Axis(EVENT, row.position, f"{row.name} of L^-1", "k", row.size)
    left, right = (Symbol(whiten.name, (inner, entry)) for entry in (row, column))
    trace = einsum((), left, S, right)
    return Density(multiply(Number(-0.5), add(multiply(N, add(constant, log_det)), trace)), None, body)


def _multiplied_out(node: Node, plates: Axes) -> Density:
    """r' P r - 2 r' P m + m' P m for P = cov^-1, r = x - o and m = mean - o: nothing larger than the densities is kept.

    A state 10^k of its own deviations away from o loses 2 k of the 16 digits of its squared distances: nothing to a sampler
    or an optimiser that follows the gradient, and too much for an E-step that may find such states.
    """
    cov, row = node.arguments["cov"], node.event[0]
    first, centred, offset = _about(_value(node), node.arguments["mean"], origin(node))
    r, m = local("r", centred.axes), local("m", offset.axes)
    precision, log_det = local("precision", cov.axes), local("log_det", plates)
    cholesky = Linear("cholesky", cov, cov.axes)
    body = (
        Statement(precision, Linear("inverse", cov, cov.axes), "numerics"),
        Statement(log_det, multiply(Number(2.0), Linear("log_diagonal_sum", cholesky, plates)), "numerics"),
        *first,
        Statement(r, centred, "numerics"),
        Statement(m, offset, "numerics"),
    )
    twins = (turned(r, node.event), turned(m, node.event))
    apart = einsum((*minus(r.axes, (row,)), *plates), subtract(r, m), subtract(*twins), precision)
    constant = multiply(Number(float(row.size or 1)), log(TWO_PI))
    return Density(multiply(Number(-0.5), add(constant, log_det, apart)), None, body)


def multiply_like(y: Symbol) -> Expr:
    """y squared, laid out as y is."""
    return Binary("*", y, y, y.axes)


def _rows_first(node: Node, whiten: Symbol, plates: Axes) -> tuple[Statement, ...]:
    row, column = node.event
    residual = subtract(_value(node), node.arguments["mean"])
    axes = (*minus(tuple(sorted({*residual.axes, *plates})), (row,)), column)
    turned = Symbol(whiten.name, (*plates, column, row))
    return (Statement(local("y", axes), einsum(axes, residual, turned), "numerics", "L^-1 (x - mean)"),)


def _rows_last(node: Node, whiten: Symbol, plates: Axes) -> tuple[Statement, ...]:
    """L^-1 (x - o) - L^-1 (mean - o), as one product whose longest axis is the last."""
    row, column = node.event
    value, mean, about = _value(node), node.arguments["mean"], origin(node)
    turned = Symbol(whiten.name, (*plates, column, row))
    members = minus(value.axes, (row,))
    axes = (*plates, column, *members)
    body, centred, offset = _about(value, mean, about)
    shift = local("y_mean", (*plates, column))
    text = f"L^-1 (x - mean), with the rows last: fastest from D = {WIDE} on"
    difference = Binary("-", einsum(axes, turned, centred), shift, axes)
    return (
        *body,
        Statement(shift, einsum(shift.axes, turned, offset), "numerics"),
        Statement(local("y", axes), difference, "numerics", text),
    )


def _about(value: Expr, mean: Expr, about: Expr | None) -> tuple[tuple[Statement, ...], Expr, Expr]:
    """The origin as a local, and value and mean about it. The density is the same about any point: without a gradient
    through this one, that of the whole takes less than half the time."""
    if about is None:
        return (), value, mean
    o = local("o", about.axes)
    body = (Statement(o, held(about), "numerics", "near the data; no gradient: any point would do"),)
    return body, subtract(value, o), subtract(mean, o)


def _value(node: Node) -> Expr:
    assert node.value is not None
    return node.value


def diagonal(node: Node) -> Density:
    """-(sum ln 2 pi var + sum (x - mean)^2 / var) / 2, over the entries of the vector."""
    entries = node.event[:1]
    var, mean = variance(node.arguments), node.arguments["mean"]
    log_var = log(multiply(TWO_PI, var))
    own = set(entries) <= set(var.axes)  # a variance for each entry, else one for all
    log_det = total(log_var, entries) if own else multiply(Number(float(entries[0].size or 1)), log_var)
    spread = next(node.arguments[name] for name in ("var", "std") if name in node.arguments)
    cells = 1
    for axis in mean.axes:
        cells *= axis.size or 1
    states = all(axis.kind == STATE for axis in (*minus(mean.axes, entries), *minus(var.axes, entries)))
    if entries and cells >= MANY and states and _fixed_cells(mean) and _fixed_cells(spread):
        return _products(node, var, log_det)
    residual = subtract(_value(node), mean)
    return Density(multiply(Number(-0.5), add(log_det, total(divide(square(residual), var), entries))))


def _products(node: Node, var: Expr, log_det: Expr) -> Density:
    """r^2 / var - 2 r m / var + m^2 / var for r = x - o and m = mean - o: two matrix products."""
    entries = node.event[:1]
    value, mean, about = _value(node), node.arguments["mean"], origin(node)
    r = local("r", value.axes)
    m = local("m", mean.axes)
    precision, weighted = local("precision", tuple(sorted(var.axes))), divide(m, var)
    scaled = local("m_precision", weighted.axes)
    cells = tuple(sorted({*minus(mean.axes, entries), *minus(var.axes, entries)}))
    rows = minus(value.axes, entries)
    axes = (*rows, *cells)
    squares = total(square(r), entries) if not set(entries) & set(var.axes) else square(r)
    if set(entries) & set(var.axes):
        quadratic = einsum((*rows, *minus(precision.axes, entries)), squares, precision)
    else:
        quadratic = multiply(squares, precision)
    first, centred, offset = _about(value, mean, about)
    body = (
        *first,
        Statement(r, centred, "numerics"),
        Statement(m, offset, "numerics"),
        Statement(precision, divide(Number(1.0), var), "numerics"),
        Statement(scaled, weighted, "numerics", f"(x - mean)^2 multiplied out: fastest from {MANY} means on"),
    )
    cross = multiply(Number(2.0), einsum(axes, r, scaled))
    constant = add(log_det, einsum(cells, m, scaled))
    return Density(multiply(Number(-0.5), add(subtract(quadratic, cross), constant)), None, body)
