"""The texts that the runtime runs, emitted once for each network: in this process, and in the user's cache for the next one.

A text in the cache stands under a key made of all that it depends on: the network, what was asked of it, and the files of
bnlab itself. Where it is found, nothing that derives or prints is even imported, which is half of a small fit's time.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import bnlab.families
from bnlab.atomic import write_bytes
from bnlab.network.declare import Network
from bnlab.network.formats import to_json
from bnlab.network.ir import Graph
from bnlab.runtime.load import kept_folder
from bnlab.runtime.records import Partial

if TYPE_CHECKING:
    from bnlab.compile import Messages

COMPLETE = Partial()


@lru_cache(maxsize=64)
def emitted(
    net: Network | Graph,
    target: str,
    messages: Messages = "scaled",
    partial: Partial = COMPLETE,
    joint: tuple[tuple[str, ...], ...] = (),
) -> str:
    """`bn.emit(net, target)` for data of which some values may be missing, and latents known."""
    graph = net.graph if isinstance(net, Network) else net
    folder = kept_folder()
    if folder is None:
        return _emit(graph, target, messages, partial, joint)
    asked = repr((_stamp(), target, messages, tuple(partial), joint))
    key = hashlib.sha256(f"{asked}\n{to_json(graph)}".encode()).hexdigest()
    path = folder / f"{graph.name}_{target}_{key[:32]}.txt"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = _emit(graph, target, messages, partial, joint)
        write_bytes(path, text.encode())
        return text


def _emit(
    graph: Graph, target: str, messages: Messages, partial: Partial, joint: tuple[tuple[str, ...], ...]
) -> str:
    from bnlab.compile import emit  # derives and prints: not needed where the text is in the cache

    missing, evidence = partial
    return emit(graph, target, messages=messages, missing=missing, evidence=evidence, joint=joint)


@lru_cache(maxsize=64)
def emitted_evidence(net: Network | Graph, partial: Partial = COMPLETE) -> str:
    """The source of ln p(x | theta) alone."""
    from bnlab.compile import evidence_source

    missing, evidence = partial
    return evidence_source(net, missing, evidence)


@cache
def _stamp() -> str:
    """What tells the files of this bnlab, with whatever families are installed, from those of any other."""
    roots = {str(path) for package in (bnlab, bnlab.families) for path in package.__path__}
    files = (
        entry
        for root in sorted(roots)
        for folder, _, _ in os.walk(root)
        for entry in sorted(Path(folder).glob("*.py"))
    )
    stamps = (f"{file} {(told := file.stat()).st_size} {told.st_mtime_ns}" for file in files)
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()
