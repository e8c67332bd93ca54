"""How the data of rows enter an E-step: whether through counts, sums and scatter alone.

An expression that has rows is a polynomial in their data. Where all statistics are sums over rows of polynomials of degree 2
at most, whose squares have the same coefficients for every row, many rows may be replaced by a few with the same count, mean
and scatter. With rows inside the members of an outer plate that holds for each member's count and mean, and the scatter
of all about those means; members of equal counts may be replaced too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from bnlab.program.ir import Field, Function, Program, Statement
from bnlab.program.ops import (
    ROW,
    Binary,
    Broadcast,
    Call,
    Constant,
    Einsum,
    Expr,
    Identity,
    JointBasis,
    Linear,
    Number,
    Reduce,
    Relabel,
    SegmentSum,
    Symbol,
    Take,
    Unary,
)
from bnlab.program.walk import parts, transform


class Other(Exception):
    """Data enter in another way."""


@dataclass(frozen=True, slots=True)
class Polynomial:
    """In the data r of an inner row. `terms` maps a power of r to the degree of its coefficient in the sums of the outer
    member; `uneven` are the powers whose coefficients differ between members. `inner` and `outer` count the weights that
    everything is multiplied by.
    """

    terms: Mapping[int, int]
    uneven: frozenset[int] = frozenset()
    inner: int = 0
    outer: int = 0

    def __post_init__(self) -> None:
        if any(power + degree > 2 for power, degree in self.terms.items()) or 2 in self.uneven:
            raise Other
        if max(self.inner, self.outer) > 1:
            raise Other


FIXED = Polynomial({0: 0})
NOTHING: Mapping[str, Polynomial] = {}


def condensable(program: Program) -> bool:
    """Whether rows of the data may be replaced by fewer that tell the same: rows of one plate, or of one inside another."""
    if program.root == "" or program.leaves or len(program.levels) > 2:
        return False
    inner, nested = program.levels[-1][-1], len(program.levels) == 2
    fields = [field for field in program.chunk if not field.made]
    if not all(_real_rows(field, inner) for field in fields) or not 1 <= len(fields) <= (1 if nested else 9):
        return False
    if any(field.made not in ("", "weight", "rows", "index") for field in program.chunk):
        return False
    functions = [program.expect, *([program.evidence] if program.evidence else [])]
    try:
        for function in functions:
            reader = _read(program, function)
            if not all(reader.is_sum(result) for result in function.results):
                return False
    except Other:
        return False
    return True


def _read(program: Program, function: Function, given: Mapping[str, Polynomial] = NOTHING) -> _Reader:
    """What is known after the statements of a function, of its arguments what is given."""
    reader = _Reader(program, dict(given))
    for item in function.body:
        if not isinstance(item, Statement):
            raise Other
        if reader.is_total(item.expression):
            reader.totals.add(item.target.name)
        else:
            reader.known[item.target.name] = reader.of(item.expression)
    return reader


def _real_rows(field: Field, inner: str) -> bool:
    return not field.integer and [axis.name for axis in field.axes if axis.size is None] == [inner]


def weighted(program: Program) -> Program:
    """The same, with sums over the rows of each outer member weighted."""
    weight = next((field for field in program.chunk if field.made == "rows"), None)
    if weight is None:
        return program
    symbol = Symbol(weight.name, weight.axes, "chunk")

    def changed(function: Function) -> Function:
        reader = _read(program, function)

        def change(part: object) -> object:
            if isinstance(part, SegmentSum) and not reader.of(part.operand).inner:
                return replace(part, operand=Binary("*", symbol, part.operand, part.operand.axes))
            return part

        return transform(function, change)

    evidence = changed(program.evidence) if program.evidence else None
    return replace(program, expect=changed(program.expect), evidence=evidence)


@dataclass(slots=True)
class _Reader:
    """What is known of the names that a function reads."""

    program: Program
    known: dict[str, Polynomial]
    totals: set[str] = field(default_factory=set)

    def is_total(self, value: Expr) -> bool:
        """Whether a statement sums over all rows, so that other statements may only add to it."""
        rows = {
            axis
            for part in parts(value)
            if isinstance(part, Symbol)
            for axis in part.axes
            if axis.kind == ROW
        }
        return bool(rows) and not any(axis.kind == ROW for axis in value.axes) and self.is_sum(value)

    def is_sum(self, result: Expr) -> bool:
        """Whether a statistic is a weighted sum over rows."""
        match result:
            case Binary("+" | "-", left, right):
                return self.is_sum(left) and self.is_sum(right)
            case Binary("*", Number(), right):
                return self.is_sum(right)
            case Einsum(operands):
                return self.sums(_product([self.of(operand) for operand in operands]), operands, result)
            case Reduce("sum", operand):
                return self.sums(self.of(operand), (operand,), result)
            case Symbol(name, _, "local"):
                return name in self.totals
            case Call(function, arguments):
                told = [argument for argument in arguments if _is_local(argument)]
                return all(self.is_sum(one) for one in told) and self.is_linear(function)
            case _:
                return False

    def is_linear(self, name: str) -> bool:
        """Whether a function is linear in what it is called with beside parameters."""
        function: Function = next(each for each in self.program.functions if each.name == name)
        own = {symbol.name: Polynomial({1: 0}) for symbol in function.arguments}
        return set(_read(self.program, function, own).of(function.results[0]).terms) == {1}

    def sums(self, found: Polynomial, operands: tuple[Expr, ...], result: Expr) -> bool:
        rows = {axis for operand in operands for axis in operand.axes if axis.kind == ROW}
        gone = not any(axis.kind == ROW for axis in result.axes)
        inner = self.program.levels[-1][-1]
        two = len(self.program.levels) == 2
        names = {axis.name for axis in rows}
        if not two:
            return gone and names == {inner} and found.outer == 1
        return gone and found.outer == 1 and found.inner == (1 if inner in names else 0)

    def of(self, expr: Expr) -> Polynomial:
        match expr:
            case Symbol(name, _, "local"):
                return self.known.get(name, FIXED)
            case Symbol(name, _, "chunk"):
                return self.datum(name)
            case Symbol() | Number() | Constant() | Identity():
                return FIXED
            case Relabel(operand) | Broadcast(operand):
                return self.of(operand)
            case Einsum(operands):
                self.keeps_rows(operands, expr)
                return _product([self.of(operand) for operand in operands])
            case Binary("*", left, right):
                return _product([self.of(left), self.of(right)])
            case Binary("+" | "-", left, right):
                return _sum(self.of(left), self.of(right))
            case Binary("/", left, right):
                return _product([self.of(left), _of_constant(self.of(right))])
            case Unary("square", operand):
                return _product([self.of(operand), self.of(operand)])
            case Unary(_, operand) | Linear(_, operand):
                return _of_constant(self.of(operand))
            case JointBasis(covariance, precision):
                return _product([_of_constant(self.of(part)) for part in (covariance, precision)])
            case Reduce("sum", operand):
                self.keeps_rows((operand,), expr)
                return self.of(operand)
            case Take(table, indices) if all(self.is_index(index) for _, index in indices):
                return self.of(table)
            case SegmentSum(operand, index) if self.is_index(index):
                return _summed(self.of(operand))
            case Call(function, arguments, _):
                return self.called(function, arguments)
            case _:
                raise Other

    def keeps_rows(self, operands: tuple[Expr, ...], result: Expr) -> None:
        rows = {axis for operand in operands for axis in operand.axes if axis.kind == ROW}
        if not rows <= set(result.axes):
            raise Other

    def is_index(self, index: Expr) -> bool:
        """Whether an index says which outer member a row belongs to."""
        if not isinstance(index, Symbol) or index.space != "chunk":
            return False
        return self.field(index.name).of == self.program.root

    def field(self, name: str) -> Field:
        return next(field for field in self.program.chunk if field.name == name)

    def datum(self, name: str) -> Polynomial:
        match self.field(name).made:
            case "weight":
                return Polynomial({0: 0}, outer=1)
            case "rows":
                return Polynomial({0: 0}, inner=1)
            case "":
                return Polynomial({0: 0, 1: 0})
            case _:
                raise Other

    def called(self, name: str, arguments: tuple[Expr, ...]) -> Polynomial:
        function: Function = next(each for each in self.program.functions if each.name == name)
        given = [argument for argument in arguments if argument.axes or _is_local(argument)]
        values = [self.of(argument) for argument in given]
        own = {symbol.name: value for symbol, value in zip(function.arguments, values, strict=True)}
        return _read(self.program, function, own).of(function.results[0])


def _is_local(expr: Expr) -> bool:
    return not (isinstance(expr, Symbol) and expr.name == "theta")


def _of_constant(found: Polynomial) -> Polynomial:
    """Any function of what holds no data; it differs between members where they have different counts."""
    if found.terms != {0: 0} or found.inner or found.outer:
        raise Other
    return found


def _sum(left: Polynomial, right: Polynomial) -> Polynomial:
    if (left.inner, left.outer) != (right.inner, right.outer):
        raise Other
    terms = {
        power: max(left.terms.get(power, 0), right.terms.get(power, 0))
        for power in {*left.terms, *right.terms}
    }
    return replace(left, terms=terms, uneven=left.uneven | right.uneven)


def _product(parts: list[Polynomial]) -> Polynomial:
    found = FIXED
    for part in parts:
        terms: dict[int, int] = {}
        uneven = set()
        for (i, a), (j, b) in product(found.terms.items(), part.terms.items()):
            terms[i + j] = max(terms.get(i + j, 0), a + b)
            if i in found.uneven or j in part.uneven:
                uneven.add(i + j)
        found = Polynomial(terms, frozenset(uneven), found.inner + part.inner, found.outer + part.outer)
    return found


def _summed(found: Polynomial) -> Polynomial:
    """The sum over the rows of each member: counts and sums differ between members, scatter stands for all of them."""
    degree = max(found.terms.get(0, 0), found.terms[1] + 1 if 1 in found.terms else 0)
    terms = {0: degree, **({2: 0} if 2 in found.terms else {})}
    return Polynomial(terms, frozenset((0,)), 0, found.outer)
