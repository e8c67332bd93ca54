"""Questions about the graph of a network. networkx lives here only.

Variables are the nodes; an edge goes from what a distribution reads to the variable it is the distribution of. A variable of
a chain that reads its own past is its own parent.
"""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from bnlab.network.ir import CPD, Affine, Argument, Graph, Plate, Ref, Variable, VarRef


def cpds(variable: Variable) -> tuple[CPD, ...]:
    """All distributions of a variable: the general one, then those of the first steps; none for a given one."""
    return variable.first if variable.cpd is None else (variable.cpd, *variable.first)


def coefficients(cpd: CPD) -> tuple[Ref, ...]:
    """The parameters and constants that `cpd` reads, as they are written, in order, each once."""
    return tuple(dict.fromkeys(part for part in _parts(cpd) if isinstance(part, Ref)))


def reads(cpd: CPD) -> tuple[VarRef, ...]:
    """The variables that `cpd` reads, subscripts included, in the order written, each once."""
    return tuple(dict.fromkeys(found for part in _parts(cpd) for found in _variables(part)))


def selectors(cpd: CPD) -> tuple[VarRef, ...]:
    """The variables that stand in subscripts in `cpd`."""
    subscripts = (subscript for ref in coefficients(cpd) for subscript in ref.subscripts)
    return tuple(dict.fromkeys(subscript for subscript in subscripts if isinstance(subscript, VarRef)))


def parents(graph: Graph, name: str) -> frozenset[str]:
    """The variables that `name` reads, at any lag."""
    return frozenset(_digraph(graph).predecessors(name))


def children(graph: Graph, name: str) -> frozenset[str]:
    """The variables that read `name`, at any lag."""
    return frozenset(_digraph(graph).successors(name))


def ancestors(graph: Graph, name: str) -> frozenset[str]:
    """Parents, their parents, and so on; without `name` itself."""
    return frozenset(nx.ancestors(_digraph(graph), name))


def descendants(graph: Graph, name: str) -> frozenset[str]:
    """Children, their children, and so on; without `name` itself."""
    return frozenset(nx.descendants(_digraph(graph), name))


def markov_blanket(graph: Graph, name: str) -> frozenset[str]:
    """Parents, children and the children's other parents: given these, `name` depends on nothing else."""
    edges = _digraph(graph)
    offspring = set(edges.successors(name))
    partners = {parent for child in offspring for parent in edges.predecessors(child)}
    return frozenset(offspring | partners | set(edges.predecessors(name))) - {name}


def topological_order(graph: Graph) -> tuple[str, ...]:
    """Every variable after those of the same step that it reads; in order of declaration where there is a choice."""
    place = {variable.name: i for i, variable in enumerate(graph.variables)}
    return tuple(nx.lexicographical_topological_sort(_digraph(graph, lagged=False), key=place.__getitem__))


def cycle(graph: Graph) -> tuple[str, ...]:
    """Variables that depend on one another within a step, each on the one before and the first on the last; or ()."""
    try:
        return tuple(source for source, _ in nx.find_cycle(_digraph(graph, lagged=False)))
    except nx.NetworkXNoCycle:
        return ()


def users(graph: Graph, parameter: str) -> frozenset[str]:
    """The variables whose distributions read `parameter`."""
    return frozenset(
        variable.name
        for variable in graph.variables
        if any(ref.target == parameter for cpd in cpds(variable) for ref in coefficients(cpd))
    )


def alignment(graph: Graph, ref: Ref, variable: Variable) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parameter's plates that `variable` is in too, and those that take a subscript, both in nesting order.

    Both are empty for a constant: its leading axes are not plates.
    """
    if not isinstance(ref.target, str):
        return (), ()
    plates = graph.parameter(ref.target).plates
    aligned = tuple(plate for plate in plates if plate in variable.plates)
    return aligned, tuple(plate for plate in plates if plate not in variable.plates)


def sizeless_plates(graph: Graph, variable: Variable) -> tuple[Plate, ...]:
    """The plates of `variable` that take their size from the data, the chain among them, outermost first."""
    return tuple(plate for plate in (graph.plate(name) for name in variable.plates) if plate.size is None)


def chain_of(graph: Graph, variable: Variable) -> Plate | None:
    """The chain that `variable` is in."""
    return next((plate for plate in sizeless_plates(graph, variable) if plate.chain), None)


def max_lag(variable: Variable) -> int:
    """How many steps back the general distribution of `variable` reads; 0 outside chains."""
    return max((read.lag for read in reads(variable.cpd)), default=0) if variable.cpd else 0


def crossed_plates(graph: Graph) -> tuple[tuple[str, str], ...]:
    """Pairs of sizeless plates that enclose a variable together, though each also holds something without the other."""
    holders = [variable.plates for variable in graph.variables]
    names = [plate.name for plate in graph.plates if plate.size is None]
    return tuple(
        (outer, inner)
        for i, outer in enumerate(names)
        for inner in names[i + 1 :]
        if any(outer in plates and inner in plates for plates in holders)
        and any(outer in plates and inner not in plates for plates in holders)
        and any(inner in plates and outer not in plates for plates in holders)
    )


def _digraph(graph: Graph, lagged: bool = True) -> nx.DiGraph[str]:
    edges: nx.DiGraph[str] = nx.DiGraph()
    edges.add_nodes_from(variable.name for variable in graph.variables)
    for variable in graph.variables:
        found = (read for cpd in cpds(variable) for read in reads(cpd) if lagged or not read.lag)
        edges.add_edges_from((read.name, variable.name) for read in found)
    return edges


def _parts(cpd: CPD) -> Iterator[Ref | VarRef]:
    for _, argument in cpd.arguments:
        yield from _factors(argument)


def _factors(argument: Argument) -> Iterator[Ref | VarRef]:
    if not isinstance(argument, Affine):
        yield argument
        return
    for term in argument.terms:
        yield from (factor for factor in (term.coefficient, term.variable) if factor is not None)


def _variables(part: Ref | VarRef) -> Iterator[VarRef]:
    if isinstance(part, VarRef):
        yield part
        return
    yield from (subscript for subscript in part.subscripts if isinstance(subscript, VarRef))
