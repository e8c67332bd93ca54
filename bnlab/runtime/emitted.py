"""The texts that the runtime runs, emitted once for each network."""

from __future__ import annotations

from functools import lru_cache

from bnlab.compile import Messages, emit, evidence_source
from bnlab.network.declare import Network
from bnlab.network.ir import Graph
from bnlab.runtime.records import Partial

COMPLETE = Partial()


@lru_cache(maxsize=64)
def emitted(
    net: Network | Graph,
    target: str,
    messages: Messages = "scaled",
    partial: Partial = COMPLETE,
    joint: tuple[tuple[str, ...], ...] = (),
) -> str:
    """`bn.emit(net, target)` for data of which some values may be missing, and latents known."""
    missing, evidence = partial
    return emit(net, target, messages=messages, missing=missing, evidence=evidence, joint=joint)


@lru_cache(maxsize=64)
def emitted_evidence(net: Network | Graph, partial: Partial = COMPLETE) -> str:
    """The source of ln p(x | theta) alone."""
    missing, evidence = partial
    return evidence_source(net, missing, evidence)
