"""Restarts: where each start ended, and which optima there are.

Starts whose objectives differ by less than what EM's rule of stopping leaves open have reached the same optimum. An optimum
at which a covariance has collapsed stands after all others, whatever its objective: the likelihood has no bound there.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan

from bnlab.runtime.records import Start

SAME_OPTIMUM = 1e-6
"""Starts whose objectives differ by less than this part of 1 + |objective| reached the same optimum."""
ROUNDING = 1e-10
"""Objectives nearer than this part of 1 + |objective| are equal; of equal ones, the first start's is taken."""
UNSOUND = ("degenerate", "nan")
LISTED = 8
"""How many starts a line names before it only counts."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """All starts of a fit. `best` is the number of the one that was kept; `groups` are the numbers of those that reached
    the same optimum, the best optimum first. Starts that were cut off are in no group."""

    starts: tuple[Start, ...]
    best: int
    groups: tuple[tuple[int, ...], ...]

    @property
    def optima(self) -> tuple[tuple[float, int], ...]:
        """The different optima, as (objective, how many starts reached it), the best first."""
        return tuple((self._objective(group), len(group)) for group in self.groups)

    def _objective(self, group: tuple[int, ...]) -> float:
        """That of the start that was kept, else the highest."""
        numbers = (self.best,) if self.best in group else group
        return max(self.starts[number].objective for number in numbers)

    def lines(self) -> list[str]:
        """One line for each optimum: how many starts reached it, what it is, which they are."""
        width = len(str(len(self.starts)))
        return [
            f"{len(group):>{width}} of {len(self.starts)} reached {self._objective(group):.6f}"
            f"{self._note(group)}: {_numbers(group)}"
            for group in self.groups
        ] + [
            f"{number} was cut off at {start.objective:.6f}"
            for number, start in enumerate(self.starts)
            if start.status == "interrupted"
        ]

    def _note(self, group: tuple[int, ...]) -> str:
        statuses = {self.starts[number].status for number in group} - {"converged"}
        kept = ["kept"] if self.best in group else []
        notes = ", ".join([*kept, *sorted(statuses)])
        return f" ({notes})" if notes else ""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{title}</th>" for title in ("starts", "objective", "", "which"))
        rows = "".join(
            f"<tr><td>{len(group)}</td><td>{self._objective(group):.6f}</td>"
            f"<td>{html.escape(self._note(group))}</td><td>{_numbers(group)}</td></tr>"
            for group in self.groups
        )
        return f"<table><tr>{head}</tr>{rows}</table>"


def _numbers(group: tuple[int, ...]) -> str:
    more = f" and {len(group) - LISTED} more" if len(group) > LISTED else ""
    return f"start{'s' * (len(group) > 1)} {', '.join(map(str, group[:LISTED]))}{more}"


def gathered(starts: Sequence[Start]) -> Restarts:
    """The record of these starts, in order of their numbers. Raises ValueError without any."""
    finished = [number for number, start in enumerate(starts) if start.status != "interrupted"]
    groups: list[list[int]] = []
    for number in sorted(finished, key=lambda one: _rank(starts[one]), reverse=True):
        if groups and _together(starts[groups[-1][-1]], starts[number]):
            groups[-1].append(number)
        else:
            groups.append([number])
    return Restarts(tuple(starts), best_of(starts), tuple(tuple(sorted(group)) for group in groups))


def best_of(starts: Sequence[Start]) -> int:
    """The number of the start to keep: sound before collapsed, then the highest objective, then the first."""
    top = max(starts, key=_rank)
    return next(
        number
        for number, start in enumerate(starts)
        if _sound(start) == _sound(top)
        and not _rank(top)[1] - _rank(start)[1] > ROUNDING * (1 + abs(top.objective))
    )


def _sound(start: Start) -> bool:
    return start.status not in UNSOUND


def _rank(start: Start) -> tuple[bool, float]:
    return _sound(start), start.objective if not isnan(start.objective) else -inf


def _together(higher: Start, lower: Start) -> bool:
    near = higher.objective - lower.objective <= SAME_OPTIMUM * (1 + abs(lower.objective))
    return near and _sound(higher) == _sound(lower)
