"""The log density of all rows together, from the sum of products of what is left of them at the posterior means.

Where Gaussian latents are all that stands between the rows and the evidence, only the sum of their log densities is read,

    sum_n w_n ln N(e_n; 0, Sigma) = -1/2 (N ln |2 pi Sigma| + tr(Sigma^-1 S)),   N = sum_n w_n,   S = sum_n w_n e_n e_n'.

The M-step reads S too. Vectors of many entries are spared the product of each row with Sigma^-1 so. What is left of the
evidence of each member is how much lower the prior of its latents is at their means than the posterior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bnlab.families.normal_density import of_products
from bnlab.families.normal_update import turned
from bnlab.inference import wording
from bnlab.inference.factor import Factor
from bnlab.inference.plan import Integrate, LeavePlates
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Function
from bnlab.program.ops import ROW, Call, Expr, Symbol
from bnlab.program.walk import transform

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination

MANY = 16
"""From this many entries on; fewer read better row by row."""


def is_pooled(run: Elimination) -> bool:
    """Whether all rows of the network are taken together."""
    if not run.weighted or not run.bases or run.maximise or run.beliefs is not None or run.leaves:
        return False
    plan = run.plan
    steps = all(
        isinstance(step, Integrate)
        or isinstance(step, LeavePlates)
        and bool(step.message.continuous)
        and not step.message.scope
        for step in plan.steps
    )
    return (
        steps
        and not (plan.tables or plan.joins or plan.seen)
        and all(_fits(run, each) for each in _rows(run))
    )


def _rows(run: Elimination) -> list[Factor]:
    """The factors of observed variables."""
    return [factor for factor in run.plan.factors if VarRef(factor.variable) not in factor.continuous]


def _fits(run: Elimination, factor: Factor) -> bool:
    """Whether the rows are vectors of many entries that have one full covariance."""
    pieces = run.pieces(factor)
    if len(pieces) > 1 or not factor.continuous or factor.scope:
        return False
    node, residual = run.nodes[pieces[0].label], run.residuals[factor.variable]
    cov = node.arguments.get("cov")
    wide = cov is not None and cov.axes == node.event and (node.event[0].size or 0) >= MANY
    return wide and [axis.kind for axis in residual.axes[:-1]] == [ROW]


def with_rows(run: Elimination, log_p: Expr, results: list[Expr]) -> tuple[Expr, list[Expr]]:
    """ln p of the chunk with the log densities of its rows, and the results with the sums that these read by name."""
    for factor in _rows(run):
        (piece,) = run.pieces(factor)
        node, e = run.nodes[piece.label], run.left[piece.label, "all"]
        weight = run.posterior(factor.name)
        assert weight is not None, "rows have weights"
        label = piece.label.replace(".", "_")
        values = build.einsum((), weight), build.einsum(node.event, weight, e, turned(e, node.event))
        texts = f"rows of {factor.variable}", f"sum of {e.name} {e.name}'"
        made = tuple(
            run.statement(f"{head}_{label}", value, "expect", text)
            for head, value, text in zip(("rows", "products"), values, texts, strict=True)
        )
        results = [_named(result, dict(zip(values, made, strict=True))) for result in results]
        log_p = build.add(log_p, _of_rows(run, factor, *made))
    return log_p, results


def _named(result: Expr, names: Mapping[Expr, Symbol]) -> Expr:
    """The same with some parts by name."""

    def name(part: object) -> object:
        return names.get(part, part)  # type: ignore[call-overload]

    return transform(result, name)


def _of_rows(run: Elimination, factor: Factor, count: Symbol, products: Symbol) -> Expr:
    """The call of the log density of some rows."""
    (piece,) = run.pieces(factor)
    N, S = (replace(symbol, name=name) for symbol, name in ((count, "N"), (products, "S")))
    density = of_products(run.nodes[piece.label], N, S)
    text, tex = (write(run.layout, factor) for write in (wording.formula, wording.formula_tex))
    letters = ",".join(run.layout.plates[plate].letter for plate in factor.plates)
    function = Function(
        run.fresh(f"log_likelihood_{piece.label.replace('.', '_')}"),
        (N, S),
        ("theta",),
        density.body,
        (density.log,),
        f"The sum of {text} over N rows; S is the sum of e e'.",
        rf"\sum_{{{letters}}} {tex}",
    )
    run.functions.append(function)
    run.densities[piece.label] = function
    return Call(function.name, (Symbol("theta", ()), count, products), ())
