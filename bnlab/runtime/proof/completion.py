"""Q with the hidden weights of Student's t as further latents: what its M-step maximises.

Given x the weight u is Gamma((df + D) / 2, (df + distance) / 2) at the old parameters. The complete-data log density is
ln N(x; mean, scale / u) + ln Gamma(u; df / 2, df / 2), and its expectation replaces ln t(x) in Q. Entries that are missing are
latent too, Normal given u and the others; rows of which nothing is there are not.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from jax.scipy.special import gammaln as jax_gammaln
from scipy.special import digamma, gammaln

from bnlab.network.ir import Graph
from bnlab.runtime.proof.densities import (
    Array,
    Reader,
    Theta,
    log_density,
    scaled_distance,
    student_parts,
)
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
    expected, left = _regressed(before)
    _, matrix, _ = student_parts(now)
    mean = before.argument("mean").reshape(expected.shape) - now.argument("mean").reshape(expected.shape)
    away = expected + mean
    distance = (away * xp.linalg.solve(matrix, away[..., None])[..., 0]).sum(-1)
    trace = xp.trace(xp.linalg.solve(matrix, left), axis1=-2, axis2=-1)
    log_det = xp.linalg.slogdet(matrix)[1]
    half, log_gamma = now.argument("df") / 2, gammaln if xp is np else jax_gammaln
    normal = -(away.shape[-1] * (np.log(2 * np.pi) - log_u) + log_det + u * distance + trace) / 2
    return now.known(normal + half * xp.log(half) - log_gamma(half) + (half - 1) * log_u - half * u)


def _regressed(reader: Reader) -> tuple[np.ndarray, np.ndarray]:
    """E[x | what is there] less the mean, and u Cov(x | what is there, u), for each row by itself."""
    residual, matrix, there = student_parts(reader)
    expected, left = np.where(there, residual, 0.0), np.zeros(matrix.shape)
    for row, kept in enumerate(there):
        across = np.linalg.solve(matrix[row][np.ix_(kept, kept)], matrix[row][np.ix_(kept, ~kept)]).T
        expected[row, ~kept] = across @ residual[row, kept]
        rest = matrix[row][np.ix_(~kept, ~kept)] - across @ matrix[row][np.ix_(kept, ~kept)]
        left[row][np.ix_(~kept, ~kept)] = rest
    return expected, left
