"""The Plan as statements: messages on the way up, posterior marginals on the way down.

Up, every step multiplies factors (adds their logs) and sums a latent out. Down, the posterior of a step's table
is that of what its message was over, times exp(joint - message): the conditional of the variable that was summed
out. With `maximise` the sums are maxima and the conditionals ones and zeros: the most probable joint value
instead of the distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

from bnlab.families.base import Density, Node, registry
from bnlab.inference import wording
from bnlab.inference.axes import Layout
from bnlab.inference.chains import chain_expected, chain_posterior, sum_chain
from bnlab.inference.nodes import indicators, node
from bnlab.inference.plan import Factor, LeavePlates, Plan, Step, SumChain, SumOut
from bnlab.inference.potentials import Potential, marginal
from bnlab.inference.tables import by_tables, conditional
from bnlab.inference.tables import sum_out as sum_out_tables
from bnlab.naming import fresh
from bnlab.network.ir import CPD
from bnlab.program import build
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import (
    ROW,
    STEP,
    Axes,
    Axis,
    Binary,
    Broadcast,
    Call,
    Expr,
    InBlocks,
    Number,
    Reduce,
    SegmentSum,
    Symbol,
    Take,
    Unary,
    Where,
)
from bnlab.program.walk import rename, symbols

LARGE = 32
"""Numbers a row of data, from which on a density makes arrays worth keeping in cache."""


@dataclass(slots=True)
class Elimination:
    """One run over a plan. `body` and `functions` grow; names are given out once each."""

    layout: Layout
    plan: Plan
    maximise: bool = False
    scaled: bool = True
    weighted: bool = True
    body: list[Statement | Scan | Invoke] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    potentials: dict[str, Potential] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    joints: dict[str, Symbol] = field(default_factory=dict)
    messages: dict[str, Symbol] = field(default_factory=dict)
    posteriors: dict[str, Expr] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    densities: dict[str, Function] = field(default_factory=dict)
    arrays: dict[tuple[str, str], Symbol] = field(default_factory=dict)
    tables: frozenset[str] = frozenset()
    titles: wording.Titles = field(init=False)

    def __post_init__(self) -> None:
        self.titles = wording.titles(self.layout, self.plan)

    def fresh(self, wanted: str) -> str:
        """The name, or the name with the least number behind it that makes it new."""
        name, count = wanted, 2
        while name in self.names:
            name, count = f"{wanted}_{count}", count + 1
        self.names.add(name)
        return name

    # -- up

    def upward(self) -> Expr:
        """Writes all messages; returns ln p(x) of each member of the outermost plate."""
        for factor in self.plan.factors:
            self._declare(factor)
        self.tables = by_tables(self)
        for step in self.plan.steps:
            match step:
                case SumOut():
                    self._sum_out(step)
                case LeavePlates():
                    self._leave(step)
                case SumChain():
                    sum_chain(self, step)
        return build.add(*(self.potentials[name].log for name in self.plan.evidence))

    def log(self, table: Expr) -> Expr:
        """The log of a table. Where nothing underflows, zeros must not spoil the gradient either."""
        return Unary("log", table) if self.scaled else Unary("log_or_never", table)

    def cpd(self, factor: Factor) -> CPD:
        variable = self.layout.graph.variable(factor.variable)
        cpd = variable.first[0] if factor.steps == "first" else variable.cpd
        assert cpd is not None
        return cpd

    def _declare(self, factor: Factor) -> None:
        variable = self.layout.graph.variable(factor.variable)
        cpd = self.cpd(factor)
        found = node(self.layout, variable, cpd, factor.name)
        self.nodes[factor.name] = found
        density = registry()[cpd.family].density(found)
        if density.linear is None:
            self.potentials[factor.name] = Potential(self._density(factor, density))
        else:
            self.potentials[factor.name] = Potential(self.log(density.linear), density.linear)

    def _density(self, factor: Factor, density: Density) -> Expr:
        """A function of its own for a density that takes more than a line."""
        axes = (*self.layout.members(factor.plates), *self.layout.scope(factor.scope))
        if factor.name in self.densities:
            return _call(self.densities[factor.name], _chunk_symbols(density), density.log.axes)
        title = self.fresh(f"log_likelihood_{factor.variable}")
        arguments = _chunk_symbols(density)
        text = wording.formula(self.layout, factor)
        locals_ = {symbol: Symbol(symbol.name, symbol.axes) for symbol in arguments}
        density = _apart(density, {symbol.name for symbol in arguments})
        doc = f"{text} as ({', '.join(axis.extent or axis.letter.upper() for axis in axes)})."
        body = tuple(_as_locals(statement, locals_) for statement in density.body)
        result = rename(density.log, locals_)
        assert isinstance(result, Expr)
        tex = wording.formula_tex(self.layout, factor)
        self.densities[factor.name] = Function(
            title, tuple(locals_.values()), ("theta",), body, (result,), doc, tex
        )
        self.functions.append(self.densities[factor.name])
        return _call(self.densities[factor.name], arguments, result.axes)

    def statement(self, wanted: str, expr: Expr, because: str, formula: str = "", tex: str = "") -> Symbol:
        """Adds `wanted = expr` and returns its symbol."""
        symbol = Symbol(self.fresh(wanted), expr.axes)
        self.body.append(Statement(symbol, expr, because, formula, tex))  # type: ignore[arg-type]
        return symbol

    def product(self, names: tuple[str, ...], words: wording.Words) -> Symbol:
        """The log of the product of some factors, as a named array."""
        value = build.add(*(self.potentials[name].log for name in names))
        if isinstance(value, Symbol) and value.space == "local":
            return value
        title, text, tex = words
        return self.statement(title, value, "multiply", text, tex)

    def _sum_out(self, step: SumOut) -> None:
        if step.message.name in self.tables:
            sum_out_tables(self, step)
            return
        joint = self.product(step.factors, self.titles.joint(step))
        over = (self.layout.states[step.variable],)
        reduced = Reduce("max" if self.maximise else "logsumexp", joint, over)
        verb = "maximises over" if self.maximise else "sums out"
        title, formula, tex = self.titles.message(step, verb=verb)
        message = self.statement(title, reduced, "sum out", formula, tex)
        self._record(step, joint, message)

    def _leave(self, step: LeavePlates) -> None:
        text, tex = (write(self.layout, step.joint) for write in (wording.formula, wording.formula_tex))
        joint = self.product(step.factors, (wording.title(step.joint), text, tex))
        left = [plate for plate in step.joint.plates if plate not in step.message.plates]
        sized = tuple(self.layout.plates[plate] for plate in left if self.layout.graph.plate(plate).size)
        value = build.total(joint, tuple(axis for axis in sized if axis in joint.axes))
        value = self._sum_rows(value, step.joint.plates, step.message.plates)
        formula = (
            f"{wording.formula(self.layout, step.message)}: members of {', '.join(left)} are independent"
        )
        title = (
            f"{wording.title(step.message)}_in_{step.message.plates[-1]}"
            if step.message.plates
            else wording.title(step.message)
        )
        message = self.statement(
            title, value, "leave plate", formula, wording.formula_tex(self.layout, step.message)
        )
        self._record(step, joint, message)

    def _sum_rows(self, value: Expr, source: tuple[str, ...], target: tuple[str, ...]) -> Expr:
        graph = self.layout.graph
        if any(graph.plate(plate).chain for plate in source if plate not in target):
            chain = next(plate for plate in source if graph.plate(plate).chain)
            value = self.sum_steps(value, chain)
        source_rows, target_rows = self.rows(source), self.rows(target)
        if source_rows == target_rows:
            return value
        if target_rows is None:
            assert source_rows is not None
            return build.total(value, (source_rows,))
        assert source_rows is not None
        weight = self.weight(target_rows)
        if (
            source_rows not in value.axes
        ):  # the same for every row: nothing observed depends on what was summed out
            value = Broadcast(value, self.weight(source_rows), (source_rows, *value.axes))
        return SegmentSum(value, self.index(source_rows, target_rows), source_rows, target_rows, weight)

    def sum_steps(self, value: Expr, chain: str) -> Expr:
        """The sum over the steps of a chain, those past the end of a sequence left out."""
        axis = self.layout.plates[chain]
        mask = self.mask(chain)
        if mask is not None:
            value = Where(mask, value, Number(0.0))
        return build.total(value, (axis,))

    def _record(self, step: Step, joint: Symbol, message: Symbol) -> None:
        name = step.message.name
        self.joints[name], self.messages[name] = joint, message
        self.potentials[name] = Potential(message)

    # -- rows, weights, masks

    def rows(self, plates: tuple[str, ...]) -> Axis | None:
        """The row axis of some plates: the innermost one without size that is no chain."""
        found = [axis for axis in self.layout.members(plates) if axis.kind == 1]
        return found[0] if found else None

    def index(self, inner: Axis, outer: Axis) -> Symbol:
        """For every row of the inner plate the row of the outer one that it belongs to."""
        return Symbol(self.field(f"{outer.name}_of_{inner.name}"), (inner,), "chunk")

    def field(self, name: str) -> str:
        """The name of a field of the data that is no variable's: no variable has it."""
        return fresh(name, {variable.name for variable in self.layout.graph.variables})

    def weight(self, rows: Axis) -> Symbol:
        """The weight of each row of a plate; 0 for padding."""
        name = "weight" if rows.name == self.plan.root else f"weight_{rows.name}"
        return Symbol(self.field(name), (rows,), "chunk")

    def mask(self, chain: str) -> Symbol | None:
        """Which steps are before the end of their sequence; None for a chain that is one sequence."""
        if not self.plan.root:
            return None
        plates = next(v.plates for v in self.layout.graph.variables if chain in v.plates)
        rows = self.rows(tuple(plate for plate in plates if plate != chain))
        return Symbol(
            self.field(f"mask_{chain}"), (self.layout.plates[chain], *((rows,) if rows else ())), "chunk"
        )

    def unit(self, plates: tuple[str, ...]) -> Expr | None:
        """The weight that the members of some plates count with; None for 1."""
        rows = self.rows(plates)
        chain = next((plate for plate in plates if self.layout.graph.plate(plate).chain), None)
        weight: Expr | None = self.weight(rows) if rows is not None else None
        mask = self.mask(chain) if chain else None
        if mask is None:
            return weight
        return mask if weight is None else Binary("*", mask, weight)

    # -- down

    def consumer(self, name: str) -> Step | None:
        """The step that a factor or message is multiplied in."""
        for step in self.plan.steps:
            used = step.factors if not isinstance(step, SumChain) else (*step.first, *step.later, *step.every)
            if name in used:
                return step
        return None

    def posterior(self, name: str) -> Expr | None:
        """The posterior over the table that a factor or message is multiplied in, weighted; None where it is just weight 1."""
        step = self.consumer(name)
        if step is None:
            return self.unit((self.plan.root,)) if self.weighted and self.plan.root else None
        key = step.message.name
        if key not in self.posteriors:
            match step:
                case SumOut():
                    self.posteriors[key] = self._conditional(step)
                case LeavePlates():
                    below = self._below(step)
                    if below is None:
                        return None
                    self.posteriors[key] = below
                case SumChain():
                    self.posteriors[key] = chain_posterior(self, step)
        return self.posteriors[key]

    def _conditional(self, step: SumOut) -> Expr:
        if step.message.name in self.tables:
            return conditional(self, step)
        outer = self.posterior(step.message.name)
        joint, message = self.joints[step.message.name], self.messages[step.message.name]
        if self.maximise:
            value: Expr = Reduce("hardmax", joint, (self.layout.states[step.variable],))
        else:
            possible: Expr = message
            if step.message.scope and not self.scaled:  # a table may say that its parents' states never meet
                possible = Where(Binary(">", message, Number(float("-inf"))), message, Number(0.0))
            value = build.exp(build.subtract(joint, possible))
        if outer is not None:
            kept = (*self.layout.members(step.joint.plates), *self.layout.scope(step.message.scope))
            outer = marginal(outer, tuple(axis for axis in outer.axes if axis in kept))
            value = Binary("*", value, outer)
        title, text, tex = self.titles.posterior(step)
        return self.statement(title, value, "posterior", text, tex)

    def _below(self, step: LeavePlates) -> Expr | None:
        """The posterior of what the plates have left, brought back to their members; padding counts nothing."""
        outer = self.posterior(step.message.name)
        source, target = self.rows(step.joint.plates), self.rows(step.message.plates)
        if outer is None and target is None and not step.message.scope:
            return None
        if outer is not None:
            kept = (*self.layout.members(step.message.plates), *self.layout.scope(step.message.scope))
            outer = marginal(outer, tuple(axis for axis in outer.axes if axis in kept))
        if outer is not None and source != target and target is not None and source is not None:
            outer = Take(outer, ((target, self.index(source, target)),))
            outer = Binary("*", outer, self.weight(source)) if self.weighted else outer
        chain = next((plate for plate in step.joint.plates if self.layout.graph.plate(plate).chain), None)
        mask = self.mask(chain) if chain and chain not in step.message.plates else None
        if mask is not None and outer is not None and self.weighted:
            outer = Binary("*", mask, outer)
        if outer is None or isinstance(outer, Symbol):
            return outer
        title = wording.posterior_title(step.message.scope) if step.message.scope else "weight"
        return self.statement(
            f"{title}_in_{step.joint.plates[-1]}", outer, "posterior", "the same for every member"
        )

    def expected(self, factor: Factor, operands: tuple[Expr, ...], axes: Axes) -> Expr:
        """E_q[sum over members of the product of the operands], with the axes given."""
        step = self.consumer(factor.name)
        chosen = indicators(self.layout, self.layout.graph.variable(factor.variable), self.cpd(factor))
        states = set(self.layout.scope(factor.scope))
        have = {axis for operand in operands for axis in operand.axes} | states
        picks = tuple(chosen[axis] for axis in axes if axis not in have and axis in chosen)
        if isinstance(step, SumChain) and factor.steps != "all":
            return chain_expected(self, step, factor, (*picks, *operands), axes)
        posterior = self.posterior(factor.name)
        parts = (*((posterior,) if posterior is not None else ()), *picks, *operands)
        parts = (*parts, *self._ones(factor, parts))
        return build.einsum(axes, *parts) if parts else Number(1.0)

    def _ones(self, factor: Factor, parts: tuple[Expr, ...]) -> tuple[Expr, ...]:
        """1 for each member of the plates that the parts do not tell apart, so that members are counted."""
        value = self.nodes[factor.name].value
        members = self.layout.members(factor.plates)
        alike = tuple(axis for axis in members if all(axis not in part.axes for part in parts))
        return () if value is None or not alike else (Broadcast(Number(1.0), value, alike),)


def _call(function: Function, arguments: tuple[Symbol, ...], axes: Axes) -> Expr:
    """The call of a density; for all steps of a chain in blocks, unless what it makes on the way is small."""
    call = Call(function.name, (Symbol("theta", ()), *arguments), axes)
    targets = [item.target.axes for item in function.body if isinstance(item, Statement)]
    cells = max((prod(axis.size or 1 for axis in found) for found in targets), default=1)
    if cells < LARGE or not any(axis.kind == STEP for axis in axes):
        return call
    return InBlocks(call, sum(axis.kind in (STEP, ROW) for axis in axes))


def _chunk_symbols(density: Density) -> tuple[Symbol, ...]:
    found: dict[Symbol, None] = {}
    for expr in (*(statement.expression for statement in density.body), density.log):
        found.update(dict.fromkeys(symbol for symbol in symbols(expr) if symbol.space == "chunk"))
    return tuple(found)


def _apart(density: Density, taken: set[str]) -> Density:
    """The density with its locals called otherwise than its data."""
    mapping = {
        statement.target: Symbol(f"{statement.target.name}_", statement.target.axes)
        for statement in density.body
        if statement.target.name in taken
    }
    if not mapping:
        return density
    names = {symbol.name: new.name for symbol, new in mapping.items()}
    found = (s for e in (density.log, *(st.expression for st in density.body)) for s in symbols(e))
    every = {
        s: Symbol(names[s.name], s.axes) for s in found if s.space == "local" and s.name in names
    } | mapping
    body = tuple(
        replace(_as_locals(statement, every), target=every.get(statement.target, statement.target))
        for statement in density.body
    )
    log = rename(density.log, every)
    return replace(density, body=body, log=log)


def _as_locals(statement: Statement, mapping: dict[Symbol, Symbol]) -> Statement:
    return replace(statement, expression=rename(statement.expression, mapping))
