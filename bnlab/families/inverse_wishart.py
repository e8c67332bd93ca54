"""Inverse Wishart: the conjugate prior of a covariance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Covariance, Domain, Positive, Values
from bnlab.families import hyper
from bnlab.families.base import AbstractFamily, PriorOn, Slot
from bnlab.program.build import add, einsum, minus, multiply, total
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
        plates, dim = minus(value.axes, event), event[0].size or 1
        df, scale = hyper.spread(constants["df"], plates), hyper.spread(constants["scale"], value.axes)
        determinants = np.linalg.slogdet(scale)[1]
        normaliser = float(
            np.sum(df / 2 * (determinants - dim * np.log(2)) - hyper.log_multigamma(df / 2, dim))
        )
        half_log_det = Linear("log_diagonal_sum", Linear("cholesky", value, value.axes), plates)
        power = multiply(hyper.expression(-(df + dim + 1), plates), half_log_det)
        inverse = Linear("inverse", value, value.axes)
        trace = einsum((), hyper.matrix_expression(scale, value.axes), inverse)
        return add(total(power, plates), multiply(Number(-0.5), trace), Number(normaliser))


def posterior_scatter(
    prior: PriorOn, scatter: Expr, count: Expr, axes: Axes, event: Axes
) -> tuple[Expr, Expr]:
    """The scatter plus the prior's scale, and the count plus df + D + 1: their ratio is the mode."""
    plates, dim = minus(axes, event), event[0].size or 1
    df, scale = hyper.spread(prior.constants["df"], plates), hyper.spread(prior.constants["scale"], axes)
    return add(scatter, hyper.matrix_expression(scale, axes)), add(
        count, hyper.expression(df + dim + 1, plates)
    )


FAMILY = InverseWishart()
