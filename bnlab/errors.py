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


WIDEST = 160
"""Characters of a line that an error quotes. A line of a file from a stranger may have millions."""


def excerpt(location: Location) -> str:
    """The line that `location` points at, with one line before it and a caret below."""
    head = f"{location.file}, line {location.line}:"
    text = _line(location.file, location.line)
    if not text:
        return head
    before = _line(location.file, location.line - 1)[:WIDEST]
    width = len(str(location.line))
    lines = [head]
    if before.strip():
        lines.append(f"  {location.line - 1:>{width}} | {before}")
    start = location.column if location.column is not None else len(text) - len(text.lstrip())
    end = location.end_column if location.end_column is not None else len(text)
    first = max(0, start - WIDEST // 2) if len(text) > WIDEST else 0
    text, start, end = text[first : first + WIDEST], start - first, min(end - first, WIDEST)
    lines.append(f"  {location.line:>{width}} | {text}")
    lines.append(" " * (width + 5 + start) + "^" * max(1, end - start))
    return "\n".join(lines)


def _line(file: str, number: int) -> str:
    """A line of a file as a terminal can show it: whatever is no character to be printed is a blank."""
    text = linecache.getline(file, number).rstrip("\n") if number > 0 else ""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)
