# -*- coding: utf-8 -*-
"""EM for the network `eight_schools`, derived from its declaration; needs only JAX and NumPy.

for s in 1..S:                                     school
    std[s]                                         given
    theta_j[s] ~ Normal(mu, std=tau)               latent
    effect[s] ~ Normal(theta_j[s], std=std[s])     observed

E-step   V_theta_j[s] = Cov(theta_j[s] | effect) = (1/tau^2 + Lambda_theta_j)^-1
         d_theta_j[s] = E[theta_j[s] | effect] - mu
M-step   mu, tau maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 734b6910.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    mu: Array  # ()
    tau: Array  # ()  positive


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    std: Array  # (S,)
    effect: Array  # (S,)
    weight: Array  # (S,)  0 for padding


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()  ln p(x)
    N_theta_j: Array  # ()  sum_s 1
    S_theta_j: Array  # ()  sum_s d_theta_j[s]
    S_theta_j_theta_j: Array  # ()  sum_s E[d_theta_j[s]^2]


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def log_likelihood_effect(theta: Parameters, e_effect: Array, std: Array) -> Array:
    """ln p(effect[s] | theta_j[s]) from what is left of its mean as (S)."""
    return -0.5 * (jnp.log(2 * jnp.pi * jnp.square(std)) + jnp.square(e_effect) / jnp.square(std))


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    std, effect, weight = chunk
    r_effect = effect - theta.mu  # effect less its prior mean
    eta_theta_j = 1 / jnp.square(std) * r_effect  # what the data say of theta_j
    Lambda_theta_j = 1 / jnp.square(std)  # and how precisely
    # (1 + tau^2 Lambda_theta_j)^-1, there also if tau^2 is 0
    S_theta_j = 1 / (1 + jnp.square(theta.tau) * Lambda_theta_j)
    # Cov(theta_j[s] | effect) = (1/tau^2 + Lambda_theta_j)^-1
    V_theta_j = S_theta_j * jnp.square(theta.tau)
    n_theta_j = S_theta_j * eta_theta_j  # 1/tau^2 times what the data move theta_j by
    d_theta_j = jnp.square(theta.tau) * n_theta_j  # E[theta_j[s] | effect] - mu
    e_effect = r_effect - d_theta_j  # effect less its mean, at the posterior means
    # ln p(effect[s]) = ln p(effect, theta_j) - ln p(theta_j | effect) at the posterior means
    log_p_effect = (
        log_likelihood_effect(theta, e_effect, std) - 0.5 * (n_theta_j * d_theta_j) + 0.5 * jnp.log(S_theta_j)
    )
    return Statistics(
        log_p=weight @ log_p_effect,
        N_theta_j=weight.sum(),
        S_theta_j=weight @ d_theta_j,
        S_theta_j_theta_j=jnp.einsum("s,s,s->", weight, d_theta_j, d_theta_j) + weight @ V_theta_j,
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
    moments_theta_j = s.N_theta_j  # of the regressors 1
    # the regression of r: what the old coefficients left
    change_theta_j = ratio(s.S_theta_j, moments_theta_j, 0)
    return Parameters(
        mu=theta.mu + change_theta_j,
        tau=jnp.sqrt(
            jnp.maximum(
                ratio(
                    s.S_theta_j_theta_j - jnp.einsum(",,->", change_theta_j, moments_theta_j, change_theta_j),
                    s.N_theta_j,
                    jnp.square(theta.tau),
                ),
                0,
            )
        ),
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
    """Data in chunks of whole members of `school`, about `rows` rows each; padding has weight 0."""
    N = len(data["std"])
    weights = np.asarray(data.get("weights", np.ones(N)), dtype)
    chunks = -(-N // rows)
    chunk_school, place_school = np.divmod(np.arange(N), -(-N // chunks))
    return Data(
        std=put(rows_of(data, "std", dtype), (chunk_school, place_school)),
        effect=put(rows_of(data, "effect", dtype), (chunk_school, place_school)),
        weight=put(weights, (chunk_school, place_school), 0),
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


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_effect, rest_effect = cluster(
        np.asarray(data.effect)[np.asarray(data.weight) > 0], 1, rng, method
    )
    return Parameters(
        mu=jnp.asarray(centres_effect.reshape(())), tau=jnp.asarray(np.sqrt(np.square(rest_effect).mean()))
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
