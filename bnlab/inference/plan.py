"""The Plan: which latent is eliminated when, what that multiplies and what it leaves. Pure data, no arithmetic.

A factor stands for a probability: of the variables `left`, given the latents `given`; it is a table over the discrete latents
`scope`, each entry a Gaussian function of the latents `continuous`, one for each member of `plates` (outermost first, a chain
last). Elimination goes from the innermost plates outwards, Gaussian latents before discrete ones; leaving a plate
multiplies the factors of its members; a chain is eliminated as a whole, by its interface (the latents that the next
step reads).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import networkx as nx

from bnlab.errors import IntractableError
from bnlab.inference.factor import Factor as Factor
from bnlab.inference.factor import Steps
from bnlab.inference.interfaces import connected, depths, interface_of
from bnlab.inference.intractable import coupled, refuse_chain, refuse_gaps, refuse_mixture, tied
from bnlab.inference.scope import check_derivable, discrete_scope, gaussian_scope, root_plate
from bnlab.inference.sizes import check_table, check_total
from bnlab.naming import label_of
from bnlab.network.graph import cpds, topological_order
from bnlab.network.ir import CPD, Graph, Variable, VarRef


@dataclass(frozen=True, slots=True)
class SumOut:
    """`variable` is summed out of the product of `factors`, a table over `joint`; `message` is what is left."""

    variable: VarRef
    factors: tuple[str, ...]
    joint: Factor
    message: Factor


@dataclass(frozen=True, slots=True)
class LeavePlates:
    """The product of `factors` over the members of the plates that `message` is no longer in."""

    factors: tuple[str, ...]
    joint: Factor
    message: Factor


@dataclass(frozen=True, slots=True)
class SumChain:
    """The latents `variables` of all steps of a chain are summed out by a forward recursion.

    The message of a step is over `interface`: the variables of that step, and those of as many steps before it as the next
    step still reads. `first` and `later` are the distributions at the first steps and at later ones, `every` the factors
    of single steps.
    """

    chain: str
    variables: tuple[str, ...]
    interface: tuple[VarRef, ...]
    first: tuple[str, ...]
    later: tuple[str, ...]
    every: tuple[str, ...]
    joint: Factor
    message: Factor

    @property
    def factors(self) -> tuple[str, ...]:
        return (*self.first, *self.later, *self.every)

    @property
    def kept(self) -> tuple[VarRef, ...]:
        """What the message of a step is over: the interface, and the outer latents that stay beside it."""
        return tuple(dict.fromkeys((*self.interface, *self.message.scope)))


@dataclass(frozen=True, slots=True)
class Integrate:
    """The Gaussian latent `variable` is integrated out of the product of its own distribution `own` and `others`."""

    variable: VarRef
    own: str
    others: tuple[str, ...]
    joint: Factor
    message: Factor

    @property
    def factors(self) -> tuple[str, ...]:
        return (self.own, *self.others)


@dataclass(frozen=True, slots=True)
class IntegrateChain:
    """The Gaussian latents `variables` of all steps of a chain are integrated out by a forward recursion: a filter.

    `first` and `later` are their distributions at the first and at later steps, `every` the factors of single steps.
    `beside` are Gaussian latents outside the chain that its steps read: the same at each of them.
    """

    chain: str
    variables: tuple[str, ...]
    beside: tuple[str, ...]
    first: tuple[str, ...]
    later: tuple[str, ...]
    every: tuple[str, ...]
    joint: Factor
    message: Factor

    @property
    def factors(self) -> tuple[str, ...]:
        return (*self.beside, *self.first, *self.later, *self.every)


Step = SumOut | LeavePlates | SumChain | Integrate | IntegrateChain


@dataclass(frozen=True, slots=True)
class Plan:
    """`factors` by declaration, `steps` in order; `evidence` names the messages whose product is p(x), one a member of `root`.

    `root` is the outermost plate, over whose members everything adds; "" where the data are one member. `tables` are the
    factors that say which states of a variable are allowed, `joins` factors of 1 that keep variables in one table, `seen` the
    densities of what is seen of Gaussian latents.
    """

    factors: tuple[Factor, ...]
    steps: tuple[Step, ...]
    evidence: tuple[str, ...]
    root: str
    tables: tuple[Factor, ...] = ()
    joins: tuple[Factor, ...] = ()
    seen: tuple[Factor, ...] = ()

    def factor(self, name: str) -> Factor:
        known = {factor.name: factor for factor in (*self.factors, *self.tables, *self.joins, *self.seen)}
        known.update({step.message.name: step.message for step in self.steps})
        return known[name]


def plan(
    graph: Graph,
    tables: tuple[str, ...] = (),
    joins: tuple[tuple[str, ...], ...] = (),
    seen: tuple[str, ...] = (),
) -> Plan:
    """The plan for exact elimination of all latents; of those in `tables` a table from the data says what is allowed, each
    of `joins` names latents whose joint posterior is wanted, and numbers of the Gaussian latents `seen` are in the data.

    Raises IntractableError, naming the variables and the reason, where there is none or bnlab does not derive it.
    """
    check_derivable(graph)
    factors = tuple(_factors(graph))
    allowed = tuple(_table(graph.variable(name)) for name in tables)
    joint = tuple(_join(graph, names) for names in joins)
    return _Elimination(graph, factors, allowed, joint, tuple(_seen(graph, name) for name in seen)).run()


def _seen(graph: Graph, name: str) -> Factor:
    """The density of what is seen of a Gaussian latent, given its parents."""
    variable = graph.variable(name)
    assert variable.cpd is not None
    discrete, gaussian = discrete_scope(graph, variable.cpd), gaussian_scope(graph, variable.cpd)
    given = (*discrete, *gaussian)
    return Factor(f"seen.{name}", (name,), given, discrete, variable.plates, "all", name, gaussian)


def _join(graph: Graph, names: tuple[str, ...]) -> Factor:
    """A factor of 1 over several variables, in the plates of the innermost one."""
    refs = tuple(VarRef(name) for name in names)
    plates = max((graph.variable(name).plates for name in names), key=len)
    return Factor(f"joint {' '.join(names)}", (), refs, refs, plates)


def _table(variable: Variable) -> Factor:
    """Which states of a variable are allowed: a factor of the variable alone."""
    ref = VarRef(variable.name)
    return Factor(f"allowed {variable.name}", (), (ref,), (ref,), variable.plates, variable=variable.name)


def meetings(found: Plan) -> tuple[frozenset[str], ...]:
    """The variables of each table that is built, with those of the distributions in it, which are counted over it."""
    graph = {factor.name: {*factor.left, *(ref.name for ref in factor.given)} for factor in found.factors}
    used = (
        (
            step.joint,
            step.factors if not isinstance(step, SumChain) else (*step.first, *step.later, *step.every),
        )
        for step in found.steps
    )
    return tuple(
        frozenset({ref.name for ref in joint.scope}.union(*(graph.get(name, set()) for name in names)))
        for joint, names in used
    )


def _factors(graph: Graph) -> Iterable[Factor]:
    for variable in graph.in_role("latent", "observed"):
        assert variable.cpd is not None
        if variable.role == "observed":
            scopes = (discrete_scope(graph, cpd) for cpd in cpds(variable))
            scope = tuple(dict.fromkeys(ref for found in scopes for ref in found))
            read = (ref for cpd in cpds(variable) for ref in gaussian_scope(graph, cpd))
            gaussian, name = tuple(dict.fromkeys(read)), variable.name
            given = (*scope, *gaussian)
            yield Factor(name, (name,), given, scope, variable.plates, "all", name, gaussian)
            continue
        for step, cpd in enumerate(variable.first):
            yield _factor(graph, variable, cpd, label_of(variable.name, step), "first", step)
        steps: Steps = "later" if variable.first else "all"
        yield _factor(graph, variable, variable.cpd, variable.name, steps, len(variable.first))


def _factor(graph: Graph, variable: Variable, cpd: CPD, name: str, steps: Steps, at: int) -> Factor:
    discrete, gaussian = discrete_scope(graph, cpd), gaussian_scope(graph, cpd)
    own = (VarRef(variable.name),) if variable.role == "latent" else ()
    scope, continuous = (discrete + own, gaussian) if variable.discrete else (discrete, gaussian + own)
    given, plates = (*discrete, *gaussian), variable.plates
    return Factor(name, (variable.name,), given, scope, plates, steps, variable.name, continuous, at)


class _Elimination:
    """The state of one run: the factors still to be multiplied, and the steps so far."""

    def __init__(
        self,
        graph: Graph,
        factors: tuple[Factor, ...],
        tables: tuple[Factor, ...],
        joins: tuple[Factor, ...],
        seen: tuple[Factor, ...],
    ) -> None:
        self.graph = graph
        self.factors = factors
        self.tables = tables
        self.joins = joins
        self.seen = seen
        self.pending = [*factors, *tables, *joins, *seen]
        self.steps: list[Step] = []
        self.root = root_plate(graph)
        self.sizes = {variable.name: getattr(variable.domain, "size", 1) for variable in graph.variables}

    def run(self) -> Plan:
        root = (self.root,) if self.root else ()
        while (inner := self._innermost(root)) is not None:
            self._plates(inner, root)
        joints = [step.joint for step in self.steps if not isinstance(step, LeavePlates)]
        check_total(self.graph, joints, self.root)
        left = tuple(factor.name for factor in self.pending)
        return Plan(self.factors, tuple(self.steps), left, self.root, self.tables, self.joins, self.seen)

    def _innermost(self, root: tuple[str, ...]) -> tuple[str, ...] | None:
        """The plates of a factor that no other factor's plates contain, while something is left to do there."""
        unfinished = [
            factor
            for factor in self.pending
            if factor.scope or factor.continuous or set(factor.plates) - set(root)
        ]
        if not unfinished:
            return None
        return max((factor.plates for factor in unfinished), key=lambda plates: (len(plates), plates))

    def _plates(self, plates: tuple[str, ...], root: tuple[str, ...]) -> None:
        here = [factor for factor in self.pending if set(factor.plates) == set(plates)]
        home = [
            variable.name
            for variable in self.graph.in_role("latent")
            if set(variable.plates) == set(plates)
            and any(ref.name == variable.name for f in here for ref in f.scope)
        ]
        chain = next((plate for plate in plates if self.graph.plate(plate).chain), None)
        self._gaussians(plates, chain)
        interface = interface_of(home, self._at(plates)) if chain else []
        for name in self._order([name for name in home if name not in interface], here):
            self._sum_out(VarRef(name), plates)
        if chain and interface:
            for component in connected(interface, self._at(plates)):
                self._sum_chain(chain, component, plates)
        self._leave(plates, root)

    def _gaussians(self, plates: tuple[str, ...], chain: str | None) -> None:
        """Integrates the Gaussian latents of some plates: children before their parents, a chain's interface last."""
        here = self._at(plates)
        home = [
            name
            for name in topological_order(self.graph)
            if set(self.graph.variable(name).plates) == set(plates)
            and any(ref.name == name for factor in here for ref in factor.continuous)
        ]
        home = [name for name in home if self.graph.variable(name).role == "latent"]
        interface = interface_of(home, here) if chain else []
        for name in reversed(home):
            if name not in interface:
                self._integrate(name, plates)
        if chain and interface:
            for component in connected(interface, self._at(plates)):
                self._integrate_chain(chain, component, plates)

    def _integrate(self, name: str, plates: tuple[str, ...]) -> None:
        used = [f for f in self._at(plates) if VarRef(name) in f.continuous]
        others = [factor for factor in used if factor.name != name]
        joint = self._joint(used, plates)
        check_table(self.graph, joint.scope)
        message = _without(joint, {VarRef(name)}, f"integrate {name}", plates)
        names = tuple(factor.name for factor in others)
        self.steps.append(Integrate(VarRef(name), name, names, joint, message))
        self._replace(used, message)

    def _integrate_chain(self, chain: str, names: tuple[str, ...], plates: tuple[str, ...]) -> None:
        used = [f for f in self._at(plates) if any(ref.name in names for ref in f.continuous)]
        read: dict[VarRef, None] = {}
        more = used[:]
        while more:  # whoever reads what steps read from outside may read more of it
            read |= dict.fromkeys(ref for f in more for ref in f.continuous if ref.name not in names)
            more = [f for f in self._at(plates) if f not in used and set(f.continuous) & set(read)]
            used += more
        beside = tuple(ref.name for ref in read)
        refuse_gaps(self.graph, chain, (*names, *beside), [factor.variable for factor in self.seen])
        refuse_chain(self.graph, chain, names, used, self.pending)
        own = [factor for factor in self.pending if factor.name in beside]
        joint = self._joint([*own, *used], plates)
        check_table(self.graph, joint.scope)
        outer = tuple(plate for plate in plates if plate != chain)
        gone = set(joint.continuous)
        message = _without(joint, gone, f"chain {names[0]}", outer)
        parts = {kind: tuple(f.name for f in used if f.steps == kind) for kind in ("first", "later", "all")}
        self.steps.append(
            IntegrateChain(chain, names, beside, parts["first"], parts["later"], parts["all"], joint, message)
        )
        self._replace([*own, *used], message)

    def _at(self, plates: tuple[str, ...]) -> list[Factor]:
        return [factor for factor in self.pending if set(factor.plates) == set(plates)]

    def _order(self, names: list[str], factors: list[Factor]) -> list[str]:
        """Min-fill, ties by the size of the table, then latest declared first (children before parents)."""
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(names)
        for factor in factors:
            members = [str(ref) if ref.lag else ref.name for ref in factor.scope]
            graph.add_edges_from((a, b) for a in members for b in members if a < b)
        order = []
        rest = list(reversed(names))
        while rest:
            best = min(rest, key=lambda name: (_fill(graph, name), self._weight(graph, name)))
            near = list(graph.neighbors(best))
            graph.add_edges_from((a, b) for a in near for b in near if a < b)
            graph.remove_node(best)
            rest.remove(best)
            order.append(best)
        return order

    def _weight(self, graph: nx.Graph[str], name: str) -> int:
        size = self.sizes[name]
        for other in graph.neighbors(name):
            size *= self.sizes.get(other, 1)
        return size

    def _sum_out(self, variable: VarRef, plates: tuple[str, ...]) -> None:
        used = [factor for factor in self._at(plates) if variable in factor.scope]
        refuse_mixture(self.graph, (variable.name,), used)
        joint = self._joint(used, plates)
        check_table(self.graph, joint.scope)
        message = _without(joint, {variable}, f"sum {variable.name}", plates)
        self.steps.append(SumOut(variable, tuple(factor.name for factor in used), joint, message))
        self._replace(used, message)

    def _sum_chain(self, chain: str, names: tuple[str, ...], plates: tuple[str, ...]) -> None:
        used = [factor for factor in self._at(plates) if any(ref.name in names for ref in factor.scope)]
        refuse_mixture(self.graph, names, used)
        joint = self._joint(used, plates)
        interface = depths(names, used)
        check_table(self.graph, (*joint.scope, *interface))
        outer = tuple(plate for plate in plates if plate != chain)
        gone = {ref for ref in joint.scope if ref.name in names}
        message = _without(joint, gone, f"chain {' '.join(names)}", outer)
        parts = {kind: tuple(f.name for f in used if f.steps == kind) for kind in ("first", "later", "all")}
        self.steps.append(
            SumChain(chain, names, interface, parts["first"], parts["later"], parts["all"], joint, message)
        )
        self._replace(used, message)

    def _leave(self, plates: tuple[str, ...], root: tuple[str, ...]) -> None:
        groups: dict[tuple[str, ...], list[Factor]] = {}
        for factor in self._at(plates):
            held = (*factor.scope, *factor.continuous)
            homes = {plate for ref in held for plate in self.graph.variable(ref.name).plates} | set(root)
            target = tuple(plate for plate in plates if plate in homes)
            if homes - set(plates):
                raise IntractableError(tied(self.graph, factor, plates))
            if target == plates and held:
                raise IntractableError(coupled(self.graph, factor))
            if target != plates:
                groups.setdefault(target, []).append(factor)
        for target, used in groups.items():
            joint = self._joint(used, plates)
            name = f"leave {' '.join(plate for plate in plates if plate not in target)}"
            taken = sum(step.message.name.startswith(name) for step in self.steps)
            message = _without(joint, set(), name + (f" {taken}" if taken else ""), target)
            self.steps.append(LeavePlates(tuple(factor.name for factor in used), joint, message))
            self._replace(used, message)

    def _joint(self, used: list[Factor], plates: tuple[str, ...]) -> Factor:
        names = dict.fromkeys(name for factor in used for name in factor.left)
        now = {ref.name for f in used for ref in (*f.scope, *f.continuous) if not ref.lag}
        left = tuple(sorted(names, key=lambda name: name in now))
        scope = tuple(sorted({ref for factor in used for ref in factor.scope}, key=self._rank))
        continuous = tuple(sorted({ref for factor in used for ref in factor.continuous}, key=self._rank))
        given = tuple(ref for ref in (*scope, *continuous) if ref.lag or ref.name not in left)
        return Factor("", left, given, scope, plates, continuous=continuous)

    def _rank(self, ref: VarRef) -> tuple[int, int]:
        return ([variable.name for variable in self.graph.variables].index(ref.name), -ref.lag)

    def _replace(self, used: list[Factor], message: Factor) -> None:
        self.pending = [factor for factor in self.pending if factor not in used] + [message]


def _without(joint: Factor, gone: set[VarRef], name: str, plates: tuple[str, ...]) -> Factor:
    names = {ref.name for ref in gone}
    scope = tuple(ref for ref in joint.scope if ref not in gone)
    continuous = tuple(ref for ref in joint.continuous if ref not in gone)
    left = tuple(item for item in joint.left if item not in names)
    given = tuple(ref for ref in (*scope, *continuous) if ref.lag or ref.name not in left)
    return Factor(name, left, given, scope, plates, continuous=continuous)


def _fill(graph: nx.Graph[str], name: str) -> int:
    near = list(graph.neighbors(name))
    return sum(1 for a in near for b in near if a < b and not graph.has_edge(a, b))
