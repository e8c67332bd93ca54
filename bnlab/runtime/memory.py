"""Whether what a chain has to keep fits: its messages, a table for every step, beside the data."""

from __future__ import annotations

import numpy as np

from bnlab.errors import DataError, Fault
from bnlab.network.ir import Graph
from bnlab.runtime.records import Bound

LARGEST_MESSAGES = 2**31
"""Entries of the messages that are kept at once: 16 GiB in float64."""
KEPT = 2
"""Tables that a step keeps on the way forth and back: its message, and the probabilities of its data."""
ABREAST = 2**14
"""Steps that the emitted file takes in at a time, if no sequence is longer: the default `rows` of its `prepare`."""


def fits_memory(graph: Graph, bound: Bound) -> None:
    """Raises DataError, with the chain and its table named, where messages over all steps would be too large."""
    if not any(plate.chain for plate in graph.plates):
        return
    from bnlab.compile import chain_tables  # derives: what has no chain does not need it

    faults = []
    for chain, names, entries in chain_tables(graph, *bound.partial):
        parents = bound.layout.parents[chain]
        longest = int(np.bincount(parents).max())
        steps = max(longest, min(ABREAST, len(parents)))
        if KEPT * steps * entries > LARGEST_MESSAGES:
            listed = ", ".join(f"`{name}`" for name in names)
            reason = (
                f"The chain {chain} keeps a table over {listed} of {entries:,} entries for each of {steps:,} steps, twice: "
                f"{KEPT * steps * entries:,} in all; the limit is {LARGEST_MESSAGES:,}."
            )
            remedy = "Cut the sequences into shorter ones." if longest > ABREAST else "Declare fewer states."
            faults.append(Fault(reason, remedy))
    if faults:
        raise DataError(*faults)
