"""Numbers of observed variables that may be missing: NaN in the data.

What is missing is latent. Of a Normal, missing entries m have, given the seen ones s of their vector, the mean
mean_m + B (x_s - mean_s) and the covariance Sigma_mm - B Sigma_sm with B = Sigma_ms Sigma_ss^-1; these moments enter the
statistics beside what is seen (Little and Rubin, Statistical Analysis with Missing Data, 2002, section 11.2). Of all other
families what is missing is left out of the statistics: that is EM for what is seen as well, and takes fewer iterations.
A vector of Student's t is a Normal given a hidden weight u: its missing entries follow the others in the same way, with that
covariance over u, and vectors of which nothing is seen are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bnlab.families.base import AbstractFamily, Gaps, Node, Slope, registry
from bnlab.families.normal_density import variance
from bnlab.families.normal_missing import among_seen, both, residual
from bnlab.families.normal_update import origin, turned
from bnlab.inference.pieces import Piece
from bnlab.program import build
from bnlab.program.ops import EVENT, Axes, Axis, Binary, Expr, Identity, Linear, Number, Symbol, Where, union
from bnlab.program.walk import reindexed

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination

ZERO = Number(0.0)


@dataclass(frozen=True, slots=True)
class Filled:
    """What the expectation of an array with gaps has beside the array itself, as factors of a product; none for 0.

    E[r] = r + `mean` and E[r r'] = r r' + `square`; with a hidden `weight` u, E[u r r'] = E[u] r r' + `square`. `present` tells
    which vectors count, where those of which nothing is seen do not.
    """

    mean: tuple[Expr, ...] = ()
    square: tuple[Expr, ...] = ()
    weight: Symbol | None = None
    present: tuple[Expr, ...] = ()


def with_gaps(node: Node, family: str) -> Node:
    """The node of a continuous variable of which numbers may be missing."""
    return replace(node, seen=registry()[family].seen(node))


def offset_of_seen(node: Node, family: AbstractFamily, offset: Expr) -> Expr:
    """What an expected log density is more than that at a point, where numbers may be missing (variational EM).

    Entries that are left out have none. Entries that follow the others are latent, so a vector has all of its offset, unless
    nothing is seen of it.
    """
    seen, entries = node.seen, node.event[:1]
    assert seen is not None
    if not family.entrywise or not entries:
        return Where(seen, offset, ZERO)
    if family.regressed(node) is None:
        return build.total(Where(seen, offset, ZERO), entries)
    return Where(Binary(">", build.total(seen, entries), ZERO), offset, ZERO)


def completed(run: Elimination, piece: Piece) -> Node:
    """The node with what stands for its data in the statistics: of a Normal the residual expected, else what is seen."""
    node = run.nodes[piece.label]
    assert node.value is not None and node.seen is not None
    value, text = node.value, f"NaN: {node.variable} is missing"
    seen = run.statement(f"seen{node.suffix}", node.seen, "numerics", text)
    node = replace(node, seen=seen)
    found = registry()[piece.cpd.family].regressed(node)
    if found is None:
        stands = Where(seen, value, Number(1.0))
        known = run.statement(f"{node.variable}_seen", stands, "numerics", "1 does not count")
        changed = replace(node, value=known)
    elif found[1] is not None:
        changed = _weighted(run, node, seen, found[0], found[1])
    elif "cov" in node.arguments and node.event:
        changed = _from_the_others(run, node, seen)
    else:
        changed = _by_itself(run, node, seen)
    run.nodes[piece.label] = changed
    return changed


def _about(node: Node) -> Expr:
    """What residuals are measured from: the old mean in a regression, else a point near the data."""
    return node.arguments["mean"] if node.terms else origin(node) or ZERO


def _by_itself(run: Elimination, node: Node, seen: Symbol) -> Node:
    """Entries that are independent: what is missing has the mean and the variance of its distribution."""
    name, about = node.suffix, _about(node)
    text = "data far from 0 lose no digits; 0 where they are missing"
    r = run.statement(f"r{name}", residual(node, seen, about), "numerics", text)
    unseen = run.statement(f"unseen{name}", Where(seen, ZERO, Number(1.0)), "numerics")
    var = variance(node.arguments)
    counted = _counted(run, node, seen)
    if node.terms:
        run.filled[node.label, r.name] = Filled(square=(unseen, var), present=counted)
        return replace(node, residual=r)
    text = f"E[r] where {node.variable} is missing"
    m = run.statement(f"m{name}", build.subtract(node.arguments["mean"], about), "numerics", text)
    second = run.statement(f"mm{name}", build.add(build.square(m), var), "numerics", "E[r^2] there")
    run.filled[node.label, r.name] = Filled((unseen, m), (unseen, second), present=counted)
    return replace(node, residual=r)


def _weighted(run: Elimination, node: Node, seen: Symbol, normal: Node, weight: Symbol) -> Node:
    """A vector whose covariance is divided by a hidden weight, which depends on how far what is seen is from its mean."""
    name, about, mean = node.suffix, _about(normal), normal.arguments["mean"]
    assert node.value is not None
    J = precision(run, normal, seen)
    away = run.statement(f"away{name}", residual(normal, seen, mean), "numerics", "0 where it is missing")
    square: tuple[Expr, ...]
    if "cov" in normal.arguments:
        B, V = regression(run, normal, seen, J)
        fill, square = _from(about, mean, _followed(B, away, node.event)), (V,)
    else:
        unseen = run.statement(f"unseen{name}", Where(seen, ZERO, Number(1.0)), "numerics")
        fill, square = _from(about, mean, ZERO), (unseen, variance(normal.arguments))
    text = f"E[{node.variable} | what is seen of it], less the origin"
    r = run.statement(f"r{name}", Where(seen, build.subtract(node.value, about), fill), "numerics", text)
    run.filled[node.label, r.name] = Filled((), square, weight, (_present(run, node, seen),))
    return replace(node, residual=r, gaps=Gaps(away, J))


def _present(run: Elimination, node: Node, seen: Symbol) -> Symbol:
    """Which members have any value."""
    if not node.event:
        return seen
    some = Binary(">", build.total(seen, node.event[:1]), ZERO)
    return run.statement(f"present{node.suffix}", some, "numerics", "whether anything is seen")


def _counted(run: Elimination, node: Node, seen: Symbol) -> tuple[Expr, ...]:
    """What a Normal's members are weighted by: where nothing is seen of one, q(theta) is to learn nothing of it."""
    return () if run.beliefs is None else (_present(run, node, seen),)


def _from(about: Expr, mean: Expr, moved: Expr) -> Expr:
    """A mean less an origin, and what it is moved by."""
    if mean == about:
        return moved
    return build.subtract(mean, about) if moved == ZERO else build.add(build.subtract(mean, about), moved)


def _followed(B: Symbol, away: Expr, event: Axes) -> Expr:
    """What is missing less its mean, from what is seen less its own."""
    row, column = event
    turned = reindexed(away, {row: column})
    return build.einsum((*build.minus(union(away, B), (row, column)), row), B, turned)


def _from_the_others(run: Elimination, node: Node, seen: Symbol) -> Node:
    """Entries that depend on one another: what is missing follows what is seen of the same vector."""
    name, about, mean = node.suffix, _about(node), node.arguments["mean"]
    assert node.value is not None
    B, V = regression(run, node, seen, precision(run, node, seen))
    away = run.statement(f"away{name}", residual(node, seen, mean), "numerics", "0 where it is missing")
    fill = _followed(B, away, node.event)
    if not node.terms:
        fill = _from(about, mean, fill)
    text = f"E[{node.variable} | what is seen of it]" + (
        " less the old mean" if node.terms else ", less the origin"
    )
    value = Where(seen, build.subtract(node.value, about), fill)
    r = run.statement(f"r{name}", value, "numerics", text)
    run.filled[node.label, r.name] = Filled(square=(V,), present=_counted(run, node, seen))
    return replace(node, residual=r)


def precision(run: Elimination, node: Node, seen: Symbol) -> Symbol:
    """The inverse of a covariance among what is seen, 0 elsewhere."""
    name, event = node.suffix, node.event
    if "cov" not in node.arguments or not event:
        value: Expr = Where(seen, build.divide(Number(1.0), variance(node.arguments)), ZERO)
        return run.statement(f"J{name}", value, "numerics", "1 / variance, 0 where it is missing")
    cov = node.arguments["cov"]
    sigma = cov.name if isinstance(cov, Symbol) else "cov"
    pairs = run.statement(f"both{name}", both(seen, event), "numerics", "pairs of entries that are seen")
    known = among_seen(cov, pairs, event)
    axes = (*build.minus(known.axes, event), *event)
    inverse = run.statement(f"inverse{name}", Linear("inverse", known, axes), "numerics")
    # an inverse magnifies what rounding leaves of asymmetry, and a filter hands it on to the next covariance
    transposed = Symbol(inverse.name, (*build.minus(axes, event), *reversed(event)))
    value = Where(pairs, build.divide(build.add(inverse, transposed), Number(2.0)), ZERO)
    return run.statement(f"J{name}", value, "numerics", f"{sigma}^-1 among what is seen, 0 elsewhere")


def regression(run: Elimination, node: Node, seen: Symbol, J: Symbol) -> tuple[Symbol, Symbol]:
    """B = Sigma J, the regression of all entries on those seen, and Sigma - B Sigma, what it leaves of what is missing."""
    name, cov, event = node.suffix, node.arguments["cov"], node.event
    inner = _inner(event)
    B = run.statement(f"B{name}", _times(cov, J, event, inner), "numerics", "regression on what is seen")
    rest = build.subtract(cov, _times(B, cov, event, inner))
    left = Where(Binary("+", seen, turned(seen, event)), ZERO, rest)
    V = run.statement(f"V_of_{node.variable}", left, "numerics", f"Cov({node.variable} | what is seen of it)")
    return B, V


def _inner(event: Axes) -> Axis:
    """One more axis of a vector's entries, to sum over."""
    column = event[1]
    return Axis(EVENT, column.position, column.name + "'", column.letter, column.size, column.extent)


def filled(
    run: Elimination, node: Node, left: Expr, slopes: tuple[Slope, ...]
) -> tuple[Expr, tuple[Slope, ...], tuple[Expr, ...]]:
    """A residual with Gaussian latents in it as it is expected: itself where it is seen, its regression on that elsewhere.

    `left` is the residual at the posterior means, 0 where it is missing. Returns its expectation, how that depends on the
    latents, and the factors of the covariance that what is missing has beside.
    """
    seen = node.seen
    assert isinstance(seen, Symbol)
    if "cov" not in node.arguments or not node.event:
        unseen = run.statement(f"unseen{node.suffix}", Where(seen, ZERO, Number(1.0)), "numerics")
        return left, tuple(_masked(slope, seen) for slope in slopes), (unseen, variance(node.arguments))
    B, V = regression(run, node, seen, run.precisions[node.variable])
    fill = _followed(B, left, node.event)
    return fill, tuple(_regressed(slope, B, node.event) for slope in slopes), (V,)


def conditioned(
    run: Elimination, node: Node, seen: Symbol, mean: Expr, residual: Symbol
) -> tuple[Symbol, Expr, tuple[Slope, ...]]:
    """What is left of a Gaussian variable when some of it is seen: its mean, its covariance, and how it follows its parents.

    All are of what is missing; what is seen is its own mean, with covariance 0. `residual` is 0 where it is missing.
    """
    name, value = node.variable, node.value
    assert value is not None
    text = f"{name} itself, or E[{name} | what is seen of it]"
    if "cov" not in node.arguments or not node.event:
        origin = run.statement(f"prior_mean_{name}", Where(seen, value, mean), "numerics", text)
        spread = Where(seen, ZERO, variance(node.arguments))
        V = run.statement(f"V_of_{name}", spread, "numerics", "its variance, 0 where it is seen")
        unseen = run.statement(f"unseen{node.suffix}", Where(seen, ZERO, Number(1.0)), "numerics")
        return origin, V, tuple(_masked(slope, unseen) for slope in node.slopes)
    B, V = regression(run, node, seen, run.precisions[name])
    fill = _followed(B, residual, node.event)
    origin = run.statement(f"prior_mean_{name}", Where(seen, value, build.add(mean, fill)), "numerics", text)
    if not node.slopes:
        return origin, V, ()
    rest = Where(seen, ZERO, build.subtract(Identity(node.event), B))
    R = run.statement(f"R{node.suffix}", rest, "numerics", "I - B, 0 for what is seen")
    return origin, V, tuple(_regressed(slope, R, node.event) for slope in node.slopes)


def _masked(slope: Slope, seen: Symbol) -> Slope:
    """The coefficient of a latent, 0 for what is missing."""
    there: Expr = seen if slope.coefficient is None else Binary("*", slope.coefficient, seen)
    return replace(slope, coefficient=there)


def _regressed(slope: Slope, B: Symbol, event: Axes) -> Slope:
    """B C, the coefficient of a latent in the expectation of a residual."""
    row, column = event
    if slope.elementwise:
        names = {column: slope.entries[0]}
        gain: Expr = reindexed(B, names)
        if slope.coefficient is not None:
            gain = Binary("*", gain, reindexed(slope.coefficient, {row: slope.entries[0]}))
        return replace(slope, coefficient=gain, elementwise=False)
    assert slope.coefficient is not None
    C = reindexed(slope.coefficient, {row: column})
    axes = (*build.minus(union(B, C), (row, column, *slope.entries)), row, *slope.entries[:1])
    return replace(slope, coefficient=build.einsum(axes, B, C))


def _times(left: Expr, right: Expr, event: Axes, inner: Axis) -> Expr:
    """The product of two matrices over the entries of a vector."""
    row, column = event
    batch = build.minus(union(left, right), event)
    return build.einsum(
        (*batch, row, column), reindexed(left, {column: inner}), reindexed(right, {row: inner})
    )


def expected(run: Elimination, node: Node, parts: tuple[Expr, ...], axes: Axes) -> Expr:
    """The sum over members of the product of some parts, with what is expected where numbers are missing."""
    if node.residual is None:
        assert node.seen is not None
        return build.einsum(axes, *parts, node.seen)
    found = run.filled[node.label, node.residual.name]
    parts = (*parts, *found.present)
    random = [
        p for p in parts if isinstance(p, Symbol) and p.space == "local" and p.name == node.residual.name
    ]
    value = build.einsum(axes, *parts) if parts else Number(1.0)
    if not random:
        return value
    others = tuple(part for part in parts if part not in random)
    if len(random) == 1:
        names = _names(node.residual, random[0])
        more = tuple(reindexed(factor, names) for factor in found.mean)
    else:
        others = tuple(part for part in others if part != found.weight)
        more = found.square
    return Binary("+", value, build.einsum(axes, *others, *more), axes) if more else value


def _names(one: Symbol, other: Symbol) -> Mapping[Axis, Axis]:
    """The axes of an array as another reading of it has them."""
    return dict(zip(one.axes, other.axes, strict=True))
