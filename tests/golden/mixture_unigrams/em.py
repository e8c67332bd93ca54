# -*- coding: utf-8 -*-
"""EM for the network `mixture_unigrams`, derived from its declaration; needs only JAX and NumPy.

for d in 1..D:
    z[d] ~ Categorical(pi)                       latent
    x[d] ~ Multinomial(word[z[d]])               observed

E-step   q_z[d,k] = P(z[d]=k | x)
M-step   pi, word maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 1cd78fad.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln, logsumexp

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)    sums to 1
    word: Array  # (K, E)  rows sum to 1


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (D, E)
    weight: Array  # (D,)    0 for padding


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x)
    N_z: Array  # (K,)    sum_d q_z[d,k]
    Sx: Array  # (K, E)  sum_d q_z[d,k] x[d]


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def log_likelihood_x(theta: Parameters, x: Array) -> Array:
    """ln p(x[d] | z[d]=k) as (D, K)."""
    possible = theta.word > 0
    log_probs = jnp.log(jnp.where(possible, theta.word, 1))
    never = x @ jnp.where(possible, 0, 1).T  # how often something happened whose probability is 0
    log_ways = gammaln(x.sum(-1) + 1) - gammaln(x + 1).sum(-1)
    return jnp.where(never > 0, -jnp.inf, x @ log_probs.T + log_ways[:, None])


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x, weight = chunk
    log_p_xz = jnp.log(theta.pi) + log_likelihood_x(theta, x)  # ln p(x[d], z[d]=k)
    log_p_x = logsumexp(log_p_xz, axis=-1)  # ln p(x[d]): sums out z
    q_z = jnp.exp(log_p_xz - log_p_x[:, None]) * weight[:, None]  # P(z[d]=k | x)
    return Statistics(log_p=weight @ log_p_x, N_z=q_z.sum(0), Sx=jnp.einsum("dk,de->ke", q_z, x))


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
        pi=ratio(s.N_z, s.N_z.sum(), theta.pi), word=ratio(s.Sx, s.Sx.sum(-1)[:, None], theta.word)
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
    """Data in chunks of whole members of `d`, about `rows` rows each; padding has weight 0."""
    N = len(data["x"])
    weights = np.asarray(data.get("weights", np.ones(N)), dtype)
    chunks = -(-N // rows)
    chunk_d, place_d = np.divmod(np.arange(N), -(-N // chunks))
    return Data(
        x=put(rows_of(data, "x", dtype, (6,)), (chunk_d, place_d)), weight=put(weights, (chunk_d, place_d), 0)
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


def levels(centres, x):
    """Positive levels near the centres of clusters: none is 0, unless all data are."""
    return 0.9 * centres + 0.1 * x.mean(0)


def shares(x):
    """Rows of counts as parts of their sum; equal ones where nothing was counted."""
    total = x.sum(-1, keepdims=True)
    return np.where(total > 0, x, 1) / np.where(total > 0, total, x.shape[-1])


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(shares(np.asarray(data.x)[np.asarray(data.weight) > 0]), 2, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        word=jnp.asarray(
            shares(
                levels(centres_x, shares(np.asarray(data.x)[np.asarray(data.weight) > 0])).reshape((2, 6))
                + 0.017
            )
        ),
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
