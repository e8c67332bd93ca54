"""What a filter runs over: one Gaussian latent of a chain, or several stacked into one vector.

    s[t] = F s[t-1] + b + noise of covariance Q,   s[1] ~ N(p, P)

Latents of one step that read one another are solved for in their order; what the steps read from outside the chain is one more
part of s, which stays as it is. Q is singular then, which the filter does not mind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from string import ascii_letters
from typing import TYPE_CHECKING

import numpy as np

from bnlab.families.base import Slope
from bnlab.inference.gaussian import (
    Quadratic,
    Spread,
    called,
    coefficient_matrix,
    contract,
    pair,
    plus,
    unit,
    zero_free,
)
from bnlab.inference.linear_nodes import prior_mean, spread_of
from bnlab.inference.plan import IntegrateChain
from bnlab.inference.products import named
from bnlab.naming import label_of
from bnlab.network.graph import topological_order
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ops import (
    EVENT,
    ROW,
    STEP,
    Axes,
    Axis,
    Blocks,
    Broadcast,
    Constant,
    Expr,
    Identity,
    Number,
    Part,
    Symbol,
    union,
)
from bnlab.program.walk import parts

SINGULAR = 1e-12
"""The least variance of a known covariance, beside its largest, that is taken for one: what is below may be rounding."""

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


@dataclass(frozen=True, slots=True)
class System:
    """A chain's state and how it moves. `places` has the first entry of each latent; one latent alone has none.
    `definite` tells that no covariance of what a step adds, or of what is read from outside, is known to be singular.
    """

    title: str
    entries: Axes
    earlier: Axes
    slope: Slope | None
    offset: Expr
    noise: Spread
    start: Expr
    spread: Spread
    eta: Symbol
    Lambda: Symbol
    places: Mapping[str, int]
    definite: bool


def system(run: Elimination, step: IntegrateChain, found: Quadratic) -> System:
    """The state of a chain; `found` is what the data say at each step."""
    if len(step.variables) == 1 and not step.beside and len(run.nodes[step.variables[0]].slopes) < 2:
        return _single(run, step, found)
    return _Stack(run, step, found).system()


def offset(run: Elimination, step: IntegrateChain, name: str, text: str) -> Expr:
    """What is in the mean of a latent beside latents; an array of its own where it differs between steps."""
    node = run.nodes[name]
    mean = prior_mean(run, node, step.joint.plates)
    if run.layout.plates[step.chain] in mean.axes and not isinstance(mean, Symbol):
        words = f"what the data of a step add to the mean of {node.variable}{text}"
        mean = run.statement(f"drive_{node.variable}", mean, "recursion", words)
    run.nodes[name] = replace(node, arguments={**node.arguments, "mean": mean})
    return zero_free(mean)


def _single(run: Elimination, step: IntegrateChain, found: Quadratic) -> System:
    (name,) = step.variables
    ref = VarRef(name)
    text = f"what the data of a step say of {name}"
    eta = named(run, found.shift[ref], f"eta_{name}", text)
    Lambda = named(run, found.precision[ref, ref], f"Lambda_{name}", "and how precisely")
    entries, earlier = (run.layout.vector(VarRef(name, lag), 3) for lag in (0, 1))
    moved, start = (offset(run, step, label, "") for label in (name, step.first[0]))
    later, first = run.nodes[name], run.nodes[step.first[0]]
    slope = later.slopes[0] if later.slopes else None
    spreads = spread_of(later, entries), spread_of(first, entries)
    definite = _definite(run, spreads[0])
    return System(
        name, entries, earlier, slope, moved, spreads[0], start, spreads[1], eta, Lambda, {}, definite
    )


def _definite(run: Elimination, *spreads: Spread) -> bool:
    """Whether no covariance is known to be singular. Those to be learnt are positive definite."""
    fixed = {parameter.name: parameter.value for parameter in run.layout.graph.parameters}
    for spread in spreads:
        for part in parts(spread.value):
            match part:
                case Number(value):
                    known = np.array(value)
                case Constant(flat, shape):
                    known = np.array(flat).reshape(shape)
                case Symbol(name, _, "theta") if (given := fixed.get(name)) is not None:
                    known = given.array
                case _:
                    continue
            least = np.linalg.eigvalsh(known) if spread.full and known.ndim > 1 else known
            if least.min() <= SINGULAR * np.abs(known).max():
                return False
    return True


class _Stack:
    """Several latents as one vector, those outside the chain first, parents before children."""

    def __init__(self, run: Elimination, step: IntegrateChain, found: Quadratic) -> None:
        order = topological_order(run.layout.graph)
        self.run, self.step, self.found = run, step, found
        self.names = [*step.beside, *sorted(step.variables, key=order.index)]
        self.made = 0
        self.sizes = {name: self._size(name) for name in self.names}
        taken = {axis.letter for axis in (*run.layout.plates.values(), *run.layout.states.values())}
        taken |= {axis.letter for axis in run.layout.events.values()}
        self.letters = [letter for letter in ascii_letters if letter not in taken] or ["d"]
        total = sum(self.sizes.values())
        chains = [other for other in run.plan.steps if isinstance(other, IntegrateChain)]
        self.title = "state" if len(chains) == 1 else "_".join(step.variables)
        extent = self.letters[0].upper()
        axes = [
            self._axis(f"{self.title}{mark}", total, extent) for mark in ("", "'", "''", "-", "-'", "-''")
        ]
        self.entries, self.earlier = tuple(axes[:3]), tuple(axes[3:])
        self.before = {name: self._before(name) for name in self.names}
        self.own: list[Spread] = []
        self.offsets: dict[str, Expr] = {}

    def _size(self, name: str) -> int:
        entries = self.run.layout.vector(VarRef(name), 1)
        return (entries[0].size or 1) if entries else 1

    def _axis(self, name: str, size: int, extent: str = "") -> Axis:
        letter = self.letters.pop(0) if len(self.letters) > 1 else self.letters[0]
        self.made += 1
        return Axis(EVENT, 900 + self.made, name, letter, size, extent or letter.upper())

    def _before(self, name: str) -> Axes:
        """The entries of a latent one step earlier."""
        if not self.run.layout.vector(VarRef(name), 1):
            return ()
        if name in self.step.variables and (f"{name}-", 0) in self.run.layout.events:
            return self.run.layout.vector(VarRef(name, 1), 1)
        return (self._axis(f"{name} before", self.sizes[name]),)

    def rows(self, name: str) -> Axes:
        return self.run.layout.vector(VarRef(name), 3)[:1]

    def columns(self, name: str) -> Axes:
        return self.run.layout.vector(VarRef(name), 3)[1:2]

    def system(self) -> System:
        listed = f"({', '.join(self.names)})"
        eta = self._told(listed)
        Lambda = self._matrix(
            "Lambda", {key: self._precision(*key) for key in self._pairs()}, self.entries, "and how precisely"
        )
        labels = {name: name for name in self.names}
        starts = {
            name: first if (first := label_of(name, 0)) in self.step.first else name for name in self.names
        }
        F, b, Q = self._moved(labels, first=False)
        _, p, P = self._moved(starts, first=True)
        text = f"{listed} of a step, from those of the step before"
        transition = self._matrix("F", F, (self.entries[0], self.earlier[0]), text)
        noise = self._matrix("Q", Q, self.entries, "covariance of what a step adds")
        spread = self._matrix("P_first", P, self.entries, "covariance of the first step")
        slope = Slope(self.title, 1, self.earlier[:1], transition, False, 1)
        moved = self._vector("b", b, "what a step adds besides")
        start = self._vector("p_first", p, "mean of the first step")
        places, place = {}, 0
        for name in self.names:
            places[name] = place
            place += self.sizes[name]
        spreads = Spread(noise, self.entries), Spread(spread, self.entries)
        return System(
            self.title,
            self.entries,
            self.earlier,
            slope,
            moved,
            spreads[0],
            start,
            spreads[1],
            eta,
            Lambda,
            places,
            _definite(self.run, *self.own),
        )

    def _pairs(self) -> list[tuple[str, str]]:
        return [(row, column) for row in self.names for column in self.names]

    # -- what the data say

    def _told(self, listed: str) -> Symbol:
        parts: dict[str, Expr] = {}
        for name in self.names:
            told = self.found.shift.get(VarRef(name))
            parts[name] = (
                Number(0.0) if told is None else named(self.run, told, f"eta_{name}", f"of {name} alone")
            )
        value = self._vector("eta", parts, f"what the data of a step say of {listed}")
        assert isinstance(value, Symbol)
        return value

    def _precision(self, row: str, column: str) -> Expr:
        a, b = VarRef(row), VarRef(column)
        value = self.found.precision.get(pair(a, b), Number(0.0))
        if row == column or value == Number(0.0):
            return value
        return called(value, dict(zip(self.rows(column), self.columns(column), strict=True)))

    # -- how a step moves

    def _moved(
        self, labels: Mapping[str, str], first: bool
    ) -> tuple[dict[tuple[str, str], Expr], dict[str, Expr], dict[tuple[str, str], Expr]]:
        """Each latent as a sum of those of the step before, a mean, and noises; the covariances of these."""
        F: dict[tuple[str, str], Expr] = {}
        b: dict[str, Expr] = {}
        L: dict[tuple[str, str], Expr] = {}
        spreads: dict[str, Spread] = {}
        for name in self.names:
            rows, outside = self.run.layout.vector(VarRef(name), 3), name in self.step.beside
            L[name, name] = self._unit(rows[:1], rows[1:2])
            b[name] = Number(0.0)
            if outside and not first:
                F[name, name] = self._unit(rows[:1], self.before[name])
                continue
            node = self.run.nodes[labels[name]]
            spreads[name] = spread_of(node, rows)
            if outside or not first:
                self.own.append(spreads[name])
            if not outside:
                label = labels[name]  # of a latent without a past it is the same at first: moved once
                if label not in self.offsets:
                    text = " at first" if first else ""
                    self.offsets[label] = offset(self.run, self.step, label, text)
                b[name] = self.offsets[label]
            for slope in node.slopes:
                self._add(name, slope, F, b, L, first)
        return F, b, self._covariances(L, spreads)

    def _add(
        self,
        name: str,
        slope: Slope,
        F: dict[tuple[str, str], Expr],
        b: dict[str, Expr],
        L: dict[tuple[str, str], Expr],
        first: bool,
    ) -> None:
        """One latent in the mean of another: of the step before, or of the same step and then what that is made of."""
        rows, parent = self.run.layout.vector(VarRef(name), 3), slope.parent
        if slope.lag:
            at = self.run.layout.vector(VarRef(parent, 1), 3)
            F[name, parent] = plus(F.get((name, parent)), coefficient_matrix(slope, rows, at))
            return
        C = coefficient_matrix(slope, rows, self.run.layout.vector(VarRef(parent), 3))
        over = self.rows(parent)
        for table, ends in ((F, self.before), (L, {n: self.columns(n) for n in self.names})):
            for other in self.names:
                inner = table.get((parent, other))
                if inner is None or (table is L and not first and other in self.step.beside):
                    continue
                plain = other == parent and (isinstance(inner, Identity) or inner == Number(1.0))
                value = (
                    called(C, dict(zip(over, ends[other], strict=True)))
                    if plain
                    else contract(over, C, inner)
                )
                table[name, other] = plus(table.get((name, other)), value)
        if b[parent] != Number(0.0):
            b[name] = plus(None if b[name] == Number(0.0) else b[name], contract(over, C, b[parent]))

    def _unit(self, rows: Axes, columns: Axes) -> Expr:
        return Identity((*rows, *columns)) if rows else Number(1.0)

    def _covariances(
        self, L: Mapping[tuple[str, str], Expr], spreads: Mapping[str, Spread]
    ) -> dict[tuple[str, str], Expr]:
        found: dict[tuple[str, str], Expr] = {}
        for row, column in self._pairs():
            for source, spread in spreads.items():
                left, right = L.get((row, source)), L.get((column, source))
                if left is None or right is None:
                    continue
                rows = self.run.layout.vector(VarRef(source), 3)
                value = spread.value if spread.full or not rows else contract((), spread.value, unit(rows))
                value = called(value, dict(zip(rows[:2], rows[1:3], strict=True)))
                if row == source:
                    value = called(value, dict(zip(rows[1:2], rows[:1], strict=True)))
                else:
                    value = contract(rows[1:2], left, value)
                ends = self.columns(column)
                if column == source:
                    value = called(value, dict(zip(rows[2:3], rows[1:2], strict=True)))
                else:
                    names = {
                        **dict(zip(self.rows(column), ends, strict=True)),
                        **dict(zip(rows[1:2], rows[2:3], strict=True)),
                    }
                    value = contract(rows[2:3], value, called(right, names))
                found[row, column] = plus(found.get((row, column)), value)
        return found

    # -- stacking

    def _matrix(self, head: str, parts: Mapping[tuple[str, str], Expr], ends: Axes, text: str) -> Symbol:
        """One matrix of blocks."""
        after = ends[1] == self.earlier[0]
        columns = {name: self.before[name] if after else self.columns(name) for name in self.names}
        batch = self._batch(tuple(parts.values()), columns)
        blocks = tuple(
            tuple(
                self._filled(
                    parts.get((row, column), Number(0.0)),
                    batch,
                    (*self.rows(row), *columns[column]),
                    parts.values(),
                )
                for column in self.names
            )
            for row in self.names
        )
        rows = tuple(self.rows(name) for name in self.names)
        value = Blocks(blocks, rows, tuple(columns[name] for name in self.names), (*batch, *ends[:2]))
        title = head if "_" in head else f"{head}_{self.title}"
        return self.run.statement(title, value, "numerics", text)

    def _vector(self, head: str, parts: Mapping[str, Expr], text: str) -> Expr:
        """One vector of parts; 0 if they all are."""
        if all(part == Number(0.0) for part in parts.values()):
            return Number(0.0)
        batch = self._batch(tuple(parts.values()), {})
        row = tuple(self._filled(parts[name], batch, self.rows(name), parts.values()) for name in self.names)
        value = Blocks((row,), tuple(self.rows(name) for name in self.names), (), (*batch, self.entries[0]))
        title = head if "_" in head else f"{head}_{self.title}"
        return self.run.statement(title, value, "numerics", text)

    def _batch(self, parts: tuple[Expr, ...], columns: Mapping[str, Axes]) -> Axes:
        events = {axis for name in self.names for axis in self.run.layout.vector(VarRef(name), 3)}
        events |= {axis for axes in columns.values() for axis in axes}
        return build.minus(union(*parts), tuple(events))

    def _filled(self, part: Expr, batch: Axes, ends: Axes, others: Iterable[Expr]) -> Expr:
        """A block with all its axes."""
        axes = (*batch, *ends)
        if part.axes == axes:
            return part
        unsized = [axis for axis in batch if axis.kind in (STEP, ROW)]
        like = next((other for other in others if set(unsized) <= set(other.axes)), part)
        return Broadcast(part, like, axes)


def part_of(
    run: Elimination,
    found: System,
    array: Expr,
    names: tuple[str, ...],
    ends: tuple[Axes, ...],
    title: str,
    text: str,
) -> Expr:
    """The entries of one latent in a vector, or those of two in a matrix, with these axes."""
    if not found.places:
        return array
    value: Expr = array
    behind: Axes = ()
    for name, end in zip(reversed(names), reversed(ends), strict=True):
        start, size = found.places[name], (end[0].size or 1) if end else 1
        rest = value.axes[: len(value.axes) - 1 - len(behind)]
        value = Part(value, start, start + size, (*rest, *end, *behind), len(behind))
        behind = (*end, *behind)
    if value not in run.carried:
        run.carried[value] = run.statement(title, value, "posterior", text)
    return run.carried[value]
