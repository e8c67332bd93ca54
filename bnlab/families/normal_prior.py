"""A Normal prior on a mean: its precision and its location, and its log density."""

from __future__ import annotations

from collections.abc import Mapping
from math import log, pi

import numpy as np

from bnlab.domains import Values
from bnlab.families.base import PriorOn
from bnlab.program.build import add, constant, einsum, multiply, subtract
from bnlab.program.ops import Axes, Expr, Number, Symbol


def is_full(prior: PriorOn) -> bool:
    """Whether the prior has a covariance matrix."""
    return "cov" in prior.constants


def _moments(constants: Mapping[str, Values], size: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the variances as vectors of `size`, or the covariance matrix."""
    mean = np.broadcast_to(constants["mean"].array, (size,))
    if "cov" in constants:
        return mean, constants["cov"].array
    spread = constants["var"].array if "var" in constants else constants["std"].array ** 2
    return mean, np.broadcast_to(spread, (size,))


def _constant(array: np.ndarray, axes: Axes) -> Expr:
    values = Values.of(array)
    if len(set(values.flat)) == 1 and array.ndim == 1:
        return Number(values.flat[0])
    return constant(values.flat, values.shape, axes)


def precision_and_mean(prior: PriorOn, event: Axes, full: bool) -> tuple[Expr, Expr]:
    """The precision (a matrix if `full`) and the location."""
    size = (event[0].size or 1) if event else 1
    mean, spread = _moments(prior.constants, size)
    location = _constant(mean, event[:1])
    if not full:
        return _constant(1 / spread, event[:1]), location
    matrix = np.linalg.inv(spread) if spread.ndim == 2 else np.diag(1 / spread)
    return _constant(matrix, event), location


def log_normal_prior(value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
    """The log density of every draw, summed; `event` holds one axis for a vector, or two where there is a
    covariance.
    """
    size = (event[0].size or 1) if event else 1
    mean, spread = _moments(constants, size)
    rows = 1
    for axis in value.axes:
        rows *= axis.size or 1
    rows //= size
    log_det = float(np.linalg.slogdet(spread)[1]) if spread.ndim == 2 else float(np.log(spread).sum())
    normaliser = Number(-0.5 * rows * (size * log(2 * pi) + log_det))
    residual = subtract(value, _constant(mean, event[:1]))
    if spread.ndim == 1:
        return add(
            multiply(Number(-0.5), einsum((), residual, residual, _constant(1 / spread, event[:1]))),
            normaliser,
        )
    row, column = event
    twin = subtract(
        Symbol(value.name, tuple(column if axis == row else axis for axis in value.axes), value.space),
        _constant(mean, (column,)),
    )
    quadratic = einsum((), residual, constant(*_flat(np.linalg.inv(spread)), event), twin)
    return add(multiply(Number(-0.5), quadratic), normaliser)


def _flat(array: np.ndarray) -> tuple[tuple[float, ...], tuple[int, ...]]:
    values = Values.of(array)
    return values.flat, values.shape
