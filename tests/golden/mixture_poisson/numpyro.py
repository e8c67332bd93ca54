# -*- coding: utf-8 -*-
"""NumPyro models of the network `mixture_poisson`; need only JAX, NumPy and NumPyro.

for n in 1..N:
    z[n] ~ Categorical(pi)                       latent
    x[n] ~ Poisson(rate[z[n]])                   observed

Emitted by bnlab 0.1.0 from network 3b4735b6.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import gammaln, logsumexp


def parameters():
    """The parameters: sampled where they have a prior, optimised where they have none."""
    pi = numpyro.param(
        "pi", lambda key: jax.random.dirichlet(key, jnp.ones(2)), constraint=dist.constraints.simplex
    )
    with numpyro.plate("k", 2, dim=-1):
        rate = numpyro.param("rate", jnp.ones((2,)), constraint=dist.constraints.positive, event_dim=0)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(pi=pi, rate=rate))


def model(x=None, num_n=None):
    """The generative model. Discrete latents are enumerated, in the dimensions from -2 leftwards.

    x: array (num_n,), or None to sample it
    num_n: the size of n, needed only without x
    """
    if x is not None:
        num_n = len(x)
    pi, rate = parameters()
    with numpyro.plate("n", num_n, dim=-1):
        z = numpyro.sample("z", dist.Categorical(pi), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Poisson(rate[z]), obs=x)


class Parameters(NamedTuple):
    pi: Array  # (K,)  sums to 1
    rate: Array  # (K,)  positive


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (N,)
    weight: Array  # (N,)  0 for padding


def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


def log_likelihood_x(theta: Parameters, x: Array) -> Array:
    """ln p(x[n] | z[n]=k) as (N, K)."""
    return jnp.where((x > 0)[:, None], x[:, None] * log(theta.rate), 0) - theta.rate - gammaln(x + 1)[:, None]


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x, weight = chunk
    log_p_xz = log(theta.pi) + log_likelihood_x(theta, x)  # ln p(x[n], z[n]=k)
    log_p_x = logsumexp(log_p_xz, axis=-1)  # ln p(x[n]): sums out z
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


def prepare(data, dtype=float, rows=4096):
    """Data in chunks of whole members of `n`, about `rows` rows each; padding has weight 0."""
    N = len(data["x"])
    weights = np.asarray(data.get("weights", np.ones(N)), dtype)
    chunks = -(-N // rows)
    chunk_n, place_n = np.divmod(np.arange(N), -(-N // chunks))
    return Data(
        x=put(rows_of(data, "x", dtype), (chunk_n, place_n)), weight=put(weights, (chunk_n, place_n), 0)
    )


def marginal_model(data):
    """The density of x with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
