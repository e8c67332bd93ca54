"""Domains as the user writes them: `Real(2, 3)`, `Simplex(["yes", "no"])`. They make the records of bnlab.domains.

A wrong size or label is a fault of the network being declared, and its result is
`UNKNOWN`, which no check complains about again.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

from bnlab import domains
from bnlab.domains import Domain
from bnlab.network.draft import report
from bnlab.network.expression import shown
from bnlab.network.shapes import UNKNOWN


def Real(*shape: int) -> Domain:
    """Arrays of real numbers: `Real()` a scalar, `Real(2)` a vector, `Real(2, 3)` a matrix."""
    sizes = _sizes("Real", shape)
    return UNKNOWN if sizes is None else domains.Real(sizes)


def Positive(*shape: int) -> Domain:
    """Arrays of positive numbers: `Positive()` a scalar, `Positive(2)` a vector."""
    sizes = _sizes("Positive", shape)
    return UNKNOWN if sizes is None else domains.Positive(sizes)


def Covariance(dim: int) -> Domain:
    """Symmetric positive definite matrices of `dim` rows."""
    sizes = _sizes("Covariance", (dim,))
    return UNKNOWN if sizes is None else domains.Covariance(*sizes)


def Probability() -> Domain:
    """A number from 0 to 1."""
    return domains.Probability()


def Simplex(size: int | Sequence[str]) -> Domain:
    """Probabilities of `size` categories, or of the categories named in a list."""
    categories = _categories("Simplex", size)
    return UNKNOWN if categories is None else domains.Simplex(*categories)


def Integer(size: int | Sequence[str]) -> Domain:
    """A category: 0 to `size` - 1, or one of the names in a list."""
    categories = _categories("Integer", size)
    return UNKNOWN if categories is None else domains.Integer(*categories)


def whole(value: object) -> int | None:
    """The integer that `value` is (NumPy's count, booleans and 2.0 do not), or None."""
    if isinstance(value, bool):
        return None
    try:
        return index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def _sizes(name: str, shape: tuple[object, ...]) -> tuple[int, ...] | None:
    sizes = [whole(size) for size in shape]
    for size, written in zip(sizes, shape, strict=True):
        if size is None or size < 1:
            example = {"Covariance": "Covariance(2)"}.get(name, f"{name}(), {name}(2) or {name}(2, 3)")
            report(
                f"{name} has {shown(written)} for a size. A size is a positive integer.", f"Write {example}."
            )
            return None
    return tuple(size for size in sizes if size is not None)


def _categories(name: str, size: object) -> tuple[int, tuple[str, ...]] | None:
    remedy = f'Write {name}(3) or {name}(["yes", "no"]).'
    if isinstance(size, list | tuple):
        if not size or not all(isinstance(label, str) and label for label in size):
            report(f"The categories of {name} are a list of non-empty texts.", remedy)
            return None
        if len(set(size)) < len(size):
            report(f"{name} names a category twice: {', '.join(ascii(label) for label in size)}.", remedy)
            return None
        return len(size), tuple(size)
    number = whole(size)
    if number is None or number < 1:
        report(f"{name} has {shown(size)} for a size. A size is a positive integer.", remedy)
        return None
    return number, ()
