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
from numpyro import optim
from numpyro.infer import SVI

from bnlab.runtime.align import aligned
from bnlab.runtime.em import precision
from bnlab.runtime.em_engine import seed_of
from bnlab.runtime.interrupt import interruptible
from bnlab.runtime.marginal import Marginal, complete, free_start, marginal, options_of
from bnlab.runtime.progress import Report, reporter
from bnlab.runtime.records import Outcome, Problem, Status
from bnlab.runtime.svi_guides import Target, guide_of, target_of

STEPS = 10
"""Steps of the optimiser in one iteration."""
VISIT = 10
"""Iterations between two looks at the host."""
DECAY = 0.01
"""The last step's size, as a part of the first one's; in between it falls geometrically."""
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
    with precision(problem.dtype):
        target, ready = target_of(problem, options), marginal(problem)
        runs: list[Run] = []
        with interruptible() as pressed, reporter(problem.progress, "svi", problem.max_iter) as report:
            for number in range(problem.n_init):
                runs.append(_one_run(problem, ready, target, options, number, pressed, report))
                if pressed():
                    break
    best = max(runs, key=lambda one: _level(one.objective))
    steps = sum(len(one.objective) - 1 for one in runs) * STEPS * int(options["num_particles"])
    return Outcome(
        parameters=complete(problem.graph, best.point),
        log_likelihood=best.log_likelihood,
        objective=best.objective,
        status=_status(best, problem.tol),
        optima=tuple(
            (_level(one.objective), 1) for one in sorted(runs, key=lambda one: -_level(one.objective))
        ),
        draws=best.draws or None,
        effort={"gradients": steps // target.parts},
    )


def _one_run(
    problem: Problem,
    ready: Marginal,
    target: Target,
    options: Mapping[str, Any],
    number: int,
    pressed: Callable[[], bool],
    report: Report,
) -> Run:
    start = {name: jnp.asarray(value) for name, value in free_start(problem, number).items()}
    key, draw_key, part_key = jax.random.split(jax.random.key(seed_of(problem.seed, number)), 3)
    learner = _learner(problem, ready, target, options, start)
    state = learner.begin(key)
    objective, evidence = ([float(level)] for level in learner.levels(state))
    while len(objective) <= problem.max_iter:
        count = min(VISIT, problem.max_iter + 1 - len(objective))
        part_key, now = jax.random.split(part_key)
        state, elbos, likelihoods = learner.advance(state, now, count)
        objective += np.asarray(elbos)[:count].tolist()
        evidence += np.asarray(likelihoods)[:count].tolist()
        report(len(objective) - 1, objective[-1], "")
        if pressed() or not np.isfinite(objective[-1]):
            break
    point = {name: np.asarray(value) for name, value in learner.point(state).items()}
    draws = {name: np.asarray(value) for name, value in learner.draws(state, draw_key).items()}
    if draws:
        draws = aligned(problem.graph, draws, point)
        point = {name: value.mean((0, 1)) for name, value in draws.items()}
        evidence[-1] = float(ready.log_evidence(point))
    return Run(np.array(objective), np.array(evidence), draws, point, pressed())


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """The parts of a run from one start, compiled but for the first. `begin(key)` is the optimiser's state, `levels` its ELBO
    and ln p(x | theta); `advance(state, key, count)` gives the state after `count` iterations, with the levels of each.
    `draws` are empty where the guide has no spread."""

    begin: Callable[[Any], Any]
    levels: Callable[[Any], Any]
    advance: Callable[..., Any]
    point: Callable[[Any], Any]
    draws: Callable[[Any, Any], Any]


def _learner(
    problem: Problem, ready: Marginal, target: Target, options: Mapping[str, Any], start: Arrays
) -> Learner:
    guide = guide_of(problem, options, target, start)
    random = {one.name for one in problem.graph.parameters if one.name in start and one.prior is not None}
    total = max(1, problem.max_iter * STEPS)
    adam = optim.Adam(lambda step: options["step_size"] * DECAY ** (step / total))
    svi = SVI(target.model, guide, adam, target.loss)
    spread = random and options["guide"] != "point"
    count = int(options["num_samples"])

    def point(state: Any) -> Arrays:
        values = svi.get_params(state)
        medians = guide.median(values) if random else {}
        return {name: medians[name] if name in random else values[name] for name in start}

    def begin(key: Any) -> Any:
        optimised = {name: value for name, value in start.items() if name not in random}
        return svi.init(key, target.data, 0, init_params=optimised)

    def levels(state: Any) -> Any:
        return -svi.evaluate(state, target.data, 0), ready.log_evidence(point(state))

    def iterate(state: Any, key: Any) -> Any:
        def step(state: Any, part: Any) -> Any:
            state, loss = svi.update(state, target.data, part)
            return state, -loss

        parts = jax.random.randint(key, (STEPS,), 0, target.parts)
        state, elbos = jax.lax.scan(step, state, parts)
        return state, elbos.mean(), ready.log_evidence(point(state))

    def advance(state: Any, key: Any, count: Any) -> Any:
        def body(i: Any, carry: Any) -> Any:
            state, elbos, likelihoods = carry
            state, elbo, likelihood = iterate(state, jax.random.fold_in(key, i))
            return state, elbos.at[i].set(elbo), likelihoods.at[i].set(likelihood)

        return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(VISIT), jnp.zeros(VISIT)))

    def draws(state: Any, key: Any) -> Arrays:
        if not spread:
            return {}
        samples = guide.sample_posterior(key, svi.get_params(state), sample_shape=(count,))
        fixed = point(state)
        return {
            name: (samples[name] if name in random else jnp.broadcast_to(value, (count, *value.shape)))[None]
            for name, value in fixed.items()
        }

    return Learner(begin, jax.jit(levels), jax.jit(advance), jax.jit(point), jax.jit(draws))


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
