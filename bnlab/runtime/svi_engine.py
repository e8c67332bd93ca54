"""SVI compiled once a network: functions of the optimiser's state, the start and the data.

NumPyro's guides keep what they see when they are set up. Here they are set up anew inside every compiled function, so that
nothing is evaluated operation by operation, and nothing of one trace is left over for another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import optim
from numpyro.infer import SVI

from bnlab.network.declare import Network
from bnlab.runtime.marginal import densities
from bnlab.runtime.records import Partial
from bnlab.runtime.sites import from_sites
from bnlab.runtime.svi_guides import Target, guide_of, marginal_target

STEPS = 10
"""Steps of the optimiser in one iteration."""
VISIT = 10
"""Iterations between two looks at the host."""
DECAY = 0.01
"""The last step's size, as a part of the first one's; in between it falls geometrically."""

Options = tuple[tuple[str, Any], ...]


Feed = tuple[Mapping[str, Any], Any, Any]
"""What the compiled functions take besides the state: where the run starts, the data that the model takes, and those of
`log_evidence`; the same in every call of a run."""


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """The compiled parts of a run.

    `begin(feed, key)` is the optimiser's state, with its ELBO and ln p(x | theta); `advance(state, feed, key, count)` the
    state after `count` iterations, with both of each; `result(state, feed, key)` the point and, of a guide with a spread,
    draws (1, draw, ...).
    """

    begin: Callable[..., Any]
    advance: Callable[..., Any]
    result: Callable[..., Any]


@lru_cache(maxsize=16)
def marginal_learner(network: Network, partial: Partial, options: Options, total: int) -> Learner:
    """On `marginal_model`; compiled once for each shape of data."""
    return learner(network, partial, marginal_target(network, partial, dict(options)), options, total)


def learner(network: Network, partial: Partial, target: Target, options: Options, total: int) -> Learner:
    """`total` is the number of steps over which their size falls."""
    chosen = dict(options)
    evidence = densities(network, partial).log_evidence
    adam = optim.Adam(lambda step: chosen["step_size"] * DECAY ** (step / max(1, total)))
    free = [one for one in network.graph.parameters if one.value is None]
    random = {one.name for one in free if one.prior is not None}

    def fresh(feed: Feed, key: Any) -> tuple[SVI, Any, Any]:
        """The guide and the optimiser, set up in this trace; what is not used of it is not compiled."""
        start, data, _ = feed
        guide = guide_of(network, chosen, target, start)
        svi = SVI(target.model, guide, adam, target.loss)
        optimised = {name: value for name, value in start.items() if name not in random}
        return svi, guide, svi.init(key, data, 0, init_params=optimised)

    def point(svi: SVI, guide: Any, state: Any) -> dict[str, Any]:
        values = svi.get_params(state)
        medians = from_sites(network.graph, guide.median(values)) if random else {}
        return {one.name: medians[one.name] if one.name in random else values[one.name] for one in free}

    def begin(feed: Feed, key: Any) -> Any:
        svi, guide, state = fresh(feed, key)
        return state, -svi.evaluate(state, feed[1], 0), evidence(point(svi, guide, state), feed[2])

    def advance(state: Any, feed: Feed, key: Any, count: Any) -> Any:
        svi, guide, _ = fresh(feed, key)

        def step(state: Any, part: Any) -> Any:
            state, loss = svi.update(state, feed[1], part)
            return state, -loss

        def body(i: Any, carry: Any) -> Any:
            state, elbos, likelihoods = carry
            parts = jax.random.randint(jax.random.fold_in(key, i), (STEPS,), 0, target.parts(feed[1]))
            state, losses = jax.lax.scan(step, state, parts)
            likelihood = evidence(point(svi, guide, state), feed[2])
            return state, elbos.at[i].set(losses.mean()), likelihoods.at[i].set(likelihood)

        return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(VISIT), jnp.zeros(VISIT)))

    def result(state: Any, feed: Feed, key: Any) -> Any:
        svi, guide, _ = fresh(feed, key)
        found = point(svi, guide, state)
        if not random or chosen["guide"] == "point":
            return found, {}
        count = int(chosen["num_samples"])
        drawn = guide.sample_posterior(key, svi.get_params(state), sample_shape=(count,))
        samples = from_sites(network.graph, drawn)
        wide = {name: jnp.broadcast_to(value, (count, *value.shape)) for name, value in found.items()}
        return found, {name: samples.get(name, wide[name])[None] for name in wide}

    return Learner(jax.jit(begin), jax.jit(advance), jax.jit(result))
