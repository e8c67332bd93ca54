"""All starts of a fit by EM: several at a time in one compiled program, or one after another.

Starts that run together share each pass over the data. That pays on accelerators; on a processor a pass is bound by
arithmetic, and chains are even slower together, so there starts run one by one unless the user says otherwise. What is
returned does not depend on it: after starts ran together, the one that is kept runs once more by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax

from bnlab.runtime.em import Limits, State, advance, start, working_memory
from bnlab.runtime.em_alone import alone
from bnlab.runtime.em_engine import Engine, accelerated, seed_of, theta_of_start
from bnlab.runtime.em_floor import floors
from bnlab.runtime.em_resume import Keep
from bnlab.runtime.progress import Report
from bnlab.runtime.records import Problem, Start, Status
from bnlab.runtime.restarts import best_of

SPARE = 0.5
"""The part of an accelerator's free memory that starts which run together may take."""


@dataclass(frozen=True, slots=True)
class Host:
    """What is done between chunks: save, report, and look whether Ctrl-C was pressed."""

    keep: Keep
    report: Report
    pressed: Callable[[], bool]


def all_starts(problem: Problem, ready: Engine, before: tuple[State, ...], host: Host) -> list[State]:
    """Where each start ended. `before` are runs from a checkpoint; fewer than n_init are returned after Ctrl-C."""
    runs = list(before[: problem.n_init])
    width = _width(problem, ready)
    for numbers in (range(i, min(i + width, problem.n_init)) for i in range(0, problem.n_init, width)):
        states = tuple(runs[i] if i < len(runs) else begin(problem, ready, i) for i in numbers)
        visit = _visitor(problem, host, tuple(runs[: numbers.start]), numbers)
        runs[numbers.start : numbers.stop] = _ended(problem, ready, states, numbers, width, visit)
        host.keep(tuple(runs), True)
        if host.pressed():
            return runs
    if width > 1:
        best = best_of([ending(problem, number, run) for number, run in enumerate(runs)])
        visit = _visitor(problem, replace(host, keep=lambda states, final: None), (), range(best, best + 1))
        again = alone(problem, ready, begin(problem, ready, best), visit)
        if again.stop is not None:  # otherwise Ctrl-C was pressed, and what ran together is good enough
            runs[best] = again
    return runs


def _ended(
    problem: Problem,
    ready: Engine,
    states: tuple[State, ...],
    numbers: range,
    width: int,
    visit: Callable[[tuple[State, ...]], bool],
) -> list[State]:
    """Some starts, each at its end. Where the objective came to no number, a start runs once more by itself."""
    if width == 1:
        return [alone(problem, ready, state, visit) if state.stop is None else state for state in states]
    # The same width for all, so that one program serves them: what fills the last batch up has ended already.
    filled = states + (replace(states[0], stop="max_iter"),) * (width - len(states))
    limits = Limits(problem.max_iter, problem.tol, problem.dtype)
    found = advance(ready.program, ready.feed, filled, limits, lambda runs: visit(runs[: len(states)]))
    return [
        alone(problem, ready, begin(problem, ready, number), visit) if state.stop == "nan" else state
        for number, state in zip(numbers, found, strict=False)
    ]


def _width(problem: Problem, ready: Engine) -> int:
    """How many starts run together, so that all batches but the last are equally large."""
    most = problem.options.get("batch") or _room(problem, ready)
    batches = math.ceil(problem.n_init / most)
    return math.ceil(problem.n_init / batches)


def _room(problem: Problem, ready: Engine) -> int:
    """How many starts an accelerator's memory takes at a time; one where there is no accelerator."""
    device = jax.devices()[0]
    memory = None if device.platform == "cpu" or problem.n_init == 1 else device.memory_stats()
    if memory is None:
        return 1
    limits = Limits(problem.max_iter, problem.tol, problem.dtype)
    each = working_memory(ready.program, ready.feed, begin(problem, ready, 0), limits)
    return max(1, int(SPARE * (memory["bytes_limit"] - memory["bytes_in_use"]) // each))


def begin(problem: Problem, ready: Engine, number: int) -> State:
    """Start `number` before its first evaluation."""
    return start(theta_of_start(problem, ready, number), floors(problem.graph), accelerated(problem))


def ending(problem: Problem, number: int, state: State) -> Start:
    """Where a run ended, as its record."""
    seed = seed_of(problem.seed, number)
    return Start(seed, float(state.objective[-1]), status_of(state), len(state.objective) - 1)


def status_of(state: State) -> Status:
    """How a run ended: "degenerate" where a covariance stands on its floor."""
    if state.stop is None:
        return "interrupted"
    standing = any(flags.any() for flags in state.active.values())
    return "degenerate" if standing and state.stop != "nan" else state.stop


def _visitor(
    problem: Problem, host: Host, earlier: tuple[State, ...], numbers: range
) -> Callable[[tuple[State, ...]], bool]:
    """What happens between chunks; says whether to go on."""
    first, last = numbers.start + 1, numbers.stop
    which = f"start {first}" if first == last else f"starts {first} to {last}"
    note = f", {which} of {problem.n_init}" if problem.n_init > 1 else ""

    def visit(states: tuple[State, ...]) -> bool:
        done = max(len(state.objective) for state in states) - 1
        host.report(done, max(state.objective[-1] for state in states), note)
        host.keep((*earlier, *states), False)
        return not host.pressed()

    return visit
