"""Gaussian latents integrated out, one at a time.

For a latent y ~ N(sum_u C_u u, P), in distances from prior means, times exp(eta' y - 1/2 y' Lambda y - sum_s y' Lambda_s s),
with S = (I + P Lambda)^-1, completing the square gives

    y | the others ~ N(S P eta + sum_u S C_u u - sum_s S P Lambda_s s, V),   V = S P = (P^-1 + Lambda)^-1,

and what is left is exp of a quadratic form in the others. P may be singular: it is never inverted. The mean is
its prior mean, sum_u C_u u, plus P n with n = S' (eta - Lambda sum_u C_u u - sum_s Lambda_s s), so that n is P^-1 times what
the data move it by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bnlab.families.base import Node
from bnlab.inference import wording
from bnlab.inference.gaussian import (
    Pair,
    Quadratic,
    Spread,
    back,
    called,
    coefficient_matrix,
    contract,
    inverse,
    is_identity,
    log_det,
    matrix_times,
    multiplied_matrix,
    other_side,
    pair,
    plus,
    spread_times,
    times_spread,
    turned,
    unit,
)
from bnlab.inference.linear_nodes import spread_of
from bnlab.inference.plan import Integrate
from bnlab.inference.products import counted, multiplied, named
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Statement
from bnlab.program.ops import (
    Axes,
    Einsum,
    Expr,
    Identity,
    JointBasis,
    Linear,
    Number,
    Symbol,
    Unary,
    union,
)

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


WIDE = 16
"""From this many entries on, members whose precisions are multiples of one matrix share a basis: no inverse for each. The
basis has no derivative where eigenvalues repeat, so what is differentiated goes without it."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How far data move a latent from its prior mean given the others: `away`, P n. `left` and `right` have (P n)' P^-1 (P n)
    for their inner product."""

    away: Expr
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Told:
    """What data say of a latent, `eta` and `Lambda`, and what other latents do (`across`); `moved` is where it goes for what
    is said of it at its prior mean given the others."""

    eta: Expr
    Lambda: Expr
    across: Mapping[VarRef, Expr]
    moved: Callable[[Expr], Moved]


@dataclass(frozen=True, slots=True)
class Solved:
    """A latent that has been integrated out, given the others: its covariance, and the gain of each other in its mean.

    `told` is None where data say nothing of it; `log_det` is ln |S|.
    """

    cov: Expr
    gains: Mapping[VarRef, Expr]
    told: Told | None = None
    log_det: Expr = Number(0.0)


def integrate(run: Elimination, step: Integrate) -> None:
    """Completes the square in one latent."""
    ref, name = step.variable, step.variable.name
    entries = run.layout.vector(ref, 3)
    node = run.distribution(step.own)
    spread = spread_of(node, entries)
    found = multiplied(run, step.others)
    shift, precision = dict(found.shift), dict(found.precision)
    eta, own = shift.pop(ref, None), precision.pop((ref, ref), None)
    across = {_other(key, ref): value for key, value in precision.items() if ref in key}
    precision = {key: value for key, value in precision.items() if ref not in key}
    if own is None or eta is None:
        solved = _unseen(run, node, spread, ref)
        run.solved[step.message.name] = solved
        run.pass_on(step, Quadratic(shift, precision))
        return
    eta = named(run, eta, f"eta_{name}", f"what the data say of {name}")
    alike = counted(own)
    if (
        run.bases
        and alike is not None
        and spread.full
        and not node.slopes
        and not across
        and (entries[0].size or 0) >= WIDE
    ):
        run.solved[step.message.name] = _together(run, step, spread, eta, alike)
        run.pass_on(step, Quadratic(shift, precision))
        return
    own = named(run, own, f"Lambda_{name}", "and how precisely")
    shrunk = inverse(build.add(unit(entries), spread_times(spread, own)), entries)
    prior, inverted = _spelled(spread)
    given = [*step.message.scope, *step.message.continuous]
    told_of = ", ".join([observed_names(run), *(other.name for other in given)])
    text = f"Cov({at_name(run, ref)} | {told_of}) = ({inverted} + {_precision_text(run, name, alike)})^-1"
    if is_identity(spread):
        S = V = run.statement(f"V_{name}", shrunk, "moments", text)
    else:
        one, limit = ("I", "singular") if entries else ("1", "0")
        shrinks = f"({one} + {prior} Lambda_{name})^-1, there also if {prior} is {limit}"
        S = run.statement(f"S_{name}", shrunk, "numerics", shrinks)
        V = run.statement(f"V_{name}", times_spread(S, spread), "moments", text)
    told = Told(eta, own, across, partial(_moved, run, step, spread, S))
    gains: dict[VarRef, Expr] = {}
    if node.slopes:
        pulled = named(run, multiplied_matrix(own, S, entries), f"K_{name}", "Lambda S")
        seen = named(run, turned(S, eta, entries), f"k_{name}", "S' eta")
        _onto_parents(run, node, S, pulled, seen, across, shift, precision)
        for slope in node.slopes:
            parent = VarRef(slope.parent, slope.lag)
            at = run.layout.vector(parent, 3)
            gain = multiplied_matrix(S, coefficient_matrix(slope, entries, at), entries)
            gains[parent] = plus(gains.get(parent), gain)
    if across:
        mean = matrix_times(V, eta, entries) if entries else contract((), V, eta)
        text = f"E[{at_name(run, ref)} | {observed_names(run)}], with the others at their prior means"
        d = run.statement(f"d_{name}", mean, "moments", text)
        _onto_partners(run, ref, V, d, across, shift, precision)
    for other, cross in across.items():
        gain = contract((), Number(-1.0), multiplied_matrix(V, cross, entries))
        gains[other] = plus(gains.get(other), gain)
    run.solved[step.message.name] = Solved(V, gains, told, log_det(S, entries))
    run.pass_on(step, Quadratic(shift, precision))


def _together(
    run: Elimination, step: Integrate, spread: Spread, eta: Symbol, alike: tuple[Symbol, Expr]
) -> Solved:
    """The same where Lambda is a number times one matrix J: in a basis T with T T' = P and T' J T = diag(lambda) every
    posterior covariance is diagonal, V = T diag(1 / (1 + N lambda)) T', so that no member inverts a matrix of its own.
    """
    ref, name = step.variable, step.variable.name
    entries = run.layout.vector(ref, 3)
    row, column, inner = entries
    count, each = alike
    J = named(run, each, f"J_{name}", f"what one row tells of {name}")
    prior = spread.value.name if isinstance(spread.value, Symbol) else "P"
    batch = build.minus(union(spread.value, J), entries)
    text = f"T T' = {prior}, and T' {J.name} T is diagonal"
    basis = JointBasis(spread.value, J, (*batch, row, column), _is_inverse(run, J))
    T = run.statement(f"T_{name}", basis, "numerics", text)
    left, right = called(T, {column: inner}), called(T, {row: column, column: inner})
    JT = run.statement(f"JT_{name}", matrix_times(J, T, entries), "numerics")
    diagonal = contract((row,), left, called(JT, {column: inner}))
    spectrum = run.statement(f"lambda_{name}", called(diagonal, {inner: row}), "numerics", "the diagonal")
    value = build.divide(Number(1.0), build.add(Number(1.0), contract((), count, spectrum)))
    text = f"V = T diag(shrink) T' = ({prior}^-1 + {count.name} {J.name})^-1"
    shrink = run.statement(f"shrink_{name}", value, "posterior", text)
    along = called(shrink, {row: inner})
    V = build.einsum((*build.minus(union(along, left, right), entries), row, column), left, along, right)

    def moved(told: Expr) -> Moved:
        value = contract((), called(_in_basis(run, told, J, JT, T, entries), {inner: row}), shrink)
        g = run.statement(f"g_{name}", value, "posterior", "the same in the basis T")
        away = called(contract((inner,), called(g, {row: inner}), right), {column: row})
        d = run.statement(f"d_{name}", away, "moments", _mean_text(run, step))
        return Moved(d, g, g)

    return Solved(V, {}, Told(eta, J, {}, moved), build.total(build.log(shrink), (row,)))


def _moved(run: Elimination, step: Integrate, spread: Spread, S: Expr, told: Expr) -> Moved:
    """n = S' (what is said of the latent), and P n."""
    ref, name = step.variable, step.variable.name
    entries = run.layout.vector(ref, 3)
    value = turned(S, told, entries)
    alone = not step.message.continuous
    title, because = (f"d_{name}", "moments") if alone else (f"e_{name}", "posterior")
    text = _mean_text(run, step) if alone else f"{name} less its mean, at the posterior means"
    if is_identity(spread):
        d = run.statement(title, value, because, text)
        return Moved(d, d, d)
    text_n = f"{_spelled(spread)[1]} times what the data move {name} by"
    n = run.statement(f"n_{name}", value, "posterior", text_n)
    d = run.statement(title, spread_times(spread, n), because, text)
    return Moved(d, n, d)


def _spelled(spread: Spread) -> tuple[str, str]:
    """A prior covariance and its inverse, in words."""
    match spread.value:
        case _ if is_identity(spread):
            return "I", "I"
        case Symbol(name):
            prior = name
        case Unary("square", Symbol(name)):
            prior = f"{name}^2"
        case _:
            prior = "P"
    return prior, f"{prior}^-1" if spread.entries else f"1/{prior}"


def _precision_text(run: Elimination, name: str, alike: tuple[Symbol, Expr] | None) -> str:
    """The precision that the data add, in words: how many rows there are times that of one, if it is that."""
    count, each = alike or (None, None)
    if count is None or not isinstance(each, Symbol):
        return f"Lambda_{name}"
    made = (i.formula for i in run.body if isinstance(i, Statement) and i.target.name == each.name)
    return f"{count.name} {next(made, each.name)}"


def _mean_text(run: Elimination, step: Integrate) -> str:
    given = ", ".join([observed_names(run), *(other.name for other in step.message.scope)])
    return f"E[{at_name(run, step.variable)} | {given}]{plain_origin(run, step.variable)}"


def _is_inverse(run: Elimination, J: Symbol) -> bool:
    """Whether a matrix is the inverse of another, so that it is not singular."""
    return any(
        isinstance(item, Statement) and item.target.name == J.name and _inverted(item.expression)
        for item in run.body
    )


def _inverted(expr: Expr) -> bool:
    return isinstance(expr, Linear) and expr.op == "inverse"


def _in_basis(run: Elimination, told: Expr, J: Symbol, JT: Symbol, T: Symbol, entries: Axes) -> Expr:
    """T' eta; where eta is J times something, that times J T: one product of rows less."""
    row, column, inner = entries
    made = next((i.expression for i in run.body if isinstance(i, Statement) and i.target == told), None)
    if isinstance(made, Einsum) and len(made.operands) == 2:
        other = [part for part in made.operands if not (isinstance(part, Symbol) and part.name == J.name)]
        over = [axis for part in other for axis in part.axes if axis not in made.axes]
        if len(other) == 1 and len(over) == 1:
            return contract(tuple(over), other[0], called(JT, {row: over[0], column: inner}))
    return contract((row,), told, called(T, {column: inner}))


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
        shift[u] = plus(shift.get(u), back(slope, entries, k, at))
        for other in node.slopes[place:]:
            v = VarRef(other.parent, other.lag)
            names = run.layout.vector(v, 3)
            ends = names[1:2] if u == v else names[:1]
            half = other_side(K, other, entries, ends)
            precision[pair(u, v)] = plus(precision.get(pair(u, v)), back(slope, entries, half, at))
        for s, cross in across.items():
            # the axis of the same latent, read twice, is its second one here
            far = called(cross, dict(zip(at[:1], at[1:2], strict=True))) if s == u else cross
            value = back(slope, entries, turned(S, far, entries), at)
            if s == u:
                value = _symmetric(value, run.layout.vector(s, 3))
            precision[pair(u, s)] = plus(precision.get(pair(u, s)), value)


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


def _unseen(run: Elimination, node: Node, spread: Spread, ref: VarRef) -> Solved:
    """A latent that no data tell anything of: it follows its prior."""
    entries = run.layout.vector(ref, 3)
    cov = spread.value
    if not spread.full and entries:
        cov = contract((), cov, Identity(entries[:2]))
    gains: dict[VarRef, Expr] = {}
    for slope in node.slopes:
        parent = VarRef(slope.parent, slope.lag)
        gains[parent] = plus(
            gains.get(parent), coefficient_matrix(slope, entries, run.layout.vector(parent, 3))
        )
    return Solved(cov, gains)


def plain_origin(run: Elimination, ref: VarRef) -> str:
    """What distances of a latent are measured from, in words behind its mean; "" for 0."""
    origin = run.origins.get(ref.name, Number(0.0))
    if origin == Number(0.0):
        return ""
    return f" - {origin.name}" if isinstance(origin, Symbol) else " less its prior mean"


def at_name(run: Elimination, ref: VarRef) -> str:
    plates = run.layout.graph.variable(ref.name).plates
    index = ",".join(wording.indices(run.layout, plates, ref.name, ref.lag))
    return f"{ref.name}[{index}]" if index else ref.name


def observed_names(run: Elimination) -> str:
    return ", ".join(variable.name for variable in run.layout.graph.in_role("observed"))
