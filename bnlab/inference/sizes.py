"""How large tables may be. What is too large is refused before anything is built, with the table named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from bnlab.errors import Fault, IntractableError
from bnlab.inference.factor import Factor
from bnlab.network.ir import Graph, VarRef

LARGEST_TABLE = 2**24
"""Entries of the largest table that is built for one member of a plate: 128 MiB in float64."""
LARGEST_TOTAL = 2**26
"""Entries of all tables together for one member of the outermost plate, and one member of each plate that takes its size
from the data: 512 MiB in float64. A chain counts for one step."""
MOST_NAMED = 12
"""Variables of a table that is too large that its refusal names."""


def check_table(graph: Graph, scope: Iterable[VarRef]) -> None:
    """Raises IntractableError where one table would be too large."""
    found = tuple(dict.fromkeys(scope))
    if (entries := _entries(graph, found)) > LARGEST_TABLE:
        raise IntractableError(
            Fault(
                f"Exact elimination needs one table over {_titles(found)}: {entries:,} entries for each member of its "
                f"plates; the limit is {LARGEST_TABLE:,}.",
                "Observe one of these variables, or give them fewer categories.",
            )
        )


def check_total(graph: Graph, joints: Sequence[Factor], root: str) -> None:
    """Raises IntractableError where many tables, each small enough, are too much together."""
    tables = [joint for joint in joints if joint.scope]
    members = [prod(graph.plate(name).size or 1 for name in joint.plates) for joint in tables]
    entries = [count * _entries(graph, joint.scope) for joint, count in zip(tables, members, strict=True)]
    if sum(entries) > LARGEST_TOTAL:
        most = entries.index(max(entries))
        times = f", {members[most]:,} times" if members[most] > 1 else ""
        raise IntractableError(
            Fault(
                f"Exact elimination needs {len(tables)} tables with {sum(entries):,} entries in all for each member of "
                f"`{root}`; the limit is {LARGEST_TOTAL:,}. The largest is over {_titles(tables[most].scope)}: "
                f"{_entries(graph, tables[most].scope):,} entries{times}.",
                "Observe some of these variables, or give them fewer categories.",
            )
        )


def _entries(graph: Graph, scope: Iterable[VarRef]) -> int:
    return prod(getattr(graph.variable(ref.name).domain, "size", 1) for ref in scope)


def _titles(scope: Iterable[VarRef]) -> str:
    """The variables of a table, the first few of them by name."""
    found = list(dict.fromkeys(f"`{ref.name}`" for ref in scope))
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(found[:MOST_NAMED]) + more
