# -*- coding: utf-8 -*-
"""EM for the network `gmm_tied`, derived from its declaration; needs only JAX and NumPy.

for n in 1..N:
    z[n] ~ Categorical(pi)                       latent
    x[n] ~ Normal(mu[z[n]], cov=Sigma)           observed

E-step   q_z[n,k] = P(z[n]=k | x)
M-step   pi, Sigma, mu maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 0b6ae832.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)    sums to 1
    Sigma: Array  # (D, D)  positive definite
    mu: Array  # (K, D)


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (N, D)
    weight: Array  # (N,)    0 for padding


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x)
    N_z: Array  # (K,)    sum_n q_z[n,k]
    Sx: Array  # (K, D)  sum_n q_z[n,k] r[n]
    Sxx: Array  # (D, D)  sum_n r[n] r[n]'


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


def log_likelihood_x(theta: Parameters, x: Array) -> Array:
    """ln p(x[n] | z[n]=k) as (N, K)."""
    L = jnp.linalg.cholesky(theta.Sigma)
    whiten = inverse_lower(L)
    y = (x[:, None] - theta.mu) @ whiten.T  # L^-1 (x - mean)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (2 * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x, weight = chunk
    log_p_xz = jnp.log(theta.pi) + log_likelihood_x(theta, x)  # ln p(x[n], z[n]=k)
    log_p_x = logsumexp(log_p_xz, axis=-1)  # ln p(x[n]): sums out z
    q_z = jnp.exp(log_p_xz - log_p_x[:, None]) * weight[:, None]  # P(z[n]=k | x)
    r = x - theta.mu.mean(0)  # data far from 0 lose no digits
    return Statistics(
        log_p=weight @ log_p_x,
        N_z=q_z.sum(0),
        Sx=jnp.einsum("nk,nd->kd", q_z, r),
        Sxx=jnp.einsum("nk,nd,ne->de", q_z, r, r),
    )


@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data, chunk by chunk: memory is that of one chunk."""
    zero = jax.eval_shape(expect, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, expect(theta, chunk)), None

    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]


def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x | theta)."""
    return e_step(theta, data).log_p


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Parameters:
    """The parameters that maximise Q."""
    s = statistics
    origin = theta.mu.mean(0)
    mean = ratio(s.Sx, s.N_z[:, None], theta.mu - origin)
    return Parameters(
        pi=ratio(s.N_z, s.N_z.sum(), theta.pi),
        Sigma=ratio(s.Sxx - jnp.einsum("k,kd,ke->de", s.N_z, mean, mean), s.N_z.sum(), theta.Sigma),
        mu=mean + origin,
    )


def put(values, index, fill=None):
    """An array with values[i] at index[0][i], index[1][i], ..., and `fill` (or the first value) elsewhere."""
    fill = values[0] if fill is None else fill
    out = np.full(
        [int(i.max()) + 1 for i in index] + list(np.shape(values)[1:]), fill, np.asarray(values).dtype
    )
    out[index] = values
    return jnp.asarray(out)


def rows_of(data, name, dtype, shape=(), states=0, gaps=False):
    """The rows of a variable, each of this shape; no NaN without `gaps`, and no value that is no state."""
    values = np.asarray(data[name])
    if values.shape[1:] != shape:
        raise ValueError(f"{name} has the shape {values.shape}; it takes rows of the shape {shape}")
    if states and not np.isin(values, np.arange(-1 if gaps else 0, states)).all():
        raise ValueError(f"{name} has values other than 0 to {states - 1}")
    values = np.asarray(values, dtype)
    if not gaps and not np.isfinite(values).all():
        raise ValueError(f"{name} has numbers that are missing or infinite")
    return values


def prepare(data, dtype=float, rows=4096):
    """Data in chunks of whole members of `n`, about `rows` rows each; padding has weight 0."""
    N = len(data["x"])
    weights = np.asarray(data.get("weights", np.ones(N)), dtype)
    chunks = -(-N // rows)
    chunk_n, place_n = np.divmod(np.arange(N), -(-N // chunks))
    return Data(
        x=put(rows_of(data, "x", dtype, (2,)), (chunk_n, place_n)), weight=put(weights, (chunk_n, place_n), 0)
    )


def cluster(x, K, rng, method):
    """Centres (K, ...), and what they leave of each row of x (N, ...); by k-means, or K rows at random."""

    def squares(a, b):
        return np.maximum((a * a).sum(-1)[:, None] - 2 * a @ b.T + (b * b).sum(-1), 0)

    flat = x.reshape(len(x), -1).astype(float)
    centre, scale = flat.mean(0), np.maximum(flat.std(0), np.finfo(float).tiny)
    scaled = (flat - centre) / scale
    sample = scaled[rng.choice(len(x), min(len(x), 20000), replace=False)]
    if method == "random":
        means = sample[rng.choice(len(sample), K, replace=len(sample) < K)]
    else:
        means = sample[rng.integers(len(sample))][None]
        for _ in range(K - 1):
            far = squares(sample, means).min(1)
            chance = far / far.sum() if far.sum() > 0 else None
            means = np.concatenate([means, sample[rng.choice(len(sample), p=chance)][None]])
        for _ in range(20):
            label = squares(sample, means).argmin(1)
            means = np.stack(
                [sample[label == k].mean(0) if (label == k).any() else means[k] for k in range(K)]
            )
    label = np.concatenate(
        [squares(part, means).argmin(1) for part in np.array_split(scaled, len(x) // 4096 + 1)]
    )
    rest = (scaled - means[label]) * scale
    return (means * scale + centre).reshape(K, *x.shape[1:]), rest.reshape(x.shape)


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x)[np.asarray(data.weight) > 0], 2, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        Sigma=jnp.asarray(
            np.broadcast_to(
                rest_x.reshape(-1, 2).T @ rest_x.reshape(-1, 2) / len(rest_x.reshape(-1, 2)), (2, 2)
            )
        ),
        mu=jnp.asarray(centres_x.reshape((2, 2))),
    )


def fit(data: Data, theta: Parameters, max_iter=200, tol=1e-6):
    """EM from theta; the trace holds ln p(x | theta) at the start and after every iteration."""
    trace = []
    for iteration in range(max_iter + 1):
        s = e_step(theta, data)
        trace.append(float(s.log_p))
        if iteration == max_iter or (
            tol and iteration and trace[-1] - trace[-2] <= tol * (1 + abs(trace[-1]))
        ):
            break
        theta = m_step(s, theta)
    return theta, np.array(trace)


if __name__ == "__main__":
    import sys

    data = prepare(np.load(sys.argv[1]))
    theta, trace = fit(data, init(data))
    print(f"ln p(x | theta) = {trace[-1]:.6f} after {len(trace) - 1} iterations")
    for name, value in theta._asdict().items():
        print(name, "=", np.array2string(np.asarray(value), precision=4, suppress_small=True))
