"""Floors under covariances, relative to the data's own scale, so that a component that collapses is seen and not NaN.

A covariance is floored where, with the data's variables scaled to variance 1, an eigenvalue is below 1e-10. Raising the
eigenvalues to the floor is the M-step under the constraint that none lies below it, so the objective still never falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from bnlab.network.graph import cpds
from bnlab.network.ir import Graph, Ref, Variable

SMALLEST = {"float64": 1e-10, "float32": 1e-6}
"""The floor as a part of the data's variance: well above the rounding of a second moment, far below any real spread."""

Kind = Literal["cov", "var", "std", "concentration"]
SLOTS: dict[str, Kind] = {
    **{"cov": "cov", "var": "var", "std": "std"},
    **{"scale": "std", "scale_matrix": "cov", "concentration": "concentration"},
}
"""The arguments of distributions that are spreads, and of which kind."""


@dataclass(frozen=True, slots=True)
class Floor:
    """A parameter that is a spread, and over how many leading axes. 1 / concentration is the variance of data of mean 1;
    `rate`, if learnt beside it, follows it, so that the mean stays what the data say."""

    parameter: str
    kind: Kind
    plates: int
    rate: str = ""


def floors(graph: Graph) -> tuple[Floor, ...]:
    """The learnt spreads of observed variables. Those with a prior cannot collapse and have no floor."""
    found: dict[str, Floor] = {}
    for variable, kind, name in spreads(graph):
        parameter = graph.parameter(name)
        rate = _rate(graph, variable, name) if kind == "concentration" else ""
        found[name] = Floor(name, kind, len(parameter.plates), rate)
    return tuple(found.values())


def _rate(graph: Graph, variable: Variable, concentration: str) -> str:
    """The rate that is learnt with a concentration, entry by entry; empty if there is none."""
    for cpd in cpds(variable):
        one, other = cpd.argument("concentration"), cpd.argument("rate")
        if not isinstance(one, Ref) or one.target != concentration:
            continue
        if (
            not isinstance(other, Ref)
            or not isinstance(other.target, str)
            or other.subscripts != one.subscripts
        ):
            continue
        ours, theirs = graph.parameter(concentration), graph.parameter(other.target)
        same = ours.plates == theirs.plates and ours.domain.event_shape == theirs.domain.event_shape
        if same and theirs.value is None and theirs.prior is None:
            return theirs.name
    return ""


def spreads(graph: Graph) -> list[tuple[Variable, Kind, str]]:
    """Each observed variable with each learnt parameter, without prior, that is its spread, and how it is written."""
    uses = []
    for variable in graph.in_role("observed"):
        for cpd in (variable.cpd, *variable.first):
            for slot, kind in SLOTS.items():
                argument = cpd.argument(slot) if cpd else None
                if not isinstance(argument, Ref) or not isinstance(argument.target, str):
                    continue
                parameter = graph.parameter(argument.target)
                if (
                    parameter.value is None
                    and parameter.prior is None
                    and (variable, kind, parameter.name) not in uses
                ):
                    uses.append((variable, kind, parameter.name))
    return uses


def scales(graph: Graph, canonical: Mapping[str, NDArray[Any]], dtype: str) -> dict[str, NDArray[Any]]:
    """For each floored parameter, the variances of the data that it is about, in the shape of one component's diagonal."""
    found: dict[str, NDArray[Any]] = {}
    for variable, kind, name in spreads(graph):
        event = graph.parameter(name).domain.event_shape
        values = canonical[variable.name].reshape(-1, *variable.domain.event_shape)
        variance = variance_of_seen(values)
        variance = np.where(variance > 0, variance, variance.max() if variance.max() > 0 else 1.0)
        variance = variance if kind == "cov" or event else variance.mean()
        found[name] = np.minimum(found.get(name, variance), variance).astype(dtype)
    return found


def variance_of_seen(values: NDArray[Any]) -> NDArray[Any]:
    """The variance of each column's numbers that are not missing; 0 where all of them are."""
    missing = np.isnan(values)
    if not missing.any():
        return np.asarray(values.var(axis=0))
    return np.asarray(np.ma.filled(np.ma.masked_array(values, missing).var(axis=0), 0.0))


def held(new: Any, floor: Floor, variance: Array) -> tuple[Any, Array]:
    """New parameters with one floor applied, and for each component whether the floor was needed."""
    before = getattr(new, floor.parameter)
    value, low = floored(floor, before, variance)
    changed = {floor.parameter: value}
    if floor.rate:
        changed[floor.rate] = getattr(new, floor.rate) * (value / before)
    return new._replace(**changed), low


def floored(floor: Floor, value: Array, variance: Array) -> tuple[Array, Array]:
    """`value` with its floor applied, and for each component whether the floor was needed."""
    smallest = SMALLEST[str(value.dtype)]
    if floor.kind == "cov":
        return _matrix(value, variance, smallest)
    if floor.kind == "concentration":
        high = value > 1 / smallest
        return jnp.where(high, 1 / smallest, value), high.any(axis=tuple(range(floor.plates, value.ndim)))
    limit = variance * smallest if floor.kind == "var" else jnp.sqrt(variance * smallest)
    low = value < limit
    return jnp.where(low, limit, value), low.any(axis=tuple(range(floor.plates, value.ndim)))


def _matrix(value: Array, variance: Array, smallest: float) -> tuple[Array, Array]:
    """The floor on matrices (..., D, D): eigenvalues are looked at only where a Cholesky pivot is small."""
    std = jnp.sqrt(variance)  # first: the product of two variances may overflow
    scale = std[:, None] * std
    pivots = jnp.diagonal(jnp.linalg.cholesky(value / scale), axis1=-2, axis2=-1) ** 2
    # The smallest eigenvalue is at most the smallest pivot, and rarely 100 times smaller. A failed Cholesky is NaN.
    suspect = ~(pivots.min(axis=-1) > 100 * smallest)

    def raise_eigenvalues(matrices: Array) -> tuple[Array, Array]:
        eigenvalues, vectors = jnp.linalg.eigh(matrices / scale)
        low = eigenvalues.min(axis=-1) < smallest
        lifted = jnp.einsum("...ij,...j,...kj->...ik", vectors, jnp.maximum(eigenvalues, smallest), vectors)
        lifted = (lifted + lifted.mT) / 2  # rounding
        return jnp.where(low[..., None, None], lifted * scale, matrices), low

    def keep(matrices: Array) -> tuple[Array, Array]:
        return matrices, jnp.zeros(matrices.shape[:-2], dtype=bool)

    result: tuple[Array, Array] = jax.lax.cond(suspect.any(), raise_eigenvalues, keep, value)
    return result


def raised(floor: Floor, value: ArrayLike, variance: NDArray[Any]) -> NDArray[Any]:
    """What `floored` gives, in NumPy: for one array there is nothing to compile."""
    array = np.asarray(value)
    smallest = SMALLEST[str(array.dtype)]
    if floor.kind == "concentration":
        return np.minimum(array, 1 / smallest)
    if floor.kind != "cov":
        return np.maximum(array, variance * smallest if floor.kind == "var" else np.sqrt(variance * smallest))
    std = np.sqrt(variance)
    scale = std[:, None] * std
    eigenvalues, vectors = np.linalg.eigh(array / scale)
    lifted = np.einsum("...ij,...j,...kj->...ik", vectors, np.maximum(eigenvalues, smallest), vectors)
    lifted = (lifted + lifted.swapaxes(-1, -2)) / 2  # rounding
    low = eigenvalues.min(axis=-1) < smallest
    return np.where(low[..., None, None], lifted * scale, array)
