"""A Normal prior on a mean: its precision and its location, and its log density."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Values
from bnlab.families import hyper
from bnlab.families.base import Belief, Hyper, PriorOn
from bnlab.families.hyper import Array
from bnlab.program.build import add, divide, einsum, log, minus, multiply, subtract, total
from bnlab.program.ops import Axes, Expr, Linear, Number, Symbol
from bnlab.program.walk import reindexed


def is_full(prior: PriorOn) -> bool:
    """Whether the prior has a covariance matrix."""
    return "cov" in prior.constants


def _moments(constants: Mapping[str, Values], axes: Axes, event: Axes) -> tuple[Array, Array]:
    """The mean and the variances of every entry, or the covariance matrix of every vector."""
    mean = hyper.spread(constants["mean"], axes)
    if "cov" in constants:
        return mean, hyper.spread(constants["cov"], (*minus(axes, event), *event))
    spread = constants["var"].array if "var" in constants else constants["std"].array ** 2
    return mean, np.broadcast_to(spread, mean.shape)


def _inverse(matrices: Array) -> Array:
    return np.asarray(np.linalg.inv(matrices), np.float64)


def precision_and_mean(prior: PriorOn, axes: Axes, event: Axes, full: bool) -> tuple[Expr, Expr]:
    """The precision (a matrix if `full`) and the location of a parameter with these axes."""
    mean, spread = _moments(prior.constants, axes, event)
    location = hyper.expression(mean, axes)
    if not full:
        return hyper.expression(1 / spread, axes), location
    diagonal = spread.ndim == mean.ndim
    matrix = np.eye(mean.shape[-1]) / spread[..., None] if diagonal else _inverse(spread)
    return hyper.matrix_expression(matrix, (*minus(axes, event), *event)), location


def normal_hyper(prior: PriorOn, axes: Axes, event: Axes) -> Hyper:
    """The mean, and the covariance of each vector if `event` has an axis for its columns, else variances."""
    mean, spread = _moments(prior.constants, axes, event)
    if len(event) < 2:
        return {"mean": (axes, mean), "var": (axes, spread)}
    square = (*minus(axes, event), *event)
    cov = np.eye(mean.shape[-1]) * spread[..., None] if spread.ndim == mean.ndim else spread
    return {"mean": (axes, mean), "cov": (square, cov)}


def belief_precision(belief: Belief) -> Expr:
    """The inverse of the prior's covariance, or of its variances."""
    if len(belief.event) == 2:
        return Linear("inverse", belief.prior["cov"], belief.prior["cov"].axes)
    return divide(Number(1.0), belief.prior["var"])


def normal_divergence(belief: Belief) -> Expr:
    """(tr(V0^-1 V) + (m - m0)' V0^-1 (m - m0) - D + ln |V0| - ln |V|) / 2 for q = N(m, V) and the prior N(m0, V0)."""
    moved = subtract(belief["mean"], belief.prior["mean"])
    precision = belief_precision(belief)
    if len(belief.event) < 2:
        var, before = belief["var"], belief.prior["var"]
        ratio = divide(add(var, multiply(moved, moved)), before)
        terms: tuple[Expr, ...] = (subtract(ratio, Number(1.0)), log(divide(before, var)))
        return add(*(multiply(Number(0.5), total(term, belief.axes)) for term in terms))
    cov, (row, column) = belief["cov"], belief.event
    size = Number(float(row.size or 1))
    terms = (
        einsum(belief.plates, moved, precision, reindexed(moved, {row: column})),
        subtract(einsum(belief.plates, precision, cov), size),
        subtract(*(Linear("log_det", each, belief.plates) for each in (belief.prior["cov"], cov))),
    )
    return add(*(multiply(Number(0.5), total(term, belief.plates)) for term in terms))


def log_normal_prior(value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
    """The log density of every draw, summed.

    `event` holds the axis of a vector, and a second one for the columns of a covariance.
    """
    mean, spread = _moments(constants, value.axes, event)
    residual = subtract(value, hyper.expression(mean, value.axes))
    if spread.ndim == mean.ndim:
        normaliser = Number(float(-0.5 * np.log(2 * np.pi * spread).sum()))
        precision = hyper.expression(1 / spread, value.axes)
        return add(multiply(Number(-0.5), einsum((), residual, residual, precision)), normaliser)
    row, column = event
    log_det = np.linalg.slogdet(spread)[1].sum()
    normaliser = Number(float(-0.5 * (mean.size * np.log(2 * np.pi) + log_det)))
    columns = tuple(column if axis == row else axis for axis in value.axes)
    twin = subtract(Symbol(value.name, columns, value.space), hyper.expression(mean, columns))
    precision = hyper.matrix_expression(_inverse(spread), (*minus(value.axes, event), *event))
    return add(multiply(Number(-0.5), einsum((), residual, precision, twin)), normaliser)
