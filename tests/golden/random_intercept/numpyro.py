# -*- coding: utf-8 -*-
"""NumPyro models of the network `random_intercept`; need only JAX, NumPy and NumPyro.

for b in 1..B:                                   batch
    a[b] ~ Normal(mu, var=between)               latent
    for s in 1..S[b]:                            sample
        x[b,s] ~ Normal(a[b], var=within)        observed

Emitted by bnlab 0.1.0 from network 0d1a5f60.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array


def parameters():
    """The parameters: sampled where they have a prior, optimised where they have none."""
    mu = numpyro.param("mu", lambda key: jax.random.normal(key))
    between = numpyro.param("between", 1.0, constraint=dist.constraints.positive)
    within = numpyro.param("within", 1.0, constraint=dist.constraints.positive)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(mu=mu, between=between, within=within))


def model(batch, x=None):
    """The generative model.

    batch: NumPy array (rows,), the member of batch that each row is in: 0, 1, 2 ...
    x: array (rows,), or None to sample it
    """
    num_batch = int(np.max(batch)) + 1
    num_sample = len(batch)
    mu, between, within = parameters()
    with numpyro.plate("batch", num_batch, dim=-1):
        a = numpyro.sample("a", dist.Normal(mu, jnp.sqrt(between)))
    with numpyro.plate("sample", num_sample, dim=-1):
        numpyro.sample("x", dist.Normal(a[batch], jnp.sqrt(within)), obs=x)


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


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[b,s] | a[b]) from what is left of its mean as (S)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.within) + jnp.square(e_x) / theta.within)


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x, weight, weight_sample, batch_of_sample = chunk
    r_x = x - theta.mu  # x less its prior mean
    # what the data say of a
    eta_a = jax.ops.segment_sum(1 / theta.within * r_x, batch_of_sample, num_segments=len(weight))
    # how many of sample in each batch
    count_sample = jax.ops.segment_sum(weight_sample, batch_of_sample, num_segments=len(weight))
    Lambda_a = count_sample * (1 / theta.within)  # and how precisely
    S_a = 1 / (1 + theta.between * Lambda_a)  # (1 + between Lambda_a)^-1, there also if between is 0
    n_a = S_a * eta_a  # 1/between times what the data move a by
    d_a = theta.between * n_a  # E[a[b] | x] - mu
    m_a_in_sample = d_a[batch_of_sample]  # that of each sample's batch
    e_x = r_x - m_a_in_sample  # x less its mean, at the posterior means
    # members of sample are independent
    log_p_x_given_a_in_batch = jax.ops.segment_sum(
        log_likelihood_x(theta, e_x), batch_of_sample, num_segments=len(weight)
    )
    # ln p(x[b,:]) = ln p(x, a) - ln p(a | x) at the posterior means
    log_p_x = log_p_x_given_a_in_batch - 0.5 * (n_a * d_a) + 0.5 * jnp.log(S_a)
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
    """Data in chunks of whole members of `batch`, about `rows` rows each; padding has weight 0."""
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
        weight_sample=put(np.ones(len(place_sample), dtype), (chunk_sample, place_sample), 0),
        batch_of_sample=put(
            place_batch[batch_of_sample], (chunk_sample, place_sample), place_batch.max() + 1
        ),
    )


def marginal_model(data):
    """The density of x with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
