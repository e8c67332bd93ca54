"""Emitted text as a module, once for each network and target."""

from __future__ import annotations

import types
from functools import cache

from bnlab.compile import emit
from bnlab.network.ir import Graph


def load(text: str, name: str) -> types.ModuleType:
    """The module that emitted source text makes: nothing but the text is run."""
    module = types.ModuleType(name)
    exec(compile(text, f"<emitted {name}>", "exec"), module.__dict__)
    return module


@cache
def module(graph: Graph, target: str, messages: str = "scaled") -> types.ModuleType:
    """What `bn.emit` writes, loaded; "em" in either form of messages."""
    text = emit(graph, target, messages=messages) if target == "em" else emit(graph, target)
    return load(text, f"{graph.name}_{target}")
