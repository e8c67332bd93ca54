"""`bn.likelihood_ratio`: do two sets of observations come from one member of a plate, or from two?

ln p(a, b | one member) - ln p(a) - ln p(b). The emitted posterior module scores all three: the rows of both sides laid under
one member are the data of one member, so nothing is derived anew, and what the plate holds may be of any kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.errors import DataError, Fault
from bnlab.naming import did_you_mean
from bnlab.network.declare import Network
from bnlab.network.ir import Graph
from bnlab.runtime.data import bind
from bnlab.runtime.data_frames import Columns
from bnlab.runtime.data_layout import nesting, sizeless
from bnlab.runtime.data_titles import by_names
from bnlab.runtime.merging import merged, row_counts, shapes, together
from bnlab.runtime.parameters import checked
from bnlab.runtime.queries import score
from bnlab.runtime.records import Bound, Partial

ROWS = 2**16
"""Rows scored at a time: enough to make each call worth it, few enough to need little memory."""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def likelihood_ratio(
    net: Network,
    parameters: Mapping[str, ArrayLike],
    enrol: Any,
    test: Any,
    plate: str,
    *,
    columns: Columns | None = None,
) -> NDArray[np.float64]:
    """Log likelihood ratios (members of `enrol`, members of `test`), natural: that both are one member of `plate`, against two.

    `enrol` and `test` are data in any form that `bn.fit` takes; members have any number of rows, and are in the order of the
    data (that of first appearance, where they have ids). `plate` is the outermost plate, and shares a latent among its
    rows. Raises DataError or FitError with everything that is wrong.
    """
    graph = net.graph
    if faults := _faults(graph, plate):
        raise DataError(*faults)
    theta = checked(graph, parameters, complete=True, edge=True)
    sides = [_bound(net, data, columns, name) for data, name in ((enrol, "enrol"), (test, "test"))]
    partial = Partial(tuple(dict.fromkeys(name for side in sides for name in side.partial.missing)))
    first, second = (replace(side, partial=partial) for side in sides)
    alone = [_alone(net, theta, side, name) for side, name in ((first, "enrol"), (second, "test"))]
    ratios = np.empty((len(alone[0]), len(alone[1])))
    pool = together(graph, first, second)
    for left, right in _batches(first, second, plate):
        pairs = np.stack([left, right + len(ratios)], axis=1)
        ratios[left, right] = score(net, theta, merged(graph, pool, plate, pairs), "float64")
    ratios -= alone[0][:, None]
    ratios -= alone[1]
    return ratios


def _bound(net: Network, data: Any, columns: Columns | None, name: str) -> Bound:
    """One side as canonical rows; what is wrong with it is told as its own."""
    try:
        named, read = by_names(net, data, columns)
        return bind(net.graph, named, columns=read)
    except DataError as error:
        faults = (Fault(f"{name}: {fault.reason}", fault.remedy, fault.location) for fault in error.faults)
        raise DataError(*faults) from error


def _alone(net: Network, theta: Mapping[str, NDArray[Any]], side: Bound, name: str) -> NDArray[np.float64]:
    found = np.asarray(score(net, theta, side, "float64"), dtype=np.float64)
    if wrong := np.flatnonzero(~np.isfinite(found)).tolist():
        reason = f"ln p of member {wrong[0]} of {name} is {found[wrong[0]]} at these parameters"
        others = f", as of {len(wrong) - 1} others" if len(wrong) > 1 else ""
        raise DataError(Fault(f"{reason}{others}.", "What is impossible alone has no ratio: leave it out."))
    return found


def _batches(first: Bound, second: Bound, plate: str) -> Iterator[Pairs]:
    """All pairs, in batches of about ROWS rows. JAX compiles once for each shape: pairs of the same shape go together, in
    equal batches, unless so many shapes differ that mixed batches are fewer."""
    rows = np.add.outer(row_counts(first.layout, plate), row_counts(second.layout, plate))
    kinds = shapes(first.layout, second.layout, plate)
    if kinds.max() + 1 > np.ceil(rows.sum() / ROWS):
        yield from _mixed(rows)
        return
    for kind in range(kinds.max() + 1):
        left, right = np.nonzero(kinds == kind)
        batches = int(np.ceil(len(left) * rows[left[0], right[0]] / ROWS))
        size = -(-len(left) // batches)
        for start in range(0, len(left), size):
            index = np.arange(start, start + size) % len(
                left
            )  # the last is filled up with pairs of the first
            yield left[index], right[index]


def _mixed(rows: NDArray[np.int64]) -> Iterator[Pairs]:
    """Pairs of any shape in batches of about ROWS rows, those of similar size together."""
    order = np.argsort(rows, axis=None, kind="stable")
    batch = np.cumsum(rows.ravel()[order]) // ROWS
    for pairs in np.split(order, np.flatnonzero(np.diff(batch)) + 1):
        left, right = np.unravel_index(pairs, rows.shape)
        yield left, right


def _faults(graph: Graph, plate: str) -> list[Fault]:
    """Why members of `plate` cannot be merged."""
    known = [one.name for one in graph.plates]
    if plate not in known:
        return [
            Fault(f'The network {graph.name} has no plate "{plate}".', did_you_mean(plate, known).strip())
        ]
    paths = nesting(graph)
    if plate not in paths or len(paths[plate]) > 1 or any(path[0] != plate for path in paths.values()):
        outer = " or ".join(dict.fromkeys(path[0] for path in paths.values())) or "none here"
        return [
            Fault(
                f"{plate} is not the outermost of the plates that take their size from the data.",
                f"Only members of such a plate are independent of one another ({outer}).",
            )
        ]
    if graph.plate(plate).chain:
        return [Fault(f"{plate} is a chain: its steps are not independent of one another.")]
    inner = [path[-1] for path in paths.values() if len(path) == 2]
    faults = [
        Fault(
            f"{chain} is a chain of {plate} itself: two sets of steps would become one sequence.",
            f"Put {chain} into a plate of sequences within {plate}.",
        )
        for chain in inner
        if graph.plate(chain).chain
    ]
    for variable in graph.variables:
        path = sizeless(graph, variable.plates)
        if variable.role == "latent" and not path:
            faults.append(
                Fault(f"{variable.name} is shared by all members of {plate}: they are not independent.")
            )
        elif variable.role != "latent" and len(path) < 2:
            faults.append(
                Fault(
                    f"{variable.name} has one value for each member of {plate}; two sets would bring two.",
                    f"What is compared lies in a plate within {plate}.",
                )
            )
    if not any(v.role == "latent" and sizeless(graph, v.plates) == (plate,) for v in graph.variables):
        faults.append(
            Fault(f"{plate} has no latent of its own: that rows are of one member says nothing of them.")
        )
    return faults
