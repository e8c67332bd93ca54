"""What a fit says while it runs: a bar on a terminal, one line at the end elsewhere, nothing if not wanted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, float, str], None]


@contextmanager
def reporter(wanted: bool, method: str, total: int) -> Iterator[Report]:
    """A function to call with (iterations done, objective, what to add). The bar goes to standard error."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda done, objective, note: None
        return
    from rich.console import Console  # only a terminal needs it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(method, total=total)
        yield lambda done, objective, note: bar.update(
            task, completed=done, description=f"{method}{note}, objective {objective:.6g}"
        )


def conclude(wanted: bool, line: str) -> None:
    """The one line that stays."""
    if wanted:
        print(line, file=sys.stderr)
