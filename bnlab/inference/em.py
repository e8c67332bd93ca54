"""EM for a network: the E-step by elimination, the expected statistics, and the closed-form M-step, as one Program."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from bnlab.domains import Integer
from bnlab.errors import Fault, IntractableError
from bnlab.families.base import AbstractFamily, Beliefs, PriorOn, Statistic, Use, registry
from bnlab.inference.alive import alive, told_apart
from bnlab.inference.axes import Layout, layout
from bnlab.inference.chain import chain_of
from bnlab.inference.chain_scaled import guarded
from bnlab.inference.closed_form import check_closed_form
from bnlab.inference.elimination import Elimination
from bnlab.inference.expectation import overall, repeated, with_residual
from bnlab.inference.knowledge import Knowledge, analysed, notes
from bnlab.inference.missing import completed
from bnlab.inference.nodes import data
from bnlab.inference.plan import Factor, Plan, SumChain, meetings, plan
from bnlab.inference.pooled import is_pooled, with_rows
from bnlab.inference.sharing import components
from bnlab.inference.starts import set_apart
from bnlab.inference.statistic_names import statistic_formula, statistic_title
from bnlab.naming import fresh
from bnlab.network.ir import Affine, Graph, Parameter, Variable, VarRef
from bnlab.program import build
from bnlab.program.degree import condensable
from bnlab.program.ir import Field, Function, Program, Start, Statement
from bnlab.program.ops import Axes, Expr, JointBasis, Symbol
from bnlab.program.walk import symbols

NOTHING = Knowledge()
"""No value is missing, and nothing is known of latents."""
WHOLE = {"theta": "all parameters together", "chunk": "a part of the data"}
"""What functions call their arguments."""

Kind = Literal["em", "viterbi"]
Messages = Literal["scaled", "log"]


def em(graph: Graph, kind: Kind = "em", messages: Messages = "scaled", known: Knowledge = NOTHING) -> Program:
    """The Program of EM, or of hard EM ("viterbi"), where the latents take their most probable joint value.

    Raises IntractableError, by name and with the reason, where exact EM does not exist or is not derived.
    """
    if kind == "viterbi" and not any(variable.discrete for variable in graph.in_role("latent")):
        fault = Fault(
            "Hard EM assigns discrete latent variables, and this network has none.", 'Use method="em".'
        )
        raise IntractableError(fault)
    check_closed_form(graph)
    run = elimination(graph, kind == "viterbi", messages == "scaled", weighted=True, known=known)
    members = run.upward()
    uses = statistics_of(run)
    m_step = _m_step(run, uses)
    allowed = ", z allowed" if known.evidence else ""
    what = f"ln p(x{allowed})" if kind == "em" else f"ln p(x, z*) at the most probable z*{allowed}"
    fields = [Field("log_p", (), what)]
    log_p, results = log_p_of(run, members), []
    for statistic in needed(uses, m_step):
        fields.append(Field(statistic.target.name, statistic.target.axes, statistic.formula))
        results.append(statistic.expression)
    if is_pooled(run):
        log_p, results = with_rows(run, log_p, results)
    results = [log_p, *results]
    expect = Function(
        "expect", (), ("theta", "chunk"), alive(run, tuple(results)), tuple(results), _expect_doc(kind)
    )
    found = program_of(run, expect, tuple(fields), m_step, starts_of(run, known.evidence))
    found = replace(found, condensed=condensable(found))
    return _with_derivative(graph, run, found, known) if kind == "em" and _has_basis(run) else found


def _has_basis(run: Elimination) -> bool:
    return any(isinstance(item, Statement) and isinstance(item.expression, JointBasis) for item in run.body)


def _with_derivative(graph: Graph, before: Elimination, found: Program, known: Knowledge) -> Program:
    """The program with an evidence of its own, that goes without eigenvectors."""
    run = elimination(graph, maximise=False, scaled=before.scaled, weighted=True, known=known, bases=False)
    run.names |= {function.name for function in found.functions}
    if not is_pooled(before):
        run.densities.update(found.densities)
    log_p = log_p_of(run, run.upward())
    doc = (
        "ln p of one chunk. The basis that members share in `expect` has no derivative where two\n"
        "eigenvalues are equal; here each member has an inverse of its own.\n"
    )
    evidence = Function("evidence", (), ("theta", "chunk"), alive(run, (log_p,)), (log_p,), doc)
    evidence = told_apart(evidence, {field.name for field in found.chunk})
    return replace(found, functions=(*found.functions, *run.functions), evidence=evidence)


def evidence(graph: Graph, known: Knowledge = NOTHING) -> Program:
    """The Program of ln p(x) alone, which never underflows and has derivatives everywhere."""
    run = elimination(graph, maximise=False, scaled=False, weighted=True, known=known, bases=False)
    log_p = log_p_of(run, run.upward())
    expect = Function("expect", (), ("theta", "chunk"), alive(run, (log_p,)), (log_p,), "ln p of one chunk.")
    return program_of(run, expect, (Field("log_p", ()),))


def posterior(graph: Graph, before: Program | None = None, known: Knowledge = NOTHING) -> Program:
    """The Program of ln p of each member and of the posterior marginals of the latents.

    With `before`, the Program of the marginals, it is that of the most probable joint value, and shares its densities.
    """
    run = elimination(graph, maximise=before is not None, scaled=False, weighted=False, known=known)
    if before is not None:
        run.names |= {function.name for function in before.functions}
        run.densities.update(before.densities)
    members = run.upward()
    found = [(Field("log_p", members.axes), members)]
    for variable in graph.in_role("latent"):
        found += _posteriors(run, run.layout.graph.variable(variable.name))
    for factor in run.plan.joins:
        value, names = _joint(run, factor), [ref.name for ref in factor.scope]
        title = "_".join(("joint", *names))
        found.append((Field(title, value.axes, made="joint", of=" ".join(names)), value))
    fields, results = zip(*found, strict=True)
    title, doc = ("expect", "ln p of each member, and the posterior of each latent.")
    if before is not None:
        title, doc = (
            "maximise",
            "ln p(x, z*) of each member, and z* as ones and zeros: the most probable joint value.",
        )
    expect = Function(title, (), ("theta", "chunk"), alive(run, tuple(results)), tuple(results), doc)
    return program_of(run, expect, _told_apart(fields))


def _told_apart(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """The fields under names of their own: a latent may be called like what there is of another."""
    taken: set[str] = set()
    named = []
    for field in fields:
        title = fresh(field.name, taken)
        taken.add(title)
        named.append(field if title == field.name else replace(field, name=title, of=field.of or field.name))
    return tuple(named)


def elimination(
    graph: Graph,
    maximise: bool,
    scaled: bool,
    weighted: bool,
    known: Knowledge,
    bases: bool = True,
    beliefs: Beliefs | None = None,
) -> Elimination:
    """A run over the plan of a network, before its first step."""
    found = analysed(graph, known)
    steps = plan(found.graph, found.tables, found.joint, found.regressors)
    axes = layout(found.graph, meetings(steps), (*found.latent, *found.regressors))
    run = Elimination(axes, steps, maximise, scaled, weighted, found.leaves, notes(found), bases, beliefs)
    read = {variable.name for variable in graph.in_role("observed", "given")}
    read |= {*found.leaves, *found.regressors}
    for name in sorted(read & set(WHOLE)):
        reason = f"`{name}` has data, and derived algorithms call {WHOLE[name]} so."
        raise IntractableError(Fault(reason, "Call the variable otherwise.", graph.variable(name).location))
    run.names |= read | {*WHOLE, "s"}
    run.names |= {run.allowed(name).name for name in found.tables}
    return run


def program_of(
    run: Elimination,
    expect: Function,
    statistics: tuple[Field, ...],
    m_step: Function | None = None,
    starts: tuple[Start, ...] = (),
) -> Program:
    axes, graph = run.layout, run.layout.graph
    chunk = chunk_fields(axes, run.plan, run)
    return Program(
        name=graph.name,
        parameters=tuple(parameter_field(axes, parameter) for parameter in graph.parameters),
        chunk=chunk,
        statistics=statistics,
        functions=tuple(run.functions),
        expect=told_apart(expect, {field.name for field in chunk}),
        m_step=m_step or Function("m_step", (), ("statistics", "theta"), (), (), ""),
        log_prior=_log_prior(axes) if m_step else None,
        root=run.plan.root,
        levels=row_levels(axes),
        starts=starts,
        leaves=(*run.leaves, *(factor.variable for factor in run.plan.seen)),
        notes=run.notes,
        densities=dict(run.densities),
    )


def _posteriors(run: Elimination, variable: Variable) -> list[tuple[Field, Expr]]:
    """What is asked of a latent: the probabilities of its states, or its mean and covariance."""
    name = variable.name
    if variable.discrete:
        value = _marginal(run, variable)
        return [(Field(name, value.axes), value)]
    mean, cov = overall(run, variable)
    return [
        (Field(f"mean_of_{name}", mean.axes, made="mean", of=name), mean),
        (Field(f"cov_of_{name}", cov.axes, made="cov", of=name), cov),
    ]


def _marginal(run: Elimination, variable: Variable) -> Expr:
    factor = next(f for f in run.plan.factors if f.variable == variable.name and f.steps != "first")
    found = run.posterior(factor.name)
    assert found is not None
    wanted = (*run.layout.members(variable.plates), run.layout.states[VarRef(variable.name)])
    return repeated(run, build.einsum(tuple(axis for axis in wanted if axis in found.axes), found), wanted)


def _joint(run: Elimination, factor: Factor) -> Expr:
    """The posterior of several variables together, in the order asked for."""
    found = run.posterior(factor.name)
    assert found is not None
    states = tuple(run.layout.states[ref] for ref in factor.scope)
    wanted = (*run.layout.members(factor.plates), *states)
    return repeated(run, build.einsum(tuple(axis for axis in wanted if axis in found.axes), found), wanted)


def _expect_doc(kind: Kind) -> str:
    under = (
        "expected under the posterior of the latents"
        if kind == "em"
        else "at the most probable value of the latents"
    )
    return f"Statistics of one chunk, {under}."


def parameter_field(axes: Layout, parameter: Parameter) -> Field:
    words = {
        "Simplex": "rows sum to 1" if parameter.plates else "sums to 1",
        "Covariance": "positive definite",
        "Positive": "positive",
        "Probability": "between 0 and 1",
    }
    return Field(parameter.name, axes.parameter(parameter), words.get(type(parameter.domain).__name__, ""))


# -- data


def chunk_fields(axes: Layout, found: Plan, run: Elimination) -> tuple[Field, ...]:
    """What a chunk of data holds: the variables, the weights of rows, which steps are real, and which row belongs to which."""
    graph = axes.graph
    fields = []
    seen = {factor.variable for factor in found.seen}
    for variable in (v for v in graph.variables if v.role in ("observed", "given") or v.name in seen):
        symbol, states = data(axes, variable.name), 0
        if isinstance(variable.domain, Integer):
            states = variable.domain.size
        fields.append(Field(variable.name, symbol.axes, "", states > 0, states=states))
    for name in (factor.variable for factor in found.tables):
        table = run.allowed(name)
        fields.append(Field(table.name, table.axes, "the states it may be in", made="allowed"))
    rows = row_levels(axes)
    for level in rows:
        plate = axes.plates[level[-1]]
        made = "weight" if level[-1] == found.root else "rows"
        fields.append(Field(run.weight(plate).name, (plate,), "0 for padding", made=made))
    for level in rows:
        inner = axes.plates[level[-1]]
        for outer in level[:-1]:
            name = run.index(inner, axes.plates[outer]).name
            fields.append(Field(name, (inner,), f"row of {outer}", integer=True, made="index", of=outer))
    for chain in graph.plates:
        if chain.chain and (mask := run.mask(chain.name)) is not None:
            fields.append(Field(mask.name, mask.axes, "False past the end", made="mask"))
    return tuple(fields)


def row_levels(axes: Layout) -> tuple[tuple[str, ...], ...]:
    """The plates without size, each with those around it, outermost first."""
    graph = axes.graph
    found: dict[str, tuple[str, ...]] = {}
    for variable in graph.in_role("latent", "observed", "given"):
        rows = tuple(p for p in variable.plates if graph.plate(p).size is None and not graph.plate(p).chain)
        for depth in range(1, len(rows) + 1):
            found.setdefault(rows[depth - 1], rows[:depth])
    return tuple(sorted(found.values(), key=len))


# -- E-step


@dataclass(frozen=True, slots=True)
class Uses:
    """All nodes with free parameters, by family, and the statistics they need (those that are equal share a name)."""

    by_family: tuple[tuple[AbstractFamily, tuple[Use, ...]], ...]
    collected: tuple[Statistic, ...]


def statistics_of(run: Elimination) -> Uses:
    graph = run.layout.graph
    free = {parameter.name for parameter in graph.parameters if parameter.value is None}
    groups: dict[str, list[Use]] = {}
    collected: dict[str, Statistic] = {}
    prepared: set[Statement] = set()
    for factor, piece in run.parts():
        node = run.nodes[piece.label]
        family = registry()[piece.cpd.family]
        if not node.parameters & free:
            continue
        if node.gaussian:
            node = with_residual(run, factor, piece)
        elif node.seen is not None:
            node = completed(run, piece)
        for statement in family.prepare(node):
            if statement not in prepared:
                run.names.add(statement.target.name)
                prepared.add(statement)
                run.body.append(statement)
        found = family.statistics(node, partial(run.expected, factor, piece))
        named: dict[str, Symbol] = {}
        for kind, statistic in found.items():
            wanted = statistic_title(run, factor, piece, kind, statistic.target.axes)
            other = f"{wanted}_of_{factor.variable}" if node.gaussian else wanted
            title = _shared(collected, wanted, other, statistic)
            symbol = Symbol(title, statistic.target.axes, "statistics")
            named[kind] = symbol
            collected[title] = Statistic(
                symbol, statistic.expression, statistic_formula(run, factor, piece, statistic)
            )
        groups.setdefault(family.name, []).append(Use(node, named))
    by_family = tuple((registry()[name], tuple(uses)) for name, uses in groups.items())
    return Uses(by_family, tuple(collected.values()))


def needed(uses: Uses, m_step: Function) -> list[Statistic]:
    """The statistics that the M-step reads."""
    read = {symbol.name for symbol in symbols(m_step) if symbol.space == "statistics"}
    return [statistic for statistic in uses.collected if statistic.target.name in read]


def _shared(collected: dict[str, Statistic], wanted: str, other: str, statistic: Statistic) -> str:
    """The name of a statistic that is the same already, or the wanted name, or the other one, made new."""
    for name, known in collected.items():
        if known.expression == statistic.expression and known.target.axes == statistic.target.axes:
            return name
    name, count = wanted if wanted not in collected else other, 2
    while name in collected:
        name, count = f"{other}_{count}", count + 1
    return name


def log_p_of(run: Elimination, evidence: Expr) -> Expr:
    """ln p of the chunk. Scaled messages that under- or overflow make it NaN: never wrong, never silent."""
    weight = run.unit((run.plan.root,)) if run.plan.root else None
    value = build.einsum((), weight, evidence) if weight is not None else evidence
    if run.maximise or not run.scaled:
        return value
    for step in run.plan.steps:
        if isinstance(step, SumChain):
            value = guarded(chain_of(run, step), value)
    return value


# -- M-step


def _m_step(run: Elimination, uses: Uses) -> Function:
    graph = run.layout.graph
    free = frozenset(parameter.name for parameter in graph.parameters if parameter.value is None)
    priors = {
        p.name: PriorOn(p.prior.family, dict(p.prior.arguments))
        for p in graph.parameters
        if p.prior is not None
    }
    body: list[Statement] = []
    values: dict[str, Expr] = {}
    for family, members in uses.by_family:
        for component in components(members, free):
            maximum = family.maximise(component, free, priors)
            body += maximum.body
            values.update(maximum.values)
    results = tuple(
        values.get(p.name, Symbol(p.name, run.layout.parameter(p), "theta")) for p in graph.parameters
    )
    return Function(
        "m_step", (), ("statistics", "theta"), tuple(body), results, "The parameters that maximise Q."
    )


def _log_prior(axes: Layout) -> Function | None:
    graph = axes.graph
    terms = []
    for parameter in graph.parameters:
        if parameter.prior is None or parameter.value is not None:
            continue
        symbol = Symbol(parameter.name, axes.parameter(parameter), "theta")
        event = axes.event(parameter.name, len(parameter.domain.event_shape))
        if len(event) == 1 and parameter.prior.argument("cov") is not None:
            event = pair(axes, event)
        family = registry()[parameter.prior.family]
        terms.append(family.log_prior(symbol, dict(parameter.prior.arguments), event))
    if not terms:
        return None
    return Function(
        "log_prior",
        (),
        ("theta",),
        (),
        (build.add(*terms),),
        "ln p(theta): the priors' log densities, summed.",
    )


def starts_of(run: Elimination, evidence: Collection[str] = ()) -> tuple[Start, ...]:
    """Where EM starts each parameter from: at its fixed value, or at what the family makes of the data. The few members of a
    latent that there is `evidence` on are no such data."""
    graph = run.layout.graph
    found: dict[str, Start] = {}
    for parameter in graph.parameters:
        if parameter.value is not None:
            found[parameter.name] = Start(
                parameter.name, "fixed", "", parameter.value.shape, values=parameter.value.flat
            )
    for _, piece in run.parts():
        node = run.nodes[piece.label]
        if node.variable in evidence:
            node = replace(node, value=None)
        if node.gaussian:
            seen = node.variable not in evidence and any(
                factor.variable == node.variable for factor in run.plan.seen
            )
            node = replace(node, proxy=node.variable if seen else _proxy(graph, node.variable))
        for start in registry()[piece.cpd.family].starts(node):
            kind = found[start.parameter].kind if start.parameter in found else ""
            if not kind or (start.kind == "lines" and kind not in ("lines", "fixed")):
                found[start.parameter] = start
    return set_apart(graph, (found[parameter.name] for parameter in graph.parameters))


def _proxy(graph: Graph, name: str) -> str:
    """An observed variable whose mean is the latent itself, or that of a latent whose mean it is; "" if there is none."""
    for variable in graph.in_role("latent", "observed"):
        mean = variable.cpd.argument("mean") if variable.cpd else None
        for term in mean.terms if isinstance(mean, Affine) else ():
            if term.coefficient is None and term.variable == VarRef(name):
                found = variable.name if variable.role == "observed" else _proxy(graph, variable.name)
                if found:
                    return found
    return ""


def pair(axes: Layout, event: Axes) -> Axes:
    """The axis of a vector's entries, and a second one for the columns of a matrix over them."""
    twin = next(
        (
            other
            for (owner, rank), other in axes.events.items()
            if rank == 1 and axes.events[owner, 0] == event[0]
        ),
        event[0],
    )
    return (*event, twin)
