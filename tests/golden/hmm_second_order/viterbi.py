# -*- coding: utf-8 -*-
"""Hard EM for the network `hmm_second_order`, derived from its declaration; needs only JAX and NumPy.

for s in 1..S:                                         sequence
    for t in 1..T[s]:                                  a chain
        z[s,t] ~ Categorical(A[z[s,t-2],z[s,t-1]])     latent; z[s,1] ~ Categorical(pi); z[s,2] ~
            Categorical(B[z[s,1]])
        x[s,t] ~ Normal(mu[z[s,t]], var=v[z[s,t]])     observed

E-step   q_z[s,t,j,k] = 1 at the most probable value, else 0
M-step   pi, B, A, mu, v maximise ln p(x, z*)

Emitted by bnlab 0.1.0 from network a52176a5.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)       sums to 1
    B: Array  # (K, K)     rows sum to 1
    A: Array  # (K, L, K)  rows sum to 1
    mu: Array  # (K,)
    v: Array  # (K,)       positive


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (T, S)
    weight: Array  # (S,)    0 for padding
    mask_t: Array  # (T, S)  False past the end


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()         ln p(x, z*) at the most probable z*
    N_first: Array  # (K,)       sum_s q_z[s,1,k]
    N_second: Array  # (K, K)     sum_s P(z[s,t-1]=j, z[s,t]=k | x), t=2
    N_zzz: Array  # (K, K, K)  sum_s sum_t P(z[s,t-2]=i, z[s,t-1]=j, z[s,t]=k | x)
    N_z: Array  # (K,)       sum_s sum_t q_z[s,t,k]
    Sx: Array  # (K,)       sum_s sum_t q_z[s,t,k] r[s,t]
    Sxx: Array  # (K,)       sum_s sum_t q_z[s,t,k] r[s,t]^2


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
    """ln p(x[s,t] | z[s,t]=k) as (T, S, K)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.v) + jnp.square(x[..., None] - theta.mu) / theta.v)


def forward(theta: Parameters, log_b: Array, mask_t: Array) -> tuple[Array, Array]:
    """ln alpha as (T, S, K, K) and ln c as (T, S), with maxima for sums.
    Before the first step there is nothing: state 0 stands for it.
    """

    def step(log_predicted, inputs):
        t, log_b_t, on = inputs
        log_joint = log_predicted + log_b_t[:, None]
        log_c_t = jnp.where(on, log_joint.max((-2, -1)), 0)
        log_alpha_t = log_joint - jnp.where(log_c_t > -jnp.inf, log_c_t, 0)[:, None, None]
        moves = jnp.where(t == 0, theta.B, theta.A)  # into step t+1
        return (log_alpha_t[..., None] + jnp.log(moves)).max(1), (log_alpha_t, log_c_t)

    log_alpha, log_c = jax.lax.scan(
        step,
        jnp.broadcast_to(
            jnp.log(theta.pi) + jnp.log(jax.nn.one_hot(0, 2))[:, None], (log_b[0].shape[0], 2, 2)
        ),
        (jnp.arange(len(log_b)), log_b, mask_t),
    )[1]
    return log_alpha, log_c


def backward(theta: Parameters, log_alpha: Array, weight: Array, mask_t: Array) -> tuple[Array, Array, Array]:
    """The most probable states as (T, S, K, K), and of neighbouring steps, summed."""

    def step(carry, inputs):
        q_t, pairs_z_step_2, pairs_z = carry
        log_alpha_before, t, on = inputs
        moves = jnp.where(t == 1, theta.B, theta.A)  # into step t
        log_pair = log_alpha_before[..., None] + jnp.log(moves)
        # P(states at t-1 and t | data)
        q_pair = jnp.where(on[:, None, None, None], hardmax(log_pair, 1) * q_t[:, None], 0)
        return (
            jnp.where(
                on[:, None, None], q_pair.sum(-1), hardmax(log_alpha_before, (-2, -1)) * weight[:, None, None]
            ),
            pairs_z_step_2 + jnp.where(t == 1, q_pair.sum((0, 1)), 0),
            pairs_z + jnp.where(t > 1, q_pair.sum(0), 0),
        ), q_t

    (q_first, all_pairs_z_step_2, all_pairs_z), q_later = jax.lax.scan(
        step,
        (
            hardmax(log_alpha[-1], (-2, -1)) * weight[:, None, None],
            jnp.zeros(theta.B.shape),
            jnp.zeros(theta.A.shape),
        ),
        (log_alpha[:-1], jnp.arange(len(log_alpha))[1:], mask_t[1:]),
        reverse=True,
    )
    return jnp.concatenate([q_first[None], q_later]), all_pairs_z_step_2, all_pairs_z


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, at the most probable value of the latents."""
    x, weight, mask_t = chunk
    log_b = log_likelihood_x(theta, x)  # ln p(x[s,t] | z[s,t]=k)
    log_alpha, log_c = forward(theta, log_b, mask_t)
    log_p_x_in_chain = jnp.where(mask_t, log_c, 0).sum(0)  # ln p(x[s,:])
    q_z, pairs_z_step_2, pairs_z = backward(theta, log_alpha, weight, mask_t)  # P(z[s,t]=k | x)
    q_z_on = jnp.where(mask_t[..., None], q_z.sum(2), 0)  # nothing past the end of a sequence
    r = x - theta.mu.mean()  # data far from 0 lose no digits
    return Statistics(
        log_p=weight @ log_p_x_in_chain,
        N_first=q_z_on[0].sum(0),
        N_second=pairs_z_step_2,
        N_zzz=pairs_z,
        N_z=q_z_on.sum((0, 1)),
        Sx=jnp.einsum("tsk,ts->k", q_z_on, r),
        Sxx=jnp.einsum("tsk,ts,ts->k", q_z_on, r, r),
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
    origin = theta.mu.mean()
    mean = ratio(s.Sx, s.N_z, theta.mu - origin)
    return Parameters(
        pi=ratio(s.N_first, s.N_first.sum(), theta.pi),
        B=ratio(s.N_second, s.N_second.sum(-1)[:, None], theta.B),
        A=ratio(s.N_zzz, s.N_zzz.sum(-1)[..., None], theta.A),
        mu=mean + origin,
        v=ratio(s.Sxx - jnp.einsum("k,k,k->k", s.N_z, mean, mean), s.N_z, theta.v),
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
        x=put(rows_of(data, "x", dtype), (chunk_sequence[id_sequence], step, place_sequence[id_sequence])),
        weight=put(weights, (chunk_sequence, place_sequence), 0),
        mask_t=put(
            np.ones(len(step), bool), (chunk_sequence[id_sequence], step, place_sequence[id_sequence]), False
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
    centres_x, rest_x = cluster(np.asarray(data.x)[np.asarray(data.mask_t)], 2, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        B=jnp.asarray(near(0.5, (2, 2), rng, method)),
        A=jnp.asarray(near(0.5, (2, 2, 2), rng, method)),
        mu=jnp.asarray(centres_x.reshape((2,))),
        v=jnp.asarray(np.broadcast_to(np.square(rest_x).mean(), (2,))),
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
