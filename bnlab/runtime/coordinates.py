"""Free coordinates about an estimate: u = 0 is the estimate, and every u is a value in the parameters' domains.

Real numbers move by themselves, positive ones by their logarithm, probabilities by log odds, a simplex by the logits of its
positive entries against its largest one, a covariance L L' by L M M' L' with M lower triangular and exp on its diagonal.
Entries of a simplex that are exactly 0 stay 0: they are structure, not numbers that were learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Covariance, Domain, Positive, Probability, Simplex
from bnlab.network.ir import Graph, Parameter

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """`theta(u)` are the free parameters at u, differentiable; `names` say what each coordinate moves."""

    names: tuple[str, ...]
    theta: Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """The coordinates of one parameter: how many, what they move, and its value at them."""

    parameter: str
    names: tuple[str, ...]
    value: Callable[[Any], Any]


def coordinates(graph: Graph, estimate: Arrays) -> Coordinates:
    """Coordinates of all free parameters about `estimate`."""
    charts = [_chart(one, np.asarray(estimate[one.name])) for one in graph.parameters if one.value is None]
    ends = np.cumsum([len(chart.names) for chart in charts])

    def theta(u: Any) -> dict[str, Any]:
        parts = jnp.split(u, ends[:-1])
        return {chart.parameter: chart.value(part) for chart, part in zip(charts, parts, strict=True)}

    return Coordinates(tuple(name for chart in charts for name in chart.names), theta)


def entry(name: str, index: tuple[int, ...]) -> str:
    """`mu[0, 1]`, or `mu` for a scalar."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _chart(parameter: Parameter, value: NDArray[Any]) -> Chart:
    match parameter.domain:
        case Simplex():
            return _simplex(parameter.name, value)
        case Covariance():
            return _covariance(parameter.name, value)
        case domain:
            return _entries(parameter.name, domain, value)


def _entries(name: str, domain: Domain, value: NDArray[Any]) -> Chart:
    """Every entry moves by itself."""
    at = jnp.asarray(value)
    entries = [entry(name, index) for index in np.ndindex(value.shape)]
    match domain:
        case Positive():
            names = tuple(f"log {one}" for one in entries)
            return Chart(name, names, lambda u: at * jnp.exp(u.reshape(at.shape)))
        case Probability():
            names = tuple(f"log odds of {one}" for one in entries)
            odds = jnp.log(at) - jnp.log1p(-at)
            return Chart(name, names, lambda u: jax.nn.sigmoid(odds + u.reshape(at.shape)))
        case _:
            return Chart(name, tuple(entries), lambda u: at + u.reshape(at.shape))


def _simplex(name: str, value: NDArray[Any]) -> Chart:
    moved = value > 0
    np.put_along_axis(moved, value.argmax(-1, keepdims=True), False, -1)
    where = np.flatnonzero(moved)
    names = tuple(
        f"log {entry(name, index)} / {entry(name, (*index[:-1], int(value[index[:-1]].argmax())))}"
        for index in (tuple(map(int, i)) for i in np.argwhere(moved))
    )
    positive = jnp.asarray(value > 0)
    logits = jnp.log(jnp.where(positive, value, 1.0))

    def simplex(u: Any) -> Any:
        shifted = logits + jnp.zeros(value.size, u.dtype).at[where].set(u).reshape(value.shape)
        return jax.nn.softmax(shifted, axis=-1, where=positive)

    return Chart(name, names, simplex)


def _covariance(name: str, value: NDArray[Any]) -> Chart:
    dim = value.shape[-1]
    rows, columns = np.tril_indices(dim)
    batch = value.shape[:-2]
    lower = jnp.asarray(np.linalg.cholesky(value))
    names = tuple(
        entry(name, (*index, int(i), int(j)))
        for index in np.ndindex(batch)
        for i, j in zip(rows, columns, strict=True)
    )
    diagonal = np.arange(dim)

    def covariance(u: Any) -> Any:
        flat = u.reshape(*batch, len(rows))
        m = jnp.zeros(value.shape, u.dtype).at[..., rows, columns].set(flat)
        m = m.at[..., diagonal, diagonal].set(jnp.exp(m[..., diagonal, diagonal]))
        root = lower @ m
        return root @ jnp.swapaxes(root, -1, -2)

    return Chart(name, names, covariance)
