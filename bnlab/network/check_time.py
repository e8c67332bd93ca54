"""Checks of chains: what is read earlier exists, first steps have distributions, and nothing depends on itself."""

from __future__ import annotations

from collections.abc import Iterator

from bnlab.errors import Fault
from bnlab.network.graph import cpds, cycle, reads
from bnlab.network.ir import CPD, Graph, Variable, VarRef


def time_faults(graph: Graph) -> Iterator[Fault]:
    """All about `previous` and `first`; and cycles within a step, which only a file can hold."""
    names = {variable.name for variable in graph.variables}
    for variable in graph.variables:
        in_chain = any(graph.plate(plate).chain for plate in variable.plates)
        if variable.first and not in_chain:
            reason = f'"{variable.name}" has a first=, but is in no chain, so it has no first step.'
            yield Fault(
                reason, 'Declare it inside `with bn.chain("t"):`, or remove first=.', variable.location
            )
        for step, cpd in enumerate(variable.first):
            yield from _initial(graph, variable, step, cpd)
        if variable.cpd is not None:
            yield from _general(graph, variable, variable.cpd, in_chain)
    if all(
        read.name in names for variable in graph.variables for cpd in cpds(variable) for read in reads(cpd)
    ):
        yield from _cycle(graph)


def _general(graph: Graph, variable: Variable, cpd: CPD, in_chain: bool) -> Iterator[Fault]:
    lagged = [read for read in reads(cpd) if read.lag]
    for read in lagged:
        yield from _timeless(graph, variable, cpd, read)
    furthest = max(lagged, key=lambda read: read.lag, default=None)
    if not in_chain or furthest is None or furthest.lag <= len(variable.first):
        return
    steps, given = furthest.lag, len(variable.first)
    if not given and steps == 1:
        reason = f'"{variable.name}" reads "{furthest.name}" one step earlier, and the first step has nothing earlier.'
        remedy = f"Add first=bn.{cpd.family}(...): the distribution in the first step."
    else:
        reason = f'"{variable.name}" reads "{furthest.name}" {steps} steps earlier, and first= has {given} of these steps.'
        remedy = f"Give first= a tuple of {steps} distributions, one for each of the first {steps} steps."
    yield Fault(reason, remedy, variable.location)


def _initial(graph: Graph, variable: Variable, step: int, cpd: CPD) -> Iterator[Fault]:
    for read in reads(cpd):
        if read.lag:
            yield from _timeless(graph, variable, cpd, read)
        if read.lag > step:
            steps = "one step" if read.lag == 1 else f"{read.lag} steps"
            reason = f'In step {step + 1}, "{variable.name}" reads "{read.name}" {steps} earlier, before the chain begins.'
            remedy = "Entry i of first= (counted from 0) may use previous up to lag i."
            yield Fault(reason, remedy, read.location or cpd.location or variable.location)


def _timeless(graph: Graph, variable: Variable, cpd: CPD, read: VarRef) -> Iterator[Fault]:
    source = next((each for each in graph.variables if each.name == read.name), None)
    if source is not None and not any(graph.plate(plate).chain for plate in source.plates):
        reason = f'"{read.name}" is in no chain, so nothing of it is earlier.'
        remedy = f'Declare it inside `with bn.chain("t"):`, or write {read.name} without previous.'
        yield Fault(reason, remedy, read.location or cpd.location or variable.location)


def _cycle(graph: Graph) -> Iterator[Fault]:
    names = cycle(graph)
    if names:
        path = " -> ".join([*names, names[0]])
        location = graph.variable(names[0]).location
        yield Fault(
            f"These variables depend on one another in a circle: {path}.",
            "Remove one of these steps.",
            location,
        )
