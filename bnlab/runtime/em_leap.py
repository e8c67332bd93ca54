"""Steps longer than EM's own: the squared extrapolation of three of its iterates (SQUAREM, Varadhan and Roland 2008).

With r the first step and v the change of the second against it, EM that creeps along one direction is heading for a point
that is about |r| / |v| such steps away, and theta0 + 2 a r + a^2 v with a = |r| / |v| (their scheme S3) goes there. It is
taken in coordinates in which every value is admissible: logarithms of positive numbers, log odds, logarithms of the entries
of a simplex, the Cholesky factor of a covariance. Each parameter has its own length a, so that no unit is compared with
another. Nothing here promises a rise: `em_accelerate.py` looks, and takes EM's own step where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bnlab.domains import Covariance, Positive, Probability, Simplex
from bnlab.network.ir import Graph

LEAP = float(np.log(100))
"""The most that a logarithm is moved beyond EM's own iterate. EM hardly ever comes back from a probability that is all but
0, so it has to confirm a way there by steps of its own."""

Kind = Literal["positive", "probability", "simplex", "cov", "real"]


class Space(NamedTuple):
    """A learnt parameter and the kind of its coordinates."""

    parameter: str
    kind: Kind


def spaces(graph: Graph) -> tuple[Space, ...]:
    """The coordinates of every parameter that is learnt."""
    return tuple(Space(one.name, _kind(one.domain)) for one in graph.parameters if one.value is None)


def _kind(domain: object) -> Kind:
    match domain:
        case Positive():
            return "positive"
        case Probability():
            return "probability"
        case Simplex():
            return "simplex"
        case Covariance():
            return "cov"
        case _:
            return "real"


def extrapolated(kind: Kind, at: tuple[Array, Array, Array], reach: Array) -> tuple[Array, Array]:
    """Where three iterates of EM lead, and the length a of the step there, from 1 to `reach`. A length of 1 is the third
    iterate itself. Not a number where a covariance is too nearly singular for a Cholesky factor."""
    value = {
        "positive": _positive,
        "probability": _odds,
        "simplex": _simplex,
        "cov": _covariance,
        "real": _real,
    }
    return value[kind](at, reach)


def _step(u: tuple[Array, Array, Array], reach: Array) -> tuple[Array, Array]:
    """The extrapolation as a step beyond the third iterate, in coordinates of any shape, and its length."""
    r = u[1] - u[0]
    v = u[2] - u[1] - r
    straight, bend = jnp.sqrt((r**2).sum()), jnp.sqrt((v**2).sum())
    a = jnp.clip(jnp.where(bend > 0, straight / jnp.where(bend > 0, bend, 1), reach), 1, reach)
    a = jnp.where(straight > 0, a, 1)
    return 2 * (a - 1) * r + (a**2 - 1) * v, a


def _bounded(step: Array) -> Array:
    """A step of logarithms, all of it shortened where one entry moves too far."""
    return step * jnp.minimum(1, LEAP / jnp.maximum(jnp.abs(step).max(), LEAP))


def _real(at: tuple[Array, Array, Array], reach: Array) -> tuple[Array, Array]:
    step, a = _step(at, reach)
    return at[2] + step, a


def _logarithms(
    at: tuple[Array, Array, Array], inside: Array, log: Callable[[Array], Array], reach: Array
) -> tuple[Array, Array]:
    """The bounded step of the entries that are `inside`; others do not move."""
    u = tuple(jnp.where(inside, log(jnp.where(inside, one, 0.5)), 0) for one in at)
    step, a = _step((u[0], u[1], u[2]), reach)
    return _bounded(step), a


def _positive(at: tuple[Array, Array, Array], reach: Array) -> tuple[Array, Array]:
    inside = (at[0] > 0) & (at[1] > 0) & (at[2] > 0)
    step, a = _logarithms(at, inside, jnp.log, reach)
    return at[2] * jnp.exp(step), a


def _odds(at: tuple[Array, Array, Array], reach: Array) -> tuple[Array, Array]:
    inside = jnp.stack([(one > 0) & (one < 1) for one in at]).all(0)
    step, a = _logarithms(at, inside, lambda p: jnp.log(p) - jnp.log1p(-p), reach)
    p = at[2]
    rise = jnp.exp(step)
    return p * rise / (1 - p + p * rise), a


def _simplex(at: tuple[Array, Array, Array], reach: Array) -> tuple[Array, Array]:
    inside = (at[0] > 0) & (at[1] > 0) & (at[2] > 0)
    step, a = _logarithms(at, inside, jnp.log, reach)
    share = at[2] * jnp.exp(step)  # entries that are 0 stay 0
    return share / share.sum(-1, keepdims=True), a


def _covariance(at: tuple[Array, Array, Array], reach: Array) -> tuple[Array, Array]:
    """With L the factor of the third iterate, the others are L M M' L': M is lower triangular, and 1 at the third."""
    root = jnp.linalg.cholesky(at[2])

    def relative(one: Array) -> Array:
        m = jax.scipy.linalg.solve_triangular(root, jnp.linalg.cholesky(one), lower=True)
        diagonal = jnp.diagonal(m, axis1=-2, axis2=-1)
        return _with_diagonal(m, jnp.log(diagonal))

    step, a = _step((relative(at[0]), relative(at[1]), jnp.zeros_like(root)), reach)
    step = _bounded(step)
    moved = root @ _with_diagonal(step, jnp.exp(jnp.diagonal(step, axis1=-2, axis2=-1)))
    return moved @ jnp.swapaxes(moved, -1, -2), a


def _with_diagonal(matrix: Array, diagonal: Array) -> Array:
    """Lower triangular matrices with another diagonal."""
    return jnp.tril(matrix, -1) + jnp.eye(matrix.shape[-1], dtype=matrix.dtype) * diagonal[..., None]
