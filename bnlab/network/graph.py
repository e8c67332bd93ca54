"""Questions about the graph of a network. networkx lives here only, and only for what takes more than a look: importing it
takes a tenth of a small fit's time.

Variables are the nodes; an edge goes from what a distribution reads to the variable it is the distribution of. A variable of
a chain that reads its own past is its own parent.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from bnlab.errors import Fault, InternalError, ModelError
from bnlab.network.ir import CPD, Affine, Argument, Graph, Plate, Ref, Variable, VarRef

if TYPE_CHECKING:
    import networkx as nx


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
    return _above(graph)[name]


def children(graph: Graph, name: str) -> frozenset[str]:
    """The variables that read `name`, at any lag."""
    return frozenset(child for child, above in _above(graph).items() if name in above)


def ancestors(graph: Graph, name: str) -> frozenset[str]:
    """Parents, their parents, and so on; without `name` itself."""
    import networkx as nx

    return frozenset(nx.ancestors(_digraph(graph), name))


def descendants(graph: Graph, name: str) -> frozenset[str]:
    """Children, their children, and so on; without `name` itself."""
    import networkx as nx

    return frozenset(nx.descendants(_digraph(graph), name))


def markov_blanket(graph: Graph, name: str) -> frozenset[str]:
    """Parents, children and the children's other parents: given these, `name` depends on nothing else."""
    edges = _digraph(graph)
    offspring = set(edges.successors(name))
    partners = {parent for child in offspring for parent in edges.predecessors(child)}
    return frozenset(offspring | partners | set(edges.predecessors(name))) - {name}


def d_separated(graph: Graph, x: frozenset[str], y: frozenset[str], given: frozenset[str]) -> bool:
    """Whether every path from `x` to `y` is blocked by `given`; a variable of a chain stands for all of its steps.

    Raises ModelError where the sets overlap.
    """
    import networkx as nx

    edges, copies = _steps(graph)
    sets = [{copy for name in names for copy in copies[name]} for names in (x, y, given)]
    if sets[0] & sets[1] or sets[2] & (sets[0] | sets[1]):
        shared = sorted((x & y) | (x & given) | (y & given))
        raise ModelError(Fault(f"{', '.join(shared)} cannot stand on two sides of one question."))
    return bool(nx.is_d_separator(edges, *sets))


Walk = tuple[tuple[tuple[str, int], bool], ...]
"""Copies of variables one after another, each with whether it was reached against an arrow."""


def open_path(graph: Graph, x: frozenset[str], y: frozenset[str], given: frozenset[str]) -> tuple[str, ...]:
    """The variables of a shortest path from `x` to `y` that `given` does not block; empty where all are blocked.

    A path goes on through what is not known, except where two arrows meet: there it goes on only if something is known of what
    follows (Pearl 1988, section 3.3). Steps of a chain are told by their variable alone. Raises ModelError as `d_separated`.
    """
    import networkx as nx

    if d_separated(graph, x, y, given):
        return ()
    edges, copies = _steps(graph)
    starts, ends, known = ({copy for name in names for copy in copies[name]} for names in (x, y, given))
    told = known.union(*(nx.ancestors(edges, copy) for copy in known))
    queue: list[Walk] = [((copy, True),) for copy in sorted(starts)]
    seen = {path[0] for path in queue}
    for path in queue:
        copy, against = path[-1]
        if copy in ends:
            names = [name for (name, _), _ in path]
            return tuple(name for place, name in enumerate(names) if names[place - 1 : place] != [name])
        onward = [(child, False) for child in sorted(edges.successors(copy)) if copy not in known]
        back = copy not in known if against else copy in told
        onward += [(parent, True) for parent in sorted(edges.predecessors(copy)) if back]
        queue.extend((*path, step) for step in onward if step not in seen)
        seen |= set(onward)
    raise InternalError(f"No path from {sorted(x)} to {sorted(y)} is open, but they are not separated.")


def topological_order(graph: Graph) -> tuple[str, ...]:
    """Every variable after those of the same step that it reads; in order of declaration where there is a choice."""
    found = _ordered(_above(graph, lagged=False))
    if len(found) < len(graph.variables):
        raise InternalError(f"The variables of {graph.name} go in circles.")
    return found


def parents_first(parents: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The keys, each after its parents, else in their order; just in their order where they go in circles."""
    found = _ordered(parents)
    return found if len(found) == len(parents) else tuple(parents)


def cycle(graph: Graph) -> tuple[str, ...]:
    """Variables that depend on one another within a step, each on the one before and the first on the last; or ()."""
    above = _above(graph, lagged=False)
    if len(_ordered(above)) == len(above):
        return ()
    import networkx as nx

    return tuple(source for source, _ in nx.find_cycle(_digraph(graph, lagged=False)))


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


def _above(graph: Graph, lagged: bool = True) -> dict[str, frozenset[str]]:
    """What each variable reads."""
    return {
        variable.name: frozenset(
            read.name for cpd in cpds(variable) for read in reads(cpd) if lagged or not read.lag
        )
        for variable in graph.variables
    }


def _ordered(above: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """The keys, each after those above it, in their own order where there is a choice (Kahn 1962); what goes in circles, and
    what is below that, is left out."""
    names = list(above)
    place = {name: number for number, name in enumerate(names)}
    waiting = {name: {each for each in found if each in place} for name, found in above.items()}
    below: dict[str, list[str]] = {name: [] for name in names}
    for name, found in waiting.items():
        for each in found:
            below[each].append(name)
    ready = [place[name] for name in names if not waiting[name]]
    order = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for other in below[name]:
            waiting[other].discard(name)
            if not waiting[other]:
                heapq.heappush(ready, place[other])
    return tuple(order)


def _digraph(graph: Graph, lagged: bool = True) -> nx.DiGraph[str]:
    import networkx as nx

    edges: nx.DiGraph[str] = nx.DiGraph()
    edges.add_nodes_from(variable.name for variable in graph.variables)
    for variable in graph.variables:
        found = (read for cpd in cpds(variable) for read in reads(cpd) if lagged or not read.lag)
        edges.add_edges_from((read.name, variable.name) for read in found)
    return edges


def _steps(graph: Graph) -> tuple[nx.DiGraph[tuple[str, int]], dict[str, tuple[tuple[str, int], ...]]]:
    """The graph with the steps of chains side by side, so many that any influence can arrive; and each variable's copies."""
    import networkx as nx

    lags = [max((read.lag for cpd in cpds(v) for read in reads(cpd)), default=0) for v in graph.variables]
    length = max(lags, default=0) * (len(lags) + 1) + 1
    chained = {v.name for v in graph.variables if any(graph.plate(plate).chain for plate in v.plates)}
    copies = {
        v.name: tuple((v.name, step) for step in range(length if v.name in chained else 1))
        for v in graph.variables
    }
    edges: nx.DiGraph[tuple[str, int]] = nx.DiGraph()
    edges.add_nodes_from(copy for each in copies.values() for copy in each)
    for variable in graph.variables:
        for read in {read for cpd in cpds(variable) for read in reads(cpd)}:
            for name, step in copies[variable.name]:
                source = (read.name, step - read.lag if read.name in chained else 0)
                if source in edges:
                    edges.add_edge(source, (name, step))
    return edges, copies


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
