"""Variational inference on the emitted `marginal_model`: a normal for the parameters that have priors, in their
unconstrained space; the others are optimised. Without priors this is maximum likelihood by gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro import optim
from numpyro.infer import SVI, Trace_ELBO, init_to_value
from numpyro.infer.autoguide import AutoNormal

from bnlab.runtime.align import aligned
from bnlab.runtime.em import precision
from bnlab.runtime.em_engine import seed_of
from bnlab.runtime.interrupt import interruptible
from bnlab.runtime.marginal import Marginal, complete, free_start, marginal, options_of
from bnlab.runtime.progress import Report, reporter
from bnlab.runtime.records import Outcome, Problem, Start, Status

STEPS = 10
"""Steps of the optimiser in one iteration."""
DECAY = 0.01
"""The last step's size, as a part of the first one's."""
DEFAULTS = {"step_size": 0.05, "num_samples": 1000, "num_particles": 1}

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

    Options: step_size, num_samples (of the posterior found), num_particles (of the ELBO).
    """
    options = options_of(problem, DEFAULTS)
    with precision(problem.dtype):
        ready = marginal(problem)
        runs: list[Run] = []
        with interruptible() as pressed, reporter(problem.progress, "svi", problem.max_iter) as report:
            for number in range(problem.n_init):
                runs.append(_one_run(problem, ready, options, number, pressed, report))
                if pressed():
                    break
    best = max(runs, key=lambda one: _level(one.objective))
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
    )


def _one_run(
    problem: Problem,
    ready: Marginal,
    options: Mapping[str, float],
    number: int,
    pressed: Callable[[], bool],
    report: Report,
) -> Run:
    start = free_start(problem, number)
    learner = _learner(problem, ready, options, start)
    key, draw_key = jax.random.split(jax.random.key(seed_of(problem.seed, number)))
    state = learner.init(key)
    objective, evidence = [learner.elbo(state)], [float(ready.log_evidence(learner.point(state)))]
    for iteration in range(problem.max_iter):
        state, elbos = learner.iterate(state)
        objective.append(float(elbos.mean()))
        evidence.append(float(ready.log_evidence(learner.point(state))))
        report(iteration + 1, objective[-1], "")
        if pressed() or not np.isfinite(objective[-1]):
            break
    point = {name: np.asarray(value) for name, value in learner.point(state).items()}
    draws = learner.draws(state, draw_key)
    if draws:
        draws = aligned(problem.graph, draws, point)
        point = {name: value.mean((0, 1)) for name, value in draws.items()}
        evidence[-1] = float(ready.log_evidence(point))
    return Run(np.array(objective), np.array(evidence), draws, point, pressed())


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """The compiled parts of a run, as functions of the optimiser's state. `draws` are empty where nothing has a prior."""

    init: Callable[[Any], Any]
    elbo: Callable[[Any], float]
    iterate: Callable[[Any], Any]
    point: Callable[[Any], Arrays]
    draws: Callable[[Any, Any], Arrays]


def _learner(problem: Problem, ready: Marginal, options: Mapping[str, float], start: Arrays) -> Learner:
    model, data = ready.module.marginal_model, ready.data
    random = {one.name for one in problem.graph.parameters if one.name in start and one.prior is not None}
    guide: Any = AutoNormal(model, init_loc_fn=init_to_value(values=start)) if random else _nothing
    total = max(1, problem.max_iter * STEPS)
    adam = optim.Adam(lambda step: options["step_size"] * DECAY ** (step / total))
    svi = SVI(model, guide, adam, Trace_ELBO(num_particles=int(options["num_particles"])))
    optimised = {name: jnp.asarray(value) for name, value in start.items() if name not in random}
    count = int(options["num_samples"])

    def step(state: Any, _: None) -> Any:
        state, loss = svi.update(state, data)
        return state, -loss

    def point(state: Any) -> Arrays:
        values = svi.get_params(state)
        medians = guide.median(values) if random else {}
        return {name: medians[name] if name in random else values[name] for name in start}

    def draws(state: Any, key: Any) -> Arrays:
        if not random:
            return {}
        samples = guide.sample_posterior(key, svi.get_params(state), sample_shape=(count,))
        fixed = point(state)
        whole = {name: samples[name] if name in random else [fixed[name]] * count for name in start}
        return {name: np.asarray(value)[None] for name, value in whole.items()}

    return Learner(
        init=lambda key: svi.init(key, data, init_params=optimised),
        elbo=lambda state: -float(svi.evaluate(state, data)),
        iterate=jax.jit(lambda state: jax.lax.scan(step, state, None, length=STEPS)),
        point=jax.jit(point),
        draws=draws,
    )


def _nothing(data: Any) -> None:
    """The guide of a model without latent variables."""


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
