# -*- coding: utf-8 -*-
"""Hard EM for the network `hmm_left_to_right`, derived from its declaration; needs only JAX and NumPy.

for t in 1..T:                                          a chain
    m[t] ~ Categorical(move[z[t-1]])                    latent; m[1] ~ Categorical([1, 0])
    z[t] ~ Categorical(array(2, 2, 2)[z[t-1],m[t]])     latent; z[1] ~ Categorical([1, 0])
    x[t] ~ Normal(mu[z[t]], var=sigma2[z[t]])           observed

E-step   q_mz[t,m,k] = 1 at the most probable value, else 0
M-step   move, mu, sigma2 maximise ln p(x, z*)

Emitted by bnlab 0.1.0 from network a1d0cf0e.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    move: Array  # (K, M)  rows sum to 1
    mu: Array  # (K,)
    sigma2: Array  # (K,)    positive


class Data(NamedTuple):
    """The data."""

    x: Array  # (T,)


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x, z*) at the most probable z*
    N_zm: Array  # (K, M)  sum_t P(z[t-1]=i, m[t]=m | x)
    N_z: Array  # (K,)    sum_t q_z[t,k]
    Sx: Array  # (K,)    sum_t q_z[t,k] r[t]
    Sxx: Array  # (K,)    sum_t q_z[t,k] r[t]^2


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
    """ln p(x[t] | z[t]=k) as (T, K)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.sigma2) + jnp.square(x[:, None] - theta.mu) / theta.sigma2)


def forward(theta: Parameters, log_b: Array) -> tuple[Array, Array]:
    """ln alpha as (T, M, K) and ln c as (T), with maxima for sums."""

    def step(log_predicted, log_b_t):
        log_joint = log_predicted + log_b_t
        log_c_t = log_joint.max()
        log_alpha_t = log_joint - jnp.where(log_c_t > -jnp.inf, log_c_t, 0)
        return (
            (log_alpha_t[:, None] + jnp.log(theta.move).T)[..., None]
            + jnp.log(jnp.array((((1, 0), (0, 1)), ((0, 1), (0, 1))), float)).transpose(1, 0, 2)
        ).max((0, 2)), (log_alpha_t, log_c_t)

    log_alpha, log_c = jax.lax.scan(
        step, jnp.log(jnp.array((1, 0), float))[:, None] + jnp.log(jnp.array((1, 0), float)), log_b
    )[1]
    return log_alpha, log_c


def backward(theta: Parameters, log_alpha: Array) -> tuple[Array, Array, Array]:
    """The most probable states as (T, M, K), and of neighbouring steps, summed."""

    def step(carry, log_alpha_before):
        q_t, pairs_m, pairs_z = carry
        log_pair = (log_alpha_before[:, None] + jnp.log(theta.move).T)[..., None] + jnp.log(
            jnp.array((((1, 0), (0, 1)), ((0, 1), (0, 1))), float)
        ).transpose(1, 0, 2)
        q_pair = hardmax(log_pair, (0, 2)) * q_t[:, None]  # P(states at t-1 and t | data)
        return (
            q_pair.sum((1, 3)),
            (pairs_m.T + jnp.einsum("jmik->im", q_pair).T).T,
            (pairs_z.transpose(1, 0, 2) + jnp.einsum("jmik->imk", q_pair).transpose(1, 0, 2)).transpose(
                1, 0, 2
            ),
        ), q_t

    (q_first, all_pairs_m, all_pairs_z), q_later = jax.lax.scan(
        step,
        (
            hardmax(log_alpha[-1], (-2, -1)),
            jnp.zeros(theta.move.shape),
            jnp.zeros(jnp.array((((1, 0), (0, 1)), ((0, 1), (0, 1))), float).shape),
        ),
        log_alpha[:-1],
        reverse=True,
    )
    return jnp.concatenate([q_first[None], q_later]), all_pairs_m, all_pairs_z


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, at the most probable value of the latents."""
    x = chunk.x
    log_b = log_likelihood_x(theta, x)  # ln p(x[t] | z[t]=k)
    log_alpha, log_c = forward(theta, log_b)
    log_p_x_in_chain = log_c.sum()  # ln p(x[:])
    q_mz, pairs_m, pairs_z = backward(theta, log_alpha)  # P(m[t]=m, z[t]=k | x)
    r = x - theta.mu.mean()  # data far from 0 lose no digits
    return Statistics(
        log_p=log_p_x_in_chain,
        N_zm=pairs_m,
        N_z=q_mz.sum((0, 1)),
        Sx=jnp.einsum("tmk,t->k", q_mz, r),
        Sxx=jnp.einsum("tmk,t,t->k", q_mz, r, r),
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
    mean = ratio(s.Sx, s.N_z, theta.mu - origin)
    return Parameters(
        move=ratio(s.N_zm, s.N_zm.sum(-1)[:, None], theta.move),
        mu=mean + origin,
        sigma2=ratio(s.Sxx - jnp.einsum("k,k,k->k", s.N_z, mean, mean), s.N_z, theta.sigma2),
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
    centres_x, rest_x = cluster(np.asarray(data.x), 2, rng, method)
    return Parameters(
        move=jnp.asarray(near(0.5, (2, 2), rng, method)),
        mu=jnp.asarray(centres_x.reshape((2,))),
        sigma2=jnp.asarray(np.broadcast_to(np.square(rest_x).mean(), (2,))),
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
