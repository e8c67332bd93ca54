"""Expected statistics of Normal nodes that Gaussian latents take part in.

What a node's parameters are learnt from is its residual, the variable less its mean under the old parameters, and the latents
that its mean reads. Their expectations are those at the posterior means; that of a product of two of them has their
posterior covariance added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bnlab.families.base import Node, Slope
from bnlab.inference.at_means import residual_at
from bnlab.inference.chain import cut
from bnlab.inference.factor import Factor
from bnlab.inference.gaussian import called, coefficient, forward, pair, zero_free
from bnlab.inference.integrate import at_name, observed_names
from bnlab.inference.linear_nodes import prior_mean
from bnlab.inference.missing import filled
from bnlab.inference.moments import Moments, at_members, moments
from bnlab.inference.nodes import indicators
from bnlab.inference.pieces import Piece
from bnlab.inference.plan import Integrate, IntegrateChain, LeavePlates
from bnlab.inference.potentials import marginal
from bnlab.inference.products import count, named
from bnlab.network.ir import Variable, VarRef
from bnlab.program import build
from bnlab.program.ops import (
    ROW,
    STATE,
    STEP,
    Axes,
    Binary,
    Broadcast,
    Einsum,
    Expr,
    Linear,
    Number,
    Symbol,
    union,
)

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


@dataclass(frozen=True, slots=True)
class Random:
    """What an array is the expectation of: a sum of coefficients times Gaussian latents, less known parts.

    `entries` is the axis of its own entries, where it is a vector; `noise` are factors of the covariance that it has beside
    that of the latents, where numbers are missing.
    """

    sides: tuple[tuple[VarRef, Slope], ...]
    entries: Axes
    noise: tuple[Expr, ...] = ()


def with_residual(run: Elimination, factor: Factor, piece: Piece) -> Node:
    """The node with its residual and its regressors at the posterior means."""
    node, name = run.nodes[piece.label], factor.variable
    found = at_members(run, moments(run, factor.name), factor.plates)
    value = residual_at(run, factor) if node.value is not None else _latent_residual(run, factor, node, found)
    terms, own = list(node.terms), VarRef(name)
    for slope in node.slopes:
        if terms[slope.place].free:
            terms[slope.place] = replace(terms[slope.place], value=_regressor(run, node, slope, found))
    label = "e_" + piece.label.replace(".", "_")
    turned = tuple(replace(_at_steps(run, factor, slope), sign=-slope.sign) for slope in node.slopes)
    noise: tuple[Expr, ...] = ()
    text = f"{name} less its mean, at the posterior means"
    if node.seen is not None:
        value, turned, noise = filled(run, node, value, turned)
        label, text = f"filled_{label}", f"E[{name} less its mean]"
    if (
        node.event and node.event[0] not in value.axes
    ):  # a latent that nothing reads: 0 for each of its entries
        value = Broadcast(value, value, (*value.axes, node.event[0]))
    residual = named(run, value, label, text)
    sides = [] if node.value is not None else [(own, Slope(name, 0, node.event[:1], None, True, 1))]
    sides += [(VarRef(slope.parent, slope.lag), slope) for slope in turned]
    run.randoms[piece.label, residual.name] = Random(tuple(sides), node.event[:1], noise)
    changed = replace(node, residual=residual, terms=tuple(terms))
    run.nodes[piece.label] = changed
    return changed


def _latent_residual(run: Elimination, factor: Factor, node: Node, found: Moments) -> Expr:
    """A Gaussian latent less its mean, at the posterior means."""
    step, name = run.consumer(factor.name), factor.variable
    value = found.mean[VarRef(name)]
    if name in run.conditioned:  # measured from what is seen of it
        about = prior_mean(run, node, factor.plates)
        value = build.add(build.subtract(run.origins[name], about), value)
    elif isinstance(step, Integrate) and (step.message.name, "all") in run.moved:
        return run.moved[step.message.name, "all"].away
    for slope in node.slopes:
        ref = VarRef(slope.parent, slope.lag)
        turned = _at_steps(run, factor, slope)
        value = build.subtract(value, forward(turned, node.event, found.mean[ref], run.layout.vector(ref, 3)))
    if isinstance(step, IntegrateChain) and factor.variable in step.variables:
        value = build.subtract(value, _part(run, factor, zero_free(node.arguments["mean"])))
    return value


def _regressor(run: Elimination, node: Node, slope: Slope, found: Moments) -> Symbol:
    """The posterior mean of a latent that the coefficients multiply, as the mean itself and not its distance from before."""
    ref = VarRef(slope.parent, slope.lag)
    held = node.terms[slope.place].value
    assert held is not None
    origin = run.origins.get(ref.name, Number(0.0))
    mean = found.mean[ref]
    label = f"{ref.name}_mean" + ("_before" if ref.lag else "")
    if origin != Number(0.0):
        carried = run.brought(origin, run.layout.graph.variable(ref.name).plates, found.plates)
        mean = build.add(carried, mean)
    symbol = named(run, mean, label, f"E[{at_name(run, ref)} | {observed_names(run)}]")
    at = run.layout.vector(ref, 1)
    value = called(symbol, dict(zip(at, held.axes, strict=True)))
    assert isinstance(value, Symbol)
    whole = Slope(ref.name, ref.lag, at, None, True, 1)
    run.randoms[node.label, value.name] = Random(((ref, whole),), held.axes)
    return value


def _part(run: Elimination, factor: Factor, value: Expr) -> Expr:
    """The steps of a chain that a factor stands at."""
    chain = next((plate for plate in factor.plates if run.layout.graph.plate(plate).chain), None)
    if chain is None or factor.steps == "all":
        return value
    return cut(value, run.layout.plates[chain], factor.steps)


def _at_steps(run: Elimination, factor: Factor, slope: Slope) -> Slope:
    if slope.coefficient is None:
        return slope
    return replace(slope, coefficient=_part(run, factor, slope.coefficient))


def expected(run: Elimination, factor: Factor, piece: Piece, operands: tuple[Expr, ...], axes: Axes) -> Expr:
    """E_q[sum over members of the product of the operands], of which two at most depend on latents."""
    node = run.nodes[piece.label]
    posterior = run.posterior(factor.name)
    weight = () if posterior is None else (_part(run, factor, posterior),)
    parted = tuple(_part(run, factor, operand) if not _is_cut(operand) else operand for operand in operands)
    chosen = indicators(run.layout, run.layout.graph.variable(factor.variable), piece)
    have = {axis for operand in (*parted, *weight) for axis in operand.axes}
    picks = tuple(_part(run, factor, chosen[axis]) for axis in axes if axis not in have and axis in chosen)
    parts = (*weight, *picks, *parted)
    parts = (*parts, *_ones(run, factor, node, parts))
    value: Expr = build.einsum(axes, *parts) if parts else Number(1.0)
    random = [o for o in parted if isinstance(o, Symbol) and (piece.label, o.name) in run.randoms]
    if len(random) < 2:
        return value
    others = tuple(operand for operand in parted if operand not in random)
    found = _covariance(run, factor, piece, (random[0], random[1]), (*picks, *others), axes)
    noise = run.randoms[piece.label, random[0].name].noise if random[0].name == random[1].name else ()
    beside = (build.einsum(axes, *weight, *picks, *others, *noise),) if noise else ()
    return _together(axes, value, *found, *beside)


def _is_cut(operand: Expr) -> bool:
    """Whether an operand is at the steps of its factor already."""
    return isinstance(operand, Symbol) and operand.space == "local"


def _ones(run: Elimination, factor: Factor, node: Node, parts: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """1 for each member that the parts do not tell apart, so that members are counted."""
    members = run.layout.members(factor.plates)
    if factor.steps == "first":
        members = tuple(axis for axis in members if axis.kind != STEP)
    alike = tuple(axis for axis in members if all(axis not in part.axes for part in parts))
    if not alike:
        return ()
    assert node.residual is not None
    return (Broadcast(Number(1.0), node.residual, alike),)


def _covariance(
    run: Elimination,
    factor: Factor,
    piece: Piece,
    random: tuple[Symbol, Symbol],
    others: tuple[Expr, ...],
    axes: Axes,
) -> tuple[Expr, ...]:
    """The posterior covariance of two sums of latents, summed over members: sum C_a Cov(a, b) C_b', by terms."""
    found = moments(run, factor.name)
    left, right = (run.randoms[piece.label, symbol.name] for symbol in random)
    inner = set(run.layout.members(factor.plates)) - set(run.layout.members(found.plates))
    rows = {axis for axis in inner if axis.kind in (ROW, STEP)}
    read = [slope.coefficient for _, slope in (*left.sides, *right.sides) if slope.coefficient is not None]
    apart = any(rows & set(part.axes) for part in (*read, *others))
    if apart:
        found = at_members(run, found, factor.plates)
    weights = others if found.summed is not None else (*_weights(run, factor, found, apart), *others)
    row, column = (_own_axes(one, symbol) for one, symbol in zip((left, right), random, strict=True))
    terms = [
        _term(run, factor.plates, a, b, found, weights, axes, (row, left.entries), (column, right.entries))
        for a in left.sides
        for b in right.sides
    ]
    return _merged(axes, [term for term in terms if term != Number(0.0)])


def _merged(axes: Axes, terms: list[Expr]) -> tuple[Expr, ...]:
    """The terms, those that are the same written once with their number."""
    totals: dict[Expr, float] = {}
    for term in terms:
        scale, value = 1.0, term
        if isinstance(term, Binary) and term.op == "*" and isinstance(term.left, Number):
            scale, value = term.left.value, term.right
        totals[value] = totals.get(value, 0.0) + scale
    return tuple(
        value if scale == 1 else Binary("*", Number(scale), value, axes)
        for value, scale in totals.items()
        if scale
    )


def _together(axes: Axes, *terms: Expr) -> Expr:
    """The sum of some arrays with these axes, laid out as they are."""
    total = terms[0]
    for term in terms[1:]:
        if (
            isinstance(term, Binary)
            and term.op == "*"
            and isinstance(term.left, Number)
            and term.left.value < 0
        ):
            rest = term.right
            if term.left.value != -1:
                rest = Binary("*", Number(-term.left.value), rest, axes)
            total = Binary("-", total, rest, axes)
        else:
            total = Binary("+", total, term, axes)
    return total


def _own_axes(one: Random, symbol: Symbol) -> Axes:
    """The axis of the entries of an array as it is read here: the last one."""
    return symbol.axes[-1:] if one.entries else ()


def _weights(run: Elimination, factor: Factor, found: Moments, apart: bool) -> tuple[Expr, ...]:
    """The weight of the covariance of each member of the plates that it is found at."""
    if found.plates == factor.plates or apart:
        posterior = run.posterior(factor.name)
        return () if posterior is None else (_part(run, factor, posterior),)
    name = factor.name
    while isinstance(step := run.consumer(name), LeavePlates):
        name = step.message.name
    posterior = run.posterior(name)
    counted: list[Expr] = [] if posterior is None else [posterior]
    left = [run.layout.graph.plate(plate) for plate in factor.plates if plate not in found.plates]
    if any(plate.size is None for plate in left):
        counted.append(count(run, factor.plates, found.plates))
    return tuple(counted)


def _term(
    run: Elimination,
    plates: tuple[str, ...],
    left: tuple[VarRef, Slope],
    right: tuple[VarRef, Slope],
    found: Moments,
    weights: tuple[Expr, ...],
    axes: Axes,
    rows: tuple[Axes, Axes],
    columns: tuple[Axes, Axes],
) -> Expr:
    """One product; `rows` are the axes of the left sum's entries as they are read here and as its coefficients have them."""
    (a, one), (b, two) = left, right
    cov = found.cov.get(pair(a, b), Number(0.0))
    if cov == Number(0.0):
        return Number(0.0)
    (row, own_row), (column, own_column) = rows, columns
    first, second = run.layout.vector(a, 3), run.layout.vector(b, 3)
    start, end = first[:1], second[1:2] if a == b else second[:1]
    left_end = row if one.elementwise else first[2:]
    right_end = column if two.elementwise else second[1:2]
    if one.elementwise and two.elementwise and row and row == column:
        cov = Linear("diagonal", cov, (*build.minus(cov.axes, (*start, *end)), row[0]))
    else:
        names = dict(zip((*start, *end), (*left_end, *right_end), strict=True))
        cov = called(cov, names)
    c_a, c_b = coefficient(one, own_row, row, left_end), coefficient(two, own_column, column, right_end)
    factors = [
        part for part in (*weights, c_a, *_parts(cov, (*weights, c_a, c_b)), c_b) if part != Number(1.0)
    ]
    missing = tuple(axis for axis in axes if all(axis not in part.axes for part in factors))
    if missing:
        factors.append(Broadcast(Number(1.0), factors[0], missing))
    told = factors if found.summed is None else [*factors, found.summed]
    scale = float(one.sign * two.sign) * _number(run, plates, told)
    value = build.einsum(axes, *factors)
    return value if scale == 1 else Binary("*", Number(scale), value, axes)


def _parts(cov: Expr, others: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """The factors of a covariance that is a product: summed over members before they are multiplied."""
    if not isinstance(cov, Einsum):
        return (cov,)
    inside = {axis for part in cov.operands for axis in part.axes} - set(cov.axes)
    apart = not any(inside & set(other.axes) for other in others)
    return cov.operands if apart else (cov,)


def _number(run: Elimination, plates: tuple[str, ...], factors: list[Expr]) -> int:
    """How often each counts because of sized plates that no factor tells apart."""
    number = 1
    for name in plates:
        axis = run.layout.plates[name]
        if axis.size is not None and all(axis not in part.axes for part in factors):
            number *= axis.size
    return number


def overall(run: Elimination, variable: Variable) -> tuple[Expr, Expr]:
    """The posterior mean and covariance of a Gaussian latent; those of a mixture where discrete latents are summed over."""
    ref, name = VarRef(variable.name), variable.name
    factor = next(f for f in run.plan.factors if f.variable == name and f.steps != "first")
    found = _everywhere(run, factor)
    entries = run.layout.vector(ref, 3)
    mean, cov = found.mean[ref], found.cov[ref, ref]
    origin = run.origins.get(name, Number(0.0))
    if origin != Number(0.0):
        mean = build.add(origin, mean) if mean != Number(0.0) else origin
    members = run.layout.members(variable.plates)
    wanted = (*members, *entries[:1])
    posterior = run.posterior(factor.name)
    states = tuple(axis for axis in union(mean, cov) if axis.kind == STATE)
    if not states or posterior is None:
        return repeated(run, mean, wanted), repeated(run, cov, (*members, *entries[:2]))
    q = marginal(posterior, tuple(axis for axis in posterior.axes if axis in (*members, *states)))
    inner = named(run, mean, f"mean_{name}_given", f"E[{name} | data, states]")
    centre = named(run, _averaged(wanted, q, inner), f"mean_{name}_overall", f"E[{name} | data]")
    away = named(
        run, build.subtract(inner, centre), f"away_{name}", "the means of the states, from that of all"
    )
    turned = called(away, {entries[0]: entries[1]}) if entries else away
    square = (*members, *entries[:2])
    spread = build.add(_averaged(square, q, cov), _averaged(square, q, away, turned))
    return repeated(run, centre, wanted), repeated(run, spread, square)


def _averaged(axes: Axes, *parts: Expr) -> Expr:
    """The sum of the product over all but these axes, of which the parts may lack some: it is the same for all members then."""
    return build.einsum(tuple(axis for axis in axes if axis in union(*parts)), *parts)


def _everywhere(run: Elimination, factor: Factor) -> Moments:
    """The moments at all steps of a chain, or of all members."""
    step = run.consumer(factor.name)
    if isinstance(step, IntegrateChain) and factor.variable in step.variables:
        return run.smoothed(step, "")
    return moments(run, factor.name)


def repeated(run: Elimination, value: Expr, axes: Axes) -> Expr:
    """The value for every member: repeated where it is the same for some."""
    if set(value.axes) == set(axes):
        return build.arranged(value, axes)
    rows = tuple(axis for axis in axes if axis.size is None)
    masks = (run.mask(axis.name) for axis in rows if axis.kind == STEP)
    known = (*run.residuals.values(), *(mask for mask in masks if mask is not None))
    found = [data for data in known if set(rows) <= set(data.axes)]
    return Broadcast(value, found[0] if found else run.weight(rows[-1]), axes)
