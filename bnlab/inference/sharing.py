"""Nodes that share parameters, with the shared parameters' axes called alike.

Two variables that read one parameter name its axes after themselves: their own entries, their own latents in the subscripts.
Their statistics can be added once the axes of every use have the names that the first one gives them.
"""

from __future__ import annotations

from bnlab.errors import Fault, IntractableError
from bnlab.families.base import Use
from bnlab.program.ops import Axes, Axis
from bnlab.program.walk import reindexed


def components(uses: tuple[Use, ...], free: frozenset[str]) -> list[tuple[Use, ...]]:
    """Nodes that share free parameters, together; each group is maximised by itself."""
    groups: list[tuple[set[str], list[Use]]] = []
    for use in uses:
        names = set(use.node.parameters & free)
        touching = [group for group in groups if group[0] & names]
        merged = (
            names.union(*(group[0] for group in touching)),
            [u for group in touching for u in group[1]] + [use],
        )
        groups = [group for group in groups if group not in touching] + [merged]
    return [alike(tuple(members)) for _, members in groups]


def alike(uses: tuple[Use, ...]) -> tuple[Use, ...]:
    """The uses with the axes of each shared parameter called as by the first of them; regressions see to that themselves.

    Raises IntractableError where that would give two axes of a node one name.
    """
    if any(use.node.terms or use.node.gaussian for use in uses if use.node.state is None):
        return uses
    known: dict[str, Axes] = {}
    found = []
    for use in uses:
        mapping: dict[Axis, Axis] = {}
        for slot, own in use.node.own.items():
            name = use.node.parameter(slot)
            if name in known:
                mapping |= {old: new for old, new in zip(own.axes, known[name], strict=True) if old != new}
        if mapping:
            mapping |= _second_entries(use, mapping, uses)
            use = _renamed(use, mapping)
        for slot, own in use.node.own.items():
            known.setdefault(use.node.parameter(slot), own.axes)
        found.append(use)
    return tuple(found)


def _second_entries(use: Use, mapping: dict[Axis, Axis], uses: tuple[Use, ...]) -> dict[Axis, Axis]:
    """With the entries of a vector, the second axis of matrices over them."""
    events = {other.node.event[0]: other.node.event[1] for other in uses if len(other.node.event) == 2}
    row, column = use.node.event if use.node.event else (None, None)
    if row is None or column is None or mapping.get(row) not in events:
        return {}
    return {column: events[mapping[row]]}


def _renamed(use: Use, mapping: dict[Axis, Axis]) -> Use:
    node = use.node
    axes = {axis for own in node.own.values() for axis in own.axes} | set(node.event)
    if len({mapping.get(axis, axis) for axis in axes}) < len(axes):
        if node.state is not None:  # tables are added entry by entry, whatever their axes are called
            return use
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(map(node.parameter, node.own)) if name)
        reason = f"{names} are shared by several variables, with subscripts that do not go together: not derived yet."
        raise IntractableError(
            Fault(reason, f"Give `{node.variable}` parameters of its own, or fit by NUTS.")
        )
    return Use(reindexed(node, mapping), reindexed(use.statistics, mapping))
