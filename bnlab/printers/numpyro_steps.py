"""How NumPyro sums over the paths of a chain, and what a step must say so that it sums the right thing.

`scan` under enumeration has four habits, each of which gives a wrong density without a word where a model ignores it:

- a latent whose previous value is read is summed along the path only if its own distribution reads that value;
- a latent of the step that these depend on is shared by all steps unless it is one of them;
- an outer latent that only other variables of the step read is summed within each step by itself;
- a variable that reads no latent of the step has its time in the dimension of a latent outside.

In each case one distribution is made to read a value that it does not depend on: a *formal* read.
"""

from __future__ import annotations

from collections.abc import Mapping

from bnlab.network.graph import cpds, reads, topological_order
from bnlab.network.ir import Graph, Variable, VarRef


def enumerated(variable: Variable) -> bool:
    """Whether the variable is a discrete latent."""
    return variable.role == "latent" and variable.discrete


def true_reads(variable: Variable) -> tuple[VarRef, ...]:
    """What the distributions of a variable read, those of the first steps too."""
    return tuple(dict.fromkeys(read for cpd in cpds(variable) for read in reads(cpd)))


def step_order(graph: Graph, chain: str) -> tuple[Variable, ...]:
    """The variables of a chain as they are sampled in a step: first those that a path is made of, and their ancestors.

    NumPyro takes a step's factors for independent of time until it meets one that reads the step before.
    """
    variables = _members(graph, chain)
    early = _ancestors(variables, {variable.name for variable in _path(graph, chain)})
    return tuple(sorted(variables, key=lambda variable: variable.name not in early))


def formal_reads(graph: Graph, chain: str) -> dict[str, tuple[VarRef, ...]]:
    """What each variable of a chain must formally read."""
    found = {variable.name: _own_past(graph, chain, variable) for variable in _path(graph, chain)}
    for outer in unheard(graph, chain):
        host = _host(_path(graph, chain), graph.variable(outer))
        if host is not None:
            found[host.name] = (*found[host.name], VarRef(outer))
    for variable in _members(graph, chain):
        if not _has_room(graph, chain, variable):
            found[variable.name] = _clear_of_others(graph, chain, variable)
    return {name: reads for name, reads in found.items() if reads}


def _own_past(graph: Graph, chain: str, variable: Variable) -> tuple[VarRef, ...]:
    """The earlier values of a latent that the step reads, but not the latent itself."""
    lagged = {
        read.lag
        for other in _members(graph, chain)
        for read in true_reads(other)
        if read.name == variable.name
    }
    read = set(true_reads(variable))
    wanted = (VarRef(variable.name, lag) for lag in range(1, max(lagged | {1}) + 1))
    return tuple(ref for ref in wanted if ref not in read)


def _host(path: tuple[Variable, ...], outer: Variable) -> Variable | None:
    """A latent of the path in all plates of `outer`, so that it can read it."""
    return next((variable for variable in path if set(outer.plates) <= set(variable.plates)), None)


def _has_room(graph: Graph, chain: str, variable: Variable) -> bool:
    """Whether NumPyro can put time in a dimension that no latent outside the chain has."""
    if variable.role == "given" or enumerated(variable) or not _outside(graph, chain):
        return True
    found = [graph.variable(read.name) for read in true_reads(variable)]
    return any(enumerated(other) and chain in other.plates for other in found)


def _clear_of_others(graph: Graph, chain: str, variable: Variable) -> tuple[VarRef, ...]:
    """A latent whose dimension is left of those outside the chain: one of the path, else the last one outside."""
    path = _path(graph, chain) or _outside(graph, chain)[-1:]
    fitting = (other for other in path if set(other.plates) <= set(variable.plates))
    return tuple(VarRef(other.name) for other in fitting if VarRef(other.name) not in true_reads(variable))[
        :1
    ]


def crowded(graph: Graph, chain: str) -> tuple[str, ...]:
    """The variables of a chain that can read nothing that keeps time clear of the latents outside."""
    found = (variable for variable in _members(graph, chain) if not _has_room(graph, chain, variable))
    path = _path(graph, chain) or _outside(graph, chain)[-1:]
    return tuple(v.name for v in found if not any(set(other.plates) <= set(v.plates) for other in path))


def _outside(graph: Graph, chain: str) -> tuple[Variable, ...]:
    """The discrete latents outside the chain, in the order of their dimensions."""
    order = (graph.variable(name) for name in topological_order(graph))
    return tuple(variable for variable in order if enumerated(variable) and chain not in variable.plates)


def unheard(graph: Graph, chain: str) -> tuple[str, ...]:
    """The discrete latents outside the chain that its steps read, but not the latents that its paths are made of."""
    path = _path(graph, chain)
    heard = {read.name for variable in path for read in true_reads(variable)}
    outside = [
        read.name
        for variable in _members(graph, chain)
        for read in true_reads(variable)
        if enumerated(graph.variable(read.name)) and chain not in graph.variable(read.name).plates
    ]
    return tuple(name for name in dict.fromkeys(outside) if path and name not in heard)


def lags(graph: Graph, formal: Mapping[str, tuple[VarRef, ...]]) -> dict[str, int]:
    """The variables that are read from earlier steps, formally or not, with the longest lag."""
    found: dict[str, int] = {}
    for variable in graph.variables:
        for read in (*true_reads(variable), *formal.get(variable.name, ())):
            if read.lag:
                found[read.name] = max(read.lag, found.get(read.name, 0))
    return found


def _members(graph: Graph, chain: str) -> tuple[Variable, ...]:
    order = (graph.variable(name) for name in topological_order(graph))
    return tuple(variable for variable in order if chain in variable.plates)


def _path(graph: Graph, chain: str) -> tuple[Variable, ...]:
    """The discrete latents that later steps depend on: those read at a lag, and the step's latents before them."""
    variables = _members(graph, chain)
    lagged = {read.name for variable in variables for read in true_reads(variable) if read.lag}
    seeds = {variable.name for variable in variables if enumerated(variable) and variable.name in lagged}
    early = _ancestors(variables, seeds)
    return tuple(variable for variable in variables if enumerated(variable) and variable.name in early)


def _ancestors(variables: tuple[Variable, ...], names: set[str]) -> set[str]:
    """`names` and all that they depend on within a step."""
    found = set(names)
    for variable in reversed(variables):
        if variable.name in found:
            found |= {read.name for read in true_reads(variable) if not read.lag}
    return found
