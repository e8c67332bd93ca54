"""The E-step in TeX: every statement that means something as an equation, with its reason in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bnlab.notation import tex
from bnlab.printers.latex_expression import Inside, Writer
from bnlab.printers.latex_layout import Line, display, line
from bnlab.printers.latex_names import Names, escaped, relettered
from bnlab.program.ir import Invoke, Scan, Statement
from bnlab.program.ops import (
    STATE,
    STEP,
    Axes,
    Axis,
    Binary,
    Broadcast,
    Call,
    Count,
    Einsum,
    Expr,
    InBlocks,
    Reduce,
    Reliable,
    SegmentSum,
    Steps,
    Symbol,
    Take,
    Unary,
    Where,
)
from bnlab.program.walk import symbols


@dataclass(frozen=True, slots=True)
class Chain:
    """What a forward recursion leaves behind: its messages, the transition tables, and the data these are taken at."""

    axis: Axis
    alpha: Symbol
    before: Symbol
    tables: tuple[Expr, ...]
    inside: dict[str, Inside]


@dataclass(slots=True)
class EStep:
    """One walk over the E-step: all but `names` grows as statements are read.

    `inline`, `zero`: see Writer. `pairs` are the posteriors of neighbouring steps, `scales` what messages are rescaled by,
    `moments` the statements of the residuals that moments are of.
    """

    names: Names
    inline: dict[str, Expr] = field(default_factory=dict)
    zero: set[str] = field(default_factory=set)
    pairs: list[Symbol] = field(default_factory=list)
    chains: dict[str, Chain] = field(default_factory=dict)
    moments: list[Statement] = field(default_factory=list)
    scales: list[str] = field(default_factory=list)

    def paragraphs(self) -> Iterator[str]:
        """Text and equations, in the order of the emitted statements."""
        for item in self.names.program.expect.body:
            yield from self.told(item)
        names, everything = self.names, self.names.everything[0]
        evidence = rf"\ln p({everything} \mid {names.eta})"
        yield "Together,"
        yield display(line(evidence, self.writer().terms(names.program.expect.results[0])[1]))

    def told(self, item: Statement | Scan | Invoke) -> Iterator[str]:
        """Text and equations of one statement."""
        match item:
            case Statement(_, Call(function)) if scan := self._recursion(function):
                yield from self._backward(item, scan)
            case Statement():
                yield from self._statement(item)
            case Invoke(targets, function, arguments):
                scan = self._recursion(function)
                assert scan is not None, "a function with several results is a recursion"
                yield from self._forward(targets, scan, arguments)
            case Scan():
                raise AssertionError("recursions are functions of their own")

    def statistics(self) -> Iterator[Line]:
        """What the M-step is told: one line a statistic."""
        program = self.names.program
        for moment in self.moments:
            value, origins = self._about_origin(moment.expression)
            for origin in origins:
                yield self.line(origin.target, origin.expression)
            yield self.line(moment.target, value)
        for statistic, value in zip(program.statistics[1:], program.expect.results[1:], strict=True):
            symbol = Symbol(statistic.name, value.axes, "statistics")
            yield self.line(symbol, self.paired(value))

    def _about_origin(self, value: Expr) -> tuple[Expr, list[Statement]]:
        """A residual with its origin by the name that the M-step gives it, and the statements that it is."""
        found = [
            item
            for item in self.names.program.m_step.body
            if isinstance(item, Statement) and self.names.heads.get(item.target.name) == "origin"
        ]
        known = {item.expression: item for item in found}
        match value:
            case Binary("-", left, right) if right in known:
                return Binary("-", left, known[right].target), [known[right]]
            case _:
                return value, []

    def writer(self, free: Axes = ()) -> Writer:
        return Writer(self.names, self.inline, zero=frozenset(self.zero), free=free)

    def line(self, target: Symbol, value: Expr, *before: str) -> Line:
        """target = before = value."""
        left, terms = self.writer(target.axes).equation(target, value)
        return line(left, *before, terms)

    # -- statements ---------------------------------------------------------------------------------------------------

    def _statement(self, item: Statement) -> Iterator[str]:
        target, value = item.target, item.expression
        meaning = relettered(item.tex, self.names.letters)
        match item.because:
            case "numerics" if isinstance(value, Unary) and isinstance(value.operand, Reduce):
                self.zero.add(target.name)
            case "numerics" if isinstance(value, Reliable):
                pass
            case "numerics" if self.names.heads.get(target.name) == "r":
                self.moments.append(item)
            case "numerics" if target.name in self.names.bases:
                weight = self.names.heads[target.name] == "weights"
                yield "The hidden weight of each member is expected to be" if weight else "For short,"
                yield display(self.line(target, value))
            case "posterior" if target.name in self.names.bases:
                yield f"The posterior probability of {self._values(target.axes)}, given all data:"
                yield display(self.line(target, value, meaning))
            case "posterior" if any(isinstance(part, Steps) for part in _parts(value)):
                self.inline[target.name] = value
                yield from self._pair(item)
            case "posterior" | "numerics":
                self.inline[target.name] = value
            case _ if self._says_nothing(target, value):
                pass
            case _:
                yield self._reason(item)
                yield display(self._message(item))

    def _message(self, item: Statement) -> Line:
        _, terms = self.writer(item.target.axes).terms(item.expression)
        return line(self.names.meanings[item.target.name], terms)

    def _says_nothing(self, target: Symbol, value: Expr) -> bool:
        """Whether the statement gives a second name to what has one."""
        meanings = self.names.meanings
        value = value.call if isinstance(value, InBlocks) else value
        other = value.function if isinstance(value, Call) else value.name if isinstance(value, Symbol) else ""
        return other in meanings and meanings[other] == meanings.get(target.name)

    def _reason(self, item: Statement) -> str:
        given = self._values(item.target.axes)
        match item.because:
            case "multiply" if not self.names.meanings[item.target.name].startswith(r"\ln"):
                return f"The tables over {given} are multiplied:" if given else "The tables are multiplied:"
            case "multiply":
                return (
                    f"The factors over {given} are multiplied; their logarithms add:"
                    if given
                    else "The factors are multiplied:"
                )
            case "sum out":
                gone = self._values(item.expression.over) if isinstance(item.expression, Reduce) else ""
                return f"Now {gone} is summed out:"
            case "leave plate":
                plates = " and ".join(
                    sorted(rf"\texttt{{{escaped(name)}}}" for name in _left(item.expression))
                )
                under = f"Given {given}, the" if given else "The"
                return f"{under} members of the plate {plates} are independent, so their densities multiply:"
            case _:
                under = f" given {given}" if given else ""
                return (
                    f"The density of the data along the chain{under} is the product of these {self.scales[-1]}:"
                    if self.scales
                    else "This gives"
                )

    def _values(self, axes: Axes) -> str:
        """`$c_{g}$ and $z_{g,n}$`, for axes of states."""
        found = [f"${self.names.variable(self.names.read(axis))}$" for axis in axes if axis.kind == STATE]
        return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)

    # -- chains -------------------------------------------------------------------------------------------------------

    def _recursion(self, function: str) -> Scan | None:
        found = next((f for f in self.names.program.functions if f.name == function), None)
        return next((item for item in found.body if isinstance(item, Scan)), None) if found else None

    def _inside(self, scan: Scan, step: str, onward: str) -> dict[str, Inside]:
        """For each array that the recursion reads at one step: whose step it is; `onward` is the step after."""
        found: dict[str, Inside] = {}
        for symbol, whole in scan.inputs:
            array = whole.operand if isinstance(whole, Steps) else whole
            if isinstance(array, Count):
                found[symbol.name] = (self.names.letters[array.axis], step, False)
            elif isinstance(array, Symbol):
                data = array.name in self._data()
                found[symbol.name] = (array.name, onward if isinstance(whole, Steps) else step, data)
        found.update(
            {
                value.name: (whole.name, step, False)
                for value, whole in scan.outputs
                if isinstance(value, Symbol)
            }
        )
        return found

    def _forward(self, targets: tuple[Symbol, ...], scan: Scan, arguments: tuple[Expr, ...]) -> Iterator[str]:
        axis, letter = _step_of(targets[0]), self.names.letters[_step_of(targets[0])]
        ((carried, first, following),) = scan.carry
        inside = self._inside(scan, letter, f"{letter}+1")
        inside[carried.name] = (carried.name, letter, False)
        before = self._inside(scan, f"{letter}-1", letter)
        inline = {
            s.target.name: s.expression
            for s in scan.body
            if isinstance(s, Statement) and s.target.name not in inside
        }
        writer = replace(self.writer(carried.axes), inside=inside, inline={**self.inline, **inline})
        start = replace(writer, inside={carried.name: (carried.name, "1", False)})
        lines = [
            _line(start, carried, first),
            _line(replace(writer, inside={**inside, **before}), carried, following, keep=inside),
            *(
                _line(writer, s.target, s.expression)
                for s in scan.body
                if isinstance(s, Statement) and s.target.name in inside
            ),
        ]
        lines[1] = replace(lines[1], sides=((*lines[1].sides[0], rf"\qquad ({letter} \ge 2)"),))
        self.scales.append(f"${self.writer().lhs(targets[1])}$")
        yield self._forward_text(axis, targets)
        yield display(lines[0], lines[1], *lines[2:])
        moved = following.operand if isinstance(following, Broadcast) else following
        operands = moved.operands if isinstance(moved, Einsum) else (moved,)
        earlier, *tables = (
            inline.get(part.name, part) if isinstance(part, Symbol) else part for part in operands
        )
        assert isinstance(earlier, Symbol)
        shifted = Symbol(targets[0].name, (axis, *earlier.axes))
        counts = {symbol.name for symbol, whole in scan.inputs if isinstance(whole, Count)}
        at_now = {name: whole for name, whole in before.items() if whole[1] == letter or name in counts}
        self.chains[_key(arguments)] = Chain(axis, targets[0], shifted, tuple(tables), at_now)

    def _forward_text(self, axis: Axis, targets: tuple[Symbol, ...]) -> str:
        letter = self.names.letters[axis]
        now = self._values(tuple(a for a in targets[0].axes if a not in targets[1].axes))
        outside = self._values(targets[1].axes)
        under = f"{outside} and " if outside else ""
        alpha, c = (f"${self.writer().lhs(target)}$" for target in targets)
        chain = rf"\texttt{{{escaped(axis.name)}}}"
        return (
            f"The chain {chain} is summed out from its first step to its last. The forward message {alpha} is the "
            f"probability of {now} given {under}the data up to step ${letter}$; {c} is the density of the data of "
            f"step ${letter}$ given {under}those before, by which the message is rescaled (times all {c} up to "
            f"${letter}$, the message would be the joint density of {now} and the data up to ${letter}$)"
            f"{self._beginning(targets)}:"
        )

    def _beginning(self, targets: tuple[Symbol, ...]) -> str:
        """A word on the states before the first step, where messages are over them."""
        past = any(axis.kind == STATE and self.names.read(axis).lag for axis in targets[0].axes)
        return "; before the first step there is nothing, and state 0 stands for it" if past else ""

    def _backward(self, item: Statement, scan: Scan) -> Iterator[str]:
        axis = _step_of(item.target)
        letter, last = self.names.letters[axis], self.names.size(axis.name)
        ((carried, first, following),) = scan.carry
        inside = self._inside(scan, letter, f"{letter}+1")
        inline = {s.target.name: s.expression for s in scan.body if isinstance(s, Statement)}
        writer = replace(self.writer(), inside=inside, inline={**self.inline, **inline})
        end = replace(writer, inside={carried.name: (inside[carried.name][0], last, False)})
        left = replace(writer, inside={carried.name: (inside[carried.name][0], f"{letter}-1", False)})
        terms = writer.terms(following)[1]
        before = Symbol(carried.name, tuple(self._before(axis) for axis in carried.axes))
        beta = f"${self.writer().lhs(item.target)}$"
        yield (
            f"The backward message {beta} is the density of the data after step ${letter}$ given the states at "
            f"${letter}$, over that given the data up to ${letter}$:"
        )
        yield display(
            _line(end, carried, first),
            line(left.lhs(before), (*terms, rf"\qquad ({letter} \ge 2)")),
        )

    def _data(self) -> set[str]:
        return {variable.name for variable in self.names.graph.in_role("observed", "given")}

    def _before(self, axis: Axis) -> Axis:
        """The states of a chain one step before."""
        found = (
            other for other in self.names.letters if other.kind == STATE and other.name == f"{axis.name}'"
        )
        return next(found, axis) if axis.kind == STATE else axis

    def _pair(self, item: Statement) -> Iterator[str]:
        """The posterior of neighbouring steps: what carries a statistic of both from one to the other."""
        chain = next(
            chain
            for key, chain in self.chains.items()
            if any(s.name == key for s in symbols(item.expression))
        )
        axes = tuple(sorted({*chain.before.axes, *item.expression.axes}))
        symbol = Symbol("xi" + item.target.name.removeprefix("onward"), axes)
        product = Einsum((Steps(chain.before, chain.axis, "earlier"), *chain.tables, item.expression), axes)
        left, terms = replace(self.writer(axes), inside=chain.inside).equation(symbol, product)
        values = [f"{self._state(axis)}={self.names.letters[axis]}" for axis in axes if axis.kind == STATE]
        observed = ", ".join(tex(variable.name) for variable in self.names.graph.in_role("observed"))
        self.pairs.append(symbol)
        yield f"The posterior probability of neighbouring steps, for ${self.names.letters[chain.axis]} \\ge 2$:"
        yield display(line(left, rf"P({', '.join(values)} \mid {observed})", terms))

    def _state(self, axis: Axis) -> str:
        """The variable whose states an axis has, at its own step or at the one before."""
        return self.names.variable(self.names.read(axis))

    def paired(self, value: Expr) -> Expr:
        """A statistic of neighbouring steps, with the posterior of the pair by its name."""
        if isinstance(value, Binary) and value.op == "+":
            return Binary("+", self.paired(value.left), self.paired(value.right))
        if isinstance(value, Einsum) and len(value.operands) == 1 and isinstance(value.operands[0], Binary):
            return self.paired(value.operands[0])
        factors = _flat(value)
        for chain, pair in zip(self.chains.values(), self.pairs, strict=False):
            before = [f for f in factors if isinstance(f, Steps) and _is(_whole(f), chain.alpha)]
            if not before:
                continue
            tables = [leaf for table in chain.tables for leaf in _leaves(table)]
            gone = [
                *before,
                *(f for f in factors if f in tables or _whole(f).name.startswith("onward")),
            ]
            rest = tuple(factor for factor in factors if factor not in gone)
            return Einsum((_same_part(before[0], pair), *rest), value.axes)
        return value


def _line(writer: Writer, target: Symbol, value: Expr, keep: dict[str, Inside] | None = None) -> Line:
    left = (replace(writer, inside=keep) if keep else writer).lhs(target)
    return line(left, replace(writer, free=target.axes).terms(value)[1])


def _step_of(symbol: Symbol) -> Axis:
    return next(axis for axis in symbol.axes if axis.kind == STEP)


def _key(arguments: tuple[Expr, ...]) -> str:
    """The array of the data's densities, which tells one chain from another."""
    return next(
        argument.name for argument in arguments if isinstance(argument, Symbol) and argument.name != "theta"
    )


def _is(expr: Expr, symbol: Symbol) -> bool:
    return isinstance(expr, Symbol) and expr.name == symbol.name


def _whole(expr: Expr) -> Symbol:
    """The array that a part of the steps is of; nothing's name for anything else."""
    while isinstance(expr, Steps):
        expr = expr.operand
    return expr if isinstance(expr, Symbol) else Symbol("", ())


def _same_part(part: Expr, symbol: Symbol) -> Expr:
    """The steps of an array of pairs that a part of the steps before them goes with."""
    if not isinstance(part, Steps):
        return symbol
    return Steps(
        _same_part(part.operand, symbol), part.axis, "later" if part.part == "earlier" else part.part
    )


def _leaves(table: Expr) -> list[Expr]:
    """The tables that one of several is chosen of, whole."""
    if isinstance(table, Where):
        return [*_leaves(table.yes), *_leaves(table.no)]
    return [table.table if isinstance(table, Take) else table]


def _flat(expr: Expr) -> list[Expr]:
    match expr:
        case Binary("*", left, right):
            return [*_flat(left), *_flat(right)]
        case Einsum(operands):
            return [factor for operand in operands for factor in _flat(operand)]
        case _:
            return [expr]


def _parts(expr: Expr) -> Iterator[Expr]:
    yield expr
    if isinstance(expr, Binary):
        yield from _parts(expr.left)
        yield from _parts(expr.right)


def _left(expr: Expr) -> set[str]:
    """The plates whose members a statement multiplies."""
    match expr:
        case SegmentSum(operand, _, source):
            return {source.name} | _left(operand)
        case Reduce(_, operand, over):
            return {axis.name for axis in over} | _left(operand)
        case _:
            return set()
