"""From a network to tables, for formats that hold nothing else; what is not a table is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_lowercase

import numpy as np

from bnlab.domains import Integer
from bnlab.errors import Fault, ModelError
from bnlab.network.declare import Network
from bnlab.network.files.tables import Node, Table, Tables, refuse
from bnlab.network.graph import topological_order
from bnlab.network.ir import Graph, Ref, Variable, VarRef


def tables_of(network: Network, complete: bool = True) -> Tables:
    """The tables of a network of discrete variables without chains, under the names that are shown.

    Their values are those fixed by the declaration and those that came along; with `complete`, all are needed. Raises
    ModelError with everything that tables cannot say.
    """
    graph = network.graph
    refuse(_faults(graph))
    values = {each.name: each.value.array for each in graph.parameters if each.value is not None}
    values |= network.parameters
    missing = [each.name for each in graph.parameters if each.name not in values]
    if missing and complete:
        reason = f"The format holds tables, and there are no values for {', '.join(missing)}."
        raise ModelError(Fault(reason, "Write net.with_parameters(fit.parameters), or a .json file."))
    titles = network.titles
    shown = {variable.name: titles.get(variable.name, variable.name) for variable in graph.variables}
    if len(set(shown.values())) < len(shown):
        shown = {name: name for name in shown}
    nodes = tuple(
        _node(variable, values, shown) for variable in map(graph.variable, topological_order(graph))
    )
    return Tables(graph.name, nodes, graph.doc)


def _faults(graph: Graph) -> Iterator[Fault]:
    for variable in graph.variables:
        place = variable.location
        if not isinstance(variable.domain, Integer):
            yield Fault(f'"{variable.name}" is not discrete, and the format holds tables only.', JSON, place)
        elif variable.cpd is None:
            yield Fault(f'"{variable.name}" is given: it has no distribution to write.', JSON, place)
        elif any(graph.plate(plate).chain for plate in variable.plates):
            yield Fault(f'"{variable.name}" is in a chain, and the format has no time.', JSON, place)
        elif variable.cpd.family not in ("Categorical", "Bernoulli"):
            yield Fault(f'"{variable.name}" is {variable.cpd.family}, which is no table.', JSON, place)
    plates = dict.fromkeys(variable.plates for variable in graph.variables)
    if len(plates) > 1 or any(graph.plate(plate).size for path in plates for plate in path):
        reason = (
            "The variables are in different plates, or in one with a size; the format has one row a case."
        )
        yield Fault(reason, JSON)


JSON = "Write a .json file: it holds every network."


def _node(variable: Variable, values: dict[str, Table], shown: dict[str, str]) -> Node:
    assert variable.cpd is not None and isinstance(variable.domain, Integer), "checked before"
    ((_, probs),) = variable.cpd.arguments
    assert isinstance(probs, Ref), "the probabilities of a table are a parameter or a constant"
    if isinstance(probs.target, str):
        table = values.get(probs.target)
    else:
        table = probs.target.array
    parents = tuple(dict.fromkeys(each.name for each in probs.subscripts if isinstance(each, VarRef)))
    if table is not None and variable.cpd.family == "Bernoulli":
        table = np.stack([1 - table, table], -1)
    return Node(
        shown[variable.name],
        variable.domain.labels or variable.domain.size,
        tuple(shown[parent] for parent in parents),
        None if table is None else _selected(table, probs, parents),
        latent=variable.role == "latent",
        location=variable.location,
    )


def _selected(table: Table, probs: Ref, parents: tuple[str, ...]) -> Table:
    """The table over each parent once: a subscript that is a number chooses, one that repeats takes the diagonal."""
    letters = dict(zip(parents, ascii_lowercase, strict=False))
    for axis, subscript in reversed(list(enumerate(probs.subscripts))):
        if isinstance(subscript, int):
            table = np.asarray(table.take(subscript, axis))
    axes = [letters[each.name] for each in probs.subscripts if isinstance(each, VarRef)]
    return np.asarray(
        np.einsum(f"{''.join(axes)}Z->{''.join(letters[parent] for parent in parents)}Z", table)
    )
