"""Which parameters the M-step has no closed form for: those with other priors than conjugate ones, in two families, or in a
mean that nothing varies about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bnlab.errors import Fault, IntractableError
from bnlab.families.base import Slot, registry
from bnlab.network.graph import cpds
from bnlab.network.ir import CPD, Affine, Graph, Parameter, Ref
from bnlab.network.spreads import singular

WITHOUT = "Leave the prior out, or fit by NUTS."


def check_closed_form(graph: Graph, without: str = WITHOUT) -> None:
    """Raises IntractableError, with all faults, where a free parameter has no maximiser in closed form. `without` is what
    to do where there is no conjugate prior."""
    learnt = [parameter for parameter in graph.parameters if parameter.value is None]
    faults = [
        fault
        for parameter in learnt
        for fault in (*_faults(graph, parameter, without), *_unmoved(graph, parameter))
    ]
    if faults:
        raise IntractableError(*faults)


def conjugate_only(graph: Graph) -> Graph:
    """The network without the priors that EM has no update for: there it can maximise the likelihood."""
    return replace(
        graph,
        parameters=tuple(
            replace(one, prior=None) if one.prior is not None and list(_faults(graph, one, WITHOUT)) else one
            for one in graph.parameters
        ),
    )


def _faults(graph: Graph, parameter: Parameter, without: str) -> Iterator[Fault]:
    slots = dict.fromkeys(
        (cpd.family, slot)
        for variable in graph.variables
        for cpd in cpds(variable)
        for slot in registry()[cpd.family].slots
        if _stands_in(parameter, cpd, slot)
    )
    families = list(dict.fromkeys(family for family, _ in slots))
    if len(families) > 1:
        reason = f"`{parameter.name}` is shared by {' and '.join(families)}: one closed form does not maximise both."
        yield Fault(reason, "Declare a parameter for each, or fit by NUTS.", parameter.location)
    yield from _two_ways(parameter, tuple(slots))
    if parameter.prior is None:
        return
    for family, slot in slots:
        if parameter.prior.family not in slot.conjugate:
            known = " or ".join(f"bn.{name}" for name in slot.conjugate)
            reason = f"The {slot.name} of {family} has no closed-form update with a prior that is {parameter.prior.family}"
            reason += ", which is not conjugate." if known else "."
            remedy = f"Use {known}, or fit by NUTS or SVI." if known else _instead(family, slot, without)
            yield Fault(reason, remedy, parameter.prior.location or parameter.location)


def _two_ways(parameter: Parameter, slots: Sequence[tuple[str, Slot]]) -> Iterator[Fault]:
    """A parameter that is a variance here and a deviation there has no closed form either."""
    groups: dict[tuple[str, str], list[str]] = {}
    for family, slot in slots:
        if slot.group:
            groups.setdefault((family, slot.group), []).append(f"{slot.name}=")
    for (family, _), names in groups.items():
        if len(names) > 1:
            reason = f"`{parameter.name}` is {' here and '.join(names)} there, of {family}: no closed form maximises both."
            yield Fault(reason, "Declare a parameter for each, or fit by NUTS.", parameter.location)


def _unmoved(graph: Graph, parameter: Parameter) -> Iterator[Fault]:
    """EM explains the old means where nothing varies about them, so it would keep them; the M-step divides by the spread."""
    for variable in graph.variables:
        for cpd in cpds(variable):
            slots = registry()[cpd.family].slots
            spread = next((s.name for s in slots if s.group and singular(graph, cpd, s.name)), "")
            if spread and any(slot.mean and _stands_in(parameter, cpd, slot) for slot in slots):
                where = (
                    f"in the mean of {variable.name}, whose {spread}= leaves some direction without spread"
                )
                reason = f"`{parameter.name}` is learnt {where}: there EM would leave it where it starts."
                remedy = f"Fix `{parameter.name}`, or give {variable.name} a positive (definite) {spread}=."
                yield Fault(reason, remedy, parameter.location)


def _instead(family: str, slot: Slot, without: str) -> str:
    """What to write where a slot has no conjugate prior: another slot that says the same, where there is one."""
    others = (one for one in registry()[family].slots if slot.group and one.group == slot.group)
    same = next((one for one in others if one.conjugate and one.domains == slot.domains), None)
    if same is None or without == WITHOUT:
        return without
    return f"Write {same.name}= in its place, with a prior that is bn.{same.conjugate[0]}, or fit by NUTS."


def _stands_in(parameter: Parameter, cpd: CPD, slot: Slot) -> bool:
    argument = cpd.argument(slot.name)
    if isinstance(argument, Affine):
        return any(
            isinstance(term.coefficient, Ref) and term.coefficient.target == parameter.name
            for term in argument.terms
        )
    return isinstance(argument, Ref) and argument.target == parameter.name
