"""The texts that the runtime runs, emitted once for each network."""

from __future__ import annotations

from functools import lru_cache

from bnlab.compile import emit
from bnlab.network.declare import Network


@lru_cache(maxsize=64)
def emitted(net: Network, target: str, messages: str | None = None) -> str:
    """`bn.emit(net, target)`; `messages` is "scaled" or "log" for targets that have the choice."""
    return emit(net, target) if messages is None else emit(net, target, messages=messages)
