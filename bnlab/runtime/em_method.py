"""Fitting by EM and by hard EM: starts, restarts, checkpoints, and the choice of the best run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnlab.errors import Fault, FitError
from bnlab.runtime.boundary import boundaries, standing
from bnlab.runtime.em import Limits, State, precision
from bnlab.runtime.em_engine import Engine, engine, theta_of_start
from bnlab.runtime.em_report import warnings
from bnlab.runtime.em_resume import keeper, opened
from bnlab.runtime.em_saddle import saddles
from bnlab.runtime.em_starts import Host, all_starts, ending, status_of
from bnlab.runtime.interrupt import interruptible
from bnlab.runtime.progress import reporter
from bnlab.runtime.records import FitWarning, Outcome, Problem, Start
from bnlab.runtime.restarts import best_of, gathered

SEVERAL = 4
"""From so many starts on, an optimum that only one of them reached is worth a word."""


def run(problem: Problem) -> Outcome:
    """EM, or hard EM where the method is "viterbi": the best of `n_init` runs.

    Options: `batch`, how many starts run together (em_starts.py); for "em" also `accelerate`, whether longer steps than
    EM's own are tried (em_accelerate.py). Raises FitError where it cannot start: no discrete
    latents for hard EM, an unusable `init`, data that the initial parameters make impossible, or a checkpoint of another
    fit.
    """
    _refuse(problem)
    with precision(problem.dtype):
        ready = engine(problem, "scaled")
        saved = opened(problem, ready.text)
        with (
            interruptible() as pressed,
            reporter(problem.progress, problem.method, problem.max_iter) as report,
        ):
            runs = all_starts(problem, ready, saved.runs, Host(keeper(problem, saved), report, pressed))
        return _outcome(problem, ready, runs)


def _refuse(problem: Problem) -> None:
    """Raises FitError for what EM cannot do with this problem."""
    able = ("batch", "accelerate") if problem.method == "em" else ("batch",)
    theirs = f"Its option{'s are' * (len(able) > 1) or ' is'} {' and '.join(able)}."
    faults = [
        Fault(f'method "{problem.method}" has no option {name}.', theirs)
        for name in problem.options
        if name not in able
    ]
    accelerate = problem.options.get("accelerate", False)
    if not isinstance(accelerate, bool | np.bool_):
        faults.append(Fault(f"accelerate is {accelerate!r}; it is True or False."))
    batch = problem.options.get("batch", 1)
    if isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1:
        faults.append(Fault(f"batch is {batch!r}; it is a whole number of at least 1.", "It counts starts."))
    if problem.method == "viterbi" and not any(latent.discrete for latent in problem.graph.in_role("latent")):
        reason = f"{problem.graph.name} has no discrete latents, so there is no most probable assignment to train on."
        faults.append(Fault(reason, 'Write method="em".'))
    if faults:
        raise FitError(*faults)


def _outcome(problem: Problem, ready: Engine, runs: list[State]) -> Outcome:
    """The best run: finished ones before collapsed ones, and among these the highest objective."""
    starts = tuple(ending(problem, number, state) for number, state in enumerate(runs))
    number = best_of(starts)
    best = runs[number]
    interrupted = len(runs) < problem.n_init or any(run.stop is None for run in runs)
    final = _evaluated(best)
    told = warnings(problem.graph, final, Limits(problem.max_iter, problem.tol, problem.dtype))
    initial = theta_of_start(problem, ready, number)
    on_floor = standing(problem, final, ready)
    told = tuple(one for one in told if one.concerns not in on_floor)
    edges = (
        *(one for each in on_floor.values() for one in each),
        *boundaries(problem, final, initial, ready),
    )
    return Outcome(
        parameters={name: np.asarray(value) for name, value in final.theta.items()},
        log_likelihood=final.log_likelihood,
        objective=final.objective,
        status="interrupted" if interrupted else status_of(best),
        warnings=(*told, *edges, *saddles(problem, ready, final), *_luck(starts)),
        starts=starts,
        effort={"e_steps": sum(run.e_steps for run in runs)},
        initial=initial,
        traces=tuple(run.objective for run in runs),
    )


def _luck(starts: tuple[Start, ...]) -> Iterator[FitWarning]:
    """A best optimum that one of several starts reached: others may have missed a better one still."""
    reached = gathered(starts)
    if len(starts) >= SEVERAL and len(reached.optima) > 1 and reached.groups[0] == (reached.best,):
        message = f"only 1 of {len(starts)} reached the best optimum; there may be better ones."
        yield FitWarning("starts", message, "Raise n_init.")


def _evaluated(state: State) -> State:
    """A run that was interrupted stands one step beyond its last evaluation; that step is taken back."""
    return replace(state, theta=state.before) if state.stop is None else state
