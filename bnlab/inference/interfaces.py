"""The interface of a chain: the latents that later steps read, and what falls apart among them."""

from __future__ import annotations

from collections.abc import Iterable

import networkx as nx

from bnlab.inference.factor import Factor
from bnlab.network.ir import VarRef


def interface_of(home: list[str], factors: list[Factor]) -> list[str]:
    """The latents of a chain not to be summed out step by step: they, or what they multiply with, reach another step."""
    held = {factor: (*factor.scope, *factor.continuous) for factor in factors}
    linked = [factor for factor in factors if factor.steps != "all" or any(ref.lag for ref in held[factor])]
    return [name for name in home if any(ref.name == name for factor in linked for ref in held[factor])]


def depths(names: tuple[str, ...], factors: list[Factor]) -> tuple[VarRef, ...]:
    """What a step hands on: each variable, and its values of so many steps before that the next step's reads reach."""
    furthest = dict.fromkeys(names, 1)
    for ref in (ref for factor in factors for ref in factor.scope if ref.name in furthest):
        furthest[ref.name] = max(furthest[ref.name], ref.lag)
    return tuple(VarRef(name, lag) for name, steps in furthest.items() for lag in reversed(range(steps)))


def connected(names: list[str], factors: list[Factor]) -> list[tuple[str, ...]]:
    """The interface in parts that no factor ties together, nor Gaussian latents outside of the chain that both read."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(names)
    for factor in factors:
        for members in (
            [ref.name for ref in factor.scope if ref.name in names],
            [*_continuous(factor, names)],
        ):
            graph.add_edges_from((members[0], other) for other in members[1:])
    parts = nx.connected_components(graph)
    found = (tuple(name for name in names if name in part) for part in parts)
    return sorted((part for part in found if part), key=lambda part: names.index(part[0]))


def _continuous(factor: Factor, names: list[str]) -> Iterable[str]:
    """The Gaussian latents of a factor that has one of the names among them."""
    found = [ref.name for ref in factor.continuous]
    return found if any(name in names for name in found) else []
