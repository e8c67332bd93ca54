"""Whether numbers are in a domain: simplices sum to 1, variances are not negative, covariances are positive semidefinite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Covariance, Domain, Positive, Probability, Real, Simplex
from bnlab.families.base import AbstractFamily, Slot

SUM_TOLERANCE = 1e-8
"""How far the sum of a simplex may be from 1: more than the rounding of a long sum, less than a digit somebody forgot."""

RELATIVE_TOLERANCE = 1e-10
"""Asymmetry and negative eigenvalues, relative to the largest entry, that rounding alone explains."""

Numbers = NDArray[np.float64]


WRONG_RANK: dict[type[Domain], str] = {
    Covariance: "A covariance is a square matrix.",
    Simplex: "Probabilities of categories are a vector.",
}
"""Why a constant has the wrong number of axes for the kind of domain that stands there."""


def domain_of_constant(slot: Slot, shape: tuple[int, ...]) -> Domain | None:
    """A domain of the slot's kind that arrays of `shape`, with any leading axes, may be in; None if their rank is wrong."""
    kind = slot.domains[0]
    if kind is Covariance:
        return Covariance(shape[-1]) if len(shape) >= 2 and shape[-1] == shape[-2] else None
    if kind is Simplex:
        return Simplex(shape[-1]) if shape else None
    return kind()


def position(family: AbstractFamily, slot: Slot) -> int:
    """Where the slot's argument stands among those without a name; -1 if it must be named."""
    order = [each.name for each in family.slots if not each.group]
    return order.index(slot.name) if slot.name in order else -1


def outside(array: Numbers, domain: Domain, strict: bool = False) -> str:
    """Why `array`, members of `domain` with any leading axes, is not in it; empty if it is.

    Limits count as inside, because a known variance may be 0 and a known covariance singular, unless `strict`.
    """
    if not np.isfinite(array).all():
        return "It has an entry that is infinite or not a number."
    match domain:
        case Positive():
            return _least(array, 0.0, strict)
        case Probability():
            return "" if ((array >= 0) & (array <= 1)).all() else "A probability is from 0 to 1."
        case Simplex():
            return _simplex(array)
        case Covariance():
            return _covariance(array, strict)
        case Real():
            return ""
        case _:
            return f"{type(domain).__name__} is not a domain of numbers to be given here."


def _least(array: Numbers, bound: float, strict: bool) -> str:
    least = float(array.min(initial=np.inf))
    if strict and least <= bound:
        return f"It must be positive, and has an entry {least:g}."
    return f"It must not be negative, and has an entry {least:g}." if least < bound else ""


def _simplex(array: Numbers) -> str:
    if array.min(initial=0.0) < 0:
        return f"A probability is not negative, and it has an entry {array.min():g}."
    sums = array.sum(-1)
    worst = sums.flat[np.abs(sums - 1).argmax()] if sums.size else 1.0
    return f"Probabilities sum to 1, and it sums to {worst:.10g}." if abs(worst - 1) > SUM_TOLERANCE else ""


def _covariance(array: Numbers, strict: bool) -> str:
    scale = np.abs(array).max(initial=0.0)
    if np.abs(array - array.swapaxes(-1, -2)).max(initial=0.0) > RELATIVE_TOLERANCE * scale:
        return "A covariance is symmetric."
    least = np.linalg.eigvalsh(array).min(initial=np.inf)
    if least < -RELATIVE_TOLERANCE * scale or (strict and least <= 0):
        return f"A covariance is positive definite, and it has the eigenvalue {least:.4g}."
    return ""
