"""The normal equations of regressions that share coefficients: one linear system in all of these.

The unknowns are the moves of the free coefficients from their old values. Axes that select every coefficient (and the entries
of the child, where these do not couple) tell systems apart: the `batch`. All others number the unknowns of one system.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from bnlab.families import normal_prior
from bnlab.families.base import PriorOn, Term, Use
from bnlab.families.normal_regression import (
    Block,
    Regressor,
    by_data,
    matrix,
    moment,
    pair,
    precision,
    regressors,
    spread_cells,
    spread_slot,
)
from bnlab.program.build import add, arranged, einsum, local, minus, multiply, subtract
from bnlab.program.ir import Statement
from bnlab.program.ops import (
    EVENT,
    Axes,
    Axis,
    Blocks,
    Broadcast,
    Constant,
    Expr,
    Keep,
    Number,
    Part,
    Solve,
    Symbol,
)
from bnlab.program.walk import reindexed


@dataclass(frozen=True, slots=True)
class Side:
    """A free coefficient in a mean: the term, its regressor, and where the latter stands among those of the node."""

    use: Use
    term: Term
    regressor: Regressor
    place: int


@dataclass(frozen=True, slots=True)
class System:
    """The unknowns by name, with their axes as the first use has them.

    `across` is the axis of the child's entries, where all of these have the same matrix and each its own right side.
    `cancels`: one covariance is a factor of all equations, so they do not depend on it.
    """

    sides: tuple[Side, ...]
    own: Mapping[str, Symbol]
    priors: Mapping[str, PriorOn]
    batch: Axes
    across: Axes
    full: bool
    cancels: bool

    def entries(self, name: str) -> Axes:
        """The axes that number the unknowns of a coefficient."""
        return minus(self.own[name].axes, (*self.batch, *self.across))

    @property
    def uses(self) -> tuple[Use, ...]:
        return tuple({side.use.node.label: side.use for side in self.sides}.values())


def copied(axis: Axis) -> Axis:
    """The same axis once more, for the columns of a matrix."""
    return Axis(axis.kind, axis.position, f"{axis.name}~", axis.letter.swapcase(), axis.size, axis.extent)


def copies(axes: Axes) -> Axes:
    return tuple(copied(axis) for axis in axes)


def system(uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> System:
    """How the equations of some regressions fall apart."""
    sides = tuple(_sides(uses, free))
    own: dict[str, Symbol] = {}
    for side in sides:
        assert isinstance(side.term.own, Symbol)
        own.setdefault(side.term.own.name, side.term.own)
    known = {name: priors[name] for name in own if name in priors}
    row = uses[0].node.event[:1]
    rows = not row or all(set(row) & set(_own(side).axes) for side in sides)
    spreads = {
        (spread_slot(use.node.arguments), use.node.own.get(spread_slot(use.node.arguments))) for use in uses
    }
    common = tuple(axis for axis in _shared(sides, own) if axis not in row)
    one = len(spreads) == 1 and not any(by_data(use.node) for use in uses) and not known
    inside = all(set(spread_cells(use.node)) <= set(common) for use in uses)
    per_entry = any(set(row) & set(_spread_axes(use)) for use in uses)
    own_rows = any(side.regressor.entries(side.use.node.event) and matrix(side.use.node) for side in sides)
    cancels = one and inside and (rows and not own_rows or not per_entry)
    couples = any(matrix(use.node) for use in uses) or any(_couples(known, own, row, name) for name in known)
    full = not cancels and couples
    split = bool(row) and rows and not full
    own_entries = any(side.regressor.entries(side.use.node.event) for side in sides)
    weighed = split and (own_entries or not cancels and (per_entry or bool(known)))
    batch = tuple(sorted((*common, *(row if weighed else ()))))
    return System(sides, own, known, batch, row if split and not weighed else (), full, cancels)


def _own(side: Side) -> Symbol:
    assert isinstance(side.term.own, Symbol), "a free coefficient is a parameter"
    return side.term.own


def _spread_axes(use: Use) -> Axes:
    return use.node.arguments[spread_slot(use.node.arguments)].axes


def _couples(priors: Mapping[str, PriorOn], own: Mapping[str, Symbol], row: Axes, name: str) -> bool:
    """Whether a prior couples the entries of the child."""
    return normal_prior.is_full(priors[name]) and own[name].axes[-1:] == row != ()


def _sides(uses: tuple[Use, ...], free: frozenset[str]) -> list[Side]:
    found = []
    for use in uses:
        known = regressors(use.node)
        for term in use.node.terms:
            if term.parameter in free:
                place = next(i for i, one in enumerate(known) if one.value == term.value)
                found.append(Side(use, term, known[place], place))
    return found


def _shared(sides: tuple[Side, ...], own: Mapping[str, Symbol]) -> Axes:
    """The axes that select every coefficient, in every use by the same variable."""

    def selects(axis: Axis, side: Side) -> bool:
        here, whole = _own(side).axes, own[_own(side).name].axes
        return axis in here and axis in whole and here.index(axis) == whole.index(axis)

    columns = {axis for side in sides for axis in side.term.columns}
    return tuple(
        axis
        for axis in _own(sides[0]).axes
        if axis not in columns and all(selects(axis, side) for side in sides)
    )


# -- blocks of the equations


def _names(found: System, side: Side, column: bool) -> dict[Axis, Axis]:
    """The coefficient's axes in this use as those of the unknowns: of the rows, or of the columns."""
    canonical = found.own[_own(side).name].axes
    keep = (*found.batch, *found.across)
    target = (axis if axis in keep or not column else copied(axis) for axis in canonical)
    return dict(zip(_own(side).axes, target, strict=True))


def _weight(found: System, use: Use) -> Expr | None:
    """The old precision of a use; None where it cancels, or stands in the statistics already."""
    if found.cancels or by_data(use.node):
        return None
    own = use.node.own[spread_slot(use.node.own)]
    if isinstance(own, Constant):
        return precision(use.node, own)
    return local(f"precision{use.node.suffix}", own.axes)


def precisions(found: System) -> list[Statement]:
    """The old precisions, by name."""
    made: dict[Symbol, Statement] = {}
    for use in found.uses:
        weight = _weight(found, use)
        if isinstance(weight, Symbol):
            value = precision(use.node, use.node.own[spread_slot(use.node.own)])
            made[weight] = Statement(weight, arranged(value, weight.axes), "maximise", OLD)
    return list(made.values())


OLD = "of the old spread: coefficients are maximised given it, it given the new ones (ECM: Q still rises)"


def identity(row: Axis, column: Axis) -> Constant:
    size = row.size or 1
    flat = tuple(float(i == j) for i in range(size) for j in range(size))
    return Constant(flat, (size, size), (row, column))


def _contribution(found: System, left: Side, right: Side) -> tuple[Expr, ...]:
    """The factors of what a pair of terms of one node adds to the equations."""
    node, weight = left.use.node, _weight(found, left.use)
    at = _names(found, left, False), _names(found, right, True)
    turned = left.place > right.place
    first, second = (right, left) if turned else (left, right)
    at_first, at_second = reversed(at) if turned else at
    block = pair(node, first.regressor, second.regressor)
    deltas: list[Expr] = []
    names: dict[Axis, Axis] = {}
    for axis in block.cells:
        one, other = at_first.get(axis), at_second.get(axis)
        if one is not None and other is not None and one != other:
            deltas.append(identity(one, other))
        names[axis] = one or other or copied(copied(axis))
    names |= {axis: at_first[axis] for axis in first.regressor.columns}
    names |= {
        stored: at_second[axis]
        for axis, stored in zip(second.regressor.columns, _columns(block, second), strict=True)
    }
    if node.event:
        e, twin = node.event
        mine, theirs = at_first.get(e), at_second.get(e)
        if found.full and matrix(node):
            names |= {e: mine or copied(copied(e)), twin: theirs or copied(copied(twin))}
        else:
            if mine is not None and theirs is not None and mine != theirs:
                deltas.append(identity(mine, theirs))
            names |= {e: mine or theirs or e}
    stat = reindexed(left.use.statistics[block.kind], names)
    return (stat, *((reindexed(weight, names),) if weight is not None else ()), *deltas)


def _columns(block: Block, side: Side) -> Axes:
    """The axes that the right factor's columns have in a block."""
    count = len(side.regressor.columns)
    return block.right[len(block.right) - count :]


def _right_side(found: System, side: Side) -> tuple[Expr, ...]:
    """The factors of what a term adds to the right side."""
    node, weight = side.use.node, _weight(found, side.use)
    block = moment(node, side.regressor)
    at = _names(found, side, False)
    names = {axis: at.get(axis, copied(copied(axis))) for axis in block.cells}
    names |= {axis: at[axis] for axis in side.regressor.columns}
    of_r, of_weight = names, names
    if node.event:
        e, twin = node.event
        mine = at.get(e, e)
        coupled = found.full and matrix(node) and not by_data(node)
        of_r = {**names, e: twin, twin: mine} if coupled else {**names, e: mine}
        of_weight = {**names, e: mine}
    stat = reindexed(side.use.statistics[block.kind], of_r)
    return (stat,) if weight is None else (stat, reindexed(weight, of_weight))


@dataclass(frozen=True, slots=True)
class Equations:
    """The matrix and the right side, the axis of the unknowns (none for a single number), and what is named first."""

    body: tuple[Statement, ...]
    matrix: Expr
    vector: Expr
    unknown: Axes


def equations(found: System) -> Equations:
    """The equations of all unknowns. Blocks that are not just statistics have names of their own."""
    names = list(found.own)
    sizes = {name: _size(found.entries(name)) for name in names}
    total = sum(sizes.values())
    rows = {name: found.entries(name) for name in names}
    if len(names) == 1 and len(rows[names[0]]) <= 1:
        unknown = rows[names[0]]
        axes = (*found.batch, *unknown, *copies(unknown))
        matrix_ = _block(found, names[0], names[0], axes)
        return Equations(
            (), matrix_, _vector(found, names[0], (*found.batch, *found.across, *unknown)), unknown
        )
    body: list[Statement] = []

    def named(title: str, value: Expr) -> Expr:
        if isinstance(value, Symbol | Broadcast):
            return value
        body.append(Statement(local(title, value.axes), value, "maximise"))
        return body[-1].target

    upper: dict[tuple[str, str], Expr] = {}
    for place, a in enumerate(names):
        for b in names[place:]:
            value = _block(found, a, b, (*found.batch, *rows[a], *copies(rows[b])))
            upper[a, b] = named(f"moments_{a}_{b}", value)
    numbered = Axis(EVENT, 9000, "coefficients", "p", total, "P")
    blocks = tuple(tuple(_either(found, upper, a, b) for b in names) for a in names)
    axes = (*found.batch, numbered, copied(numbered))
    every, columns = tuple(rows[a] for a in names), tuple(copies(rows[a]) for a in names)
    leading = (*found.batch, *found.across)
    vector = tuple(named(f"products_{a}", _vector(found, a, (*leading, *rows[a]))) for a in names)
    return Equations(
        tuple(body),
        Blocks(blocks, every, columns, axes),
        Blocks((vector,), every, (), (*leading, numbered)),
        (numbered,),
    )


def _either(found: System, upper: Mapping[tuple[str, str], Expr], one: str, other: str) -> Expr:
    """A block on or above the diagonal, or the transpose of one."""
    if (one, other) in upper:
        return upper[one, other]
    rows, columns = found.entries(one), found.entries(other)
    names = {axis: copied(axis) for axis in columns} | {copied(axis): axis for axis in rows}
    return arranged(reindexed(upper[other, one], names), (*found.batch, *rows, *copies(columns)))


def _size(axes: Axes) -> int:
    return prod(axis.size or 1 for axis in axes)


def _signed(sign: int, value: Expr) -> Expr:
    return value if sign > 0 else multiply(Number(-1.0), value)


def _block(found: System, one: str, other: str, axes: Axes) -> Expr:
    parts: list[Expr] = []
    for left in found.sides:
        for right in found.sides:
            if left.use.node.label == right.use.node.label and (_own(left).name, _own(right).name) == (
                one,
                other,
            ):
                factors = _complete(_contribution(found, left, right), axes)
                parts.append(_signed(left.term.sign * right.term.sign, einsum(axes, *factors)))
    if one == other and one in found.priors:
        parts.append(einsum(axes, *_complete(_prior_precision(found, one), axes)))
    if parts:
        return arranged(add(*parts), axes)
    return Broadcast(Number(0.0), found.own[one], axes)


def _vector(found: System, name: str, axes: Axes) -> Expr:
    parts = []
    for side in found.sides:
        if _own(side).name == name:
            factors = _complete(_right_side(found, side), axes)
            parts.append(_signed(side.term.sign, einsum(axes, *factors)))
    if name in found.priors:
        parts.append(einsum(axes, *_complete(_prior_pull(found, name), axes)))
    return arranged(add(*parts), axes)


def _complete(factors: tuple[Expr, ...], axes: Axes) -> tuple[Expr, ...]:
    """With ones along axes that no factor has."""
    have = {axis for factor in factors for axis in factor.axes}
    lacking = tuple(axis for axis in axes if axis not in have)
    ones = (Constant((1.0,) * (axis.size or 1), (axis.size or 1,), (axis,)) for axis in lacking)
    return (*factors, *ones)


def _prior(found: System, name: str) -> tuple[Expr, Expr, bool]:
    """The precision and the location of a coefficient's prior, and whether it has a covariance."""
    own, prior = found.own[name], found.priors[name]
    full = normal_prior.is_full(prior)
    event = (own.axes[-1], copied(own.axes[-1])) if full else ()
    precision_, location = normal_prior.precision_and_mean(prior, own.axes, event, full)
    return precision_, location, full


def _prior_precision(found: System, name: str) -> tuple[Expr, ...]:
    precision_, _, full = _prior(found, name)
    entries = found.entries(name)
    coupled = found.own[name].axes[-1:] if full else ()
    return (precision_, *(identity(axis, copied(axis)) for axis in entries if axis not in coupled))


def _prior_pull(found: System, name: str) -> tuple[Expr, ...]:
    """The precision times how far the prior's mean is from the old coefficient."""
    precision_, location, full = _prior(found, name)
    gap = subtract(location, found.own[name])
    last = found.own[name].axes[-1:]
    return (precision_, reindexed(gap, {last[0]: copied(last[0])}) if full else gap)


# -- solution


@dataclass(frozen=True, slots=True)
class Moves:
    """The statements that make the moves, the move of each coefficient under its own axes, and the equations' matrix."""

    body: tuple[Statement, ...]
    moves: Mapping[str, Expr]
    matrix: Symbol
    change: Symbol
    unknown: Axes


def solved(found: System, suffix: str) -> Moves:
    """The moves of all coefficients."""
    made_of = equations(found)
    whole, vector, unknown = made_of.matrix, made_of.vector, made_of.unknown
    body = [*precisions(found), *made_of.body]
    title = ", ".join(dict.fromkeys(side.term.formula or "1" for side in found.sides))
    moments = local(f"moments{suffix}", whole.axes)
    change = local(f"change{suffix}", vector.axes)
    body.append(Statement(moments, whole, "maximise", f"of the regressors {title}"))
    if not unknown:
        body.append(Statement(change, Keep(vector, moments, Number(0.0)), "maximise", CHANGE))
    else:
        body.append(Statement(change, Solve(moments, vector, vector.axes), "maximise", CHANGE))
    moves: dict[str, Expr] = {}
    place = 0
    for name in found.own:
        entries = found.entries(name)
        if len(found.own) == 1 and len(entries) <= 1:
            moves[name] = change
            continue
        axes, stop = (*found.batch, *found.across, *entries), place + _size(entries)
        made = local(f"change_{name}", axes)
        body.append(Statement(made, Part(change, place, stop, axes), "maximise"))
        moves[name] = made
        place = stop
    return Moves(tuple(body), moves, moments, change, unknown)


CHANGE = "the regression of r: what the old coefficients left"


# -- scatter


def scatter(found: System, made: Moves, use: Use) -> Expr:
    """The scatter of one use about its new mean: that about the old one, less what the moves explain."""
    axes = use.node.own[spread_slot(use.node.own)].axes
    sides = [side for side in found.sides if side.use.node.label == use.node.label]
    value: Expr = use.statistics["SS"]
    for side in sides:
        for term in _cross(found, made, side, axes):
            value = subtract(value, term) if side.term.sign > 0 else add(value, term)
    for place, left in enumerate(sides):
        for right in sides[place:]:
            for term in _square(found, made, left, right, axes):
                value = add(value, term) if left.term.sign * right.term.sign > 0 else subtract(value, term)
    return value


def explained(made: Moves, own: Axes, event: Axes) -> Expr:
    """What the moves explain of the scatter of all uses together: change' moments change."""
    mapping = {axis: copied(axis) for axis in made.unknown}
    if event and set(event) <= set(own):
        mapping |= dict(zip(event[:1], event[1:], strict=True))
    return einsum(own, made.change, made.matrix, reindexed(made.change, mapping))


def _move(found: System, made: Moves, side: Side) -> Expr:
    """The move of a coefficient under the axes that it has in this use."""
    whole = found.own[_own(side).name].axes
    return reindexed(made.moves[_own(side).name], dict(zip(whole, _own(side).axes, strict=True)))


def _cross(found: System, made: Moves, side: Side, axes: Axes) -> tuple[Expr, ...]:
    """sum r (move g)', and what makes it symmetric."""
    node, move = side.use.node, _move(found, made, side)
    stat = side.use.statistics[moment(node, side.regressor).kind]
    if not matrix(node):
        return (multiply(Number(2.0), einsum(axes, stat, move)),)
    e, twin = node.event
    swap = {e: twin, twin: e}
    return einsum(axes, stat, reindexed(move, {e: twin})), einsum(axes, reindexed(stat, swap), move)


def _square(found: System, made: Moves, left: Side, right: Side, axes: Axes) -> tuple[Expr, ...]:
    """sum (move g) (move g)' of two terms, both ways round."""
    node = left.use.node
    first, second = (right, left) if left.place > right.place else (left, right)
    block = pair(node, first.regressor, second.regressor)
    stat = left.use.statistics[block.kind]
    names = dict(zip(second.regressor.columns, _columns(block, second), strict=True))
    one, other = _move(found, made, first), reindexed(_move(found, made, second), names)
    if not matrix(node):
        value = einsum(axes, stat, one, other)
        return (value,) if left is right else (multiply(Number(2.0), value),)
    e, twin = node.event
    value = einsum(axes, stat, one, reindexed(other, {e: twin}))
    if left is right:
        return (value,)
    return value, einsum(axes, reindexed(stat, {e: twin, twin: e}), reindexed(one, {e: twin}), other)
