"""The Plan as statements: messages on the way up, posterior marginals on the way down.

Up, every step multiplies factors (adds their logs) and sums a latent out. Down, the posterior of a step's table
is that of what its message was over, times exp(joint - message): the conditional of the variable that was summed
out. With `maximise` the sums are maxima and the conditionals ones and zeros: the most probable joint value
instead of the distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bnlab.families.base import Beliefs, Expectation, Node, registry
from bnlab.inference import missing, wording
from bnlab.inference.at_means import along, explained, integrated, log_at_means, words
from bnlab.inference.axes import Layout
from bnlab.inference.chain import within
from bnlab.inference.chains import chain_expected, chain_posterior, sum_chain
from bnlab.inference.conditionals import conditional_of
from bnlab.inference.densities import density_function, joined
from bnlab.inference.expectation import Random, expected
from bnlab.inference.filtering import Filter, integrate_chain
from bnlab.inference.gaussian import Quadratic
from bnlab.inference.integrate import Moved, Solved, integrate
from bnlab.inference.intractable import refuse_own_first
from bnlab.inference.leaves import unseen, where_seen
from bnlab.inference.linear_nodes import declare_child, declare_seen, prior_mean
from bnlab.inference.missing import Filled, offset_of_seen, with_gaps
from bnlab.inference.moments import At, Moments
from bnlab.inference.nodes import indicators, node
from bnlab.inference.offsets import offset_of
from bnlab.inference.pieces import Piece, pieces
from bnlab.inference.plan import Factor, Integrate, IntegrateChain, LeavePlates, Plan, Step, SumChain, SumOut
from bnlab.inference.pooled import is_pooled
from bnlab.inference.potentials import Potential, marginal
from bnlab.inference.products import leave, named
from bnlab.inference.smoothing import chain_means, smoothed
from bnlab.inference.tables import by_tables
from bnlab.inference.tables import sum_out as sum_out_tables
from bnlab.network.graph import topological_order
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import (
    ROW,
    Axes,
    Axis,
    Binary,
    Broadcast,
    Einsum,
    Expr,
    Number,
    Reduce,
    SegmentSum,
    Symbol,
    Take,
    Unary,
    Where,
)


@dataclass(slots=True)
class Elimination:
    """One run over a plan. `body` and `functions` grow; names are given out once each.

    `leaves` are observed variables of which values may be missing, -1 or NaN in the data; nothing reads them. `notes` are
    sentences on missing values and evidence. `bases` allows eigenvectors, which have no derivative where eigenvalues repeat.
    With `beliefs` about the parameters, densities are expected under these (variational EM): each is a density at a point
    plus an offset, and `expectations` has both, by node.
    """

    layout: Layout
    plan: Plan
    maximise: bool = False
    scaled: bool = True
    weighted: bool = True
    leaves: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bases: bool = True
    beliefs: Beliefs | None = None
    expectations: dict[str, Expectation] = field(default_factory=dict)
    offsets: dict[str, Expr] = field(default_factory=dict)
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
    quadratics: dict[str, Quadratic] = field(default_factory=dict)
    origins: dict[str, Expr] = field(default_factory=dict)
    residuals: dict[str, Expr] = field(default_factory=dict)
    filters: dict[str, Filter] = field(default_factory=dict)
    solved: dict[str, Solved] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)
    means: dict[tuple[str, At], Mapping[VarRef, tuple[Expr, tuple[str, ...]]]] = field(default_factory=dict)
    moved: dict[tuple[str, At], Moved] = field(default_factory=dict)
    carried: dict[Expr, Symbol] = field(default_factory=dict)
    left: dict[tuple[str, At], Symbol] = field(default_factory=dict)
    randoms: dict[tuple[str, str], Random] = field(default_factory=dict)
    conditioned: dict[str, Node] = field(default_factory=dict)
    precisions: dict[str, Symbol] = field(default_factory=dict)
    filled: dict[tuple[str, str], Filled] = field(default_factory=dict)
    counts: dict[tuple[tuple[str, ...], tuple[str, ...]], Expr] = field(default_factory=dict)
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
        for factor in self._parents_first():
            self._declare(factor)
        for factor in self.plan.tables:
            allowed = self.allowed(factor.variable)
            log = Where(allowed, Number(0.0), Number(float("-inf")))
            self.potentials[factor.name] = Potential(log, allowed)
        for factor in self.plan.joins:
            self.potentials[factor.name] = Potential(Number(0.0))
        self.tables = by_tables(self)
        for step in self.plan.steps:
            match step:
                case SumOut():
                    self._sum_out(step)
                case LeavePlates():
                    self._leave(step)
                case SumChain():
                    sum_chain(self, step)
                case Integrate():
                    integrate(self, step)
                case IntegrateChain():
                    integrate_chain(self, step)
        return build.add(*(self.potentials[name].log for name in self.plan.evidence))

    def _parents_first(self) -> list[Factor]:
        """The factors: Gaussian latents, parents before children, then the others as declared."""
        order, factors = topological_order(self.layout.graph), self.plan.factors
        gaussian = [f for f in factors if VarRef(f.variable) in f.continuous]
        rest = [factor for factor in factors if factor not in gaussian]
        return sorted(gaussian, key=lambda factor: order.index(factor.variable)) + rest

    def smoothed(self, step: IntegrateChain, name: str) -> Moments:
        """The posterior moments of a Gaussian chain."""
        return smoothed(self, step, name)

    def distribution(self, label: str) -> Node:
        """The distribution that a Gaussian latent is integrated out of: what is left of it, if numbers of it are seen."""
        return self.conditioned.get(label, self.nodes[label])

    def chain_means(self, step: IntegrateChain, at: At) -> Mapping[VarRef, Expr]:
        """The means of a Gaussian chain, given all data or those up to each step."""
        return chain_means(self, step, at)

    def log(self, table: Expr) -> Expr:
        """The log of a table. Where nothing underflows, zeros must not spoil the gradient either."""
        return Unary("log", table) if self.scaled else Unary("log_or_never", table)

    def pieces(self, factor: Factor) -> tuple[Piece, ...]:
        """The distributions that a factor is made of."""
        return pieces(self.layout.graph, factor)

    def parts(self) -> list[tuple[Factor, Piece]]:
        """All distributions, each with the factor that it belongs to."""
        return [(factor, piece) for factor in self.plan.factors for piece in self.pieces(factor)]

    def _declare(self, factor: Factor) -> None:
        if factor.continuous:
            self._declare_continuous(factor)
            return
        found = [self._potential(factor, piece) for piece in self.pieces(factor)]
        self.potentials[factor.name] = found[0] if len(found) == 1 else Potential(joined(self, factor, found))

    def _declare_continuous(self, factor: Factor) -> None:
        """A Gaussian latent, or a child of some. Distances are measured from prior means, except along a chain."""
        piece, *others = self.pieces(factor)
        if others:
            refuse_own_first(self.layout.graph, factor.variable)
        found = node(self.layout, self.layout.graph.variable(factor.variable), piece)
        self.nodes[piece.label] = found
        offset = offset_of(self, factor, piece)
        if offset is not None:
            self.offsets[factor.name] = offset
        if VarRef(factor.variable) not in factor.continuous:
            declare_child(self, factor, found)
            return
        step = self.consumer(factor.name)
        if isinstance(step, IntegrateChain) and factor.variable in step.variables:
            return
        mean = prior_mean(self, found, factor.plates)
        seen = next((one for one in self.plan.seen if one.variable == factor.variable), None)
        if isinstance(mean, Binary | Einsum):
            title = f"prior_mean_{factor.variable}" if seen is None else f"mean_of_{factor.variable}"
            mean = named(self, mean, title, f"E[{factor.variable}] before any data")
        if seen is not None:
            mean = declare_seen(self, seen, found, mean)
        if seen is not None and not seen.continuous:
            self.potentials[seen.name] = Potential(log_at_means(self, seen.name))
        if mean != Number(0.0):
            self.origins[factor.variable] = mean

    def _potential(self, factor: Factor, piece: Piece) -> Potential:
        found = node(self.layout, self.layout.graph.variable(factor.variable), piece)
        found = replace(found, gradients=not self.bases)
        self.nodes[piece.label] = found
        family = registry()[piece.cpd.family]
        gaps = factor.variable in self.leaves and found.state is None
        if gaps:
            found = self.nodes[piece.label] = with_gaps(found, family.name)
        density = family.density_of_seen(found) if gaps else family.density(found)
        offset = offset_of(self, factor, piece)
        if gaps and offset is not None:
            offset = offset_of_seen(found, family, offset)
        elif factor.variable in self.leaves and not gaps:
            density, offset = where_seen(self, found, density, offset), None
        if density.linear is not None:
            table = density.linear if offset is None else Binary("*", density.linear, build.exp(offset))
            return Potential(self.log(table), table)
        log = density_function(self, factor, piece, density)
        return Potential(log if offset is None else build.add(log, offset))

    def allowed(self, variable: str) -> Symbol:
        """Which states of a variable each member may be in."""
        found = self.layout.graph.variable(variable)
        state = self.layout.states[VarRef(variable)]
        return Symbol(self.field(f"allowed_{variable}"), (*self.layout.members(found.plates), state), "chunk")

    def statement(self, wanted: str, expr: Expr, because: str, formula: str = "", tex: str = "") -> Symbol:
        """Adds `wanted = expr` and returns its symbol."""
        symbol = Symbol(self.fresh(wanted), expr.axes)
        self.body.append(Statement(symbol, expr, because, formula, tex))  # type: ignore[arg-type]
        return symbol

    def product(self, names: tuple[str, ...], words: wording.Words) -> Symbol:
        """The log of the product of some factors, as a named array."""
        logs = [self.potentials[name].log for name in names]
        value = build.add(*(log for log in logs if log != Number(0.0)))
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

    def pass_on(self, step: Step, found: Quadratic) -> None:
        """What is left after a Gaussian latent: a function of others, or a table."""
        if step.message.continuous:
            self.quadratics[step.message.name] = found
            return
        assert isinstance(step, Integrate | IntegrateChain)
        title, text, tex = words(self, step)
        title += "_in_chain" if isinstance(step, IntegrateChain) else ""
        value = along(self, step) if isinstance(step, IntegrateChain) else integrated(self, step)
        text = text if is_pooled(self) else f"{text} = {explained(self, step)}"
        constant = self.statement(title, value, "sum out", text, tex)
        self.messages[step.message.name] = constant
        self.potentials[step.message.name] = Potential(constant)

    def _leave(self, step: LeavePlates) -> None:
        if step.message.continuous:
            leave(self, step)
            return
        text, tex = (write(self.layout, step.joint) for write in (wording.formula, wording.formula_tex))
        joint = self.product(step.factors, (wording.title(step.joint), text, tex))
        left = [plate for plate in step.joint.plates if plate not in step.message.plates]
        sized = tuple(self.layout.plates[plate] for plate in left if self.layout.graph.plate(plate).size)
        value = build.total(joint, tuple(axis for axis in sized if axis in joint.axes))
        value = self._sum_rows(value, step.joint.plates, step.message.plates)
        formula = (
            f"{wording.formula(self.layout, step.message)}: members of {', '.join(left)} are independent"
        )
        title = wording.title(step.message)
        title += f"_in_{step.message.plates[-1]}" if step.message.plates else ""
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
        if (
            source_rows not in value.axes
        ):  # the same for every row: nothing observed depends on what was summed out
            value = Broadcast(value, self.weight(source_rows), (source_rows, *value.axes))
        return self.sum_rows(value, source_rows, target_rows)

    def sum_rows(self, value: Expr, source: Axis, target: Axis | None) -> Expr:
        """The sum over the rows of each row of an outer plate."""
        if target is None:
            return build.total(value, (source,))
        return SegmentSum(value, self.index(source, target), source, target, self.weight(target))

    def brought(self, value: Expr, source: tuple[str, ...], target: tuple[str, ...]) -> Expr:
        """What the members of outer plates have, for the members of inner ones."""
        outer, inner = self.rows(source), self.rows(target)
        if outer is None or inner is None or outer == inner or outer not in value.axes:
            return value
        return Take(value, ((outer, self.index(inner, outer)),))

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
        return next((axis for axis in self.layout.members(plates) if axis.kind == ROW), None)

    def index(self, inner: Axis, outer: Axis) -> Symbol:
        """For every row of the inner plate the row of the outer one that it belongs to."""
        return self.layout.index(inner, outer)

    def field(self, name: str) -> str:
        """The name of a field of the data that is no variable's: no variable has it."""
        return self.layout.field(name)

    def weight(self, rows: Axis) -> Symbol:
        """The weight of each row of a plate; 0 for padding."""
        name = "weight" if rows.name == self.plan.root else f"weight_{rows.name}"
        return Symbol(self.field(name), (rows,), "chunk")

    def mask(self, chain: str) -> Symbol | None:
        """Which steps are before the end of their sequence; None for a chain that is one sequence."""
        plates = next((v.plates for v in self.layout.graph.variables if chain in v.plates), None)
        if not self.plan.root or plates is None:
            return None
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
            used = step.factors
            if name in used:
                return step
        return None

    def posterior(self, name: str) -> Expr | None:
        """The posterior over the table that a factor or message is multiplied in, weighted; None where it is just weight 1."""
        step = self.consumer(name)
        if step is None:
            return self.unit((self.plan.root,)) if self.weighted and self.plan.root else None
        key = step.message.name
        if isinstance(step, IntegrateChain) and name in step.beside:
            outer = self.posterior(key)
            return None if outer is None else self._kept(outer, step)
        if key not in self.posteriors:
            match step:
                case SumOut():
                    self.posteriors[key] = conditional_of(self, step)
                case LeavePlates():
                    below = self._below(step)
                    if below is None:
                        return None
                    self.posteriors[key] = below
                case SumChain():
                    self.posteriors[key] = chain_posterior(self, step)
                case Integrate():
                    outer = self.posterior(key)
                    if outer is None:
                        return None
                    whole = step.message.continuous
                    self.posteriors[key] = outer if whole else self._kept(outer, step)
                case IntegrateChain():
                    outer = self.posterior(key)
                    if outer is None:
                        return None
                    self.posteriors[key] = self._along(outer, step)
        return self.posteriors[key]

    def kept(self, outer: Expr, plates: tuple[str, ...], scope: tuple[VarRef, ...]) -> Expr:
        """A posterior summed to the members of some plates and the states of a scope."""
        kept = (*self.layout.members(plates), *self.layout.scope(scope))
        return marginal(outer, tuple(axis for axis in outer.axes if axis in kept))

    def _kept(self, outer: Expr, step: Step) -> Expr:
        return self.kept(outer, step.message.plates, step.message.scope)

    def _along(self, outer: Expr, step: IntegrateChain) -> Expr:
        """The weight of every step of a chain."""
        mask = self.mask(step.chain)
        value = self._kept(outer, step)
        if mask is None:
            return value
        return self.statement(
            f"weight_in_{step.chain}", Binary("*", mask, value), "posterior", "0 past the end"
        )

    def _below(self, step: LeavePlates) -> Expr | None:
        """The posterior of what the plates have left, brought back to their members; padding counts nothing."""
        outer = self.posterior(step.message.name)
        source, target = self.rows(step.joint.plates), self.rows(step.message.plates)
        if outer is None and target is None and not step.message.scope:
            return None
        if outer is not None and not step.message.continuous:
            outer = self._kept(outer, step)
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

    def expected(self, factor: Factor, piece: Piece, operands: tuple[Expr, ...], axes: Axes) -> Expr:
        """E_q[sum over members of the product of the operands], with the axes given."""
        if self.nodes[piece.label].gaussian:
            return expected(self, factor, piece, operands, axes)
        step = self.consumer(factor.name)
        chosen = indicators(self.layout, self.layout.graph.variable(factor.variable), piece)
        states = set(self.layout.scope(factor.scope))
        have = {axis for operand in operands for axis in operand.axes} | states
        picks = tuple(chosen[axis] for axis in axes if axis not in have and axis in chosen)
        if isinstance(step, SumChain) and factor.steps != "all":
            return chain_expected(self, step, factor, (*picks, *operands), axes)
        posterior = self.posterior(factor.name)
        weights = (within(posterior, piece),) if posterior is not None else ()
        parts = (*weights, *picks, *operands)
        parts = (*parts, *self._ones(factor, piece, parts))
        if self.nodes[piece.label].seen is not None:
            return missing.expected(self, self.nodes[piece.label], parts, axes)
        counted = build.einsum(axes, *parts) if parts else Number(1.0)
        if factor.variable not in self.leaves or self.beliefs is not None:
            return counted  # what is missing tells q(theta) nothing
        return Binary("+", counted, unseen(self, factor, piece, posterior, axes), layout=axes)

    def _ones(self, factor: Factor, piece: Piece, parts: tuple[Expr, ...]) -> tuple[Expr, ...]:
        """1 for each member of the plates that the parts do not tell apart, so that members are counted."""
        value = self.nodes[piece.label].value
        members = self.layout.members(factor.plates)
        alike = build.minus(members, tuple(axis for part in parts for axis in part.axes))
        if value is None:  # a latent that no data tell apart
            alike = tuple(axis for axis in alike if axis.size is not None)
        return (Broadcast(Number(1.0), value or Number(1.0), alike),) if alike else ()
