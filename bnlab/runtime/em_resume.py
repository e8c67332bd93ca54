"""Going on from a checkpoint: which fit it is of, what was done, and when to save again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import numpy as np

from bnlab.atomic import writable
from bnlab.runtime import checkpoint as files
from bnlab.runtime.em import State
from bnlab.runtime.em_engine import accelerated
from bnlab.runtime.parameters import checked
from bnlab.runtime.records import Problem

SAVE_EVERY = 1.0
"""Seconds between two checkpoints, the last one apart."""

Keep = Callable[[tuple[State, ...], bool], None]


def opened(problem: Problem, text: str) -> files.Checkpoint:
    """The runs made before, reopened where `max_iter` or `tol` may now let them go on; none without a checkpoint."""
    if problem.checkpoint is None:
        return files.Checkpoint({}, ())
    writable(problem.checkpoint)
    identity = _identity(problem, text)
    saved = files.load(problem.checkpoint, identity)
    if saved is None:
        return files.Checkpoint(identity, ())
    runs = (run.reopened() if run.stop in ("max_iter", "converged") else run for run in saved.runs)
    return files.Checkpoint(identity, tuple(runs))


def keeper(problem: Problem, saved: files.Checkpoint) -> Keep:
    """Saves all runs so far, not too often unless it is the last word."""
    last = time.monotonic()

    def keep(runs: tuple[State, ...], final: bool) -> None:
        nonlocal last
        if problem.checkpoint is None or not (final or time.monotonic() - last >= SAVE_EVERY):
            return
        files.save(problem.checkpoint, files.Checkpoint(saved.identity, runs))
        last = time.monotonic()

    return keep


def _identity(problem: Problem, text: str) -> dict[str, str]:
    """What must be the same for a run to go on: everything but when it stops."""
    digest = hashlib.sha256()
    for name, array in sorted(problem.bound.canonical.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return {
        "the model": hashlib.sha256(text.encode()).hexdigest(),
        "the data": digest.hexdigest(),
        "method": problem.method + ", accelerated" * accelerated(problem),
        "seed": str(problem.seed),
        "dtype": problem.dtype,
        "init": _beginning(problem),
    }


def _beginning(problem: Problem) -> str:
    """The way of starting, or the digest of the arrays given."""
    if isinstance(problem.init, str):
        return problem.init
    given = checked(problem.graph, problem.init, complete=False, edge=True)
    return hashlib.sha256(
        b"".join(name.encode() + array.tobytes() for name, array in given.items())
    ).hexdigest()
