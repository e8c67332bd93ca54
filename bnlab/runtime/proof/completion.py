"""Q with the hidden weights of Student's t as further latents: what its M-step maximises.

Given x the weight u is Gamma((df + D) / 2, (df + distance) / 2) at the old parameters. The complete-data log density is
ln N(x; mean, scale / u) + ln Gamma(u; df / 2, df / 2), and its expectation replaces ln t(x) in Q.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from jax.scipy.special import gammaln as jax_gammaln
from scipy.special import digamma, gammaln

from bnlab.network.ir import Graph
from bnlab.runtime.proof.densities import Array, Reader, Theta, log_density, scaled_distance
from bnlab.runtime.proof.grounding import Batch
from bnlab.runtime.proof.oracle import Oracle, Posterior


def completion(oracle: Oracle, theta: Theta, old: Theta, q: Posterior, xp: ModuleType) -> Array:
    """What the expectation over the weights, at `old`, adds to Q(q, theta)."""
    total = xp.zeros(())
    for batch in oracle.ground.batches:
        if batch.cpd.family == "StudentT":
            members = [np.full(local.size, oracle.ground.weights[local.owner]) for local in batch.locals]
            weights = oracle.family(q, batch) * np.concatenate(members)
            gain = _completed(oracle.graph, theta, old, batch, xp) - log_density(
                xp, oracle.graph, theta, batch
            )
            total = total + (weights * gain).sum()
    return total


def _completed(graph: Graph, theta: Theta, old: Theta, batch: Batch, xp: ModuleType) -> Array:
    """E[ln p(x, u)] of each row."""
    before, now = Reader(np, graph, old, batch), Reader(xp, graph, theta, batch)
    dim, apart, _ = scaled_distance(before)
    a, b = (before.argument("df") + dim) / 2, (before.argument("df") + apart) / 2
    u, log_u = a / b, digamma(a) - np.log(b)
    _, distance, log_det = scaled_distance(now)
    half, log_gamma = now.argument("df") / 2, gammaln if xp is np else jax_gammaln
    normal = -(dim * (np.log(2 * np.pi) - log_u) + log_det + u * distance) / 2
    return now.known(normal + half * xp.log(half) - log_gamma(half) + (half - 1) * log_u - half * u)
