"""Where in the user's source something was written: the file, line and columns that an error points at."""

from __future__ import annotations

import ast
import itertools
import linecache
import sys
from collections.abc import Mapping
from functools import lru_cache
from types import FrameType

from bnlab.errors import Location

Span = tuple[int, int, int | None]
"""Line, column and end column (None if the end is on another line), in characters."""


def here() -> Location | None:
    """The expression that the user's code is now evaluating: in the nearest frame outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return None if frame is None else _location(frame)


def forget_old_source(location: Location | None) -> None:
    """Make errors quote the file as it is now, not as it was when this process first read it."""
    if location is not None:
        linecache.checkcache(location.file)


def argument_location(call: Location | None, position: int, keyword: str) -> Location | None:
    """The place of one argument of the call that is written at `call`; the whole call's if it cannot be found."""
    if call is None or call.column is None:
        return call
    arguments = _calls("".join(linecache.getlines(call.file))).get((call.line, call.column), {})
    span = arguments.get(keyword) or arguments.get(position)
    return call if span is None else Location(call.file, *span)


def _is_ours(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module == "bnlab" or module.startswith("bnlab.")


def _location(frame: FrameType) -> Location:
    file = frame.f_code.co_filename
    positions = itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None)
    line, end_line, column, end_column = next(positions, (None, None, None, None))
    if line is None or column is None or end_column is None:
        return Location(file, frame.f_lineno)
    text = linecache.getline(file, line)
    end = _characters(text, end_column) if end_line == line else None
    return Location(file, line, _characters(text, column), end)


@lru_cache(maxsize=16)
def _calls(source: str) -> Mapping[tuple[int, int], Mapping[int | str, Span]]:
    """The places of the arguments, by position and keyword, of every call in `source`, by where the call begins."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    lines = source.splitlines()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {_span(lines, call)[:2]: _arguments(lines, call) for call in calls}


def _arguments(lines: list[str], call: ast.Call) -> dict[int | str, Span]:
    places: dict[int | str, Span] = {i: _span(lines, argument) for i, argument in enumerate(call.args)}
    return places | {word.arg: _span(lines, word.value) for word in call.keywords if word.arg is not None}


def _span(lines: list[str], node: ast.expr) -> Span:
    text = lines[node.lineno - 1]
    end = node.end_col_offset if node.end_lineno == node.lineno else None
    return node.lineno, _characters(text, node.col_offset), None if end is None else _characters(text, end)


def _characters(text: str, column: int) -> int:
    """Python counts columns in UTF-8 bytes; people see characters."""
    return len(text.encode()[:column].decode(errors="ignore")) if text else column
