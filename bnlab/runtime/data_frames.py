"""Data frames: columns to variables. A frame is taken column by column, so pandas, polars and pyarrow are never imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import DataError, Fault
from bnlab.naming import did_you_mean
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_layout import nesting
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

    A scalar variable without an entry in `columns` takes the column of its own name; a sole vector variable takes all
    numeric columns that are left. Columns named like plates are ids. Raises DataError with all that does not fit.
    """
    table = _table(data)
    asked = {
        name: [entry] if isinstance(entry, str) else list(entry) for name, entry in (columns or {}).items()
    }
    variables = [variable for variable in graph.variables if variable.role != "latent"]
    plates = nesting(graph)
    faults = _faults(table, asked, variables, plates)
    for plate in plates.keys() & table.keys():
        asked.setdefault(plate, [plate])
    for variable in variables:
        if variable.name not in asked and not variable.domain.event_shape and variable.name in table:
            asked[variable.name] = [variable.name]
    unbound = [variable for variable in variables if variable.name not in asked]
    if len(unbound) == 1 and len(unbound[0].domain.event_shape) == 1:
        taken = {column for entry in asked.values() for column in entry}
        left = [
            column for column, values in table.items() if column not in taken and values.dtype.kind in "biuf"
        ]
        asked[unbound[0].name] = left
        unbound = []
    faults += [_unbound(variable, table) for variable in unbound]
    faults += [fault for variable in variables if (fault := _width(variable, asked.get(variable.name)))]
    if faults:
        raise DataError(*faults)
    vectors = {variable.name for variable in variables if variable.domain.event_shape}
    return {name: _gather(table, entry, name in vectors) for name, entry in asked.items()}


def _table(data: Any) -> dict[str, NDArray[Any]]:
    """The columns of a frame by name."""
    if isinstance(data, Mapping):
        return {str(name): as_array(column) for name, column in data.items()}
    names = data.column_names if type(data).__module__.startswith("pyarrow") else data.columns
    return {str(name): np.asarray(data[name]) for name in names}


def _gather(table: Mapping[str, NDArray[Any]], names: list[str], vector: bool) -> NDArray[Any]:
    return np.stack([table[name] for name in names], axis=-1) if vector else table[names[0]]


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


def _width(variable: Variable, names: list[str] | None) -> Fault | None:
    """A fault if the number of columns is not the variable's dimension."""
    event = variable.domain.event_shape
    wanted = event[0] if event else 1
    if names is None or (len(names) == wanted and len(event) < 2):
        return None
    return Fault(
        f"{variable.name} has the dimension {wanted}, but {len(names)} columns: {', '.join(names) or 'none'}."
    )
