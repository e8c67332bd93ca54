"""What a network may bring along beside its declaration: values of parameters, names to show; and its variables' roles."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from bnlab.domains import Values
from bnlab.errors import Fault, ModelError
from bnlab.naming import did_you_mean, quoted
from bnlab.network.check_values import outside
from bnlab.network.ir import Graph
from bnlab.network.text import domain_text

LONGEST_TITLE = 200


def known_faults(graph: Graph, known: Mapping[str, Values]) -> Iterator[Fault]:
    """What is wrong with the values of some parameters, none of which may be fixed by the declaration."""
    names = [parameter.name for parameter in graph.parameters]
    for name, values in known.items():
        if name not in names:
            reason = f"{quoted(name)} is no parameter of {graph.name}.{did_you_mean(name, names)}"
            yield Fault(reason, f"Parameters are {', '.join(names)}.")
            continue
        parameter = graph.parameter(name)
        shape = (*(graph.plate(plate).size for plate in parameter.plates), *parameter.domain.event_shape)
        if parameter.value is not None:
            yield Fault(f'"{name}" is fixed by the declaration.', "Leave it out.", parameter.location)
        elif values.shape != shape:
            reason = f'The value of "{name}" has shape {values.shape}, and must have {shape}.'
            yield Fault(reason, f"It has its plates, then {domain_text(parameter.domain)}.")
        elif wrong := outside(values.array, parameter.domain):
            yield Fault(f'The value of "{name}" is not in its domain. {wrong}')


def title_faults(graph: Graph, titles: Mapping[str, str]) -> Iterator[Fault]:
    """What is wrong with the names to show: only variables have them, one line each."""
    names = [variable.name for variable in graph.variables]
    for name, title in titles.items():
        if name not in names:
            yield Fault(f"{quoted(name)} has a title, and is no variable.{did_you_mean(name, names)}")
        if not title.strip() or not title.isprintable() or len(title) > LONGEST_TITLE:
            yield Fault(f"{quoted(title)} cannot be a title: it is empty, long, or has control characters.")


def learnable(graph: Graph, values: Mapping[str, Values]) -> dict[str, Values]:
    """Those of the values that the declaration does not fix already."""
    fixed = {parameter.name for parameter in graph.parameters if parameter.value is not None}
    return {name: value for name, value in values.items() if name not in fixed}


def with_role(graph: Graph, names: Collection[str], role: str) -> Graph:
    """The graph with some variables in another role. Raises ModelError for a name that is no variable with a distribution."""
    known = [variable.name for variable in graph.in_role("latent", "observed")]
    faults = [
        Fault(
            f"{quoted(name)} is no random variable of {graph.name}.{did_you_mean(name, known)}",
            f"Those are {', '.join(known)}.",
        )
        for name in names
        if name not in known
    ]
    if faults:
        raise ModelError(*faults)
    variables = tuple(replace(each, role=role) if each.name in names else each for each in graph.variables)
    return replace(graph, variables=variables)
