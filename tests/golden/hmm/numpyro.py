# -*- coding: utf-8 -*-
"""NumPyro models of the network `hmm`; need only JAX, NumPy and NumPyro.

for s in 1..S:                                             sequence
    for t in 1..T[s]:                                      a chain
        z[s,t] ~ Categorical(A[z[s,t-1]])                  latent; z[s,1] ~ Categorical(pi)
        x[s,t] ~ Normal(mu[z[s,t]], cov=Sigma[z[s,t]])     observed

Emitted by bnlab 0.1.0 from network 9cb4a656.
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
from numpyro.contrib.control_flow import scan


def parameters():
    """The parameters: sampled where they have a prior, optimised where they have none."""
    pi = numpyro.param(
        "pi", lambda key: jax.random.dirichlet(key, jnp.ones(2)), constraint=dist.constraints.simplex
    )
    with numpyro.plate("k", 2, dim=-1):
        A = numpyro.param(
            "A",
            lambda key: jax.random.dirichlet(key, jnp.ones(2), (2,)),
            constraint=dist.constraints.simplex,
            event_dim=1,
        )
        mu = numpyro.param("mu", lambda key: jax.random.normal(key, (2, 2)), event_dim=1)
        Sigma = numpyro.param(
            "Sigma",
            jnp.broadcast_to(jnp.eye(2), (2, 2, 2)),
            constraint=dist.constraints.positive_definite,
            event_dim=2,
        )
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(pi=pi, A=A, mu=mu, Sigma=Sigma))


def padded(ids):
    """Where members stand as (group, member), and which of these exist: the others are padding."""
    sizes = np.bincount(ids)
    member = np.arange(sizes.max())
    exists = member < sizes[:, None]
    first = np.cumsum(sizes) - sizes
    return np.argsort(ids, kind="stable")[np.where(exists, first[:, None] + member, 0)], exists


def model(sequence, x=None):
    """The generative model. Discrete latents are enumerated, in the dimensions from -2 leftwards.

    Where a member has fewer rows than others nothing is observed; latents there follow their prior.

    sequence: NumPy array (rows,), the member of sequence that each row is in: 0, 1, 2 ...
    x: array (rows, 2), or None to sample it
    """
    rows_t, exists_t = padded(sequence)
    num_sequence, num_t = exists_t.shape
    x = None if x is None else x[rows_t.T]
    pi, A, mu, Sigma = parameters()

    def step(carry, inputs):
        z_prev = carry
        t, x, exists_t = inputs
        with numpyro.plate("sequence", num_sequence, dim=-1):
            z = numpyro.sample(
                "z", dist.Categorical(jnp.where(t == 0, pi, A[z_prev])), infer={"enumerate": "parallel"}
            )
            with numpyro.handlers.mask(mask=exists_t):
                numpyro.sample("x", dist.MultivariateNormal(mu[z], covariance_matrix=Sigma[z]), obs=x)
        return z, None

    scan(step, jnp.zeros(num_sequence, int), (jnp.arange(num_t), x, exists_t.T))


class Parameters(NamedTuple):
    pi: Array  # (K,)       sums to 1
    A: Array  # (K, K)     rows sum to 1
    mu: Array  # (K, D)
    Sigma: Array  # (K, D, D)  positive definite


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (T, S, D)
    weight: Array  # (S,)       0 for padding
    mask_t: Array  # (T, S)     False past the end


def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


def log_sum_exp(x, axis):
    """ln sum exp(x); where all of x is -inf so is the result, with gradient 0."""
    possible = (x > -jnp.inf).any(axis, keepdims=True)
    total = logsumexp(jnp.where(possible, x, 0), axis=axis)
    return jnp.where(possible.squeeze(axis), total, -jnp.inf)


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


def log_likelihood_x(theta: Parameters, x: Array) -> Array:
    """ln p(x[s,t] | z[s,t]=k) as (T, S, K)."""
    L = jnp.linalg.cholesky(theta.Sigma)
    whiten = inverse_lower(L)
    y = jnp.einsum("tskd,ked->tske", x[:, :, None] - theta.mu, whiten)  # L^-1 (x - mean)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (2 * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def forward(theta: Parameters, log_b: Array, mask_t: Array) -> tuple[Array, Array]:
    """ln alpha as (T, S, K) and ln c as (T, S)."""

    def step(log_predicted, inputs):
        log_b_t, on = inputs
        log_joint = log_predicted + log_b_t
        log_c_t = jnp.where(on, log_sum_exp(log_joint, -1), 0)
        log_alpha_t = log_joint - jnp.where(log_c_t > -jnp.inf, log_c_t, 0)[:, None]
        return log_sum_exp(log_alpha_t[..., None] + log(theta.A), 1), (log_alpha_t, log_c_t)

    log_alpha, log_c = jax.lax.scan(step, jnp.broadcast_to(log(theta.pi), log_b[0].shape), (log_b, mask_t))[1]
    return log_alpha, log_c


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x, weight, mask_t = chunk
    log_b = log_likelihood_x(theta, x)  # ln p(x[s,t] | z[s,t]=k)
    log_alpha, log_c = forward(theta, log_b, mask_t)
    log_p_x_in_chain = jnp.where(mask_t, log_c, 0).sum(0)  # ln p(x[s,:])
    return weight @ log_p_x_in_chain


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
            rows_of(data, "x", dtype, (2,)), (chunk_sequence[id_sequence], step, place_sequence[id_sequence])
        ),
        weight=put(weights, (chunk_sequence, place_sequence), 0),
        mask_t=put(
            np.ones(len(step), bool), (chunk_sequence[id_sequence], step, place_sequence[id_sequence]), False
        ),
    )


def marginal_model(data):
    """The density of x with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
