"""Free coordinates about an estimate: u = 0 is the estimate, and every u is a value in the parameters' domains.

Real numbers move by themselves, positive ones by their logarithm, probabilities by log odds, a simplex by the logits of its
positive entries against its largest one, a covariance L L' by L M M' L' with M lower triangular and exp on its diagonal.
Entries of a simplex that are exactly 0 stay 0: they are structure, not numbers that were learnt.

How numbers move (`Move`) is apart from where they are (`base`, arrays): what is compiled for one estimate serves the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Covariance, Domain, Positive, Probability, Simplex
from bnlab.network.ir import Graph, Parameter

Arrays = Mapping[str, NDArray[Any]]
Base = Mapping[str, Mapping[str, Any]]
"""By parameter, the arrays that its coordinates are about: pytrees, of one shape for all estimates with the same zeros."""


@dataclass(frozen=True, slots=True)
class Move:
    """How one parameter moves, in so many coordinates."""

    parameter: str
    domain: Domain
    count: int

    def value(self, base: Mapping[str, Any], u: Any) -> Any:
        """The parameter at coordinates u (count,)."""
        match self.domain:
            case Simplex():
                logits = base["logits"]
                shift = jnp.zeros(logits.size, u.dtype).at[base["moved"]].set(u).reshape(logits.shape)
                return jax.nn.softmax(logits + shift, axis=-1, where=base["positive"])
            case Covariance(dim=dim):
                return _covariance(base["root"], u, dim)
            case Positive():
                return base["at"] * jnp.exp(u.reshape(base["at"].shape))
            case Probability():
                return jax.nn.sigmoid(base["odds"] + u.reshape(base["odds"].shape))
            case _:
                return base["at"] + u.reshape(base["at"].shape)


def _covariance(lower: Any, u: Any, dim: int) -> Any:
    rows, columns = np.tril_indices(dim)
    diagonal = np.arange(dim)
    m = jnp.zeros(lower.shape, u.dtype).at[..., rows, columns].set(u.reshape(*lower.shape[:-2], len(rows)))
    m = m.at[..., diagonal, diagonal].set(jnp.exp(m[..., diagonal, diagonal]))
    root = lower @ m
    return root @ jnp.swapaxes(root, -1, -2)


Moves = tuple[Move, ...]


def moved(moves: Moves, base: Base, u: Any) -> dict[str, Any]:
    """The parameters at coordinates u, differentiable."""
    ends = np.cumsum([move.count for move in moves])
    parts = jnp.split(u, ends[:-1])
    return {
        move.parameter: move.value(base[move.parameter], part)
        for move, part in zip(moves, parts, strict=True)
    }


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """The coordinates of all free parameters about an estimate; `names` say what each of them moves."""

    names: tuple[str, ...]
    moves: Moves
    base: Base

    def theta(self, u: Any) -> dict[str, Any]:
        """The free parameters at u, differentiable."""
        return moved(self.moves, self.base, u)


def coordinates(graph: Graph, estimate: Arrays) -> Coordinates:
    """Coordinates of all free parameters about `estimate`."""
    names: list[str] = []
    moves, base = [], {}
    for one in graph.parameters:
        if one.value is None:
            its, base[one.name] = _about(one, np.asarray(estimate[one.name]))
            moves.append(Move(one.name, one.domain, len(its)))
            names += its
    return Coordinates(tuple(names), tuple(moves), base)


def entry(name: str, index: tuple[int, ...]) -> str:
    """`mu[0, 1]`, or `mu` for a scalar."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _about(parameter: Parameter, value: NDArray[Any]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """What the coordinates of a parameter move, and the arrays that they are about."""
    name = parameter.name
    entries = [entry(name, index) for index in np.ndindex(value.shape)]
    match parameter.domain:
        case Simplex():
            return _about_simplex(name, value)
        case Covariance(dim=dim):
            lower = zip(*np.tril_indices(dim), strict=True)
            pairs = [(int(i), int(j)) for i, j in lower]
            names = [entry(name, (*index, *pair)) for index in np.ndindex(value.shape[:-2]) for pair in pairs]
            return names, {"root": np.linalg.cholesky(value)}
        case Positive():
            return [f"log {one}" for one in entries], {"at": value}
        case Probability():
            return [f"log odds of {one}" for one in entries], {"odds": np.log(value) - np.log1p(-value)}
        case _:
            return entries, {"at": value}


def _about_simplex(name: str, value: NDArray[Any]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    positive = value > 0
    free = positive.copy()
    np.put_along_axis(free, value.argmax(-1, keepdims=True), False, -1)
    names = [
        f"log {entry(name, index)} / {entry(name, (*index[:-1], int(value[index[:-1]].argmax())))}"
        for index in (tuple(map(int, i)) for i in np.argwhere(free))
    ]
    logits = np.log(np.where(positive, value, 1.0))
    return names, {"logits": logits, "positive": positive, "moved": np.flatnonzero(free)}
