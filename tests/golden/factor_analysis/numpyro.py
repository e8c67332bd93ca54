# -*- coding: utf-8 -*-
"""NumPyro models of the network `factor_analysis`; need only JAX, NumPy and NumPyro.

for n in 1..N:
    y[n] ~ Normal(zeros(1), cov=eye(1))          latent
    x[n] ~ Normal(W @ y[n] + mu, var=psi)        observed

Emitted by bnlab 0.1.0 from network 71f72387.
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
    mu = numpyro.param("mu", lambda key: jax.random.normal(key, (4,)))
    W = numpyro.param("W", lambda key: jax.random.normal(key, (4, 1)))
    psi = numpyro.param("psi", jnp.ones((4,)), constraint=dist.constraints.positive)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(mu=mu, W=W, psi=psi))


def model(x=None, num_n=None):
    """The generative model.

    x: array (num_n, 4), or None to sample it
    num_n: the size of n, needed only without x
    """
    if x is not None:
        num_n = len(x)
    mu, W, psi = parameters()
    with numpyro.plate("n", num_n, dim=-1):
        y = numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(1), covariance_matrix=jnp.eye(1)))
        numpyro.sample("x", dist.Normal(jnp.matvec(W, y) + mu, jnp.sqrt(psi)).to_event(1), obs=x)


class Parameters(NamedTuple):
    mu: Array  # (G,)
    W: Array  # (G, D)
    psi: Array  # (G,)    positive


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (N, G)
    weight: Array  # (N,)    0 for padding


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[n] | y[n]) from what is left of its mean as (N)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.psi).sum() + (jnp.square(e_x) / theta.psi).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x, weight = chunk
    r_x = x - theta.mu  # x less its prior mean
    eta_y = 1 / theta.psi * r_x @ theta.W  # what the data say of y
    Lambda_y = jnp.einsum("gd,g,ge->de", theta.W, 1 / theta.psi, theta.W)  # and how precisely
    V_y = jnp.linalg.inv(jnp.eye(1) + Lambda_y)  # Cov(y[n] | x) = (I + Lambda_y)^-1
    d_y = eta_y @ V_y  # E[y[n] | x]
    e_x = r_x - d_y @ theta.W.T  # x less its mean, at the posterior means
    # ln p(x[n]) = ln p(x, y) - ln p(y | x) at the posterior means
    log_p_x = (
        log_likelihood_x(theta, e_x)
        - 0.5 * jnp.einsum("nd,nd->n", d_y, d_y)
        + 0.5 * jnp.linalg.slogdet(V_y)[1]
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


def prepare(data, dtype=float, rows=4096):
    """Data in chunks of whole members of `n`, about `rows` rows each; padding has weight 0."""
    N = len(data["x"])
    weights = np.asarray(data.get("weights", np.ones(N)), dtype)
    chunks = -(-N // rows)
    chunk_n, place_n = np.divmod(np.arange(N), -(-N // chunks))
    return Data(
        x=put(rows_of(data, "x", dtype, (4,)), (chunk_n, place_n)), weight=put(weights, (chunk_n, place_n), 0)
    )


def marginal_model(data):
    """The density of x with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
