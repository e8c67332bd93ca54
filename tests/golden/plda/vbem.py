# -*- coding: utf-8 -*-
"""Variational EM for the network `plda`, derived from its declaration; needs only JAX and NumPy.

mu ~ Normal([3.68e-16, -1.24e-15, 2.19e-15, -4.56e-16], std=[1.6, 0.86, 0.78, 0.73])     prior
Sigma_ac ~ InverseWishart(6, array(4, 4))        prior
Sigma_wc ~ InverseWishart(6, array(4, 4))        prior
for s in 1..S:                                   speaker
    z[s] ~ Normal(mu, cov=Sigma_ac)              latent
    for u in 1..U[s]:                            utterance
        x[s,u] ~ Normal(z[s], cov=Sigma_wc)      observed

The posterior of latents z and parameters theta is approximated by q(z) q(theta), as near as can be in KL
divergence.
E-step   V_z[s,d,e] = Cov(z[s] | x) = (Sigma_ac^-1 + count_utterance Sigma_wc^-1)^-1
         d_z[s,d] = E[z[s] | x] - mu
M-step   q(mu), q(Sigma_ac), q(Sigma_wc) in turn, each the best given the others

Emitted by bnlab 0.1.0 from network 54827082.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import digamma, gammaln

jax.config.update("jax_enable_x64", True)


class Posterior(NamedTuple):
    """The hyperparameters of q(theta), a product of one factor for each parameter."""

    mu_mean: Array  # (D,)    of q(mu), Normal
    mu_cov: Array  # (D, D)  of q(mu), Normal
    Sigma_ac_df: Array  # ()      of q(Sigma_ac), InverseWishart
    Sigma_ac_scale: Array  # (D, D)  of q(Sigma_ac), InverseWishart
    Sigma_wc_df: Array  # ()      of q(Sigma_wc), InverseWishart
    Sigma_wc_scale: Array  # (G, G)  of q(Sigma_wc), InverseWishart


# p(theta), in the same form
PRIOR = Posterior(
    mu_mean=np.array((3.68e-16, -1.24e-15, 2.19e-15, -4.56e-16), float),
    mu_cov=np.array(
        (
            (2.5600000000000005, 0, 0, 0),
            (0, 0.7395999999999999, 0, 0),
            (0, 0, 0.6084, 0),
            (0, 0, 0, 0.5328999999999999),
        ),
        float,
    ),
    Sigma_ac_df=6.0,
    Sigma_ac_scale=np.array(((0.11, 0, 0, 0), (0, 0.029, 0, 0), (0, 0, 0.025, 0), (0, 0, 0, 0.021)), float),
    Sigma_wc_df=6.0,
    Sigma_wc_scale=np.array(((0.11, 0, 0, 0), (0, 0.029, 0, 0), (0, 0, 0.025, 0), (0, 0, 0, 0.021)), float),
)


class Parameters(NamedTuple):
    """What the E-step reads of q(theta): a point, and what E[ln p] is more than ln p there."""

    mu: Array  # (D,)    E[mu]
    Sigma_ac: Array  # (D, D)  E[Sigma_ac^-1]^-1
    Sigma_wc: Array  # (G, G)  E[Sigma_wc^-1]^-1
    offset_z: Array  # ()      E[ln p(z | ...)] is this and ln p at the values above
    offset_x: Array  # ()      E[ln p(x | ...)] is this and ln p at the values above


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (U, G)
    weight: Array  # (S,)    0 for padding
    weight_utterance: Array  # (U,)    0 for padding
    speaker_of_utterance: Array  # (U,)    row of speaker


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln of what normalises q(z): E[ln p(x, z | theta)] + H(q(z))
    N_z: Array  # ()      sum_s 1
    Sz: Array  # (D,)    sum_s d_z[s]
    Szz: Array  # (D, D)  sum_s E[d_z[s] d_z[s]']
    N_x: Array  # ()      sum_s sum_u 1
    Sxx: Array  # (G, G)  sum_s sum_u E[e_x[s,u] e_x[s,u]']


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


def symmetric(S):
    """S without the asymmetry that rounding leaves, of which iterations would make more and more."""
    return (S + jnp.swapaxes(S, -1, -2)) / 2


@jax.jit
def expectations(q: Posterior) -> Parameters:
    """Where ln p(x, z | theta), with the offsets, is E[ln p(x, z | theta)] under q(theta)."""
    precision_z = q.Sigma_ac_df * jnp.linalg.inv(q.Sigma_ac_scale)  # E[Sigma^-1]
    return Parameters(
        mu=q.mu_mean,
        Sigma_ac=q.Sigma_ac_scale / q.Sigma_ac_df,
        Sigma_wc=q.Sigma_wc_scale / q.Sigma_wc_df,
        offset_z=-0.5
        * (
            4 * jnp.log(q.Sigma_ac_df / 2)
            - digamma((q.Sigma_ac_df - jnp.arange(4)) / 2).sum()
            + jnp.einsum("de,de->", precision_z, q.mu_cov)
        ),
        offset_x=-0.5 * (4 * jnp.log(q.Sigma_wc_df / 2) - digamma((q.Sigma_wc_df - jnp.arange(4)) / 2).sum()),
    )


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[s,u] | z[s]) from what is left of its mean as (U)."""
    L = jnp.linalg.cholesky(theta.Sigma_wc)
    whiten = inverse_lower(L)
    y = e_x @ whiten.T  # L^-1 (x - mean)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (4 * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under q(z)."""
    x, weight, weight_utterance, speaker_of_utterance = chunk
    r_x = x - theta.mu  # x less its prior mean
    J_x = jnp.linalg.inv(theta.Sigma_wc)  # Sigma_wc^-1
    # what the data say of z
    eta_z = jax.ops.segment_sum(r_x, speaker_of_utterance, num_segments=len(weight)) @ J_x
    # how many of utterance in each speaker
    count_utterance = jax.ops.segment_sum(weight_utterance, speaker_of_utterance, num_segments=len(weight))
    Lambda_z = count_utterance[:, None, None] * J_x  # and how precisely
    # (I + Sigma_ac Lambda_z)^-1, there also if Sigma_ac is singular
    S_z = jnp.linalg.inv(jnp.eye(4) + theta.Sigma_ac @ Lambda_z)
    V_z = S_z @ theta.Sigma_ac  # Cov(z[s] | x) = (Sigma_ac^-1 + count_utterance Sigma_wc^-1)^-1
    n_z = jnp.einsum("sfd,sf->sd", S_z, eta_z)  # Sigma_ac^-1 times what the data move z by
    d_z = n_z @ theta.Sigma_ac.T  # E[z[s] | x] - mu
    m_z_in_utterance = d_z[speaker_of_utterance]  # that of each utterance's speaker
    e_x = r_x - m_z_in_utterance  # x less its mean, at the posterior means
    # members of utterance are independent
    log_p_x_given_z_in_speaker = jax.ops.segment_sum(
        log_likelihood_x(theta, e_x) + theta.offset_x, speaker_of_utterance, num_segments=len(weight)
    )
    # ln p(x[s,:]) = ln p(x, z) - ln p(z | x) at the posterior means
    log_p_x = (
        log_p_x_given_z_in_speaker
        + theta.offset_z
        - 0.5 * jnp.einsum("sd,sd->s", n_z, d_z)
        + 0.5 * jnp.linalg.slogdet(S_z)[1]
    )
    weight_in_utterance = weight[speaker_of_utterance] * weight_utterance  # the same for every member
    return Statistics(
        log_p=weight @ log_p_x,
        N_z=weight.sum(),
        Sz=weight @ d_z,
        Szz=jnp.einsum("s,sd,se->de", weight, d_z, d_z) + jnp.einsum("s,sde->de", weight, V_z),
        N_x=weight_in_utterance.sum(),
        Sxx=jnp.einsum("u,ug,uh->gh", weight_in_utterance, e_x, e_x)
        + jnp.einsum("s,s,sgh->gh", weight, count_utterance, V_z),
    )


@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data, chunk by chunk: memory is that of one chunk."""
    zero = jax.eval_shape(expect, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, expect(theta, chunk)), None

    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]


@jax.jit
def divergence(q: Posterior) -> Array:
    """KL(q(theta) || p(theta)): the sum of those of the parameters."""
    # of Normals
    kl_mu = (
        0.5
        * jnp.einsum(
            "d,de,e->", q.mu_mean - PRIOR.mu_mean, jnp.linalg.inv(PRIOR.mu_cov), q.mu_mean - PRIOR.mu_mean
        )
        + 0.5 * (jnp.einsum("de,de->", jnp.linalg.inv(PRIOR.mu_cov), q.mu_cov) - 4)
        + 0.5 * (jnp.linalg.slogdet(PRIOR.mu_cov)[1] - jnp.linalg.slogdet(q.mu_cov)[1])
    )
    # of InverseWisharts
    kl_Sigma_ac = (
        0.5
        * PRIOR.Sigma_ac_df
        * (jnp.linalg.slogdet(q.Sigma_ac_scale)[1] - jnp.linalg.slogdet(PRIOR.Sigma_ac_scale)[1])
        + 0.5
        * q.Sigma_ac_df
        * (jnp.einsum("de,de->", PRIOR.Sigma_ac_scale, jnp.linalg.inv(q.Sigma_ac_scale)) - 4)
        + (
            gammaln((PRIOR.Sigma_ac_df - jnp.arange(4)) / 2) - gammaln((q.Sigma_ac_df - jnp.arange(4)) / 2)
        ).sum()
        + 0.5 * (q.Sigma_ac_df - PRIOR.Sigma_ac_df) * digamma((q.Sigma_ac_df - jnp.arange(4)) / 2).sum()
    )
    # of InverseWisharts
    kl_Sigma_wc = (
        0.5
        * PRIOR.Sigma_wc_df
        * (jnp.linalg.slogdet(q.Sigma_wc_scale)[1] - jnp.linalg.slogdet(PRIOR.Sigma_wc_scale)[1])
        + 0.5
        * q.Sigma_wc_df
        * (jnp.einsum("gh,gh->", PRIOR.Sigma_wc_scale, jnp.linalg.inv(q.Sigma_wc_scale)) - 4)
        + (
            gammaln((PRIOR.Sigma_wc_df - jnp.arange(4)) / 2) - gammaln((q.Sigma_wc_df - jnp.arange(4)) / 2)
        ).sum()
        + 0.5 * (q.Sigma_wc_df - PRIOR.Sigma_wc_df) * digamma((q.Sigma_wc_df - jnp.arange(4)) / 2).sum()
    )
    return kl_mu + kl_Sigma_ac + kl_Sigma_wc


def elbo(q: Posterior, data: Data) -> Array:
    """The lower bound of ln p(x): E[ln p(x, z, theta)] - E[ln q(z)] - E[ln q(theta)], at the best q(z)."""
    return e_step(expectations(q), data).log_p - divergence(q)


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Posterior:
    """q(theta) given q(z): the priors' hyperparameters and what the statistics add."""
    s = statistics
    precision_z = jnp.linalg.inv(theta.Sigma_ac)  # E[Sigma_ac^-1]
    # Cov(mu) under q
    cov_z = jnp.linalg.inv(jnp.linalg.inv(PRIOR.mu_cov) + jnp.einsum(",de->de", s.N_z, precision_z))
    moment_z = jnp.linalg.inv(PRIOR.mu_cov) @ (PRIOR.mu_mean - theta.mu) + precision_z @ s.Sz
    mean_z = cov_z @ moment_z  # E[mu] less the old one
    return Posterior(
        mu_mean=mean_z + theta.mu,
        mu_cov=cov_z,
        Sigma_ac_df=PRIOR.Sigma_ac_df + s.N_z,
        Sigma_ac_scale=symmetric(
            PRIOR.Sigma_ac_scale
            + (
                s.Szz
                - (jnp.einsum("d,e->de", s.Sz, mean_z) + jnp.einsum("d,e->de", mean_z, s.Sz))
                + jnp.einsum(",d,e->de", s.N_z, mean_z, mean_z)
            )
            + jnp.einsum(",de->de", s.N_z, cov_z)
        ),
        Sigma_wc_df=PRIOR.Sigma_wc_df + s.N_x,
        Sigma_wc_scale=symmetric(PRIOR.Sigma_wc_scale + s.Sxx),
    )


def means(q: Posterior) -> dict:
    """E[theta] under q(theta)."""
    return dict(
        mu=q.mu_mean,
        Sigma_ac=jnp.where(q.Sigma_ac_df - 5 > 0, q.Sigma_ac_scale / (q.Sigma_ac_df - 5), jnp.nan),
        Sigma_wc=jnp.where(q.Sigma_wc_df - 5 > 0, q.Sigma_wc_scale / (q.Sigma_wc_df - 5), jnp.nan),
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


def start(data, seed=0, method="data"):
    """A point that q(theta) starts from."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x)[np.asarray(data.weight_utterance) > 0], 1, rng, method)
    return Parameters(
        mu=jnp.asarray(centres_x.reshape((4,))),
        Sigma_ac=jnp.asarray(
            np.broadcast_to(
                rest_x.reshape(-1, 4).T @ rest_x.reshape(-1, 4) / len(rest_x.reshape(-1, 4)), (4, 4)
            )
        ),
        Sigma_wc=jnp.asarray(
            np.broadcast_to(
                rest_x.reshape(-1, 4).T @ rest_x.reshape(-1, 4) / len(rest_x.reshape(-1, 4)), (4, 4)
            )
        ),
        offset_z=jnp.zeros(()),
        offset_x=jnp.zeros(()),
    )


def init(data, seed=0, method="data") -> Posterior:
    """q(theta) after an M-step from clusters of the data (method "data") or from random rows ("random")."""
    theta = start(data, seed, method)
    return m_step(e_step(theta, data), theta)


def fit(data: Data, q: Posterior, max_iter=200, tol=1e-6):
    """Variational EM from q; the trace holds the ELBO at the start and after every iteration."""
    trace = []
    for iteration in range(max_iter + 1):
        theta = expectations(q)
        s = e_step(theta, data)
        trace.append(float(s.log_p - divergence(q)))
        if iteration == max_iter or (
            tol and iteration and trace[-1] - trace[-2] <= tol * (1 + abs(trace[-1]))
        ):
            break
        q = m_step(s, theta)
    return q, np.array(trace)


if __name__ == "__main__":
    import sys

    data = prepare(np.load(sys.argv[1]))
    q, trace = fit(data, init(data))
    print(f"ELBO = {trace[-1]:.6f} after {len(trace) - 1} iterations; posterior means:")
    for name, value in means(q).items():
        print(name, "=", np.array2string(np.asarray(value), precision=4, suppress_small=True))
