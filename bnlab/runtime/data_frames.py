"""Data frames: columns to variables. A frame is taken column by column, so pandas, polars and pyarrow are never imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import DataError, Fault
from bnlab.naming import did_you_mean
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_layout import nesting, sizes
from bnlab.runtime.data_rows import as_array

Columns = Mapping[str, str | Sequence[str]]


def is_frame(data: Any) -> bool:
    """Whether `data` is a data frame or table of pandas, polars or pyarrow."""
    kind = type(data)
    return kind.__name__ in {"DataFrame", "Table"} and kind.__module__.split(".")[0] in {
        "pandas",
        "polars",
        "pyarrow",
    }


def from_frame(graph: Graph, data: Any, columns: Columns | None) -> dict[str, Any]:
    """The mapping from variable and plate names to arrays that a frame, or a mapping of columns, stands for.

    A scalar variable without an entry in `columns` takes the column of its own name; a sole variable with several numbers a row
    takes all numeric columns that are left. Members of sized plates come first, then a matrix's rows one after the other.
    Columns named like plates are ids. Raises DataError with all that does not fit.
    """
    table = _table(data)
    asked = {
        name: [entry] if isinstance(entry, str) else list(entry) for name, entry in (columns or {}).items()
    }
    variables = [variable for variable in graph.variables if variable.role != "latent"]
    plates = nesting(graph)
    shapes = {variable.name: _row_shape(graph, variable) for variable in variables}
    faults = _faults(table, asked, variables, plates)
    for plate in plates.keys() & table.keys():
        asked.setdefault(plate, [plate])
    for variable in variables:
        if variable.name not in asked and not shapes[variable.name] and variable.name in table:
            asked[variable.name] = [variable.name]
    unbound = [variable for variable in variables if variable.name not in asked]
    if len(unbound) == 1 and len(shapes[unbound[0].name]) == 1:
        taken = {column for entry in asked.values() for column in entry}
        left = [
            column for column, values in table.items() if column not in taken and values.dtype.kind in "biuf"
        ]
        asked[unbound[0].name] = left
        unbound = []
    faults += [_unbound(variable, table) for variable in unbound]
    faults += [fault for name, shape in shapes.items() if (fault := _width(name, shape, asked.get(name)))]
    if faults:
        raise DataError(*faults)
    return {name: _gather(table, entry, shapes.get(name, ())) for name, entry in asked.items()}


def _row_shape(graph: Graph, variable: Variable) -> tuple[int, ...]:
    """What a row of a variable holds: the members of its plates with a size, then its entries."""
    return (*sizes(graph, variable.plates), *variable.domain.event_shape)


def _table(data: Any) -> dict[str, NDArray[Any]]:
    """The columns of a frame by name."""
    if isinstance(data, Mapping):
        return {str(name): as_array(column) for name, column in data.items()}
    names = data.column_names if type(data).__module__.startswith("pyarrow") else data.columns
    return {str(name): np.asarray(data[name]) for name in names}


def _gather(table: Mapping[str, NDArray[Any]], names: list[str], shape: tuple[int, ...]) -> NDArray[Any]:
    if not shape:
        return table[names[0]]
    return np.stack([table[name] for name in names], axis=-1).reshape(-1, *shape)


def _faults(
    table: Mapping[str, Any],
    asked: Mapping[str, list[str]],
    variables: list[Variable],
    plates: Mapping[str, Any],
) -> list[Fault]:
    """Names in `columns` that are neither a variable nor a plate, and columns that the frame does not have."""
    known = [variable.name for variable in variables] + list(plates)
    faults = []
    for name, entry in asked.items():
        if name not in known:
            reason = (
                f'columns names "{name}", which is no observed or given variable and no plate without a size.'
            )
            faults.append(Fault(reason, did_you_mean(name, known).strip()))
        absent = [column for column in entry if column not in table]
        faults += [
            Fault(f'There is no column "{column}".', did_you_mean(column, table).strip()) for column in absent
        ]
    return faults


def _unbound(variable: Variable, table: Mapping[str, Any]) -> Fault:
    reason = f"No columns are named for {variable.name}. The columns are {', '.join(table)}."
    return Fault(reason, f'Write columns={{"{variable.name}": [...]}}.')


def _width(name: str, shape: tuple[int, ...], columns: list[str] | None) -> Fault | None:
    """A fault if there are not as many columns as a row has numbers."""
    if columns is None or len(columns) == prod(shape):
        return None
    wanted = f"{name} has the {'shape' if len(shape) > 1 else 'dimension'} {' x '.join(map(str, shape)) or 1}"
    return Fault(f"{wanted}, but {len(columns)} columns: {', '.join(columns) or 'none'}.")
