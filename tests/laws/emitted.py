"""Emitted text as a module, and a Program in NumPy as one: two runs of the same derivation."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import numpy as np

from bnlab.compile import emit
from bnlab.inference import em
from bnlab.network.ir import Graph
from bnlab.program import evaluate


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


class Evaluated:
    """The emitted module's functions, with the E-step and the M-step done by the NumPy evaluator of the Program."""

    def __init__(self, graph: Graph) -> None:
        self.program = em.em(graph)
        self.emitted = module(graph, "em")
        self.Parameters, self.prepare = self.emitted.Parameters, self.emitted.prepare

    def e_step(self, theta: Any, data: Any) -> Any:
        chunks = (
            [jax.tree.map(lambda array, n=n: array[n], data) for n in range(len(data[0]))]
            if self.program.root
            else [data]
        )
        parts = [evaluate.expect(self.program, _arrays(theta), _arrays(chunk)) for chunk in chunks]
        return self.emitted.Statistics(**{name: sum(part[name] for part in parts) for name in parts[0]})

    def log_evidence(self, theta: Any, data: Any) -> float:
        return float(self.e_step(theta, data).log_p)

    def m_step(self, statistics: Any, theta: Any) -> Any:
        return self.Parameters(**evaluate.maximise(self.program, _arrays(statistics), _arrays(theta)))


def _arrays(record: Any) -> Mapping[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in record._asdict().items()}
