# -*- coding: utf-8 -*-
"""EM for the network `hmm_poisson`, derived from its declaration; needs only JAX and NumPy.

for t in 1..T:                                   a chain
    z[t] ~ Categorical(A[z[t-1]])                latent; z[1] ~ Categorical(pi)
    x[t] ~ Poisson(rate[z[t]])                   observed

E-step   alpha[t] = P(z[t]=k | data[1..t])
         beta[t] = p(data[t+1..] | z[t]=k) / p(data[t+1..] | data[1..t])
         q_z[t,k] = P(z[t]=k | x)
M-step   pi, A, rate maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 66517145.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)    sums to 1
    A: Array  # (K, K)  rows sum to 1
    rate: Array  # (K,)    positive


class Data(NamedTuple):
    """The data."""

    x: Array  # (T,)


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x)
    N_first: Array  # (K,)    q_z[1,k]
    N_zz: Array  # (K, K)  sum_t P(z[t-1]=j, z[t]=k | x)
    N_z: Array  # (K,)    sum_t q_z[t,k]
    Sx: Array  # (K,)    sum_t q_z[t,k] x[t]


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


def reliable(c, beta):
    """Whether the scaled messages lost nothing that matters: it would take a tiny c or a huge beta."""
    limits = jnp.finfo(c.dtype)
    return (c.min() > limits.tiny ** (1 / 3)) & (beta.max() < limits.max**0.5)


def log_likelihood_x(theta: Parameters, x: Array) -> Array:
    """ln p(x[t] | z[t]=k) as (T, K)."""
    return jnp.where((x > 0)[:, None], x[:, None] * log(theta.rate), 0) - theta.rate - gammaln(x + 1)[:, None]


def forward(theta: Parameters, b: Array) -> tuple[Array, Array]:
    """alpha[t] = P(z[t]=k | data[1..t]) as (T, K),
    and c[t] = p(data[t] | data[1..t-1]) as (T).
    """

    def step(predicted, b_t):
        joint = predicted * b_t  # P(z[t]=k, data[t] | data[1..t-1])
        c_t = joint.sum()
        alpha_t = joint / c_t
        return alpha_t @ theta.A, (alpha_t, c_t)

    alpha, c = jax.lax.scan(step, theta.pi, b)[1]
    return alpha, c


def backward(theta: Parameters, b: Array, c: Array) -> Array:
    """beta[t] = p(data[t+1..] | z[t]=k) / p(data[t+1..] | data[1..t]) as (T, K);
    1 at the end of each sequence.
    """

    def step(beta_t, inputs):
        b_t, c_t = inputs
        onward = beta_t * b_t / c_t
        beta_before = onward @ theta.A.T  # of step t-1
        return beta_before, beta_t

    beta = jax.lax.scan(step, jnp.ones((3,)), (b, c), reverse=True)[1]
    return beta


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x = chunk.x
    log_b = log_likelihood_x(theta, x)  # ln p(x[t] | z[t]=k)
    scale = jax.lax.stop_gradient(log_b.max(-1))  # so that exp neither over- nor underflows
    b = jnp.exp(log_b - scale[:, None])
    alpha, c = forward(theta, b)
    log_p_x_in_chain = (jnp.log(c) + scale).sum()  # ln p(x[:])
    beta = backward(theta, b, c)
    q_z = alpha * beta  # P(z[t]=k | x)
    onward = beta[1:] * b[1:] * (1 / c[1:])[:, None]  # of the steps moved to
    safe = reliable(c, beta)  # no state was lost to underflow
    return Statistics(
        log_p=jnp.where(safe, log_p_x_in_chain, jnp.nan),
        N_first=q_z[0],
        N_zz=theta.A * jnp.einsum("tj,tk->jk", alpha[:-1], onward),
        N_z=q_z.sum(0),
        Sx=x @ q_z,
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
    return Parameters(
        pi=ratio(s.N_first, s.N_first.sum(), theta.pi),
        A=ratio(s.N_zz, s.N_zz.sum(-1)[:, None], theta.A),
        rate=ratio(s.Sx, s.N_z, theta.rate),
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


def levels(centres, x):
    """Positive levels near the centres of clusters: none is 0, unless all data are."""
    return 0.9 * centres + 0.1 * x.mean(0)


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x), 3, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.3333333333333333, (3,), rng, method)),
        A=jnp.asarray(near(0.3333333333333333, (3, 3), rng, method)),
        rate=jnp.asarray(levels(centres_x, np.asarray(data.x)).reshape((3,))),
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
