"""Parameters under one choice of the axes of their Gaussian latents: turned to agree with others as nearly as they can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.network.ir import Graph
from bnlab.runtime.maps import SPREADS, as_matrix, nearest
from bnlab.runtime.symmetry import Symmetry, Use, linear_symmetries, moved, parameter_of

Array = NDArray[Any]
Arrays = Mapping[str, Array]
PASSES = 3
"""How often draws are turned: once to the reference, then to their own means (generalised Procrustes, Gower 1975)."""


def turned_all(graph: Graph, draws: Arrays, reference: Arrays) -> dict[str, Array]:
    """Draws as (draw, ...), each turned for itself, near `reference`."""
    found = dict(draws)
    for symmetry in linear_symmetries(graph):
        target = reference
        for _ in range(PASSES):
            found = moved(graph, symmetry, found, maps_to(symmetry, found, target))
            target = {name: found[name].mean(0) for name in symmetry.parameters}
    return found


def maps_to(symmetry: Symmetry, theta: Arrays, target: Arrays) -> Array:
    """The members (..., *sizes, dim, dim) that bring coefficients and offsets nearest to those of `target`.

    Each parameter counts relative to its size in `target`. What is read through coefficients decides; what is drawn from
    regressors only where there is nothing else that any map is free to move.
    """
    ways = {True: _sums(symmetry, theta, target, True), False: _sums(symmetry, theta, target, False)}
    dim = symmetry.dim
    root = symmetry.root.array
    back = np.linalg.inv(root)
    if symmetry.orthogonal:  # then both ways ask for the same matrix, and count together
        right, left = (
            [root.T @ one @ root for one in ways[True]],
            [back @ one @ back.T for one in ways[False]],
        )
        own, cross = (one + other for one, other in zip(right, left, strict=True))
        return np.asarray(root @ np.swapaxes(nearest(symmetry.group, own, cross), -1, -2) @ back)
    by_readers = bool(np.any(ways[True][0]))
    found = nearest(symmetry.group, *ways[by_readers])
    whole = np.abs(np.linalg.det(found)) > np.finfo(float).tiny
    safe = np.where(whole[..., None, None], found, np.eye(dim))
    return np.asarray(np.linalg.inv(safe) if by_readers else np.swapaxes(safe, -1, -2))


def _sums(symmetry: Symmetry, theta: Arrays, target: Arrays, right: bool) -> tuple[Array, Array]:
    """L'L and L'L*, added over all coefficients that a map multiplies from the right (or, transposed, from the left)."""
    lead = theta[symmetry.parameters[0]].ndim - target[symmetry.parameters[0]].ndim
    shape = (*theta[symmetry.parameters[0]].shape[:lead], *symmetry.sizes, symmetry.dim, symmetry.dim)
    own, cross = np.zeros(shape), np.zeros(shape)
    for use in _one_sided(symmetry, right):
        ours, theirs = (_matrices(symmetry, use, one, right) for one in (theta, target))
        size = (theirs**2).sum()
        if size > 0:
            own = own + np.einsum("...pij,...pik->...jk", ours, ours) / size
            cross = cross + np.einsum("...pij,...pik->...jk", ours, theirs) / size
    return own, cross


def _one_sided(symmetry: Symmetry, right: bool) -> Iterator[Use]:
    """Coefficients and offsets that the map multiplies from one side alone, each parameter once."""
    seen = set()
    for use in symmetry.uses:
        name = parameter_of(use)
        sides = bool(use.right) is right and bool(use.left) is not right
        if name in symmetry.parameters and use.kind not in SPREADS and sides and name not in seen:
            seen.add(name)
            yield use


def _matrices(symmetry: Symmetry, use: Use, theta: Arrays, right: bool) -> Array:
    """A coefficient as (..., *sizes, part, rows, columns): leading axes without a label are parts; transposed for the left."""
    matrix = as_matrix(use, np.asarray(theta[parameter_of(use) or ""], float))
    matrix = matrix if right else np.swapaxes(matrix, -1, -2)
    lead = matrix.ndim - 2 - len(use.axes)
    place = [lead + use.axes.index(label) for label in symmetry.labels]
    rest = [lead + at for at, label in enumerate(use.axes) if label not in symmetry.labels]
    matrix = np.transpose(matrix, [*range(lead), *place, *rest, -2 % matrix.ndim, -1 % matrix.ndim])
    kept = matrix.shape[: lead + len(place)]
    return matrix.reshape(*kept, -1, *matrix.shape[-2:])
