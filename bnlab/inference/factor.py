"""A factor of the joint distribution: what the Plan multiplies, sums and integrates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bnlab.network.ir import VarRef


@dataclass(frozen=True, slots=True)
class Factor:
    """`name` is unique in a plan. `steps` says at which steps of a chain it stands: all, the first, or those after it."""

    name: str
    left: tuple[str, ...]
    given: tuple[VarRef, ...]
    scope: tuple[VarRef, ...]
    plates: tuple[str, ...]
    steps: Literal["all", "first", "later"] = "all"
    variable: str = ""
    continuous: tuple[VarRef, ...] = ()
