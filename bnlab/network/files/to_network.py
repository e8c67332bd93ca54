"""From tables under any names to a network under names that can be code."""

from __future__ import annotations

from dataclasses import replace

from bnlab.domains import Integer, Simplex, Values
from bnlab.errors import Fault, ModelError
from bnlab.naming import DATA_NAMES, fault, identifier_fault, quoted, suggestion
from bnlab.network.declare import Network
from bnlab.network.files.tables import Node, Table, Tables, normalised, refuse, shape_of, structure_faults
from bnlab.network.graph import parents_first
from bnlab.network.ir import CPD, Graph, Parameter, Plate, Ref, Variable, VarRef

ROWS = ("n", "m", "i", "r", "row")
"""Names of the plate that data have one member of a row."""


def network_of(tables: Tables) -> Network:
    """The network of some tables: every variable in one plate, the rows of the data, with a parameter P_name of its own.

    Variables stand after their parents. The table of one has a plate for each parent, its states; plates are ordered as the
    variables are. What the tables hold comes along as `parameters`, names that had to change as `titles`.
    Raises ModelError with all faults.
    """
    refuse(structure_faults(tables))
    known = {node.name: node for node in tables.nodes}
    sequence = parents_first({node.name: node.parents for node in tables.nodes})
    tables = replace(tables, nodes=tuple(known[name] for name in sequence))
    order = {node.name: place for place, node in enumerate(tables.nodes)}
    names = _names(tables.nodes)
    taken = set(names.values())
    rows = next(name for name in (*ROWS, suggestion("rows", taken)) if name not in taken)
    taken.add(rows)
    readers = {parent for node in tables.nodes for parent in node.parents}
    plates: dict[str, str] = {}
    laws: dict[str, str] = {}
    for node in tables.nodes:
        own = names[node.name]
        laws[node.name] = _fresh(f"P_{own}", taken)
        if node.name in readers:
            plates[node.name] = _fresh(f"{own}_state", taken)
    graph = Graph(
        _network_name(tables.name),
        (*(Plate(plates[n.name], n.size) for n in tables.nodes if n.name in plates), Plate(rows)),
        tuple(_parameter(node, laws, plates, order) for node in tables.nodes),
        tuple(_variable(node, names, laws, rows, order) for node in tables.nodes),
        tables.doc,
    )
    values = {
        laws[node.name]: Values.of(_sorted_axes(node, known, order))
        for node in tables.nodes
        if node.table is not None
    }
    titles = {names[node.name]: node.title or node.name for node in tables.nodes}
    return Network.of(graph, values, {name: title for name, title in titles.items() if name != title})


def _names(nodes: tuple[Node, ...]) -> dict[str, str]:
    """A legal name for each node: its own if that is one, else one like it."""
    legal = {node.name for node in nodes if not fault(node.name) and node.name not in DATA_NAMES}
    taken = set(legal)
    return {node.name: node.name if node.name in legal else _fresh(node.name, taken) for node in nodes}


def _fresh(wanted: str, taken: set[str]) -> str:
    """A legal name, from now on taken: the one wanted, or one like it."""
    found = suggestion(wanted, taken | DATA_NAMES)
    taken.add(found)
    return found


def _network_name(name: str) -> str:
    return suggestion(name or "network") if identifier_fault(name) else name


def _ordered(node: Node, order: dict[str, int]) -> list[str]:
    """The parents in the order of the variables: plates nest in one order everywhere."""
    return sorted(node.parents, key=order.__getitem__)


def _sorted_axes(node: Node, known: dict[str, Node], order: dict[str, int]) -> Table:
    assert node.table is not None
    shape = shape_of(node, known)
    if node.table.shape != shape:
        reason = f"The table of {quoted(node.name)} has the shape {node.table.shape}; it needs {shape}."
        raise ModelError(
            Fault(reason, "It has an axis for each parent, and the node's own last.", node.location)
        )
    table = normalised(node.name, node.table, node.location)
    axes = [node.parents.index(parent) for parent in _ordered(node, order)]
    return table.transpose(*axes, len(axes))


def _parameter(node: Node, laws: dict[str, str], plates: dict[str, str], order: dict[str, int]) -> Parameter:
    labels = () if isinstance(node.states, int) else node.states
    home = tuple(plates[parent] for parent in _ordered(node, order))
    return Parameter(laws[node.name], Simplex(node.size, labels), home)


def _variable(
    node: Node, names: dict[str, str], laws: dict[str, str], rows: str, order: dict[str, int]
) -> Variable:
    parents = tuple(VarRef(names[parent]) for parent in _ordered(node, order))
    cpd = CPD("Categorical", (("probs", Ref(laws[node.name], parents)),))
    labels = () if isinstance(node.states, int) else node.states
    role = "latent" if node.latent else "observed"
    return Variable(names[node.name], role, Integer(node.size, labels), (rows,), cpd)
