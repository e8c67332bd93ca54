"""Inverse Wishart: the conjugate prior of a covariance."""

from __future__ import annotations

from collections.abc import Mapping
from math import lgamma, log, pi

import numpy as np

from bnlab.domains import Covariance, Domain, Positive, Values
from bnlab.families.base import AbstractFamily, PriorOn, Slot
from bnlab.program.build import add, constant, einsum, minus, multiply, total
from bnlab.program.ops import Axes, Expr, Linear, Number, Symbol


class InverseWishart(AbstractFamily):
    """p(Sigma) proportional to |Sigma|^(-(df + D + 1) / 2) exp(-tr(scale Sigma^-1) / 2)."""

    name = "InverseWishart"
    slots = (Slot("df", (Positive,)), Slot("scale", (Covariance,)))
    is_cpd = False
    is_prior = True

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        return Covariance(arguments["scale"].event_shape[0])

    def log_prior(self, value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
        scale, df, dim = constants["scale"], constants["df"].flat[0], constants["scale"].shape[0]
        plates = minus(value.axes, event)
        rows = 1
        for axis in plates:
            rows *= axis.size or 1
        log_det_scale = float(np.linalg.slogdet(scale.array)[1])
        gamma = dim * (dim - 1) / 4 * log(pi) + sum(lgamma((df - i) / 2) for i in range(dim))
        normaliser = rows * (df / 2 * log_det_scale - df * dim / 2 * log(2) - gamma)
        half_log_det = Linear("log_diagonal_sum", Linear("cholesky", value, value.axes), plates)
        trace = einsum((), constant(scale.flat, scale.shape, event), Linear("inverse", value, value.axes))
        return add(
            multiply(Number(-(df + dim + 1)), total(half_log_det, plates)),
            multiply(Number(-0.5), trace),
            Number(normaliser),
        )


def posterior_scatter(prior: PriorOn, scatter: Expr, count: Expr, event: Axes) -> tuple[Expr, Expr]:
    """The scatter plus the prior's scale, and the count plus df + D + 1: their ratio is the mode."""
    scale = prior.constants["scale"]
    pseudo = prior.constants["df"].flat[0] + scale.shape[0] + 1
    return add(scatter, constant(scale.flat, scale.shape, event)), add(count, Number(pseudo))


FAMILY = InverseWishart()
