# -*- coding: utf-8 -*-
"""EM for the network `local_level`, derived from its declaration; needs only JAX and NumPy.

for t in 1..T:                                   a chain
    level[t] ~ Normal(level[t-1], var=eta)       latent; level[1] ~ Normal(1000, var=10000000)
    x[t] ~ Normal(level[t], var=eps)             observed

E-step   m[t] = E[level[t] | data up to t]
         mean_level[t] = E[level[t] | x]
         cov_level[t] = Cov(level[t] | x)
M-step   eta, eps maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 9d9495d8.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    eta: Array  # ()  positive
    eps: Array  # ()  positive


class Data(NamedTuple):
    """The data."""

    x: Array  # (T,)


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()  ln p(x)
    N_level: Array  # ()  sum_t 1
    See_level: Array  # ()  sum_t E[e_level[t]^2]
    N_x: Array  # ()  sum_t 1
    Sxx: Array  # ()  sum_t E[e_x[t]^2]


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def filter_level(
    theta: Parameters, eta_level: Array, Lambda_level: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Filter: m[t] = E[level[t] | data up to t] as (T), and
    V[t] its covariance; p and P are the moments of the prediction from the data before.
    """

    def step(P, _):
        S = 1 / (1 + P * Lambda_level)  # how far the data of the step leave the prediction
        V = S * P  # Cov(level[t] | data up to t) = (1 / P + Lambda)^-1
        return V + theta.eta, (P, S, V)

    P, S, V = jax.lax.scan(step, 10000000, None, length=len(eta_level))[1]

    def step(p, inputs):
        eta_level_t, V_t = inputs
        m = p + V_t * (eta_level_t - Lambda_level * p)  # E[level[t] | data up to t]
        return m, (p, m)

    p, m = jax.lax.scan(step, 1000, (eta_level, V))[1]
    n = S * (eta_level - Lambda_level * p)  # how the data move the mean: m[t] - p[t] = P[t] n[t]
    # ln p(level[t] | data before) - ln p(level[t] | data up to t) at level[t] = m[t]
    log_ratio = 0.5 * jnp.log(S) - 0.5 * (n * (m - p))
    return p, P, m, V, log_ratio


def log_likelihood_x(theta: Parameters, v_x: Array) -> Array:
    """ln p(x[t] | level[t]) from what is left of its mean as (T)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.eps) + jnp.square(v_x) / theta.eps)


def smooth_level(theta: Parameters, m: Array, V: Array, p: Array, P: Array) -> tuple[Array, Array, Array]:
    """Smoother (Rauch, Tung and Striebel 1965), from the last t back: E[level[t] | all data] and its
    covariance.

    Given level[t], later data say no more of level[t-1]: it is m[t-1] + G[t] (level[t] - p[t]) and a rest
    of covariance C[t].
    """
    G = V[:-1] / P[1:]  # the regression of level[t-1] on level[t], given the data up to t-1
    B = 1 - G  # what it leaves of level[t-1] itself
    # Cov(level[t-1] | level[t], data up to t-1), a sum of squares: no digits cancel
    C = jnp.square(B) * V[:-1] + jnp.square(G) * theta.eta

    def step(mean, inputs):
        m_before, p_t, G_t = inputs
        mean_before = m_before + G_t * (mean - p_t)  # E[level[t-1] | all data]
        return mean_before, mean

    first_mean, mean = jax.lax.scan(step, m[-1], (m[:-1], p[1:], G), reverse=True)

    def step(cov, inputs):
        G_t, C_t = inputs
        cov_before = C_t + jnp.square(G_t) * cov  # and its covariance
        return cov_before, cov

    first_cov, cov = jax.lax.scan(step, V[-1], (G, C), reverse=True)
    return jnp.concatenate([first_mean[None], mean]), jnp.concatenate([first_cov[None], cov]), G


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x = chunk.x
    eta_level = 1 / theta.eps * x  # what the data of a step say of level
    Lambda_level = 1 / theta.eps  # and how precisely
    p, P, m, V, log_ratio = filter_level(theta, eta_level, Lambda_level)
    v_x = x - m  # x less its mean, at the means given the data so far
    # ln p(x[:]) = ln p(x, level) - ln p(level | x) at the means given the data so far
    log_p_x_in_chain = (log_likelihood_x(theta, v_x) + log_ratio).sum()
    mean_level, cov_level, G = smooth_level(theta, m, V, p, P)  # E[level[t] | x] and Cov(level[t] | x)
    cov_level_next = cov_level[1:] * G  # Cov(level[t], level[t-1] | x)
    e_level = mean_level[1:] - mean_level[:-1]  # level less its mean, at the posterior means
    e_x = x - mean_level  # x less its mean, at the posterior means
    return Statistics(
        log_p=log_p_x_in_chain,
        N_level=jnp.ones(e_level.shape).sum(),
        See_level=e_level @ e_level + cov_level[1:].sum() - 2 * cov_level_next.sum() + cov_level[:-1].sum(),
        N_x=jnp.ones(e_x.shape).sum(),
        Sxx=e_x @ e_x + cov_level.sum(),
    )


@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data."""
    return expect(theta, data)


def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x | theta)."""
    return e_step(theta, data).log_p


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Parameters:
    """The parameters that maximise Q."""
    s = statistics
    return Parameters(eta=ratio(s.See_level, s.N_level, theta.eta), eps=ratio(s.Sxx, s.N_x, theta.eps))


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


def prepare(data, dtype=float):
    """Data as arrays."""
    return Data(x=jnp.asarray(rows_of(data, "x", dtype)))


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


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x), 1, rng, method)
    return Parameters(eta=jnp.asarray(np.square(rest_x).mean()), eps=jnp.asarray(np.square(rest_x).mean()))


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
