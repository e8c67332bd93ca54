# -*- coding: utf-8 -*-
"""Hard EM for the network `mixture_plda`, derived from its declaration; needs only JAX and NumPy.

for s in 1..S:                                      speaker
    c[s] ~ Categorical(pi)                          latent
    z[s] ~ Normal(mu[c[s]], cov=Sigma_ac[c[s]])     latent
    for u in 1..U[s]:                               utterance
        x[s,u] ~ Normal(z[s], cov=Sigma_wc)         observed

E-step   V_z[s,k,d,e] = Cov(z[s] | x, c) = (Sigma_ac^-1 + count_utterance Sigma_wc^-1)^-1
         d_z[s,k,d] = E[z[s] | x, c] - mu
         q_c[s,k] = 1 at the most probable value, else 0
M-step   pi, Sigma_wc, mu, Sigma_ac maximise ln p(x, z*)

Emitted by bnlab 0.1.0 from network ea6cdc10.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)       sums to 1
    Sigma_wc: Array  # (G, G)     positive definite
    mu: Array  # (K, D)
    Sigma_ac: Array  # (K, D, D)  positive definite


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (U, G)
    weight: Array  # (S,)    0 for padding
    weight_utterance: Array  # (U,)    0 for padding
    speaker_of_utterance: Array  # (U,)    row of speaker


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()         ln p(x, z*) at the most probable z*
    N_c: Array  # (K,)       sum_s q_c[s,k]
    Sz: Array  # (K, D)     sum_s q_c[s,k] d_z[s]
    Szz: Array  # (K, D, D)  sum_s q_c[s,k] E[d_z[s] d_z[s]']
    N_x: Array  # ()         sum_s sum_u 1
    Sxx: Array  # (G, G)     sum_s sum_u E[e_x[s,u] e_x[s,u]']


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


def hardmax(x, axis):
    """1 at the first maximum over an axis (or several together), else 0."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    last = tuple(range(-len(axes), 0))
    moved = jnp.moveaxis(x, axes, last)
    flat = moved.reshape(*moved.shape[: -len(axes)], -1)
    ones = jax.nn.one_hot(flat.argmax(-1), flat.shape[-1])
    return jnp.moveaxis(ones.reshape(moved.shape), last, axes)


def symmetric(S):
    """S without the asymmetry that rounding leaves, of which iterations would make more and more."""
    return (S + jnp.swapaxes(S, -1, -2)) / 2


def products_of_rows(w, a, b):
    """The sum of w a b' over all rows, as one product of matrices."""
    return a.reshape(-1, a.shape[-1]).T @ (w[..., None] * b).reshape(-1, b.shape[-1])


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[s,u] | z[s]) from what is left of its mean as (U, K)."""
    L = jnp.linalg.cholesky(theta.Sigma_wc)
    whiten = inverse_lower(L)
    y = e_x @ whiten.T  # L^-1 (x - mean)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (4 * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, at the most probable value of the latents."""
    x, weight, weight_utterance, speaker_of_utterance = chunk
    r_x = x[:, None] - theta.mu  # x less its prior mean
    J_x = jnp.linalg.inv(theta.Sigma_wc)  # Sigma_wc^-1
    # what the data say of z
    eta_z = jax.ops.segment_sum(r_x, speaker_of_utterance, num_segments=len(weight)) @ J_x
    # how many of utterance in each speaker
    count_utterance = jax.ops.segment_sum(weight_utterance, speaker_of_utterance, num_segments=len(weight))
    Lambda_z = count_utterance[:, None, None] * J_x  # and how precisely
    # (I + Sigma_ac Lambda_z)^-1, there also if Sigma_ac is singular
    S_z = jnp.linalg.inv(jnp.eye(4) + jnp.einsum("kdf,sfe->skde", theta.Sigma_ac, Lambda_z))
    # Cov(z[s] | x, c) = (Sigma_ac^-1 + count_utterance Sigma_wc^-1)^-1
    V_z = jnp.einsum("skdf,kfe->skde", S_z, theta.Sigma_ac)
    n_z = jnp.einsum("skfd,skf->skd", S_z, eta_z)  # Sigma_ac^-1 times what the data move z by
    d_z = jnp.einsum("kdf,skf->skd", theta.Sigma_ac, n_z)  # E[z[s] | x, c] - mu
    m_z_in_utterance = d_z[speaker_of_utterance]  # that of each utterance's speaker
    e_x = r_x - m_z_in_utterance  # x less its mean, at the posterior means
    # members of utterance are independent
    log_p_x_given_z_in_speaker = jax.ops.segment_sum(
        log_likelihood_x(theta, e_x), speaker_of_utterance, num_segments=len(weight)
    )
    # ln p(x[s,:] | c[s]=k) = ln p(x, z) - ln p(z | x) at the posterior means
    log_p_x_given_c = (
        log_p_x_given_z_in_speaker
        - 0.5 * jnp.einsum("skd,skd->sk", n_z, d_z)
        + 0.5 * jnp.linalg.slogdet(S_z)[1]
    )
    log_p_xc = jnp.log(theta.pi) + log_p_x_given_c  # ln p(x[s,:], c[s]=k)
    log_p_x = log_p_xc.max(-1)  # ln p(x[s,:]): maximises over c
    q_c = hardmax(log_p_xc, -1) * weight[:, None]  # P(c[s]=k | x)
    # the same for every member
    weight_in_utterance = q_c[speaker_of_utterance] * weight_utterance[:, None]
    return Statistics(
        log_p=weight @ log_p_x,
        N_c=q_c.sum(0),
        Sz=jnp.einsum("sk,skd->kd", q_c, d_z),
        Szz=jnp.einsum("sk,skd,ske->kde", q_c, d_z, d_z) + jnp.einsum("sk,skde->kde", q_c, V_z),
        N_x=weight_in_utterance.sum(),
        Sxx=products_of_rows(weight_in_utterance, e_x, e_x)
        + jnp.einsum("sk,s,skgh->gh", q_c, count_utterance, V_z),
    )


@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data, chunk by chunk: memory is that of one chunk."""
    zero = jax.eval_shape(expect, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, expect(theta, chunk)), None

    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]


def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x, z* | theta) at the most probable z*."""
    return e_step(theta, data).log_p


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Parameters:
    """The parameters that maximise Q."""
    s = statistics
    moments_z = s.N_c  # of the regressors 1
    change_z = ratio(s.Sz, moments_z[:, None], 0)  # the regression of r: what the old coefficients left
    return Parameters(
        pi=ratio(s.N_c, s.N_c.sum(), theta.pi),
        Sigma_wc=symmetric(ratio(s.Sxx, s.N_x, theta.Sigma_wc)),
        mu=theta.mu + change_z,
        Sigma_ac=symmetric(
            ratio(
                s.Szz - jnp.einsum("kd,k,ke->kde", change_z, moments_z, change_z),
                s.N_c[:, None, None],
                theta.Sigma_ac,
            )
        ),
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


def prepare(data, dtype=float, rows=4096):
    """Data in chunks of whole members of `speaker`, about `rows` rows each; padding has weight 0."""
    known = len(data.get("weights", ()))
    id_speaker = numbered(data.get("speaker", np.zeros(len(data["x"]), int)), known)
    size_speaker = max(id_speaker.max() + 1, known)
    weights = np.asarray(data.get("weights", np.ones(size_speaker)), dtype)
    chunks = -(-len(data["x"]) // rows)
    chunk_speaker, place_speaker = np.divmod(np.arange(size_speaker), -(-size_speaker // chunks))
    speaker_of_utterance = id_speaker
    chunk_utterance = chunk_speaker[speaker_of_utterance]
    place_utterance = position(chunk_utterance)
    return Data(
        x=put(rows_of(data, "x", dtype, (4,)), (chunk_utterance, place_utterance)),
        weight=put(weights, (chunk_speaker, place_speaker), 0),
        weight_utterance=put(np.ones(len(place_utterance), dtype), (chunk_utterance, place_utterance), 0),
        speaker_of_utterance=put(
            place_speaker[speaker_of_utterance], (chunk_utterance, place_utterance), place_speaker.max() + 1
        ),
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


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x)[np.asarray(data.weight_utterance) > 0], 2, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        Sigma_wc=jnp.asarray(
            np.broadcast_to(
                rest_x.reshape(-1, 4).T @ rest_x.reshape(-1, 4) / len(rest_x.reshape(-1, 4)), (4, 4)
            )
        ),
        mu=jnp.asarray(centres_x.reshape((2, 4))),
        Sigma_ac=jnp.asarray(
            np.broadcast_to(
                rest_x.reshape(-1, 4).T @ rest_x.reshape(-1, 4) / len(rest_x.reshape(-1, 4)), (2, 4, 4)
            )
        ),
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
