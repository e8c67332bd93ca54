"""Graphviz: from DOT to bytes, in this process by pygraphviz or by the `dot` program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from bnlab.errors import BnlabError, Fault, InternalError

PNG_DPI = 200
"""Sharp on a slide; Graphviz's own 96 is not."""

NOISE = re.compile("fontconfig|size too small for label", re.IGNORECASE)
"""What the machine's fonts are like is no news about the picture."""

_FD2 = threading.Lock()


def render(dot_source: str, format: str, engine: str = "dot") -> bytes:
    """The picture that Graphviz makes of `dot_source`: format "svg", "png", "pdf" or "json" (the places).

    `engine` is "dot", or "nop2" where the text has all places. Graphviz's own warnings become Python's. Raises BnlabError
    where neither pygraphviz nor `dot` is there.
    """
    if find_spec("pygraphviz"):
        return _in_process(dot_source, format, engine)
    if shutil.which("dot"):
        return _by_program(dot_source, format, engine)
    raise BnlabError(
        Fault(
            f"A picture as {format} needs Graphviz, and neither pygraphviz nor the program `dot` is there.",
            "Type `pip install pygraphviz`, which brings Graphviz along, or write a .dot file.",
        )
    )


def _in_process(dot_source: str, format: str, engine: str) -> bytes:
    import pygraphviz

    with _messages() as said:
        try:
            graph = pygraphviz.AGraph(string=dot_source)
            drawn = graph.draw(format=format, prog=engine, args=_settings(format))
        except Exception as error:  # DotError, and OSError from older versions: only bad DOT leads here
            raise InternalError(f"Graphviz refuses what was written for it: {error}") from error
    _warn("".join(said))
    return drawn if isinstance(drawn, bytes) else str(drawn).encode()


def _by_program(dot_source: str, format: str, engine: str) -> bytes:
    command = ["dot", f"-K{engine}", f"-T{format}", *_settings(format).split()]
    finished = subprocess.run(command, input=dot_source.encode(), capture_output=True)
    said = finished.stderr.decode(errors="replace")
    if finished.returncode:
        raise InternalError(f"Graphviz refuses what was written for it: {said}")
    _warn(said)
    return finished.stdout


def _settings(format: str) -> str:
    return f"-Gdpi={PNG_DPI}" if format == "png" else ""


def _warn(said: str) -> None:
    lines = [line for line in said.splitlines() if line.strip() and not NOISE.search(line)]
    if lines:
        warnings.warn("Graphviz says: " + "\n".join(lines), stacklevel=2)


@contextmanager
def _messages() -> Iterator[list[str]]:
    """What C code writes to the standard error meanwhile. One at a time: the descriptor is the process's."""
    said: list[str] = []
    with _FD2, tempfile.TemporaryFile() as kept:
        outside = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(outside, 2)
            os.close(outside)
            kept.seek(0)
            said.append(kept.read().decode(errors="replace"))
