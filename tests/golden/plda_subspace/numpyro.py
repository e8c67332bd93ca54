# -*- coding: utf-8 -*-
"""NumPyro models of the network `plda_subspace`; need only JAX, NumPy and NumPyro.

for s in 1..S:                                        speaker
    y[s] ~ Normal(zeros(2), cov=eye(2))               latent
    for u in 1..U[s]:                                 utterance
        x[s,u] ~ Normal(V @ y[s] + mu, cov=Sigma)     observed

Emitted by bnlab 0.1.0 from network 9d9147c2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.linalg import solve_triangular


def parameters():
    """The parameters: sampled where they have a prior, optimised where they have none."""
    mu = numpyro.param("mu", lambda key: jax.random.normal(key, (4,)))
    V = numpyro.param("V", lambda key: jax.random.normal(key, (4, 2)))
    Sigma = numpyro.param("Sigma", jnp.eye(4), constraint=dist.constraints.positive_definite)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(mu=mu, V=V, Sigma=Sigma))


def model(speaker, x=None):
    """The generative model.

    speaker: NumPy array (rows,), the member of speaker that each row is in: 0, 1, 2 ...
    x: array (rows, 4), or None to sample it
    """
    num_speaker = int(np.max(speaker)) + 1
    num_utterance = len(speaker)
    mu, V, Sigma = parameters()
    with numpyro.plate("speaker", num_speaker, dim=-1):
        y = numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(2), covariance_matrix=jnp.eye(2)))
    with numpyro.plate("utterance", num_utterance, dim=-1):
        numpyro.sample(
            "x", dist.MultivariateNormal(jnp.matvec(V, y[speaker]) + mu, covariance_matrix=Sigma), obs=x
        )


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


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[s,u] | y[s]) from what is left of its mean as (U)."""
    L = jnp.linalg.cholesky(theta.Sigma)
    whiten = inverse_lower(L)
    y = e_x @ whiten.T  # L^-1 (x - mean)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (4 * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x, weight, weight_utterance, speaker_of_utterance = chunk
    r_x = x - theta.mu  # x less its prior mean
    J_x = jnp.linalg.inv(theta.Sigma)  # Sigma^-1
    # what the data say of y
    eta_y = jax.ops.segment_sum(r_x, speaker_of_utterance, num_segments=len(weight)) @ (J_x @ theta.V)
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
        log_likelihood_x(theta, e_x), speaker_of_utterance, num_segments=len(weight)
    )
    # ln p(x[s,:]) = ln p(x, y) - ln p(y | x) at the posterior means
    log_p_x = (
        log_p_x_given_y_in_speaker - 0.5 * jnp.einsum("sd,sd->s", d_y, d_y) + 0.5 * jnp.linalg.slogdet(V_y)[1]
    )
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
