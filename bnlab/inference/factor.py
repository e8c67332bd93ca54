"""A factor of the joint distribution: what the Plan multiplies, sums and integrates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bnlab.network.ir import VarRef

Steps = Literal["all", "first", "later"]


@dataclass(frozen=True, slots=True)
class Factor:
    """`name` is unique in a plan. `steps` says where in a chain it stands: at all steps, at one of the first ones, which is
    number `at` from 0, or at all later ones, from number `at` on.
    """

    name: str
    left: tuple[str, ...]
    given: tuple[VarRef, ...]
    scope: tuple[VarRef, ...]
    plates: tuple[str, ...]
    steps: Steps = "all"
    variable: str = ""
    continuous: tuple[VarRef, ...] = ()
    at: int = 0
