"""`bn.compare`: the same network and data by several methods, lined up."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.comparison import predictive
from bnlab.comparison.certificates import densities_agree, optima_agree
from bnlab.comparison.estimates import rows
from bnlab.comparison.naming import named_alike, symmetries
from bnlab.comparison.proposal import propose
from bnlab.comparison.records import Certificate, Comparison, Proposal, Score, Split
from bnlab.comparison.text import title
from bnlab.errors import BnlabError, Fault, FitError, IntractableError
from bnlab.naming import did_you_mean
from bnlab.network.declare import Network
from bnlab.runtime.data import bind
from bnlab.runtime.data_frames import Columns
from bnlab.runtime.data_titles import by_names, renamed
from bnlab.runtime.diagnostics import effective
from bnlab.runtime.emitted import emitted
from bnlab.runtime.fit import METHODS, fit_bound
from bnlab.runtime.marginal import marginal_of, off_the_edge
from bnlab.runtime.progress import conclude
from bnlab.runtime.records import Bound, FitWarning
from bnlab.runtime.result import Fit
from bnlab.version import VERSION

POINTS = ("em", "viterbi")
"""Methods that need no priors."""
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "em": {"n_init": 5, "max_iter": 5000, "tol": 1e-10},
    "viterbi": {"n_init": 5, "max_iter": 1000},
}
"""Standard errors and optima want EM at its end."""
PACKAGES = ("jax", "numpyro", "arviz", "numpy", "scipy")

Arrays = Mapping[str, NDArray[Any]]


@dataclass(slots=True, eq=False)
class Progress:
    """What is done so far; a second Ctrl-C leaves it as it is."""

    wanted: bool
    fits: dict[str, Fit] = field(default_factory=dict)
    errors: dict[str, Arrays] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    pointwise: dict[str, NDArray[Any]] = field(default_factory=dict)
    certificates: list[Certificate] = field(default_factory=list)
    warnings: list[FitWarning] = field(default_factory=list)
    interrupted: bool = False

    def say(self, line: str) -> None:
        conclude(self.wanted, line)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is compared: the network as fitted, the data bound, and what was asked for. `points` is what EM fits: the same, but
    without proposed priors where one of them has no update in closed form."""

    network: Network
    points: Network
    bound: Bound
    methods: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]]
    seed: int
    progress: bool


def compare(
    net: Network,
    data: Any,
    methods: Sequence[str] = ("em", "svi", "nuts"),
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    level: float = 0.9,
    held_out: float = 0.2,
    certify: bool = True,
    seed: int = 0,
    progress: bool = True,
    columns: Columns | None = None,
    ids: Mapping[str, Any] | None = None,
    weights: ArrayLike | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Comparison:
    """Fits the network by every method and lines the results up.

    A network that lacks priors gets weakly informative ones (`bn.weakly_informative`) if a method asked for needs them;
    EM is then MAP-EM, and the result says so; where it has no update for a proposed prior, it maximises the likelihood
    alone. SVI and NUTS start where EM ended. `options` are those of `bn.fit` by method: {"nuts": {"num_samples": 500}}.
    Intervals hold `level` of the probability. `held_out` is the part of the members of the outermost plate that second fits
    leave out, to be predicted; 0 saves the time. `certify` holds the densities and optima of EM and NumPyro against one
    another. `evidence` is what is known of latents, as in `bn.fit`.

    Ctrl-C ends the method that runs, and what is done becomes the result. A method that fails is left out with a warning.
    Raises DataError or FitError where nothing can be compared.
    """
    began = time.perf_counter()
    _check(methods, options or {}, level, held_out)
    data, columns = by_names(net, data, columns)
    known = renamed(net, evidence or {})
    bound = bind(net.graph, data, columns=columns, weights=weights, evidence=known, ids=ids)
    proposal = propose(net, bound) if set(methods) - set(POINTS) else None
    network = net if proposal is None else proposal.network
    if proposal is not None and proposal.choices:
        conclude(progress, str(proposal))
    task = Task(
        network,
        _with_updates(network, net),
        bound,
        tuple(dict.fromkeys(methods)),
        options or {},
        seed,
        progress,
    )
    done = Progress(progress, warnings=list(bound.warnings))
    chosen = predictive.split_of(network.graph, bound, held_out, seed)
    try:
        _fit_all(task, done)
        if done.fits and not done.interrupted:
            _extras(task, done, chosen, certify)
    except KeyboardInterrupt:
        done.interrupted = True
    if not done.fits:
        raise FitError(
            *(Fault(str(one)) for one in done.warnings) or (Fault("Interrupted before the first fit."),)
        )
    split = chosen[0] if chosen is not None and done.held_out else None
    return _result(task, done, proposal, split, level, began)


def _with_updates(network: Network, declared: Network) -> Network:
    """The network if EM has an update for every prior, else as it was declared, if EM can fit that."""
    for one in (network, declared):
        try:
            emitted(one, "em")
        except IntractableError:
            continue
        return one
    return network


def _check(
    methods: Sequence[str], options: Mapping[str, Mapping[str, Any]], level: float, held_out: float
) -> None:
    """Raises FitError with everything that cannot be."""
    faults = []
    if isinstance(methods, str) or not methods:
        faults.append(
            Fault(f"methods is {methods!r}; it is a list of methods.", 'Write methods=("em", "nuts").')
        )
    else:
        listed = ", ".join(METHODS)
        faults += [
            Fault(f'There is no method "{one}"; those are {listed}.', did_you_mean(one, METHODS).strip())
            for one in methods
            if one not in METHODS
        ]
        faults += [
            Fault(f'options are given for "{one}", which is not among the methods.')
            for one in options
            if one not in methods
        ]
    if not 0 < level < 1:
        faults.append(Fault(f"level is {level!r}; it is a probability between 0 and 1."))
    if not 0 <= held_out < 1:
        faults.append(Fault(f"held_out is {held_out!r}; it is a part from 0 up to 1."))
    if faults:
        raise FitError(*faults)


def _fit_all(task: Task, done: Progress) -> None:
    """Every method on all data; the first fit names the states."""
    for method in sorted(task.methods, key=lambda one: one != "em"):  # EM first: the others start there
        found = _one(task, done, method, task.bound, done.fits.get("em"))
        if found is None:
            continue
        if done.fits:
            found, notes = named_alike(found, next(iter(done.fits.values())), task.bound)
            done.warnings += notes
        done.fits[method] = found
        done.warnings += [
            FitWarning(f"{method}, {one.concerns}", one.message, one.advice) for one in found.warnings
        ]
        if found.status == "interrupted":
            done.interrupted = True
            return


def _one(task: Task, done: Progress, method: str, bound: Bound, start: Fit | None) -> Fit | None:
    """One fit; None, with a warning, where the method cannot run."""
    settings = {**DEFAULTS.get(method, {}), **task.options.get(method, {})}
    if start is not None and method not in POINTS:
        settings.setdefault("init", dict(start.parameters))
    settings = {"seed": task.seed, "progress": task.progress, **settings}
    try:
        return fit_bound(task.points if method in POINTS else task.network, bound, method, **settings)
    except BnlabError as error:
        done.warnings.append(FitWarning(method, f"it could not run. {error}"))
        return None


def _extras(
    task: Task, done: Progress, chosen: tuple[Split, NDArray[np.int64]] | None, certify: bool
) -> None:
    """What is told of the fits beyond their parameters, the most important first."""
    if "em" in done.fits:
        done.say("standard errors of EM")
        _standard_errors(done)
    if certify:
        done.say("certificates")
        _certify(task, done)
    for method, found in done.fits.items():
        if found.statistics is not None and chosen is not None:
            done.say(f"leave-one-out densities of {method}")
            done.pointwise[method] = predictive.pointwise(found, task.bound)
    if chosen is not None:
        _predict(task, done, *chosen)


def _standard_errors(done: Progress) -> None:
    try:
        found = done.fits["em"].information()
        done.warnings += found.warnings()
        done.errors["em"] = done.fits["em"].standard_errors()
    except BnlabError as error:
        done.warnings.append(FitWarning("standard errors of EM", f"there are none. {error}"))


def _certify(task: Task, done: Progress) -> None:
    for method, found in done.fits.items():
        if method in POINTS or found.draws is not None:
            done.certificates += densities_agree(
                task.points, task.bound, found.parameters, f"{title(method)}'s parameters"
            )
    if "em" in done.fits and done.fits["em"].status == "converged":
        theta = done.fits["em"].parameters
        done.certificates += optima_agree(task.points, task.bound, theta, task.seed)


def _predict(task: Task, done: Progress, split: Split, left: NDArray[np.int64]) -> None:
    """Second fits, to the members that are not left out."""
    weights = predictive.training_weights(task.bound, split.members, left)
    canonical = {**task.bound.canonical, "weights": weights}
    training = Bound(canonical, task.bound.layout, (), task.bound.partial)
    start: Fit | None = None
    for method in done.fits:
        done.say(
            f"held-out density of {method}: a fit without {split.held_out} of {split.members} {split.plate}"
        )
        found = _one(task, done, method, training, start)
        start = found if method == "em" else start
        if found is None or found.status == "interrupted":
            done.interrupted = found is not None
            return
        done.held_out[method] = predictive.held_out(found, task.bound, split.plate, left)


def _result(
    task: Task, done: Progress, proposal: Proposal | None, split: Split | None, level: float, began: float
) -> Comparison:
    graph = task.network.graph
    fits = {method: done.fits[method] for method in task.methods if method in done.fits}
    reference = _reference(fits)
    return Comparison(
        network=task.network,
        fits=fits,
        reference=reference,
        level=level,
        rows=rows(graph, fits, done.errors, reference, level),
        scores={method: _score(task, done, method) for method in fits},
        certificates=tuple(done.certificates),
        warnings=tuple(done.warnings),
        symmetries=(*_map(task, fits), *symmetries(graph)),
        proposal=proposal,
        split=split,
        seed=task.seed,
        versions=dict(_versions()),
        seconds=time.perf_counter() - began,
        interrupted=done.interrupted,
        pointwise=done.pointwise,
    )


def _reference(fits: Mapping[str, Fit]) -> str:
    """Markov chains if there are any, else another posterior, else the first method."""
    ranked = sorted(fits, key=lambda one: (fits[one].statistics is None, fits[one].draws is None))
    return ranked[0]


def _map(task: Task, fits: Mapping[str, Fit]) -> Iterator[str]:
    if "em" not in fits:
        return
    if task.points != task.network:
        yield "EM maximises ln p(x | theta), without the priors: it has no update in closed form for one of them."
    elif any(one.prior is not None for one in task.network.graph.parameters):
        yield "EM maximises ln p(x, theta), with the priors: it is MAP-EM."


def _score(task: Task, done: Progress, method: str) -> Score:
    found = done.fits[method]
    theta = {
        name: value.astype(float)
        for name, value in off_the_edge(task.network.graph, found.parameters).items()
    }
    seconds = found.effort.get("seconds")
    sampled = found.statistics is not None and found.draws is not None
    worth = _least_effective(found) if sampled else None
    bound_below = found.draws is not None and not sampled
    noisy = (
        "gradients" in found.effort
    )  # an ELBO that was estimated from draws: its level is the mean of its last tenth
    tenth = found.objective[-max(1, len(found.objective) // 10) if noisy else -1 :]
    return Score(
        method=method,
        status=found.status,
        iterations=found.n_iter,
        log_likelihood=float(found.log_likelihood[-1]),
        log_joint=float(marginal_of(task.network, task.bound, "float64").log_joint(theta)),
        elbo=float(tenth.mean()) if bound_below else None,
        held_out=done.held_out.get(method),
        loo=predictive.loo(found, done.pointwise[method]) if method in done.pointwise else None,
        seconds=seconds,
        e_steps=_whole(found.effort.get("e_steps")),
        gradients=_whole(found.effort.get("gradients")),
        divergences=int(found.statistics["diverging"].sum()) if found.statistics is not None else None,
        effective_per_second=worth / seconds if worth is not None and seconds else None,
    )


def _least_effective(found: Fit) -> float | None:
    assert found.draws is not None
    least = [float(np.nanmin(effective(value), initial=np.inf)) for value in found.draws.values()]
    return min(least) if np.isfinite(min(least)) else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _versions() -> Iterator[tuple[str, str]]:
    yield "bnlab", VERSION
    yield from ((name, version(name)) for name in PACKAGES)
    yield "python", platform.python_version()
