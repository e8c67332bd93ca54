"""What bnlab raises: errors that say what was written, why it cannot be, and what to type instead."""

from __future__ import annotations

import linecache
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's source: `file`, 1-based `line`, 0-based `column` up to `end_column`."""

    file: str
    line: int
    column: int | None = None
    end_column: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: `reason` says why it cannot be, `remedy` what to type instead."""

    reason: str
    remedy: str = ""
    location: Location | None = field(default=None, compare=False)

    def __str__(self) -> str:
        parts = [excerpt(self.location)] if self.location else []
        parts.append(self.reason)
        if self.remedy:
            parts.append(self.remedy)
        return "\n".join(parts)


class BnlabError(Exception):
    """The base of every error that bnlab raises on purpose. `faults` holds all that was found wrong."""

    def __init__(self, *faults: Fault | str) -> None:
        self.faults = tuple(Fault(fault) if isinstance(fault, str) else fault for fault in faults)
        super().__init__("\n\n".join(str(fault) for fault in self.faults))


class ModelError(BnlabError):
    """A declaration that is not a network."""


class IntractableError(BnlabError):
    """A network for which exact inference is impossible, or not derived by bnlab; names the variables."""


class DataError(BnlabError):
    """Data that do not fit the network; names the variable, row and column."""


class FitError(BnlabError):
    """A fit that cannot be started or continued as asked."""


class InternalError(BnlabError):
    """A fault of bnlab itself."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}\nThis should never happen: please report it, with the model file.")


def excerpt(location: Location) -> str:
    """The line that `location` points at, with one line before it and a caret below."""
    head = f"{location.file}, line {location.line}:"
    text = linecache.getline(location.file, location.line).rstrip("\n")
    if not text:
        return head
    before = linecache.getline(location.file, location.line - 1).rstrip("\n") if location.line > 1 else ""
    width = len(str(location.line))
    lines = [head]
    if before.strip():
        lines.append(f"  {location.line - 1:>{width}} | {before}")
    lines.append(f"  {location.line:>{width}} | {text}")
    start = location.column if location.column is not None else len(text) - len(text.lstrip())
    end = location.end_column if location.end_column is not None else len(text)
    lines.append(" " * (width + 5 + start) + "^" * max(1, end - start))
    return "\n".join(lines)
