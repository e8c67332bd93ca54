"""Expected statistics of Normal nodes that Gaussian latents take part in.

What a node's parameters are learnt from is its residual: the variable less its mean under the old parameters. Its expectation is the
residual at the posterior means; that of its square has the posterior covariance of the residual added.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bnlab.families.base import Node, Slope
from bnlab.inference.chain import cut
from bnlab.inference.factor import Factor
from bnlab.inference.gaussian import called, contract, forward, pair
from bnlab.inference.integrate import Moments, at_members, coefficient, moments, named
from bnlab.inference.nodes import indicators
from bnlab.inference.plan import IntegrateChain, LeavePlates
from bnlab.inference.potentials import marginal
from bnlab.network.ir import Variable, VarRef
from bnlab.program import build
from bnlab.program.ops import STATE, STEP, Axes, Axis, Broadcast, Expr, Linear, Number, Symbol, union

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def with_residual(run: Elimination, factor: Factor) -> Node:
    """The node with its residual at the posterior means."""
    node = run.nodes[factor.name]
    name = factor.variable
    found = at_members(run, moments(run, factor.name), factor.plates)
    value: Expr = found.mean[VarRef(name)] if node.value is None else _data(run, factor)
    for slope in node.slopes:
        ref = VarRef(slope.parent, slope.lag)
        fitted = forward(_at_steps(run, factor, slope), node.event, found.mean[ref], run.layout.vector(ref, 3))
        value = build.subtract(value, fitted)
    if node.value is None and isinstance(run.consumer(factor.name), IntegrateChain):
        value = build.subtract(value, _part(run, factor, node.arguments["mean"]))
    label = "e_" + factor.name.replace(".", "_")
    text = f"{name} less its mean, at the posterior means"
    residual = named(run, value, label, text)
    changed = replace(node, residual=residual)
    run.nodes[factor.name] = changed
    return changed


def _data(run: Elimination, factor: Factor) -> Expr:
    return run.residuals[factor.variable]


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


def expected(run: Elimination, factor: Factor, operands: tuple[Expr, ...], axes: Axes) -> Expr:
    """E_q[sum over members of the product of the operands]; two residuals among them are those of the node."""
    node = run.nodes[factor.name]
    posterior = run.posterior(factor.name)
    weight = () if posterior is None else (_part(run, factor, posterior),)
    chosen = indicators(run.layout, run.layout.graph.variable(factor.variable), run.cpd(factor))
    have = {axis for operand in (*operands, *weight) for axis in operand.axes}
    picks = tuple(chosen[axis] for axis in axes if axis not in have and axis in chosen)
    parts = (*weight, *picks, *operands)
    parts = (*parts, *_ones(run, factor, axes, parts))
    value = build.einsum(axes, *parts)
    twice = sum(_is_residual(node, operand) for operand in operands) == 2
    if not twice:
        return value
    full = len({operand.axes for operand in operands if _is_residual(node, operand)}) == 2
    return build.add(value, _covariance(run, factor, node, picks, axes, full))


def _is_residual(node: Node, operand: Expr) -> bool:
    return isinstance(operand, Symbol) and node.residual is not None and operand.name == node.residual.name


def _ones(run: Elimination, factor: Factor, axes: Axes, parts: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """1 for each member that the parts do not tell apart, so that members are counted."""
    members = run.layout.members(factor.plates)
    if factor.steps == "first":
        members = tuple(axis for axis in members if axis.kind != STEP)
    alike = tuple(axis for axis in members if all(axis not in part.axes for part in parts))
    if not alike:
        return ()
    like = next((part for part in (run.nodes[factor.name].residual,) if part is not None), None)
    assert like is not None
    return (Broadcast(Number(1.0), like, alike),)


def _covariance(
    run: Elimination, factor: Factor, node: Node, picks: tuple[Expr, ...], axes: Axes, full: bool
) -> Expr:
    """The posterior covariance of the residual, summed over members: sum C_a Cov(a, b) C_b'."""
    found = moments(run, factor.name)
    own = VarRef(factor.variable)
    sides: list[tuple[VarRef, Slope]] = []
    if node.value is None:
        sides.append((own, Slope(own.name, 0, node.event[:1], None, None, True, 1)))
    for slope in node.slopes:
        turned = replace(_at_steps(run, factor, slope), sign=-slope.sign)
        sides.append((VarRef(slope.parent, slope.lag), turned))
    inner = set(run.layout.members(factor.plates)) - set(run.layout.members(found.plates))
    rows = any(
        inner & set(slope.coefficient.axes) & {axis for axis in inner if axis.size is None}
        for _, slope in sides
        if slope.coefficient is not None
    )
    if rows or picks:
        found = at_members(run, found, factor.plates)
        weights = _weights(run, factor, found, picks)
    else:
        weights = _weights(run, factor, found, ())
    terms = [
        _term(run, node, a, b, found, weights, axes, full) for a in sides for b in sides
    ]
    return build.add(*terms)


def _weights(run: Elimination, factor: Factor, found: Moments, picks: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """The weight of the covariance of each member of the plates that it is found at."""
    if found.plates == factor.plates or picks:
        posterior = run.posterior(factor.name)
        return (*(() if posterior is None else (_part(run, factor, posterior),)), *picks)
    name = factor.name
    while isinstance(step := run.consumer(name), LeavePlates):
        name = step.message.name
    posterior = run.posterior(name)
    counted: list[Expr] = [] if posterior is None else [posterior]
    left = [run.layout.graph.plate(plate) for plate in factor.plates if plate not in found.plates]
    if any(plate.size is None for plate in left):
        counted.append(run.count(factor.plates, found.plates))
    return tuple(counted)


def _term(
    run: Elimination,
    node: Node,
    left: tuple[VarRef, Slope],
    right: tuple[VarRef, Slope],
    found: Moments,
    weights: tuple[Expr, ...],
    axes: Axes,
    full: bool,
) -> Expr:
    (a, one), (b, two) = left, right
    cov = found.cov.get(pair(a, b), Number(0.0))
    if cov == Number(0.0):
        return Number(0.0)
    row = node.event[:1]
    column = node.event[1:2] if full else row
    rows, columns = run.layout.vector(a, 3)[:1], run.layout.vector(b, 3)[:1]
    if a == b:
        columns = run.layout.vector(b, 3)[1:2]
    names: dict[Axis, Axis] = {}
    names |= dict(zip(rows, row, strict=True)) if one.elementwise else {}
    names |= dict(zip(columns, column, strict=True)) if two.elementwise else {}
    if one.elementwise and two.elementwise and row and not full:
        held = build.minus(cov.axes, (*rows, *columns))
        cov = called(Linear("diagonal", cov, (*held, row[0])), {})
    else:
        cov = called(cov, names)
    sign = Number(float(one.sign * two.sign))
    c_a, c_b = coefficient(one, node.event, row, rows), coefficient(two, node.event, column, columns)
    factors = [part for part in (*weights, c_a, cov, c_b) if part != Number(1.0)]
    missing = tuple(axis for axis in axes if all(axis not in part.axes for part in factors))
    if missing:
        factors.append(Broadcast(Number(1.0), factors[0], missing))
    value = build.einsum(axes, *_sized(run, node, factors, axes))
    return contract((), sign, value)


def _sized(run: Elimination, node: Node, factors: list[Expr], axes: Axes) -> list[Expr]:
    """The factors, and how often each counts because of sized plates that none of them tells apart."""
    plates = run.layout.graph.variable(node.variable).plates
    number = 1
    for name in plates:
        axis = run.layout.plates[name]
        if axis.size is not None and all(axis not in part.axes for part in factors):
            number *= axis.size
    return factors if number == 1 else [*factors, Number(float(number))]




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
        return _filled(run, mean, wanted), _filled(run, cov, (*members, *entries[:2]))
    q = marginal(posterior, tuple(axis for axis in posterior.axes if axis in (*members, *states)))
    inner = named(run, mean, f"mean_{name}_given", f"E[{name} | data, states]")
    centre = named(run, build.einsum(wanted, q, inner), f"mean_{name}_overall", f"E[{name} | data]")
    away = named(run, build.subtract(inner, centre), f"away_{name}", "the means of the states, from that of all")
    turned = called(away, {entries[0]: entries[1]}) if entries else away
    square = (*members, *entries[:2])
    return centre, build.add(build.einsum(square, q, cov), build.einsum(square, q, away, turned))


def _everywhere(run: Elimination, factor: Factor) -> Moments:
    """The moments at all steps of a chain, or of all members."""
    step = run.consumer(factor.name)
    return run.smoothed(step, "") if isinstance(step, IntegrateChain) else moments(run, factor.name)


def _filled(run: Elimination, value: Expr, axes: Axes) -> Expr:
    """The value for every member: repeated where it is the same for some."""
    if set(value.axes) == set(axes):
        return build.arranged(value, axes)
    rows = tuple(axis for axis in axes if axis.size is None)
    like = next(iter(run.residuals.values()))
    found = [data for data in run.residuals.values() if set(rows) <= set(data.axes)]
    if not found:
        like = run.weight(rows[-1])
    return Broadcast(value, found[0] if found else like, axes)
