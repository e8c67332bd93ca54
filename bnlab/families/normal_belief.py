"""Variational EM for a Normal: q(mean) is Gaussian, q(cov) an inverse Wishart, q(var) an inverse Gamma, each by itself.

E[ln N(x; mu, Sigma)] = ln N(x; E[mu], E[Sigma^-1]^-1) - (E[ln |Sigma|] + ln |E[Sigma^-1]| + tr(E[Sigma^-1] Cov(mu))) / 2.

The second term knows no x: it is the offset. Mean and covariance have independent priors and are independent under q; Bishop
(Pattern Recognition and Machine Learning, 2006, section 10.2) has a joint prior, and q(mu | Sigma).
"""

from __future__ import annotations

from collections.abc import Mapping

from bnlab.errors import Fault, IntractableError
from bnlab.families.base import Belief, Beliefs, Expectation, Maximum, Node, Use, grouped
from bnlab.families.inverse_wishart import halves
from bnlab.families.normal_equations import identity
from bnlab.families.normal_prior import belief_precision
from bnlab.families.normal_regression import SPREADS
from bnlab.families.normal_update import Centre, kept_symmetric, origin, scatter_about, spread_count, turned
from bnlab.families.rates import known
from bnlab.program.build import (
    add,
    arranged,
    divide,
    einsum,
    local,
    log,
    minus,
    multiply,
    subtract,
    total,
)
from bnlab.program.ir import Statement
from bnlab.program.ops import Axes, Constant, Expr, Linear, Number, Symbol, Unary, union
from bnlab.program.walk import reindexed


def mean_belief(node: Node, beliefs: Beliefs) -> Belief | None:
    """q of the one parameter in the mean that is learnt.

    Raises IntractableError for coefficients of variables, and for several parameters: not derived.
    """
    if not node.terms:
        return beliefs.about(node, "mean")
    learnt = [term for term in node.terms if term.parameter]
    if not learnt:
        return None
    name, own = learnt[0].parameter, learnt[0].own
    plain = len(learnt) == 1 and learnt[0].value is None and learnt[0].sign > 0
    if not plain or not isinstance(own, Symbol):
        names = " and ".join(f"`{term.parameter}`" for term in learnt)
        reason = (
            f"The mean of `{node.variable}` has the coefficients {names}: variational EM takes one parameter."
        )
        if len(learnt) == 1:
            reason = f"`{name}` is a coefficient in the mean of `{node.variable}`: variational EM takes one added to it."
        raise IntractableError(Fault(reason, 'Fit by "em" (MAP where there are priors), "svi" or "nuts".'))
    event = tuple(axis for axis in own.axes if axis in node.event)
    return beliefs.of(name, own.axes, node.event if name in beliefs.full else event)


def spread_belief(node: Node, beliefs: Beliefs) -> Belief | None:
    slot = next((name for name in SPREADS if name in node.own), None)
    return None if slot is None else beliefs.about(node, slot)


# -- what the E-step reads


def expected_normal(node: Node, beliefs: Beliefs) -> Expectation:
    """At E[mu] and E[Sigma^-1]^-1; the offset is -(E[ln |Sigma|] + ln |E[Sigma^-1]| + tr(E[Sigma^-1] Cov(mu))) / 2."""
    mean, spread = mean_belief(node, beliefs), spread_belief(node, beliefs)
    points: dict[str, Expr] = {}
    gaps: list[Expr] = []
    body: tuple[Statement, ...] = ()
    if mean is not None:
        points[mean.parameter] = mean["mean"]
        precision, body = _expected_precision(node, spread, len(mean.event) == 2)
        gaps.append(_trace(node, precision, mean))
    if spread is not None:
        points[spread.parameter] = point_of_spread(spread)
        gaps.append(_log_gap(node, spread))
    return Expectation(points, multiply(Number(-0.5), add(*reversed(gaps))) if gaps else None, body)


def _slot(node: Node) -> str:
    return next(name for name in SPREADS if name in node.own)


def point_of_spread(belief: Belief) -> Expr:
    """E[Sigma^-1]^-1: scale / df of an inverse Wishart, scale / concentration of an inverse Gamma."""
    return divide(belief["scale"], belief["df" if belief.family == "InverseWishart" else "concentration"])


def _expected_precision(node: Node, spread: Belief | None, full: bool) -> tuple[Expr, tuple[Statement, ...]]:
    """E[Sigma^-1], as a matrix if that is `full`."""
    slot = next((name for name in SPREADS if name in node.own), None)
    if slot is None:
        reason = f"The spread of `{node.variable}` is data, and its mean is learnt: not derived for variational EM."
        raise IntractableError(Fault(reason, 'Fit by "em", "svi" or "nuts".'))
    if spread is None:
        value = known(node, slot)
        if slot == "cov" and node.event:
            return Linear("inverse", value, value.axes), ()
        diagonal: Expr = divide(Number(1.0), multiply(value, value) if slot == "std" else value)
    elif spread.family == "InverseWishart":
        symbol = local(f"precision{node.suffix}", spread.axes)
        scale = spread["scale"]
        value = multiply(spread["df"], Linear("inverse", scale, scale.axes))
        return symbol, (Statement(symbol, arranged(value, spread.axes), "expect", "E[Sigma^-1]"),)
    else:
        diagonal = divide(spread["concentration"], spread["scale"])
    return (multiply(diagonal, identity(*node.event)) if full else diagonal), ()


def _cells(node: Node, *operands: Expr) -> Axes:
    return minus(union(*operands), node.event)


def _trace(node: Node, precision: Expr, mean: Belief) -> Expr:
    """tr(E[Sigma^-1] Cov(mu)), for each cell."""
    spread = mean["cov" if len(mean.event) == 2 else "var"]
    return einsum(_cells(node, precision, spread), precision, spread)


def _log_gap(node: Node, belief: Belief) -> Expr:
    """E[ln |Sigma|] + ln |E[Sigma^-1]|, for each cell."""
    if belief.family == "InverseWishart":
        df, row = belief["df"], belief.event[:1]
        dim = float(row[0].size or 1)
        logs = multiply(Number(dim), log(divide(df, Number(2.0))))
        return subtract(logs, total(Unary("digamma", halves(df, row[0])), row))
    a = belief["concentration"]
    each = subtract(log(a), Unary("digamma", a))
    entries = node.event[:1]
    if entries and not set(entries) & set(a.axes):
        return multiply(Number(float(entries[0].size or 1)), each)
    return total(each, tuple(axis for axis in entries if axis in a.axes))


# -- the M-step


def update_normal(uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
    """q of every mean given E[Sigma^-1] from before, then q of every spread given that."""
    body: list[Statement] = []
    values: dict[str, Expr] = {}
    centres: dict[str, Centre] = {}
    covariances: dict[str, Symbol] = {}
    for group in grouped(uses, [_name(mean_belief(use.node, beliefs)) for use in uses]):
        belief = mean_belief(group[0].node, beliefs)
        statements, centre, about = _centre(group, belief)
        body += statements
        centres.update({use.node.label: centre for use in group if centre is not None})
        if belief is not None and centre is not None:
            spread = belief["cov" if len(belief.event) == 2 else "var"]
            moved = add(centre.symbol, about) if about != Number(0.0) else centre.symbol
            covariance = local(f"cov{group[0].node.suffix}", spread.axes)
            values[belief["mean"].name] = arranged(moved, belief.axes)
            values[spread.name] = covariance
            covariances.update({use.node.label: covariance for use in group})
    for group in grouped(uses, [_name(spread_belief(use.node, beliefs)) for use in uses]):
        belief = spread_belief(group[0].node, beliefs)
        if belief is not None:
            values.update(_spread(group, belief, centres, covariances))
    return Maximum(tuple(body), values)


def _name(belief: Belief | None) -> str:
    return "" if belief is None else belief.parameter


def _about(use: Use, belief: Belief | None) -> Expr | None:
    """What the residuals of a use are measured from."""
    if use.node.terms:
        return None if belief is None else Symbol(belief.parameter, belief.axes, "theta")
    return origin(use.node)


def _centre(uses: tuple[Use, ...], belief: Belief | None) -> tuple[list[Statement], Centre | None, Expr]:
    """Statements for Cov(mu) and for E[mu] less what residuals are measured from; these two."""
    node, shift = uses[0].node, _about(uses[0], belief)
    if any(bool(use.node.terms) != bool(node.terms) for use in uses):
        names = " and ".join(f"`{use.node.variable}`" for use in uses)
        reason = f"{names} share a mean, of which one is a sum: not derived for variational EM."
        raise IntractableError(Fault(reason, "Give them means of their own, or fit by NUTS."))
    if belief is None:
        if node.terms:
            return [], None, Number(0.0)
        own = node.own["mean"]
        centre = local(f"mean{node.suffix}", tuple(sorted(own.axes)))
        value = subtract(own, shift) if shift is not None else own
        return (
            [Statement(centre, arranged(value, centre.axes), "maximise", "fixed")],
            Centre(centre, False),
            own,
        )
    body: list[Statement] = []
    about: Expr = Number(0.0) if shift is None else shift
    if shift is not None and not node.terms:
        about = local(f"origin{node.suffix}", shift.axes)
        body.append(Statement(about, shift, "numerics"))
    full = len(belief.event) == 2
    axes = tuple(sorted(belief.axes))
    weight, moments = _prior_terms(belief, about)
    plates = minus(axes, node.event)
    precisions: dict[Symbol | Constant, Symbol] = {}
    for use in uses:
        statements, precision = _old_precision(use.node, full, precisions)
        body += statements
        told = full or bool(set(node.event[:1]) & set(precision.axes))
        wanted = (*plates, *node.event) if full else axes if told else plates
        weight = add(weight, einsum(wanted, use.statistics["N"], precision))
        first = use.statistics["S"]
        moments = add(moments, einsum(axes, precision, turned(first, node.event) if full else first))
    spread = belief["cov" if full else "var"]
    covariance = local(f"cov{node.suffix}", spread.axes)
    inverse = Linear("inverse", weight, weight.axes) if full else divide(Number(1.0), weight)
    moment = local(f"moment{node.suffix}", axes)
    centre = local(f"mean{node.suffix}", axes)
    product = einsum(axes, covariance, turned(moment, node.event)) if full else multiply(covariance, moment)
    name = belief.parameter
    body += [
        Statement(covariance, arranged(inverse, spread.axes), "maximise", f"Cov({name}) under q"),
        Statement(moment, arranged(moments, axes), "maximise"),
        Statement(
            centre,
            arranged(product, axes),
            "maximise",
            f"E[{name}]"
            + ("" if shift is None else " less the old one" if node.terms else " less the origin"),
        ),
    ]
    return body, Centre(centre, False), about


def _prior_terms(belief: Belief, about: Expr) -> tuple[Expr, Expr]:
    """The prior's precision, and that times its mean (from where the residuals are measured)."""
    inverse = belief_precision(belief)
    offset = subtract(belief.prior["mean"], about)
    if len(belief.event) < 2:
        return inverse, divide(offset, belief.prior["var"])
    row, column = belief.event
    return inverse, einsum(tuple(sorted(belief.axes)), inverse, reindexed(offset, {row: column}))


def _old_precision(
    node: Node, full: bool, known_ones: dict[Symbol | Constant, Symbol]
) -> tuple[list[Statement], Expr]:
    """E[Sigma^-1] under q from before, the inverse of the point that the E-step had; a matrix has a name."""
    slot = _slot(node)
    own = node.own[slot]
    if slot == "cov" and node.event:
        made = own not in known_ones
        symbol = known_ones.setdefault(own, local(f"precision{node.suffix}", own.axes))
        inverse = Linear("inverse", own, own.axes)
        return [
            Statement(symbol, inverse, "maximise", f"E[{own.name}^-1]" if isinstance(own, Symbol) else "")
        ] * made, symbol
    diagonal = divide(Number(1.0), multiply(own, own) if slot == "std" else own)
    return [], multiply(diagonal, identity(*node.event)) if full else diagonal


def _spread(
    uses: tuple[Use, ...], belief: Belief, centres: Mapping[str, Centre], covariances: Mapping[str, Symbol]
) -> dict[str, Expr]:
    """The hyperparameters of q of a spread: counts, and scatter about mu, expected under q(mu)."""
    own, terms = belief.axes, []
    for use in uses:
        centre = centres.get(use.node.label)
        terms.append(scatter_about(use, centre, own) if centre is not None else use.statistics["SS"])
        if use.node.label in covariances:
            terms.append(_uncertain(use, covariances[use.node.label], belief))
    count = add(*(spread_count(use, own) for use in uses))
    scale, first = belief["scale"], belief.prior["scale"]
    if belief.family == "InverseWishart":
        df = belief["df"]
        return {
            df.name: arranged(add(belief.prior["df"], count), df.axes),
            scale.name: kept_symmetric(arranged(add(first, *terms), scale.axes), uses),
        }
    half, shape = Number(0.5), belief["concentration"]
    return {
        shape.name: arranged(add(belief.prior["concentration"], multiply(half, count)), own),
        scale.name: arranged(add(first, multiply(half, add(*terms))), scale.axes),
    }


def _uncertain(use: Use, covariance: Symbol, belief: Belief) -> Expr:
    """N Cov(mu), in the structure of the spread."""
    event = use.node.event
    full = len(event) == 2 and set(event) <= set(covariance.axes)
    if full and len(belief.event) < 2:
        diagonal = Linear("diagonal", covariance, (*minus(covariance.axes, event), event[0]))
        return einsum(belief.axes, use.statistics["N"], diagonal)
    return einsum(belief.axes, use.statistics["N"], covariance)
