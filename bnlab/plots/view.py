"""What of a network can be shown on two axes: one observed variable, its rows, and the states that colour them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import Fault, FitError
from bnlab.families.base import registry
from bnlab.naming import did_you_mean
from bnlab.network.graph import cpds, parents, selectors
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_layout import sizeless, sizes
from bnlab.runtime.records import Bound
from bnlab.runtime.replay import bound_of, posterior_rows
from bnlab.runtime.result import Fit

Labels = Mapping[str, Sequence[str]]
Kind = Literal["line", "plane", "bars"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One observed variable: `values` has a row for each of its canonical rows and a column for each number in it.

    `kind` says how it is drawn: on a "line", in a "plane" (projected, if there are more than two columns), or as "bars" of
    categories and counts. `names` are those of the columns. `axes` (columns, 2) projects onto the plane about `centre`,
    and `shares` are the parts of the variance that its two directions hold. `state` is the discrete latent that selects
    the variable's parameters, if there is one, and `states` how many states that has.
    """

    variable: Variable
    kind: Kind
    values: NDArray[np.float64]
    names: tuple[str, ...]
    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    shares: tuple[float, ...]
    state: str | None
    states: int

    @property
    def points(self) -> NDArray[np.float64]:
        """The rows in the plane, (rows, 2)."""
        return self.projected(self.values)

    def projected(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return (rows - self.centre) @ self.axes

    @property
    def plane_names(self) -> tuple[str, str]:
        """What stands at the two axes of the plane."""
        if len(self.names) == 2:
            return self.names[0], self.names[1]
        first, second = (
            f"principal component {i + 1} of {self.variable.name} ({share:.0%} of the variance)"
            for i, share in enumerate(self.shares)
        )
        return first, second


def view(fit: Fit, variable: str | None = None, labels: Labels | None = None) -> View:
    """The observed variable called `variable`; without a name, of those that read a latent, if any do, the first that is
    continuous, else the first.

    `labels` names the columns of variables: {"x": ["duration (min)", "wait (min)"]}. Raises FitError for a name that no
    observed variable has, and for missing values, which have no place in a picture.
    """
    graph, bound = fit.network.graph, bound_of(fit)
    chosen = _chosen(graph, variable)
    if chosen.cpd is not None and registry()[chosen.cpd.family].given_total:
        raise FitError(
            Fault(f"{chosen.name} counts many things given their sum, which two axes cannot show.")
        )
    rows = np.asarray(bound.canonical[chosen.name], float)
    cells = int(np.prod(sizes(graph, chosen.plates) + chosen.domain.event_shape))
    values = rows.reshape(-1, cells)
    values = values[_known(chosen, values)]
    names = _names(chosen, cells, labels or {})
    kind: Kind = "bars" if chosen.discrete else "line" if cells == 1 else "plane"
    centre, axes, shares = _plane(values) if kind == "plane" else (np.zeros(cells), np.eye(cells), ())
    state = selecting(graph, chosen)
    count = 1 if state is None else graph.variable(state).domain.size  # type: ignore[attr-defined]
    return View(chosen, kind, values, names, centre, axes, shares, state, count)


def selecting(graph: Graph, variable: Variable) -> str | None:
    """The first discrete latent that stands in a subscript of the variable's distribution."""
    found = (ref.name for cpd in cpds(variable) for ref in selectors(cpd))
    return next((name for name in found if graph.variable(name).role == "latent"), None)


def responsibilities(fit: Fit, one: View, theta: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """P(state | data) for each row of the view, (rows, states); ones where no discrete latent selects anything."""
    if one.state is None:
        return np.ones((len(one.values), 1))
    graph, bound = fit.network.graph, bound_of(fit)
    table = np.asarray(posterior_rows(fit, theta)[one.state], float)
    table = (
        table.reshape(-1, *table.shape[-1:])
        if table.ndim <= 2
        else table.mean(tuple(range(1, table.ndim - 1)))
    )
    return table[_rows_of_state(graph, bound, one.variable, graph.variable(one.state))]


def _rows_of_state(graph: Graph, bound: Bound, variable: Variable, state: Variable) -> NDArray[np.int64]:
    """For each row of the variable that is drawn, the row of the latent that it reads."""
    inner, outer = (sizeless(graph, each.plates) for each in (variable, state))
    count = len(np.asarray(bound.canonical[variable.name])) if inner else 1
    index = bound.layout.members(inner[-1], outer[-1]) if outer else np.zeros(count, int)
    rows = np.asarray(bound.canonical[variable.name], float).reshape(count, -1)
    return index[_known(variable, rows)]


def _known(variable: Variable, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The rows without missing values: NaN, or a category below 0."""
    return (np.isfinite(rows) & (rows >= 0 if variable.discrete else True)).all(1)


def _chosen(graph: Graph, name: str | None) -> Variable:
    observed = graph.in_role("observed")
    if name is None:
        latent = {one.name for one in graph.in_role("latent")}
        telling = [one for one in observed if parents(graph, one.name) & latent] or observed
        return next((one for one in telling if not one.discrete), telling[0])
    names = [one.name for one in observed]
    if name not in names:
        text = f'"{name}" is no observed variable of {graph.name}; those are {", ".join(names)}.'
        raise FitError(Fault(text, did_you_mean(name, names).strip()))
    return graph.variable(name)


def _names(variable: Variable, count: int, labels: Labels) -> tuple[str, ...]:
    given = tuple(labels.get(variable.name, ()))
    if len(given) == count:
        return given
    return (variable.name,) if count == 1 else tuple(f"{variable.name}[{i}]" for i in range(count))


def _plane(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, ...]]:
    """The two columns themselves, or the two directions in which more columns vary most."""
    columns = values.shape[1]
    if columns == 2:
        return np.zeros(2), np.eye(2), ()
    centre = values.mean(0)
    _, spread, directions = np.linalg.svd(values - centre, full_matrices=False)
    axes = directions[:2].T
    axes = axes * np.where(
        axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1, 1
    )  # a sign that rounding cannot turn
    variances = spread**2 / max((spread**2).sum(), np.finfo(float).tiny)
    return centre, axes, (float(variances[0]), float(variances[1]))
