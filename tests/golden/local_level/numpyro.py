# -*- coding: utf-8 -*-
"""NumPyro models of the network `local_level`; need only JAX, NumPy and NumPyro.

for t in 1..T:                                   a chain
    level[t] ~ Normal(level[t-1], var=eta)       latent; level[1] ~ Normal(1000, var=10000000)
    x[t] ~ Normal(level[t], var=eps)             observed

Emitted by bnlab 0.1.0 from network 9d9495d8.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from numpyro.contrib.control_flow import scan


def parameters():
    """The parameters: sampled where they have a prior, optimised where they have none."""
    eta = numpyro.param("eta", 1.0, constraint=dist.constraints.positive)
    eps = numpyro.param("eps", 1.0, constraint=dist.constraints.positive)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(eta=eta, eps=eps))


def model(x=None, num_t=None):
    """The generative model.

    x: array (num_t,), or None to sample it
    num_t: the size of t, needed only without x
    """
    if x is not None:
        num_t = len(x)
    eta, eps = parameters()

    def step(carry, inputs):
        level_prev = carry
        t, x = inputs
        level = numpyro.sample(
            "level",
            dist.Normal(jnp.where(t == 0, 1000.0, level_prev), jnp.sqrt(jnp.where(t == 0, 10000000.0, eta))),
        )
        numpyro.sample("x", dist.Normal(level, jnp.sqrt(eps)), obs=x)
        return level, None

    scan(step, jnp.zeros(()), (jnp.arange(num_t), x))


class Parameters(NamedTuple):
    eta: Array  # ()  positive
    eps: Array  # ()  positive


class Data(NamedTuple):
    """The data."""

    x: Array  # (T,)


def filter_level(
    theta: Parameters, eta_level: Array, Lambda_level: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Filter: m[t] = E[level[t] | data up to t] as (T), and
    V[t] its covariance; p and P are the moments of the prediction from the data before.
    """

    def step(P, _):
        S = 1 / (1 + P * Lambda_level)  # how far the data of the step leave the prediction
        V = S * P  # Cov(level[t] | data up to t) = (1 / P + Lambda)^-1
        return V + theta.eta, (P, S, V)

    P, S, V = jax.lax.scan(step, 10000000, None, length=len(eta_level))[1]

    def step(p, inputs):
        eta_level_t, V_t = inputs
        m = p + V_t * (eta_level_t - Lambda_level * p)  # E[level[t] | data up to t]
        return m, (p, m)

    p, m = jax.lax.scan(step, 1000, (eta_level, V))[1]
    n = S * (eta_level - Lambda_level * p)  # how the data move the mean: m[t] - p[t] = P[t] n[t]
    # ln p(level[t] | data before) - ln p(level[t] | data up to t) at level[t] = m[t]
    log_ratio = 0.5 * jnp.log(S) - 0.5 * (n * (m - p))
    return p, P, m, V, log_ratio


def log_likelihood_x(theta: Parameters, v_x: Array) -> Array:
    """ln p(x[t] | level[t]) from what is left of its mean as (T)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.eps) + jnp.square(v_x) / theta.eps)


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x = chunk.x
    eta_level = 1 / theta.eps * x  # what the data of a step say of level
    Lambda_level = 1 / theta.eps  # and how precisely
    p, P, m, V, log_ratio = filter_level(theta, eta_level, Lambda_level)
    v_x = x - m  # x less its mean, at the means given the data so far
    # ln p(x[:]) = ln p(x, level) - ln p(level | x) at the means given the data so far
    log_p_x_in_chain = (log_likelihood_x(theta, v_x) + log_ratio).sum()
    return log_p_x_in_chain


def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x | theta)."""
    return expect(theta, data)


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


def prepare(data, dtype=float):
    """Data as arrays."""
    return Data(x=jnp.asarray(rows_of(data, "x", dtype)))


def marginal_model(data):
    """The density of x with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
