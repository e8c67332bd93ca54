"""Values: what stands in the rows of one variable must be in its domain. All faults at once, with row and column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Count, Integer, Positive, Simplex
from bnlab.errors import Fault
from bnlab.families.base import registry
from bnlab.naming import did_you_mean
from bnlab.network.graph import cpds
from bnlab.network.ir import Variable

Place = Callable[[int], str]
SHOWN = 5
"""How many places a message names before it only counts."""


def convert(
    variable: Variable, array: NDArray[Any], place: Place, dtype: str
) -> tuple[NDArray[Any], list[Fault]]:
    """`array` (rows, ...) as floats, NaN where one is missing, or as category numbers, -1 where one is missing, and what is
    wrong with it; `place` names a row. Tables of allowed states are boolean, and stay as they are.
    """
    domain = variable.domain
    if isinstance(domain, Simplex):
        return array.astype(bool), []
    if isinstance(domain, Integer):
        return _categories(variable, domain, array, place)
    return _reals(variable, array, place, dtype)


def _reals(
    variable: Variable, array: NDArray[Any], place: Place, dtype: str
) -> tuple[NDArray[Any], list[Fault]]:
    numbers, faults = _numbers(variable, array, place)
    faults += _missing(variable, np.isnan(numbers), place)
    if (infinite := np.isinf(numbers)).any():
        faults.append(Fault(f"{variable.name} is infinite at {_places(infinite, place)}."))
    limit = (
        1e150 if dtype == "float64" else 1e18
    )  # far enough below the largest float's root to sum many squares
    if (large := (np.abs(numbers) > limit) & ~np.isinf(numbers)).any():
        reason = f"{variable.name}: values overflow {dtype} when squared, at {_places(large, place)}."
        faults.append(Fault(reason, "Rescale them: divide by a unit of their own size."))
    return numbers, faults + _excluded(variable, numbers, place)


def _excluded(variable: Variable, numbers: NDArray[np.float64], place: Place) -> list[Fault]:
    """Values outside the domain: fractions of events, times or known deviations that are not above 0."""
    match variable.domain:
        case Count():
            wrong = np.isfinite(numbers) & ((numbers < 0) | (numbers != np.round(numbers)))
            wanted = "counts are whole numbers from 0"
        case Positive():
            wrong, wanted = numbers <= 0, "it must be positive"
        case _:
            return []
    if not wrong.any():
        return []
    return [Fault(f"{variable.name} is {_first(numbers, wrong):g} at {_places(wrong, place)}; {wanted}.")]


def _numbers(
    variable: Variable, array: NDArray[Any], place: Place
) -> tuple[NDArray[np.float64], list[Fault]]:
    """Floats, with NaN where there is none."""
    if array.dtype.kind in "biuf":
        return np.array(
            array, dtype=np.float64, order="C"
        ), []  # a copy: what the user writes later is not the fit's
    if array.dtype.kind != "O":
        kind = {"c": "complex numbers", "U": "text", "S": "bytes"}.get(
            array.dtype.kind, f"the type {array.dtype}"
        )
        return np.zeros(array.shape), [Fault(f"{variable.name} holds {kind}; it wants real numbers.")]
    numbers = np.full(array.shape, np.nan)
    wrong = np.zeros(array.shape, dtype=bool)
    for index, value in np.ndenumerate(array):
        if isinstance(value, bool | int | float | np.number) and not isinstance(
            value, complex | np.complexfloating
        ):
            numbers[index] = value
        elif value is not None:
            wrong[index] = True
    numbers[wrong] = 0.0
    faults = [
        Fault(
            f"{variable.name} holds {_first(array, wrong)!r} at {_places(wrong, place)}; it wants real numbers."
        )
    ]
    return numbers, faults if wrong.any() else []


def _categories(
    variable: Variable, domain: Integer, array: NDArray[Any], place: Place
) -> tuple[NDArray[Any], list[Fault]]:
    if array.dtype.kind in "OUS":
        return _named(variable, domain, array, place)
    numbers, faults = _numbers(variable, array, place)
    missing = np.isnan(numbers) | ((numbers < 0) & (numbers == np.round(numbers)))
    if missing.any() and variable.role == "given":
        reason = f"{variable.name} is given, and missing at {_places(missing, place)}: it has no distribution to sum out."
        faults.append(Fault(reason, "Fill it in, or declare it observed."))
    broken = ~missing & (numbers != np.round(numbers))
    if broken.any():
        example = _first(numbers, broken)
        faults.append(
            Fault(
                f"{variable.name} is {example:g} at {_places(broken, place)}; categories are integers from 0."
            )
        )
    outside = ~missing & ~broken & (numbers >= domain.size)
    if outside.any():
        reason = f"{variable.name} is {_first(numbers, outside):g} at {_places(outside, place)}"
        faults.append(Fault(f"{reason}; it has {domain.size} categories, 0 to {domain.size - 1}."))
    return np.where(missing | broken | outside, -1, numbers).astype(np.int64), faults


def _named(
    variable: Variable, domain: Integer, array: NDArray[Any], place: Place
) -> tuple[NDArray[Any], list[Fault]]:
    """Category numbers of names; numbers among them, and None, are taken as in an array of numbers."""
    index = {label: float(number) for number, label in enumerate(domain.labels)}
    numbers = np.full(array.shape, np.nan)
    unknown: dict[str, NDArray[np.bool_]] = {}
    for where, value in np.ndenumerate(array):
        if isinstance(value, str) and value in index:
            numbers[where] = index[value]
        elif isinstance(value, str | bytes) and value:  # an empty cell is a missing value
            unknown.setdefault(str(value), np.zeros(array.shape, dtype=bool))[where] = True
            numbers[where] = 0.0
        elif isinstance(value, int | float | np.number):
            numbers[where] = value
    faults = [_unknown_label(variable, domain, label, _places(at, place)) for label, at in unknown.items()]
    converted, others = _categories(variable, domain, numbers, place)
    return converted, faults[:SHOWN] + others


def _unknown_label(variable: Variable, domain: Integer, label: str, places: str) -> Fault:
    if not domain.labels:
        reason = f"{variable.name} is {label!r} at {places}; its categories have no names."
        return Fault(
            reason,
            f"Write integers from 0 to {domain.size - 1}, or name them: Simplex([...]), Integer([...]).",
        )
    known = ", ".join(domain.labels)
    reason = f"{variable.name} is {label!r} at {places}; its categories are {known}."
    return Fault(reason, did_you_mean(label, domain.labels).strip())


def _missing(variable: Variable, missing: NDArray[np.bool_], place: Place) -> list[Fault]:
    """Numbers that may not be missing: given ones, and parts of vectors that have no density without the rest."""
    if not missing.any():
        return []
    if variable.role == "given":
        reason = f"{variable.name} is given, and missing at {_places(missing, place)}: it has no distribution to integrate out."
        return [Fault(reason, "Fill it in, or declare it observed.")]
    event = tuple(range(-len(variable.domain.event_shape), 0))
    families = {cpd.family for cpd in cpds(variable) if not registry()[cpd.family].entrywise}
    partly = missing & ~missing.all(event, keepdims=True)
    if not families or not event or not partly.any():
        return []
    named = " or ".join(sorted(families))
    reason = f"{variable.name} is missing in part at {_places(partly, place)}: "
    if all(registry()[family].given_total for family in families):
        reason += f"a {named} is the distribution of counts given their sum, which is not known where one of them is missing."
        advice = (
            "Leave the whole vector out, as NaN; where the sum is known and one count is missing, it is the rest. Counts "
            "that are Poisson may be missing one by one."
        )
        return [Fault(reason, advice)]
    reason += f"what is left of the density of a {named} is not derived."
    return [Fault(reason, "Leave the whole vector out, as NaN, or fill it in.")]


def _first(array: NDArray[Any], where: NDArray[np.bool_]) -> Any:
    return array[where].flat[0] if where.any() else None


def _places(where: NDArray[np.bool_], place: Place) -> str:
    """The first few places where `where` holds, and how many more there are."""
    indices = np.argwhere(where)
    named = [_place(index, place) for index in indices[:SHOWN]]
    more = len(indices) - len(named)
    return "; ".join(named) + (f" and {more} more" if more else "")


def _place(index: NDArray[np.int64], place: Place) -> str:
    row, *rest = map(int, index) if len(index) else (0,)
    column = f", column {', '.join(map(str, rest))}" if rest else ""
    return place(row) + column
