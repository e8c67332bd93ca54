"""One start of EM by itself, to its end; from rescaled probabilities over to logarithms where that is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bnlab.errors import Fault, FitError
from bnlab.runtime.em import Limits, State, advance
from bnlab.runtime.em_engine import Engine, engine
from bnlab.runtime.impossible import impossible
from bnlab.runtime.records import Problem


def alone(problem: Problem, ready: Engine, state: State, visit: Callable[[tuple[State, ...]], bool]) -> State:
    """One run to its end. Where rescaled messages underflow, it goes on from the same parameters in logarithms."""
    limits = Limits(problem.max_iter, problem.tol, problem.dtype)
    if state.logarithms >= 0:
        ready = engine(problem, "log")
    (state,) = advance(ready.program, ready.feed, (state,), limits, visit)
    if state.stop == "nan" and state.logarithms < 0 and _finite(state):
        other = engine(problem, "log")
        if other.text != ready.text:
            again = replace(state.reopened(), logarithms=len(state.objective) - 1)
            (state,) = advance(other.program, other.feed, (again,), limits, visit)
    if state.stop != "nan":
        return state
    if len(state.objective) == 1:
        raise _unusable(problem, state)
    return replace(state.reopened(), theta=state.before, stop="nan")


def _unusable(problem: Problem, state: State) -> FitError:
    """The objective at the initial parameters is not finite: why."""
    what = impossible(problem.network, state.theta, problem.bound, problem.dtype)
    reason = f"The objective is {state.objective[0]} at the initial parameters"
    remedy = "Start from other parameters: init='data', or an init without zeros."
    return FitError(Fault(f"{reason}: {what}." if what else f"{reason}.", remedy))


def _finite(state: State) -> bool:
    return all(np.isfinite(value).all() for value in state.theta.values())
