"""Draws of what evidence is about, given the evidence: each variable from its posterior given those drawn before it.

Only the variables of the evidence and those they descend from are drawn here. The posteriors are those of the emitted
module for a network of these alone, in which what has been drawn is evidence like the rest. Everything else does not depend on
the evidence but through them, and is drawn as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Integer
from bnlab.errors import DataError, Fault
from bnlab.network.graph import chain_of, parents
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data import bind, canonical_ids
from bnlab.runtime.data_layout import Layout, sizeless, sizes
from bnlab.runtime.em import precision
from bnlab.runtime.emitted import emitted
from bnlab.runtime.evidence import Final, last_steps, tabled, usable
from bnlab.runtime.load import load_source
from bnlab.runtime.records import Partial

Arrays = Mapping[str, NDArray[Any]]


def ancestors(graph: Graph, evidence: Mapping[str, Any]) -> tuple[str, ...]:
    """The variables that evidence bears on: those it is about, and all random ones they descend from."""
    found: set[str] = set()
    new = set(evidence)
    while new:
        found |= new
        new = {p for name in new for p in parents(graph, name) if graph.variable(p).role != "given"} - found
    return tuple(variable.name for variable in graph.variables if variable.name in found)


def tables(graph: Graph, layout: Layout, evidence: Mapping[str, Any]) -> dict[str, NDArray[np.bool_]]:
    """The states that evidence allows each variable that it bears on, in canonical rows. Raises DataError with all faults."""
    asked, faults = usable(graph, evidence)
    faults += [
        Fault(f"{name} is continuous: draws given some of its numbers are not derived.", "Leave it out.")
        for name in asked
        if not graph.variable(name).discrete
    ]
    if faults:
        raise DataError(*faults)
    values = {name: value for name, value in asked.items() if not isinstance(value, Final)}
    about = [replace(tabled(graph.variable(name), value), role="observed") for name, value in values.items()]
    bound = bind(replace(graph, parameters=(), variables=tuple(about)), values) if about else None
    for plate, members in bound.layout.parents.items() if bound else ():
        if not np.array_equal(members, layout.parents[plate]):
            reason = (
                f"The evidence has {len(members)} members of {plate}, laid out otherwise than sizes says."
            )
            raise DataError(Fault(reason, f"sizes makes {layout.count(plate)} of them."))
    found = {name: _free(graph, layout, graph.variable(name)) for name in ancestors(graph, asked)}
    for name, value in asked.items():
        if isinstance(value, Final):
            found[name] = last_steps(graph, graph.variable(name), value, layout)
        elif bound is not None:
            found[name] = _table(graph.variable(name), bound.canonical[name])
    return found


def _free(graph: Graph, layout: Layout, variable: Variable) -> NDArray[np.bool_]:
    """The table of a variable of which nothing is known."""
    path = sizeless(graph, variable.plates)
    rows = (layout.count(path[-1]),) if path else ()
    return np.ones((*rows, *sizes(graph, variable.plates), _states(variable)), dtype=bool)


def _table(variable: Variable, array: NDArray[Any]) -> NDArray[np.bool_]:
    """Values, -1 for unknown, as a table; tables as they are."""
    states = np.arange(_states(variable))
    return array if array.dtype == bool else (array[..., None] == states) | (array[..., None] < 0)


def _states(variable: Variable) -> int:
    assert isinstance(variable.domain, Integer), "continuous variables have no discrete descendants"
    return variable.domain.size


def drawn_given(
    graph: Graph,
    layout: Layout,
    theta: Arrays,
    given: Arrays,
    known: dict[str, NDArray[np.bool_]],
    groups: list[tuple[Variable, ...]],
    generator: np.random.Generator,
) -> dict[str, NDArray[np.int64]]:
    """The canonical rows of the variables in `known`, drawn given what is allowed there. A chain takes a posterior for each of
    its steps. Raises DataError where the evidence is impossible."""
    kept = tuple(
        replace(one, role="latent") if one.name in known else one
        for one in graph.variables
        if one.name in known or one.role == "given"
    )
    part = replace(graph, variables=kept)
    text = emitted(part, "posterior", partial=Partial((), tuple(known)))
    fixed = {**given, **canonical_ids(layout.paths, layout)}
    with precision("float64"):
        module = load_source(text, f"{graph.name}_given")
        parameters = module.Parameters(**theta)

        def data() -> Any:
            return module.prepare({**fixed, **known}, np.dtype("float64"))

        if not np.isfinite(module.score(parameters, data())).all():
            raise DataError(Fault("The evidence is impossible at these parameters: no draw agrees with it."))
        for group in groups:
            for variable, rows in _turns(graph, layout, [one for one in group if one.name in known]):
                chances = np.asarray(jax.device_get(module.posterior(parameters, data()))[variable.name])
                states = _drawn(chances[rows], generator)
                known[variable.name][rows] = states[..., None] == np.arange(chances.shape[-1])
    return {name: table.argmax(-1) for name, table in known.items()}


def _turns(graph: Graph, layout: Layout, group: list[Variable]) -> list[tuple[Variable, Any]]:
    """Each variable with the rows that are drawn at once: all of them, or those of one step of their chain."""
    chain = chain_of(graph, group[0]) if group else None
    if chain is None:
        return [(one, ...) for one in group]
    steps = layout.positions(chain.name)
    return [
        (one, np.flatnonzero(steps[layout.members(sizeless(graph, one.plates)[-1], chain.name)] == step))
        for step in range(int(steps.max()) + 1)
        for one in group
    ]


def _drawn(chances: NDArray[Any], generator: np.random.Generator) -> NDArray[np.int64]:
    """A state for each row of probabilities, by inversion; a state of probability 0 is never drawn."""
    ends = np.cumsum(chances, axis=-1)
    return (generator.random((*chances.shape[:-1], 1)) * ends[..., -1:] >= ends).sum(-1)
