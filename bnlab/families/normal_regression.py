"""Linear regressions: the statistics of a Normal whose mean is a sum of coefficients times data.

All moments are of r, what the old mean leaves of the data, and of the regressors g (1 for an offset). They come in blocks, one
for each pair of regressors; the M-step puts these together. Coefficients then move by the regression of r, so data far from 0
lose no digits, and what nothing was seen of stays where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bnlab.families.base import Expected, Node, Statistic, Term
from bnlab.program.build import add, divide, local, minus, square, subtract
from bnlab.program.ops import Axes, Axis, Binary, Expr, Linear, Number, Symbol
from bnlab.program.walk import read_name, reindexed

SPREADS = ("cov", "var", "std")


@dataclass(frozen=True, slots=True)
class Regressor:
    """What some coefficients of a mean multiply; `value` is None for 1. `cells` are the axes that select these."""

    value: Expr | None
    name: str
    formula: str
    columns: Axes
    twins: Axes
    cells: frozenset[Axis]

    def entries(self, event: Axes) -> bool:
        """Whether it has a value for each entry of the child."""
        return self.value is not None and bool(set(event[:1]) & set(self.value.axes))


def residual(node: Node) -> Symbol:
    """What the old mean leaves of the data."""
    if node.residual is not None:
        return node.residual
    assert node.value is not None
    mean = node.arguments["mean"]
    return local(f"r{node.suffix}", tuple(sorted({*node.value.axes, *mean.axes})))


def left_over(node: Node) -> Expr:
    """The data less every term of the old mean."""
    assert node.value is not None
    return _less(node.value, node.arguments["mean"])


def _less(value: Expr, mean: Expr) -> Expr:
    match mean:
        case Binary("+", left, right):
            return subtract(_less(value, left), right)
        case Binary("-", left, right):
            return add(_less(value, left), right)
        case Binary("*", Number(-1.0), term):
            return add(value, term)
        case _:
            return subtract(value, mean)


def spread_slot(arguments: Mapping[str, object]) -> str:
    """Which of cov, var and std was declared."""
    return next(name for name in SPREADS if name in arguments)


def by_data(node: Node) -> bool:
    """Whether the spread is data, so that every member has its own weight."""
    return spread_slot(node.arguments) not in node.own


def matrix(node: Node) -> bool:
    """Whether the spread couples the entries of a vector."""
    return bool(node.event) and "cov" in node.arguments


def precision(node: Node, spread: Expr) -> Expr:
    """The inverse of a covariance, or of variances."""
    slot = spread_slot(node.arguments)
    if slot == "cov":
        return Linear("inverse", spread, spread.axes)
    return divide(Number(1.0), square(spread) if slot == "std" else spread)


def spread_cells(node: Node) -> Axes:
    """The axes that select a spread."""
    own = node.own.get(spread_slot(node.arguments))
    return () if own is None else minus(own.axes, node.event)


def cells(node: Node, term: Term) -> Axes:
    """The axes that select a coefficient."""
    assert term.own is not None
    return minus(minus(term.own.axes, node.event[:1]), term.columns)


def regressors(node: Node) -> tuple[Regressor, ...]:
    """The regressors with coefficients to be learnt, each once; offsets last."""
    found: dict[Expr | None, Regressor] = {}
    taken: dict[str, int] = {}
    for term in sorted((term for term in node.terms if term.free), key=lambda term: term.value is None):
        one = found.get(term.value)
        if one is None:
            taken[term.name] = taken.get(term.name, 0) + 1
            name = term.name + (str(taken[term.name]) if taken[term.name] > 1 else "")
            one = Regressor(term.value, name, term.formula, term.columns, term.twins, frozenset())
        wider = one.cells | set(cells(node, term))
        found[term.value] = Regressor(
            one.value, one.name, one.formula, one.columns, one.twins, frozenset(wider)
        )
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Block:
    """The axes of one block: what selects it, then the entries of its left and right factor."""

    kind: str
    cells: Axes
    left: Axes
    right: Axes

    @property
    def axes(self) -> Axes:
        return (*self.cells, *self.left, *(axis for axis in self.right if axis not in self.left))


def pair(node: Node, one: Regressor, other: Regressor) -> Block:
    """The block of two regressors, in the order of `regressors`."""
    row, column = node.event[:1], node.event[1:] if matrix(node) else node.event[:1]
    weighted = by_data(node) and bool(set(row) & set(node.arguments[spread_slot(node.arguments)].axes))
    selected = tuple(sorted({*one.cells, *other.cells, *spread_cells(node)}))
    left = (*(row if one.entries(node.event) or weighted else ()), *one.columns)
    same = one.columns == other.columns
    right = (
        *(column if other.entries(node.event) or weighted else ()),
        *(other.twins if same else other.columns),
    )
    names = [each.name for each in (one, other) if each.value is not None]
    return Block(f"S {' '.join(names)}" if names else "N", selected, left, right)


def moment(node: Node, one: Regressor) -> Block:
    """The block of r and a regressor. Where every member has a weight of its own, r has been summed out."""
    row, column = node.event[:1], node.event[1:] if matrix(node) else node.event[:1]
    selected = tuple(sorted({*one.cells, *spread_cells(node)}))
    kind = f"S  {one.name}" if one.value is not None else "S"
    if by_data(node):
        return Block(kind, selected, (), (*row, *one.columns))
    return Block(kind, selected, row, (*(column if one.entries(node.event) else ()), *one.columns))


def statistics(node: Node, expected: Expected) -> Mapping[str, Statistic]:
    """The blocks of all pairs, and the scatter of r."""
    found: dict[str, Statistic] = {}
    known = regressors(node)
    r = residual(node)
    weight = (_weight(node),) if by_data(node) else ()
    over = f" / {node_weight(node)}" if weight else ""

    def collect(block: Block, operands: tuple[Expr, ...], formula: str) -> None:
        target = Symbol(block.kind, block.axes, "statistics")
        found[block.kind] = Statistic(target, expected(operands, block.axes), formula)

    for place, one in enumerate(known):
        for other in known[place:]:
            block = pair(node, one, other)
            twin = _turned(node, other, one.columns == other.columns)
            operands = tuple(value for value in (one.value, twin, *weight) if value is not None)
            text = _squared(one, other)
            collect(block, operands, (text or "1") + over if over else text)
    for one in known:
        value = _turned(node, one, False) if not by_data(node) else one.value
        left = reindexed(r, _swap(node)) if by_data(node) and matrix(node) else r
        outer = "'" if node.event and one.columns and one.formula else ""
        formula = f"r[{{index}}] {one.formula}{outer}".rstrip()
        collect(moment(node, one), (left, *((value,) if value is not None else ()), *weight), formula + over)
    if by_data(node):
        return found
    if "N" not in found:
        selected = spread_cells(node)
        found["N"] = Statistic(Symbol("N", selected, "statistics"), expected((), selected))
    spread = node.own[spread_slot(node.own)]
    full = matrix(node)
    twin = reindexed(r, _swap(node)) if full else r
    text = "r[{index}] r[{index}]'" if full else "r[{index}]^2"
    found["SS"] = Statistic(Symbol("SS", spread.axes, "statistics"), expected((r, twin), spread.axes), text)
    return found


def node_weight(node: Node) -> str:
    """What the members are weighed by, in text."""
    slot = spread_slot(node.arguments)
    return f"{read_name(node.arguments[slot])}[{{index}}]" + ("^2" if slot == "std" else "")


def _weight(node: Node) -> Expr:
    return precision(node, node.arguments[spread_slot(node.arguments)])


def _swap(node: Node) -> dict[Axis, Axis]:
    return dict(zip(node.event[:1], node.event[1:], strict=True))


def _turned(node: Node, one: Regressor, same: bool) -> Expr | None:
    """A regressor as the right factor of a product."""
    if one.value is None:
        return None
    mapping = dict(zip(one.columns, one.twins, strict=True)) if same else {}
    if matrix(node):
        mapping |= _swap(node)
    return reindexed(one.value, mapping)


def _squared(one: Regressor, other: Regressor) -> str:
    if one == other and one.value is not None and not one.columns:
        return f"{one.formula}^2"
    return " ".join(text for text in (one.formula, other.formula + ("'" if other.columns else "")) if text)
