# -*- coding: utf-8 -*-
"""NumPyro models of the network `markov_switching_regression`; need only JAX, NumPy and NumPyro.

for t in 1..T:                                                  a chain
    u[t]                                                        given
    z[t] ~ Categorical(A[z[t-1]])                               latent; z[1] ~ Categorical(pi)
    y[t] ~ Normal(beta[z[t]] * u[t] + mu[z[t]], var=sigma2)     observed

Emitted by bnlab 0.1.0 from network 57ff355d.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import logsumexp
from numpyro.contrib.control_flow import scan


def parameters():
    """The parameters: sampled where they have a prior, optimised where they have none."""
    pi = numpyro.param(
        "pi", lambda key: jax.random.dirichlet(key, jnp.ones(2)), constraint=dist.constraints.simplex
    )
    sigma2 = numpyro.param("sigma2", 1.0, constraint=dist.constraints.positive)
    with numpyro.plate("k", 2, dim=-1):
        A = numpyro.param(
            "A",
            lambda key: jax.random.dirichlet(key, jnp.ones(2), (2,)),
            constraint=dist.constraints.simplex,
            event_dim=1,
        )
        beta = numpyro.param("beta", lambda key: jax.random.normal(key, (2,)), event_dim=0)
        mu = numpyro.param("mu", lambda key: jax.random.normal(key, (2,)), event_dim=0)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(pi=pi, sigma2=sigma2, A=A, beta=beta, mu=mu))


def model(u, y=None):
    """The generative model. Discrete latents are enumerated, in the dimensions from -2 leftwards.

    u: array (num_t,)
    y: array (num_t,), or None to sample it
    """
    num_t = len(u)
    pi, sigma2, A, beta, mu = parameters()

    def step(carry, inputs):
        z_prev = carry
        t, u, y = inputs
        z = numpyro.sample(
            "z", dist.Categorical(jnp.where(t == 0, pi, A[z_prev])), infer={"enumerate": "parallel"}
        )
        numpyro.sample("y", dist.Normal(beta[z] * u + mu[z], jnp.sqrt(sigma2)), obs=y)
        return z, None

    scan(step, jnp.zeros((), int), (jnp.arange(num_t), u, y))


class Parameters(NamedTuple):
    pi: Array  # (K,)    sums to 1
    sigma2: Array  # ()      positive
    A: Array  # (K, K)  rows sum to 1
    beta: Array  # (K,)
    mu: Array  # (K,)


class Data(NamedTuple):
    """The data."""

    u: Array  # (T,)
    y: Array  # (T,)


def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


def log_sum_exp(x, axis):
    """ln sum exp(x); where all of x is -inf so is the result, with gradient 0."""
    possible = (x > -jnp.inf).any(axis, keepdims=True)
    total = logsumexp(jnp.where(possible, x, 0), axis=axis)
    return jnp.where(possible.squeeze(axis), total, -jnp.inf)


def log_likelihood_y(theta: Parameters, u: Array, y: Array) -> Array:
    """ln p(y[t] | z[t]=k) as (T, K)."""
    mean = u[:, None] * theta.beta + theta.mu
    return -0.5 * (jnp.log(2 * jnp.pi * theta.sigma2) + jnp.square(y[:, None] - mean) / theta.sigma2)


def forward(theta: Parameters, log_b: Array) -> tuple[Array, Array]:
    """ln alpha as (T, K) and ln c as (T)."""

    def step(log_predicted, log_b_t):
        log_joint = log_predicted + log_b_t
        log_c_t = log_sum_exp(log_joint, -1)
        log_alpha_t = log_joint - jnp.where(log_c_t > -jnp.inf, log_c_t, 0)
        return log_sum_exp(log_alpha_t[:, None] + log(theta.A), 0), (log_alpha_t, log_c_t)

    log_alpha, log_c = jax.lax.scan(step, log(theta.pi), log_b)[1]
    return log_alpha, log_c


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    u, y = chunk
    log_b = log_likelihood_y(theta, u, y)  # ln p(y[t] | z[t]=k)
    log_alpha, log_c = forward(theta, log_b)
    log_p_y_in_chain = log_c.sum()  # ln p(y[:])
    return log_p_y_in_chain


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
    return Data(u=jnp.asarray(rows_of(data, "u", dtype)), y=jnp.asarray(rows_of(data, "y", dtype)))


def marginal_model(data):
    """The density of y with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
