"""The members of plates that take their size from the data, and the form in which a user gave the data.

In canonical data the members of a plate lie together: all rows of member 0 of the enclosing plate, then those of member 1,
and so on. A `Layout` keeps who is inside whom, and turns arrays over canonical rows back into the user's form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import DataError, Fault
from bnlab.network.ir import Graph, Variable

Form = Literal["dense", "ragged", "tidy"]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """`parents[p][i]` is the member of the sizeless plate around p that member i of p lies in (0 if there is none).

    `paths[p]` are the sizeless plates around p, outermost first, and p. `order[p]`, if there, is the user's row of each
    canonical row of p: rows of the tidy form may come in any order.
    """

    form: Form
    paths: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, NDArray[np.int64]]
    order: Mapping[str, NDArray[np.int64]]

    def count(self, plate: str) -> int:
        """How many members `plate` has in all."""
        return len(self.parents[plate])

    def members(self, plate: str, outer: str) -> NDArray[np.int64]:
        """For each member of `plate`, the member of `outer` (the plate itself, or one around it) that it lies in."""
        path = self.paths[plate]
        index = np.arange(self.count(plate))
        for inner in reversed(path[path.index(outer) + 1 :]):
            index = self.parents[inner][index]
        return index

    def positions(self, plate: str) -> NDArray[np.int64]:
        """For each member of `plate`, its place among the members that lie in the same enclosing member."""
        parents = self.parents[plate]
        return np.arange(len(parents)) - np.searchsorted(parents, parents)


def sizeless(graph: Graph, plates: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `plates` that take their size from the data."""
    return tuple(name for name in plates if graph.plate(name).size is None)


def sizes(graph: Graph, plates: tuple[str, ...]) -> tuple[int, ...]:
    """The sizes of those of `plates` that have one."""
    return tuple(size for name in plates if (size := graph.plate(name).size) is not None)


def nesting(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The sizeless plates around each sizeless plate, outermost first, ending in itself.

    Raises DataError for crossed plates, which have no order.
    """
    paths: dict[str, tuple[str, ...]] = {}
    for variable in graph.variables:
        path = sizeless(graph, variable.plates)
        for depth, plate in enumerate(path):
            if paths.setdefault(plate, path[: depth + 1]) != path[: depth + 1]:
                raise DataError(
                    Fault(
                        f"The plate {plate} is crossed with another: data for it cannot be laid out yet.",
                        'Run the model that bn.emit(net, "numpyro") writes on your own arrays.',
                    )
                )
    return paths


def mirror(layout: Layout, graph: Graph, variable: Variable, rows: NDArray[Any]) -> Any:
    """An array over the canonical rows of `variable` (rows, sized plates, anything) in the form of the user's data."""
    path = sizeless(graph, variable.plates)
    if not path:
        return rows
    if layout.form == "tidy":
        if path[-1] not in layout.order:
            return rows
        given = np.empty_like(rows)
        given[layout.order[path[-1]]] = rows
        return given
    if len(path) > 1 and layout.form == "ragged":
        return _nested(layout, graph, path[-1], variable.plates, np.arange(len(rows)), rows)
    return _axes(graph, variable.plates, rows.reshape(_dense_shape(layout, path) + rows.shape[1:]))


def _dense_shape(layout: Layout, path: tuple[str, ...]) -> tuple[int, ...]:
    """The sizes of the plates of `path`, in which every member has equally many members."""
    counts = [1] + [layout.count(plate) for plate in path]
    return tuple(inner // outer for outer, inner in zip(counts, counts[1:], strict=False))


def _axes(graph: Graph, plates: tuple[str, ...], array: NDArray[Any]) -> NDArray[Any]:
    """Axes (sizeless plates, sized plates, ...) put into the order of `plates`."""
    path = sizeless(graph, plates)
    canonical = path + tuple(name for name in plates if name not in path)
    return np.moveaxis(array, [canonical.index(name) for name in plates], range(len(plates)))


def _nested(
    layout: Layout,
    graph: Graph,
    inner: str,
    plates: tuple[str, ...],
    index: NDArray[np.int64],
    rows: NDArray[Any],
) -> Any:
    """Lists over the members of the outer plates, arrays over those of the innermost sizeless one (`index` are its rows)."""
    head, rest = plates[0], plates[1:]
    if len(sizeless(graph, plates)) <= 1:
        return _axes(graph, plates, rows)
    if (size := graph.plate(head).size) is not None:
        return [_nested(layout, graph, inner, rest, index, rows[:, i]) for i in range(size)]
    member = layout.members(inner, head)[index]
    starts = np.flatnonzero(np.diff(member, prepend=-1))
    parts = zip(np.split(index, starts[1:]), np.split(rows, starts[1:]), strict=True)
    return [_nested(layout, graph, inner, rest, i, r) for i, r in parts]
