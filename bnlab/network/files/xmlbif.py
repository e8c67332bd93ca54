"""XMLBIF 0.3: BIF in XML, as JavaBayes, Weka, SamIam and pgmpy write it. Tables run over the node's own states fastest.

It is written without the document type that the format's page shows: pyAgrum does not read that.
"""

from __future__ import annotations

from dataclasses import replace
from xml.sax.saxutils import escape

from bnlab.errors import Fault, ModelError
from bnlab.naming import did_you_mean, quoted
from bnlab.network.files.tables import (
    Node,
    Tables,
    filled,
    labels,
    named,
    number,
    refuse,
    repeated,
    shape_of,
    structure_faults,
)
from bnlab.network.files.xml_tree import Element, tree


def read(data: bytes, file: str) -> Tables:
    """The network in an XMLBIF document. Raises ModelError, with the line, where it is none."""
    root = tree(data, file, upper=True)
    if root.tag != "BIF":
        root.fail(f"The document is <{root.tag.lower()}>, not <BIF>.")
    network = root.needed("NETWORK")
    title = network.first("NAME")
    nodes = [_variable(element) for element in network.all("VARIABLE")]
    refuse(repeated(tuple(nodes)))
    known = {node.name: node for node in nodes}
    found: dict[str, Element] = {}
    faults = []
    for element in network.all("DEFINITION", "PROBABILITY"):
        name = element.needed("FOR").text
        if name not in known:
            reason = f"{quoted(name)} is not declared.{did_you_mean(name, known)}"
            faults.append(Fault(reason, "", element.location))
        elif name in found:
            faults.append(Fault(f"{quoted(name)} has two definitions.", "", element.location))
        else:
            found[name] = element
            parents = tuple(parent.text for parent in element.all("GIVEN"))
            known[name] = replace(known[name], parents=parents, location=element.location)
    faults += [
        Fault(f"{quoted(name)} has no definition.", "", node.location)
        for name, node in known.items()
        if name not in found
    ]
    name = title.text if title else ""
    tables = Tables(name, tuple(known[node.name] for node in nodes), "", root.location)
    refuse((*structure_faults(tables), *faults))
    return replace(tables, nodes=tuple(_with_table(node, known, found[node.name]) for node in tables.nodes))


def _variable(element: Element) -> Node:
    kind = element.attributes.get("TYPE", "nature")
    name = element.needed("NAME").text
    if kind not in ("nature", "discrete"):
        element.fail(f"{quoted(name)} is of type {quoted(kind)}; only chance nodes have a distribution.")
    states = [outcome.text for outcome in element.all("OUTCOME", "VALUE")]
    return Node(name, named(states), location=element.location)


def _with_table(node: Node, known: dict[str, Node], element: Element) -> Node:
    table = element.first("TABLE")
    if table is None:
        return node
    if next(table.all(*{child.tag for child in table.children}), None) is not None:
        table.fail("The table has elements in it; bnlab reads tables of numbers.")
    values = [number(word, table.location) for word in table.text.split()]
    whole = filled(node, shape_of(node, known), values, table.location)
    return replace(node, table=whole, location=table.location)


def write(tables: Tables) -> str:
    """The network as XMLBIF, numbers to the last bit."""
    parts = ['<?xml version="1.0" encoding="UTF-8"?>', '<BIF VERSION="0.3">', "<NETWORK>"]
    parts.append(f"<NAME>{_text(tables.name)}</NAME>")
    for node in tables.nodes:
        outcomes = "".join(f"\n  <OUTCOME>{_text(label)}</OUTCOME>" for label in labels(node))
        parts.append(f'<VARIABLE TYPE="nature">\n  <NAME>{_text(node.name)}</NAME>{outcomes}\n</VARIABLE>')
    for node in tables.nodes:
        assert node.table is not None, "tables are complete when they are written"
        given = "".join(f"\n  <GIVEN>{_text(parent)}</GIVEN>" for parent in node.parents)
        rows = "\n    ".join(
            " ".join(repr(value) for value in row) for row in node.table.reshape(-1, node.size).tolist()
        )
        table = f"\n  <TABLE>\n    {rows}\n  </TABLE>"
        parts.append(f"<DEFINITION>\n  <FOR>{_text(node.name)}</FOR>{given}{table}\n</DEFINITION>")
    return "\n".join([*parts, "</NETWORK>\n</BIF>\n"])


def _text(text: str) -> str:
    if text != text.strip():
        raise ModelError(
            Fault(f"{quoted(text)} has blanks at an end, which XMLBIF does not keep.", "Write .json.")
        )
    return escape(text)
