"""Posterior samples by NUTS on the emitted `marginal_model`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Covariance, Domain, Positive, Probability, Real, Simplex
from bnlab.errors import Fault, FitError, IntractableError
from bnlab.network.declare import Network
from bnlab.network.ir import Graph, Parameter
from bnlab.network.text import domain_text
from bnlab.runtime import em_method
from bnlab.runtime.align import aligned
from bnlab.runtime.diagnostics import divergences, unmixed
from bnlab.runtime.em import precision
from bnlab.runtime.free_start import free_start
from bnlab.runtime.interrupt import interruptible
from bnlab.runtime.marginal import Marginal, complete, inside, marginal, options_of
from bnlab.runtime.nuts_engine import Sampled, Visit, drive, sampler
from bnlab.runtime.progress import reporter
from bnlab.runtime.records import MAX_ITER, TOL, FitWarning, Outcome, Problem, Status

DEFAULTS = {
    "num_warmup": 500,
    "num_samples": 1000,
    "num_chains": 4,
    "target_accept": 0.8,
    "dense_mass": False,
    "max_tree_depth": 10,
}
Arrays = Mapping[str, NDArray[Any]]


def run(problem: Problem) -> Outcome:
    """Samples of the parameters, by chains that start where EM ends; a complete `init` is taken as it is.

    `parameters` are the posterior means, after the states of all draws have been named alike; `objective` is
    ln p(x, theta) along the first chain, and at the means last.

    Options: num_warmup, num_samples, num_chains, target_accept, dense_mass, max_tree_depth. Raises FitError where a
    parameter has no prior, with the priors to add, and for a `max_iter` or `tol`: chains have none.
    """
    options = options_of(problem, DEFAULTS)
    _refuse_rules_of_stopping(problem)
    refuse_without_priors(problem.graph)
    with precision(problem.dtype):
        ready = marginal(problem)
        start, e_steps = _start(problem, ready)
        found = _sampled(problem, ready, options, inside(problem.graph, start))
        effort = {"e_steps": e_steps, "gradients": found.gradients}
        if not found.z:
            return _nothing(problem, ready, start, effort)
        one = _sampler(problem, options)
        raw = {name: np.asarray(value) for name, value in one.constrain(dict(found.z), ready.data).items()}
        return _outcome(problem, ready, raw, found, effort)


def _refuse_rules_of_stopping(problem: Problem) -> None:
    told = (("max_iter", problem.max_iter, MAX_ITER), ("tol", problem.tol, TOL))
    faults = [
        Fault(
            f'{name} is {value!r}, and method "nuts" has no {name}: chains make as many transitions as they are told to.',
            "Write num_warmup= and num_samples=."
            " To start elsewhere than where EM ends, hand over init=, say the parameters of another fit.",
        )
        for name, value, default in told
        if value != default
    ]
    if faults:
        raise FitError(*faults)


def _start(problem: Problem, ready: Marginal) -> tuple[Arrays, int]:
    """Where EM ends, and how many E-steps that took; the arrays given, if all of them were.

    EM goes without the priors that it has no update for. What it collapses to without them is no place to start from: then
    chains start where EM did, and so do they where EM has no update at all.
    """
    if isinstance(problem.init, Mapping):
        free = [one.name for one in problem.graph.parameters if one.value is None]
        if all(name in problem.init for name in free):
            given = {name: np.asarray(problem.init[name], dtype=problem.dtype) for name in free}
            return complete(problem.graph, given), 0
    em = replace(problem, method="em", options={}, checkpoint=None)
    e_steps = 0
    for one in chain((em,), _without_priors(em)):
        try:
            outcome = em_method.run(one)
        except IntractableError:
            continue
        e_steps = int(outcome.effort["e_steps"])
        if one is em or (outcome.status != "degenerate" and _possible(problem, ready, outcome.parameters)):
            return outcome.parameters, e_steps
    return complete(problem.graph, free_start(problem, ready, 0)), e_steps


def _possible(problem: Problem, ready: Marginal, theta: Arrays) -> bool:
    """Whether the posterior has a density there: a singular covariance, where EM may end without a prior, has none."""
    return bool(np.isfinite(ready.log_joint(inside(problem.graph, theta))))


def _without_priors(em: Problem) -> Iterator[Problem]:
    """The same without the priors that EM has no update for."""
    from bnlab.compile import conjugate_only  # derives: not needed where EM has its update

    graph = conjugate_only(em.graph)
    yield replace(em, network=Network.of(graph), graph=graph)


def _sampler(problem: Problem, options: Mapping[str, Any]) -> Any:
    return sampler(
        problem.network,
        problem.bound.partial,
        int(options["num_warmup"]),
        float(options["target_accept"]),
        bool(options["dense_mass"]),
        int(options["max_tree_depth"]),
    )


def _sampled(problem: Problem, ready: Marginal, options: Mapping[str, Any], theta: Arrays) -> Sampled:
    """All chains to their end, or to Ctrl-C."""
    chains, warmup, draws = (int(options[name]) for name in ("num_chains", "num_warmup", "num_samples"))
    key = jax.random.key(problem.seed)
    start = {name: jnp.asarray(value) for name, value in theta.items()}
    with interruptible() as pressed, reporter(problem.progress, "nuts", warmup + draws) as report:
        visit: Visit = _visitor(report, pressed, warmup)
        return drive(_sampler(problem, options), start, key, ready.data, (chains, warmup, draws), visit)


def _visitor(report: Any, pressed: Any, warmup: int) -> Visit:
    def visit(done: int, seen: Any) -> bool:
        phase = " (warmup)" if done <= warmup else ""
        report(done, float(seen["lp"][-1].max()), phase)
        return not pressed()

    return visit


def _outcome(
    problem: Problem, ready: Marginal, raw: Arrays, found: Sampled, effort: Mapping[str, float]
) -> Outcome:
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in raw.items()}
    density = ready.log_joints(flat)
    best = int(density.argmax())
    draws = aligned(problem.graph, raw, {name: value[best] for name, value in flat.items()})
    mean = {name: value.mean((0, 1)) for name, value in draws.items()}
    length = next(iter(draws.values())).shape[1]
    along = ready.log_evidences({name: value[0] for name, value in draws.items()})
    last = (float(ready.log_joint(mean)), float(ready.log_evidence(mean)))
    notes = (*divergences(found.statistics), *unmixed(draws))
    statistics = {**found.statistics, "lp": density.reshape(found.statistics["lp"].shape)}
    return Outcome(
        parameters=complete(problem.graph, mean),
        log_likelihood=np.append(along, last[1]),
        objective=np.append(density[:length], last[0]),
        status="interrupted" if found.interrupted else _status(last[0], notes),
        warnings=notes,
        draws=draws,
        statistics=statistics,
        effort=effort,
    )


def _nothing(problem: Problem, ready: Marginal, start: Arrays, effort: Mapping[str, float]) -> Outcome:
    """Stopped before the first draw: the start is all there is."""
    theta = inside(problem.graph, start)
    note = FitWarning("nuts", "it was stopped before the first draw; the parameters are where it started.")
    return Outcome(
        parameters=complete(problem.graph, start),
        log_likelihood=np.array([float(ready.log_evidence(theta))]),
        objective=np.array([float(ready.log_joint(theta))]),
        status="interrupted",
        warnings=(note,),
        effort=effort,
    )


def refuse_without_priors(graph: Graph) -> None:
    """Raises FitError with a fault for every parameter that is learnt and has no prior."""
    bare = [
        parameter for parameter in graph.parameters if parameter.value is None and parameter.prior is None
    ]
    faults = [
        Fault(
            f"{parameter.name} has no prior, so there is no posterior to sample from.",
            f"Write {parameter.name} = {declaration(parameter)}.",
            parameter.location,
        )
        for parameter in bare
    ]
    if faults:
        raise FitError(*faults)


def declaration(parameter: Parameter) -> str:
    """The declaration of a parameter with a weak proper prior, to be typed."""
    return f'bn.parameter("{parameter.name}", bn.{domain_text(parameter.domain)}, prior={_weak(parameter.domain)})'


def _weak(domain: Domain) -> str:
    match domain:
        case Simplex(size=size):
            return f"bn.Dirichlet({[1.0] * size})"
        case Covariance(dim=dim):
            return f"bn.InverseWishart({dim + 2}, bn.eye({dim}))"
        case Positive(shape=shape):
            ones = "1.0" if not shape else f"np.ones({shape})"
            return f"bn.InverseGamma({ones}, {ones})"
        case Probability():
            return "bn.Beta(1.0, 1.0)"
        case Real():
            return "bn.Normal(0.0, std=10.0)"
        case _:
            return "..."


def _status(objective: float, notes: tuple[FitWarning, ...]) -> Status:
    if not np.isfinite(objective):
        return "nan"
    return "max_iter" if notes else "converged"
