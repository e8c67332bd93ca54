"""ln p of data and parameters by the NumPyro model that keeps its latents: nothing of bnlab's elimination is in it.

NumPyro sums discrete latents out itself. Gaussian ones stay in its joint density, of which the logarithm is quadratic in
them, so that their integral is known from its value, slope and curvature at one point, by automatic differentiation:
ln p(x) = ln p(x, z) + n/2 ln 2 pi - 1/2 ln det(-H) at the z where the slope is 0.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from math import prod
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.contrib import funsor
from numpyro.infer.util import log_density

from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_layout import sizes
from bnlab.runtime.records import Bound
from bnlab.runtime.sites import log_volume, to_sites

ENUMERATED = -8
"""The first dimension for enumerated states: left of every plate."""
MOST = 400
"""Numbers in all Gaussian latents together: their curvature is a square matrix of so many rows."""
STEPS = 2
"""Newton's steps to the mode of a quadratic: one finds it, another mends what rounding left."""

Arrays = Mapping[str, NDArray[Any]]


def rows_at_most(graph: Graph, rows: int) -> int:
    """So many rows of data that the Gaussian latents of all of them hold `MOST` numbers; `rows` if none is integrated over."""
    gaussian = _gaussian(graph)
    each = sum(prod((*sizes(graph, one.plates), *one.domain.event_shape)) for one in gaussian)
    return min(rows, MOST // each) if gaussian and not _mixed(graph) else rows


def _gaussian(graph: Graph) -> list[Variable]:
    return [one for one in graph.in_role("latent") if not one.discrete]


def _mixed(graph: Graph) -> bool:
    return 0 < len(_gaussian(graph)) < len(list(graph.in_role("latent")))


def by_numpyro(graph: Graph, module: ModuleType, bound: Bound, theta: Arrays) -> float | None:
    """ln p(x, theta) at the free parameters `theta` by `model` of the emitted module.

    None where that is not known so: without such a model, with weights, for Gaussian latents beside discrete ones (a
    mixture is not quadratic), too many of them, or without a spread (they have no density then).
    """
    if "model" not in vars(module) or "weights" in bound.canonical or _mixed(graph):
        return None
    inputs = [name for name in inspect.signature(module.model).parameters if name in bound.canonical]
    data = {name: np.asarray(bound.canonical[name]) for name in inputs}
    free = to_sites(graph, {name: jnp.asarray(value) for name, value in theta.items()})
    volume = float(log_volume(graph, theta))
    if gaussian := _gaussian(graph):
        found = _integrated(module, data, free, [one.name for one in gaussian])
        return None if found is None else found - volume
    model = funsor.enum(module.model, ENUMERATED)
    return float(jax.jit(lambda values: funsor.log_density(model, (), data, values)[0])(free)) - volume


def _integrated(module: ModuleType, data: Arrays, theta: Mapping[str, Any], names: list[str]) -> float | None:
    """The integral over the Gaussian latents `names`."""
    seeded = handlers.seed(handlers.substitute(module.model, data=dict(theta)), 0)

    def drawn() -> dict[str, Any]:
        trace = handlers.trace(seeded).get_trace(**data)
        return {name: trace[name]["value"] for name in names}

    zeros = jax.tree.map(lambda site: jnp.zeros(site.shape, site.dtype), jax.eval_shape(drawn))
    origin, unravel = ravel_pytree(zeros)
    if len(origin) > MOST:
        return None

    def joint(z: Any) -> Any:
        return log_density(module.model, (), data, {**theta, **unravel(z)})[0]

    all_three = jax.jit(lambda z: (joint(z), jax.grad(joint)(z), -jax.hessian(joint)(z)))
    z = np.array(origin)
    value, slope, curvature = map(np.array, all_three(z))
    there = np.diag(curvature) != 0  # steps that only pad a scan to its length have no density
    curvature = curvature[np.ix_(there, there)]
    if not np.isfinite(curvature).all():
        return None
    for _ in range(STEPS):
        z[there] += np.linalg.solve(curvature, slope[there])
        value, slope, _ = map(np.array, all_three(z))
    return float(value + 0.5 * (there.sum() * np.log(2 * np.pi) - np.linalg.slogdet(curvature)[1]))
