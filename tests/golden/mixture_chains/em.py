# -*- coding: utf-8 -*-
"""EM for the network `mixture_chains`, derived from its declaration; needs only JAX and NumPy.

for s in 1..S:                                     sequence
    c[s] ~ Categorical(share)                      latent
    for t in 1..T[s]:                              a chain
        z[s,t] ~ Categorical(A[c[s],z[s,t-1]])     latent; z[s,1] ~ Categorical(pi[c[s]])
        x[s,t] ~ Categorical(B[z[s,t]])            observed

E-step   alpha[t] = P(z[t]=k | data[1..t])
         beta[t] = p(data[t+1..] | z[t]=k) / p(data[t+1..] | data[1..t])
         q_c[s,g] = P(c[s]=g | x)
         q_cz[s,t,g,k] = P(c[s]=g, z[s,t]=k | x)
M-step   share, pi, A, B maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network d347ff27.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    share: Array  # (G,)       sums to 1
    pi: Array  # (G, K)     rows sum to 1
    A: Array  # (G, K, K)  rows sum to 1
    B: Array  # (K, V)     rows sum to 1


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (T, S)
    weight: Array  # (S,)    0 for padding
    mask_t: Array  # (T, S)  False past the end


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()         ln p(x)
    N_c: Array  # (G,)       sum_s q_c[s,g]
    N_first: Array  # (G, K)     sum_s q_cz[s,1,g,k]
    N_czz: Array  # (G, K, K)  sum_s sum_t P(c[s]=g, z[s,t-1]=j, z[s,t]=k | x)
    N_zx: Array  # (K, V)     sum_s sum_t q_z[s,t,k] (x[s,t]=v)


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def reliable(c, beta):
    """Whether the scaled messages lost nothing that matters: it would take a tiny c or a huge beta."""
    limits = jnp.finfo(c.dtype)
    return (c.min() > limits.tiny ** (1 / 3)) & (beta.max() < limits.max**0.5)


def forward(theta: Parameters, b: Array, mask_t: Array) -> tuple[Array, Array]:
    """alpha[t] = P(z[t]=k | data[1..t]) as (T, S, G, K),
    and c[t] = p(data[t] | data[1..t-1]) as (T, S, G); where the mask is False the chain has ended.
    """

    def step(predicted, inputs):
        b_t, on = inputs
        joint = predicted * b_t[:, None]  # P(z[t]=k, data[t] | data[1..t-1])
        c_t = jnp.where(on[:, None], joint.sum(-1), 1)
        alpha_t = joint / c_t[..., None]
        return jnp.einsum("sgj,gjk->sgk", alpha_t, theta.A), (alpha_t, c_t)

    alpha, c = jax.lax.scan(step, jnp.broadcast_to(theta.pi, (b[0].shape[0], 2, 2)), (b, mask_t))[1]
    return alpha, c


def backward(theta: Parameters, b: Array, c: Array, mask_t: Array) -> Array:
    """beta[t] = p(data[t+1..] | z[t]=k) / p(data[t+1..] | data[1..t]) as (T, S, G, K);
    1 at the end of each sequence.
    """

    def step(beta_t, inputs):
        b_t, c_t, on = inputs
        onward = beta_t * b_t[:, None] / c_t[..., None]
        beta_before = jnp.einsum("sgk,gjk->sgj", onward, theta.A)  # of step t-1
        return jnp.where(on[:, None, None], beta_before, 1), beta_t

    beta = jax.lax.scan(step, jnp.ones((c[-1].shape[0], 2, 2)), (b, c, mask_t), reverse=True)[1]
    return beta


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x, weight, mask_t = chunk
    log_b = jnp.log(theta.B.T[x])  # ln p(x[s,t] | z[s,t]=k)
    scale = jax.lax.stop_gradient(log_b.max(-1))  # so that exp neither over- nor underflows
    b = jnp.exp(log_b - scale[..., None])
    alpha, c = forward(theta, b, mask_t)
    # ln p(x[s,:] | c[s]=g)
    log_p_x_given_c_in_chain = jnp.where(mask_t[..., None], jnp.log(c) + scale[..., None], 0).sum(0)
    log_p_xc = jnp.log(theta.share) + log_p_x_given_c_in_chain  # ln p(x[s,:], c[s]=g)
    log_p_x = logsumexp(log_p_xc, axis=-1)  # ln p(x[s,:]): sums out c
    q_c = jnp.exp(log_p_xc - log_p_x[:, None]) * weight[:, None]  # P(c[s]=g | x)
    beta = backward(theta, b, c, mask_t)
    q_cz = jnp.where(mask_t[..., None, None], alpha * beta * q_c[..., None], 0)  # P(c[s]=g, z[s,t]=k | x)
    # of the steps moved to
    onward = beta[1:] * b[1:][:, :, None] * (jnp.where(mask_t[1:][..., None], 1 / c[1:], 0) * q_c)[..., None]
    safe = reliable(c, beta)  # no state was lost to underflow
    return Statistics(
        log_p=jnp.where(safe, weight @ log_p_x, jnp.nan),
        N_c=q_c.sum(0),
        N_first=q_cz[0].sum(0),
        N_czz=theta.A * jnp.einsum("tsgj,tsgk->gjk", alpha[:-1], onward),
        N_zx=jnp.einsum("tsgk,tsv->kv", q_cz, jax.nn.one_hot(x, 3)),
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
        share=ratio(s.N_c, s.N_c.sum(), theta.share),
        pi=ratio(s.N_first, s.N_first.sum(-1)[:, None], theta.pi),
        A=ratio(s.N_czz, s.N_czz.sum(-1)[..., None], theta.A),
        B=ratio(s.N_zx, s.N_zx.sum(-1)[:, None], theta.B),
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


def position(group):
    """For each element of `group` how many equal ones stand before it."""
    order = np.argsort(group, kind="stable")
    _, first, count = np.unique(group, return_index=True, return_counts=True)
    rank = np.empty(len(group), int)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(count) - count, count)
    return rank


def numbered(ids, size=0, outer=None):
    """Ids (of members within `outer`) as numbers from 0: themselves where they are, else by first appearance.

    Numbers below `size` are those of members, also if some of these have no rows.
    """
    ids = np.asarray(ids)
    found, at = np.unique(ids, return_inverse=True)
    pairs = at if outer is None else outer * len(found) + at
    members, first, at = np.unique(pairs, return_index=True, return_inverse=True)
    if (
        ids.dtype.kind in "iu"
        and len(members) == len(found)
        and 0 <= found[0]
        and found[-1] < max(len(found), size)
    ):
        return ids
    return np.argsort(np.argsort(first))[at]


def prepare(data, dtype=float, rows=65536):
    """Data in chunks of whole members of `sequence`, about `rows` rows each; padding has weight 0."""
    known = len(data.get("weights", ()))
    id_sequence = numbered(data.get("sequence", np.zeros(len(data["x"]), int)), known)
    size_sequence = max(id_sequence.max() + 1, known)
    weights = np.asarray(data.get("weights", np.ones(size_sequence)), dtype)
    chunks = -(-len(data["x"]) // rows)
    chunk_sequence, place_sequence = np.divmod(np.arange(size_sequence), -(-size_sequence // chunks))
    step = position(id_sequence)
    return Data(
        x=put(
            rows_of(data, "x", int, states=3),
            (chunk_sequence[id_sequence], step, place_sequence[id_sequence]),
        ),
        weight=put(weights, (chunk_sequence, place_sequence), 0),
        mask_t=put(
            np.ones(len(step), bool), (chunk_sequence[id_sequence], step, place_sequence[id_sequence]), False
        ),
    )


def frequencies(x, weight, size):
    """How frequent each category is in rows that have a weight, where each was seen once more."""
    x = np.asarray(x)[np.asarray(weight) > 0]
    counts = np.bincount(x.ravel(), minlength=size) + 1.0
    return counts / counts.sum()


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    return Parameters(
        share=jnp.asarray(near(0.5, (2,), rng, method)),
        pi=jnp.asarray(near(0.5, (2, 2), rng, method)),
        A=jnp.asarray(near(0.5, (2, 2, 2), rng, method)),
        B=jnp.asarray(near(frequencies(data.x, data.mask_t, 3), (2, 3), rng, method)),
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
