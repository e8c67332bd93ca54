# -*- coding: utf-8 -*-
"""Hard EM for the network `markov_switching_regression`, derived from its declaration; needs only JAX and
NumPy.

for t in 1..T:                                                  a chain
    u[t]                                                        given
    z[t] ~ Categorical(A[z[t-1]])                               latent; z[1] ~ Categorical(pi)
    y[t] ~ Normal(beta[z[t]] * u[t] + mu[z[t]], var=sigma2)     observed

E-step   q_z[t,k] = 1 at the most probable value, else 0
M-step   pi, sigma2, A, beta, mu maximise ln p(x, z*)

Emitted by bnlab 0.1.0 from network 57ff355d.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)    sums to 1
    sigma2: Array  # ()      positive
    A: Array  # (K, K)  rows sum to 1
    beta: Array  # (K,)
    mu: Array  # (K,)


class Data(NamedTuple):
    """The data."""

    u: Array  # (T,)
    y: Array  # (T,)


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x, z*) at the most probable z*
    N_first: Array  # (K,)    q_z[1,k]
    N_zz: Array  # (K, K)  sum_t P(z[t-1]=j, z[t]=k | y)
    Suu: Array  # (K,)    sum_t q_z[t,k] u[t]^2
    Su: Array  # (K,)    sum_t q_z[t,k] u[t]
    N_z: Array  # (K,)    sum_t q_z[t,k]
    Syu: Array  # (K,)    sum_t q_z[t,k] r[t] u[t]
    Sy: Array  # (K,)    sum_t q_z[t,k] r[t]
    Syy: Array  # ()      sum_t r[t]^2


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


def solve(moments, products):
    """The x with moments x = products; where the moments are singular, of all such the one nearest to 0."""
    diagonal = jnp.diagonal(moments, axis1=-2, axis2=-1)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 0)
    scaled = scale[..., :, None] * moments * scale[..., None, :]
    smallest = jnp.finfo(moments.dtype).eps ** 0.75  # what is below is rounding of the moments
    inverse = jnp.linalg.pinv(scaled, rtol=smallest, hermitian=True)
    return scale * jnp.einsum("...pq,...q->...p", inverse, scale * products)


def log_likelihood_y(theta: Parameters, u: Array, y: Array) -> Array:
    """ln p(y[t] | z[t]=k) as (T, K)."""
    mean = u[:, None] * theta.beta + theta.mu
    return -0.5 * (jnp.log(2 * jnp.pi * theta.sigma2) + jnp.square(y[:, None] - mean) / theta.sigma2)


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
    u, y = chunk
    log_b = log_likelihood_y(theta, u, y)  # ln p(y[t] | z[t]=k)
    log_alpha, log_c = forward(theta, log_b)
    log_p_y_in_chain = log_c.sum()  # ln p(y[:])
    q_z, pairs_z = backward(theta, log_alpha)  # P(z[t]=k | y)
    r = y[:, None] - u[:, None] * theta.beta - theta.mu  # what the old coefficients leave
    return Statistics(
        log_p=log_p_y_in_chain,
        N_first=q_z[0],
        N_zz=pairs_z,
        Suu=jnp.einsum("tk,t,t->k", q_z, u, u),
        Su=u @ q_z,
        N_z=q_z.sum(0),
        Syu=jnp.einsum("tk,tk,t->k", q_z, r, u),
        Sy=jnp.einsum("tk,tk->k", q_z, r),
        Syy=jnp.einsum("tk,tk,tk->", q_z, r, r),
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
    # of the regressors u[t], 1
    moments = jnp.block(
        [[s.Suu[..., None, None], s.Su[..., None, None]], [s.Su[..., None, None], s.N_z[..., None, None]]]
    )
    # the regression of r: what the old coefficients left
    change = solve(moments, jnp.stack([s.Syu, s.Sy], -1))
    change_beta = change[..., 0]
    change_mu = change[..., 1]
    return Parameters(
        pi=ratio(s.N_first, s.N_first.sum(), theta.pi),
        sigma2=ratio(s.Syy - jnp.einsum("kp,kpP,kP->", change, moments, change), s.N_z.sum(), theta.sigma2),
        A=ratio(s.N_zz, s.N_zz.sum(-1)[:, None], theta.A),
        beta=theta.beta + change_beta,
        mu=theta.mu + change_mu,
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
    return Data(u=jnp.asarray(rows_of(data, "u", dtype)), y=jnp.asarray(rows_of(data, "y", dtype)))


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
    y_y = np.asarray(data.y)
    u_y = np.column_stack([np.asarray(data.u), np.ones(len(y_y))])
    lines_y, rest_y = lines(u_y, y_y.reshape(len(y_y), -1), 2, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        sigma2=jnp.asarray(np.square(rest_y).mean()),
        A=jnp.asarray(near(0.5, (2, 2), rng, method)),
        beta=jnp.asarray(lines_y[..., 0:1].reshape((2,))),
        mu=jnp.asarray(lines_y[..., 1:2].reshape((2,))),
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
