"""Whether EM is on its way to the edge of a domain: a variance to 0, a probability to 0 or 1, a covariance to a lower rank.

EM never arrives there, and near a variance of 0 its steps are so short that any rule of stopping is met before. So the
estimate is moved to the edge and the objective looked at there: if it is no lower than where EM stopped and on the way, the
optimum lies on the edge; if it is highest on the way, EM has stopped too early. Only what the last iteration still moved
towards an edge is tried, what moved most first. A spread of observations is not looked at at 0,
where the likelihood may have no bound (`em_floor.py`), but at its floor, and counts only if the likelihood is bounded there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Covariance, Positive, Probability, Simplex
from bnlab.network.graph import coefficients
from bnlab.network.ir import CPD, Parameter
from bnlab.runtime.coordinates import entry
from bnlab.runtime.data_layout import sizeless, sizes
from bnlab.runtime.em import SLACK, Limits, State, chunk, start
from bnlab.runtime.em_engine import Engine, accelerated, engine
from bnlab.runtime.em_floor import Floor, floors, raised
from bnlab.runtime.records import FitWarning, Problem

TRIES = 12
"""Moves that are tried at most, and at most one for so many E-steps of the run: each takes an E-step."""
EACH = 4
SMALL = (1e-2, 1e-4, 1e-6)
"""Probabilities, and eigenvalues as a part of the largest, up to which one may be on its way to 0: sets that are tried."""
NEARLY = 1e-6
"""What is tried for 0 where 0 itself gives no number."""
BOUNDED = 0.1
"""Nats that the objective may still rise from 100 times the floor of a variance to the floor, where it is bounded: one
observation that collapses makes it 2.3."""
LISTED = 4
ON_THE_WAY = (0.5, 0.8, 0.95, 0.99)
"""How far towards an edge the objective is looked at, as parts of the way."""

AT_FLOOR = 1e-3
"""How far above its floor a variance may be, as a part, and stand on it."""
STANDS = (
    "stands at its floor, which is 0 but for rounding: a latent tells this one without error (a Heywood case). "
    "The optimum is on the boundary, and the likelihood is bounded there."
)

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A way to an edge: what it concerns, what is tried for the parameter, the first of it that holds being told, and how
    fast the last iteration went there, as a part."""

    parameter: str
    concerns: str
    tries: tuple[tuple[NDArray[Any], str], ...]
    fall: float
    advice: str
    check: NDArray[Any] | None = None  # where the objective must be as high, to within BOUNDED


def boundaries(problem: Problem, state: State, initial: Arrays, ready: Engine) -> Iterator[FitWarning]:
    """A warning for each optimum on an edge. `initial` are the parameters where the run began: zeros there are structure."""
    if len(state.objective) < 2 or state.stop == "nan":
        return
    yield from _of_one_draw(problem)
    ready = ready if state.logarithms < 0 else engine(problem, "log")
    ways = [
        way
        for one in problem.graph.parameters
        if one.value is None and not _drawn_once(problem, one.name)
        for way in _ways(problem, ready, one, np.asarray(initial[one.name]), state)
    ]
    room = min(TRIES, max(1, state.e_steps // EACH))
    for way in sorted(ways, key=lambda one: -one.fall):
        room -= len(way.tries) * (way.fall > 0)
        found = _held(problem, ready, state, way) if room >= 0 or way.fall == 0 else None
        if found:
            yield found


def standing(problem: Problem, state: State, ready: Engine) -> dict[str, tuple[FitWarning, ...]]:
    """Warnings, by the component, for variances that stand on their floor although the likelihood is bounded there: nothing has
    collapsed, the optimum is on the boundary. A latent then tells a variable without error.
    """
    ready = ready if state.logarithms < 0 else engine(problem, "log")
    found: dict[str, tuple[FitWarning, ...]] = {}
    for floor in floors(problem.graph):
        if floor.kind not in ("var", "std") or floor.parameter not in state.active or state.stop == "nan":
            continue
        now = np.asarray(state.theta[floor.parameter])  # in its own precision: floors differ
        least = np.broadcast_to(
            raised(floor, np.zeros_like(now), ready.feed.scales[floor.parameter]), now.shape
        )
        for component in np.argwhere(state.active[floor.parameter]):
            index = tuple(component)
            low = np.zeros(now.shape, dtype=bool)
            low[index] = (now <= least * (1 + AT_FLOOR))[index]
            moved = np.where(low, (100.0 if floor.kind == "var" else 10.0) * now, now)
            there = _at(problem, ready, state, floor.parameter, moved)[0]
            if low.any() and there >= state.objective[-1] - BOUNDED * low.sum():
                found[entry(floor.parameter, index)] = tuple(
                    FitWarning(entry(floor.parameter, tuple(where)), STANDS, SPREAD, "boundary")
                    for where in np.argwhere(low)
                )
    return found


def _held(problem: Problem, ready: Engine, state: State, way: Way) -> FitWarning | None:
    """What there is to say of the first try at which the objective is as high as where EM ended; None if there is none."""
    stopped = state.objective[-1]
    rounding = SLACK[problem.dtype] * (1 + abs(stopped))
    slack = rounding if problem.dtype == "float64" else 0.0
    which = int(stopped == state.log_likelihood[-1])  # without a prior they are one
    what = ("objective", "log-likelihood")[which]
    here = f"{(stopped, state.log_likelihood[-1])[which]:.6f}"
    for value, said in way.tries:
        edge = _at(problem, ready, state, way.parameter, value)
        if not edge[0] >= stopped - slack:
            continue
        if way.check is not None:
            bounded = _at(problem, ready, state, way.parameter, way.check)[0] >= edge[0] - BOUNDED
            if not bounded:
                continue
        inside = max(_between(problem, ready, state, way.parameter, value))
        if inside[0] > edge[0] + rounding:
            message = (
                f"EM stopped before the maximum: with this alone moved on, the {what} is {inside[which]:.6f}; it was {here}, "
                f"and at the edge it is {edge[which]:.6f}."
            )
            return FitWarning(way.concerns, message, "Lower tol, or write accelerate=True.")
        there = f"{edge[which]:.6f}"
        both = f"{there} at both" if there == here else f"{there} there and {here} where EM stopped"
        return FitWarning(
            way.concerns,
            f"{said} The optimum is on the boundary: the {what} is {both}.",
            way.advice,
            "boundary",
        )
    return None


def _between(
    problem: Problem, ready: Engine, state: State, parameter: str, edge: NDArray[Any]
) -> Iterator[tuple[float, float]]:
    """The objective and the log-likelihood on the way from where EM stopped to an edge."""
    now = np.asarray(state.theta[parameter], dtype=float)
    for part in ON_THE_WAY:
        yield _at(problem, ready, state, parameter, now + part * (edge - now))


def _at(
    problem: Problem, ready: Engine, state: State, parameter: str, value: NDArray[Any]
) -> tuple[float, float]:
    """The objective and the log-likelihood with one parameter moved."""
    theta = {**state.theta, parameter: value.astype(problem.dtype)}
    begun = start(theta, floors(problem.graph), accelerated(problem))
    (seen,) = chunk(ready.program, ready.feed, (begun,), Limits(1, 0.0, problem.dtype), 1)
    return float(seen.objective[0]), float(seen.log_likelihood[0])


def _ways(
    problem: Problem, ready: Engine, one: Parameter, initial: NDArray[Any], state: State
) -> Iterator[Way]:
    """The edges that a parameter may be on its way to."""
    now, before = (np.asarray(theta[one.name], dtype=float) for theta in (state.theta, state.before))
    floor = next((each for each in floors(problem.graph) if each.parameter == one.name), None)
    match one.domain:
        case Positive() if floor is None:
            yield from _to_zero(one.name, now, before)
        case Positive() if floor.kind in ("var", "std"):
            yield from _to_floor(one.name, now, before, floor, ready.feed.scales[one.name])
        case Simplex() | Probability():
            yield from _probabilities(one, now, before, initial)
        case Covariance() if floor is None:
            yield from _ranks(one.name, now, before, 0.0 if one.prior is None else NEARLY)


SPREAD = "Standard errors mean nothing there. Declare a prior that keeps it off 0, or look at its posterior: method='nuts'."


def _drawn_once(problem: Problem, name: str) -> bool:
    """Whether one draw is all that the data say of a parameter, as the start of a single chain: of one draw the most likely
    chances are always 0 and 1."""
    graph, draws = problem.graph, 0
    for variable in graph.variables:
        if variable.cpd is not None and _read(variable.cpd, name):
            return False
        around = sizeless(graph, variable.plates)[:-1]
        sequences = problem.bound.layout.count(around[-1]) if around else 1
        members = sequences * prod(sizes(graph, variable.plates))
        draws += members * sum(_read(cpd, name) for cpd in variable.first)
    return draws == 1


def _of_one_draw(problem: Problem) -> Iterator[FitWarning]:
    """Spreads about learnt means of which the data hold one draw: they go to 0, whatever the data."""
    free = {one.name: one for one in problem.graph.parameters if one.value is None and one.prior is None}
    once = {name for name in free if _drawn_once(problem, name)}
    for cpd in (each for variable in problem.graph.variables for each in variable.first):
        targets = [str(ref.target) for ref in coefficients(cpd) if ref.target in once]
        spreads = [name for name in targets if isinstance(free[name].domain, Positive | Covariance)]
        for name in spreads if len(spreads) < len(targets) else ():
            message = "is the spread of a single draw about a learnt mean, the first step of one chain: it goes to 0."
            yield FitWarning(name, message, "Give it a value or a prior, or give the mean one.")


def _read(cpd: CPD, name: str) -> bool:
    return any(ref.target == name for ref in coefficients(cpd))


def _falling(now: NDArray[Any], before: NDArray[Any]) -> NDArray[Any]:
    """By which part each number fell in the last iteration; 0 where it did not."""
    return np.where((now < before) & (before > 0), 1 - now / np.where(before > 0, before, 1), 0)


def _to_zero(name: str, now: NDArray[Any], before: NDArray[Any]) -> Iterator[Way]:
    falls = _falling(now, before)
    for index in zip(*np.nonzero(falls), strict=True) if now.ndim else [()] * bool(falls):
        tries = tuple(
            (_with(now, index, part * now[index]), f"goes to 0 from {now[index]:.3g}.")
            for part in (0.0, NEARLY)
        )
        yield Way(name, entry(name, index), tries, float(falls[index]), SPREAD)


def _to_floor(
    name: str, now: NDArray[Any], before: NDArray[Any], floor: Floor, variance: NDArray[Any]
) -> Iterator[Way]:
    falls = _falling(now, before)
    low = raised(floor, np.zeros_like(now), variance)
    factor = 100.0 if floor.kind == "var" else 10.0
    for index in zip(*np.nonzero(falls), strict=True) if now.ndim else [()] * bool(falls):
        said = (
            f"goes to 0 from {now[index]:.3g}, as if the others told this one without error (a Heywood case)."
        )
        yield Way(
            name,
            entry(name, index),
            ((_with(now, index, low[index]), said),),
            float(falls[index]),
            SPREAD,
            _with(now, index, factor * low[index]),
        )


def _probabilities(
    one: Parameter, now: NDArray[Any], before: NDArray[Any], initial: NDArray[Any]
) -> Iterator[Way]:
    """Probabilities on their way to 0, or chances to 0 or 1; those that are there already need no trial."""
    simplex = isinstance(one.domain, Simplex)
    sides = (False,) if simplex else (False, True)
    for upper in sides:
        p, q, first = ((1 - each if upper else each) for each in (now, before, initial))
        falls = _falling(p, q)
        gone = (p == 0) & (first > 0)
        sets = [((falls > 0) & (p <= small)) | gone for small in SMALL]
        tries = []
        for chosen in sets:
            if not chosen.any() or any(np.array_equal(chosen, other) for other, _ in tries):
                continue
            moved = np.where(chosen, 0.0, p)
            moved = moved / moved.sum(-1, keepdims=True) if simplex else moved
            tries.append((chosen, (1 - moved if upper else moved, _gone(chosen, upper))))
        if tries:
            fall = 0.0 if np.array_equal(tries[0][0], gone) else float(falls[tries[0][0]].max())
            advice = "Data that need it would be impossible. A prior (Dirichlet, Beta) keeps it off the edge."
            yield Way(one.name, one.name, tuple(each for _, each in tries), fall, advice)


def _gone(chosen: NDArray[Any], upper: bool) -> str:
    """Which entries: "its entries [0, 2], [1, 2] are or go to 0."; "it is or goes to 1." of a single number."""
    where = [f"[{', '.join(map(str, index))}]" for index in np.argwhere(chosen)]
    more = f" and {len(where) - LISTED} more" if len(where) > LISTED else ""
    if not chosen.ndim:
        return f"it is or goes to {int(upper)}."
    if len(where) == 1:
        return f"its entry {where[0]} is or goes to {int(upper)}."
    return f"its entries {', '.join(where[:LISTED])}{more} are or go to {int(upper)}."


def _ranks(name: str, now: NDArray[Any], before: NDArray[Any], least: float) -> Iterator[Way]:
    """Directions in which a covariance is on its way to 0, with its variables scaled to variance 1.

    `least` is what is tried for 0, as a part of the largest eigenvalue: the density of a prior reads the inverse, and of a
    matrix that is singular up to rounding that is any number.
    """
    for index in np.ndindex(now.shape[:-2]):
        scale = np.sqrt(np.diagonal(now[index]))
        if not (scale > 0).all():
            continue
        values, vectors = np.linalg.eigh(now[index] / np.outer(scale, scale))
        were = np.einsum("ji,jk,ki->i", vectors, before[index] / np.outer(scale, scale), vectors)
        falls = _falling(values, were)
        tries = []
        first = np.arange(len(values)) == 0  # eigenvalues ascend
        for small in (*SMALL, 0.0):
            chosen = (falls > 0) & ((values <= small * values.max()) | first)
            if not chosen.any() or any(np.array_equal(chosen, other) for other, _ in tries):
                continue
            kept = (
                (vectors * np.where(chosen, least * values.max(), values))
                @ vectors.T
                * np.outer(scale, scale)
            )
            rank = len(values) - int(chosen.sum())
            said = f"goes to a matrix of rank {rank} of {len(values)}."
            tries.append((chosen, (_with(now, index, kept), said)))
        if tries:
            found = tuple(each for _, each in tries)
            yield Way(name, entry(name, index), found, float(falls[tries[0][0]].max()), SPREAD)


def _with(array: NDArray[Any], index: tuple[int, ...], value: Any) -> NDArray[Any]:
    copy = array.copy()
    copy[index] = value
    return copy
