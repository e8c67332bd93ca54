# -*- coding: utf-8 -*-
"""NumPyro models of the network `eight_schools`; need only JAX, NumPy and NumPyro.

for s in 1..S:                                     school
    std[s]                                         given
    theta_j[s] ~ Normal(mu, std=tau)               latent
    effect[s] ~ Normal(theta_j[s], std=std[s])     observed

Emitted by bnlab 0.1.0 from network 734b6910.
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
    tau = numpyro.param("tau", 1.0, constraint=dist.constraints.positive)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(mu=mu, tau=tau))


def model(std, effect=None):
    """The generative model.

    std: array (num_school,)
    effect: array (num_school,), or None to sample it
    """
    num_school = len(std)
    mu, tau = parameters()
    with numpyro.plate("school", num_school, dim=-1):
        theta_j = numpyro.sample("theta_j", dist.Normal(mu, tau))
        numpyro.sample("effect", dist.Normal(theta_j, std), obs=effect)


class Parameters(NamedTuple):
    mu: Array  # ()
    tau: Array  # ()  positive


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    std: Array  # (S,)
    effect: Array  # (S,)
    weight: Array  # (S,)  0 for padding


def log_likelihood_effect(theta: Parameters, e_effect: Array, std: Array) -> Array:
    """ln p(effect[s] | theta_j[s]) from what is left of its mean as (S)."""
    return -0.5 * (jnp.log(2 * jnp.pi * jnp.square(std)) + jnp.square(e_effect) / jnp.square(std))


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    std, effect, weight = chunk
    r_effect = effect - theta.mu  # effect less its prior mean
    eta_theta_j = 1 / jnp.square(std) * r_effect  # what the data say of theta_j
    Lambda_theta_j = 1 / jnp.square(std)  # and how precisely
    # (1 + tau^2 Lambda_theta_j)^-1, there also if tau^2 is 0
    S_theta_j = 1 / (1 + jnp.square(theta.tau) * Lambda_theta_j)
    n_theta_j = S_theta_j * eta_theta_j  # 1/tau^2 times what the data move theta_j by
    d_theta_j = jnp.square(theta.tau) * n_theta_j  # E[theta_j[s] | effect] - mu
    e_effect = r_effect - d_theta_j  # effect less its mean, at the posterior means
    # ln p(effect[s]) = ln p(effect, theta_j) - ln p(theta_j | effect) at the posterior means
    log_p_effect = (
        log_likelihood_effect(theta, e_effect, std) - 0.5 * (n_theta_j * d_theta_j) + 0.5 * jnp.log(S_theta_j)
    )
    return weight @ log_p_effect


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
    """Data in chunks of whole members of `school`, about `rows` rows each; padding has weight 0."""
    N = len(data["std"])
    weights = np.asarray(data.get("weights", np.ones(N)), dtype)
    chunks = -(-N // rows)
    chunk_school, place_school = np.divmod(np.arange(N), -(-N // chunks))
    return Data(
        std=put(rows_of(data, "std", dtype), (chunk_school, place_school)),
        effect=put(rows_of(data, "effect", dtype), (chunk_school, place_school)),
        weight=put(weights, (chunk_school, place_school), 0),
    )


def marginal_model(data):
    """The density of effect with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
