"""What must hold of data before a network is fitted to them: enough of them, and no direction without spread."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Integer
from bnlab.errors import DataError, Fault
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_layout import sizeless
from bnlab.runtime.em_floor import spreads
from bnlab.runtime.records import Bound, FitWarning

FAR = {"float64": 1e6, "float32": 1e3}
"""Where the mean is this many standard deviations from 0, squares lose half of their digits or more."""
DEPENDENT = 1e-10
"""An eigenvalue of the correlation matrix below this is rounding: some columns are a combination of others."""
TINY = 1e-150
"""Spreads below this vanish when squared."""


def fittable(graph: Graph, bound: Bound, *, started: bool, dtype: str) -> tuple[FitWarning, ...]:
    """Warnings about data that can be fitted; raises DataError, with all faults, where the likelihood has no maximum.

    `started` says that all parameters have initial values: then fewer members than states are no fault.
    """
    faults = [] if started else list(_too_few(graph, bound))
    notes: list[FitWarning] = []
    kinds: dict[str, set[str]] = {}
    for variable, kind, _ in spreads(graph):
        kinds.setdefault(variable.name, set()).add(kind)
    for name, found in kinds.items():
        values = np.asarray(bound.canonical[name], dtype=float)
        values = values.reshape(-1, int(np.prod(graph.variable(name).domain.event_shape)))
        flat = list(_flat(graph.variable(name), values))
        faults += flat
        if not flat:
            faults += _dependent(name, values) if "cov" in found else ()
            notes += _far(name, values, dtype)
    if faults:
        raise DataError(*faults)
    return tuple(notes)


def _too_few(graph: Graph, bound: Bound) -> Iterator[Fault]:
    for latent in graph.in_role("latent"):
        path = sizeless(graph, latent.plates)
        if not isinstance(latent.domain, Integer) or not path:
            continue
        members = bound.layout.count(path[-1])
        if members < latent.domain.size:
            reason = f"{latent.name} has {latent.domain.size} states, but there are only {members} members of {path[-1]}."
            yield Fault(reason, "Declare fewer states, or give more data.")


def _flat(variable: Variable, values: NDArray[np.float64]) -> Iterator[Fault]:
    spread = np.ptp(values, axis=0)
    for column in np.flatnonzero(spread < TINY):
        where = f"{variable.name}, column {column}," if variable.domain.event_shape else variable.name
        if spread[column] > 0:
            yield Fault(
                f"{where} varies by only {spread[column]:.3g}, which is 0 when squared.", "Rescale it."
            )
            continue
        reason = f"{where} has the same value in every row, so its variance has no estimate above 0."
        yield Fault(reason, "Leave it out, or declare a prior for the covariance or a fixed value.")


def _dependent(name: str, values: NDArray[np.float64]) -> Iterator[Fault]:
    """Columns that are combinations of others: a full covariance of them is singular."""
    rows, columns = values.shape
    if rows <= columns:
        reason = f"{name} has {rows} rows of {columns} columns: a full covariance of them is singular."
        yield Fault(reason, "Declare var= with a vector or a scalar, or a prior, or give more data.")
        return
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    eigenvalues, vectors = np.linalg.eigh(standard.T @ standard / rows)
    for vector in vectors.T[eigenvalues < DEPENDENT]:
        involved = np.flatnonzero(np.abs(vector) > 1e-3 * np.abs(vector).max())
        reason = f"{name}: the columns {', '.join(map(str, involved))} depend on one another, so a full covariance is singular."
        yield Fault(reason, f"Leave out one of them: {involved[-1]}, say.")


def _far(name: str, values: NDArray[np.float64], dtype: str) -> Iterator[FitWarning]:
    ratio = np.abs(values.mean(axis=0)) / values.std(axis=0)
    if ratio.max() > FAR[dtype]:
        column = int(ratio.argmax())
        message = f"column {column} lies {ratio.max():.2g} standard deviations from 0; {dtype} keeps few digits of it."
        yield FitWarning(name, message, "Subtract a round number near its mean.")
