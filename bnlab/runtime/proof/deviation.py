"""How far something is from what a law says it must be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

OF_SUMS = 1e-12
"""The least tolerance of what is summed over data."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """`number` is the largest difference, in units of 1 + the largest expected entry; the law holds up to `tolerance`."""

    what: str
    number: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return bool(self.number <= self.tolerance)  # NaN fails

    def __str__(self) -> str:
        return f"{self.what}: off by {self.number:.2g}, at most {self.tolerance:.0e} is rounding"


def difference(
    what: str, found: ArrayLike, expected: ArrayLike, tolerance: float, scale: float | None = None
) -> Deviation:
    """The largest difference over `scale`; 1 + the largest expected entry if none is given."""
    actual, wanted = np.asarray(found, float), np.asarray(expected, float)
    if actual.shape != wanted.shape:
        return Deviation(f"{what} (shape {actual.shape}, not {wanted.shape})", np.inf, tolerance)
    unit = 1 + np.abs(wanted).max(initial=0.0) if scale is None else scale
    with np.errstate(invalid="ignore"):
        gap = np.where(actual == wanted, 0.0, np.abs(actual - wanted))  # equal infinities do not differ
    return Deviation(what, float(gap.max(initial=0.0) / unit), tolerance)


def differences(
    what: str, found: Mapping[str, ArrayLike], expected: Mapping[str, ArrayLike], tolerance: float
) -> Iterator[Deviation]:
    """One deviation for each entry expected."""
    for name, value in expected.items():
        yield difference(f"{what}: {name}", found[name], value, tolerance)


def eased(deviations: Iterable[Deviation], rounding: float) -> Iterator[Deviation]:
    """The same, with at least `rounding` for what is rounding of sums; what is exact, or a sum of shares, stays so."""
    for one in deviations:
        yield replace(one, tolerance=max(one.tolerance, rounding)) if one.tolerance >= OF_SUMS else one


def worst(law: str, deviations: Iterable[Deviation]) -> Deviation:
    """The deviation that is largest in units of its tolerance; 0 of an empty list."""
    found = list(deviations)
    if not found:
        return Deviation(law, 0.0, 0.0)

    def badness(one: Deviation) -> float:
        ratio = one.number / one.tolerance if one.tolerance else np.inf if one.number else 0.0
        return float(np.nan_to_num(ratio, nan=np.inf))

    return max(found, key=badness)
