"""Ids of the tidy form: which member of each enclosing plate a row belongs to, numbered in order of first appearance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import Fault
from bnlab.naming import did_you_mean
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_layout import sizeless

Codes = dict[str, NDArray[np.int64]]


def codes(graph: Graph, data: Mapping[str, Any]) -> tuple[dict[str, Codes], list[Fault]]:
    """For each variable with ids, the member of each enclosing plate that each of its rows is in; and what is wrong.

    Ids stand in `data` under the plate's name, or in `data["ids"]` by plate and variable where row counts differ. A
    variable whose own rows have ids (one of an outer plate) gets the members that the inner rows gave these ids.
    """
    labels, faults = _labels(graph, data)
    numbered: dict[str, Codes] = {}
    members: dict[str, dict[Any, int]] = {}
    variables = [variable for variable in graph.variables if variable.name in labels]
    for variable in sorted(variables, key=lambda one: -len(sizeless(graph, one.plates))):
        given = labels[variable.name]
        path = sizeless(graph, variable.plates)
        outer: NDArray[np.int64] | None = None
        for plate in path[:-1]:
            keys = given[plate].tolist()
            if outer is not None and len(outer) != len(keys):
                faults.append(
                    Fault(f"The ids of {plate} have {len(keys)} rows, those around it {len(outer)}.")
                )
                break
            pairs = keys if outer is None else list(zip(outer.tolist(), keys, strict=True))
            index = members.setdefault(plate, {})
            outer = np.array([index.setdefault(pair, len(index)) for pair in pairs], dtype=np.int64)
            numbered.setdefault(variable.name, {})[plate] = outer
        if path[-1] in given:
            found, wrong = _own_rows(variable, path[-1], given[path[-1]], outer, members)
            faults.extend(wrong)
            numbered.setdefault(variable.name, {})[path[-1]] = found
    return numbered, faults


def _labels(graph: Graph, data: Mapping[str, Any]) -> tuple[dict[str, dict[str, NDArray[Any]]], list[Fault]]:
    """The ids given, by variable and plate: only where a variable has ids of all the plates that enclose its rows."""
    known = {variable.name for variable in graph.variables}
    own = data.get("ids", {}) if "ids" not in known else {}
    if not isinstance(own, Mapping) or not all(isinstance(entry, Mapping) for entry in own.values()):
        return {}, [
            Fault(
                "ids are written by plate and variable.", 'Write "ids": {"plate": {"x": [...], "w": [...]}}.'
            )
        ]
    labels: dict[str, dict[str, NDArray[Any]]] = {}
    faults = [fault for plate, by in own.items() for name in by for fault in _misplaced(graph, plate, name)]
    for variable in graph.variables:
        if variable.name not in data:
            continue
        path = sizeless(graph, variable.plates)
        wanted = (*path[:-1], *(plate for plate in path[-1:] if variable.name in own.get(plate, {})))
        given = {plate: own.get(plate, {}).get(variable.name, data.get(plate)) for plate in wanted}
        absent = [plate for plate, ids in given.items() if ids is None]
        if 0 < len(absent) < len(given):
            faults.append(Fault(f"{variable.name} has ids of some plates, but none of {', '.join(absent)}."))
        if given and not absent:
            labels[variable.name] = {plate: np.asarray(ids) for plate, ids in given.items()}
    faults += [
        fault for by in labels.values() for plate, ids in by.items() if (fault := _unusable(plate, ids))
    ]
    return ({} if faults else labels), list(dict.fromkeys(faults))


def _unusable(plate: str, ids: NDArray[Any]) -> Fault | None:
    if ids.ndim != 1:
        return Fault(f"The ids of {plate} have the shape {ids.shape}; they are one row of numbers or names.")
    missing = np.array([key is None or key != key for key in ids.tolist()], dtype=bool)  # NaN is not itself
    if missing.any():
        return Fault(
            f"{int(missing.sum())} ids of {plate} are missing, the first at row {np.flatnonzero(missing)[0]}."
        )
    return None


def _misplaced(graph: Graph, plate: str, name: str) -> Iterator[Fault]:
    """What is wrong with ids of a plate for a variable, whatever they are."""
    names, plates = [one.name for one in graph.variables], [one.name for one in graph.plates]
    if plate not in plates:
        yield Fault(
            f'ids are given of "{plate}", which is no plate of {graph.name}.',
            did_you_mean(plate, plates).strip(),
        )
    elif name not in names:
        yield Fault(
            f'ids of {plate} are given for "{name}", which the network {graph.name} does not have.',
            did_you_mean(name, names).strip(),
        )
    elif plate not in sizeless(graph, graph.variable(name).plates):
        yield Fault(f"ids of {plate} are given for {name}, which is in no plate {plate} without a size.")
    elif graph.plate(plate).chain:
        yield Fault(
            f"ids of {plate} are given for {name}, but the steps of a chain are in order of time and have no ids.",
            f'To have the order checked, write "{plate}": times.',
        )


def _own_rows(
    variable: Variable,
    plate: str,
    ids: NDArray[Any],
    outer: NDArray[np.int64] | None,
    members: dict[str, dict[Any, int]],
) -> tuple[NDArray[np.int64], list[Fault]]:
    """The member that each row of a variable is; each member has one row. Where no rows were numbered yet, these are."""
    labels = ids.tolist()
    if outer is not None and len(outer) != len(labels):
        return np.zeros(len(labels), np.int64), [
            Fault(f"The ids of {plate} have {len(labels)} rows, those around it {len(outer)}.")
        ]
    keys = labels if outer is None else list(zip(outer.tolist(), labels, strict=True))
    index = members.get(plate)
    if index is None:
        index = members[plate] = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    faults = []
    if unknown := [label for key, label in zip(keys, labels, strict=True) if key not in index]:
        faults.append(Fault(f"{variable.name} has the id {unknown[0]!r} of {plate}, which no inner row has."))
    if absent := [key for key in index if key not in set(keys)]:
        label = absent[0] if outer is None else absent[0][1]
        faults.append(Fault(f"{variable.name} has no row for {plate} {label!r}."))
    if len(set(keys)) != len(keys):
        faults.append(Fault(f"{variable.name} has more than one row for the same {plate}."))
    found = [0] * len(keys) if faults else [index[key] for key in keys]
    return np.array(found, dtype=np.int64), faults


def untimely(graph: Graph, data: Mapping[str, Any], numbered: Mapping[str, Codes]) -> list[Fault]:
    """Faults where rows of a chain carry times (ids of the chain itself) that do not rise."""
    faults = []
    for variable in graph.variables:
        path = sizeless(graph, variable.plates)
        if not path or not graph.plate(path[-1]).chain or path[-1] not in data or variable.name not in data:
            continue
        times = np.asarray(data[path[-1]])
        sequence = (
            numbered.get(variable.name, {}).get(path[-2]) if len(path) > 1 else np.zeros(len(times), np.int64)
        )
        if sequence is None or times.shape != sequence.shape:
            continue
        order = np.argsort(sequence, kind="stable")
        same = np.diff(sequence[order]) == 0
        falls = same & ~(times[order][1:] > times[order][:-1])
        if falls.any():
            row = order[1:][falls][0]
            faults.append(
                Fault(
                    f"Rows of {path[-1]} are in order of time; row {row} is not later than the one before it."
                )
            )
    return list(dict.fromkeys(faults))
