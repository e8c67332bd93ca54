"""The junction tree of a network as plain data: which variables meet in one table, and what each table tells the next."""

from __future__ import annotations

from dataclasses import dataclass

from bnlab.network.ir import VarRef


@dataclass(frozen=True, slots=True)
class Clique:
    """Variables that stand in one table, for each member of `plates`. `towards` is the place of the clique that it sends its
    message to, over `separator`; None for one that sends nothing. `entries` is the size of the table.
    """

    variables: tuple[VarRef, ...]
    plates: tuple[str, ...]
    entries: int
    towards: int | None = None
    separator: tuple[VarRef, ...] = ()
