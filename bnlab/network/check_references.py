"""Checks of what distributions read: variables within reach, subscripts that select, arguments of the right kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bnlab.domains import Domain, Integer, Values
from bnlab.errors import Fault, Location
from bnlab.families.base import AbstractFamily, Slot, registry
from bnlab.naming import did_you_mean, quoted
from bnlab.network.check_values import WRONG_RANK, domain_of_constant, outside, position
from bnlab.network.graph import alignment, cpds, reads
from bnlab.network.ir import CPD, Affine, Graph, Ref, Subscript, Term, Variable, VarRef
from bnlab.network.shapes import UNKNOWN, affine_shape, argument_domain, cpd_domain
from bnlab.network.source import argument_location
from bnlab.network.text import domain_text, ref_text, values_text


@dataclass(frozen=True, slots=True)
class Reading:
    """One distribution of one variable, being checked."""

    graph: Graph
    variable: Variable
    cpd: CPD

    @property
    def name(self) -> str:
        return self.variable.name

    def place(self, part: Ref | VarRef | None = None) -> Location | None:
        own = None if part is None else part.location
        return own or self.cpd.location or self.variable.location

    def domains(self) -> dict[str, Domain]:
        known: dict[str, Domain] = {parameter.name: parameter.domain for parameter in self.graph.parameters}
        return known | {variable.name: variable.domain for variable in self.graph.variables}


def reference_faults(graph: Graph) -> Iterator[Fault]:
    """All distributions of all variables, each by itself, and whether those of one variable draw from one domain."""
    for variable in graph.variables:
        faults: list[Fault] = []
        for cpd in cpds(variable):
            faults += _cpd(Reading(graph, variable, cpd))
        yield from faults
        if not faults:
            yield from _one_domain(graph, variable)


def _cpd(reading: Reading) -> list[Fault]:
    family = registry().get(reading.cpd.family)
    if family is None or not family.is_cpd:
        known = sorted(name for name, each in registry().items() if each.is_cpd)
        reason = f"{reading.cpd.family} is not a distribution of variables.{did_you_mean(reading.cpd.family, known)}"
        return [Fault(reason, f"There are {', '.join(known)}.", reading.place())]
    faults = [*_unknown(reading)]
    if faults:
        return faults
    for read in reads(reading.cpd):
        faults += _reach(reading, read)
    for slot in family.slots:
        faults += _argument(reading, slot)
    return faults or _shapes(reading, family)


def _unknown(reading: Reading) -> Iterator[Fault]:
    """Names that nothing has. Only a file can hold them: what is typed refers to what was declared."""
    graph = reading.graph
    parameters = [parameter.name for parameter in graph.parameters]
    variables = [variable.name for variable in graph.variables]
    for read in reads(reading.cpd):
        if read.name not in variables:
            reason = f'"{reading.name}" reads {quoted(read.name)}, and no variable has that name.'
            yield Fault(reason + did_you_mean(read.name, variables), "", reading.place())
    for _, argument in reading.cpd.arguments:
        for ref in _refs(argument):
            if isinstance(ref.target, str) and ref.target not in parameters:
                reason = f'"{reading.name}" reads {quoted(ref.target)}, and no parameter has that name.'
                yield Fault(reason + did_you_mean(ref.target, parameters), "", reading.place())


def _refs(argument: object) -> Iterator[Ref]:
    if isinstance(argument, Ref):
        yield argument
    elif isinstance(argument, Affine):
        yield from (term.coefficient for term in argument.terms if isinstance(term.coefficient, Ref))


def _reach(reading: Reading, read: VarRef) -> Iterator[Fault]:
    """A variable is read from within all its plates, so that one member reads one member."""
    source = reading.graph.variable(read.name)
    beyond = [plate for plate in source.plates if plate not in reading.variable.plates]
    if beyond:
        reason = f'"{read.name}" is in the plate "{beyond[0]}" and "{reading.name}" is not, so it would read all members.'
        remedy = f'Declare "{reading.name}" inside that plate too, or "{read.name}" outside it.'
        yield Fault(reason, remedy, reading.place(read))


def _argument(reading: Reading, slot: Slot) -> Iterator[Fault]:
    argument = reading.cpd.argument(slot.name)
    for ref in _refs(argument):
        yield from _subscripts(reading, ref)
    match argument:
        case Ref():
            yield from _kind(reading, slot, argument)
        case VarRef():
            yield from _known_input(reading, slot, argument)
        case Affine(terms):
            for term in terms:
                yield from _term(reading, slot, term)
        case None:
            return


def _subscripts(reading: Reading, ref: Ref) -> Iterator[Fault]:
    if isinstance(ref.target, Values):
        sizes = [(f"axis {i} of the constant", size) for i, size in enumerate(ref.target.shape)]
        if len(ref.subscripts) > len(sizes):
            reason = (
                f"{ref_text(ref)} has {len(ref.subscripts)} subscripts, and the constant {len(sizes)} axes."
            )
            yield Fault(reason, "Remove a subscript.", reading.place(ref))
            return
    else:
        plates = alignment(reading.graph, ref, reading.variable)[1]
        sizes = [(f'the plate "{plate}"', reading.graph.plate(plate).size or 0) for plate in plates]
        if len(ref.subscripts) != len(plates):
            yield _count(reading, ref, ref.target, plates)
            return
    for subscript, (axis, size) in zip(ref.subscripts, sizes, strict=False):
        yield from _selects(reading, ref, subscript, axis, size)


def _count(reading: Reading, ref: Ref, name: str, plates: tuple[str, ...]) -> Fault:
    if not plates:
        parameter = reading.graph.parameter(name)
        where = "its plates align by themselves" if parameter.plates else "it is in no plate"
        reason = f'"{name}" takes no subscript in the distribution of "{reading.name}": {where}.'
        return Fault(reason, f"Write {name}.", reading.place(ref))
    listed = " and ".join(f'"{plate}"' for plate in plates)
    noun = "plate" if len(plates) == 1 else "plates"
    count = "one subscript" if len(plates) == 1 else f"{len(plates)} subscripts, one for each"
    reason = f'"{name}" is in the {noun} {listed} and "{reading.name}" is not, so it takes {count}.'
    examples = [_candidate(reading, plate) for plate in plates]
    example = f"{name}[{', '.join(examples)}]"
    return Fault(reason, f"Write {example}, for example.", reading.place(ref))


def _candidate(reading: Reading, plate: str) -> str:
    """A variable that could select a member of `plate`; else a member's number."""
    size = reading.graph.plate(plate).size
    inside = [
        v
        for v in reading.graph.variables
        if set(v.plates) <= set(reading.variable.plates) and v != reading.variable
    ]
    return next((v.name for v in inside if isinstance(v.domain, Integer) and v.domain.size == size), "0")


def _selects(reading: Reading, ref: Ref, subscript: Subscript, axis: str, size: int) -> Iterator[Fault]:
    written = ref_text(ref)
    if isinstance(subscript, int):
        if size > 0 and not 0 <= subscript < size:
            reason = f"{written} selects member {subscript} of {axis}, which has {size}."
            yield Fault(reason, f"Count from 0 to {size - 1}.", reading.place(ref))
        return
    domain = reading.graph.variable(subscript.name).domain
    if domain == UNKNOWN:
        return
    if not isinstance(domain, Integer):
        reason = (
            f'"{subscript.name}" is continuous ({domain_text(domain)}), and selects nothing in {written}.'
        )
        yield Fault(reason, "A subscript is a categorical variable or an integer.", reading.place(ref))
    elif domain.size != size:
        reason = f'"{subscript.name}" has {domain.size} categories, and {axis} has size {size}.'
        yield Fault(reason, "Make the two sizes equal.", reading.place(ref))


def _kind(reading: Reading, slot: Slot, ref: Ref) -> Iterator[Fault]:
    """A parameter, or the constant that stands for one, is of a domain that the slot takes."""
    what = f"The {slot.name} of {reading.cpd.family}"
    kinds = " or ".join(f"bn.{kind.__name__}" for kind in slot.domains)
    if isinstance(ref.target, Values):
        domain = domain_of_constant(slot, ref.target.shape[len(ref.subscripts) :])
        reason = WRONG_RANK[slot.domains[0]] if domain is None else outside(ref.target.array, domain)
        if reason:
            remedy = f"Write numbers in {kinds}."
            yield Fault(f"{what} cannot be {values_text(ref.target)}. {reason}", remedy, reading.place(ref))
        return
    domain = reading.graph.parameter(ref.target).domain
    if domain != UNKNOWN and not isinstance(domain, slot.domains):
        reason = f'{what} must be in {kinds}, and the parameter "{ref.target}" is in {domain_text(domain)}.'
        yield Fault(
            reason, f'Declare "{ref.target}" with {kinds}, or use another parameter.', reading.place(ref)
        )


def _known_input(reading: Reading, slot: Slot, read: VarRef) -> Iterator[Fault]:
    source = reading.graph.variable(read.name)
    what = f"The {slot.name} of {reading.cpd.family}"
    if source.role != "given":
        reason = f'{what} is a parameter, a constant or a given variable, and "{read.name}" is {source.role}.'
        hint = _table_hint(source) or "Declare a parameter for it."
        yield Fault(reason, hint, reading.place(read))
    elif source.domain != UNKNOWN and not isinstance(source.domain, slot.domains):
        kinds = " or ".join(f"bn.{kind.__name__}" for kind in slot.domains)
        reason = f'{what} must be in {kinds}, and the given "{read.name}" is in {domain_text(source.domain)}.'
        yield Fault(reason, f'Declare "{read.name}" with {kinds}.', reading.place(read))


def _table_hint(source: Variable) -> str:
    if not isinstance(source.domain, Integer):
        return ""
    return f"Declare the table as a parameter P in a plate of size {source.domain.size}, and write P[{source.name}]."


def _term(reading: Reading, slot: Slot, term: Term) -> Iterator[Fault]:
    if isinstance(term.coefficient, Ref):
        yield from _coefficient(reading, slot, term.coefficient)
    for factor in (term.coefficient, term.variable):
        domain = reading.graph.variable(factor.name).domain if isinstance(factor, VarRef) else None
        if isinstance(factor, VarRef) and isinstance(domain, Integer):
            reason = f'"{factor.name}" is categorical, and a mean is a sum of numbers.'
            remedy = (
                f"Let it select: declare mu in a plate of size {domain.size} and write mu[{factor.name}]."
            )
            yield Fault(reason, remedy, reading.place(factor))


def _coefficient(reading: Reading, slot: Slot, ref: Ref) -> Iterator[Fault]:
    if isinstance(ref.target, Values):
        reason = outside(ref.target.array, slot.domains[0]())
        if reason:
            what = f"The {slot.name} of {reading.cpd.family} reads {values_text(ref.target)}."
            yield Fault(f"{what} {reason}", "Write finite real numbers.", reading.place(ref))
        return
    yield from _kind(reading, slot, ref)


def _shapes(reading: Reading, family: AbstractFamily) -> list[Fault]:
    """Terms multiply, sums are of one shape, and the arguments fit one another."""
    known = reading.domains()
    for slot in family.slots:
        argument = reading.cpd.argument(slot.name)
        if isinstance(argument, Affine):
            place = (
                argument_location(reading.cpd.location, position(family, slot), slot.name) or reading.place()
            )
            try:
                affine_shape(argument, known)
            except ValueError as error:
                return [Fault(str(error), "Change the shape of one of them.", place)]
    try:
        cpd_domain(reading.cpd, known)
    except ValueError as error:
        found = {name: argument_domain(argument, known) for name, argument in reading.cpd.arguments}
        shapes = ", ".join(f"{name} has {domain.event_shape}" for name, domain in found.items() if domain)
        return [Fault(str(error), f"Change one of them: {shapes}.", reading.place())]
    return []


def _one_domain(graph: Graph, variable: Variable) -> Iterator[Fault]:
    """The first steps of a chain draw from the domain of the others."""
    for cpd in variable.first:
        drawn = cpd_domain(cpd, Reading(graph, variable, cpd).domains())
        if drawn is not None and variable.domain != UNKNOWN and not _same(drawn, variable.domain):
            shown = f"{domain_text(variable.domain)} in general and {domain_text(drawn)} in a first step"
            yield Fault(
                f'"{variable.name}" is {shown}.', "Make the two the same.", cpd.location or variable.location
            )


def _same(left: Domain, right: Domain) -> bool:
    """Equal, or categories of which one side has no names."""
    if isinstance(left, Integer) and isinstance(right, Integer):
        return left.size == right.size and (
            not left.labels or not right.labels or left.labels == right.labels
        )
    return left == right
