# -*- coding: utf-8 -*-
"""EM for the network `latent_class`, derived from its declaration; needs only JAX and NumPy.

for n in 1..N:
    z[n] ~ Categorical(pi)                       latent
    for i in 1..4:                               item
        x[n,i] ~ Bernoulli(theta[z[n],i])        observed

E-step   q_z[n,k] = P(z[n]=k | x)
M-step   pi, theta maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 6ffee0fd.
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
    theta: Array  # (K, I)  between 0 and 1


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (N, I)
    weight: Array  # (N,)    0 for padding


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()         ln p(x)
    N_z: Array  # (K,)       sum_n q_z[n,k]
    N_z_item_x: Array  # (K, I, V)  sum_n q_z[n,k] (x[n,i]=v)


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


def log_likelihood_x(theta: Parameters, x: Array) -> Array:
    """ln p(x[n,i] | z[n]=k) as (N, I, K)."""
    return log(jnp.where((x > 0)[..., None], theta.theta.T, 1 - theta.theta.T))


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x, weight = chunk
    log_p_x_given_z = log_likelihood_x(theta, x)  # ln p(x[n,i] | z[n]=k)
    # ln p(x[n,:] | z[n]=k): members of item are independent
    log_p_x_given_z_in_n = log_p_x_given_z.sum(1)
    log_p_xz = jnp.log(theta.pi) + log_p_x_given_z_in_n  # ln p(x[n,:], z[n]=k)
    log_p_x = logsumexp(log_p_xz, axis=-1)  # ln p(x[n,:]): sums out z
    q_z = jnp.exp(log_p_xz - log_p_x[:, None]) * weight[:, None]  # P(z[n]=k | x)
    return Statistics(
        log_p=weight @ log_p_x,
        N_z=q_z.sum(0),
        N_z_item_x=jnp.einsum("nk,niv->kiv", q_z, jax.nn.one_hot(x, 2)),
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
    return Parameters(
        pi=ratio(s.N_z, s.N_z.sum(), theta.pi),
        theta=ratio(jnp.moveaxis(s.N_z_item_x, 2, 0)[1], s.N_z_item_x.sum(-1), theta.theta),
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
        x=put(rows_of(data, "x", int, (4,), states=2), (chunk_n, place_n)),
        weight=put(weights, (chunk_n, place_n), 0),
    )


def zeros_and_ones(x, weight):
    """The frequencies of 0 and 1 in rows that have a weight, where each was seen once more."""
    x = np.asarray(x)[np.asarray(weight) > 0]
    ones = (x.sum() + 1) / (x.size + 2)
    return np.array([1 - ones, ones])


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        theta=jnp.asarray(near(zeros_and_ones(data.x, data.weight), (2, 4, 2), rng, method)[..., 1]),
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
