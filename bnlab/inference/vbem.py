"""Variational EM: q(z) q(theta) in place of a point theta, from the same elimination.

ln p(x) >= E[ln p(x, z, theta)] - E[ln q(z)] - E[ln q(theta)], the ELBO. Given q(theta), the best q(z) is proportional to
exp E[ln p(x, z | theta)]: each expected log density is a log density at a point plus an offset (the families say which), so the
E-step is that of EM, and its ln p(x) is the logarithm of what normalises q(z). The ELBO is that less KL(q(theta) || p(theta)).
Given q(z), the best factors of q(theta) are conjugate to the priors: hyperparameters plus expected statistics, one factor after
the other where a distribution has several parameters (mean field). No step lowers the ELBO (Beal, Variational algorithms for
approximate Bayesian inference, 2003; Bishop, Pattern Recognition and Machine Learning, 2006, chapter 10).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bnlab.domains import Values
from bnlab.errors import Fault, IntractableError
from bnlab.families.base import Belief, Beliefs, Node, PriorOn, registry
from bnlab.families.normal_prior import is_full
from bnlab.inference.alive import alive
from bnlab.inference.axes import Layout
from bnlab.inference.closed_form import check_closed_form
from bnlab.inference.elimination import Elimination
from bnlab.inference.em import (
    NOTHING,
    Messages,
    Uses,
    elimination,
    log_p_of,
    needed,
    pair,
    parameter_field,
    program_of,
    starts_of,
    statistics_of,
)
from bnlab.inference.knowledge import Knowledge, analysed
from bnlab.inference.offsets import offset_name
from bnlab.inference.sharing import components
from bnlab.network.graph import cpds
from bnlab.network.ir import CPD, Affine, Graph, Parameter, Ref
from bnlab.program import build
from bnlab.program.ir import Field, Function, Program, Statement, Variational
from bnlab.program.ops import Axes, Constant, Expr, Number, Symbol


def vbem(graph: Graph, messages: Messages = "scaled", known: Knowledge = NOTHING) -> Variational:
    """The Programs of variational EM.

    Raises IntractableError, by name and with what to write instead, where exact elimination or a closed form does not exist
    or is not derived.
    """
    _check(graph, known)
    beliefs = Beliefs(_priors(graph), _full(graph))
    run = elimination(graph, False, messages == "scaled", weighted=True, known=known, beliefs=beliefs)
    members = run.upward()
    uses = statistics_of(run)
    m_step = _m_step(run, uses, beliefs)
    fields = [Field("log_p", (), "ln of what normalises q(z): E[ln p(x, z | theta)] + H(q(z))")]
    results: list[Expr] = [log_p_of(run, members)]
    for statistic in needed(uses, m_step):
        fields.append(Field(statistic.target.name, statistic.target.axes, statistic.formula))
        results.append(statistic.expression)
    doc = "Statistics of one chunk, expected under q(z)."
    expect = Function("expect", (), ("theta", "chunk"), alive(run, tuple(results)), tuple(results), doc)
    program = program_of(run, expect, tuple(fields), m_step, starts_of(run, known.evidence))
    return _together(run, program, beliefs)


def _together(run: Elimination, program: Program, beliefs: Beliefs) -> Variational:
    graph, axes = run.layout.graph, run.layout
    found = [_belief(axes, beliefs, graph.parameter(name)) for name in beliefs.priors]
    expectations, offsets = _expectations(run)
    learnt = tuple(parameter_field(axes, one) for one in graph.parameters if one.name in beliefs.priors)
    means = tuple(build.arranged(registry()[one.family].average(one), one.axes) for one in found)
    parts = [
        Statement(
            Symbol(f"kl_{b.parameter}", ()), registry()[b.family].divergence(b), "expect", f"of {b.family}s"
        )
        for b in found
    ]
    return Variational(
        program=replace(program, parameters=(*_points(run), *offsets), log_prior=None),
        posterior=tuple(field for belief in found for field in _hyper_fields(belief)),
        prior=tuple(Values.of(belief.values[key]) for belief in found for key in belief.hyper),
        learnt=learnt,
        expectations=expectations,
        means=Function("means", (), ("posterior",), (), means, "E[theta] under q(theta)."),
        divergence=Function(
            "divergence",
            (),
            ("posterior",),
            tuple(parts),
            (build.add(*(part.target for part in parts)),),
            "KL(q(theta) || p(theta)): the sum of those of the parameters.",
        ),
    )


def _priors(graph: Graph) -> dict[str, PriorOn]:
    return {
        p.name: PriorOn(p.prior.family, dict(p.prior.arguments))
        for p in graph.parameters
        if p.prior is not None and p.value is None
    }


# -- q(theta)


def _belief(axes: Layout, beliefs: Beliefs, parameter: Parameter) -> Belief:
    """q of a parameter under its own axes."""
    event = axes.event(parameter.name, len(parameter.domain.event_shape))
    if parameter.name in beliefs.full and len(event) == 1:
        event = pair(axes, event)
    return beliefs.of(parameter.name, axes.parameter(parameter), event)


def _hyper_fields(belief: Belief) -> Iterator[Field]:
    for symbol in belief.hyper.values():
        yield Field(
            symbol.name, symbol.axes, f"of q({belief.parameter}), {belief.family}", of=belief.parameter
        )


def _full(graph: Graph) -> frozenset[str]:
    """The vectors of which q has a covariance matrix: those that stand beside a full covariance, or have one in their prior."""
    found = {name for name, prior in _priors(graph).items() if prior.family == "Normal" and is_full(prior)}
    for variable in graph.variables:
        for cpd in cpds(variable):
            if cpd.argument("cov") is not None:
                found |= _in_mean(cpd)
    vectors = {p.name for p in graph.parameters if len(p.domain.event_shape) == 1}
    return frozenset(found & vectors)


def _in_mean(cpd: CPD) -> set[str]:
    mean = cpd.argument("mean")
    terms = mean.terms if isinstance(mean, Affine) else ()
    refs = (term.coefficient for term in terms)
    return {ref.target for ref in refs if isinstance(ref, Ref) and isinstance(ref.target, str)}


# -- the point of the E-step


TITLES = {
    "Dirichlet": "exp E[ln {name}]",
    "Normal": "E[{name}]",
    "InverseWishart": "E[{name}^-1]^-1",
    "InverseGamma": "1 / E[1 / {name}]",
}
"""What the point of the E-step is, by the family of the prior."""


def _points(run: Elimination) -> tuple[Field, ...]:
    found = []
    for parameter in run.layout.graph.parameters:
        field = parameter_field(run.layout, parameter)
        prior = parameter.prior
        learnt = parameter.value is None and prior is not None
        title = TITLES.get(prior.family, "") if prior is not None else ""
        comment = title.format(name=parameter.name) if learnt else "fixed"
        found.append(replace(field, comment=comment))
    return tuple(found)


def _expectations(run: Elimination) -> tuple[Function, tuple[Field, ...]]:
    """The function from q(theta) to the point and the offsets, and the fields of these."""
    points: dict[str, Expr] = {}
    body: list[Statement] = []
    offsets: list[Field] = []
    values: list[Expr] = []
    for label, found in run.expectations.items():
        body += found.body
        for name, value in found.points.items():
            points.setdefault(name, build.arranged(value, _own_axes(run.nodes[label], name)))
        if found.offset is not None:
            variable = run.nodes[label].variable
            comment = f"E[ln p({variable} | ...)] is this and ln p at the values above"
            offsets.append(Field(offset_name(run, label), found.offset.axes, comment))
            values.append(found.offset)
    fixed = {
        p.name: _constant(p.value, run.layout.parameter(p)) for p in run.layout.graph.parameters if p.value
    }
    results = [(points | fixed)[parameter.name] for parameter in run.layout.graph.parameters]
    doc = "Where ln p(x, z | theta), with the offsets, is E[ln p(x, z | theta)] under q(theta)."
    function = Function("expectations", (), ("posterior",), tuple(body), (*results, *values), doc)
    return function, tuple(offsets)


def _own_axes(node: Node, name: str) -> Axes:
    """The axes of a parameter in the order of its own array, as a node calls them."""
    read = (*node.own.values(), *(term.own for term in node.terms))
    return next(one.axes for one in read if isinstance(one, Symbol) and one.name == name)


def _constant(values: Values, axes: Axes) -> Expr:
    return Constant(values.flat, values.shape, axes) if values.shape else Number(values.flat[0])


# -- M-step


def _m_step(run: Elimination, uses: Uses, beliefs: Beliefs) -> Function:
    body: list[Statement] = []
    values: dict[str, Expr] = {}
    for family, members in uses.by_family:
        for component in components(members, frozenset(beliefs.priors)):
            best = family.update(component, beliefs)
            body += best.body
            values.update(best.values)
    results = []
    for name in beliefs.priors:
        belief = _belief(run.layout, beliefs, run.layout.graph.parameter(name))
        for key, symbol in belief.hyper.items():
            results.append(values.get(symbol.name, belief.prior[key]))
    doc = "q(theta) given q(z): the priors' hyperparameters and what the statistics add."
    return Function("m_step", (), ("statistics", "theta"), tuple(body), tuple(results), doc)


# -- what is not derived


def _check(graph: Graph, known: Knowledge) -> None:
    """Raises IntractableError, with all faults, where q(theta) has no closed form."""
    free = [parameter for parameter in graph.parameters if parameter.value is None]
    faults = []
    bare = [parameter for parameter in free if parameter.prior is None]
    if bare:
        names = ", ".join(f"`{parameter.name}`" for parameter in bare)
        word = "has no prior" if len(bare) == 1 else "have no priors"
        reason = f"{names} {word}: variational EM has a distribution over every parameter that is learnt."
        faults.append(
            Fault(
                reason, "Declare priors, or take those of bn.weakly_informative(net, data).", bare[0].location
            )
        )
    for name in analysed(graph, known).regressors:
        variable = graph.variable(name)
        what = (
            "is latent and partly known" if variable.role == "latent" else "may be missing and others read it"
        )
        reason = f"Variational EM is not derived where a number {what}, as of `{name}`."
        advice = 'Leave out those members, or fit by "em" (MAP with these priors), "svi" or "nuts".'
        faults.append(Fault(reason, advice, variable.location))
    if not free:
        faults.append(Fault("No parameter is learnt, so there is no q(theta).", 'Use method="em".'))
    families = {cpd.family for variable in graph.variables for cpd in cpds(variable)}
    for family in sorted(name for name in families if not registry()[name].variational):
        variables = ", ".join(
            f"`{variable.name}`"
            for variable in graph.variables
            if any(c.family == family for c in cpds(variable))
        )
        reason = f"Variational EM is not derived for {family}, the distribution of {variables}."
        faults.append(Fault(reason, 'Fit by "em" (MAP where there are priors), "svi" or "nuts".'))
    if faults:
        raise IntractableError(*faults)
    check_closed_form(graph, "Give it a value (value=...), or fit by NUTS.")
