"""The M-step of a Normal: means, then covariances in their declared structure.

All moments are of r = x - o, where the origin o is the mean of the mean parameter over its plates: it is near
the data after one iteration, it is known to the E-step and the M-step alike, and statistics taken under the same
parameters add.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bnlab.families import inverse_gamma, inverse_wishart, normal_prior
from bnlab.families.base import Maximum, Node, PriorOn, Use, grouped, sharing
from bnlab.families.normal_equations import Moves, System, explained, identity, scatter, solved, system
from bnlab.families.normal_regression import spread_slot
from bnlab.program.build import (
    add,
    arranged,
    divide,
    einsum,
    keep,
    local,
    mean,
    minus,
    multiply,
    sqrt,
    square,
    subtract,
)
from bnlab.program.ir import Statement
from bnlab.program.ops import Axes, Axis, Binary, Expr, Linear, Number, Symbol, Unary, Where, union
from bnlab.program.walk import reindexed


@dataclass(frozen=True, slots=True)
class Centre:
    """The new mean less the origin. `ratio`: it is S / N, so that the terms of the scatter that are linear in
    it collect.
    """

    symbol: Symbol
    ratio: bool


def origin(node: Node) -> Expr | None:
    """The mean of the mean parameter over the states that select it; None where the mean is a constant."""
    own = node.own["mean"]
    if not node.parameter("mean"):
        return None
    assert node.value is not None
    return mean(own, minus(own.axes, node.value.axes))


def maximise_normal(uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
    """Weighted means; then scatter about the new means over counts.

    A mean whose covariance has other subscripts, or which has a prior, is maximised given the old
    covariances, and these given the new means (ECM, Meng and Rubin 1993): Q still rises.
    """
    body: list[Statement] = []
    values: dict[str, Expr] = {}
    centres: dict[str, Centre] = {}
    if any(use.node.terms for use in uses):
        event = _common_entries(uses)
        uses = tuple(_aligned(use, event) for use in uses)
    regressions = []
    for group in _connected(uses, free):
        regression = Regression(system(group, free, priors), group)
        body += regression.made.body
        values.update(regression.values())
        regressions.append(regression)
    for group in sharing(tuple(use for use in uses if not use.node.terms), "mean"):
        name = group[0].node.parameter("mean")
        statements, value, centre = _mean(group, name in free, priors.get(name))
        body += statements
        centres.update({use.node.label: centre for use in group})
        if name in free:
            values[name] = arranged(value, group[0].node.own["mean"].axes)
    for group in grouped(uses, [_spread_name(use.node) for use in uses]):
        name = group[0].node.parameter(spread_slot(group[0].node.arguments))
        if name in free:
            own = group[0].node.own[spread_slot(group[0].node.own)]
            squares = _scatters(group, centres, regressions, own.axes, body)
            if any(not one.system.cancels for one in regressions if any(use in one.uses for use in group)):
                symbol = local(f"scatter{group[0].node.suffix}", own.axes)
                body.append(Statement(symbol, arranged(squares, own.axes), "maximise", "about the new mean"))
                squares = symbol
            value = arranged(_spread(group, squares, priors.get(name), body), own.axes)
            values[name] = kept_symmetric(value, group)
    return Maximum(tuple(body), values)


def _spread_name(node: Node) -> str:
    """The parameter that is a spread; "" for a constant."""
    return node.parameter(spread_slot(node.arguments))


def _mean(uses: tuple[Use, ...], free: bool, prior: PriorOn | None) -> tuple[list[Statement], Expr, Centre]:
    """Statements, the new mean, and its distance from the origin."""
    node = uses[0].node
    own, shift = node.own["mean"], origin(node)
    centre = local(f"mean{node.suffix}", tuple(sorted(own.axes)))
    body: list[Statement] = []
    about: Expr = Number(0.0)
    if shift is not None:
        symbol = local(f"origin{node.suffix}", shift.axes)
        body.append(Statement(symbol, shift, "numerics"))
        about = symbol
    old = subtract(own, about) if shift is not None else own
    if not free:
        return (
            [*body, Statement(centre, arranged(old, centre.axes), "maximise", "fixed")],
            own,
            Centre(centre, False),
        )
    plain = prior is None and _cancels(uses)
    if plain:
        moment = add(*(einsum(centre.axes, use.statistics["S"]) for use in uses))
        count = add(*(einsum(minus(centre.axes, node.event), use.statistics["N"]) for use in uses))
        update: Expr = keep(moment, count, old)
    else:
        statements, update = _weighted(uses, old, about, prior)
        body += statements
    body.append(Statement(centre, arranged(update, centre.axes), "maximise"))
    return body, add(centre, about), Centre(centre, plain and len(uses) == 1)


def _cancels(uses: tuple[Use, ...]) -> bool:
    """Whether one covariance is a factor of all terms of a mean's equation, so that the equation does not
    depend on it.
    """
    first = uses[0].node
    spread = first.own[spread_slot(first.own)]
    alike = all(use.node.own[spread_slot(use.node.own)] == spread for use in uses)
    return alike and set(minus(spread.axes, first.event)) <= set(first.own["mean"].axes)


def _weighted(
    uses: tuple[Use, ...], old: Expr, about: Expr, prior: PriorOn | None
) -> tuple[list[Statement], Expr]:
    """The solution m of sum N Lambda m = sum Lambda S, with the old precisions Lambda; a Normal prior adds
    one more term.
    """
    node = uses[0].node
    axes = tuple(sorted(old.axes))
    plates = minus(axes, node.event)
    full = bool(node.event) and (
        any("cov" in use.node.own for use in uses) or (prior is not None and normal_prior.is_full(prior))
    )
    weights, moments = [], []
    for use in uses:
        precision = _precision(use.node, full)
        entries = (
            (*plates, *node.event) if full else axes if set(node.event[:1]) <= set(precision.axes) else plates
        )
        weights.append(einsum(entries, use.statistics["N"], precision))
        moments.append(
            einsum(axes, precision, turned(use.statistics["S"], node.event) if full else use.statistics["S"])
        )
    body: list[Statement] = []
    if prior is not None:
        precision, location = normal_prior.precision_and_mean(prior, old.axes, node.event, full)
        offset = local(f"prior_mean{node.suffix}", subtract(location, about).axes)
        body.append(
            Statement(offset, subtract(location, about), "numerics", "the prior mean, from the origin")
        )
        weights.append(precision)
        twin = turned(offset, node.event) if full else offset
        kept = minus(union(precision, twin), node.event[1:]) if full else union(precision, twin)
        product = einsum(kept, precision, twin) if full else multiply(precision, offset)
        moments.append(product)
    weight, moment = add(*weights), local(f"moment{node.suffix}", axes)
    body.append(Statement(moment, add(*moments), "maximise"))
    if full:
        inverse = Linear("inverse", weight, (*plates, *node.event))
        solved: Expr = einsum(axes, inverse, turned(moment, node.event))
    else:
        solved = divide(moment, weight)
    if prior is not None:
        return body, solved
    count = add(*(einsum(plates, use.statistics["N"]) for use in uses))
    return body, Where(Binary(">", count, Number(0.0)), solved, old)


def turned(symbol: Symbol, event: Axes) -> Symbol:
    """The same array with its entries under the second event axis."""
    row, column = event
    swap: dict[Axis, Axis] = {row: column}
    return Symbol(symbol.name, tuple(swap.get(axis, axis) for axis in symbol.axes), symbol.space)


def _precision(node: Node, full: bool) -> Expr:
    slot = spread_slot(node.own)
    own = node.own[slot]
    if slot == "cov":
        return Linear("inverse", own, own.axes)
    diagonal = divide(Number(1.0), square(own) if slot == "std" else own)
    return multiply(diagonal, identity(*node.event)) if full else diagonal


@dataclass(frozen=True, slots=True)
class Regression:
    """Regressions that share coefficients, solved together."""

    system: System
    uses: tuple[Use, ...]

    @property
    def made(self) -> Moves:
        return solved(self.system, self.uses[0].node.suffix)

    def values(self) -> dict[str, Expr]:
        """The new coefficients."""
        return {
            name: Binary("+", own, self.made.moves[name], own.axes) for name, own in self.system.own.items()
        }


def _common_entries(uses: tuple[Use, ...]) -> Axes:
    """The axes of the first vector's entries that are no regressor's in any use."""
    read = {axis for use in uses for term in use.node.terms for axis in (*term.columns, *term.twins)}
    apart = (use.node.event for use in uses if not read & set(use.node.event))
    return next(apart, uses[0].node.event)


def _aligned(use: Use, event: Axes) -> Use:
    """A use whose vector's entries have the axes of the first one's."""
    node = use.node
    if node.event == event or tuple(a.size for a in node.event) != tuple(a.size for a in event):
        return use
    names = dict(zip(node.event, event, strict=True))
    return Use(
        replace(
            node,
            event=event,
            own={key: reindexed(value, names) for key, value in node.own.items()},
            arguments={key: reindexed(value, names) for key, value in node.arguments.items()},
            terms=reindexed(node.terms, names),
        ),
        {key: reindexed(value, names) for key, value in use.statistics.items()},
    )


def _connected(uses: tuple[Use, ...], free: frozenset[str]) -> list[tuple[Use, ...]]:
    """Regressions that share free coefficients, directly or through others."""
    groups: list[tuple[set[str], list[Use]]] = []
    for use in uses:
        names = {term.parameter for term in use.node.terms} & free
        if not names:
            continue
        touching = [group for group in groups if group[0] & names]
        merged = (
            names.union(*(group[0] for group in touching)),
            [*(each for group in touching for each in group[1]), use],
        )
        groups = [group for group in groups if group not in touching] + [merged]
    return [tuple(members) for _, members in groups]


def _scatters(
    uses: tuple[Use, ...],
    centres: Mapping[str, Centre],
    regressions: list[Regression],
    axes: Axes,
    body: list[Statement],
) -> Expr:
    """The scatter of all uses of a spread about their new means."""
    terms: list[Expr] = []
    together: list[Expr] = []
    for use in uses:
        found = next((one for one in regressions if use in one.uses), None)
        if not use.node.terms:
            squares: Expr = scatter_about(use, centres[use.node.label], _own_axes(use))
        elif found is None or found.system.cancels:
            squares = use.statistics["SS"]
        else:
            squares = scatter(found.system, found.made, use)
        terms.append(_under(axes, squares, use, "scatter", body))
        if use.node.terms and found is not None and found.system.cancels:
            term = explained(found.made, axes, use.node.event)
            together += [] if term in together else [term]
    value = add(*terms)
    for term in together:
        value = subtract(value, term)
    return value


def _own_axes(use: Use) -> Axes:
    """The axes of a spread as this use has them."""
    return use.node.own[spread_slot(use.node.own)].axes


def _under(axes: Axes, value: Expr, use: Use, title: str, body: list[Statement]) -> Expr:
    """A sum over the members of a use under the axes that the first use of its spread has: those of another latent's states
    are renamed, in an array of its own, since the sum may run over the states of the first.
    """
    own = _own_axes(use)
    if own == axes:
        return value
    if isinstance(value, Symbol):
        return Symbol(value.name, axes, value.space)
    symbol = local(f"{title}{use.node.suffix}_alone", own)
    body.append(Statement(symbol, arranged(value, own), "maximise", f"of {use.node.variable} alone"))
    return Symbol(symbol.name, axes, symbol.space)


def _spread(uses: tuple[Use, ...], scatter: Expr, prior: PriorOn | None, body: list[Statement]) -> Expr:
    """Scatter about the new means, over counts; a conjugate prior adds pseudo-scatter and pseudo-counts."""
    node = uses[0].node
    slot = spread_slot(node.own)
    own = node.own[slot]
    count = add(*(_under(own.axes, spread_count(use, _own_axes(use)), use, "count", body) for use in uses))
    if prior is not None:
        conjugate = inverse_wishart if prior.family == "InverseWishart" else inverse_gamma
        event = tuple(axis for axis in own.axes if axis in node.event)
        return divide(*conjugate.posterior_scatter(prior, scatter, count, own.axes, event))
    value = keep(scatter, count, square(own) if slot == "std" else own)
    return sqrt(Unary("not_negative", value)) if slot == "std" else value


def kept_symmetric(value: Expr, uses: tuple[Use, ...]) -> Expr:
    """A matrix, its rows and columns last, without the asymmetry that rounding leaves, where the E-step hands it on through
    products of covariances: it would grow from iteration to iteration.
    """
    event = uses[0].node.event
    matrix = len(event) == 2 and set(event) <= set(value.axes)
    handed_on = any(use.node.gaussian or use.node.seen is not None for use in uses)
    return Linear("symmetric", value, value.axes) if matrix and handed_on else value


def spread_count(use: Use, axes: Axes) -> Expr:
    """How many numbers a spread is of: members, times the entries that it is one for."""
    node = use.node
    number = use.statistics.get("members", use.statistics["N"])  # N sums weights, if there are any
    members = einsum(minus(axes, node.event), number)
    if node.event and not set(node.event) & set(axes):
        return multiply(Number(float(node.event[0].size or 1)), members)
    return members


def scatter_about(use: Use, centre: Centre, axes: Axes) -> Expr:
    """sum N (r - m)(r - m)' = SS - S m' - m S' + N m m', which is SS - N m m' where m = S / N."""
    number, first, second = (use.statistics[kind] for kind in ("N", "S", "SS"))
    event = use.node.event
    full = len(event) == 2 and set(event) <= set(axes)
    m = centre.symbol
    twin = turned(m, event) if full else m
    squares = einsum(axes, number, m, twin)
    if centre.ratio:
        return subtract(second, squares)
    if full:
        cross = add(einsum(axes, first, twin), einsum(axes, m, turned(first, event)))
    else:
        cross = multiply(Number(2.0), einsum(axes, first, m))
    return add(subtract(second, cross), squares)
