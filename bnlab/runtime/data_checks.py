"""What must hold of data before a network is fitted to them: enough of them, and no direction without spread."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Integer
from bnlab.errors import DataError, Fault
from bnlab.network.graph import coefficients, cpds, max_lag
from bnlab.network.ir import Affine, Graph, Parameter, Ref, Variable, VarRef
from bnlab.runtime.data_layout import sizeless
from bnlab.runtime.em_floor import spreads
from bnlab.runtime.records import Bound, FitWarning

FAR = {"float64": 1e6, "float32": 1e3}
"""Where the mean is this many standard deviations from 0, squares lose half of their digits or more."""
DEPENDENT = 1e-10
"""An eigenvalue of the correlation matrix below this is rounding: some columns are a combination of others."""
NAMED = 5
"""How many states a message names before it stops."""
TINY = 1e-150
"""Spreads below this vanish when squared."""


def fittable(graph: Graph, bound: Bound, *, started: bool, dtype: str) -> tuple[FitWarning, ...]:
    """Warnings about data that can be fitted; raises DataError, with all faults, where the likelihood has no maximum.

    `started` says that all parameters have initial values: then fewer members than states are no fault.
    """
    faults = [] if started else list(_too_few(graph, bound))
    notes: list[FitWarning] = []
    kinds: dict[str, set[str]] = {}
    for variable, kind, spread in spreads(graph):
        alone = _followed(graph, variable) and _users(graph, spread) == {variable.name}
        kinds.setdefault(variable.name, set()).update([kind] if alone else [])
    for name, found in kinds.items():
        values = np.asarray(bound.canonical[name], dtype=float)
        values = values.reshape(-1, int(np.prod(graph.variable(name).domain.event_shape)))
        flat = list(_flat(graph.variable(name), values, alone=bool(found)))
        faults += flat
        if not flat:
            faults += _dependent(name, values) if "cov" in found else ()
            notes += _far(name, values, dtype)
    if faults:
        raise DataError(*faults)
    return (*notes, *_unseen(graph, bound), *_short(graph, bound))


def _users(graph: Graph, parameter: str) -> set[str]:
    """The variables whose distributions read a parameter."""
    return {
        variable.name
        for variable in graph.variables
        for cpd in cpds(variable)
        if any(ref.target == parameter for ref in coefficients(cpd))
    }


def _followed(graph: Graph, variable: Variable) -> bool:
    """Whether the mean may be where all data are: it holds an offset that is learnt, or a latent (or is no sum)."""
    for cpd in cpds(variable):
        mean = cpd.argument("mean")
        if not isinstance(mean, Affine):
            return True
        for term in mean.terms:
            if term.variable is not None:
                if graph.variable(term.variable.name).role == "latent":
                    return True
            elif isinstance(term.coefficient, Ref) and isinstance(term.coefficient.target, str):
                if graph.parameter(term.coefficient.target).value is None:
                    return True
    return False


def _unseen(graph: Graph, bound: Bound) -> Iterator[FitWarning]:
    """Rows of tables that no member of the data selects: nothing can be learnt about them."""
    for parameter, selector in dict.fromkeys(_selections(graph)):
        if selector.name not in bound.canonical or not isinstance(selector.domain, Integer):
            continue
        absent = sorted(set(range(selector.domain.size)) - set(np.unique(bound.canonical[selector.name])))
        if absent:
            kept = "has only its prior" if parameter.prior else "keeps its initial values"
            states = ", ".join(map(str, absent[:NAMED])) + (", ..." if len(absent) > NAMED else "")
            message = f"{selector.name} is never {states} in the data; {parameter.name} {kept} there."
            yield FitWarning(parameter.name, message, "Declare a prior for it, or leave out that state.")


def _selections(graph: Graph) -> Iterator[tuple[Parameter, Variable]]:
    """Each learnt parameter with each variable that stands in its subscripts."""
    for ref in (ref for variable in graph.variables for cpd in cpds(variable) for ref in coefficients(cpd)):
        if isinstance(ref.target, str) and graph.parameter(ref.target).value is None:
            names = (subscript.name for subscript in ref.subscripts if isinstance(subscript, VarRef))
            yield from ((graph.parameter(ref.target), graph.variable(name)) for name in names)


def _short(graph: Graph, bound: Bound) -> Iterator[FitWarning]:
    """Chains of which the data have no second step."""
    for plate in (plate.name for plate in graph.plates if plate.chain and plate.name in bound.layout.parents):
        if not bound.layout.positions(plate).any() and any(max_lag(one) for one in graph.variables):
            message = "no sequence has a second step; what governs later steps keeps its initial values."
            yield FitWarning(plate, message)


def _too_few(graph: Graph, bound: Bound) -> Iterator[Fault]:
    for latent in graph.in_role("latent"):
        path = sizeless(graph, latent.plates)
        if not isinstance(latent.domain, Integer) or not path:
            continue
        members = bound.layout.count(path[-1])
        if members < latent.domain.size:
            reason = f"{latent.name} has {latent.domain.size} states, but there are only {members} members of {path[-1]}."
            yield Fault(reason, "Declare fewer states, or give more data.")


def _flat(variable: Variable, values: NDArray[np.float64], alone: bool) -> Iterator[Fault]:
    """Columns without values or spread; `alone` says that their own spread about a mean of their own is to be learnt."""
    for column, numbers in enumerate(values.T):
        where = f"{variable.name}, column {column}," if variable.domain.event_shape else variable.name
        seen = numbers[~np.isnan(numbers)]
        spread = np.ptp(seen) if len(seen) else np.nan
        if not len(seen):
            yield Fault(f"{where} is missing in every row.", "Leave it out.")
        elif 0 < spread < TINY:
            reason = f"{where} varies by only {spread:.3g}, which is 0 when squared."
            yield Fault(reason, "Rescale it.")
        elif spread == 0 and alone and len(seen) == 1:
            reason = f"{where} has one value, so its variance has no estimate above 0."
            yield Fault(reason, "Give more rows, or declare a prior for the variance or a fixed value.")
        elif spread == 0 and alone:
            same = f"{where} has the same value in every row" + (
                " that has one" if len(seen) < len(numbers) else ""
            )
            reason = f"{same}, so its variance has no estimate above 0."
            yield Fault(reason, "Leave it out, or declare a prior for the covariance or a fixed value.")


def _dependent(name: str, values: NDArray[np.float64]) -> Iterator[Fault]:
    """Columns that are combinations of others in all rows that lack nothing: a full covariance of them is singular."""
    rows, columns = values.shape
    if rows <= columns:
        reason = f"{name} has {rows} rows of {columns} columns: a full covariance of them is singular."
        yield Fault(reason, "Declare var= with a vector or a scalar, or a prior, or give more data.")
        return
    complete = values[~np.isnan(values).any(axis=1)]
    if len(complete) < rows and (len(complete) <= columns or not complete.std(axis=0).all()):
        return
    standard = (complete - complete.mean(axis=0)) / complete.std(axis=0)
    eigenvalues, vectors = np.linalg.eigh(standard.T @ standard / len(complete))
    for vector in vectors.T[eigenvalues < DEPENDENT]:
        involved = np.flatnonzero(np.abs(vector) > 1e-3 * np.abs(vector).max())
        reason = f"{name}: the columns {', '.join(map(str, involved))} depend on one another, so a full covariance is singular."
        yield Fault(reason, f"Leave out one of them: {involved[-1]}, say.")


def _far(name: str, values: NDArray[np.float64], dtype: str) -> Iterator[FitWarning]:
    spread = np.nanstd(values, axis=0)
    ratio = np.where(spread > 0, np.abs(np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1), 0)
    if ratio.max() > FAR[dtype]:
        column = int(ratio.argmax())
        message = f"column {column} lies {ratio.max():.2g} standard deviations from 0; {dtype} keeps few digits of it."
        yield FitWarning(name, message, "Subtract a round number near its mean.")
