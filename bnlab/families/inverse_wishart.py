"""Inverse Wishart: the conjugate prior of a covariance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Covariance, Domain, Positive, Values
from bnlab.families import hyper
from bnlab.families.base import AbstractFamily, Belief, Draws, Hyper, Numbers, PriorOn, Slot
from bnlab.program.build import add, divide, einsum, minus, multiply, subtract, total
from bnlab.program.ops import Axes, Axis, Binary, Constant, Expr, Linear, Number, Symbol, Unary, Where


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

    def hyperparameters(self, prior: PriorOn, axes: Axes, event: Axes) -> Hyper:
        plates = minus(axes, event)
        return {
            "df": (plates, hyper.spread(prior.constants["df"], plates)),
            "scale": (axes, hyper.spread(prior.constants["scale"], axes)),
        }

    def divergence(self, belief: Belief) -> Expr:
        """That of the Wisharts of the inverses: df0 (ln |scale| - ln |scale0|) / 2 + df (tr(scale0 scale^-1) - D) / 2
        + ln Gamma_D(df0 / 2) - ln Gamma_D(df / 2) + (df - df0) digamma_D(df / 2) / 2."""
        df, scale, (row, _) = belief["df"], belief["scale"], belief.event
        df0, scale0 = belief.prior["df"], belief.prior["scale"]
        half = Number(0.5)
        log_dets = (Linear("log_det", each, df.axes) for each in (scale, scale0))
        trace = einsum(df.axes, scale0, Linear("inverse", scale, scale.axes))
        inside, before = halves(df, row), halves(df0, row)
        terms = (
            multiply(half, df0, subtract(*log_dets)),
            multiply(half, df, subtract(trace, Number(float(row.size or 1)))),
            total(subtract(Unary("gammaln", before), Unary("gammaln", inside)), (row,)),
            multiply(half, subtract(df, df0), total(Unary("digamma", inside), (row,))),
        )
        return add(*(total(term, df.axes) for term in terms))

    def average(self, belief: Belief) -> Expr:
        """scale / (df - D - 1): there is no mean unless df is above D + 1."""
        df, scale, dim = belief["df"], belief["scale"], belief.event[0].size or 1
        less = subtract(df, Number(dim + 1.0))
        return Where(Binary(">", less, Number(0.0)), divide(scale, less), Number(float("nan")))

    def draw_belief(self, generator: np.random.Generator, hyper: Draws, count: int) -> Numbers:
        """By Bartlett's decomposition: with A A' ~ Wishart(df, I) and L L' = scale, L (A A')^-1 L' is one."""
        df, scale = hyper["df"], hyper["scale"]
        dim = scale.shape[-1]
        shape = (count, *np.shape(df), dim, dim)
        lower = np.tril(generator.standard_normal(shape), -1)
        squares = 2 * generator.standard_gamma(
            np.broadcast_to((df[..., None] - np.arange(dim)) / 2, shape[:-1])
        )
        root = np.linalg.cholesky(scale) @ np.linalg.inv(
            lower + np.sqrt(squares)[..., None] * np.eye(dim)
        ).swapaxes(-1, -2)
        return np.asarray(root @ root.swapaxes(-1, -2))


def halves(df: Expr, row: Axis) -> Expr:
    """(df - j) / 2 for j = 0 ... D - 1, along the axis of the rows: what digamma_D and ln Gamma_D sum over."""
    size = row.size or 1
    return divide(subtract(df, Constant(tuple(map(float, range(size))), (size,), (row,))), Number(2.0))


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
