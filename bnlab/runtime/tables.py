"""Parameters as pandas tables: rows and columns carry the names of plates, states and columns, not numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bnlab.domains import Integer, Simplex
from bnlab.errors import Fault, FitError
from bnlab.naming import did_you_mean
from bnlab.network.graph import alignment, coefficients, cpds
from bnlab.network.ir import Graph, Parameter, Ref, Variable, VarRef
from bnlab.runtime.data_layout import sizes

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a parameter's array: what counts it, and the names of its entries."""

    name: str
    labels: tuple[Any, ...]


def table(graph: Graph, parameters: Arrays, name: str) -> pd.DataFrame:
    """One parameter: its last axis across, the others down; or that of a variable that reads just one, by the variable's
    name and under its parents' names. Raises FitError for any other name.
    """
    variable = next((one for one in graph.variables if one.name == name), None)
    if variable is not None and len(read := _read_by(variable)) == 1:
        parents = _parents(graph, read[0], variable)
        found = table(graph, parameters, str(read[0].target))
        return found.rename_axis(index=[parents.get(str(axis), axis) for axis in found.index.names])
    if name not in parameters:
        names = ", ".join(parameters)
        fault = Fault(
            f'"{name}" is no parameter of {graph.name}; those are {names}.', did_you_mean(name, parameters)
        )
        raise FitError(fault)
    parameter, values = graph.parameter(name), np.asarray(parameters[name])
    found = axes(graph, parameter)
    across = found[-1] if parameter.domain.event_shape else None
    down = found[:-1] if across else found
    columns = [name] if across is None else pd.Index(across.labels, name=across.name)
    return pd.DataFrame(values.reshape(-1, len(columns)), index=_index(down, name), columns=columns)


def overview(graph: Graph, parameters: Arrays, draws: Arrays | None) -> pd.DataFrame:
    """All parameters, a number a row: the estimate, and where there are draws, their standard deviation."""
    rows = []
    for name, values in parameters.items():
        array = np.asarray(values)
        spread = None if draws is None or name not in draws else np.asarray(draws[name]).std((0, 1))
        found = axes(graph, graph.parameter(name))
        for index in np.ndindex(array.shape):
            where = ", ".join(str(axis.labels[i]) for axis, i in zip(found, index, strict=True))
            numbers = [float(array[index])] + ([] if spread is None else [float(spread[index])])
            rows.append((name, where, *numbers))
    columns = (
        ["parameter", "entry", "estimate", "sd"] if draws is not None else ["parameter", "entry", "estimate"]
    )
    return pd.DataFrame(rows, columns=columns).set_index(["parameter", "entry"])


def axes(graph: Graph, parameter: Parameter) -> tuple[Axis, ...]:
    """The axes of a parameter's array: its plates in nesting order, then its event."""
    plates = [
        Axis(plate, _labels(graph, parameter, plate) or tuple(range(size)))
        for plate, size in zip(parameter.plates, sizes(graph, parameter.plates), strict=True)
    ]
    return (*plates, *_event(graph, parameter))


def _event(graph: Graph, parameter: Parameter) -> tuple[Axis, ...]:
    shape = parameter.domain.event_shape
    if isinstance(parameter.domain, Simplex):
        drawn = [
            one.name for one in graph.variables if one.discrete and _reads(graph, one.name, parameter.name)
        ]
        name = drawn[0] if len(drawn) == 1 else parameter.name
        return (Axis(name, parameter.domain.labels or tuple(range(shape[0]))),)
    letters = ("",) if len(shape) == 1 else tuple(f".{axis}" for axis in range(len(shape)))
    return tuple(
        Axis(f"{parameter.name}{letter}", tuple(range(size)))
        for letter, size in zip(letters, shape, strict=True)
    )


def _read_by(variable: Variable) -> list[Ref]:
    """The parameters that a variable's distributions read, as they are written."""
    found = (ref for cpd in cpds(variable) for ref in coefficients(cpd))
    return [ref for ref in found if isinstance(ref.target, str)]


def _parents(graph: Graph, ref: Ref, variable: Variable) -> dict[str, str]:
    """For each plate that a variable indexes, the name of that variable."""
    pairs = zip(alignment(graph, ref, variable)[1], ref.subscripts, strict=True)
    return {plate: subscript.name for plate, subscript in pairs if isinstance(subscript, VarRef)}


def _reads(graph: Graph, variable: str, parameter: str) -> bool:
    one = graph.variable(variable)
    return any(ref.target == parameter for cpd in cpds(one) for ref in coefficients(cpd))


def _labels(graph: Graph, parameter: Parameter, plate: str) -> tuple[str, ...]:
    """The names of the states of a variable that indexes this plate of the parameter; () if they have none."""
    for variable in graph.variables:
        for ref in (
            ref for cpd in cpds(variable) for ref in coefficients(cpd) if ref.target == parameter.name
        ):
            for indexed, subscript in zip(alignment(graph, ref, variable)[1], ref.subscripts, strict=True):
                domain = graph.variable(subscript.name).domain if isinstance(subscript, VarRef) else None
                if indexed == plate and isinstance(domain, Integer) and domain.labels:
                    return domain.labels
    return ()


def _index(down: tuple[Axis, ...], name: str) -> pd.Index:
    if not down:
        return pd.Index([name])
    if len(down) == 1:
        return pd.Index(down[0].labels, name=down[0].name)
    return pd.MultiIndex.from_product([axis.labels for axis in down], names=[axis.name for axis in down])
