"""Arbitrary data and parameters for any network: laws hold for all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from bnlab.domains import Count, Covariance, Integer, Positive, Probability, Real, Simplex
from bnlab.errors import InternalError
from bnlab.network.ir import Graph, Parameter
from bnlab.runtime.proof.grounding import sized, sizeless, state_count

Layout = int | tuple["Layout", ...]
"""How many members a sizeless plate has: an integer for an innermost one, else a tuple with one entry a member."""


def random_data(
    graph: Graph, rng: np.random.Generator, layout: Mapping[str, Layout]
) -> dict[str, np.ndarray]:
    """Arbitrary values for every observed and given variable, in canonical form: laws hold for any data."""
    counts, data = _members(graph, layout)
    for variable in graph.in_role("observed", "given"):
        path = sizeless(graph, variable)
        rows = (counts[path],) if path else ()
        cells = tuple(graph.plate(plate).size or 0 for plate in sized(graph, variable))
        shape = (*rows, *cells, *variable.domain.event_shape)
        match variable.domain:
            case Integer(size=size):
                data[variable.name] = rng.integers(size, size=shape)
            case Count():
                data[variable.name] = rng.poisson(3.0, size=shape).astype(float)
            case Positive():
                data[variable.name] = rng.gamma(4.0, 0.3, size=shape)
            case _:
                data[variable.name] = rng.normal(0.0, 2.0, size=shape)
    return data


def _members(
    graph: Graph, layout: Mapping[str, Layout]
) -> tuple[dict[tuple[str, ...], int], dict[str, np.ndarray]]:
    """The number of members of each nest of sizeless plates, and the ids of all that are not innermost."""
    paths = sorted({sizeless(graph, v) for v in graph.variables}, key=len)
    counts: dict[tuple[str, ...], int] = {}
    ids: dict[str, np.ndarray] = {}
    for path in paths:
        sizes = [layout[path[0]]] if path else []
        owners: list[list[int]] = [[]]  # for each member of the plates so far, its ids
        for depth in range(len(path)):
            members = [
                (outer, inner)
                for outer, size in zip(owners, sizes, strict=True)
                for inner in (size if isinstance(size, tuple) else [None] * size)
            ]
            if depth < len(path) - 1:
                owners = [[*outer, number] for number, (outer, _) in enumerate(members)]
                sizes = [inner for _, inner in members]
            else:
                counts[path] = len(members)
                table = np.array([outer for outer, _ in members], int).reshape(len(members), depth)
                ids |= {outer: table[:, column] for column, outer in enumerate(path[:-1])}
    return counts, ids


def small_layout(graph: Graph, rng: np.random.Generator, most: int = 3000) -> dict[str, Layout]:
    """Ragged sizes such that no more than `most` configurations of connected latents are to be listed.

    Raises InternalError where even one row has more: `configurations` tells.
    """
    longest = min(6, rows_to_list(graph, most))
    if longest < 1:
        raise InternalError("The latents of one row have more configurations than can be listed.")
    paths = sorted({sizeless(graph, variable) for variable in graph.variables} - {()}, key=len)
    deepest = {path[0]: path for path in paths}
    return {root: _sizes(graph, path, longest, rng) for root, path in deepest.items()}


def rows_to_list(graph: Graph, most: int) -> int:
    """How many connected rows have at most `most` configurations of their latents."""
    latents = [variable for variable in graph.in_role("latent") if variable.discrete]
    cells = [
        math.prod(graph.plate(plate).size or 0 for plate in sized(graph, variable)) for variable in latents
    ]
    bits = sum(
        count * math.log2(state_count(variable)) for count, variable in zip(cells, latents, strict=True)
    )
    return int(math.log2(most) / bits) if bits else most


def _sizes(graph: Graph, path: tuple[str, ...], longest: int, rng: np.random.Generator) -> Layout:
    """Members for nested sizeless plates: enough rows for all covariances, ragged, one member with a single row."""
    dims = [math.prod(variable.domain.event_shape) for variable in graph.in_role("observed")]
    states = [state_count(variable) for variable in graph.variables if variable.discrete]
    enough = 10 + 2 * max(states, default=1) * (1 + max(dims, default=1))
    if len(path) == 1:
        return longest if graph.plate(path[0]).chain else enough
    members: list[Layout] = [longest, 1]
    while sum(_rows(member) for member in members) < enough:
        members.append(int(rng.integers(1, longest + 1)))
    for _ in path[2:]:
        members = [(member,) if position % 2 else _halved(member) for position, member in enumerate(members)]
    return tuple(members)


def _rows(size: Layout) -> int:
    return size if isinstance(size, int) else sum(_rows(inner) for inner in size)


def _halved(size: Layout) -> Layout:
    """The same number of rows in two members, where there are two."""
    rows = _rows(size)
    return (rows,) if rows == 1 else (rows - rows // 2, rows // 2)


def random_parameters(
    graph: Graph, rng: np.random.Generator, zeros: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """A point inside every parameter's domain, fixed parameters at their values; entries in `zeros` are 0."""
    found = {p.name: _draw(graph, p, rng) for p in graph.parameters}
    for name, where in (zeros or {}).items():
        kept = np.where(where, 0.0, found[name])
        found[name] = kept / kept.sum(-1, keepdims=True)
    return found


def _draw(graph: Graph, parameter: Parameter, rng: np.random.Generator) -> np.ndarray:
    if parameter.value is not None:
        return parameter.value.array
    plates = tuple(graph.plate(plate).size or 0 for plate in parameter.plates)
    shape = (*plates, *parameter.domain.event_shape)
    match parameter.domain:
        case Simplex(size=size):
            return rng.dirichlet(np.full(size, 2.0), size=plates)
        case Probability():
            return rng.beta(2.0, 2.0, size=shape)
        case Positive():
            return 0.5 + rng.gamma(2.0, 0.5, size=shape)
        case Covariance(dim=dim):
            root = rng.normal(size=(*shape[:-1], dim + 2))
            return root @ root.swapaxes(-1, -2) / dim + 0.3 * np.eye(dim)
        case Real(shape=(_, columns)):
            return rng.normal(0.0, 1.5 / math.sqrt(columns), size=shape)  # as wide as what it multiplies
        case _:
            return rng.normal(0.0, 1.5, size=shape)
