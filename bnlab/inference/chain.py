"""A chain of discrete latents: what its two formulations of the messages have in common.

`chain_scaled` passes rescaled probabilities, `chain_log` logarithms (lecture, section 6). Here are the axes
of a chain, its tables as a recursion reads them, and the choice between the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bnlab.inference import wording
from bnlab.inference.pieces import Piece
from bnlab.inference.plan import Factor, SumChain
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Statement
from bnlab.program.ops import (
    STEP,
    Axes,
    Axis,
    Binary,
    Broadcast,
    Count,
    Einsum,
    Expr,
    Number,
    OneHot,
    Relabel,
    Steps,
    Symbol,
    Where,
)
from bnlab.program.walk import rename, symbols, transform

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


@dataclass(frozen=True, slots=True)
class Shape:
    """The axes of a chain: its steps, the states that a message is over (`now`), the same one step before, and all else
    its messages range over. `past` are those of `now` that are of earlier steps.
    """

    step: Axis
    now: Axes
    before: Axes
    outer: Axes
    past: Axes = ()

    @property
    def message(self) -> Axes:
        return tuple(sorted((*self.outer, *self.now)))

    @property
    def all(self) -> Axes:
        return (self.step, *self.message)

    @property
    def forgotten(self) -> Axes:
        """The states that the next message is no longer over."""
        return tuple(axis for axis in self.before if axis not in self.now)

    def earlier(self, axes: Axes) -> Axes:
        """The same axes one step before."""
        swap = dict(zip(self.now, self.before, strict=True))
        return tuple(swap.get(axis, axis) for axis in axes)


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain in one run: all that its recursions are written from."""

    run: Elimination
    step: SumChain
    shape: Shape
    mask: Symbol | None
    suffix: str
    drivers: tuple[Symbol, ...] = field(default=())

    def array(self, role: str) -> Symbol:
        """An array that an earlier part of the derivation has named."""
        return self.run.arrays[self.step.message.name, role]

    def record(self, role: str, symbol: Symbol) -> Symbol:
        self.run.arrays[self.step.message.name, role] = symbol
        return symbol

    def known(self, role: str) -> bool:
        return (self.step.message.name, role) in self.run.arrays

    def fresh(self, name: str) -> str:
        return self.run.fresh(name + self.suffix)

    @property
    def moving(self) -> tuple[Symbol, ...]:
        """The drivers that differ between steps; others, as a condition of the sequence, do not."""
        return tuple(driver for driver in self.drivers if self.shape.step in driver.axes)

    def inner(self, symbol: Symbol, name: str | None = None) -> Symbol:
        """What a recursion reads of an array at one step: itself, where it is the same at all."""
        if self.shape.step not in symbol.axes:
            return local(symbol)
        title = name or f"{symbol.name}_{self.shape.step.letter}"
        return Symbol(self.local(title), tuple(axis for axis in symbol.axes if axis != self.shape.step))

    def local(self, name: str) -> str:
        """A name inside a recursion that no variable of the network has."""
        taken = {variable.name for variable in self.run.layout.graph.variables}
        return f"{name}_now" if name in taken else name

    def on(self) -> Symbol | None:
        """Whether a step is before the end of its sequence."""
        return self.inner(self.mask, "on") if self.mask else None

    @property
    def scaled(self) -> bool:
        """Whether messages are rescaled at each step; where maxima are taken, they are logs."""
        return self.run.scaled and not self.run.maximise

    @property
    def orders(self) -> int:
        """From this step on, counted from 0, all steps have the same tables."""
        return max((self.run.plan.factor(name).at for name in self.step.later), default=1)

    def number(self, array: Expr) -> tuple[tuple[Symbol, Expr], ...]:
        """The number of a step, where the tables depend on it; `array` has the steps."""
        if self.orders == 1:
            return ()
        return ((Symbol(self.local(self.shape.step.letter), ()), Count(array, self.shape.step)),)

    @property
    def beginning(self) -> str:
        """A word on the states before the first step, where messages are over them."""
        return "Before the first step there is nothing: state 0 stands for it.\n" if self.shape.past else ""

    def standing(self, later: str, step: int) -> str:
        """The factor that stands at a step instead of a later one."""
        known = {(f.variable, f.at): f.name for f in map(self.run.plan.factor, self.step.first)}
        return known.get((self.run.plan.factor(later).variable, step), later)

    def arguments(self, *arrays: Symbol) -> tuple[Symbol, ...]:
        """The arguments of a recursion, as the caller has them."""
        return (*arrays, *((self.mask,) if self.mask else ()), *self.drivers)

    def tables(self, names: tuple[str, ...]) -> tuple[Expr, ...]:
        """Factors as plain probabilities."""
        found = [self.run.potentials[name].linear for name in names]
        return tuple(table for table in found if table is not None)

    def transition(
        self, at: dict[Symbol, Symbol], ahead: int = 0
    ) -> tuple[tuple[Statement, ...], tuple[Expr, ...]]:
        """The tables into step t + ahead, inside a recursion, where their data are those of one step.

        Where they are others at the first steps they are statements of their own.
        """
        body: list[Statement] = []
        tables: list[Expr] = []
        for name in self.step.later:
            (table,) = (rename(each, at) for each in self.tables((name,)))
            last = self.run.plan.factor(name).at
            for step in reversed(range(1, last)):
                (number, _), *_ = self.number(Number(0.0))
                (early,) = (rename(each, at) for each in self.tables((self.standing(name, step),)))
                table = Where(Binary("==", number, Number(float(step - ahead))), early, table)
            if last > 1:
                variable = self.run.plan.factor(name).variable
                several = sum(self.run.plan.factor(other).at > 1 for other in self.step.later) > 1
                symbol = Symbol(self.local("moves" + (f"_{variable}" if several else "")), table.axes)
                letter = self.shape.step.letter
                why = f"into step {letter}+{ahead}" if ahead else f"into step {letter}"
                body.append(Statement(symbol, table, "recursion", why))
                table = symbol
            tables.append(table)
        return tuple(body), tuple(tables)

    def initial(self, like: Symbol, log: bool) -> Expr:
        """The distribution of the first states, for every sequence; state 0 stands for those before them."""
        here = tuple(name for name in self.step.first if not self.run.plan.factor(name).at)
        tables = [at_first(table, self.shape.step) for table in self.tables(here)]
        tables += [OneHot(Number(0.0), axis) for axis in self.shape.past]
        value = build.add(*(self.run.log(table) for table in tables)) if log else build.multiply(*tables)
        return self.spread(value, Steps(like, self.shape.step, "first"))

    def forward_inputs(
        self, own: Symbol, array: Symbol, nexts: dict[Symbol, Symbol]
    ) -> tuple[tuple[Symbol, Expr], ...]:
        """What a step forward takes in: its part of `array`, whether it is, and the data that the next step is driven by."""
        on = self.on()
        mask = ((on, local(self.mask)),) if on and self.mask else ()
        driving = ((nexts[driver], Steps(local(driver), self.shape.step, "next")) for driver in self.moving)
        return (*self.number(local(array)), (own, local(array)), *mask, *driving)

    def spread(self, value: Expr, like: Expr) -> Expr:
        """The value for all states: repeated along those that it does not depend on."""
        return value if value.axes == self.shape.message else Broadcast(value, like, self.shape.message)

    def onward(self, operands: tuple[Expr, ...], like: Symbol) -> Expr:
        """The product summed to the states that come next."""
        have = {axis for operand in operands for axis in operand.axes}
        axes = tuple(axis for axis in self.shape.message if axis in have)
        return self.spread(Einsum(operands, axes), like)

    def back(self, operands: tuple[Expr, ...], like: Symbol) -> Expr:
        """The product summed to the states before, which are then those of the step that they are at."""
        have = {axis for operand in operands for axis in operand.axes}
        now = {before: now for now, before in zip(self.shape.now, self.shape.before, strict=True)}
        axes = tuple(axis for axis in self.shape.earlier(self.shape.message) if axis in have)
        return self.spread(Relabel(Einsum(operands, axes), tuple(now.get(axis, axis) for axis in axes)), like)


def local(symbol: Symbol) -> Symbol:
    """An array inside a function that was given it."""
    return Symbol(symbol.name, symbol.axes)


def extents(axes: Axes) -> str:
    return f"({', '.join(axis.extent or axis.letter.upper() for axis in axes)})"


def chain_of(run: Elimination, step: SumChain) -> Chain:
    layout = run.layout
    interface = sorted(step.interface, key=lambda ref: layout.states[ref])
    now = tuple(layout.states[ref] for ref in interface)
    before = tuple(layout.states[VarRef(ref.name, ref.lag + 1)] for ref in interface)
    past = tuple(layout.states[ref] for ref in interface if ref.lag)
    rest = [layout.states[ref] for ref in step.joint.scope if ref.name not in step.variables]
    members = [axis for axis in layout.members(step.joint.plates) if axis.kind != STEP]
    shape = Shape(layout.plates[step.chain], now, before, tuple(sorted((*members, *rest))), past)
    chains = [other for other in run.plan.steps if isinstance(other, SumChain)]
    suffix = "" if len(chains) == 1 else "_" + wording.joined(step.variables)
    bare = Chain(run, step, shape, run.mask(step.chain), suffix)
    every = (*step.later, *step.first)
    found = (symbol for table in bare.tables(every) for symbol in symbols(table) if symbol.space == "chunk")
    return Chain(run, step, shape, bare.mask, suffix, tuple(dict.fromkeys(found)))


def weight_of(chain: Chain) -> Expr | None:
    """The weighted posterior of all that the chain's message ranges over."""
    run, step = chain.run, chain.step
    outer = run.posterior(step.message.name)
    if outer is None:
        return None
    return run.kept(outer, step.message.plates, step.message.scope)


def states_of(step: SumChain) -> Factor:
    """The states of one step, and all else that the chain's messages range over."""
    return Factor("", (), (), tuple(ref for ref in step.joint.scope if not ref.lag), step.joint.plates)


def since(operand: Expr, axis: Axis, step: int, only: bool) -> Expr:
    """Of an operand that has the steps from number 1 on: those from `step` on, or that one alone, with the axis."""
    for _ in range(1, step):
        operand = cut(operand, axis, "later")
    return cut(operand, axis, "opening") if only else operand


def cut(operand: Expr, axis: Axis, part: str) -> Expr:
    """Some of the steps of an operand that has steps."""
    if axis not in operand.axes:
        return operand
    if isinstance(operand, OneHot):
        return OneHot(cut(operand.index, axis, part), operand.axis)
    return Steps(operand, axis, part)  # type: ignore[arg-type]


def within(operand: Expr, piece: Piece) -> Expr:
    """An operand at the steps that a distribution is for."""
    step = next((axis for axis in operand.axes if axis.kind == STEP), None)
    if step is None or piece.whole:
        return operand
    return Steps(operand, step, "range", piece.start, 0, piece.only)


def at_first(expr: Expr, axis: Axis) -> Expr:
    """What the first step reads of arrays with steps."""

    def opening(part: object) -> object:
        if isinstance(part, Symbol) and axis in part.axes:
            return Steps(local(part), axis, "first")
        return part

    return transform(expr, opening)
