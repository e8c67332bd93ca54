"""Variational inference on the emitted NumPyro model: a guide for the parameters that have priors, in their unconstrained
space; the others are optimised. Without priors this is maximum likelihood by gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bnlab.runtime.align import aligned
from bnlab.runtime.em import precision
from bnlab.runtime.em_engine import seed_of
from bnlab.runtime.free_start import free_start
from bnlab.runtime.interrupt import interruptible
from bnlab.runtime.marginal import Marginal, complete, marginal, options_of
from bnlab.runtime.progress import Report, reporter
from bnlab.runtime.records import Outcome, Problem, Start, Status
from bnlab.runtime.svi_engine import STEPS, VISIT, Learner, learner, marginal_learner
from bnlab.runtime.svi_guides import enumerated_target, refuse

DEFAULTS = {
    "guide": "mean-field",
    "model": "marginal",
    "step_size": 0.05,
    "num_samples": 1000,
    "num_particles": 1,
    "rank": 0,
    "batch": 0,
}

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run that has ended: the ELBO and ln p(x | theta) at each iteration, and samples of the parameters."""

    objective: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    draws: Arrays
    point: Arrays
    interrupted: bool


def run(problem: Problem) -> Outcome:
    """The best of `n_init` runs of `max_iter` iterations of ten steps. `parameters` are the posterior means of parameters
    with priors and the optimised values of the others; `objective` is the ELBO, estimated over each iteration.

    Options: guide ("mean-field", "full-rank", "low-rank" with its `rank`, or "point": the mode), model ("marginal" or
    "enumerated"), step_size, num_samples (of the posterior found), num_particles (of the ELBO), batch (about so many rows
    of data a step, in parts of whole members drawn at random).
    """
    options = options_of(problem, DEFAULTS)
    refuse(options)
    chosen = tuple(sorted(options.items()))
    total = problem.max_iter * STEPS
    with precision(problem.dtype):
        ready = marginal(problem)
        data, parts = _data(problem, ready, int(options["batch"]))
        if options["model"] == "enumerated":
            target = enumerated_target(problem.network, problem.bound, options)
            one = learner(problem.network, problem.bound.partial, target, chosen, total)
        else:
            one = marginal_learner(problem.network, problem.bound.partial, chosen, total)
        runs: list[Run] = []
        with interruptible() as pressed, reporter(problem.progress, "svi", problem.max_iter) as report:
            for number in range(problem.n_init):
                runs.append(_one_run(problem, ready, one, data, number, pressed, report))
                if pressed():
                    break
    best = max(runs, key=lambda one: _level(one.objective))
    steps = sum(len(one.objective) - 1 for one in runs) * STEPS * int(options["num_particles"])
    return Outcome(
        parameters=complete(problem.graph, best.point),
        log_likelihood=best.log_likelihood,
        objective=best.objective,
        status=_status(best, problem.tol),
        starts=tuple(
            Start(
                seed_of(problem.seed, number),
                _level(one.objective),
                _status(one, problem.tol),
                problem.max_iter,
            )
            for number, one in enumerate(runs)
        ),
        draws=best.draws or None,
        effort={"gradients": steps // parts},
    )


def _data(problem: Problem, ready: Marginal, rows: int) -> tuple[Any, int]:
    """The data that the model takes, and how many parts of about `rows` rows they are in; all in one for 0."""
    if not rows:
        return ready.data, 1
    data = ready.module.prepare(dict(problem.bound.canonical), np.dtype(problem.dtype), rows=rows)
    return jax.device_put(data), len(jax.tree.leaves(data)[0])


def _one_run(
    problem: Problem,
    ready: Marginal,
    one: Learner,
    data: Any,
    number: int,
    pressed: Callable[[], bool],
    report: Report,
) -> Run:
    start = {name: jnp.asarray(value) for name, value in free_start(problem, ready, number).items()}
    feed = (start, data, ready.data)
    key, draw_key, part_key = jax.random.split(jax.random.key(seed_of(problem.seed, number)), 3)
    state, elbo, likelihood = one.begin(feed, key)
    objective, evidence = [float(elbo)], [float(likelihood)]
    while len(objective) <= problem.max_iter:
        count = min(VISIT, problem.max_iter + 1 - len(objective))
        part_key, now = jax.random.split(part_key)
        state, elbos, likelihoods = one.advance(state, feed, now, count)
        objective += np.asarray(elbos)[:count].tolist()
        evidence += np.asarray(likelihoods)[:count].tolist()
        report(len(objective) - 1, objective[-1], "")
        if pressed() or not np.isfinite(objective[-1]):
            break
    point, draws = jax.device_get(one.result(state, feed, draw_key))
    if draws:
        draws = aligned(problem.graph, draws, point)
        point = {name: value.mean((0, 1)) for name, value in draws.items()}
        evidence[-1] = float(ready.log_evidence(point))
    return Run(np.array(objective), np.array(evidence), draws, point, pressed())


def _level(objective: NDArray[np.float64]) -> float:
    """Where a noisy trace ends: the mean of its last tenth."""
    return float(objective[-max(1, len(objective) // 10) :].mean())


def _status(found: Run, tol: float) -> Status:
    """Converged where the last tenth of the trace stands no higher than the tenth before, to `tol` and to the noise."""
    trace = found.objective
    if not np.isfinite(trace[-1]):
        return "nan"
    if found.interrupted:
        return "interrupted"
    tenth = len(trace) // 10
    if tenth < 2 or tol == 0:
        return "max_iter"
    before, last = trace[-2 * tenth : -tenth], trace[-tenth:]
    noise = float(np.sqrt((before.var(ddof=1) + last.var(ddof=1)) / tenth))
    return (
        "converged" if last.mean() - before.mean() <= tol * (1 + abs(last.mean())) + 2 * noise else "max_iter"
    )
