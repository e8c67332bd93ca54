"""`bn.sample`: data and latents drawn from a network, each variable after those it reads (ancestral sampling)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.errors import DataError, Fault, FitError
from bnlab.families.base import registry
from bnlab.naming import did_you_mean
from bnlab.network.declare import Network
from bnlab.network.graph import chain_of, topological_order
from bnlab.network.ir import Graph, Variable
from bnlab.runtime import data_layout
from bnlab.runtime.data import bind
from bnlab.runtime.data_layout import Form, Layout, mirror, nesting, sizeless
from bnlab.runtime.data_titles import renamed
from bnlab.runtime.parameters import checked
from bnlab.runtime.sampling_draws import Cells, draw
from bnlab.runtime.sampling_known import drawn_given, tables


def sample(
    net: Network,
    parameters: Mapping[str, ArrayLike],
    sizes: Mapping[str, Any],
    seed: int = 0,
    *,
    given: Mapping[str, Any] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Every variable of the network, drawn at `parameters`, in the layout of data (docs/language.md, Data).

    `sizes` has for each plate without a size the number of its members: a number, or inside another plate a list with one
    entry for each member of that (nested lists for deeper ones). Equal lengths make arrays, a list of lengths makes lists
    of arrays. `given` has the values of given variables, in the same layout. Discrete values are integers from 0.

    `evidence` pins or restricts discrete latents, as in `bn.fit`; what is drawn is then given that, exactly. What the evidence
    bears on takes an E-step for each variable, and in a chain for each of its steps.

    Raises FitError for parameters that do not fit the network, DataError for sizes, given values or evidence that do not,
    or for evidence that is impossible.
    """
    graph = net.graph
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise FitError(Fault(f"seed is {seed!r}; it is a whole number of at least 0."))
    _check_drawn(graph)
    theta = checked(graph, parameters, complete=True, edge=True)
    layout = plan_layout(graph, sizes)
    generator = np.random.default_rng(seed)
    values = _given(graph, layout, given or {})
    if evidence:
        known = tables(graph, layout, renamed(net, evidence))
        values |= drawn_given(graph, layout, theta, values, known, _groups(graph), generator)
    values = drawn(graph, layout, theta, values, generator)
    return {
        variable.name: mirror(layout, graph, variable, values[variable.name]) for variable in graph.variables
    }


def drawn(
    graph: Graph,
    layout: Layout,
    theta: Mapping[str, NDArray[Any]],
    given: Mapping[str, NDArray[Any]],
    generator: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """The canonical rows of every variable, drawn in this layout; those in `given` are there already."""
    values = dict(given)
    cells = Cells(graph, layout, dict(theta), values)
    for group in _groups(graph):
        if rest := tuple(variable for variable in group if variable.name not in given):
            _draw_group(cells, rest, generator)
    return values


def _check_drawn(graph: Graph) -> None:
    """Raises DataError with every variable whose distribution is that of counts given their sum."""
    faults = [
        Fault(
            f"{variable.name} is {cpd.family}, the counts of a row given their sum, and here is no row to take the sum of.",
            "Sample a network without it, or with a Categorical for each thing that is counted.",
            variable.location,
        )
        for variable in graph.in_role("observed", "latent")
        if (cpd := variable.cpd) is not None and registry()[cpd.family].given_total
    ]
    if faults:
        raise DataError(*faults)


def plan_layout(graph: Graph, sizes: Mapping[str, Any]) -> Layout:
    """The members of each sizeless plate, from the sizes asked for. Raises DataError with all that is wrong."""
    paths = nesting(graph)
    faults = [
        Fault(
            f'sizes names "{name}", which is no plate that takes its size from the data.',
            did_you_mean(name, paths).strip(),
        )
        for name in sizes
        if name not in paths
    ]
    faults += [
        Fault(f"sizes has no entry for {plate}.", f'Write sizes={{"{plate}": 10}}.')
        for plate in paths
        if plate not in sizes
    ]
    if faults:
        raise DataError(*faults)
    lengths: dict[str, NDArray[np.int64]] = {}
    for plate in sorted(paths, key=lambda name: len(paths[name])):
        outer = [lengths[other] for other in paths[plate][:-1]]
        lengths[plate] = _lengths(plate, sizes[plate], outer)
    ragged = any(not isinstance(size, int | np.integer) for size in sizes.values())
    form: Form = "ragged" if ragged else "dense"
    parents = {plate: np.repeat(np.arange(len(length)), length) for plate, length in lengths.items()}
    return Layout(form, paths, parents, {})


def _lengths(plate: str, size: Any, outer: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """How many members `plate` has in each member of the plate around it; `outer` are the lengths of those, outermost first."""
    many = int(outer[-1].sum()) if outer else 1
    flat = [size] if not outer else size
    if isinstance(size, int | np.integer):
        found = np.full(many, size)
    else:
        for lengths in outer[1:]:
            if [len(part) for part in flat] != lengths.tolist():
                raise DataError(Fault(f"sizes of {plate} are nested otherwise than the plates around it."))
            flat = [entry for part in flat for entry in part]
        found = np.asarray(flat)
        if found.shape != (many,) or found.dtype.kind not in "iu":
            raise DataError(
                Fault(
                    f"sizes of {plate}: there are {many} whole numbers to give, one for each member around it."
                )
            )
    if (found < 1).any():
        raise DataError(Fault(f"sizes of {plate} must be at least 1."))
    return found


def _given(graph: Graph, layout: Layout, given: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The canonical rows of the given variables. Raises DataError where they are not there or differ from the sizes."""
    if not given and not graph.in_role("given"):
        return {}
    only = Graph(graph.name, graph.plates, (), graph.in_role("given"))
    bound = bind(only, given)
    for plate, parents in bound.layout.parents.items():
        if not np.array_equal(parents, layout.parents[plate]):
            raise DataError(
                Fault(
                    f"The given values have {len(parents)} members of {plate}; sizes says {layout.count(plate)}."
                )
            )
    return {variable.name: bound.canonical[variable.name] for variable in only.variables}


def _groups(graph: Graph) -> list[tuple[Variable, ...]]:
    """Variables in an order in which they can be drawn; those of one chain together, since they take turns step by step."""
    order = [
        variable for name in topological_order(graph) if (variable := graph.variable(name)).role != "given"
    ]
    groups: dict[str, list[Variable]] = {}
    for variable in order:
        chain = chain_of(graph, variable)
        groups.setdefault(f"chain {chain.name}" if chain else f"variable {variable.name}", []).append(
            variable
        )
    alone = [tuple(group) for key, group in groups.items() if key.startswith("variable")]
    return alone + [tuple(group) for key, group in groups.items() if key.startswith("chain")]


def _draw_group(cells: Cells, group: tuple[Variable, ...], generator: np.random.Generator) -> None:
    graph, layout = cells.graph, cells.layout
    for variable in group:
        path = sizeless(graph, variable.plates)
        length = (layout.count(path[-1]),) if path else ()
        shape = length + data_layout.sizes(graph, variable.plates) + variable.domain.event_shape
        cells.values[variable.name] = np.zeros(shape, dtype=np.int64 if variable.discrete else np.float64)
    chain = chain_of(graph, group[0])
    if chain is None:
        variable = group[0]
        assert variable.cpd is not None, "only given variables have no distribution"
        draw(cells, variable, variable.cpd, cells.rows(variable), generator)
        return
    steps = layout.positions(chain.name)
    for step in range(int(steps.max()) + 1):
        for variable in group:
            cpd = variable.first[step] if step < len(variable.first) else variable.cpd
            assert cpd is not None, "only given variables have no distribution"
            inner = sizeless(graph, variable.plates)[-1]
            rows = np.flatnonzero(steps[layout.members(inner, chain.name)] == step)
            draw(cells, variable, cpd, rows, generator)
