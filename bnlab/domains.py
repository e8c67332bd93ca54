"""The sets that parameters and variables live in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Values:
    """An array that can be compared and hashed: `flat` in C order, of `shape`."""

    shape: tuple[int, ...]
    flat: tuple[float, ...]

    @classmethod
    def of(cls, array: ArrayLike) -> Self:
        """The values of anything NumPy takes for an array of real numbers."""
        numbers = np.asarray(array, dtype=float)
        return cls(numbers.shape, tuple(numbers.ravel().tolist()))

    @property
    def array(self) -> NDArray[np.float64]:
        return np.array(self.flat, dtype=float).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Domain:
    """A set of values. `event_shape` is the shape of one member; `labels` name categories, if named."""

    @property
    def event_shape(self) -> tuple[int, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Real(Domain):
    """Arrays of real numbers of the given shape; a scalar without one."""

    shape: tuple[int, ...] = ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.shape


@dataclass(frozen=True, slots=True)
class Positive(Domain):
    """Arrays of positive numbers of the given shape; a scalar without one."""

    shape: tuple[int, ...] = ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.shape


@dataclass(frozen=True, slots=True)
class Count(Domain):
    """Arrays of whole numbers from 0, without a largest one; a scalar without a shape. Only variables are counts."""

    shape: tuple[int, ...] = ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.shape


@dataclass(frozen=True, slots=True)
class Covariance(Domain):
    """Symmetric positive definite matrices of `dim` rows."""

    dim: int

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.dim, self.dim)


@dataclass(frozen=True, slots=True)
class Probability(Domain):
    """A number from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Simplex(Domain):
    """`size` non-negative numbers that sum to 1, one for each category; `labels` may name the categories."""

    size: int
    labels: tuple[str, ...] = ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.size,)


@dataclass(frozen=True, slots=True)
class Integer(Domain):
    """A category, 0 to `size` - 1; `labels` may name them. The domain of every discrete variable."""

    size: int
    labels: tuple[str, ...] = ()
