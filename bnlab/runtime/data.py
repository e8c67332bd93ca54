"""Binding: what the user gives as data -> canonical data (docs/architecture.md) and the layout to mirror results back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.errors import DataError, Fault
from bnlab.naming import did_you_mean
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_frames import Columns, from_frame, is_frame
from bnlab.runtime.data_ids import codes, untimely
from bnlab.runtime.data_layout import Form, Layout, nesting, sizeless
from bnlab.runtime.data_rows import Rows, tidy, untidy
from bnlab.runtime.data_values import Place, convert
from bnlab.runtime.evidence import Final, last_steps, nothing_allowed, tabled, usable
from bnlab.runtime.records import Bound, FitWarning, Partial


def bind(
    graph: Graph,
    data: Any,
    *,
    columns: Columns | None = None,
    weights: ArrayLike | None = None,
    dtype: str = "float64",
    roles: tuple[str, ...] = ("observed", "given"),
    evidence: Mapping[str, Any] | None = None,
    ids: Mapping[str, Any] | None = None,
) -> Bound:
    """Data for the variables of `graph` in `roles`, checked.

    `data` is a mapping from variable names to arrays, lists or the tidy form with ids, or a data frame
    (docs/language.md, Data). Values of latents are left aside, with a warning; what is known of them is `evidence`, in the
    same form. Missing categories are -1 in the canonical data, missing numbers NaN. `ids`, by plate and variable, may as
    well stand in `data["ids"]`. Raises DataError with everything that is wrong.
    """
    if is_frame(data) or columns is not None:
        data = from_frame(graph, data, columns)
    if not isinstance(data, Mapping):
        reason = (
            f"Data are a mapping from variable names to arrays, or a data frame, not a {type(data).__name__}."
        )
        raise DataError(Fault(reason, _example(graph)))
    data = data if ids is None else {**data, "ids": ids}
    asked, faults = usable(graph, evidence or {})
    variables = [variable for variable in graph.variables if variable.role in roles]
    paths = nesting(graph)
    faults += _names(graph, data, variables, paths)
    aside = _aside(graph, data)
    data = {name: value for name, value in data.items() if name not in {one.concerns for one in aside}}
    data |= {name: value for name, value in asked.items() if not isinstance(value, Final)}
    variables += [tabled(graph.variable(name), data[name]) for name in asked if name in data]
    numbered, id_faults = codes(graph, data)
    id_faults += untimely(graph, data, numbered)
    if id_faults:  # the shape of what has ids cannot be judged without them
        raise DataError(*id_faults, *faults)
    rows: dict[str, Rows] = {}
    for variable in variables:
        if variable.name not in data:
            continue
        try:
            rows[variable.name] = _rows(graph, variable, data, numbered, dtype)
        except DataError as error:
            faults.extend(error.faults)
    layout, layout_faults = _layout(graph, paths, {graph.variable(name): one for name, one in rows.items()})
    faults += layout_faults + [
        fault for name in asked if name in rows for fault in nothing_allowed(name, rows[name].array)
    ]
    if not faults:
        unknown = (plate for plate in paths if plate not in layout.parents)
        faults = [Fault(f"Nothing in the data tells how many members {plate} has.") for plate in unknown]
    if faults:
        raise DataError(*faults)
    canonical = {name: one.array for name, one in rows.items()} | canonical_ids(paths, layout)
    for name, value in asked.items():
        if isinstance(value, Final):
            canonical[name] = last_steps(graph, graph.variable(name), value, layout)
    if weights is not None:
        canonical["weights"] = _weights(graph, layout, weights)
    missing = (
        v.name for v in graph.in_role("observed") if v.name in canonical and _gaps(v, canonical[v.name])
    )
    return Bound(canonical, layout, aside, Partial(tuple(missing), tuple(asked)))


def _gaps(variable: Variable, array: NDArray[Any]) -> bool:
    """Whether values of a variable are missing."""
    return bool((array < 0).any() if variable.discrete else np.isnan(array).any())


def _names(
    graph: Graph, data: Mapping[str, Any], variables: list[Variable], paths: Mapping[str, Any]
) -> list[Fault]:
    """Names that the network does not know, and variables without data."""
    known = [variable.name for variable in graph.variables] + list(paths) + ["ids"]
    faults = [
        Fault(
            f'Data are given for "{name}", which the network {graph.name} does not have.',
            did_you_mean(name, known).strip(),
        )
        for name in data
        if name not in known
    ]
    absent = [variable for variable in variables if variable.name not in data]
    return faults + [Fault(f"No data are given for {one.name}, which is {one.role}.") for one in absent]


def _rows(
    graph: Graph, variable: Variable, data: Mapping[str, Any], numbered: Mapping[str, Any], dtype: str
) -> Rows:
    """The rows of one variable, its values in its domain. Raises DataError."""
    path = sizeless(graph, variable.plates)
    value = data[variable.name]
    inner = numbered.get(variable.name, {})
    tidied = inner and all(plate in inner for plate in path[:-1])
    rows = tidy(graph, variable, value, inner) if tidied else untidy(graph, variable, value)
    array, faults = convert(variable, rows.array, _place(rows, path), dtype)
    if faults:
        raise DataError(*faults)
    return Rows(array, rows.lengths, rows.form, rows.order)


def _place(rows: Rows, path: tuple[str, ...]) -> Place:
    """How to name a row: by the user's row, or by its members in the nested plates, all from 0."""

    def name(row: int) -> str:
        if rows.order is not None:
            return f"row {rows.order[row]}"
        if not path:
            return "its only value"
        if len(path) == 1:
            return f"{path[0]} {row}"
        places = []
        for plate, lengths in zip(reversed(path), reversed(rows.lengths), strict=True):
            ends = np.cumsum(lengths)
            outer = int(np.searchsorted(ends, row, side="right"))
            places.append(f"{plate} {row - (ends[outer] - lengths[outer])}")
            row = outer
        return ", ".join(reversed(places))

    return name


def _layout(
    graph: Graph,
    paths: Mapping[str, tuple[str, ...]],
    rows: Mapping[Variable, Rows],
) -> tuple[Layout, list[Fault]]:
    """The members of every sizeless plate, on which all variables must agree."""
    lengths: dict[str, tuple[str, NDArray[np.int64]]] = {}
    order: dict[str, NDArray[np.int64]] = {}
    faults = []
    for variable, one in rows.items():
        path = sizeless(graph, variable.plates)
        for plate, length in zip(path, one.lengths, strict=True):
            other, known = lengths.setdefault(plate, (variable.name, length))
            if not np.array_equal(known, length):
                faults.append(_disagreement(plate, other, known, variable.name, length))
        if one.order is not None and path:
            order[path[-1]] = one.order
    forms = {one.form for one in rows.values()}
    form: Form = "tidy" if "tidy" in forms else "ragged" if "ragged" in forms else "dense"
    parents = {plate: np.repeat(np.arange(len(length)), length) for plate, (_, length) in lengths.items()}
    return Layout(form, dict(paths), parents, order), faults


def _disagreement(
    plate: str, one: str, known: NDArray[np.int64], other: str, length: NDArray[np.int64]
) -> Fault:
    if len(known) != len(length) or len(known) == 1:
        return Fault(f"{one} has {known.sum()} members of {plate}, but {other} has {length.sum()}.")
    first = int(np.flatnonzero(known != length)[0])
    where = f"in member {first} of the plate around it"
    return Fault(f"{one} has {known[first]} members of {plate} {where}, but {other} has {length[first]}.")


def canonical_ids(paths: Mapping[str, tuple[str, ...]], layout: Layout) -> dict[str, NDArray[np.int64]]:
    """Under the name of each sizeless plate around an innermost one: its member for each row of that one."""
    ids: dict[str, NDArray[np.int64]] = {}
    outer = {plate for path in paths.values() for plate in path[:-1]}
    for inner in (plate for plate in paths if plate not in outer):
        for plate in paths[inner][:-1]:
            if plate in ids:
                raise DataError(
                    Fault(
                        f"The plate {plate} holds two plates beside one another: their data cannot be laid out yet."
                    )
                )
            ids[plate] = layout.members(inner, plate)
    return ids


def _weights(graph: Graph, layout: Layout, weights: ArrayLike) -> NDArray[np.float64]:
    """One number, not negative, for each member of the outermost plate."""
    outermost = next((plate for plate, path in layout.paths.items() if len(path) == 1), None)
    if outermost is None:
        raise DataError(Fault("There are no members to weight: no plate takes its size from the data."))
    if graph.plate(outermost).chain:
        reason = f"There are no members to weight: {outermost} is the chain of one sequence, whose steps are not independent."
        raise DataError(
            Fault(reason, 'Put the chain into a plate, with bn.plate("sequence"), and weight its sequences.')
        )
    array = np.asarray(weights, dtype=float)
    if array.shape != (layout.count(outermost),):
        members = layout.count(outermost)
        reason = f"weights have the shape {array.shape}; there is one for each of the {members} members of {outermost}."
        raise DataError(Fault(reason))
    wrong = ~(np.isfinite(array) & (array >= 0))
    if wrong.any():
        raise DataError(
            Fault(
                f"weights are {array[wrong][0]} at {outermost} {np.flatnonzero(wrong)[0]}; they are finite and not negative."
            )
        )
    if not array.any():
        raise DataError(Fault(f"All weights are 0: no member of {outermost} counts."))
    return array


def _aside(graph: Graph, data: Mapping[str, Any]) -> tuple[FitWarning, ...]:
    latents = (variable.name for variable in graph.in_role("latent") if variable.name in data)
    return tuple(
        FitWarning(name, "is latent; the values given in the data were left aside.") for name in latents
    )


def _example(graph: Graph) -> str:
    names = (variable.name for variable in graph.variables if variable.role != "latent")
    return "Write {" + ", ".join(f'"{name}": ...' for name in names) + "}."
