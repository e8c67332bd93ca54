"""Groups of matrices that may act on a Gaussian latent: random members, how they move what is read, and the nearest member.

Rotations are matched by the orthogonal Procrustes problem (Schonemann, Psychometrika 31, 1966).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.optimize import linear_sum_assignment

from bnlab.errors import InternalError

Array = NDArray[Any]
STRUCTURE = 1e-9
"""Relative: how far a matrix that should be diagonal, or a multiple of 1, may be from it by rounding."""


class Place(Protocol):
    """What is needed of a place where a map acts (`symmetry.Use`). `event` is how many axes one coefficient or spread has."""

    @property
    def kind(self) -> str: ...
    @property
    def event(self) -> int: ...
    @property
    def rows(self) -> tuple[int, ...]: ...
    @property
    def columns(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class Group:
    """A set of matrices: the least dimension in which it is worth trying, and in words."""

    name: str
    smallest: int
    words: str


GROUPS = (
    Group("linear", 2, "can be mapped by any invertible matrix"),
    Group("similarity", 2, "can be turned and rescaled as a whole"),
    Group("rotations", 2, "can be turned and mirrored"),
    Group("scaled permutations", 2, "can change the order, the signs and the scales of its coordinates"),
    Group("scales", 2, "can change the signs and the scales of its coordinates"),
    Group("signed permutations", 2, "can change the order and the signs of its coordinates"),
    Group("permutations", 2, "can change the order of its coordinates"),
    Group("signs", 2, "can change the signs of its coordinates"),
    Group("scale", 1, "can change its sign and scale"),
    Group("sign", 1, "can change its sign"),
)
"""From the largest to the smallest; each is tried before those that it contains."""
ORTHOGONAL = {"rotations", "signed permutations", "permutations", "signs", "sign"}
"""The groups whose members' inverses are their transposes."""
SPREADS = ("cov", "var", "std")


def member(group: str, rng: np.random.Generator, dim: int) -> Array:
    """A random matrix of the group, far from the identity."""
    signs = rng.choice([-1.0, 1.0], dim)
    signs[0] = -1.0
    each = rng.uniform(1.5, 3.0, dim)
    rotation = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    order = np.roll(np.eye(dim), 1, 0)
    match group:
        case "linear":
            return np.asarray(rotation * each + 0.1 * rng.normal(size=(dim, dim)))
        case "similarity":
            return np.asarray(rotation * each[0])
        case "rotations":
            return np.asarray(rotation)
        case "scaled permutations":
            return np.asarray(order * signs * each)
        case "scales":
            return np.asarray(np.diag(signs * each))
        case "signed permutations":
            return np.asarray(order * signs)
        case "permutations":
            return order
        case "signs":
            return np.diag(signs)
        case "scale":
            return np.asarray(-each[0] * np.eye(dim))
        case "sign":
            return -np.eye(dim)
    raise InternalError(f"there is no group of maps {group}")


def near(group: str, rng: np.random.Generator, dim: int, size: float) -> Array | None:
    """A random matrix of the group that is so near the identity; None where all others are far from it."""
    any_, one = size * rng.normal(size=(dim, dim)), 1 + size
    match group:
        case "linear":
            return np.asarray(np.eye(dim) + any_)
        case "similarity":
            return np.asarray(one * expm(any_ - any_.T))
        case "rotations":
            return np.asarray(expm(any_ - any_.T))
        case "scaled permutations" | "scales":
            return np.diag(1 + np.diag(any_))
        case "scale":
            return one * np.eye(dim)
    return None


def moved_value(place: Place, value: Array, left: Array | None, right: Array | None) -> Array | None:
    """What stands at a place after the maps: left L right for a coefficient L, left S left' for a spread S, where None stays
    as it is; None where the result is not of the declared structure."""
    if place.kind in SPREADS:
        after = as_matrix(place, value)
        after = after if left is None else left @ after @ np.swapaxes(left, -1, -2)
    else:
        after = as_matrix(place, value)
        after = after if left is None else left @ after
        after = after if right is None else after @ right
    back = _from_matrix(place, after)
    size = np.abs(after).max(initial=1.0)
    with np.errstate(invalid="ignore"):  # the root of a negative number is no standard deviation
        return back if np.allclose(as_matrix(place, back), after, rtol=0, atol=STRUCTURE * size) else None


def as_matrix(place: Place, value: Array) -> Array:
    """A coefficient as the matrix by which it multiplies, or a spread as a covariance, (..., rows, columns)."""
    out = np.eye((place.rows or (1,))[0])
    match place.kind, place.event:
        case "std", 0:
            return np.asarray(value[..., None, None] ** 2 * out)
        case "std", _:
            return np.asarray(value[..., None] ** 2 * out)
        case "offset", 0:
            return np.asarray(value[..., None, None] * np.ones((len(out), 1)))
        case "offset", _:
            return np.asarray(value[..., None])
        case "rmatmul", 2:
            return np.swapaxes(value, -1, -2)
        case _, 2:
            return value
        case (("matmul" | "rmatmul"), _):
            return np.asarray(value[..., None, :])
        case _, 0:
            return np.asarray(value[..., None, None] * out)
        case _:
            column = place.kind == "scale" and not place.columns
            return np.asarray(value[..., None] if column else value[..., None] * out)


def _from_matrix(place: Place, matrix: Array) -> Array:
    """The inverse of `as_matrix`, of a matrix of the right structure."""
    match place.kind, place.event:
        case "std", 0:
            return np.asarray(np.sqrt(matrix[..., 0, 0]))
        case "std", _:
            return np.asarray(np.sqrt(np.diagonal(matrix, axis1=-2, axis2=-1)))
        case _, 0:
            return np.asarray(matrix[..., 0, 0])
        case "offset", _:
            return np.asarray(matrix[..., 0])
        case "rmatmul", 2:
            return np.swapaxes(matrix, -1, -2)
        case _, 2:
            return matrix
        case (("matmul" | "rmatmul"), _):
            return np.asarray(matrix[..., 0, :])
        case _:
            column = place.kind == "scale" and not place.columns
            return np.asarray(matrix[..., 0] if column else np.diagonal(matrix, axis1=-2, axis2=-1))


def nearest(group: str, own: Array, cross: Array) -> Array:
    """The member B for which L B is nearest to L*, with `own` = L'L and `cross` = L'L* as (..., dim, dim).

    Exact for orthogonal groups and for scales. A similarity takes the best rotation, then the best scale; a scaled permutation
    the order in which the columns point alike, then their scales. Where L is 0, B is 1.
    """
    one = np.eye(cross.shape[-1])
    diagonal = np.diagonal(own, axis1=-2, axis2=-1)
    match group:
        case "linear":
            return np.asarray(np.linalg.pinv(own, hermitian=True) @ cross)
        case "rotations" | "similarity":
            u, _, v = np.linalg.svd(cross)
            turn = np.asarray(u @ v)
            return turn if group == "rotations" else turn * _ratio((turn * cross).sum((-2, -1)), _trace(own))
        case "signed permutations":
            order = _order(np.abs(cross))
            return np.asarray(order * np.where(cross < 0, -1.0, 1.0))
        case "permutations":
            return _order(cross)
        case "scaled permutations":
            length = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
            return np.asarray(_order(np.abs(cross) / length[..., None]) * cross / (length**2)[..., None])
        case "signs":
            return np.asarray(
                one * np.where(np.diagonal(cross, axis1=-2, axis2=-1) < 0, -1.0, 1.0)[..., None]
            )
        case "scales":
            return one * _ratio(np.diagonal(cross, axis1=-2, axis2=-1), diagonal)[..., 0]
        case "scale":
            return one * _ratio(_trace(cross), _trace(own))
        case "sign":
            return np.asarray(one * np.where(_trace(cross) < 0, -1.0, 1.0)[..., None, None])
    raise InternalError(f"there is no group of maps {group}")


def _trace(matrix: Array) -> Array:
    return np.asarray(np.trace(matrix, axis1=-2, axis2=-1))


def _ratio(top: Array, bottom: Array) -> Array:
    """With two axes more; 1 where it would be 0 or is not defined."""
    safe = (bottom > 0) & (top != 0)
    return np.asarray(np.where(safe, top, 1.0) / np.where(safe, bottom, 1.0))[..., None, None]


def _order(gain: Array) -> Array:
    """The permutation matrix of the largest sum, for each matrix."""
    found = np.zeros_like(gain)
    for at in np.ndindex(gain.shape[:-2]):
        rows, columns = linear_sum_assignment(gain[at], maximize=True)
        found[(*at, rows, columns)] = 1.0
    return found
