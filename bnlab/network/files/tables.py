"""A discrete network as files and other tools hold it: nodes with states, parents and tables, under any names.

Every format is read into these records and written from them. What a file claims is checked here, before anything of that
size is built, and every fault points at its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import Fault, Location, ModelError
from bnlab.naming import did_you_mean, quoted

MOST_NODES = 2000
"""Checks compare nodes in pairs."""

MOST_STATES = 1000
"""Of one node; the largest network of the usual collections has 100."""

MOST_PARENTS = 16
"""Of one node. A table of 2^16 rows is no longer something that anybody fills in or learns."""

LARGEST_TABLE = 1 << 22
"""Entries of one node's table: 32 MiB."""

MOST_TOLD = 20
"""Faults of a file."""

LONGEST_NAME = 200

ROUNDED = 1e-5
"""How far a row may be from 1 where it is written with few digits; the usual collections stay below 1e-6."""

EXACT = 1e-12
"""Rows nearer to 1 than this are taken to the last bit, so that what bnlab wrote is read as it was."""

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A discrete variable. `table` has an axis for each parent, in their order, and the node's own states last.

    `states` names them, or counts them. `title` is what to show for `name`, if that is something else.
    """

    name: str
    states: tuple[str, ...] | int
    parents: tuple[str, ...] = ()
    table: Table | None = None
    title: str = ""
    latent: bool = False
    location: Location | None = None

    @property
    def size(self) -> int:
        return self.states if isinstance(self.states, int) else len(self.states)


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """A discrete network: its nodes in any order."""

    name: str
    nodes: tuple[Node, ...]
    doc: str = ""
    location: Location | None = field(default=None)


def named(states: Iterable[str]) -> tuple[str, ...] | int:
    """The states of a node from their names; only counted where they are called 0, 1, 2 ..."""
    names = tuple(states)
    return len(names) if names == tuple(map(str, range(len(names)))) else names


def labels(node: Node) -> tuple[str, ...]:
    """The names of a node's states; their numbers where they have none."""
    return tuple(map(str, range(node.states))) if isinstance(node.states, int) else node.states


def structure_faults(tables: Tables) -> Iterator[Fault]:
    """What is wrong with names, states and parents. Tables are not looked at: without this they have no shape."""
    if not tables.nodes:
        yield Fault("The file declares no variable.", "", tables.location)
    if len(tables.nodes) > MOST_NODES:
        yield Fault(f"There are {len(tables.nodes)} variables, and there may be {MOST_NODES}.")
        return
    known: dict[str, Node] = {}
    yield from repeated(tables.nodes)
    for node in tables.nodes:
        yield from _name_faults(node)
        known.setdefault(node.name, node)
    for node in known.values():
        yield from _parent_faults(node, known)


def repeated(nodes: tuple[Node, ...]) -> Iterator[Fault]:
    """Nodes of one name."""
    seen: set[str] = set()
    for node in nodes:
        if node.name in seen:
            yield Fault(f"{quoted(node.name)} is declared twice.", "", node.location)
        seen.add(node.name)


def _name_faults(node: Node) -> Iterator[Fault]:
    if not legible(node.name) or (node.title and not legible(node.title)):
        reason = f"{quoted(node.name)} is no name: it is empty, long, or has control characters."
        yield Fault(reason, f"A name has 1 to {LONGEST_NAME} printable characters.", node.location)
    if not 1 <= node.size <= MOST_STATES:
        yield Fault(
            f"{quoted(node.name)} has {node.size} states; it may have 1 to {MOST_STATES}.", "", node.location
        )
    states = () if isinstance(node.states, int) else node.states
    for state in dict.fromkeys(states):
        if not legible(state):
            yield Fault(f"{quoted(state)}, a state of {quoted(node.name)}, is no name.", "", node.location)
    if len(set(states)) < len(states):
        twice = next(state for state in states if states.count(state) > 1)
        yield Fault(f"{quoted(node.name)} has the state {quoted(twice)} twice.", "", node.location)


def _parent_faults(node: Node, known: dict[str, Node]) -> Iterator[Fault]:
    for parent in node.parents:
        if parent not in known:
            reason = f"{quoted(parent)}, a parent of {quoted(node.name)}, is not declared."
            yield Fault(reason, did_you_mean(parent, known).strip(), node.location)
    if len(set(node.parents)) < len(node.parents) or node.name in node.parents:
        yield Fault(f"{quoted(node.name)} has a parent twice, or is its own.", "", node.location)
    if len(node.parents) > MOST_PARENTS:
        reason = f"{quoted(node.name)} has {len(node.parents)} parents, and may have {MOST_PARENTS}."
        yield Fault(reason, "", node.location)
    elif all(parent in known for parent in node.parents):
        entries = prod(shape_of(node, known))
        if entries > LARGEST_TABLE:
            reason = (
                f"The table of {quoted(node.name)} has {entries:,} entries; the limit is {LARGEST_TABLE:,}."
            )
            yield Fault(reason, "Give it fewer parents, or them fewer states.", node.location)


def legible(name: str) -> bool:
    """Whether a name can be shown on one line."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and not name.isspace()


def shape_of(node: Node, known: dict[str, Node]) -> tuple[int, ...]:
    """The shape of a node's table."""
    return (*(known[parent].size for parent in node.parents), node.size)


def refuse(faults: Iterable[Fault]) -> None:
    """Raises ModelError with the faults, if there are any: all that a reader can take in, and how many there are more."""
    found = tuple(faults)
    if len(found) > MOST_TOLD:
        raise ModelError(*found[:MOST_TOLD], Fault(f"There are {len(found) - MOST_TOLD} more faults."))
    if found:
        raise ModelError(*found)


def number(text: str, location: Location | None) -> float:
    """A probability as written. Raises ModelError if it is none."""
    try:
        value = float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ModelError(Fault(f"{quoted(text)} is no number.", "Write a probability, as 0.25.", location))
    if value < 0:
        raise ModelError(Fault(f"A probability is not negative, and here is {quoted(text)}.", "", location))
    return value


def filled(node: Node, shape: tuple[int, ...], values: list[float], location: Location | None) -> Table:
    """The table from its entries in order. Raises ModelError where there are too many or too few."""
    if len(values) != prod(shape):
        spelled = " x ".join(str(size) for size in shape)
        reason = (
            f"The table of {quoted(node.name)} has {len(values)} entries; it needs {spelled} = {prod(shape)}."
        )
        raise ModelError(Fault(reason, "", location))
    return np.array(values, dtype=float).reshape(shape)


def normalised(name: str, table: Table, location: Location | None) -> Table:
    """The table with rows that sum to 1. What few written digits explain is scaled; more is refused."""
    if not np.isfinite(table).all() or (table < 0).any():
        raise ModelError(
            Fault(f"The table of {quoted(name)} has an entry that is no probability.", "", location)
        )
    sums = table.sum(-1)
    off = np.abs(sums - 1)
    if off.size and off.max() > ROUNDED:
        where = np.unravel_index(int(off.argmax()), off.shape)
        row = f" in row {', '.join(str(int(place) + 1) for place in where)}" if where else ""
        reason = f"The probabilities of {quoted(name)}{row} sum to {sums[where]:.6g}, not to 1."
        raise ModelError(Fault(reason, "", location))
    exact = (off <= EXACT)[..., None]
    return np.asarray(np.where(exact, table, table / sums[..., None]))
