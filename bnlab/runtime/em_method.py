"""Fitting by EM and by hard EM: starts, restarts, checkpoints, and the choice of the best run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bnlab.errors import Fault, FitError
from bnlab.runtime.em import Limits, State, advance, precision, start
from bnlab.runtime.em_engine import Engine, engine, theta_of_start
from bnlab.runtime.em_floor import floors
from bnlab.runtime.em_report import warnings
from bnlab.runtime.em_resume import Keep, keeper, opened
from bnlab.runtime.emitted import emitted
from bnlab.runtime.interrupt import interruptible
from bnlab.runtime.load import load_source
from bnlab.runtime.progress import Report, reporter
from bnlab.runtime.records import Outcome, Problem, Status

SAME_OPTIMUM = 1e-6
"""Restarts whose objectives differ by less than this part reached the same optimum."""


def run(problem: Problem) -> Outcome:
    """EM, or hard EM where the method is "viterbi": the best of `n_init` runs.

    Raises FitError where it cannot start: no discrete latents for hard EM, an unusable `init`, data that the initial
    parameters make impossible, or a checkpoint of another fit.
    """
    _refuse(problem)
    with precision(problem.dtype):
        ready = engine(problem, "scaled")
        saved = opened(problem, ready.text)
        runs = list(saved.runs[: problem.n_init])
        with (
            interruptible() as pressed,
            reporter(problem.progress, problem.method, problem.max_iter) as report,
        ):
            for number in range(problem.n_init):
                if number == len(runs):
                    runs.append(start(theta_of_start(problem, ready, number), floors(problem.graph)))
                keep = keeper(problem, saved, tuple(runs[:number]))
                if runs[number].stop is None:
                    visit = _visitor(keep, report, pressed, number, problem.n_init)
                    runs[number] = _one_run(problem, ready, runs[number], visit)
                keep(runs[number], True)
                if pressed():
                    break
        return _outcome(problem, ready, runs)


def _refuse(problem: Problem) -> None:
    """Raises FitError for what EM cannot do with this problem."""
    if problem.options:
        raise FitError(Fault(f'method "{problem.method}" has no option {", ".join(problem.options)}.'))
    if problem.method == "viterbi" and not any(latent.discrete for latent in problem.graph.in_role("latent")):
        reason = f"{problem.graph.name} has no discrete latents, so there is no most probable assignment to train on."
        raise FitError(Fault(reason, 'Write method="em".'))


def _one_run(problem: Problem, ready: Engine, state: State, visit: Callable[[State], bool]) -> State:
    """One run to its end. Where rescaled messages underflow, it goes on from the same parameters in logarithms."""
    limits = Limits(problem.max_iter, problem.tol, problem.dtype)
    if state.logarithms >= 0:
        ready = engine(problem, "log")
    state = advance(ready.program, ready.feed, state, limits, visit)
    if state.stop == "nan" and state.logarithms < 0 and _finite(state):
        other = engine(problem, "log")
        if other.text != ready.text:
            again = replace(state.reopened(), logarithms=len(state.objective) - 1)
            state = advance(other.program, other.feed, again, limits, visit)
    if state.stop != "nan":
        return state
    if len(state.objective) == 1:
        _impossible(problem, state)
    return replace(state.reopened(), theta=state.before, stop="nan")


def _finite(state: State) -> bool:
    return all(np.isfinite(value).all() for value in state.theta.values())


def _impossible(problem: Problem, state: State) -> None:
    """Raises FitError: the objective at the initial parameters is not finite. Says which members are impossible."""
    posterior = load_source(emitted(problem.network, "posterior"), f"{problem.graph.name}_posterior")
    data = posterior.prepare(dict(problem.bound.canonical), np.dtype(problem.dtype))
    score = np.atleast_1d(posterior.score(posterior.Parameters(**state.theta), data))
    where = np.flatnonzero(~np.isfinite(score))
    plate = next(iter(problem.bound.layout.paths), "the data")
    members = ", ".join(map(str, where[:5])) + (f" and {len(where) - 5} more" if len(where) > 5 else "")
    reason = f"The objective is {state.objective[0]} at the initial parameters"
    if len(where):
        reason += f": the data of {plate} {members} are impossible or out of reach there"
    raise FitError(Fault(f"{reason}.", "Start from other parameters: init='data', or an init without zeros."))


def _visitor(
    keep: Keep, report: Report, pressed: Callable[[], bool], number: int, n_init: int
) -> Callable[[State], bool]:
    """What happens between chunks; says whether to go on."""
    note = f", start {number + 1} of {n_init}" if n_init > 1 else ""

    def visit(state: State) -> bool:
        report(len(state.objective) - 1, state.objective[-1], note)
        keep(state, False)
        return not pressed()

    return visit


def _outcome(problem: Problem, ready: Engine, runs: list[State]) -> Outcome:
    """The best run: finished ones before collapsed ones, and among these the highest objective."""
    rank = [(_status(run) not in ("degenerate", "nan"), run.objective[-1]) for run in runs]
    number = max(range(len(runs)), key=lambda number: rank[number])
    best = runs[number]
    interrupted = len(runs) < problem.n_init or any(run.stop is None for run in runs)
    final = _evaluated(best)
    return Outcome(
        parameters={name: np.asarray(value) for name, value in final.theta.items()},
        log_likelihood=final.log_likelihood,
        objective=final.objective,
        status="interrupted" if interrupted else _status(best),
        warnings=warnings(problem.graph, final, Limits(problem.max_iter, problem.tol, problem.dtype)),
        optima=_optima([float(run.objective[-1]) for run in runs if run.stop is not None]),
        effort={"e_steps": sum(len(run.objective) for run in runs)},
        initial=theta_of_start(problem, ready, number),
        starts=tuple(run.objective for run in runs),
    )


def _evaluated(state: State) -> State:
    """A run that was interrupted stands one step beyond its last evaluation; that step is taken back."""
    return replace(state, theta=state.before) if state.stop is None else state


def _status(state: State) -> Status:
    if state.stop is None:
        return "interrupted"
    standing = any(flags.any() for flags in state.active.values())
    return "degenerate" if standing and state.stop != "nan" else state.stop


def _optima(objectives: list[float]) -> tuple[tuple[float, int], ...]:
    """The different optima reached and how often, the best first."""
    found: list[tuple[float, int]] = []
    for value in sorted(objectives, reverse=True):
        if found and abs(found[-1][0] - value) <= SAME_OPTIMUM * (1 + abs(value)):
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((value, 1))
    return tuple(found)
