# -*- coding: utf-8 -*-
"""EM for the network `plda_subspace`, derived from its declaration; needs only JAX and NumPy.

for s in 1..S:                                        speaker
    y[s] ~ Normal(zeros(2), cov=eye(2))               latent
    for u in 1..U[s]:                                 utterance
        x[s,u] ~ Normal(V @ y[s] + mu, cov=Sigma)     observed

E-step   V_y[s,d,e] = Cov(y[s] | x) = (I + Lambda_y)^-1
         d_y[s,d] = E[y[s] | x]
M-step   mu, V, Sigma maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 9d9147c2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    mu: Array  # (G,)
    V: Array  # (G, D)
    Sigma: Array  # (G, G)  positive definite


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (U, G)
    weight: Array  # (S,)    0 for padding
    weight_utterance: Array  # (U,)    0 for padding
    speaker_of_utterance: Array  # (U,)    row of speaker


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x)
    Syy: Array  # (D, D)  sum_s sum_u E[y[s] y[s]']
    Sy: Array  # (D,)    sum_s sum_u y[s]
    N_x: Array  # ()      sum_s sum_u 1
    Sxy: Array  # (G, D)  sum_s sum_u E[e_x[s,u] y[s]']
    Sx: Array  # (G,)    sum_s sum_u e_x[s,u]
    Sxx: Array  # (G, G)  sum_s sum_u E[e_x[s,u] e_x[s,u]']


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


def solve(moments, products):
    """The x with moments x = products; where the moments are singular, of all such the one nearest to 0."""
    diagonal = jnp.diagonal(moments, axis1=-2, axis2=-1)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 0)
    scaled = scale[..., :, None] * moments * scale[..., None, :]
    smallest = jnp.finfo(moments.dtype).eps ** 0.75  # what is below is rounding of the moments
    inverse = jnp.linalg.pinv(scaled, rtol=smallest, hermitian=True)
    return scale * jnp.einsum("...pq,...q->...p", inverse, scale * products)


def symmetric(S):
    """S without the asymmetry that rounding leaves, of which iterations would make more and more."""
    return (S + jnp.swapaxes(S, -1, -2)) / 2


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[s,u] | y[s]) from what is left of its mean as (U)."""
    L = jnp.linalg.cholesky(theta.Sigma)
    whiten = inverse_lower(L)
    y = e_x @ whiten.T  # L^-1 (x - mean)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (4 * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x, weight, weight_utterance, speaker_of_utterance = chunk
    r_x = x - theta.mu  # x less its prior mean
    J_x = jnp.linalg.inv(theta.Sigma)  # Sigma^-1
    # what the data say of y
    eta_y = jax.ops.segment_sum(
        weight_utterance[:, None] * r_x, speaker_of_utterance, num_segments=len(weight)
    ) @ (J_x @ theta.V)
    # how many of utterance in each speaker
    count_utterance = jax.ops.segment_sum(weight_utterance, speaker_of_utterance, num_segments=len(weight))
    # and how precisely
    Lambda_y = count_utterance[:, None, None] * jnp.einsum("gd,gh,he->de", theta.V, J_x, theta.V)
    V_y = jnp.linalg.inv(jnp.eye(2) + Lambda_y)  # Cov(y[s] | x) = (I + Lambda_y)^-1
    d_y = jnp.einsum("sfd,sf->sd", V_y, eta_y)  # E[y[s] | x]
    m_y_in_utterance = d_y[speaker_of_utterance]  # that of each utterance's speaker
    e_x = r_x - m_y_in_utterance @ theta.V.T  # x less its mean, at the posterior means
    # members of utterance are independent
    log_p_x_given_y_in_speaker = jax.ops.segment_sum(
        weight_utterance * log_likelihood_x(theta, e_x), speaker_of_utterance, num_segments=len(weight)
    )
    # ln p(x[s,:]) = ln p(x, y) - ln p(y | x) at the posterior means
    log_p_x = (
        log_p_x_given_y_in_speaker - 0.5 * jnp.einsum("sd,sd->s", d_y, d_y) + 0.5 * jnp.linalg.slogdet(V_y)[1]
    )
    weight_in_utterance = weight[speaker_of_utterance] * weight_utterance  # the same for every member
    return Statistics(
        log_p=weight @ log_p_x,
        Syy=jnp.einsum("u,ud,ue->de", weight_in_utterance, m_y_in_utterance, m_y_in_utterance)
        + jnp.einsum("s,s,sde->de", weight, count_utterance, V_y),
        Sy=weight_in_utterance @ m_y_in_utterance,
        N_x=weight_in_utterance.sum(),
        Sxy=jnp.einsum("u,ug,ud->gd", weight_in_utterance, e_x, m_y_in_utterance)
        - jnp.einsum("s,s,gf,sfd->gd", weight, count_utterance, theta.V, V_y),
        Sx=weight_in_utterance @ e_x,
        Sxx=jnp.einsum("u,ug,uh->gh", weight_in_utterance, e_x, e_x)
        + jnp.einsum("s,s,gf,sfe,he->gh", weight, count_utterance, theta.V, V_y, theta.V),
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
    moments_x = jnp.block([[s.Syy, s.Sy[:, None]], [s.Sy, s.N_x]])  # of the regressors y[s], 1
    # the regression of r: what the old coefficients left
    change_x = solve(moments_x, jnp.concatenate([s.Sxy, s.Sx[..., None]], -1))
    change_V = change_x[..., :2]
    change_mu = change_x[..., 2]
    return Parameters(
        mu=theta.mu + change_mu,
        V=theta.V + change_V,
        Sigma=symmetric(
            ratio(s.Sxx - jnp.einsum("gp,pP,hP->gh", change_x, moments_x, change_x), s.N_x, theta.Sigma)
        ),
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

    A speaker enters the E-step by its count, its mean and the scatter about it: of all scatter
    one speaker can be the bearer, the rows of the others stand at their means. Where many speakers
    have the same count, fewer tell the same.
    """
    x = rows_of(data, "x", float, (4,))
    N, D = x.shape
    member = numbered(data.get("speaker", np.zeros(N, int)), len(data.get("weights", ())))
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
        "x": np.concatenate([means[others], rows]),
        "speaker": np.concatenate([np.flatnonzero(others), np.full(len(rows), bearer)]),
        "weights": weights,
        "weights of utterance": np.concatenate([count[others], each]),
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
    """Data in chunks of whole members of `speaker`, about `rows` rows each; padding has weight 0."""
    data = condensed(data)
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
        weight_utterance=put(
            np.asarray(data.get("weights of utterance", np.ones(len(place_utterance))), dtype),
            (chunk_utterance, place_utterance),
            0,
        ),
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


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(
        alike(
            np.asarray(data.x),
            np.asarray(data.weight),
            np.asarray(data.weight_utterance),
            np.asarray(data.speaker_of_utterance),
        ),
        1,
        rng,
        method,
    )
    return Parameters(
        mu=jnp.asarray(centres_x.reshape((4,))),
        V=jnp.asarray(rng.normal(size=(4, 2)) * rest_x.std()),
        Sigma=jnp.asarray(
            np.broadcast_to(
                rest_x.reshape(-1, 4).T @ rest_x.reshape(-1, 4) / len(rest_x.reshape(-1, 4)), (4, 4)
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
