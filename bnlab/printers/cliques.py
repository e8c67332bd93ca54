"""The junction tree as a picture: cliques as ellipses, and between them in boxes what they have in common."""

from __future__ import annotations

from collections.abc import Mapping

from bnlab.network.cliques import Clique
from bnlab.network.ir import Graph, VarRef
from bnlab.printers.picture import Edge, Node, Picture, Symbol, boxes


def cliques(graph: Graph, tree: tuple[Clique, ...], titles: Mapping[str, str]) -> Picture:
    """The picture of a junction tree; its note says how large the largest table is."""
    ellipses = tuple(
        Node(f"clique {place}", "latent", Symbol("C", title=_listed(clique.variables, titles)), clique.plates)
        for place, clique in enumerate(tree)
    )
    linked = [(place, clique) for place, clique in enumerate(tree) if clique.towards is not None]
    separators = tuple(
        Node(
            f"separator {place}",
            "separator",
            Symbol("S", title=_listed(clique.separator, titles)),
            clique.plates,
        )
        for place, clique in linked
    )
    edges = tuple(
        edge
        for place, clique in linked
        for edge in (
            Edge(f"clique {clique.towards}", f"separator {place}", form="line"),
            Edge(f"separator {place}", f"clique {place}", form="line"),
        )
    )
    nodes = (*ellipses, *separators)
    largest = max((clique.entries for clique in tree), default=0)
    count = "1 clique" if len(tree) == 1 else f"{len(tree)} cliques"
    if any(not graph.variable(ref.name).discrete for clique in tree for ref in clique.variables):
        count += " (Gaussian latents take no room in tables)"
    note = f"{count}; the largest table has {largest:,} {'entry' if largest == 1 else 'entries'}."
    return Picture(graph.name, nodes, edges, boxes(graph, nodes), notes=(note,))


def _listed(variables: tuple[VarRef, ...], titles: Mapping[str, str]) -> str:
    return ", ".join(
        titles.get(ref.name, ref.name) + (f"[-{ref.lag}]" if ref.lag else "") for ref in variables
    )
