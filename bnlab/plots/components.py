"""What a network says of one observed variable at given parameters: a density for each state that selects it.

Where the variable reads nothing but discrete variables, its distribution is evaluated by its definition. Otherwise the
network is sampled, and the picture says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.network.graph import reads, selectors
from bnlab.network.ir import Graph, VarRef
from bnlab.plots.view import View
from bnlab.runtime import sampling
from bnlab.runtime.data_layout import sizes
from bnlab.runtime.proof.densities import Reader, log_density
from bnlab.runtime.proof.grounding import Batch
from bnlab.runtime.replay import bound_of
from bnlab.runtime.result import Fit

Theta = Mapping[str, NDArray[Any]]
DRAWS = 4000
"""About so many rows are drawn where a distribution cannot be read off: enough for moments to two digits."""


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One state's part: `state` is its number among the view's states, `mean` and `cov` its first two moments."""

    state: int
    mean: NDArray[np.float64]
    cov: NDArray[np.float64]


def readable(graph: Graph, one: View) -> bool:
    """Whether the variable's distribution depends on discrete variables of the same row alone."""
    cpd = one.variable.cpd
    assert cpd is not None, "observed variables have distributions"
    names = {ref.name for ref in selectors(cpd)}
    return all(
        ref.name in names and ref.lag == 0 and graph.variable(ref.name).role == "latent" for ref in reads(cpd)
    )


def gaussian(graph: Graph, one: View) -> bool:
    """Whether each component is a normal distribution that can be read off."""
    assert one.variable.cpd is not None
    return one.variable.cpd.family == "Normal" and readable(graph, one)


def components(fit: Fit, one: View, theta: Theta) -> list[Component]:
    """First two moments of each component, read off or from draws."""
    graph = fit.network.graph
    if gaussian(graph, one):
        return _read(graph, one, theta)
    rows, states = drawn(fit, one, theta)
    parts = ((state, rows[states == state]) for state in range(one.states))
    return [Component(k, part.mean(0), _covariance(part)) for k, part in parts if len(part) > 1]


def densities(
    graph: Graph, one: View, theta: Theta, grid: NDArray[np.float64]
) -> list[tuple[int, NDArray[Any]]]:
    """p(value | states) at the values of `grid` for each setting of the discrete variables read; only if `readable`.

    A variable in plates of a size has a density for each of its cells: (grid, cells).
    """
    found = []
    for settings, batch in _batches(graph, one, np.repeat(grid, _cells(graph, one))):
        with np.errstate(all="ignore"):
            values = np.exp(log_density(np, graph, theta, batch))
        found.append((settings, values.reshape(len(grid), -1)))
    return found


def drawn(fit: Fit, one: View, theta: Theta) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draws of the variable in the layout of the data, (rows, columns), and the state that each row had."""
    graph, bound = fit.network.graph, bound_of(fit)
    given = {each.name: np.asarray(bound.canonical[each.name]) for each in graph.in_role("given")}
    rows, states = [], []
    for number in range(max(1, DRAWS // len(one.values))):
        values = sampling.drawn(graph, bound.layout, theta, given, np.random.default_rng(number))
        rows.append(np.asarray(values[one.variable.name], float).reshape(-1, one.values.shape[1]))
        states.append(_states(fit, one, values, len(rows[-1])))
    return np.concatenate(rows), np.concatenate(states)


def _states(fit: Fit, one: View, values: Mapping[str, NDArray[Any]], count: int) -> NDArray[np.int64]:
    if one.state is None:
        return np.zeros(count, int)
    graph, layout = fit.network.graph, bound_of(fit).layout
    state = graph.variable(one.state)
    inner = [plate for plate in one.variable.plates if graph.plate(plate).size is None]
    outer = [plate for plate in state.plates if graph.plate(plate).size is None]
    index = layout.members(inner[-1], outer[-1]) if outer else np.zeros(count, int)
    table = np.asarray(values[state.name])
    return table.reshape(len(table), -1)[:, 0][index] if outer else np.full(count, int(table.flat[0]))


def _covariance(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.atleast_2d(np.cov(rows, rowvar=False, bias=True))


def _read(graph: Graph, one: View, theta: Theta) -> list[Component]:
    """Means and covariances as the distribution's arguments give them."""
    width = one.values.shape[1]
    found = []
    for state, batch in _batches(graph, one, np.zeros(_cells(graph, one))):
        reader = Reader(np, graph, theta, batch)
        mean = np.broadcast_to(reader.argument("mean"), (batch.rows, *one.variable.domain.event_shape))
        cov, var, std = (reader.argument(name) for name in ("cov", "var", "std"))
        if cov is not None and np.ndim(cov) == 3:
            found.append(Component(state, mean.reshape(-1), cov[0]))
            continue
        spread = var if var is not None else std**2 if std is not None else cov
        spread = np.asarray(spread)
        wide = spread[(..., *[None] * (mean.ndim - spread.ndim))] if spread.ndim < mean.ndim else spread
        found.append(
            Component(state, mean.reshape(-1), np.diag(np.broadcast_to(wide, mean.shape).reshape(width)))
        )
    return found


def _cells(graph: Graph, one: View) -> int:
    """How many variables a row holds: the members of its plates of a size."""
    return int(np.prod(sizes(graph, one.variable.plates)))


def _batches(graph: Graph, one: View, flat: NDArray[np.float64]) -> list[tuple[int, Batch]]:
    """For each setting of the discrete variables read: rows for the values of `flat` over all cells, cells fastest.

    The number beside it is that of the view's state in this setting.
    """
    variable = one.variable
    assert variable.cpd is not None
    plates = [plate for plate in variable.plates if graph.plate(plate).size is not None]
    cells = list(itertools.product(*(range(graph.plate(plate).size or 0) for plate in plates)))
    times = len(flat) // len(cells)
    names = [ref.name for ref in selectors(variable.cpd)]
    sizes_ = [range(graph.variable(name).domain.size) for name in names]  # type: ignore[attr-defined]
    values = flat.reshape(-1, *[1] * len(variable.domain.event_shape))
    own = np.broadcast_to(values, (len(flat), *variable.domain.event_shape))
    own = own.astype(int) if variable.discrete else own
    found = []
    for setting in itertools.product(*sizes_):
        read = {VarRef(name): np.full(len(flat), k) for name, k in zip(names, setting, strict=True)}
        columns = {
            plate: np.tile([cell[i] for cell in cells], times).astype(int) for i, plate in enumerate(plates)
        }
        state = setting[names.index(one.state)] if one.state is not None else 0
        found.append(
            (state, Batch(variable, variable.cpd, (), {VarRef(variable.name): own, **read}, columns))
        )
    return found
