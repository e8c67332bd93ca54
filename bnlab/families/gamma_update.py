"""The M-step of a Gamma: Newton's method for the concentration, and the rate given that.

With the sums of N data, S = sum x and L = sum ln x, Q = N (a ln b - ln Gamma(a)) + (a - 1) L - b S. Where the rate is free and
belongs to one concentration it is N a / S at the maximum, and what is left of dQ/da = 0 is
ln a - digamma(a) = ln(S / N) - L / N (Minka, Estimating a Gamma distribution, 2002): the maximum of both together. Else the
concentration solves digamma(a) = ln b + L / N at the old rate, and the rate is then maximised given the new
concentration (ECM, Meng and Rubin 1993): Q still rises.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.errors import Fault, IntractableError
from bnlab.families import hyper
from bnlab.families.base import Beliefs, Maximum, Node, PriorOn, Use, sharing
from bnlab.program.build import add, arranged, einsum, keep, local, log, minus, multiply, subtract
from bnlab.program.ir import Statement
from bnlab.program.ops import Axes, Binary, Expr, Number, Unary, Where, union


def maximise_gamma(uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
    """The concentrations, then the rates given them."""
    body: list[Statement] = []
    values: dict[str, Expr] = {}
    new: dict[str, Expr] = {use.node.label: use.node.own["concentration"] for use in uses}
    for group in sharing(uses, "concentration"):
        name = group[0].node.parameter("concentration")
        if name in free:
            body += _concentration(group, all(_together(use.node, uses, free, priors) for use in group))
            values[name] = body[-1].target
            new.update({use.node.label: body[-1].target for use in group})
    for group in sharing(uses, "rate"):
        name, own = group[0].node.parameter("rate"), group[0].node.own["rate"]
        if name in free:
            events = [_weighted(use, own.axes, new[use.node.label]) for use in group]
            exposure = [einsum(own.axes, use.statistics["S"]) for use in group]
            if name in priors:
                more, longer = pseudo_events(priors[name], own.axes)
                events, exposure = [*events, *more], [*exposure, *longer]
            values[name] = arranged(keep(add(*events), add(*exposure), own), own.axes)
    return Maximum(tuple(body), values)


def _together(node: Node, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> bool:
    """Whether a node's rate is free, without prior, and stands nowhere but beside this concentration, which is one for it."""
    rate, concentration = node.own["rate"], node.own["concentration"]
    pairs = ((use.node.own["rate"] == rate, use.node.own["concentration"] == concentration) for use in uses)
    return (
        node.parameter("rate") in free
        and node.parameter("rate") not in priors
        and set(concentration.axes) <= set(rate.axes)
        and all(one == other for one, other in pairs)
    )


def _concentration(group: tuple[Use, ...], together: bool) -> list[Statement]:
    """Statements, the last of which is the new concentration; where nothing was counted it is the old one."""
    node = group[0].node
    own, suffix = node.own["concentration"], node.suffix
    count = add(*(_weighted(use, own.axes) for use in group))
    logs = [einsum(own.axes, use.statistics["L"]) for use in group]
    body: list[Statement] = []
    if together:
        rate = node.own["rate"]
        number = add(*(_weighted(use, rate.axes) for use in group))
        level = keep(add(*(einsum(rate.axes, use.statistics["S"]) for use in group)), number, Number(1.0))
        log_mean = local(f"log_mean{suffix}", level.axes)
        body.append(Statement(log_mean, log(level), "maximise"))
        means = [_weighted(use, own.axes, log_mean) for use in group]
        alike = set(log_mean.axes) == set(own.axes)
        mean = log_mean if alike else keep(add(*means), count, Number(0.0))
        solved = Unary("gamma_shape", subtract(mean, keep(add(*logs), count, Number(0.0))))
        formula = "ln a - digamma(a) = ln(mean of x) - mean of ln x: with the rate below the maximum of Q"
    else:
        rates = [_weighted(use, own.axes, log(use.node.own["rate"])) for use in group]
        solved = Unary("inverse_digamma", keep(add(*rates, *logs), count, Number(0.0)))
        formula = "digamma(a) = mean of ln(rate x): the maximum of Q at the old rate (ECM)"
    new = local(f"new_{node.parameter('concentration')}", own.axes)
    value = Where(Binary(">", count, Number(0.0)), solved, own)
    return [*body, Statement(new, arranged(value, own.axes), "maximise", formula)]


def _weighted(use: Use, axes: Axes, *factors: Expr) -> Expr:
    """The sum over all numbers counted of a product of factors, as an array with a parameter's axes.

    The statistic N counts vectors: where neither the factors nor the parameter tell entries apart, each is as many numbers.
    """
    entries = use.node.event[:1]
    number = use.statistics["N"]
    told = any(set(entries) & set(factor.axes) for factor in (number, *factors))
    wanted = axes if told else minus(axes, entries)
    summed = [factor for factor in factors if factor.axes]
    each = set(union(number, *summed)) == set(wanted)
    value = multiply(number, *summed) if each else einsum(wanted, number, *summed)
    value = multiply(value, *(factor for factor in factors if not factor.axes))
    if not entries or told or set(entries) & set(axes):
        return value
    return multiply(Number(float(entries[0].size or 1)), value)


def pseudo_events(prior: PriorOn, axes: Axes) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """What a Gamma prior of a rate adds to the number of events, and to the exposure that they were counted in.

    Raises IntractableError where a concentration is below 1: the density then has no mode above 0.
    """
    a, b = (hyper.spread(prior.constants[name], axes) for name in ("concentration", "rate"))
    if a.min() < 1:
        reason = f"A Gamma prior with a concentration of {a.min()} has no mode above 0."
        raise IntractableError(Fault(reason, "Use concentrations of at least 1 for EM, or fit by NUTS."))
    events = () if np.all(a == 1) else (hyper.expression(a - 1, axes),)
    return events, (hyper.expression(b, axes),)


def update_gamma(uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
    """q of each rate: the prior's concentration plus the known ones of all that was seen, and its rate plus the sum."""
    values: dict[str, Expr] = {}
    for group in sharing(uses, "rate"):
        belief = beliefs.about(group[0].node, "rate")
        if belief is None:
            continue
        own = group[0].node.own["rate"]
        events = [_weighted(use, own.axes, use.node.own["concentration"]) for use in group]
        exposure = [einsum(own.axes, use.statistics["S"]) for use in group]
        a, b = belief.prior["concentration"], belief.prior["rate"]
        values[belief["concentration"].name] = arranged(add(a, *events), own.axes)
        values[belief["rate"].name] = arranged(add(b, *exposure), own.axes)
    return Maximum((), values)
