"""One run of the emitted EM, seen from the host: chunks of compiled iterations, with visits in between.

The loop comes back to the host every so often, for progress, checkpoints and Ctrl-C. How many iterations at a time changes
nothing in the numbers: the body is one compiled function, and it stops by itself to the iteration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import ModuleType
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from bnlab.runtime.em_accelerate import fresh, iteration
from bnlab.runtime.em_floor import Floor
from bnlab.runtime.em_leap import Space
from bnlab.runtime.em_loop import CHUNK, STOPS, Carry, Control, Count, loop, parts, plain
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
    where the step's own objective is something else; `loop` the compiled loop over them, and `together` the same over
    several runs at once."""

    step: ModuleType
    evidence: ModuleType | None
    loop: Callable[..., Any]
    together: Callable[..., Any]


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
    of discrete latents at the last parameters evaluated. `memory` is what an accelerated run remembers between
    evaluations (em_accelerate.py). `logarithms` is the entry from which on messages are logarithms, -1 if they never are.
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
    memory: Arrays = field(default_factory=dict)

    @property
    def e_steps(self) -> int:
        """Passes over the data made: the entries of the traces, and what was tried and not taken."""
        return len(self.objective) + int(self.memory.get("rejected", 0))

    def reopened(self) -> State:
        """The same state with its last evaluation still to be made: what a later, longer run goes on from."""
        if self.stop is None:
            return self
        return replace(
            self, objective=self.objective[:-1], log_likelihood=self.log_likelihood[:-1], stop=None
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run stops: docs/fitting.md, How it ended."""

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
    accelerated: tuple[Space, ...] | None = None,
) -> Program:
    """The emitted texts, loaded, and the loop over them; it is compiled once for each shape of data. `accelerated` are the
    coordinates to extrapolate in, None for plain EM."""
    with precision(dtype):
        step = load_source(step_text, f"{name}_em")
        evidence = None if evidence_text is None else load_source(evidence_text, f"{name}_evidence")
    found = tuple(count for count in counts if count.field in step.Statistics._fields)
    one = loop(
        parts(step, evidence, floors, found),
        plain if accelerated is None else iteration(step, floors, accelerated),
    )
    each = Control(steps=0, left=0, tol=None, slack=None)
    several = jax.vmap(one, in_axes=(0, 0, 0, 0, 0, 0, None, None, None, each))
    return Program(step, evidence, jax.jit(one), jax.jit(several))


def start(theta: Arrays, floors: tuple[Floor, ...], accelerated: bool = False) -> State:
    """A run that has not begun."""
    none = {
        floor.parameter: np.zeros(theta[floor.parameter].shape[: floor.plates], dtype=bool)
        for floor in floors
    }
    memory = fresh(theta) if accelerated else {}
    return State(theta, theta, np.zeros(0), np.zeros(0), none, none, {}, memory=memory)


def advance(
    one: Program,
    feed: Feed,
    states: tuple[State, ...],
    limits: Limits,
    visit: Callable[[tuple[State, ...]], bool],
) -> tuple[State, ...]:
    """Runs each of `states` until its stop, or all until `visit`, which sees them between chunks, says no."""
    steps = 1
    while any(state.stop is None for state in states):
        began = time.perf_counter()
        states = chunk(one, feed, states, limits, steps)
        steps = int(np.clip(steps * VISIT / (time.perf_counter() - began), 1, CHUNK))
        if not visit(states):
            break
    return states


def chunk(
    one: Program, feed: Feed, states: tuple[State, ...], limits: Limits, steps: int
) -> tuple[State, ...]:
    """At most `steps` evaluations of each run that has not stopped, in one go on the device."""
    arguments = [_arguments(one, state, limits, steps) for state in states]
    data = (feed.step, feed.evidence, dict(feed.scales))
    if len(states) == 1:
        *start, control = arguments[0]
        return (_after(states[0], jax.device_get(one.loop(*start, *data, control))),)
    *starts, controls = (
        jax.tree.map(lambda *leaves: np.stack(leaves), *parts) for parts in zip(*arguments, strict=True)
    )
    controls = controls._replace(tol=controls.tol[0], slack=controls.slack[0])
    carry = jax.device_get(one.together(*starts, *data, controls))
    return tuple(
        _after(state, jax.tree.map(lambda leaf, lane=lane: leaf[lane], carry))
        if state.stop is None
        else state
        for lane, state in enumerate(states)
    )


def working_memory(one: Program, feed: Feed, state: State, limits: Limits) -> int:
    """The bytes that a run takes beside its data, as its compiled loop says."""
    *first, control = _arguments(one, state, limits, 1)
    compiled: Any = one.loop  # jax.jit has no type for what it returns
    found = compiled.lower(*first, feed.step, feed.evidence, dict(feed.scales), control).compile()
    memory = found.memory_analysis()
    return int(memory.temp_size_in_bytes + memory.output_size_in_bytes)


def _arguments(one: Program, state: State, limits: Limits, steps: int) -> tuple[Any, ...]:
    """What the compiled loop takes of a run. One that has stopped makes no more evaluations."""
    number = np.dtype(limits.dtype).type
    done = len(state.objective)
    theta, before = (one.step.Parameters(**parameters) for parameters in (state.theta, state.before))
    control = Control(
        np.int32(steps if state.stop is None else 0),
        np.int32(limits.max_iter - done),
        number(limits.tol),
        number(SLACK[limits.dtype]),
    )
    previous = number(state.objective[-1] if done else np.nan)
    return theta, before, previous, dict(state.active), dict(state.ever), dict(state.memory), control


def _after(state: State, carry: Carry) -> State:
    """The run after a chunk of evaluations."""
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
        memory=carry.memory,
    )
