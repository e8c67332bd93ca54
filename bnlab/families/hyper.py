"""Hyper-parameters as arrays over a parameter's axes, and back as the smallest constant that says the same."""

from __future__ import annotations

from math import lgamma, pi
from math import log as ln

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Values
from bnlab.families.base import Belief
from bnlab.program.build import add, constant, divide, log, multiply, subtract, total
from bnlab.program.ops import Axes, Expr, Number, Unary

Array = NDArray[np.float64]


def log_gamma(array: Array) -> Array:
    """ln Gamma of every entry."""
    return np.array([lgamma(value) for value in array.flat]).reshape(array.shape)


def log_multigamma(array: Array, dim: int) -> Array:
    """The logarithm of the multivariate gamma function of every entry."""
    each = sum((log_gamma(array - j / 2) for j in range(dim)), np.zeros(array.shape))
    return each + dim * (dim - 1) / 4 * ln(pi)


def sizes(axes: Axes) -> tuple[int, ...]:
    return tuple(axis.size or 1 for axis in axes)


def spread(values: Values, axes: Axes) -> Array:
    """The values for every entry of a parameter: they have the axes of its event, or of its plates and its event."""
    return np.broadcast_to(values.array, sizes(axes))


def expression(array: Array, axes: Axes) -> Expr:
    """The array as a constant, without leading axes along which it does not change; one number if it is one."""
    while array.ndim and np.all(array == array[:1]):
        array, axes = array[0], axes[1:]
    if array.ndim and np.all(array == array.flat[0]):
        return Number(float(array.flat[0]))
    values = Values.of(array)
    return constant(values.flat, values.shape, axes)


def log_powers(base: Expr, powers: Array, axes: Axes) -> tuple[Expr, ...]:
    """The log of the product of base^power; nothing where all powers are 0, since 0^0 is 1 and 0 ln 0 is not a number."""
    if not np.any(powers):
        return ()
    logs = log(base) if np.all(powers == 1) else multiply(expression(powers, axes), log(base))
    return (total(logs, axes),)


def matrix_expression(array: Array, axes: Axes) -> Expr:
    """Matrices as a constant, without leading axes along which they do not change."""
    while array.ndim > 2 and np.all(array == array[:1]):
        array, axes = array[0], axes[1:]
    values = Values.of(array)
    return constant(values.flat, values.shape, axes)


def gamma_divergence(belief: Belief, scale: str) -> Expr:
    """KL between two Gammas of concentration a and rate b, or between the inverse Gammas of scale b: they are the same.

    (a - a0) digamma(a) + ln Gamma(a0) - ln Gamma(a) + a0 ln(b / b0) + a (b0 - b) / b.
    """
    a, b = belief["concentration"], belief[scale]
    a0, b0 = belief.prior["concentration"], belief.prior[scale]
    shapes = add(
        multiply(subtract(a, a0), Unary("digamma", a)), subtract(Unary("gammaln", a0), Unary("gammaln", a))
    )
    scales = add(multiply(a0, log(divide(b, b0))), divide(multiply(a, subtract(b0, b)), b))
    return total(add(shapes, scales), a.axes)
