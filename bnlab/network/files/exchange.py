"""Networks to and from other libraries' objects: networkx graphs, pgmpy's and pyAgrum's networks.

networkx is always there; the other two are imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from bnlab.errors import Fault, ModelError
from bnlab.naming import quoted
from bnlab.network.declare import Network
from bnlab.network.files.from_network import tables_of
from bnlab.network.files.tables import Node, Table, Tables, labels, named
from bnlab.network.files.to_network import network_of
from bnlab.network.graph import parents_first

if TYPE_CHECKING:
    import networkx as nx


def to_networkx(net: Network) -> nx.DiGraph[str]:
    """The network's variables and who reads whom, as a `networkx.DiGraph`.

    A node has its `role`; in a network of tables also its `states`, a list of names or their number, and where its
    probabilities are known its `table`, an array with an axis for each of its `parents` and its own states last.
    """
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph(name=net.name)
    if any(variable.cpd is None or not variable.discrete for variable in net.graph.variables):
        for variable in net.graph.variables:
            graph.add_node(variable.name, role=variable.role)
        graph.add_edges_from(
            (parent, v.name) for v in net.graph.variables for parent in sorted(net.parents(v.name))
        )
        return graph
    tables = tables_of(net, complete=False)
    for node in tables.nodes:
        states = node.states if isinstance(node.states, int) else list(node.states)
        table = {} if node.table is None else {"table": node.table}
        role = "latent" if node.latent else "observed"
        graph.add_node(node.name, role=role, states=states, parents=list(node.parents), **table)
    graph.add_edges_from((parent, node.name) for node in tables.nodes for parent in node.parents)
    return graph


def from_networkx(
    graph: nx.DiGraph[Any],
    states: int | list[str] | Mapping[Any, int | list[str]] | None = None,
    name: str = "",
) -> Network:
    """A network of discrete variables with the nodes and edges of a `networkx.DiGraph`.

    Each node has its `states`, and may have a `role`, `parents` (in the order of the table's axes; else that of the edges)
    and a `table`, as `to_networkx` writes them; the argument `states` is for nodes without. Raises ModelError with all faults.
    """
    if not graph.is_directed() or graph.is_multigraph():
        raise ModelError(Fault("A Bayesian network is a directed graph.", "Give a networkx.DiGraph."))
    nodes, unknown = [], []
    for node, attributes in graph.nodes(data=True):
        found = attributes.get("states", states.get(node) if isinstance(states, Mapping) else states)
        if found is None:
            unknown.append(
                Fault(f"{quoted(str(node))} has no states.", 'Add states=2 or states=["yes", "no"].')
            )
            continue
        above = tuple(map(str, attributes.get("parents", graph.predecessors(node))))
        if set(above) != set(map(str, graph.predecessors(node))):
            unknown.append(
                Fault(f"The parents of {quoted(str(node))} are not those that its edges come from.")
            )
        nodes.append(
            _node(str(node), found, above, attributes.get("table"), attributes.get("role") == "latent")
        )
    if unknown:
        raise ModelError(*unknown)
    return network_of(Tables(name or str(graph.name) or "network", tuple(nodes)))


def to_pgmpy(net: Network) -> Any:
    """A network of tables as a `pgmpy.models.DiscreteBayesianNetwork`. Raises ModelError where a table has no values."""
    pgmpy, factors = _library("pgmpy.models"), _library("pgmpy.factors.discrete")
    tables = tables_of(net)
    known = {node.name: node for node in tables.nodes}
    model = pgmpy.DiscreteBayesianNetwork()
    model.add_nodes_from(known)
    model.add_edges_from([(parent, node.name) for node in tables.nodes for parent in node.parents])
    for node in tables.nodes:
        assert node.table is not None, "tables are complete"
        columns = np.moveaxis(node.table, -1, 0).reshape(node.size, -1)
        sizes = [known[parent].size for parent in node.parents]
        names = {each: list(labels(known[each])) for each in (node.name, *node.parents)}
        cpd = factors.TabularCPD(
            node.name, node.size, columns, list(node.parents) or None, sizes or None, state_names=names
        )
        model.add_cpds(cpd)
    return model


def from_pgmpy(model: Any, name: str = "") -> Network:
    """The network of a `pgmpy.models.DiscreteBayesianNetwork`, with its tables. Raises ModelError with all faults."""
    nodes = []
    for node in model.nodes():
        cpd = model.get_cpds(node)
        if cpd is None:
            raise ModelError(Fault(f"{quoted(str(node))} has no CPD.", "Add one, or use bn.from_networkx."))
        states = [str(state) for state in cpd.state_names[node]]
        table = np.moveaxis(np.asarray(cpd.values, dtype=float), 0, -1)
        nodes.append(_node(str(node), states, tuple(map(str, cpd.variables[1:])), table))
    return network_of(Tables(name or "network", tuple(nodes)))


def to_pyagrum(net: Network) -> Any:
    """A network of tables as a `pyagrum.BayesNet`. Raises ModelError where a table has no values."""
    gum = _library("pyagrum")
    tables = tables_of(net)
    model = gum.BayesNet(tables.name)
    for node in tables.nodes:
        model.add(gum.LabelizedVariable(node.name, node.name, list(labels(node))))
    for node in tables.nodes:
        for parent in node.parents:
            model.addArc(parent, node.name)
    for node in tables.nodes:
        assert node.table is not None, "tables are complete"
        axes = [node.parents.index(parent) for parent in reversed(model.cpt(node.name).names[1:])]
        model.cpt(node.name).fillWith(node.table.transpose(*axes, len(axes)).ravel().tolist())
    return model


def from_pyagrum(model: Any, name: str = "") -> Network:
    """The network of a `pyagrum.BayesNet` of discrete variables, with its tables. Raises ModelError with all faults."""
    names = {model.variable(each).name(): each for each in sorted(model.nodes())}
    above = {each: tuple(reversed(model.cpt(each).names[1:])) for each in names}
    nodes = [
        _node(each, list(model.variable(each).labels()), above[each], model.cpt(each).toarray())
        for each in parents_first(above)
    ]
    return network_of(Tables(name or _property(model) or "network", tuple(nodes)))


def _property(model: Any) -> str:
    return str(model.property("name")) if "name" in model.properties() else ""


def _node(
    name: str, states: int | list[str], parents: tuple[str, ...], table: Any, latent: bool = False
) -> Node:
    found: Table | None = None
    if table is not None:
        try:
            found = np.asarray(table, dtype=float)
        except (TypeError, ValueError):
            raise ModelError(Fault(f"The table of {quoted(name)} is not an array of numbers.")) from None
    return Node(
        name, states if isinstance(states, int) else named(map(str, states)), parents, found, latent=latent
    )


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise ModelError(Fault(f"{package} is not installed.", f"Write: pip install {package}")) from None
