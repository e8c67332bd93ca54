"""A run of EM once more, stopped along the way: what the parameters were after some of its iterations.

EM is deterministic, so nothing of this has to be kept while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import Fault, FitError
from bnlab.runtime import em_method, queries
from bnlab.runtime.records import Bound, Problem
from bnlab.runtime.restarts import gathered
from bnlab.runtime.result import Fit

Parameters = Mapping[str, NDArray[Any]]


def bound_of(fit: Fit) -> Bound:
    """The data of a fit. Raises FitError for one that was loaded from a file and knows none."""
    if fit.bound is None:
        raise FitError(Fault("A fit loaded from a file does not know its data.", "Fit again to draw it."))
    return fit.bound


def initial_of(fit: Fit) -> Parameters:
    """Where the run that was kept began. Raises FitError for methods that do not iterate from parameters."""
    if fit.initial is None:
        raise FitError(
            Fault(
                f'A fit by "{fit.method}" has no iterations to show.',
                'Those of "em" and "viterbi" have some.',
            )
        )
    return fit.initial


def milestones(last: int) -> tuple[int, ...]:
    """0, 1, 2, 5, 10, 20, 50, ... and the last iteration."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    return (0, *(step for step in steps if step < last), *((last,) if last else ()))


def path(fit: Fit, iterations: Iterable[int], method: str | None = None) -> dict[int, Parameters]:
    """The parameters after `iterations` iterations of `method` (the fit's own without it) from the fit's beginning.

    A run that cannot go on (a fall of the objective, numbers that are none) ends early, and so does what is returned.
    """
    theta, done = initial_of(fit), 0
    found: dict[int, Parameters] = {}
    for wanted in sorted(set(iterations)):
        if wanted > done:
            outcome = em_method.run(_problem(fit, theta, wanted - done, method or fit.method))
            if len(outcome.objective) - 1 < wanted - done:
                break
            theta = outcome.parameters
        found[wanted], done = theta, wanted
    return found


def again(fit: Fit, init: str, seed: int) -> Fit:
    """The same fit by EM from another start: `init` is "data" or "random"."""
    problem = replace(_problem(fit, initial_of(fit), int(fit.settings["max_iter"]), fit.method), seed=seed)
    outcome = em_method.run(replace(problem, init=init, tol=float(fit.settings["tol"])))
    return replace(
        fit,
        parameters=outcome.parameters,
        log_likelihood=outcome.log_likelihood,
        objective=outcome.objective,
        status=outcome.status,
        warnings=outcome.warnings,
        restarts=gathered(outcome.starts),
        settings={**fit.settings, "init": init, "seed": seed, "n_init": 1},
        effort=outcome.effort,
        initial=outcome.initial,
        traces=outcome.traces,
    )


def log_likelihoods(fit: Fit, count: int, method: str) -> NDArray[np.float64]:
    """ln p(X | theta) at the beginning and after each of `count` iterations of `method`."""
    return em_method.run(_problem(fit, initial_of(fit), count, method)).log_likelihood


def posterior_rows(fit: Fit, theta: Parameters) -> dict[str, Any]:
    """What `fit.posterior()` would say at `theta`, over the canonical rows of the data."""
    return queries.posterior(fit.network, theta, canonical(bound_of(fit)), str(fit.settings["dtype"]))


def predicted_rows(fit: Fit) -> dict[str, Any]:
    """What `fit.predict()` says, over the canonical rows of the data."""
    return queries.predict(fit.network, fit.parameters, canonical(bound_of(fit)), str(fit.settings["dtype"]))


def canonical(bound: Bound) -> Bound:
    """The same data, whose answers come back in canonical rows."""
    return replace(bound, layout=replace(bound.layout, form="tidy", order={}))


def _problem(fit: Fit, theta: Parameters, iterations: int, method: str) -> Problem:
    return Problem(
        network=fit.network,
        graph=fit.network.graph,
        bound=bound_of(fit),
        method=method,
        init=theta,
        n_init=1,
        max_iter=iterations,
        tol=0.0,
        seed=int(fit.settings["seed"]),
        dtype=str(fit.settings["dtype"]),
        progress=False,
        checkpoint=None,
    )
