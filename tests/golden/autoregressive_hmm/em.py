# -*- coding: utf-8 -*-
"""EM for the network `autoregressive_hmm`, derived from its declaration; needs only JAX and NumPy.

for t in 1..T:                                                      a chain
    z[t] ~ Categorical(A[z[t-1]])                                   latent; z[1] ~ Categorical(pi)
    x[t] ~ Normal(a[z[t]] * x[t-1] + b[z[t]], var=sigma2[z[t]])     observed; x[1] ~ Normal(level, var=1)

E-step   alpha[t] = P(z[t]=k | data[1..t])
         beta[t] = p(data[t+1..] | z[t]=k) / p(data[t+1..] | data[1..t])
         q_z[t,k] = P(z[t]=k | x)
M-step   pi, level, A, a, b, sigma2 maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 1ee4ffa2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)    sums to 1
    level: Array  # ()
    A: Array  # (K, K)  rows sum to 1
    a: Array  # (K,)
    b: Array  # (K,)
    sigma2: Array  # (K,)    positive


class Data(NamedTuple):
    """The data."""

    x: Array  # (T,)


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x)
    N_first: Array  # (K,)    q_z[1,k]
    N_zz: Array  # (K, K)  sum_t P(z[t-1]=j, z[t]=k | x)
    N_x_first: Array  # ()      1
    Sx_first: Array  # ()      r[1]
    S_x_prev_x_prev: Array  # (K,)    sum_{t>1} q_z[t,k] x[t-1]^2
    S_x_prev: Array  # (K,)    sum_{t>1} q_z[t,k] x[t-1]
    N_z: Array  # (K,)    sum_{t>1} q_z[t,k]
    S_x_x_prev: Array  # (K,)    sum_{t>1} q_z[t,k] r[t] x[t-1]
    Sx: Array  # (K,)    sum_{t>1} q_z[t,k] r[t]
    Sxx: Array  # (K,)    sum_{t>1} q_z[t,k] r[t]^2


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def solve(moments, products):
    """The x with moments x = products; where the moments are singular, of all such the one nearest to 0."""
    diagonal = jnp.diagonal(moments, axis1=-2, axis2=-1)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 0)
    scaled = scale[..., :, None] * moments * scale[..., None, :]
    smallest = jnp.finfo(moments.dtype).eps ** 0.75  # what is below is rounding of the moments
    inverse = jnp.linalg.pinv(scaled, rtol=smallest, hermitian=True)
    return scale * jnp.einsum("...pq,...q->...p", inverse, scale * products)


def reliable(c, beta):
    """Whether the scaled messages lost nothing that matters: it would take a tiny c or a huge beta."""
    limits = jnp.finfo(c.dtype)
    return (c.min() > limits.tiny ** (1 / 3)) & (beta.max() < limits.max**0.5)


def log_likelihood_x_first(theta: Parameters, x: Array) -> Array:
    """ln p(x[t]) as (T) for t = 1."""
    return -0.5 * (jnp.log(2 * jnp.pi * 1) + jnp.square(x - theta.level) / 1)


def log_likelihood_x(theta: Parameters, x_prev: Array, x: Array) -> Array:
    """ln p(x[t] | z[t]=k) as (T, K) for t > 1."""
    mean = x_prev[:, None] * theta.a + theta.b
    return -0.5 * (jnp.log(2 * jnp.pi * theta.sigma2) + jnp.square(x[:, None] - mean) / theta.sigma2)


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

    beta = jax.lax.scan(step, jnp.ones((2,)), (b, c), reverse=True)[1]
    return beta


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x = chunk.x
    # ln p(x[t] | z[t]=k)
    log_b = jnp.concatenate(
        [
            jnp.broadcast_to(log_likelihood_x_first(theta, x[:1])[:, None], (x[:1].shape[0], 2)),
            log_likelihood_x(theta, x[:-1], x[1:]),
        ]
    )
    scale = jax.lax.stop_gradient(log_b.max(-1))  # so that exp neither over- nor underflows
    b = jnp.exp(log_b - scale[:, None])
    alpha, c = forward(theta, b)
    log_p_x_in_chain = (jnp.log(c) + scale).sum()  # ln p(x[:])
    beta = backward(theta, b, c)
    q_z = alpha * beta  # P(z[t]=k | x)
    onward = beta[1:] * b[1:] * (1 / c[1:])[:, None]  # of the steps moved to
    r_first = x[:1] - theta.level  # data far from 0 lose no digits
    r = x[1:][:, None] - x[:-1][:, None] * theta.a - theta.b  # what the old coefficients leave
    safe = reliable(c, beta)  # no state was lost to underflow
    return Statistics(
        log_p=jnp.where(safe, log_p_x_in_chain, jnp.nan),
        N_first=q_z[0],
        N_zz=theta.A * jnp.einsum("tj,tk->jk", alpha[:-1], onward),
        N_x_first=q_z[:1].sum(),
        Sx_first=jnp.einsum("tk,t->", q_z[:1], r_first),
        S_x_prev_x_prev=jnp.einsum("tk,t,t->k", q_z[1:], x[:-1], x[:-1]),
        S_x_prev=x[:-1] @ q_z[1:],
        N_z=q_z[1:].sum(0),
        S_x_x_prev=jnp.einsum("tk,tk,t->k", q_z[1:], r, x[:-1]),
        Sx=jnp.einsum("tk,tk->k", q_z[1:], r),
        Sxx=jnp.einsum("tk,tk,tk->k", q_z[1:], r, r),
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
    origin_first = theta.level
    mean_first = ratio(s.Sx_first, s.N_x_first, theta.level - origin_first)
    # of the regressors x[t-1], 1
    moments = jnp.block(
        [
            [s.S_x_prev_x_prev[..., None, None], s.S_x_prev[..., None, None]],
            [s.S_x_prev[..., None, None], s.N_z[..., None, None]],
        ]
    )
    # the regression of r: what the old coefficients left
    change = solve(moments, jnp.stack([s.S_x_x_prev, s.Sx], -1))
    change_a = change[..., 0]
    change_b = change[..., 1]
    return Parameters(
        pi=ratio(s.N_first, s.N_first.sum(), theta.pi),
        level=mean_first + origin_first,
        A=ratio(s.N_zz, s.N_zz.sum(-1)[:, None], theta.A),
        a=theta.a + change_a,
        b=theta.b + change_b,
        sigma2=ratio(s.Sxx - jnp.einsum("kp,kpP,kP->k", change, moments, change), s.N_z, theta.sigma2),
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


def lines(u, y, K, rng, method):
    """K regressions (K, E, P) of y (N, E) on u (N, P), and what they leave of y: each through a few rows
    at random, then, as in k-means, through the rows that it is nearest to.
    """

    def line(rows):
        return np.linalg.lstsq(u[rows], y[rows], rcond=None)[0].T

    few, scale = min(len(y), 2 * u.shape[1]), np.maximum(y.std(0), np.finfo(float).tiny)
    found = np.stack([line(rng.choice(len(y), few, replace=False)) for _ in range(K)])
    for _ in range(1 if method == "random" else 20):
        far = np.square((y[:, None] - np.einsum("np,kep->nke", u, found)) / scale).sum(-1)
        label = far.argmin(1)
        if method != "random":
            found = np.stack([line(label == k) if (label == k).sum() >= few else found[k] for k in range(K)])
    return found, y - np.einsum("np,nep->ne", u, found[label])


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x), 1, rng, method)
    y_x = np.asarray(data.x)[1:]
    u_x = np.column_stack([np.asarray(data.x)[:-1], np.ones(len(y_x))])
    lines_x, rest_x = lines(u_x, y_x.reshape(len(y_x), -1), 2, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        level=jnp.asarray(centres_x.reshape(())),
        A=jnp.asarray(near(0.5, (2, 2), rng, method)),
        a=jnp.asarray(lines_x[..., 0:1].reshape((2,))),
        b=jnp.asarray(lines_x[..., 1:2].reshape((2,))),
        sigma2=jnp.asarray(np.broadcast_to(np.square(rest_x).mean(), (2,))),
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
