"""Data files as `bn.fit` takes data: .npz as a mapping of arrays, .csv as a data frame with columns for variables,
.scp as Kaldi's vectors or matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnlab.cli.models import Model, UsageError
from bnlab.errors import DataError


@dataclass(frozen=True, slots=True)
class Table:
    """What `bn.fit` takes as data, and as `columns`."""

    values: Any
    columns: dict[str, list[str]] | None = None


def load_data(path: Path | None, model: Model, bindings: Sequence[str] = ()) -> Table:
    """The data in the file, or the model's own example without one; `bindings` are "x=eruptions,waiting".

    Raises UsageError where there is no such file or no data at all, and DataError for a file that cannot be read.
    """
    if bindings and (path is None or path.suffix != ".csv"):
        raise UsageError("--columns names columns of a .csv file: give one with --data.")
    if path is None:
        if model.example is None:
            raise UsageError("Which data? Name a file with --data, or define data() in the model file.")
        return Table(model.example())
    if not path.is_file():
        raise UsageError(f"There is no file {str(path)!r}.")
    if path.suffix == ".npz":
        return Table(read_arrays(path))
    if path.suffix == ".csv":
        return Table(read_columns(path), dict(map(parse_binding, bindings)))
    if path.suffix == ".scp":
        from bnlab.runtime.kaldi import kaldi_data

        return Table(kaldi_data(model.network.graph, path))
    raise UsageError(f"{path.name} is neither .csv nor .npz nor .scp.")


def labels(table: Table, model: Model) -> dict[str, list[str]]:
    """What the file calls the columns of each variable; nothing for arrays without names."""
    if table.columns:
        return {name: list(map(_spaced, columns)) for name, columns in table.columns.items()}
    vectors = [one for one in model.network.graph.in_role("observed") if one.domain.event_shape]
    if len(vectors) != 1 or isinstance(table.values, dict):
        return {}
    return {vectors[0].name: list(map(_spaced, table.values.select_dtypes("number").columns))}


def _spaced(column: str) -> str:
    return str(column).replace("_", " ")


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays of an .npz file. Pickled objects, which could run code, are refused."""
    from zipfile import BadZipFile
    from zlib import error as BadCompression

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, TypeError, OSError, EOFError, MemoryError, BadZipFile, BadCompression) as error:
        raise DataError(f"{path} cannot be read as arrays: {error}") from None


def read_columns(path: Path) -> Any:
    """The .csv file as a data frame; its first line names the columns."""
    import csv
    import itertools

    import pandas as pd

    try:
        frame = pd.read_csv(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            heads, *rows = itertools.islice(csv.reader(file), 2)
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise DataError(f"{path} cannot be read as a table: {error}") from None
    if rows and len(rows[0]) > len(heads):  # pandas takes the first cells of longer rows for names of rows
        reason = f"its first line names {len(heads)} columns, and the next line has {len(rows[0])}."
        raise DataError(f"{path} cannot be read as a table: {reason}")
    twice = sorted({head for head in heads if heads.count(head) > 1})
    if twice:
        reason = f"its first line names {', '.join(twice)} more than once."
        raise DataError(f"{path} cannot be read as a table: {reason}")
    return frame


def parse_binding(binding: str) -> tuple[str, list[str]]:
    """ "x=eruptions,waiting" as the variable and its columns."""
    name, equals, text = binding.partition("=")
    if not equals:
        raise UsageError(f"--columns takes VARIABLE=COLUMN,COLUMN, not {binding!r}.")
    return name, text.split(",")
