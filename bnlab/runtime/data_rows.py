"""From the forms that users write (arrays, lists of arrays, the tidy form) to canonical rows, one variable at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import DataError, Fault
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_layout import Form, sizeless, sizes


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The values of one variable.

    `array` is (rows, sized plates, event), in canonical order; `lengths` has, for each sizeless plate, outermost first,
    how many members it has in each member of the one before it. `order` is the user's row of each row, if that differs.
    """

    array: NDArray[Any]
    lengths: tuple[NDArray[np.int64], ...]
    form: Form
    order: NDArray[np.int64] | None = None


def untidy(graph: Graph, variable: Variable, value: Any) -> Rows:
    """The rows of an array with the axes of its plates, or of (nested) lists with one entry a member.

    Raises DataError, naming the variable, where the shape is not that of its plates and event.
    """
    path = sizeless(graph, variable.plates)
    lengths, array = _walk(graph, variable, variable.plates, value, variable.name)
    form: Form = "ragged" if len(path) > 1 and isinstance(value, list | tuple) else "dense"
    return Rows(array, lengths, form)


def tidy(graph: Graph, variable: Variable, value: Any, ids: Mapping[str, NDArray[np.int64]]) -> Rows:
    """The rows of one array over all rows; `ids` has the member of each enclosing sizeless plate, numbered from 0, and may have
    which member of its own plate each row is."""
    path = sizeless(graph, variable.plates)
    shape = sizes(graph, variable.plates) + variable.domain.event_shape
    array = _regular(value)
    if array is None or array.ndim != 1 + len(shape) or array.shape[1:] != shape:
        got = "ragged lists" if array is None else f"the shape {array.shape}"
        reason = (
            f"{variable.name} has {got}; in the tidy form (with ids) it wants {_wanted(('rows',), shape)}."
        )
        raise DataError(Fault(reason))
    if not array.shape[0]:
        raise DataError(Fault(f"{variable.name} is empty."))
    codes = [ids[plate] for plate in path[:-1]]
    for plate, code in ids.items():
        if len(code) != len(array):
            reason = f"{variable.name} has {len(array)} rows, but there are {len(code)} ids of {plate}."
            remedy = f'Where row counts differ, write ids={{"{plate}": {{"{variable.name}": ...}}}}.'
            raise DataError(Fault(reason, remedy))
    keys = [*codes, *(ids[plate] for plate in path[-1:] if plate in ids)]
    order = np.lexsort(keys[::-1]) if keys else np.arange(len(array))
    return Rows(array[order], _run_lengths([code[order] for code in codes], len(array)), "tidy", order)


def _run_lengths(codes: list[NDArray[np.int64]], rows: int) -> tuple[NDArray[np.int64], ...]:
    """How many members each level has in each member of the level above, from sorted codes of all rows."""
    starts = [np.array([0])]  # the first row of each member, level by level
    changed = np.zeros(rows, dtype=bool)
    changed[0] = True
    for code in codes:
        changed[1:] |= code[1:] != code[:-1]
        starts.append(np.flatnonzero(changed))
    starts.append(np.arange(rows))
    pairs = zip(starts, starts[1:], strict=False)
    return tuple(np.diff(np.searchsorted(inner, np.append(outer, rows))) for outer, inner in pairs)


def _walk(
    graph: Graph, variable: Variable, plates: tuple[str, ...], value: Any, place: str
) -> tuple[tuple[NDArray[np.int64], ...], NDArray[Any]]:
    """Lengths and rows of a value whose outer axes are `plates`."""
    event = variable.domain.event_shape
    array = np.full(event, np.nan) if value is None and not plates else _regular(value)
    if array is not None and array.ndim == len(plates) + len(event):
        return _dense(graph, variable, plates, array, place)
    if array is None and plates and isinstance(value, list | tuple | np.ndarray):
        return _listed(graph, variable, plates, list(value), place)
    got = (
        f"has the shape {array.shape}"
        if array is not None
        else f"is a {type(value).__name__} that is no array"
    )
    remedy = ""
    if array is not None and array.shape[-1:] == (1,) and array.ndim == len(plates) + len(event) + 1:
        remedy = f"It is a scalar: write {variable.name}[..., 0]." if not event else ""
    elif array is not None and len(path := sizeless(graph, plates)) > 1 and array.ndim == 1 + len(event):
        remedy = (
            f'For all rows in one array, give the {path[-2]} of each row too: "{path[-2]}": ids, '
            f'or ids={{"{path[-2]}": {{"{variable.name}": ...}}}}.'
        )
    raise DataError(Fault(f"{place} {got}; {variable.name} wants {_wanted(plates, event)}.", remedy))


def _dense(
    graph: Graph, variable: Variable, plates: tuple[str, ...], array: NDArray[Any], place: str
) -> tuple[tuple[NDArray[np.int64], ...], NDArray[Any]]:
    """Lengths and rows of a regular array with the axes `plates`, event."""
    event = variable.domain.event_shape
    for axis, (plate, got) in enumerate(zip(plates, array.shape, strict=False)):
        size = graph.plate(plate).size
        if size is not None and got != size:
            raise DataError(
                Fault(f"{place} has {got} members of the plate {plate} (axis {axis}), which has {size}.")
            )
        if not got:
            raise DataError(Fault(f"{place} is empty: it has no member of {plate}."))
    if array.shape[len(plates) :] != event:
        raise DataError(
            Fault(f"{place} has the shape {array.shape}; {variable.name} wants {_wanted(plates, event)}.")
        )
    path = sizeless(graph, plates)
    counts = [array.shape[plates.index(plate)] for plate in path]
    outer = np.cumprod([1, *counts])
    lengths = tuple(np.full(many, count) for many, count in zip(outer, counts, strict=False))
    array = np.moveaxis(array, [plates.index(plate) for plate in path], range(len(path)))
    return lengths, array.reshape((-1,) * bool(path) + array.shape[len(path) :])


def _listed(
    graph: Graph, variable: Variable, plates: tuple[str, ...], values: list[Any], place: str
) -> tuple[tuple[NDArray[np.int64], ...], NDArray[Any]]:
    """Lengths and rows of a list with one entry for each member of the outermost plate."""
    head, rest = plates[0], plates[1:]
    size = graph.plate(head).size
    if not values:
        raise DataError(Fault(f"{place} is empty: it has no member of {head}."))
    if size is not None and len(values) != size:
        raise DataError(Fault(f"{place} has {len(values)} members of the plate {head}, which has {size}."))
    parts: list[tuple[tuple[NDArray[np.int64], ...], NDArray[Any]]] = []
    faults: list[Fault] = []
    for i, value in enumerate(values):
        try:
            parts.append(_walk(graph, variable, rest, value, f"{place}[{i}]"))
        except DataError as error:
            faults.extend(error.faults)
    if faults:
        raise DataError(*faults[:5])
    inner = [lengths for lengths, _ in parts]
    arrays = [array for _, array in parts]
    if size is not None:
        if any(not all(map(np.array_equal, one, inner[0])) for one in inner):
            raise DataError(Fault(f"{place}: the members of the sized plate {head} differ in length."))
        return inner[0], np.stack(arrays, axis=1 if sizeless(graph, rest) else 0)
    deeper = tuple(np.concatenate(level) for level in zip(*inner, strict=True))
    joined = np.concatenate(arrays) if sizeless(graph, rest) else np.stack(arrays)
    return (np.array([len(values)]), *deeper), joined


def as_array(values: Any) -> NDArray[Any]:
    """An array; a NaN or None among the names of a list stays what it is, instead of becoming a name. Raises ValueError."""
    array = np.asarray(values)
    text = array.dtype.kind in "US" and not hasattr(values, "dtype")
    return np.asarray(values, dtype=object) if text else array


def _regular(value: Any) -> NDArray[Any] | None:
    """`value` as an array, or None if its parts differ in shape."""
    if np.ma.isMaskedArray(value) and np.ma.is_masked(value):
        filled = np.array(value, dtype=object, subok=False)
        filled[np.ma.getmaskarray(value)] = None
        return filled
    try:
        array = as_array(value)
    except ValueError:  # NumPy's word for parts that differ in shape
        return None
    nested = array.dtype == object and any(isinstance(part, list | tuple | np.ndarray) for part in array.flat)
    return None if nested else array


def _wanted(plates: tuple[str, ...], event: tuple[int, ...]) -> str:
    """The shape wanted, in words of plates: (sequence, t, 3)."""
    axes = [*plates, *map(str, event)]
    return f"({', '.join(axes)}{',' if len(axes) == 1 else ''})" if axes else "one number"
