"""Fitting by variational EM: the emitted E-step and M-step, from several starts, and draws from the posterior found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bnlab.compile import Messages
from bnlab.errors import Fault, FitError
from bnlab.families.base import registry
from bnlab.network.ir import Graph
from bnlab.runtime.collapse import collapsed
from bnlab.runtime.em import SLACK, precision
from bnlab.runtime.em_engine import seed_of
from bnlab.runtime.em_names import named_by_evidence
from bnlab.runtime.emitted import emitted, emitted_evidence
from bnlab.runtime.impossible import impossible
from bnlab.runtime.interrupt import interruptible
from bnlab.runtime.load import load_source
from bnlab.runtime.marginal import complete, options_of
from bnlab.runtime.parameters import checked
from bnlab.runtime.progress import Report, reporter
from bnlab.runtime.records import FitWarning, Outcome, Problem, Start, Status
from bnlab.runtime.restarts import best_of

DEFAULTS = {"num_samples": 1000}

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """The emitted module, the data prepared for it, and one iteration: q -> (ELBO, ln p(x | E[theta]), the next q)."""

    module: ModuleType
    data: Any
    origin: Any
    iterate: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One start at its end: the hyperparameters, and the traces up to them. `logarithms` is the iteration from which on
    messages are logarithms, -1 if they never are."""

    q: Any
    objective: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    status: Status
    logarithms: int


def run(problem: Problem) -> Outcome:
    """The best of `n_init` runs. `parameters` are the means of q(theta), `objective` is the ELBO, `draws` are from q(theta).

    `init` is where the first q(z) is computed from: clusters, random rows, or the parameters given. Option: num_samples, the
    number of draws. Raises FitError for another option or a checkpoint, and where a parameter has no mean under q(theta);
    IntractableError where q(theta) has no closed form.
    """
    options = options_of(problem, DEFAULTS)
    with precision(problem.dtype):
        ready = _engine(problem, "scaled")
        with interruptible() as pressed, reporter(problem.progress, "vbem", problem.max_iter) as report:
            runs = []
            for number in range(problem.n_init):
                runs.append(_one_run(problem, ready, number, pressed, report))
                if pressed():
                    break
        return _outcome(problem, ready, runs, int(options["num_samples"]))


def _engine(problem: Problem, messages: Messages) -> Engine:
    graph, dtype, partial = problem.graph, np.dtype(problem.dtype), problem.bound.partial
    text = emitted(problem.network, "vbem", messages, partial)
    evidence_text = emitted_evidence(problem.network, partial)
    module, evidence, iterate = _compiled(text, evidence_text, graph, problem.dtype)
    canonical = dict(problem.bound.canonical)
    few = collapsed(graph, canonical)
    data = jax.device_put(module.prepare(few, dtype))
    evidence_data = jax.device_put(evidence.prepare(few, dtype))
    origin = data if few is canonical else module.prepare(canonical, dtype)
    return Engine(module, data, origin, lambda q: iterate(q, data, evidence_data))


@lru_cache(maxsize=32)
def _compiled(
    text: str, evidence_text: str, graph: Graph, dtype: str
) -> tuple[ModuleType, ModuleType, Callable[..., Any]]:
    """The modules, and an iteration that is compiled once for each shape of data."""
    module = load_source(text, f"{graph.name}_vbem_{dtype}")
    module.PRIOR = type(module.PRIOR)(*(np.asarray(each, dtype) for each in module.PRIOR))
    evidence = load_source(evidence_text, f"{graph.name}_evidence")
    fixed = {one.name: jnp.asarray(one.value.array) for one in graph.parameters if one.value is not None}

    def iterate(q: Any, data: Any, evidence_data: Any) -> Any:
        theta = module.expectations(q)
        statistics = module.e_step(theta, data)
        point = evidence.Parameters(**module.means(q), **fixed)
        likelihood = evidence.log_evidence(point, evidence_data)
        return statistics.log_p - module.divergence(q), likelihood, module.m_step(statistics, theta)

    return module, evidence, jax.jit(iterate)


def _one_run(
    problem: Problem, ready: Engine, number: int, pressed: Callable[[], bool], report: Report
) -> Run:
    """One start to its end. Where rescaled messages underflow, it goes on from the same q in logarithms."""
    note = f", start {number + 1} of {problem.n_init}" if problem.n_init > 1 else ""
    theta = _start(problem, ready, number)
    objective: list[float] = []
    likelihood: list[float] = []
    logarithms, before, q = -1, None, None
    while True:
        found = _advanced(ready, theta, q)
        if logarithms < 0 and not np.isfinite(found[0]):
            ready, logarithms = _engine(problem, "log"), len(objective)
            found = _advanced(ready, theta, q)
        elbo, ln_p, following, q = found
        if not np.isfinite(elbo):
            if before is None:
                raise _unusable(problem, theta)
            return _ended(before, objective, likelihood, "nan", logarithms)
        objective.append(elbo)
        likelihood.append(ln_p)
        report(len(objective) - 1, elbo, note)
        stop = _verdict(problem, objective)
        if stop is not None:
            return _ended(q, objective, likelihood, stop, logarithms)
        if pressed():
            return _ended(q, objective, likelihood, "interrupted", logarithms)
        before, q = q, following


def _advanced(ready: Engine, theta: Arrays, q: Any) -> tuple[float, float, Any, Any]:
    """The ELBO and ln p at q, the q after it, and q itself: at first, that of an M-step from theta."""
    if q is None:
        point = ready.module.Parameters(**theta)
        q = ready.module.m_step(ready.module.e_step(point, ready.data), point)
    elbo, likelihood, following = ready.iterate(q)
    return float(elbo), float(likelihood), following, q


def _ended(q: Any, objective: list[float], likelihood: list[float], status: Status, logarithms: int) -> Run:
    return Run(jax.device_get(q), np.array(objective), np.array(likelihood), status, logarithms)


def _verdict(problem: Problem, objective: list[float]) -> Status | None:
    """Why to stop, or None to go on: the rule of EM."""
    if len(objective) > 1:
        size, rise = 1 + abs(objective[-1]), objective[-1] - objective[-2]
        if rise < -SLACK[problem.dtype] * size:
            return "non_monotone"
        if problem.tol > 0 and rise <= problem.tol * size:
            return "converged"
    return "max_iter" if len(objective) > problem.max_iter else None


def _start(problem: Problem, ready: Engine, number: int) -> dict[str, NDArray[Any]]:
    """The point that q(theta) starts from; given arrays are the same in every run."""
    init = problem.init
    given = {} if isinstance(init, str) else checked(problem.graph, init, complete=False)
    method = init if isinstance(init, str) else "data"
    drawn = ready.module.start(ready.origin, seed_of(problem.seed, number), method)._asdict()
    names = [one.name for one in problem.graph.parameters]
    own = named_by_evidence(problem, {name: drawn[name] for name in names}, given)
    return {name: np.asarray(value, problem.dtype) for name, value in (drawn | own | given).items()}


def _unusable(problem: Problem, theta: Arrays) -> FitError:
    point = {one.name: theta[one.name] for one in problem.graph.parameters}
    what = impossible(problem.network, point, problem.bound, problem.dtype)
    reason = "The ELBO is not a number at the start"
    return FitError(Fault(f"{reason}: {what}." if what else f"{reason}.", "Start from other parameters."))


# -- what was found


def _outcome(problem: Problem, ready: Engine, runs: list[Run], count: int) -> Outcome:
    starts = tuple(
        Start(seed_of(problem.seed, number), float(run.objective[-1]), run.status, len(run.objective) - 1)
        for number, run in enumerate(runs)
    )
    best = runs[best_of(starts)]
    interrupted = len(runs) < problem.n_init
    parameters = _means(problem.graph, ready.module, best.q)
    draws = _draws(problem, best.q, count)
    return Outcome(
        parameters=parameters,
        log_likelihood=best.log_likelihood,
        objective=best.objective,
        status="interrupted" if interrupted else best.status,
        warnings=tuple(_warnings(problem, best)),
        starts=starts,
        draws=draws,
        effort={"e_steps": sum(len(run.objective) for run in runs)},
        traces=tuple(run.objective for run in runs),
    )


def _means(graph: Graph, module: ModuleType, q: Any) -> dict[str, NDArray[Any]]:
    """E[theta]. Raises FitError where there is none."""
    means = {name: np.asarray(value) for name, value in module.means(q).items()}
    faults = [
        Fault(
            f"q({name}) has no mean: its tails are too heavy after so few data.",
            f"Give the prior of {name} more weight (a larger df or concentration).",
        )
        for name, value in means.items()
        if not np.isfinite(value).all()
    ]
    if faults:
        raise FitError(*faults)
    return complete(graph, means)


def _draws(problem: Problem, q: Any, count: int) -> dict[str, NDArray[Any]]:
    """Independent draws from q(theta), as one chain."""
    generator = np.random.default_rng(problem.seed)
    found = {}
    for one in problem.graph.parameters:
        if one.value is None and one.prior is not None:
            family = registry()[one.prior.family]
            found[one.name] = family.draw_belief(generator, hyper_of(one.name, q), count)[None]
    return found


def hyper_of(name: str, q: Any) -> dict[str, NDArray[np.float64]]:
    """The hyperparameters of one parameter, by the names that its prior has for them."""
    fields = {
        field.removeprefix(f"{name}_"): value
        for field, value in q._asdict().items()
        if field.startswith(f"{name}_")
    }
    return {key: np.asarray(value, float) for key, value in fields.items() if "_" not in key}


def _warnings(problem: Problem, best: Run) -> list[FitWarning]:
    found = []
    trace = best.objective
    if best.status == "max_iter" and len(trace) > 1 and problem.tol > 0:
        message = f"it still rose by {trace[-1] - trace[-2]:.3g} at the last iteration."
        found.append(FitWarning("objective", message, "Raise max_iter."))
    if best.status == "non_monotone":
        message = (
            f"the ELBO fell by {trace[-2] - trace[-1]:.3g} at iteration {len(trace) - 1}, which is rounding."
        )
        found.append(
            FitWarning("objective", message, "Rescale or centre the data, or fit with dtype='float64'.")
        )
    if best.status == "nan":
        message = f"the ELBO is not a number after iteration {len(trace) - 1}; q(theta) is that before."
        found.append(
            FitWarning("objective", message, "Rescale or centre the data, or fit with dtype='float64'.")
        )
    if best.logarithms >= 0:
        message = f"rescaled probabilities underflowed at iteration {best.logarithms}; from there on it ran in logarithms."
        found.append(
            FitWarning(problem.graph.name, message, "The numbers are right; only the time is longer.")
        )
    return found
