"""What a fit says while it runs: a bar on a terminal, one line at the end elsewhere, nothing if not wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Report = Callable[[int, float, str], None]


@contextmanager
def reporter(wanted: bool, method: str, total: int) -> Iterator[Report]:
    """A function to call with (iterations done, objective, what to add). The bar goes to standard error."""
    console = Console(stderr=True)
    if not (wanted and console.is_terminal):
        yield lambda done, objective, note: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(method, total=total)
        yield lambda done, objective, note: bar.update(
            task, completed=done, description=f"{method}{note}, objective {objective:.6g}"
        )


def conclude(wanted: bool, line: str) -> None:
    """The one line that stays."""
    if wanted:
        Console(stderr=True, highlight=False, soft_wrap=True).print(line, markup=False)
