# -*- coding: utf-8 -*-
"""EM for the network `random_intercept`, derived from its declaration; needs only JAX and NumPy.

for b in 1..B:                                   batch
    a[b] ~ Normal(mu, var=between)               latent
    for s in 1..S[b]:                            sample
        x[b,s] ~ Normal(a[b], var=within)        observed

E-step   V_a[b] = Cov(a[b] | x) = (1/between + Lambda_a)^-1
         d_a[b] = E[a[b] | x] - mu
M-step   mu, between, within maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 0d1a5f60.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    mu: Array  # ()
    between: Array  # ()  positive
    within: Array  # ()  positive


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (S,)
    weight: Array  # (B,)  0 for padding
    weight_sample: Array  # (S,)  0 for padding
    batch_of_sample: Array  # (S,)  row of batch


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()  ln p(x)
    N_a: Array  # ()  sum_b 1
    Sa: Array  # ()  sum_b d_a[b]
    Saa: Array  # ()  sum_b E[d_a[b]^2]
    N_x: Array  # ()  sum_b sum_s 1
    Sxx: Array  # ()  sum_b sum_s E[e_x[b,s]^2]


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[b,s] | a[b]) from what is left of its mean as (S)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.within) + jnp.square(e_x) / theta.within)


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x, weight, weight_sample, batch_of_sample = chunk
    r_x = x - theta.mu  # x less its prior mean
    # what the data say of a
    eta_a = jax.ops.segment_sum(
        weight_sample * (1 / theta.within * r_x), batch_of_sample, num_segments=len(weight)
    )
    # how many of sample in each batch
    count_sample = jax.ops.segment_sum(weight_sample, batch_of_sample, num_segments=len(weight))
    Lambda_a = count_sample * (1 / theta.within)  # and how precisely
    S_a = 1 / (1 + theta.between * Lambda_a)  # (1 + between Lambda_a)^-1, there also if between is 0
    V_a = S_a * theta.between  # Cov(a[b] | x) = (1/between + Lambda_a)^-1
    n_a = S_a * eta_a  # 1/between times what the data move a by
    d_a = theta.between * n_a  # E[a[b] | x] - mu
    m_a_in_sample = d_a[batch_of_sample]  # that of each sample's batch
    e_x = r_x - m_a_in_sample  # x less its mean, at the posterior means
    # members of sample are independent
    log_p_x_given_a_in_batch = jax.ops.segment_sum(
        weight_sample * log_likelihood_x(theta, e_x), batch_of_sample, num_segments=len(weight)
    )
    # ln p(x[b,:]) = ln p(x, a) - ln p(a | x) at the posterior means
    log_p_x = log_p_x_given_a_in_batch - 0.5 * (n_a * d_a) + 0.5 * jnp.log(S_a)
    weight_in_sample = weight[batch_of_sample] * weight_sample  # the same for every member
    return Statistics(
        log_p=weight @ log_p_x,
        N_a=weight.sum(),
        Sa=weight @ d_a,
        Saa=jnp.einsum("b,b,b->", weight, d_a, d_a) + weight @ V_a,
        N_x=weight_in_sample.sum(),
        Sxx=jnp.einsum("s,s,s->", weight_in_sample, e_x, e_x)
        + jnp.einsum("b,b,b->", weight, count_sample, V_a),
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
    moments_a = s.N_a  # of the regressors 1
    change_a = ratio(s.Sa, moments_a, 0)  # the regression of r: what the old coefficients left
    return Parameters(
        mu=theta.mu + change_a,
        between=ratio(s.Saa - jnp.einsum(",,->", change_a, moments_a, change_a), s.N_a, theta.between),
        within=ratio(s.Sxx, s.N_x, theta.within),
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
    """The data, or fewer rows that tell the same.

    A batch enters the E-step by its count, its mean and the scatter about it: of all scatter
    one batch can be the bearer, the rows of the others stand at their means. Where many batchs
    have the same count, fewer tell the same.
    """
    x = rows_of(data, "x", float).reshape(len(data["x"]), -1)
    N, D = x.shape
    member = numbered(data.get("batch", np.zeros(N, int)), len(data.get("weights", ())))
    count = np.bincount(member)
    weights = np.asarray(data.get("weights", np.ones(len(count))), float)
    if count.min() == 0 or N <= len(count) + D:
        return data
    if np.any(np.diff(member) < 0):
        order = np.argsort(member, kind="stable")
        x, member = x[order], member[order]
    means, first = np.empty((len(count), D)), np.cumsum(count) - count
    for one in np.unique(count):  # together those that have as many rows, some at a time
        same = np.flatnonzero(count == one)
        for some in np.array_split(same, len(same) * one // 65536 + 1):
            means[some] = x[first[some][:, None] + np.arange(one)].mean(1)
    within = scatter(x, weights[member], means, member)
    if not np.isfinite(within).all() or not np.isfinite(np.square(means).sum()):
        return data
    found = []  # for each count the means, and the weight of each
    for one in np.unique(count):
        mean, weight = means[count == one], weights[count == one]
        if len(mean) > D + 1 and weight.sum() > 0:
            centre = weight @ mean / weight.sum()
            about = scatter(mean, weight, centre[None], np.zeros(len(mean), int))
            mean, weight = corners(centre, about, weight.sum())
        found.append((mean, weight, np.full(len(mean), one)))
    means, weights, count = (np.concatenate(parts) for parts in zip(*found))
    bearer = np.argmax(weights * count)
    if len(means) + D > N / 2 or weights[bearer] == 0:
        return data
    rows, each = corners(means[bearer], within / weights[bearer], count[bearer])
    others = np.arange(len(means)) != bearer
    return {
        **data,
        "x": np.concatenate([means[others], rows]).reshape(-1),
        "batch": np.concatenate([np.flatnonzero(others), np.full(len(rows), bearer)]),
        "weights": weights,
        "weights of sample": np.concatenate([count[others], each]),
    }


def alike(x, weight, weight_inner, outer):
    """The rows of x, or others that count alike and have the same mean and scatter."""
    weight = np.take_along_axis(weight, np.minimum(outer, weight.shape[1] - 1), 1) * weight_inner
    x, weight = x[weight > 0], weight[weight > 0]
    if np.all(weight == weight[0]):
        return x
    flat = x.reshape(len(x), -1).astype(float)
    mean = weight @ flat / weight.sum()
    about = scatter(flat, weight, mean[None], np.zeros(len(x), int))
    return corners(mean, about, weight.sum())[0].reshape(-1, *x.shape[1:])


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
    """Data in chunks of whole members of `batch`, about `rows` rows each; padding has weight 0."""
    data = condensed(data)
    known = len(data.get("weights", ()))
    id_batch = numbered(data.get("batch", np.zeros(len(data["x"]), int)), known)
    size_batch = max(id_batch.max() + 1, known)
    weights = np.asarray(data.get("weights", np.ones(size_batch)), dtype)
    chunks = -(-len(data["x"]) // rows)
    chunk_batch, place_batch = np.divmod(np.arange(size_batch), -(-size_batch // chunks))
    batch_of_sample = id_batch
    chunk_sample = chunk_batch[batch_of_sample]
    place_sample = position(chunk_sample)
    return Data(
        x=put(rows_of(data, "x", dtype), (chunk_sample, place_sample)),
        weight=put(weights, (chunk_batch, place_batch), 0),
        weight_sample=put(
            np.asarray(data.get("weights of sample", np.ones(len(place_sample))), dtype),
            (chunk_sample, place_sample),
            0,
        ),
        batch_of_sample=put(
            place_batch[batch_of_sample], (chunk_sample, place_sample), place_batch.max() + 1
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


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(
        alike(
            np.asarray(data.x),
            np.asarray(data.weight),
            np.asarray(data.weight_sample),
            np.asarray(data.batch_of_sample),
        ),
        1,
        rng,
        method,
    )
    return Parameters(
        mu=jnp.asarray(centres_x.reshape(())),
        between=jnp.asarray(np.square(rest_x).mean()),
        within=jnp.asarray(np.square(rest_x).mean()),
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
