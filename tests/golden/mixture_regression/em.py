# -*- coding: utf-8 -*-
"""EM for the network `mixture_regression`, derived from its declaration; needs only JAX and NumPy.

for n in 1..N:
    u[n]                                                          given
    z[n] ~ Categorical(pi)                                        latent
    y[n] ~ Normal(w[z[n]] @ u[n] + b[z[n]], var=sigma2[z[n]])     observed

E-step   q_z[n,k] = P(z[n]=k | y)
M-step   pi, w, b, sigma2 maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network b16cf8ea.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)    sums to 1
    w: Array  # (K, D)
    b: Array  # (K,)
    sigma2: Array  # (K,)    positive


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    u: Array  # (N, D)
    y: Array  # (N,)
    weight: Array  # (N,)    0 for padding


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()         ln p(x)
    N_z: Array  # (K,)       sum_n q_z[n,k]
    Suu: Array  # (K, D, D)  sum_n q_z[n,k] u[n] u[n]'
    Su: Array  # (K, D)     sum_n q_z[n,k] u[n]
    Syu: Array  # (K, D)     sum_n q_z[n,k] r[n] u[n]
    Sy: Array  # (K,)       sum_n q_z[n,k] r[n]
    Syy: Array  # (K,)       sum_n q_z[n,k] r[n]^2


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


def log_likelihood_y(theta: Parameters, u: Array, y: Array) -> Array:
    """ln p(y[n] | z[n]=k) as (N, K)."""
    mean = u @ theta.w.T + theta.b
    return -0.5 * (jnp.log(2 * jnp.pi * theta.sigma2) + jnp.square(y[:, None] - mean) / theta.sigma2)


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    u, y, weight = chunk
    log_p_yz = jnp.log(theta.pi) + log_likelihood_y(theta, u, y)  # ln p(y[n], z[n]=k)
    log_p_y = logsumexp(log_p_yz, axis=-1)  # ln p(y[n]): sums out z
    q_z = jnp.exp(log_p_yz - log_p_y[:, None]) * weight[:, None]  # P(z[n]=k | y)
    r = y[:, None] - u @ theta.w.T - theta.b  # what the old coefficients leave
    return Statistics(
        log_p=weight @ log_p_y,
        N_z=q_z.sum(0),
        Suu=jnp.einsum("nk,nd,ne->kde", q_z, u, u),
        Su=jnp.einsum("nk,nd->kd", q_z, u),
        Syu=jnp.einsum("nk,nk,nd->kd", q_z, r, u),
        Sy=jnp.einsum("nk,nk->k", q_z, r),
        Syy=jnp.einsum("nk,nk,nk->k", q_z, r, r),
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
    # of the regressors u[n], 1
    moments = jnp.block([[s.Suu, s.Su[..., :, None]], [s.Su[..., None, :], s.N_z[..., None, None]]])
    # the regression of r: what the old coefficients left
    change = solve(moments, jnp.concatenate([s.Syu, s.Sy[..., None]], -1))
    change_w = change[..., :2]
    change_b = change[..., 2]
    return Parameters(
        pi=ratio(s.N_z, s.N_z.sum(), theta.pi),
        w=theta.w + change_w,
        b=theta.b + change_b,
        sigma2=ratio(s.Syy - jnp.einsum("kp,kpP,kP->k", change, moments, change), s.N_z, theta.sigma2),
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
    N = len(data["u"])
    weights = np.asarray(data.get("weights", np.ones(N)), dtype)
    chunks = -(-N // rows)
    chunk_n, place_n = np.divmod(np.arange(N), -(-N // chunks))
    return Data(
        u=put(rows_of(data, "u", dtype, (2,)), (chunk_n, place_n)),
        y=put(rows_of(data, "y", dtype), (chunk_n, place_n)),
        weight=put(weights, (chunk_n, place_n), 0),
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
    y_y = np.asarray(data.y)[np.asarray(data.weight) > 0]
    u_y = np.column_stack([np.asarray(data.u)[np.asarray(data.weight) > 0], np.ones(len(y_y))])
    lines_y, rest_y = lines(u_y, y_y.reshape(len(y_y), -1), 2, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        w=jnp.asarray(lines_y[..., 0:2].reshape((2, 2))),
        b=jnp.asarray(lines_y[..., 2:3].reshape((2,))),
        sigma2=jnp.asarray(np.broadcast_to(np.square(rest_y).mean(), (2,))),
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
