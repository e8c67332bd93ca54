# -*- coding: utf-8 -*-
"""EM for the network `factor_analysis`, derived from its declaration; needs only JAX and NumPy.

for n in 1..N:
    y[n] ~ Normal(zeros(1), cov=eye(1))          latent
    x[n] ~ Normal(W @ y[n] + mu, var=psi)        observed

E-step   V_y[d,e] = Cov(y[n] | x) = (I + Lambda_y)^-1
         d_y[n,d] = E[y[n] | x]
M-step   mu, W, psi maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 71f72387.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    mu: Array  # (G,)
    W: Array  # (G, D)
    psi: Array  # (G,)    positive


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (N, G)
    weight: Array  # (N,)    0 for padding


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x)
    Syy: Array  # (D, D)  sum_n E[y[n] y[n]']
    Sy: Array  # (D,)    sum_n y[n]
    N_x: Array  # ()      sum_n 1
    Sxy: Array  # (G, D)  sum_n E[e_x[n] y[n]']
    Sx: Array  # (G,)    sum_n e_x[n]
    Sxx: Array  # (G,)    sum_n E[e_x[n]^2]


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


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[n] | y[n]) from what is left of its mean as (N)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.psi).sum() + (jnp.square(e_x) / theta.psi).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x, weight = chunk
    r_x = x - theta.mu  # x less its prior mean
    eta_y = 1 / theta.psi * r_x @ theta.W  # what the data say of y
    Lambda_y = jnp.einsum("gd,g,ge->de", theta.W, 1 / theta.psi, theta.W)  # and how precisely
    V_y = jnp.linalg.inv(jnp.eye(1) + Lambda_y)  # Cov(y[n] | x) = (I + Lambda_y)^-1
    d_y = eta_y @ V_y  # E[y[n] | x]
    e_x = r_x - d_y @ theta.W.T  # x less its mean, at the posterior means
    # ln p(x[n]) = ln p(x, y) - ln p(y | x) at the posterior means
    log_p_x = (
        log_likelihood_x(theta, e_x)
        - 0.5 * jnp.einsum("nd,nd->n", d_y, d_y)
        + 0.5 * jnp.linalg.slogdet(V_y)[1]
    )
    return Statistics(
        log_p=weight @ log_p_x,
        Syy=jnp.einsum("n,nd,ne->de", weight, d_y, d_y) + jnp.einsum("n,de->de", weight, V_y),
        Sy=weight @ d_y,
        N_x=weight.sum(),
        Sxy=jnp.einsum("n,ng,nd->gd", weight, e_x, d_y) - jnp.einsum("n,gf,fd->gd", weight, theta.W, V_y),
        Sx=weight @ e_x,
        Sxx=jnp.einsum("n,ng,ng->g", weight, e_x, e_x)
        + jnp.einsum("n,gf,fe,ge->g", weight, theta.W, V_y, theta.W),
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
    moments_x = jnp.block([[s.Syy, s.Sy[:, None]], [s.Sy, s.N_x]])  # of the regressors y[n], 1
    # the regression of r: what the old coefficients left
    change_x = solve(moments_x, jnp.concatenate([s.Sxy, s.Sx[..., None]], -1))
    change_W = change_x[..., :1]
    change_mu = change_x[..., 1]
    return Parameters(
        mu=theta.mu + change_mu,
        W=theta.W + change_W,
        psi=ratio(s.Sxx - jnp.einsum("gp,pP,gP->g", change_x, moments_x, change_x), s.N_x, theta.psi),
    )


def corners(mean, scatter, count):
    """D + 1 rows, and the weight of each, with that count, that mean, and that scatter (D, D) about it."""
    size = len(mean) + 1
    scale = np.sqrt(np.diagonal(scatter))
    scale = np.where(scale > 0, scale, 1)
    variances, directions = np.linalg.eigh(scatter / np.outer(scale, scale))
    root = scale[:, None] * directions * np.sqrt(np.maximum(variances, 0))
    mirror = np.eye(size)[0] - 1 / np.sqrt(size)
    simplex = np.eye(size) - 2 * np.outer(mirror, mirror) / (mirror @ mirror)
    # its columns but the first have mean 0 and scatter I
    return mean + np.sqrt(size / count) * simplex[:, 1:] @ root.T, np.full(size, count / size)


def scatter(x, weights, means, group):
    """The sum over n of weights[n] r r' with r = x[n] - means[group[n]], some rows at a time."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for rows in (slice(start, start + 4096) for start in range(0, len(x), 4096)):
        r = x[rows] - means[group[rows]]
        r *= np.sqrt(weights[rows])[:, None]
        with np.errstate(over="ignore", invalid="ignore"):  # whoever reads it looks whether it is finite
            total += r.T @ r
    return total


def condensed(data):
    """The data, or fewer rows that tell the same: the E-step reads their count, sum and scatter alone."""
    x = rows_of(data, "x", float, (4,))
    N, D = x.shape
    if N <= 2 * (D + 1):
        return data
    weights = np.asarray(data.get("weights", np.ones(N)), float)
    mean = weights @ x / weights.sum()
    about = scatter(x, weights, mean[None], np.zeros(N, int))
    if not np.isfinite(about).all():
        return data
    rows, weights = corners(mean, about, weights.sum())
    return {**data, "x": rows, "weights": weights}


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
    data = condensed(data)
    N = len(data["x"])
    weights = np.asarray(data.get("weights", np.ones(N)), dtype)
    chunks = -(-N // rows)
    chunk_n, place_n = np.divmod(np.arange(N), -(-N // chunks))
    return Data(
        x=put(rows_of(data, "x", dtype, (4,)), (chunk_n, place_n)), weight=put(weights, (chunk_n, place_n), 0)
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
    centres_x, rest_x = cluster(np.asarray(data.x)[np.asarray(data.weight) > 0], 1, rng, method)
    return Parameters(
        mu=jnp.asarray(centres_x.reshape((4,))),
        W=jnp.asarray(rng.normal(size=(4, 1)) * rest_x.std()),
        psi=jnp.asarray(np.broadcast_to(np.square(rest_x.reshape(-1, 4)).mean(0), (4,))),
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
