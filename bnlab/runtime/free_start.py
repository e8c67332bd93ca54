"""Where SVI and Markov chains start: where EM would, or, where not even that can be derived, at a draw from the priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from numpyro import handlers

from bnlab.errors import IntractableError
from bnlab.network.declare import Network
from bnlab.runtime.em_engine import engine, seed_of, theta_of_start
from bnlab.runtime.marginal import Marginal, inside
from bnlab.runtime.parameters import checked
from bnlab.runtime.records import Problem
from bnlab.runtime.sites import from_sites

DRAWS = 200
"""The best of so many draws lies where the data are not impossible, also under wide priors."""

Arrays = dict[str, NDArray[Any]]


def free_start(problem: Problem, ready: Marginal, number: int) -> Arrays:
    """Where run `number` starts: the same values as EM's, without the fixed ones, and inside of their domains."""
    free = [one.name for one in problem.graph.parameters if one.value is None]
    if isinstance(problem.init, Mapping) and all(name in problem.init for name in free):
        given = checked(problem.graph, problem.init, complete=False)
        return inside(problem.graph, {name: value.astype(problem.dtype) for name, value in given.items()})
    bare = tuple(replace(one, prior=None) for one in problem.graph.parameters)
    graph = replace(problem.graph, parameters=bare)
    without = replace(problem, network=Network.of(graph), graph=graph)
    for one in (
        problem,
        without,
    ):  # where EM starts does not depend on priors, which it may have no update for
        try:
            return inside(problem.graph, theta_of_start(one, engine(one, "scaled"), number))
        except IntractableError:
            continue
    return inside(problem.graph, _drawn(problem, ready, number))


def _drawn(problem: Problem, ready: Marginal, number: int) -> Arrays:
    """Of some draws of the free parameters that of the highest density with the data; given arrays stay. Parameters without
    a prior are drawn as NumPyro's optimisers start them."""
    free = [one.name for one in problem.graph.parameters if one.value is None]
    given = {} if isinstance(problem.init, str) else checked(problem.graph, problem.init, complete=False)

    def draw(key: Any) -> dict[str, Any]:
        seeded = handlers.seed(ready.module.marginal_model, key)
        trace = handlers.trace(seeded).get_trace(ready.data)
        sites = {name: site["value"] for name, site in trace.items() if site["type"] in ("sample", "param")}
        theta = from_sites(problem.graph, sites)
        return {name: theta[name] for name in free}

    keys = jax.random.split(jax.random.key(seed_of(problem.seed, number)), DRAWS)
    draws = {name: np.array(value) for name, value in jax.jit(jax.vmap(draw))(keys).items()}
    for name in given.keys() & draws.keys():
        draws[name][:] = given[name]
    density = ready.log_joints(draws)
    best = int(np.where(np.isfinite(density), density, -np.inf).argmax())
    return {name: value[best] for name, value in draws.items()}
