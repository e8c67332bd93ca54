"""`bn.fit`: data are bound and checked, one method runs, and what it found becomes a `Fit`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.errors import Fault, FitError
from bnlab.naming import did_you_mean
from bnlab.network.declare import Network
from bnlab.network.graph import crossed_plates
from bnlab.network.ir import Graph
from bnlab.runtime.apart import confounded
from bnlab.runtime.criteria import observations
from bnlab.runtime.data import bind
from bnlab.runtime.data_checks import fittable
from bnlab.runtime.data_frames import Columns
from bnlab.runtime.data_titles import by_names, renamed
from bnlab.runtime.members import independent, taken
from bnlab.runtime.memory import fits_memory
from bnlab.runtime.parameters import checked
from bnlab.runtime.progress import conclude
from bnlab.runtime.records import MAX_ITER, TOL, Bound, FitWarning, Outcome, Problem
from bnlab.runtime.restarts import gathered
from bnlab.runtime.result import Fit
from bnlab.runtime.untold import untold

METHODS = {
    "em": "bnlab.runtime.em_method",
    "viterbi": "bnlab.runtime.em_method",
    "vbem": "bnlab.runtime.vbem",
    "svi": "bnlab.runtime.svi",
    "nuts": "bnlab.runtime.nuts",
}
"""Each method and the module whose `run(problem)` gives its Outcome; it is imported when it is first used."""


def fit(
    net: Network,
    data: Any,
    method: str = "em",
    *,
    init: str | Mapping[str, ArrayLike] | None = None,
    n_init: int = 1,
    max_iter: int = MAX_ITER,
    tol: float = TOL,
    seed: int = 0,
    evidence: Mapping[str, Any] | None = None,
    dtype: str = "float64",
    progress: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    columns: Columns | None = None,
    ids: Mapping[str, Any] | None = None,
    weights: ArrayLike | None = None,
    **options: Any,
) -> Fit:
    """Fit the network to data.

    Methods: "em" (maximum likelihood, or with priors the mode of the posterior), "viterbi" (hard EM), "vbem" (variational
    EM), "svi", "nuts".

    `init` is "data", "random", or a dict of arrays, complete or partial; by default it is `net.parameters` for a network
    that brings some along, else "data". The best of `n_init` starts is kept. EM stops when its objective rises by at most
    tol * (1 + |objective|); tol=0 runs exactly `max_iter` iterations, max_iter=0 returns the initial parameters with their
    likelihood. Ctrl-C ends it with the best so far. `checkpoint` names a file from which the same call of "em" or "viterbi"
    goes on if it was cut off, and that is returned as it is where it has more than `max_iter` iterations; other methods
    refuse it. `options` are the method's own; "nuts" goes by these alone (`num_warmup`, `num_samples`, `num_chains`), and
    refuses another `max_iter` or `tol`.

    `columns` names a frame's columns for each variable. `ids` has the members of a plate by variable where two have different
    row counts: `ids={"group": {"x": ..., "w": ...}}`. `weights` has a number for each member of the outermost plate;
    the steps of a chain in no plate have none.

    `evidence` has what is known of latents, in the layout of data: of a discrete one values, -1 for unknown; or booleans
    with one more axis, the states allowed; or `bn.final(states)`. Of a Gaussian one numbers, NaN for unknown. The likelihood
    is then that of the data and the evidence.

    Raises DataError or FitError with everything that is wrong.
    """
    graph = net.graph
    init = net.parameters if init is None and net.known else init
    settings = _settings(
        graph, method, options, init=init, n_init=n_init, max_iter=max_iter, tol=tol, seed=seed, dtype=dtype
    )
    if method in ("em", "viterbi", "vbem") and crossed_plates(graph):
        from bnlab.compile import derive  # a second process with the same network needs no compiler

        derive(graph)  # it says why not; what data of such plates look like is no matter then
    data, columns = by_names(net, data, columns)
    known = renamed(net, evidence or {})
    bound = bind(graph, data, columns=columns, weights=weights, dtype=dtype, evidence=known, ids=ids)
    return fit_bound(net, bound, method, **settings, progress=progress, checkpoint=checkpoint, **options)


def fit_bound(
    net: Network,
    bound: Bound,
    method: str,
    *,
    init: str | Mapping[str, ArrayLike] | None = None,
    n_init: int = 1,
    max_iter: int = MAX_ITER,
    tol: float = TOL,
    seed: int = 0,
    dtype: str = "float64",
    progress: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Fit:
    """The same for data that have been bound in this dtype. Raises FitError with everything that is wrong."""
    graph = net.graph
    _settings(graph, method, init=init, n_init=n_init, max_iter=max_iter, tol=tol, seed=seed, dtype=dtype)
    fits_memory(graph, bound)
    free = [parameter.name for parameter in graph.parameters if parameter.value is None]
    started = isinstance(init, Mapping) and all(name in init for name in free)
    notes = bound.warnings
    if max_iter > 0 or not started:
        notes += (
            *fittable(graph, bound, started=started, dtype=dtype),
            *confounded(graph, bound),
            *untold(graph),
        )
    problem = Problem(
        network=net,
        graph=graph,
        bound=bound,
        method=method,
        init="data" if init is None else init,
        n_init=int(n_init),
        max_iter=int(max_iter),
        tol=float(tol),
        seed=int(seed),
        dtype=dtype,
        progress=progress,
        checkpoint=None if checkpoint is None else os.fspath(checkpoint),
        options=options,
    )
    began = time.perf_counter()
    outcome = _ran(problem)
    found = _fit(problem, outcome, notes, time.perf_counter() - began)
    conclude(progress, f"{graph.name}: {found.headline()}")
    return found


def _ran(problem: Problem) -> Outcome:
    """What the method makes of the problem. Members of weight 0 are left out where they alone are impossible: 0 times ln 0."""
    run = import_module(METHODS[problem.method]).run
    weights = problem.bound.canonical.get("weights")
    plate = independent(problem.graph, problem.bound)
    if weights is None or plate is None or (weights > 0).all() or not (weights > 0).any():
        return run(problem)  # type: ignore[no-any-return]
    try:
        outcome: Outcome = run(problem)
        if outcome.status != "nan":
            return outcome
    except FitError:
        pass
    counted = taken(problem.graph, problem.bound, plate, np.flatnonzero(weights))
    return run(replace(problem, bound=counted))  # type: ignore[no-any-return]


def _fit(problem: Problem, outcome: Outcome, notes: tuple[FitWarning, ...], seconds: float) -> Fit:
    """What the method found, with all that the result needs to be asked and saved."""
    return Fit(
        network=problem.network,
        method=problem.method,
        parameters=dict(outcome.parameters),
        log_likelihood=read_only(outcome.log_likelihood),
        objective=read_only(outcome.objective),
        status=outcome.status,
        warnings=(*outcome.warnings, *notes),
        restarts=gathered(outcome.starts) if outcome.starts else None,
        settings={
            "init": problem.init if isinstance(problem.init, str) else "given",
            "n_init": problem.n_init,
            "max_iter": problem.max_iter,
            "tol": problem.tol,
            "seed": problem.seed,
            "dtype": problem.dtype,
        },
        rows=observations(problem.graph, problem.bound),
        draws=outcome.draws,
        statistics=outcome.statistics,
        effort={**outcome.effort, "seconds": seconds},
        initial=outcome.initial,
        traces=outcome.traces,
        bound=problem.bound,
    )


def read_only(trace: NDArray[np.float64]) -> NDArray[np.float64]:
    """A copy that nobody can write to."""
    copied = trace.copy()
    copied.setflags(write=False)
    return copied


def _settings(
    graph: Graph, method: str, options: Mapping[str, Any] | None = None, **settings: Any
) -> dict[str, Any]:
    """The settings. Raises FitError with every one that cannot be, and every option that is a setting misspelt."""
    _check(method, settings, options or {})
    if isinstance(settings["init"], Mapping):
        checked(graph, settings["init"], complete=False, edge=method in ("em", "viterbi"))
    return settings


def _check(method: str, settings: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    known = (*settings, "evidence", "progress", "checkpoint", "columns", "ids", "weights")
    faults = [
        Fault(f'There is no setting "{name}".', meant.strip())
        for name in options
        if (meant := did_you_mean(name, known))
    ]
    if method not in METHODS:
        faults.append(
            Fault(
                f'There is no method "{method}"; those are {", ".join(METHODS)}.',
                did_you_mean(method, METHODS).strip(),
            )
        )
    init = settings["init"]
    if not (init in (None, "data", "random") if isinstance(init, str | None) else isinstance(init, Mapping)):
        faults.append(Fault(f'init is {init!r}; it is "data", "random" or a dict of arrays.'))
    for name, lowest in (("n_init", 1), ("max_iter", 0), ("seed", 0)):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < lowest:
            faults.append(Fault(f"{name} is {value!r}; it is a whole number of at least {lowest}."))
    tol = settings["tol"]
    if isinstance(tol, bool) or not isinstance(tol, int | float | np.number) or not tol >= 0:
        faults.append(Fault(f"tol is {tol!r}; it is a number of at least 0."))
    if settings["dtype"] not in ("float64", "float32"):
        faults.append(Fault(f'dtype is {settings["dtype"]!r}; it is "float64" or "float32".'))
    if faults:
        raise FitError(*faults)
