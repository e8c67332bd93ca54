"""NUTS on the emitted `marginal_model`, compiled once a network and driven from the host in pieces.

NumPyro's kernel does the work; between pieces the host shows progress and hears Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro.infer.hmc import hmc
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from bnlab.network.declare import Network
from bnlab.runtime.marginal import numpyro_module
from bnlab.runtime.records import Partial
from bnlab.runtime.sites import from_sites, to_sites

PIECE = 50
"""Transitions between two looks at the host."""

Arrays = Mapping[str, NDArray[Any]]
Visit = Callable[[int, Any], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Sampler:
    """Compiled functions. `begin(theta, keys, data)` -> state of all chains; `piece(state, count, data)` -> state and what
    was seen, `count` transitions of it; `constrain(z, data)` -> parameters of (chain, draw) unconstrained ones."""

    begin: Callable[..., Any]
    piece: Callable[..., Any]
    constrain: Callable[..., Any]


@lru_cache(maxsize=16)
def sampler(
    network: Network, partial: Partial, warmup: int, target_accept: float, dense: bool, depth: int
) -> Sampler:
    """The kernel for the chains of one network, vectorised over them."""
    model = numpyro_module(network, partial).marginal_model
    init, sample = hmc(
        potential_fn_gen=lambda data: lambda z: potential_energy(model, (data,), {}, z), algo="NUTS"
    )

    def begin(theta: Any, keys: Any, data: Any) -> Any:
        z = unconstrain_fn(model, (data,), {}, to_sites(network.graph, theta))

        def one(key: Any) -> Any:
            return init(
                z,
                num_warmup=warmup,
                target_accept_prob=target_accept,
                max_tree_depth=depth,
                dense_mass=[tuple(sorted(z))] if dense else [],
                model_args=(data,),
                rng_key=key,
            )

        return jax.vmap(one)(keys)

    def piece(state: Any, count: Any, data: Any) -> Any:
        step = jax.vmap(lambda one: sample(one, (data,), {}))

        def body(i: Any, carry: Any) -> Any:
            state, seen = carry
            state = step(state)
            return state, jax.tree.map(lambda all, new: all.at[i].set(new), seen, _seen(state))

        shapes = jax.eval_shape(_seen, state)
        empty = jax.tree.map(lambda one: jnp.zeros((PIECE, *one.shape), one.dtype), shapes)
        return jax.lax.fori_loop(0, count, body, (state, empty))

    def constrain(z: Any, data: Any) -> Any:
        def one(z: Any) -> Any:
            return from_sites(network.graph, constrain_fn(model, (data,), {}, z))

        return jax.lax.map(lambda chain: jax.lax.map(one, chain), z)

    return Sampler(jax.jit(begin), jax.jit(piece), jax.jit(constrain))


def _seen(state: Any) -> dict[str, Any]:
    """What is kept of a transition, under ArviZ's names."""
    return {
        "z": state.z,
        "diverging": state.diverging,
        "n_steps": state.num_steps,
        "acceptance_rate": state.accept_prob,
        "lp": -state.potential_energy,
        "energy": state.energy,
        "step_size": state.adapt_state.step_size,
    }


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """What came out: unconstrained draws and statistics as (chain, draw, ...), and gradients taken, warmup included."""

    z: Arrays
    statistics: Arrays
    gradients: int
    interrupted: bool


def drive(
    one: Sampler, theta: Arrays, key: Any, data: Any, sizes: tuple[int, int, int], visit: Visit
) -> Sampled:
    """Warmup, then draws, for `sizes` = (chains, warmup, draws), until `visit`, which sees the transitions made so far
    and the last piece, says no."""
    chains, warmup, draws = sizes
    state = one.begin(dict(theta), jax.random.split(key, chains), data)
    done, gradients, on = 0, 0, True
    kept: list[dict[str, Any]] = []
    while done < warmup + draws and on:
        limit = warmup if done < warmup else warmup + draws
        count = min(PIECE, limit - done)
        state, seen = one.piece(state, count, data)
        seen = jax.device_get(_first(count, seen))
        if done >= warmup:
            kept.append(seen)
        done += count
        gradients += int(seen["n_steps"].sum())
        on = visit(done, seen)
    interrupted = done < warmup + draws
    if not kept:
        return Sampled({}, {}, gradients, interrupted)
    joined = jax.tree.map(lambda *parts: np.swapaxes(np.concatenate(parts), 0, 1), *kept)
    z = joined.pop("z")
    return Sampled(z, joined, gradients, interrupted)


def _first(count: int, seen: Any) -> Any:
    """The transitions made; a piece has room for more."""
    return jax.tree.map(lambda array: array[:count], seen)
