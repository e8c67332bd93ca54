"""One run of the emitted EM, seen from the host: chunks of compiled iterations, with visits in between.

The loop comes back to the host every so often, for progress, checkpoints and Ctrl-C. How many iterations at a time changes
nothing in the numbers: the body is one compiled function, and it stops by itself to the iteration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from bnlab.runtime.em_floor import Floor
from bnlab.runtime.em_loop import CHUNK, STOPS, Control, Count, loop
from bnlab.runtime.load import load_source
from bnlab.runtime.records import Status

VISIT = 0.2
"""The seconds that the host aims at between two visits."""
SLACK = {"float64": 1e-10, "float32": 1e-5}
"""How far, as a part of 1 + |objective|, rounding alone may let the objective fall."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """What runs. `step` is the emitted module with the E- and M-step; `evidence` the one whose `log_evidence` is ln p(x),
    where the step's own objective is something else; `loop` the compiled loop over them."""

    step: ModuleType
    evidence: ModuleType | None
    loop: Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """The data, prepared for the modules of a program, and the variances that its floors are relative to."""

    step: Any
    evidence: Any
    scales: Arrays


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where a run is.

    While `stop` is None, `theta` is to be evaluated next, as entry len(objective) of the traces; afterwards the last
    entry is that of `theta`. `before` are the parameters one iteration earlier. `active` tells by parameter which
    components stand on a floor in `theta`, `ever` which did at some time. `counts` are the expected counts of the states
    of discrete latents at the last parameters evaluated. `logarithms` is the entry from which on messages are
    logarithms, -1 if they never are.
    """

    theta: Arrays
    before: Arrays
    objective: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    active: Arrays
    ever: Arrays
    counts: Arrays
    stop: Status | None = None
    logarithms: int = -1

    def reopened(self) -> State:
        """The same state with its last evaluation still to be made: what a later, longer run goes on from."""
        if self.stop is None:
            return self
        return replace(
            self, objective=self.objective[:-1], log_likelihood=self.log_likelihood[:-1], stop=None
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run stops: design.md section 3."""

    max_iter: int
    tol: float
    dtype: str


def precision(dtype: str) -> Any:
    """The context in which everything numeric runs: 64-bit or 32-bit numbers, whatever the process has set."""
    return jax.enable_x64(dtype == "float64")


@lru_cache(maxsize=32)
def program(
    step_text: str,
    evidence_text: str | None,
    name: str,
    floors: tuple[Floor, ...],
    counts: tuple[Count, ...],
    dtype: str,
) -> Program:
    """The emitted texts, loaded, and the loop over them; it is compiled once for each shape of data."""
    with precision(dtype):
        step = load_source(step_text, f"{name}_em")
        evidence = None if evidence_text is None else load_source(evidence_text, f"{name}_evidence")
    found = tuple(count for count in counts if count.field in step.Statistics._fields)
    return Program(step, evidence, jax.jit(loop(step, evidence, floors, found)))


def start(theta: Arrays, floors: tuple[Floor, ...]) -> State:
    """A run that has not begun."""
    none = {
        floor.parameter: np.zeros(theta[floor.parameter].shape[: floor.plates], dtype=bool)
        for floor in floors
    }
    return State(theta, theta, np.zeros(0), np.zeros(0), none, none, {})


def advance(one: Program, feed: Feed, state: State, limits: Limits, visit: Callable[[State], bool]) -> State:
    """Runs until a stop, or until `visit`, which sees the state between chunks, says no."""
    steps = 1
    while state.stop is None:
        began = time.perf_counter()
        state = chunk(one, feed, state, limits, steps)
        steps = int(np.clip(steps * VISIT / (time.perf_counter() - began), 1, CHUNK))
        if not visit(state):
            return state
    return state


def chunk(one: Program, feed: Feed, state: State, limits: Limits, steps: int) -> State:
    """At most `steps` evaluations, in one go on the device."""
    number = np.dtype(limits.dtype).type
    done = len(state.objective)
    theta, before = (one.step.Parameters(**parameters) for parameters in (state.theta, state.before))
    previous = number(state.objective[-1] if done else np.nan)
    control = Control(
        np.int32(steps), np.int32(limits.max_iter - done), number(limits.tol), number(SLACK[limits.dtype])
    )
    flags = (dict(state.active), dict(state.ever))
    carry = jax.device_get(
        one.loop(theta, before, previous, *flags, feed.step, feed.evidence, dict(feed.scales), control)
    )
    return State(
        theta=carry.theta._asdict(),
        before=carry.before._asdict(),
        objective=np.append(state.objective, carry.objective[: carry.done].astype(np.float64)),
        log_likelihood=np.append(state.log_likelihood, carry.log_likelihood[: carry.done].astype(np.float64)),
        active=carry.active,
        ever=carry.ever,
        counts=carry.counts,
        stop=STOPS[int(carry.reason)],
        logarithms=state.logarithms,
    )
