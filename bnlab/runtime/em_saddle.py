"""Whether EM stopped at a saddle: states that are alike, or an objective that was only about to rise.

States whose share of each row is the same in all rows have the same expected statistics, so EM gives them the same
parameters for ever: what it found is the best fit with fewer states. Near such a point EM leaves slowly, each rise larger
than the one before, and a rule that stops on a small rise stops there. Near an optimum each rise is smaller than the one
before; a few iterations more tell the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Real
from bnlab.network.graph import alignment, coefficients, cpds
from bnlab.network.ir import Graph, Variable, VarRef
from bnlab.runtime.em import SLACK, Limits, State, chunk
from bnlab.runtime.em_accelerate import NONE, fresh
from bnlab.runtime.em_engine import Engine
from bnlab.runtime.em_floor import variance_of_seen
from bnlab.runtime.queries import ask
from bnlab.runtime.records import FitWarning, Problem

NEAR = 0.1
"""States whose parameters differ by more than this part of their size are not alike; of others, the posterior decides."""
SAME_SHARE = 0.05
"""Two states are alike if the share of one of them in both varies over the rows by at most this."""
FELT = 1e-3
"""Rows that belong to two states with less than this probability say nothing about them."""
AHEAD = 4
"""Iterations that are looked ahead. The sizes of their rises tell a saddle, so they need to be above rounding."""

Arrays = Mapping[str, NDArray[Any]]


def saddles(problem: Problem, ready: Engine, state: State) -> Iterator[FitWarning]:
    """Warnings for a run that stopped with states alike, or while its objective rose faster and faster."""
    found = [
        FitWarning(latent.name, *_said(group, latent.domain.size))
        for latent in problem.graph.in_role("latent")
        if latent.discrete and (group := alike(problem, latent, state.theta))
    ]
    yield from found
    if not found and state.stop == "converged" and _leaving(problem, ready, state):
        message = "the rule of stopping was met on a plateau: the next iterations rise more and more."
        yield FitWarning("objective", message, "Lower tol, or start elsewhere: n_init=10.")


def alike(problem: Problem, latent: Variable, theta: Arrays) -> tuple[int, ...]:
    """The largest set of states of `latent` that have the same share of every row; () if there is none."""
    pairs = _near(problem, latent, theta)
    if not pairs:
        return ()
    posterior = ask(problem.network, theta, problem.bound, problem.dtype, "posterior")[latent.name]
    rows = np.asarray(posterior).reshape(-1, posterior.shape[-1])
    groups: list[set[int]] = []
    for pair in (pair for pair in pairs if _same_share(rows[:, list(pair)])):
        touching = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in touching] + [set(pair).union(*touching)]
    return tuple(sorted(max(groups, key=len))) if groups else ()


def _said(group: tuple[int, ...], size: int) -> tuple[str, str]:
    if len(group) == size:
        message = "all its states are alike, as if there were one: a saddle, which EM cannot leave."
    else:
        message = (
            f"its states {', '.join(map(str, group))} are alike: they share every row in the same proportion."
        )
    return message, "Start from init='data', from different values, or n_init=10; or declare fewer states."


def _near(problem: Problem, latent: Variable, theta: Arrays) -> list[tuple[int, int]]:
    """Pairs of states that no learnt parameter of another variable tells apart at a glance."""
    selected = _selected(problem.graph, latent)
    pairs = list(combinations(range(latent.domain.size), 2)) if selected else []
    for child, name, axis in selected:
        values = np.moveaxis(np.asarray(theta[name], dtype=float), axis, 0)
        unit = np.abs(values).max(0) + _spread(problem, child, name)
        pairs = [(j, k) for j, k in pairs if (np.abs(values[j] - values[k]) <= NEAR * unit).all()]
    return pairs


def _spread(problem: Problem, child: Variable, name: str) -> Any:
    """The standard deviation of the data around which a coefficient moves; 0 for parameters that have a size of their own."""
    domain = problem.graph.parameter(name).domain
    if child.role != "observed" or child.discrete or not isinstance(domain, Real):
        return 0.0
    event = child.domain.event_shape
    values = problem.bound.canonical[child.name].reshape(-1, *event)
    own = domain.event_shape == event
    return np.sqrt(variance_of_seen(values if own else values.reshape(-1, 1)))


def _selected(graph: Graph, latent: Variable) -> set[tuple[Variable, str, int]]:
    """The learnt parameters that `latent` selects in other variables' distributions, with the axis it selects on."""
    found = set()
    for child in (variable for variable in graph.variables if variable.name != latent.name):
        for ref in (ref for cpd in cpds(child) for ref in coefficients(cpd)):
            if not isinstance(ref.target, str) or graph.parameter(ref.target).value is not None:
                continue
            plates = graph.parameter(ref.target).plates
            for plate, subscript in zip(alignment(graph, ref, child)[1], ref.subscripts, strict=True):
                if isinstance(subscript, VarRef) and subscript.name == latent.name:
                    found.add((child, ref.target, plates.index(plate)))
    return found


def _same_share(rows: NDArray[Any]) -> bool:
    """Whether two states (rows, 2) share every row that they have a part in alike; not if they have none."""
    total = rows.sum(1)
    share = rows[total > FELT, 0] / total[total > FELT]
    return len(share) > 1 and bool(np.ptp(share) <= SAME_SHARE)


def _leaving(problem: Problem, ready: Engine, state: State) -> bool:
    """Whether EM's own iterations after the last one would rise more and more."""
    last = len(state.objective) - 1
    limits = Limits(last + AHEAD, 0.0, problem.dtype)
    own = replace(state.reopened(), memory=fresh(state.theta, NONE) if state.memory else {})
    (ahead,) = chunk(ready.program, ready.feed, (own,), limits, AHEAD + 1)
    rises = np.diff(ahead.objective[last:])
    felt = SLACK[problem.dtype] / 10 * (1 + abs(state.objective[-1]))
    return len(rises) == AHEAD and bool((np.diff(rises) > 0).all() and rises[-1] > felt)
