"""Functions around the digamma function in plain NumPy, by their series; the compiler half needs no SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SHIFT = 8
"""Steps of the recurrence after which the asymptotic series, cut off as below, is exact to rounding."""


def digamma(a: Array) -> Array:
    """d ln Gamma(a) / da for a > 0: psi(a) = psi(a + 1) - 1 / a, then the series in 1 / a (Abramowitz and Stegun 6.3.18)."""
    below = sum((1 / (a + step) for step in range(SHIFT)), np.zeros(np.shape(a)))
    b = a + SHIFT
    series = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
    tail = sum((term * b ** (-2.0 * power) for power, term in enumerate(series, 1)), np.zeros(np.shape(a)))
    return np.asarray(np.log(b) - 1 / (2 * b) - tail - below)


def trigamma(a: Array) -> Array:
    """The derivative of digamma (Abramowitz and Stegun 6.4.12)."""
    below = sum((1 / (a + step) ** 2 for step in range(SHIFT)), np.zeros(np.shape(a)))
    b = a + SHIFT
    series = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
    tail = sum(
        (term * b ** (-2.0 * power - 1) for power, term in enumerate(series, 1)), np.zeros(np.shape(a))
    )
    return np.asarray(1 / b + 1 / (2 * b**2) + tail + below)


def inverse_digamma(y: Array) -> Array:
    """The a with digamma(a) = y: Newton's method (Minka, Estimating a Dirichlet distribution, 2000, appendix C)."""
    a = np.where(y > -2.22, np.exp(y) + 0.5, -1 / (y - digamma(np.ones(()))))
    for _ in range(8):
        a = a - (digamma(a) - y) / trigamma(a)
    return np.asarray(a)


def gamma_shape(s: Array) -> Array:
    """The a with ln a - digamma(a) = s: Newton's method in 1 / a (Minka, Estimating a Gamma distribution, 2002)."""
    s = np.maximum(s, 100 * np.finfo(float).eps)
    a = (3 - s + np.sqrt((3 - s) ** 2 + 24 * s)) / (12 * s)
    for _ in range(8):
        a = 1 / (1 / a + (np.log(a) - digamma(a) - s) / (a - a**2 * trigamma(a)))
    return np.asarray(a)
