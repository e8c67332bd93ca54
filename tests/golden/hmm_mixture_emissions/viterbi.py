# -*- coding: utf-8 -*-
"""Hard EM for the network `hmm_mixture_emissions`, derived from its declaration; needs only JAX and
NumPy.

for t in 1..T:                                         a chain
    z[t] ~ Categorical(A[z[t-1]])                      latent; z[1] ~ Categorical(pi)
    c[t] ~ Categorical(weight[z[t]])                   latent
    x[t] ~ Normal(mu[z[t],c[t]], var=v[z[t],c[t]])     observed

E-step   q_z[t,k] = 1 at the most probable value, else 0
         q_zc[t,k,m] = 1 at the most probable value, else 0
M-step   pi, A, weight, mu, v maximise ln p(x, z*)

Emitted by bnlab 0.1.0 from network cba2b037.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)    sums to 1
    A: Array  # (K, K)  rows sum to 1
    weight: Array  # (K, M)  rows sum to 1
    mu: Array  # (K, M)
    v: Array  # (K, M)  positive


class Data(NamedTuple):
    """The data."""

    x: Array  # (T,)


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x, z*) at the most probable z*
    N_first: Array  # (K,)    q_z[1,k]
    N_zz: Array  # (K, K)  sum_t P(z[t-1]=j, z[t]=k | x)
    N_zc: Array  # (K, M)  sum_t q_zc[t,k,m]
    Sx: Array  # (K, M)  sum_t q_zc[t,k,m] r[t]
    Sxx: Array  # (K, M)  sum_t q_zc[t,k,m] r[t]^2


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def hardmax(x, axis):
    """1 at the first maximum over an axis (or several together), else 0."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    last = tuple(range(-len(axes), 0))
    moved = jnp.moveaxis(x, axes, last)
    flat = moved.reshape(*moved.shape[: -len(axes)], -1)
    ones = jax.nn.one_hot(flat.argmax(-1), flat.shape[-1])
    return jnp.moveaxis(ones.reshape(moved.shape), last, axes)


def log_likelihood_x(theta: Parameters, x: Array) -> Array:
    """ln p(x[t] | z[t]=k, c[t]=m) as (T, K, M)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.v) + jnp.square(x[:, None, None] - theta.mu) / theta.v)


def forward(theta: Parameters, log_b: Array) -> tuple[Array, Array]:
    """ln alpha as (T, K) and ln c as (T), with maxima for sums."""

    def step(log_predicted, log_b_t):
        log_joint = log_predicted + log_b_t
        log_c_t = log_joint.max()
        log_alpha_t = log_joint - jnp.where(log_c_t > -jnp.inf, log_c_t, 0)
        return (log_alpha_t[:, None] + jnp.log(theta.A)).max(0), (log_alpha_t, log_c_t)

    log_alpha, log_c = jax.lax.scan(step, jnp.log(theta.pi), log_b)[1]
    return log_alpha, log_c


def backward(theta: Parameters, log_alpha: Array) -> tuple[Array, Array]:
    """The most probable states as (T, K), and of neighbouring steps, summed."""

    def step(carry, log_alpha_before):
        q_t, pairs_z = carry
        log_pair = log_alpha_before[:, None] + jnp.log(theta.A)
        q_pair = hardmax(log_pair, 0) * q_t  # P(states at t-1 and t | data)
        return (q_pair.sum(-1), pairs_z + q_pair), q_t

    (q_first, all_pairs_z), q_later = jax.lax.scan(
        step, (hardmax(log_alpha[-1], -1), jnp.zeros(theta.A.shape)), log_alpha[:-1], reverse=True
    )
    return jnp.concatenate([q_first[None], q_later]), all_pairs_z


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, at the most probable value of the latents."""
    x = chunk.x
    log_p_xc_given_z = jnp.log(theta.weight) + log_likelihood_x(theta, x)  # ln p(x[t], c[t]=m | z[t]=k)
    log_p_x_given_z = log_p_xc_given_z.max(-1)  # ln p(x[t] | z[t]=k): maximises over c
    log_b = log_p_x_given_z  # ln p(x[t] | z[t]=k)
    log_alpha, log_c = forward(theta, log_b)
    log_p_x_in_chain = log_c.sum()  # ln p(x[:])
    q_z, pairs_z = backward(theta, log_alpha)  # P(z[t]=k | x)
    q_zc = hardmax(log_p_xc_given_z, -1) * q_z[..., None]  # P(z[t]=k, c[t]=m | x)
    r = x - theta.mu.mean()  # data far from 0 lose no digits
    return Statistics(
        log_p=log_p_x_in_chain,
        N_first=q_z[0],
        N_zz=pairs_z,
        N_zc=q_zc.sum(0),
        Sx=jnp.einsum("tkm,t->km", q_zc, r),
        Sxx=jnp.einsum("tkm,t,t->km", q_zc, r, r),
    )


@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data."""
    return expect(theta, data)


def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x, z* | theta) at the most probable z*."""
    return e_step(theta, data).log_p


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Parameters:
    """The parameters that maximise Q."""
    s = statistics
    origin = theta.mu.mean()
    mean = ratio(s.Sx, s.N_zc, theta.mu - origin)
    return Parameters(
        pi=ratio(s.N_first, s.N_first.sum(), theta.pi),
        A=ratio(s.N_zz, s.N_zz.sum(-1)[:, None], theta.A),
        weight=ratio(s.N_zc, s.N_zc.sum(-1)[:, None], theta.weight),
        mu=mean + origin,
        v=ratio(s.Sxx - jnp.einsum("km,km,km->km", s.N_zc, mean, mean), s.N_zc, theta.v),
    )


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


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x), 4, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        A=jnp.asarray(near(0.5, (2, 2), rng, method)),
        weight=jnp.asarray(near(0.5, (2, 2), rng, method)),
        mu=jnp.asarray(centres_x.reshape((2, 2))),
        v=jnp.asarray(np.broadcast_to(np.square(rest_x).mean(), (2, 2))),
    )


def fit(data: Data, theta: Parameters, max_iter=200, tol=1e-6):
    """Hard EM from theta; the trace holds ln p(x, z* | theta) at the start and after every iteration."""
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
    print(f"ln p(x, z* | theta) = {trace[-1]:.6f} after {len(trace) - 1} iterations")
    for name, value in theta._asdict().items():
        print(name, "=", np.array2string(np.asarray(value), precision=4, suppress_small=True))
