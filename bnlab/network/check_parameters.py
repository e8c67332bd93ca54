"""Checks of parameters: their domains, values and priors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from bnlab.domains import Covariance, Domain, Integer, Real, Values
from bnlab.errors import Fault, Location
from bnlab.families.base import AbstractFamily, Slot, registry
from bnlab.naming import did_you_mean
from bnlab.network.check_values import WRONG_RANK, domain_of_constant, outside, position
from bnlab.network.graph import users
from bnlab.network.ir import Graph, Parameter
from bnlab.network.shapes import UNKNOWN, Shape
from bnlab.network.source import argument_location
from bnlab.network.text import domain_text

MOST_NUMBERS = 10**8
"""The largest array of one parameter: 800 MB."""


def parameter_faults(graph: Graph) -> Iterator[Fault]:
    """Parameters are continuous and of a size that fits into memory; values and priors are in their domains."""
    for parameter in graph.parameters:
        if parameter.domain == UNKNOWN:
            continue
        if isinstance(parameter.domain, Integer):
            reason = (
                f'The parameter "{parameter.name}" is an integer, and parameters are learnt as real numbers.'
            )
            yield Fault(reason, "Use bn.Simplex for the probabilities of categories.", parameter.location)
            continue
        sizes = [graph.plate(name).size for name in parameter.plates]
        shape = tuple(size for size in sizes if size is not None)
        numbers = prod(shape + parameter.domain.event_shape)
        if numbers > MOST_NUMBERS:
            reason = f'The parameter "{parameter.name}" has {numbers} numbers, and may have {MOST_NUMBERS}.'
            yield Fault(reason, "Make its plates or its event smaller.", parameter.location)
        elif len(shape) == len(sizes):
            yield from _value(parameter, shape)
            yield from _prior(parameter, shape)


def unused_parameters(graph: Graph) -> Iterator[Fault]:
    """Each parameter is read by some variable."""
    for parameter in graph.parameters:
        if not users(graph, parameter.name):
            reason = f'No distribution reads the parameter "{parameter.name}".'
            yield Fault(reason, "Use it, or remove it.", parameter.location)


def _value(parameter: Parameter, plates: Shape) -> Iterator[Fault]:
    if parameter.value is None:
        return
    place = argument_location(parameter.location, 3, "value")
    shape = plates + parameter.domain.event_shape
    if parameter.value.shape != shape:
        axes = (
            f"plates {plates}, then {domain_text(parameter.domain)}"
            if plates
            else domain_text(parameter.domain)
        )
        reason = f'The value of "{parameter.name}" has shape {parameter.value.shape}, and must have {shape}: {axes}.'
        yield Fault(reason, "Give an array of that shape.", place)
        return
    reason = outside(parameter.value.array, parameter.domain)
    if reason:
        remedy = f"Give a value of {domain_text(parameter.domain)}."
        yield Fault(f'The value of "{parameter.name}" is not in its domain. {reason}', remedy, place)
    if parameter.prior is not None:
        reason = f'"{parameter.name}" has a value, which fixes it, and a prior, which lets it be learnt.'
        yield Fault(reason, "Keep one of the two.", place)


def _prior(parameter: Parameter, plates: Shape) -> Iterator[Fault]:
    prior = parameter.prior
    if prior is None:
        return
    place = prior.location or parameter.location
    family = registry().get(prior.family)
    if family is None or not family.is_prior:
        priors = sorted(name for name, known in registry().items() if known.is_prior)
        near = did_you_mean(prior.family, priors)
        yield Fault(f"{prior.family} is not a prior.{near}", f"Priors are {', '.join(priors)}.", place)
        return
    arguments = dict(prior.arguments)
    broken = list(_hyperparameters(family, arguments, place))
    yield from broken
    sizes = {name: values.shape for name, values in prior.arguments}
    if not broken and not _fits(family, sizes, parameter.domain, plates):
        shapes = ", ".join(f"{name} of shape {values.shape}" for name, values in prior.arguments)
        reason = f'{prior.family} with {shapes} is not a prior of "{parameter.name}" in {domain_text(parameter.domain)}.'
        yield Fault(reason, _usual_priors(parameter.domain), place)
    elif not broken and family.unsuited(parameter.domain):
        reason = f'{prior.family} is not a prior of "{parameter.name}". {family.unsuited(parameter.domain)}'
        yield Fault(reason, _usual_priors(parameter.domain), place)


def _hyperparameters(
    family: AbstractFamily, arguments: Mapping[str, Values], place: Location | None
) -> Iterator[Fault]:
    for slot in family.slots:
        values = arguments.get(slot.name)
        reason = "" if values is None else _refusal(values, slot)
        if reason:
            where = argument_location(place, position(family, slot), slot.name)
            remedy = f"Write numbers in bn.{slot.domains[0].__name__}."
            yield Fault(f"The {slot.name} of {family.name} is not allowed. {reason}", remedy, where)


def _refusal(values: Values, slot: Slot) -> str:
    domain = domain_of_constant(slot, values.shape)
    return WRONG_RANK[slot.domains[0]] if domain is None else outside(values.array, domain, strict=True)


def _fits(family: AbstractFamily, shapes: Mapping[str, Shape], domain: Domain, plates: Shape) -> bool:
    """Whether a prior with hyper-parameters of these shapes, one for all members or one for each, draws from `domain`."""
    without = {
        name: shape[len(plates) :] if shape[: len(plates)] == plates else shape
        for name, shape in shapes.items()
    }
    if _draws(family, shapes, domain):
        return True
    of_entries = any(not without[name] and shapes[name] for name in shapes) and not _is_matrix(domain)
    return not (of_entries and domain.event_shape) and _draws(family, without, domain)


def _is_matrix(domain: Domain) -> bool:
    """Whether the numbers of a prior may be of a draw as a whole, not of its entries."""
    return isinstance(domain, Covariance)


def _draws(family: AbstractFamily, shapes: Mapping[str, Shape], domain: Domain) -> bool:
    matrices = {slot.name for slot in family.slots if slot.domains[0] is Covariance}
    if any(len(shapes[name]) != 2 for name in matrices & shapes.keys()):
        return False
    rows = {slot.name for slot in family.slots if slot.rows}
    if any(
        shapes[name] not in ((), domain.event_shape, *([domain.event_shape[:1]] if name in rows else []))
        for name in shapes.keys() - matrices
    ):
        return False
    try:
        drawn = family.domain({name: Real(shape) for name, shape in shapes.items()})
    except ValueError:
        return False
    same_for_all = not any(shapes.values())
    return type(drawn) is type(domain) and (same_for_all or drawn.event_shape == domain.event_shape)


def _usual_priors(domain: Domain) -> str:
    """A remedy: the priors that `domain` can have."""
    found = [
        family
        for _, family in sorted(registry().items())
        if family.is_prior
        and _draws(family, _typical(family, domain), domain)
        and not family.unsuited(domain)
    ]
    rows = {family.name: [slot.name for slot in family.slots if slot.rows] for family in found}
    whole = " or ".join(f"bn.{name}" for name, slots in rows.items() if not slots)
    # the entries of a matrix of coefficients share one prior
    alike = len(domain.event_shape) == 2 and not _is_matrix(domain)
    shapes = f" or arrays of shape {domain.event_shape}" if domain.event_shape and not alike else ""
    listed = [f"{whole}, with numbers{shapes}"] if whole else []
    listed += [
        f"bn.{name}, with numbers or {domain.event_shape[0]} of them as its {slots[0]}"
        for name, slots in rows.items()
        if slots
    ]
    text = domain_text(domain)
    return f"A prior of {text} is {'; or '.join(listed)}." if listed else f"{text} has none yet."


def _typical(family: AbstractFamily, domain: Domain) -> dict[str, Shape]:
    """Shapes that hyper-parameters would have for `domain`: the last slot of each group stands for the group."""
    chosen = {slot.group or slot.name: slot for slot in family.slots}
    square = domain.event_shape if len(domain.event_shape) == 2 else domain.event_shape * 2
    return {slot.name: square if slot.domains[0] is Covariance else () for slot in chosen.values()}
