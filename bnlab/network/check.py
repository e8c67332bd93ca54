"""All that can be wrong with a graph, at once. A graph without faults is a network."""

from __future__ import annotations

from collections.abc import Iterator

from bnlab.errors import Fault
from bnlab.naming import quoted
from bnlab.network.check_names import name_faults, plate_faults
from bnlab.network.check_parameters import parameter_faults, unused_parameters
from bnlab.network.check_references import reference_faults
from bnlab.network.check_time import time_faults
from bnlab.network.ir import Graph, Parameter, Variable


def check(graph: Graph, complete: bool = True) -> tuple[Fault, ...]:
    """Every mistake in `graph`; one that only follows from another is left out.

    Where `complete` is False something of the declaration was not understood and is not in the graph; then it is not said
    that a parameter is unused. In a graph without faults the domain of every variable is known: a first step reads only its
    own step, which has no circles.
    """
    names = tuple(name_faults(graph))
    missing = tuple(_missing_plates(graph))
    if missing:
        return (*names, *missing)
    faults = (
        *names,
        *plate_faults(graph),
        *parameter_faults(graph),
        *reference_faults(graph),
        *time_faults(graph),
    )
    unread = tuple(unused_parameters(graph)) if complete else ()
    return faults + unread


def _missing_plates(graph: Graph) -> Iterator[Fault]:
    """Only a file can hold these."""
    known = {plate.name for plate in graph.plates}
    records: tuple[Parameter | Variable, ...] = (*graph.parameters, *graph.variables)
    for record in records:
        for plate in record.plates:
            if plate not in known:
                yield Fault(
                    f'"{record.name}" is in the plate {quoted(plate)}, which does not exist.',
                    "",
                    record.location,
                )
        if len(set(record.plates)) < len(record.plates):
            yield Fault(f'"{record.name}" is in one plate twice.', "", record.location)
