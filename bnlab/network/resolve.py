"""From a draft to the canonical Graph: names are looked up, trees become references and sums of terms.

A variable that cannot be resolved stays in the graph without its distribution, so that the rest of the network is still checked
and one mistake is told once.
"""

from __future__ import annotations

from bnlab.domains import Values
from bnlab.errors import Fault, Location, ModelError
from bnlab.families.base import registry
from bnlab.network.distributions import Distribution
from bnlab.network.draft import Draft, ParameterDraft, VariableDraft
from bnlab.network.expression import Constant, numbers, shown
from bnlab.network.ir import CPD, Argument, Graph, Parameter, Prior, Variable
from bnlab.network.shapes import UNKNOWN, infer_domains
from bnlab.network.source import argument_location
from bnlab.network.terms import Scope, affine, reference


def resolve(draft: Draft) -> tuple[Graph, tuple[Fault, ...]]:
    """The graph that was declared, and what could not be understood in it."""
    faults: list[Fault] = []
    roles = {parameter.name: "parameter" for parameter in draft.parameters}
    scope = Scope(draft, roles | {variable.name: variable.role for variable in draft.variables})
    graph = Graph(
        draft.name,
        tuple(draft.plates.values()),
        tuple(_parameter(parameter, faults) for parameter in draft.parameters),
        tuple(_variable(variable, scope, faults) for variable in draft.variables),
        draft.doc,
    )
    return infer_domains(graph), tuple(faults)


def _parameter(draft: ParameterDraft, faults: list[Fault]) -> Parameter:
    return Parameter(
        draft.name,
        draft.domain,
        draft.plates,
        None if draft.prior is None else _prior(draft.name, draft.prior, draft.location, faults),
        None if draft.value is None else _value(draft, faults),
        draft.location,
    )


def _prior(name: str, prior: object, location: Location | None, faults: list[Fault]) -> Prior | None:
    if not isinstance(prior, Distribution):
        example = f"Write prior=bn.{_prior_families()[0]}(...); there are {', '.join(_prior_families())}."
        faults.append(
            Fault(f'The prior of "{name}" is {shown(prior)}, not a distribution.', example, location)
        )
        return None
    wrong = [argument for argument in prior.arguments if not isinstance(argument[1], Constant)]
    faults += prior.faults
    for slot, _, place in wrong:
        reason = f'The prior of "{name}" has something other than numbers for {slot}.'
        faults.append(Fault(reason, "Hyper-parameters are numbers or arrays.", place or prior.location))
    if wrong or prior.faults:
        return None
    arguments = tuple((slot, tree.values) for slot, tree, _ in prior.arguments if isinstance(tree, Constant))
    return Prior(prior.family, arguments, prior.location)


def _prior_families() -> list[str]:
    return sorted(family.name for family in registry().values() if family.is_prior)


def _value(draft: ParameterDraft, faults: list[Fault]) -> Values | None:
    values = numbers(draft.value)
    if values is None:
        reason = f'The value of "{draft.name}" is {shown(draft.value)}, not numbers.'
        place = argument_location(draft.location, 3, "value")
        faults.append(Fault(reason, "Give a number, a list or an array.", place))
    return values


def _variable(draft: VariableDraft, scope: Scope, faults: list[Fault]) -> Variable:
    broken: list[Fault] = []
    cpd = None if draft.cpd is None else _cpd(draft.cpd, scope, broken)
    first = tuple(_cpd(entry, scope, broken) for entry in draft.first)
    faults += broken
    return Variable(
        draft.name,
        draft.role,
        draft.domain or UNKNOWN,
        draft.plates,
        None if broken else cpd,
        () if broken else tuple(entry for entry in first if entry is not None),
        draft.location,
    )


def _cpd(distribution: Distribution, scope: Scope, faults: list[Fault]) -> CPD | None:
    """The canonical distribution; None, and at least one fault more, if it cannot be made."""
    before = len(faults)
    faults += distribution.faults
    means = {slot.name for slot in registry()[distribution.family].slots if slot.mean}
    arguments: list[tuple[str, Argument]] = []
    for slot, tree, place in distribution.arguments:
        place = place or distribution.location
        try:
            found = affine(tree, scope, place) if slot in means else reference(tree, slot, scope, place)
            arguments.append((slot, found))
        except ModelError as error:
            faults += error.faults
    return (
        CPD(distribution.family, tuple(arguments), distribution.location) if len(faults) == before else None
    )
