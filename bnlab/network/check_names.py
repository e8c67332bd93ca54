"""Checks of names and plates: legal, unique, nested one way round."""

from __future__ import annotations

from collections.abc import Iterator

from bnlab import naming
from bnlab.errors import Fault, Location
from bnlab.naming import quoted
from bnlab.network.ir import Graph, Parameter, Plate, Variable
from bnlab.network.source import argument_location

MOST_PLATES = 20
"""Of one parameter or variable, and of all variables together: each has an index letter, and event axes need some too."""

Named = Plate | Parameter | Variable


def name_faults(graph: Graph) -> Iterator[Fault]:
    """Every name is legal, and belongs to one thing only."""
    reason = naming.identifier_fault(graph.name)
    if reason:
        remedy = f'Write bn.Network("{naming.suggestion(graph.name)}").'
        yield Fault(f"{quoted(graph.name)} cannot name a network. {reason}", remedy)
    records: tuple[Named, ...] = (*graph.plates, *graph.parameters, *graph.variables)
    taken = {record.name for record in records}
    seen: dict[str, Named] = {}
    for record in records:
        yield from _illegal(record, taken)
        if record.name in seen:
            yield _duplicate(record, seen[record.name], taken)
        seen.setdefault(record.name, record)


def _illegal(record: Named, taken: set[str]) -> Iterator[Fault]:
    reason = naming.fault(record.name)
    if not reason and record.name in naming.DATA_NAMES and not isinstance(record, Parameter):
        reason = "Data use that key for themselves."
    if reason:
        free = naming.suggestion(record.name, taken | naming.DATA_NAMES)
        place = argument_location(record.location, 0, "name")
        yield Fault(
            f"{quoted(record.name)} cannot be a name. {reason}", f'Call it "{free}", for example.', place
        )


def _duplicate(record: Named, first: Named, taken: set[str]) -> Fault:
    where = f", on line {first.location.line}" if first.location else ""
    reason = f"{quoted(record.name)} already names {_kind(first)}{where}."
    free = naming.fresh(record.name, taken)
    return Fault(
        reason,
        f'Give {_kind(record)} another name, "{free}" for example.',
        argument_location(record.location, 0, "name"),
    )


def _kind(record: Named) -> str:
    match record:
        case Plate():
            return "a chain" if record.chain else "a plate"
        case Parameter():
            return "a parameter"
        case Variable():
            return "a variable"


def plate_faults(graph: Graph) -> Iterator[Fault]:
    """Plates have sizes, hold something, and nest in one order; a parameter is in sized plates only."""
    records: tuple[Parameter | Variable, ...] = (*graph.parameters, *graph.variables)
    yield from _too_many(graph)
    for plate in graph.plates:
        if plate.size is not None and plate.size < 1:
            reason = f'The plate "{plate.name}" has size {plate.size}. A size is a positive integer.'
            place = argument_location(plate.location, 1, "size")
            yield Fault(reason, f'Write bn.plate("{plate.name}", 3).', place)
        if plate.chain and plate.size is not None:
            yield Fault(f'The chain "{plate.name}" has a size; the data say how long a chain is.')
        if not any(plate.name in record.plates for record in records):
            reason = f'The plate "{plate.name}" holds nothing.'
            yield Fault(reason, "Declare something inside it, or remove it.", plate.location)
    for parameter in graph.parameters:
        yield from _sizeless(graph, parameter)
    for variable in graph.variables:
        yield from _chains(graph, variable)
    yield from _nesting(records)


def _too_many(graph: Graph) -> Iterator[Fault]:
    indices = {plate for variable in graph.variables for plate in variable.plates}
    if len(indices) > MOST_PLATES:
        yield Fault(f"The variables are in {len(indices)} plates, and may be in {MOST_PLATES}.")
    for parameter in graph.parameters:
        if len(parameter.plates) > MOST_PLATES:
            reason = f'"{parameter.name}" is in {len(parameter.plates)} plates, and may be in {MOST_PLATES}.'
            yield Fault(reason, "", parameter.location)


def _sizeless(graph: Graph, parameter: Parameter) -> Iterator[Fault]:
    for name in parameter.plates:
        plate = graph.plate(name)
        if plate.size is None:
            kind = "chain" if plate.chain else "plate"
            reason = (
                f'The parameter "{parameter.name}" is in the {kind} "{name}", whose size only the data tell.'
            )
            sized = "" if plate.chain else f', or give the plate a size: bn.plate("{name}", 3)'
            yield Fault(reason, f"Declare it outside the {kind}{sized}.", parameter.location)


def _chains(graph: Graph, variable: Variable) -> Iterator[Fault]:
    chains = [name for name in variable.plates if graph.plate(name).chain]
    if len(chains) > 1:
        reason = f'"{variable.name}" is in two chains, "{chains[0]}" and "{chains[1]}".'
        yield Fault(
            reason, "A variable has one previous step: use a plate for one of them.", variable.location
        )


def _nesting(records: tuple[Parameter | Variable, ...]) -> Iterator[Fault]:
    order: dict[tuple[str, str], Location | None] = {}
    for record in records:
        for i, outer in enumerate(record.plates):
            for inner in record.plates[i + 1 :]:
                if (inner, outer) in order:
                    first = order[inner, outer]
                    where = f" (line {first.line})" if first else ""
                    reason = f'The plate "{inner}" is inside "{outer}" here, and the other way round before{where}.'
                    yield Fault(reason, "Open plates in the same order everywhere.", record.location)
                order.setdefault((outer, inner), record.location)
