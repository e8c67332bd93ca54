"""Gaussian latents integrated out, one at a time, and their posterior moments on the way back.

For a latent y ~ N(sum_u C_u u, P), in distances from prior means, times exp(eta' y - 1/2 y' Lambda y - sum_s y' Lambda_s s), with
S = (I + P Lambda)^-1, completing the square gives

    y | the others ~ N(S P eta + sum_u S C_u u - sum_s S P Lambda_s s, V),   V = S P = (P^-1 + Lambda)^-1,

and ln integral = eta' V eta / 2 - ln |I + P Lambda| / 2 + a quadratic form in the others. P may be singular: it is never inverted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bnlab.families.base import Node, Slope, registry
from bnlab.inference import wording
from bnlab.inference.factor import Factor
from bnlab.inference.gaussian import (
    Pair,
    Quadratic,
    Spread,
    back,
    called,
    contract,
    forward,
    matrix_times,
    pair,
    spread_times,
    times_spread,
    turned_times,
)
from bnlab.inference.pieces import Piece
from bnlab.inference.plan import Integrate, IntegrateChain, LeavePlates
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ops import (
    Axes,
    Constant,
    Einsum,
    Expr,
    Identity,
    Linear,
    Number,
    Symbol,
    Unary,
)

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


@dataclass(frozen=True, slots=True)
class Moments:
    """Posterior means (of the distances from the prior means) and covariances of Gaussian latents, for each member of `plates`."""

    mean: Mapping[VarRef, Expr]
    cov: Mapping[Pair, Expr]
    plates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Solved:
    """A latent that has been integrated out: its mean given 0 for the others, its covariance, and the gain of each other."""

    mean: Expr
    cov: Expr
    gains: Mapping[VarRef, Expr]


# -- distributions


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


def zero_free(expr: Expr) -> Expr:
    """An array of zeros as the number 0."""
    return Number(0.0) if isinstance(expr, Constant) and not any(expr.flat) else expr


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


def declare_child(run: Elimination, factor: Factor, piece: Piece, node: Node) -> None:
    """An observed child of Gaussian latents, as a function of these."""
    assert node.value is not None
    about = prior_mean(run, node, factor.plates)
    residual: Expr = node.value
    if about != Number(0.0):
        text = f"{factor.variable} less its prior mean"
        residual = run.statement(f"r_{factor.variable}", build.subtract(residual, about), "numerics", text)
    else:
        residual = node.value
    arguments = {**node.arguments, "mean": Number(0.0)}
    plain = replace(node, value=residual, arguments=arguments, slopes=(), terms=())
    density = registry()["Normal"].density(plain)
    given = (residual,) if isinstance(residual, Symbol) and residual.space == "local" else ()
    constant = run.density(factor, piece, density, given, " at the prior means")
    spread = spread_of(node, node.event)
    precision = _precision(run, factor, spread)
    weighted = _weigh(precision, spread, residual, node.event)
    shift: dict[VarRef, Expr] = {}
    matrix: dict[Pair, Expr] = {}
    for place, slope in enumerate(node.slopes):
        ref = VarRef(slope.parent, slope.lag)
        at = run.layout.vector(ref, 3)
        value = back(slope, node.event, weighted, at)
        shift[ref] = build.add(shift[ref], value) if ref in shift else value
        for other in node.slopes[place:]:
            key, value = _curvature(run, node, spread, precision, slope, other)
            matrix[key] = build.add(matrix[key], value) if key in matrix else value
    run.quadratics[factor.name] = Quadratic(constant, shift, matrix)
    run.residuals[factor.variable] = residual


def _precision(run: Elimination, factor: Factor, spread: Spread) -> Expr:
    if spread.full:
        value: Expr = Linear("inverse", spread.value, spread.value.axes)
        text = "precision"
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


def coefficient(slope: Slope, event: Axes, child: Axes, parent: Axes) -> Expr:
    """The coefficient of a slope over the entries `child` and `parent`; 1 where there is none."""
    if slope.coefficient is None:
        return Number(1.0)
    names = dict(zip(event[:1], child, strict=True))
    if not slope.elementwise:
        names |= dict(zip(slope.entries[:1], parent, strict=True))
    return called(slope.coefficient, names)


# -- up


def leave(run: Elimination, step: LeavePlates) -> None:
    """The product over the members of the plates that are left: constants, shifts and precisions add."""
    found = multiplied(run, step.factors)
    source, target = step.joint.plates, step.message.plates
    left = ", ".join(plate for plate in source if plate not in target)
    text = f"members of {left} are independent"
    constant = run.statement(
        f"{wording.title(step.message)}_in_{target[-1] if target else 'all'}",
        summed(run, found.constant, source, target),
        "leave plate",
        text,
    )
    shift, precision = {}, {}
    for ref, value in found.shift.items():
        shift[ref] = run.statement(
            f"eta_{ref.name}",
            summed(run, value, source, target),
            "leave plate",
            f"what the data say of {ref.name}",
        )
    for (a, b), value in found.precision.items():
        names = a.name if a == b else f"{a.name}_{b.name}"
        precision[a, b] = run.statement(
            f"Lambda_{names}", summed(run, value, source, target), "leave plate", f"and how precisely: {text}"
        )
    run.quadratics[step.message.name] = Quadratic(constant, shift, precision)


def summed(run: Elimination, value: Expr, source: tuple[str, ...], target: tuple[str, ...]) -> Expr:
    """The sum over the members of the plates that are left; what is the same for all of them, times their number."""
    if isinstance(value, Einsum) and len(value.operands) > 1:
        return _sum_inside(run, value, source, target)
    return _sum(run, value, source, target)


def _sum(run: Elimination, value: Expr, source: tuple[str, ...], target: tuple[str, ...]) -> Expr:
    graph = run.layout.graph
    left = [graph.plate(plate) for plate in source if plate not in target]
    for plate in left:
        axis = run.layout.plates[plate.name]
        if plate.size is not None:
            value = (
                build.total(value, (axis,))
                if axis in value.axes
                else contract((), Number(float(plate.size)), value)
            )
    rows_in, rows_out = run.rows(source), run.rows(target)
    chain = next((plate.name for plate in left if plate.chain), None)
    if chain is not None and run.layout.plates[chain] in value.axes:
        value = run.sum_steps(value, chain)
        chain = None
    if rows_in == rows_out:
        return value if chain is None else contract((), run.count(source, target), value)
    assert rows_in is not None
    if rows_in not in value.axes:
        return contract((), run.count(source, target), value)
    if chain is not None:
        value = contract((), run.steps(chain), value)
    return run.sum_rows(value, rows_in, rows_out)


def _sum_inside(run: Elimination, value: Einsum, source: tuple[str, ...], target: tuple[str, ...]) -> Expr:
    """The sum of a product of which one factor alone differs between members: that factor is summed first."""
    gone = set(run.layout.members(source)) - set(run.layout.members(target))
    differ = [operand for operand in value.operands if gone & set(operand.axes)]
    if len(differ) > 1:
        return _sum(run, value, source, target)
    if not differ:
        return contract((), run.count(source, target), value)
    inside = summed(run, differ[0], source, target)
    operands = [inside if operand is differ[0] else operand for operand in value.operands]
    over = tuple({axis for operand in value.operands for axis in operand.axes} - set(value.axes))
    return contract(over, *operands)


def multiplied(run: Elimination, names: tuple[str, ...]) -> Quadratic:
    """The product of factors: tables and Gaussian functions."""
    constants: list[Expr] = []
    shift: dict[VarRef, Expr] = {}
    precision: dict[Pair, Expr] = {}
    for name in names:
        found = run.quadratics.get(name)
        if found is None:
            constants.append(run.potentials[name].log)
            continue
        constants.append(found.constant)
        for ref, value in found.shift.items():
            shift[ref] = build.add(shift[ref], value) if ref in shift else value
        for key, value in found.precision.items():
            precision[key] = build.add(precision[key], value) if key in precision else value
    return Quadratic(build.add(*constants), shift, precision)


def integrate(run: Elimination, step: Integrate) -> None:
    """Completes the square in one latent."""
    ref, name = step.variable, step.variable.name
    entries = run.layout.vector(ref, 3)
    node = run.nodes[step.own]
    spread = spread_of(node, entries)
    found = multiplied(run, step.others)
    log, shift, precision = found.constant, dict(found.shift), dict(found.precision)
    eta, own = shift.pop(ref, None), precision.pop((ref, ref), None)
    across = {_other(key, ref): value for key, value in precision.items() if ref in key}
    precision = {key: value for key, value in precision.items() if ref not in key}
    if own is None or eta is None:
        solved = _unseen(run, node, spread, ref)
        run.solved[step.message.name] = solved
        run.pass_on(step, Quadratic(log, shift, precision))
        return
    eta, own = named(run, eta, f"eta_{name}"), named(run, own, f"Lambda_{name}")
    shrunk = inverse(build.add(unit(entries), spread_times(spread, own)), entries)
    S = run.statement(
        f"S_{name}", shrunk, "numerics", "how far the data leave the prior covariance P: S P is V"
    )
    text = f"Cov({at_name(run, ref)} | {observed_names(run)}) = (P^-1 + Lambda_{name})^-1, also where P is singular"
    V = run.statement(f"V_{name}", times_spread(S, spread), "posterior", text)
    mean = matrix_times(V, eta, entries) if entries else contract((), V, eta)
    origin = f" - {plain_origin(run, ref)}"
    d = run.statement(
        f"d_{name}", mean, "posterior", f"E[{at_name(run, ref)} | {observed_names(run)}]{origin}"
    )
    energy = contract((), Number(0.5), contract(entries[:1], eta, d))
    log = build.add(log, energy, contract((), Number(0.5), log_det(S, entries)))
    gains: dict[VarRef, Expr] = {}
    if node.slopes:
        pulled = named(run, multiplied_matrix(own, S, entries), f"K_{name}", "Lambda S")
        seen = named(run, turned(S, eta, entries), f"k_{name}", "S' eta")
        _onto_parents(run, node, S, pulled, seen, across, shift, precision)
        for slope in node.slopes:
            parent = VarRef(slope.parent, slope.lag)
            at = run.layout.vector(parent, 3)
            gain = multiplied_matrix(S, coefficient_matrix(slope, entries, at), entries)
            gains[parent] = _plus(gains.get(parent), gain)
    _onto_partners(run, ref, V, d, across, shift, precision)
    for other, cross in across.items():
        gain = contract((), Number(-1.0), multiplied_matrix(V, cross, entries))
        gains[other] = _plus(gains.get(other), gain)
    run.solved[step.message.name] = Solved(d, V, gains)
    run.pass_on(step, Quadratic(log, shift, precision))


def _plus(old: Expr | None, new: Expr) -> Expr:
    return new if old is None else build.add(old, new)


def _other(key: Pair, ref: VarRef) -> VarRef:
    return key[1] if key[0] == ref else key[0]


def _onto_parents(
    run: Elimination,
    node: Node,
    S: Expr,
    K: Expr,
    k: Expr,
    across: Mapping[VarRef, Expr],
    shift: dict[VarRef, Expr],
    precision: dict[Pair, Expr],
) -> None:
    """What the data say of a latent, said of its parents: C' k, C' K C, and C' S' Lambda_s with those beside it."""
    own = VarRef(node.variable)
    entries = run.layout.vector(own, 3)
    for place, slope in enumerate(node.slopes):
        u = VarRef(slope.parent, slope.lag)
        at = run.layout.vector(u, 3)
        shift[u] = _plus(shift.get(u), back(slope, entries, k, at))
        for other in node.slopes[place:]:
            v = VarRef(other.parent, other.lag)
            names = run.layout.vector(v, 3)
            ends = names[1:2] if u == v else names[:1]
            half = other_side(K, other, entries, ends)
            precision[pair(u, v)] = _plus(precision.get(pair(u, v)), back(slope, entries, half, at))
        for s, cross in across.items():
            seen = turned(S, cross, entries)
            value = back(slope, entries, seen, at)
            if s == u:
                value = _symmetric(value, run.layout.vector(s, 3))
            precision[pair(u, s)] = _plus(precision.get(pair(u, s)), value)


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


def _symmetric(value: Expr, entries: Axes) -> Expr:
    """A + A': the same latent on both sides of a product."""
    if not entries:
        return contract((), Number(2.0), value)
    return build.add(value, called(value, {entries[0]: entries[1], entries[1]: entries[0]}))


def _onto_partners(
    run: Elimination,
    ref: VarRef,
    V: Expr,
    d: Expr,
    across: Mapping[VarRef, Expr],
    shift: dict[VarRef, Expr],
    precision: dict[Pair, Expr],
) -> None:
    """What is left of the data for the latents that share a child with the one integrated out."""
    entries = run.layout.vector(ref, 3)
    others = list(across)
    for place, s in enumerate(others):
        told = contract(entries[:1], across[s], d)
        shift[s] = build.subtract(shift[s], told) if s in shift else contract((), Number(-1.0), told)
        for t in others[place:]:
            at = run.layout.vector(t, 3)
            right = called(across[t], {at[0]: at[1]}) if s == t and at else across[t]
            value = contract(entries[:1], across[s], multiplied_matrix(V, right, entries))
            key = pair(s, t)
            known = precision.get(key)
            precision[key] = (
                build.subtract(known, value) if known is not None else contract((), Number(-1.0), value)
            )


def multiplied_matrix(left: Expr, right: Expr, entries: Axes) -> Expr:
    return matrix_times(left, right, entries) if entries else contract((), left, right)


def turned(left: Expr, right: Expr, entries: Axes) -> Expr:
    return turned_times(left, right, entries) if entries else contract((), left, right)


def _unseen(run: Elimination, node: Node, spread: Spread, ref: VarRef) -> Solved:
    """A latent that no data tell anything of: it follows its prior."""
    entries = run.layout.vector(ref, 3)
    cov = spread.value
    if not spread.full and entries:
        cov = contract((), cov, Identity(entries[:2]))
    gains: dict[VarRef, Expr] = {}
    for slope in node.slopes:
        parent = VarRef(slope.parent, slope.lag)
        gains[parent] = _plus(
            gains.get(parent), coefficient_matrix(slope, entries, run.layout.vector(parent, 3))
        )
    return Solved(Number(0.0), cov, gains)


def unit(entries: Axes) -> Expr:
    return Identity(entries[:2]) if entries else Number(1.0)


def inverse(expr: Expr, entries: Axes) -> Expr:
    return Linear("inverse", expr, expr.axes) if entries else build.divide(Number(1.0), expr)


def log_det(expr: Expr, entries: Axes) -> Expr:
    return Linear("log_det", expr, build.minus(expr.axes, entries)) if entries else build.log(expr)


def named(run: Elimination, value: Expr, wanted: str, text: str = "") -> Symbol:
    """The value as a statement of its own, unless it is one."""
    if isinstance(value, Symbol) and value.space == "local":
        return value
    return run.statement(wanted, value, "numerics", text)


# -- down


def moments(run: Elimination, name: str) -> Moments:
    """The posterior moments of the Gaussian latents that a factor or message holds, at the plates where they were integrated out."""
    step = run.consumer(name)
    assert step is not None
    match step:
        case LeavePlates():
            return moments(run, step.message.name)
        case Integrate():
            if step.message.name not in run.moments:
                run.moments[step.message.name] = _clique(run, step)
            return run.moments[step.message.name]
        case IntegrateChain():
            return run.smoothed(step, name)
        case _:
            raise AssertionError("discrete latents are summed out after Gaussian ones")


def _clique(run: Elimination, step: Integrate) -> Moments:
    """The moments of a latent that was integrated out, together with those of the latents that it depended on."""
    ref, name = step.variable, step.variable.name
    solved = run.solved[step.message.name]
    if not step.message.continuous:
        return Moments({ref: solved.mean}, {(ref, ref): solved.cov}, step.joint.plates)
    outer = at_members(run, moments(run, step.message.name), step.joint.plates)
    entries = run.layout.vector(ref, 3)
    gains = {
        other: named(run, gain, f"G_{name}_{other.name}", f"how E[{name}] follows {other.name}")
        for other, gain in solved.gains.items()
    }
    mean = build.add(
        solved.mean, *(_applied(run, gain, other, outer.mean[other]) for other, gain in gains.items())
    )
    if solved.mean == Number(0.0):
        mean = build.add(*(_applied(run, gain, other, outer.mean[other]) for other, gain in gains.items()))
    m = run.statement(
        f"m_{name}", mean, "posterior", f"E[{at_name(run, ref)} | {observed_names(run)}] less its prior mean"
    )
    means, covs = {**outer.mean, ref: m}, dict(outer.cov)
    for other in outer.mean:
        parts = [_crossed(run, gain, source, other, outer) for source, gain in gains.items()]
        covs[pair(ref, other)] = named(
            run,
            build.add(*parts),
            f"V_{name}_{other.name}",
            f"Cov({name}, {other.name} | {observed_names(run)})",
        )
    spreads = [_crossed_back(run, gain, other, ref, covs, entries) for other, gain in gains.items()]
    covs[ref, ref] = run.statement(
        f"V_{name}_all",
        build.add(solved.cov, *spreads),
        "posterior",
        f"Cov({at_name(run, ref)} | {observed_names(run)})",
    )
    return Moments(means, covs, step.joint.plates)


def _applied(run: Elimination, gain: Expr, other: VarRef, mean: Expr) -> Expr:
    return contract(run.layout.vector(other, 3)[:1], gain, mean)


def _crossed(run: Elimination, gain: Expr, source: VarRef, other: VarRef, outer: Moments) -> Expr:
    """G Cov(source, other), over the entries of the latent and of `other`."""
    rows = run.layout.vector(source, 3)
    cov = outer.cov[pair(source, other)]
    if not rows:
        return contract((), gain, cov)
    if source != other:
        return contract(rows[:1], gain, cov)
    return contract(
        rows[2:3], called(gain, {rows[0]: rows[2]}), called(cov, {rows[0]: rows[2], rows[1]: rows[0]})
    )


def _crossed_back(
    run: Elimination, gain: Expr, other: VarRef, ref: VarRef, covs: Mapping[Pair, Expr], entries: Axes
) -> Expr:
    """Cov(ref, other) G', over the rows and columns of the latent."""
    at = run.layout.vector(other, 3)
    turned_gain = called(gain, dict(zip(entries[:1], entries[1:2], strict=True)))
    return contract(at[:1], covs[pair(ref, other)], turned_gain)


def at_members(run: Elimination, found: Moments, plates: tuple[str, ...]) -> Moments:
    """Moments brought to the members of inner plates."""
    if run.rows(found.plates) == run.rows(plates):
        return Moments(found.mean, found.cov, plates)
    where = plates[-1]
    means = {
        ref: named(run, run.brought(value, found.plates, plates), f"m_{ref.name}_in_{where}")
        for ref, value in found.mean.items()
    }
    covs = {key: run.brought(value, found.plates, plates) for key, value in found.cov.items()}
    return Moments(means, covs, plates)


def plain_origin(run: Elimination, ref: VarRef) -> str:
    """What distances of a latent are measured from, in words."""
    origin = run.origins.get(ref.name, Number(0.0))
    return origin.name if isinstance(origin, Symbol) else "0" if origin == Number(0.0) else "its prior mean"


def at_name(run: Elimination, ref: VarRef) -> str:
    plates = run.layout.graph.variable(ref.name).plates
    index = ",".join(wording.indices(run.layout, plates, ref.name, ref.lag))
    return f"{ref.name}[{index}]" if index else ref.name


def observed_names(run: Elimination) -> str:
    return ", ".join(variable.name for variable in run.layout.graph.in_role("observed"))
