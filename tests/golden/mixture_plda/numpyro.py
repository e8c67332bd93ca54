# -*- coding: utf-8 -*-
"""NumPyro models of the network `mixture_plda`; need only JAX, NumPy and NumPyro.

for s in 1..S:                                      speaker
    c[s] ~ Categorical(pi)                          latent
    z[s] ~ Normal(mu[c[s]], cov=Sigma_ac[c[s]])     latent
    for u in 1..U[s]:                               utterance
        x[s,u] ~ Normal(z[s], cov=Sigma_wc)         observed

Emitted by bnlab 0.1.0 from network ea6cdc10.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp


def parameters():
    """The parameters: sampled where they have a prior, optimised where they have none."""
    pi = numpyro.param(
        "pi", lambda key: jax.random.dirichlet(key, jnp.ones(2)), constraint=dist.constraints.simplex
    )
    Sigma_wc = numpyro.param("Sigma_wc", jnp.eye(4), constraint=dist.constraints.positive_definite)
    with numpyro.plate("k", 2, dim=-1):
        mu = numpyro.param("mu", lambda key: jax.random.normal(key, (2, 4)), event_dim=1)
        Sigma_ac = numpyro.param(
            "Sigma_ac",
            jnp.broadcast_to(jnp.eye(4), (2, 4, 4)),
            constraint=dist.constraints.positive_definite,
            event_dim=2,
        )
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(pi=pi, Sigma_wc=Sigma_wc, mu=mu, Sigma_ac=Sigma_ac))


def model(speaker, x=None):
    """The generative model. Discrete latents are enumerated, in the dimensions from -2 leftwards.

    speaker: NumPy array (rows,), the member of speaker that each row is in: 0, 1, 2 ...
    x: array (rows, 4), or None to sample it
    """
    num_speaker = int(np.max(speaker)) + 1
    num_utterance = len(speaker)
    pi, Sigma_wc, mu, Sigma_ac = parameters()
    with numpyro.plate("speaker", num_speaker, dim=-1):
        c = numpyro.sample("c", dist.Categorical(pi), infer={"enumerate": "parallel"})
        z = numpyro.sample("z", dist.MultivariateNormal(mu[c], covariance_matrix=Sigma_ac[c]))
    with numpyro.plate("utterance", num_utterance, dim=-1):
        numpyro.sample("x", dist.MultivariateNormal(z[speaker], covariance_matrix=Sigma_wc), obs=x)


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


def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[s,u] | z[s]) from what is left of its mean as (U, K)."""
    L = jnp.linalg.cholesky(theta.Sigma_wc)
    whiten = inverse_lower(L)
    y = e_x @ whiten.T  # L^-1 (x - mean)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (4 * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
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
    log_p_xc = log(theta.pi) + log_p_x_given_c  # ln p(x[s,:], c[s]=k)
    log_p_x = logsumexp(log_p_xc, axis=-1)  # ln p(x[s,:]): sums out c
    return weight @ log_p_x


@jax.custom_jvp
def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x | theta), to be differentiated in theta: the data are constants."""
    return jax.lax.map(lambda chunk: expect(theta, chunk), data).sum()


@log_evidence.defjvp
def _(at, direction):
    """ln p(x | theta) and its slope: each chunk gives its gradient at once, and nothing of it is kept."""
    theta, data = at
    share = jax.value_and_grad(expect)
    zero = jax.eval_shape(share, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, share(theta, chunk)), None

    log_p, gradient = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]
    return log_p, sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction[0])))


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


def marginal_model(data):
    """The density of x with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
