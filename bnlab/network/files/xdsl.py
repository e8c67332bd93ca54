"""XDSL, the format of GeNIe and SMILE: chance nodes (`cpt`) and deterministic ones.

Tables run over parents in their order, the first slowest, and over own states fastest (SMILE's manual; pyAgrum 3.3 turns
the parents round).
Identifiers there are plain; what GeNIe shows for a node stands in its extensions, and becomes the node's title here.
"""

from __future__ import annotations

from dataclasses import replace
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from bnlab.naming import did_you_mean, identifier_fault, quoted, suggestion
from bnlab.network.files.tables import (
    Node,
    Tables,
    filled,
    labels,
    named,
    number,
    refuse,
    shape_of,
    structure_faults,
)
from bnlab.network.files.xml_tree import Element, tree


def read(data: bytes, file: str) -> Tables:
    """The network in an XDSL document. Raises ModelError, with the line, where it is none."""
    root = tree(data, file)
    if root.tag != "smile":
        root.fail(f"The document is <{root.tag}>, not <smile>.")
    elements = root.needed("nodes").children
    titles = _titles(root)
    for element in elements:
        if element.tag not in ("cpt", "deterministic"):
            element.fail(f"<{element.tag}> is not a discrete chance node; bnlab reads cpt and deterministic.")
    nodes = tuple(_node(element, titles) for element in elements)
    tables = Tables(root.attributes.get("id", ""), nodes, "", root.location)
    refuse(structure_faults(tables))
    known = {node.name: node for node in nodes}
    pairs = zip(nodes, elements, strict=True)
    return replace(tables, nodes=tuple(_with_table(node, known, element) for node, element in pairs))


def _titles(root: Element) -> dict[str, str]:
    found = {}
    for extensions in root.all("extensions"):
        for genie in extensions.all("genie"):
            for node in genie.all("node"):
                name = node.first("name")
                found[node.attribute("id")] = name.text if name else ""
    return found


def _node(element: Element, titles: dict[str, str]) -> Node:
    name = element.attribute("id")
    states = [state.attributes.get("label") or state.attribute("id") for state in element.all("state")]
    parents = element.first("parents")
    title = titles.get(name, "")
    return Node(
        name,
        named(states),
        tuple(parents.text.split()) if parents else (),
        title="" if title == name else title,
        location=element.location,
    )


def _with_table(node: Node, known: dict[str, Node], element: Element) -> Node:
    shape = shape_of(node, known)
    if element.tag == "deterministic":
        found = element.needed("resultingstates")
        states = [state.attribute("id") for state in element.all("state")]
        chosen = []
        for state in found.text.split():
            if state not in states:
                found.fail(f"{quoted(node.name)} has no state {quoted(state)}.{did_you_mean(state, states)}")
            chosen.append(float(states.index(state)))
        picks = filled(node, shape[:-1], chosen, found.location).astype(int)
        return replace(node, table=np.eye(node.size)[picks], location=found.location)
    numbers = element.first("probabilities")
    if numbers is None:
        return node
    values = [number(word, numbers.location) for word in numbers.text.split()]
    return replace(node, table=filled(node, shape, values, numbers.location), location=numbers.location)


def write(tables: Tables) -> str:
    """The network as XDSL, numbers to the last bit; names that are no identifiers there are kept as what is shown."""
    ids = _identifiers([node.name for node in tables.nodes])
    network = _identifiers([tables.name])[tables.name]
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<smile version="1.0" id="{network}" numsamples="10000" discsamples="10000">',
        "  <nodes>",
    ]
    for node in tables.nodes:
        assert node.table is not None, "tables are complete when they are written"
        parts.append(f'    <cpt id="{ids[node.name]}">')
        states = _identifiers(labels(node))
        for label in labels(node):
            shown = "" if states[label] == label else f" label={quoteattr(label)}"
            parts.append(f'      <state id="{states[label]}"{shown} />')
        if node.parents:
            parts.append(f"      <parents>{' '.join(ids[parent] for parent in node.parents)}</parents>")
        numbers = " ".join(repr(value) for value in node.table.ravel().tolist())
        parts += [f"      <probabilities>{numbers}</probabilities>", "    </cpt>"]
    parts += [
        "  </nodes>",
        "  <extensions>",
        f'    <genie version="1.0" app="bnlab" name="{network}">',
    ]
    for place, node in enumerate(tables.nodes):
        left, top = 40 + 140 * (place % 6), 40 + 100 * (place // 6)
        parts += [
            f'      <node id="{ids[node.name]}">',
            f"        <name>{escape(node.name)}</name>",
            '        <interior color="e5f6f7" />',
            '        <outline color="000080" />',
            '        <font color="000000" name="Arial" size="8" />',
            f"        <position>{left} {top} {left + 110} {top + 50}</position>",
            "      </node>",
        ]
    return "\n".join([*parts, "    </genie>", "  </extensions>", "</smile>", ""])


def _identifiers(names: list[str] | tuple[str, ...]) -> dict[str, str]:
    """An identifier for each name: itself if it is one."""
    taken = {name for name in names if not identifier_fault(name)}
    found: dict[str, str] = {}
    for name in names:
        found[name] = name if name in taken else suggestion(name, taken | set(found.values()))
    return found
