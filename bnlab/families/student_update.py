"""EM for Student's t as a normal variable with a hidden weight u ~ Gamma(df / 2, df / 2) (Liu and Rubin 1995).

Given x, u is Gamma((df + D) / 2, (df + distance) / 2), so E[u] = (df + D) / (df + distance). The complete-data Q
splits: mean and scale are those of a Normal with these weights, and df solves
ln(df / 2) - digamma(df / 2) = -1 - the mean of E[ln u] - E[u], as a Gamma's concentration does.

Where entries of a vector are missing, D and the distance are those of what is seen. Given u what is missing follows it as that
of a Normal does, with a covariance V / u: E[u x x'] = E[u] E[x] E[x]' + V (Liu and Rubin 1995, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bnlab.families.base import Maximum, Node, PriorOn, Use, sharing
from bnlab.families.normal_update import maximise_normal, turned
from bnlab.program.build import (
    add,
    arranged,
    divide,
    einsum,
    keep,
    local,
    log,
    minus,
    multiply,
    square,
    subtract,
    total,
)
from bnlab.program.ir import Statement
from bnlab.program.ops import Binary, Constant, Expr, Linear, Number, Symbol, Unary, Where, union

AS_NORMAL = {"mean": "mean", "scale": "std", "scale_matrix": "cov"}
"""The arguments of the normal variable that it is at weight 1."""


def as_normal(node: Node) -> Node:
    """The node of the normal variable at weight 1."""
    arguments = {AS_NORMAL[slot]: value for slot, value in node.arguments.items() if slot in AS_NORMAL}
    own: dict[str, Symbol | Constant] = {
        AS_NORMAL[slot]: value for slot, value in node.own.items() if slot in AS_NORMAL
    }
    return replace(node, arguments=arguments, own=own)


def distance(node: Node) -> Expr:
    """The squared distance from the mean in units of the scale: (x - mean)' scale_matrix^-1 (x - mean), of what is seen."""
    assert node.value is not None
    if node.gaps is not None:
        away, precision = node.gaps.away, node.gaps.precision
        if "scale" in node.arguments:
            return total(multiply(square(away), precision), node.event[:1])
        return einsum(_distance(node).axes, away, precision, turned(away, node.event))
    residual, entries = subtract(node.value, node.arguments["mean"]), node.event[:1]
    if "scale" in node.arguments:
        return total(square(divide(residual, node.arguments["scale"])), entries)
    return divide(square(residual), node.arguments["scale_matrix"])


def weight(node: Node) -> Symbol:
    """The expected weight of each member, for each state that it depends on."""
    return local(f"u_{node.variable}", union(node.arguments["df"], _distance(node)))


def _distance(node: Node) -> Symbol:
    assert node.value is not None
    parts = (node.value, *(value for slot, value in node.arguments.items() if slot != "df"))
    return local(f"distance_{node.variable}", minus(union(*parts), node.event))


def _size(node: Node) -> Symbol | Number:
    """How many entries are seen."""
    if node.gaps is None:
        return Number(dim(node))
    assert node.seen is not None
    return local(f"size_{node.variable}", minus(node.seen.axes, node.event))


def dim(node: Node) -> float:
    """How many entries are drawn."""
    return float(node.event[0].size or 1) if node.event else 1.0


def degrees(node: Node) -> tuple[Expr, Expr, Expr]:
    """df, df / 2 and (df + D) / 2; worked out where df is a number."""
    df, size = node.arguments["df"], _size(node)
    match df, size:
        case Constant((number,), ()), Number(count):
            return Number(number), Number(number / 2), Number((number + count) / 2)
        case Constant((number,), ()), _:
            return Number(number), Number(number / 2), divide(add(Number(number), size), Number(2.0))
        case _:
            return df, divide(df, Number(2.0)), divide(add(df, size), Number(2.0))


def expected_weights(node: Node) -> tuple[Statement, ...]:
    """The distance and the expected weight, as statements of the E-step."""
    assert node.value is not None
    apart, name, size = _distance(node), node.variable, _size(node)
    df, _, half = degrees(node)
    both = Number(2 * half.value) if isinstance(half, Number) else add(df, size)
    body: list[Statement] = []
    if node.gaps is not None and isinstance(size, Symbol) and node.seen is not None:
        count = total(node.seen, node.event[:1])
        body.append(Statement(size, count, "numerics", f"how many entries of {name} are seen"))
        value: Expr = distance(node)
    elif "scale_matrix" in node.arguments and node.event:
        matrix, residual = node.arguments["scale_matrix"], subtract(node.value, node.arguments["mean"])
        away = local(f"away_{name}", residual.axes)
        body.append(Statement(away, residual, "numerics"))
        inverse = Linear("inverse", matrix, matrix.axes)
        value = einsum(apart.axes, away, inverse, turned(away, node.event))
    else:
        value = distance(node)
    text = "|x - mean|^2 in units of the scale" + ("" if node.gaps is None else ", of what is seen")
    body.append(Statement(apart, value, "numerics", text))
    expected = divide(both, add(df, apart))
    given = f"E[u | {name}], where {name} is normal with its squared scale over u, and u ~ Gamma(df/2, df/2)"
    return (*body, Statement(weight(node), expected, "numerics", given))


def excess(node: Node) -> Expr:
    """E[ln u] - E[u] of each member."""
    df, _, half = degrees(node)
    log_u = subtract(Unary("digamma", half), log(divide(add(df, _distance(node)), Number(2.0))))
    return subtract(log_u, weight(node))


def maximise_student(uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
    """Means and scales as those of a Normal whose moments are weighted, and the degrees of freedom."""
    inner = []
    for use in uses:
        found = use.statistics
        moments = {"N": found["W"], "S": found["S"], "SS": found["SS"], "members": found["N"]}
        inner.append(Use(as_normal(use.node), moments))
    normal = maximise_normal(tuple(inner), free, priors)
    values, body = dict(normal.values), list(normal.body)
    for group in sharing(uses, "df"):
        name, own = group[0].node.parameter("df"), group[0].node.own["df"]
        if name in free:
            count = add(*(einsum(own.axes, use.statistics["N"]) for use in group))
            gain = add(*(einsum(own.axes, use.statistics["G"]) for use in group))
            gap = subtract(Number(-1.0), keep(gain, count, Number(0.0)))
            solved = multiply(Number(2.0), Unary("gamma_shape", gap))
            new = local(f"new_{name}", own.axes)
            value = arranged(Where(Binary(">", count, Number(0.0)), solved, own), own.axes)
            formula = "ln(df/2) - digamma(df/2) = -1 - mean of (E[ln u] - E[u])"
            body.append(Statement(new, value, "maximise", formula))
            values[name] = new
    return Maximum(tuple(body), values)
