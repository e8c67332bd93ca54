"""How sure an estimate by EM is: the curvature of the log-likelihood (or log joint density) where EM ended.

The observed information is minus the second derivative of the emitted `log_evidence`, plus that of the log prior, in free
coordinates about the estimate (`coordinates.py`). Its inverse is the covariance of the estimate there, and the delta method
carries it to the user's numbers. At a maximum none of this depends on which coordinates are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bnlab.errors import Fault, FitError
from bnlab.network.declare import Network
from bnlab.runtime.coordinates import Base, Coordinates, Moves, coordinates, moved
from bnlab.runtime.em import precision
from bnlab.runtime.maps import GROUPS
from bnlab.runtime.marginal import densities, marginal_of
from bnlab.runtime.records import Bound, FitWarning, Partial
from bnlab.runtime.symmetry import drifting

MOST = 3000
"""Coordinates of the largest information matrix that is made: 72 MB, and as many passes over the data."""
BATCH = 16
"""Columns of the information made at once."""
SINGULAR = 1e-10
"""A direction in which the information, scaled to a diagonal of 1, is less than this is not determined by the data."""
STATIONARY = 0.05
"""How far, in standard errors, a Newton step may lead away from an estimate that is called a maximum."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Information:
    """The observed information at an estimate.

    `matrix` is in the coordinates named in `chart`; `covariance` its inverse. `step` is how far the estimate is from the
    maximum, in standard errors (the norm of a Newton step). `theta` are all parameters.
    """

    chart: Coordinates
    matrix: NDArray[np.float64]
    covariance: NDArray[np.float64]
    step: float
    theta: Arrays

    def warnings(self) -> tuple[FitWarning, ...]:
        """What makes standard errors doubtful."""
        if self.step <= STATIONARY:
            return ()
        message = f"EM ended {self.step:.2g} standard errors before the maximum; its errors are taken there."
        return (FitWarning("standard errors", message, "Fit with a smaller tol and a larger max_iter."),)


def information(network: Network, theta: Arrays, bound: Bound) -> Information:
    """The observed information of the data at `theta`, in 64 bits.

    Raises FitError where there are too many parameters, or where the information is singular or not positive: then
    `theta` is no isolated maximum, and the message names the directions.
    """
    with precision("float64"):
        free = {name: np.asarray(value, np.float64) for name, value in theta.items()}
        chart = coordinates(network.graph, free)
        if len(chart.names) > MOST:
            reason = f"{network.name} has {len(chart.names)} free coordinates; information is made for up to {MOST}."
            raise FitError(Fault(reason, "Use bn.bootstrap(fit), or draws: method='svi' or 'nuts'."))
        if not chart.names:
            raise FitError(Fault(f"{network.name} has no parameters to learn, so there is no information."))
        _refuse_flat(network, free)
        ready = marginal_of(network, bound, "float64")
        second = _second(network, bound.partial, chart.moves)
        gradient, matrix = jax.device_get(second(chart.base, ready.data))
    matrix = -(matrix + matrix.T) / 2
    covariance = _inverse(network, chart, matrix)
    return Information(chart, matrix, covariance, float(np.sqrt(gradient @ covariance @ gradient)), free)


def _refuse_flat(network: Network, theta: Arrays) -> None:
    """Raises FitError where latents can be turned or rescaled by any small amount. An estimate near the maximum has a
    curvature there that is not 0, of rounding and of what EM has left: no number in the matrix would tell."""
    words = {group.name: group.words for group in GROUPS}
    faults = []
    for found in drifting(network.graph, theta):
        who, what = (", ".join(f"`{name}`" for name in names) for names in (found.latents, found.parameters))
        reason = f"The log density is flat: the latent {who} {words[found.group]}, and {what} with it."
        remedy = f"There are no standard errors of {what}. Fix some entries, or use draws (bn.compare aligns them)."
        faults.append(Fault(reason, remedy))
    if faults:
        raise FitError(*faults)


@lru_cache(maxsize=32)
def _second(network: Network, partial: Partial, moves: Moves) -> Callable[[Base, Any], Any]:
    """Gradient and second derivative of the log joint density at u = 0, as a function of the estimate and the data that
    is compiled once for each shape of them."""
    count = sum(move.count for move in moves)
    joint = densities(network, partial).log_joint

    def both(base: Base, data: Any) -> Any:
        def gradient(u: Any) -> Any:
            return jax.grad(lambda v: joint(moved(moves, base, v), data))(u)

        zero = jnp.zeros(count)

        def column(direction: Any) -> Any:
            return jax.jvp(gradient, (zero,), (direction,))[1]

        return gradient(zero), jax.lax.map(column, jnp.eye(count), batch_size=min(BATCH, count))

    return jax.jit(both)


def _inverse(network: Network, chart: Coordinates, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of the information, by eigenvalues of the matrix scaled to a diagonal of 1. Raises FitError."""
    diagonal = np.diag(matrix)
    if not np.isfinite(matrix).all():
        reason = f"The second derivative of the log density of {network.name} is not finite at the estimate."
        raise FitError(Fault(reason, "Fit with a prior, so that the estimate is off the edge of its domain."))
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    if values[0] < SINGULAR:
        raise FitError(*_undetermined(chart, values, vectors / scale[:, None], diagonal))
    return np.asarray((vectors / values) @ vectors.T / np.outer(scale, scale))


def _undetermined(
    chart: Coordinates, values: NDArray[Any], vectors: NDArray[Any], diagonal: NDArray[Any]
) -> list[Fault]:
    """A fault for each direction without information, named by the coordinates that it moves most."""
    faults = []
    flat = np.flatnonzero(diagonal <= 0)
    for at in flat[:5]:
        what = "does not depend on" if diagonal[at] == 0 else "is not at a maximum along"
        faults.append(Fault(f"The log density {what} {chart.names[at]}."))
    for value, vector in [] if len(flat) else zip(values, vectors.T, strict=True):
        if value >= SINGULAR or len(faults) >= 5:
            break
        how = "singular" if value > -SINGULAR else "negative: the estimate is a saddle,"
        moved = np.abs(vector) / np.abs(vector).max()
        top = [chart.names[i] for i in np.argsort(-moved)[:4] if moved[i] > 0.1]
        faults.append(Fault(f"The information is {how} along {', '.join(top)} together."))
    last = faults[-1]
    remedy = (
        "There are no standard errors there. Add a prior, fix one of them, or start EM elsewhere (n_init=10)."
    )
    return [*faults[:-1], Fault(last.reason, remedy)]


def standard_errors(found: Information) -> dict[str, NDArray[np.float64]]:
    """The standard error of every free parameter's entries, by the delta method; 0 where a probability is exactly 0."""
    with precision("float64"):
        root = np.linalg.cholesky(found.covariance)
        pushed = _pushed(found.chart.moves)(found.chart.base, root.T)
        return {name: np.sqrt((np.asarray(value) ** 2).sum(0)) for name, value in pushed.items()}


@lru_cache(maxsize=32)
def _pushed(moves: Moves) -> Callable[[Base, Any], Any]:
    """How the parameters move along each of some directions (direction, coordinate)."""

    def all_of(base: Base, directions: Any) -> Any:
        def one(direction: Any) -> Any:
            return jax.jvp(lambda u: moved(moves, base, u), (jnp.zeros_like(direction),), (direction,))[1]

        return jax.lax.map(one, directions, batch_size=min(BATCH, len(directions)))

    return jax.jit(all_of)


def laplace(found: Information, count: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Draws (1, count, ...) from the normal about the estimate in free coordinates, as the user's parameters.

    With priors this is Laplace's approximation of the posterior; without, of the likelihood as a density in these
    coordinates.
    """
    with precision("float64"):
        noise = np.random.default_rng(seed).standard_normal((count, len(found.chart.names)))
        u = noise @ np.linalg.cholesky(found.covariance).T
        draws = _each(found.chart.moves)(found.chart.base, u)
        return {name: np.asarray(value)[None] for name, value in draws.items()}


@lru_cache(maxsize=32)
def _each(moves: Moves) -> Callable[[Base, Any], Any]:
    """The parameters at each of some points (point, coordinate)."""
    return jax.jit(lambda base, points: jax.lax.map(lambda u: moved(moves, base, u), points))
