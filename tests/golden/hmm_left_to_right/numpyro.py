# -*- coding: utf-8 -*-
"""NumPyro models of the network `hmm_left_to_right`; need only JAX, NumPy and NumPyro.

for t in 1..T:                                          a chain
    m[t] ~ Categorical(move[z[t-1]])                    latent; m[1] ~ Categorical([1, 0])
    z[t] ~ Categorical(array(2, 2, 2)[z[t-1],m[t]])     latent; z[1] ~ Categorical([1, 0])
    x[t] ~ Normal(mu[z[t]], var=sigma2[z[t]])           observed

Emitted by bnlab 0.1.0 from network a1d0cf0e.
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
    with numpyro.plate("k", 2, dim=-1):
        move = numpyro.param(
            "move",
            lambda key: jax.random.dirichlet(key, jnp.ones(2), (2,)),
            constraint=dist.constraints.simplex,
            event_dim=1,
        )
        mu = numpyro.param("mu", lambda key: jax.random.normal(key, (2,)), event_dim=0)
        sigma2 = numpyro.param("sigma2", jnp.ones((2,)), constraint=dist.constraints.positive, event_dim=0)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(move=move, mu=mu, sigma2=sigma2))


def model(x=None, num_t=None):
    """The generative model. Discrete latents are enumerated, in the dimensions from -2 leftwards.

    x: array (num_t,), or None to sample it
    num_t: the size of t, needed only without x
    """
    if x is not None:
        num_t = len(x)
    move, mu, sigma2 = parameters()

    def step(carry, inputs):
        z_prev, m_prev = carry
        t, x = inputs
        # m does not depend on m_prev: 0 * ... only makes NumPyro sum in the right order
        m = numpyro.sample(
            "m",
            dist.Categorical(jnp.where(t == 0, jnp.array([1.0, 0.0]), move[z_prev]) + 0 * m_prev[..., None]),
            infer={"enumerate": "parallel"},
        )
        z = numpyro.sample(
            "z",
            dist.Categorical(
                jnp.where(
                    t == 0,
                    jnp.array([1.0, 0.0]),
                    jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])[z_prev, m],
                )
            ),
            infer={"enumerate": "parallel"},
        )
        numpyro.sample("x", dist.Normal(mu[z], jnp.sqrt(sigma2[z])), obs=x)
        return (z, m), None

    scan(step, (jnp.zeros((), int), jnp.zeros((), int)), (jnp.arange(num_t), x))


class Parameters(NamedTuple):
    move: Array  # (K, M)  rows sum to 1
    mu: Array  # (K,)
    sigma2: Array  # (K,)    positive


class Data(NamedTuple):
    """The data."""

    x: Array  # (T,)


def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


def log_sum_exp(x, axis):
    """ln sum exp(x); where all of x is -inf so is the result, with gradient 0."""
    possible = (x > -jnp.inf).any(axis, keepdims=True)
    total = logsumexp(jnp.where(possible, x, 0), axis=axis)
    return jnp.where(possible.squeeze(axis), total, -jnp.inf)


def log_likelihood_x(theta: Parameters, x: Array) -> Array:
    """ln p(x[t] | z[t]=k) as (T, K)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.sigma2) + jnp.square(x[:, None] - theta.mu) / theta.sigma2)


def forward(theta: Parameters, log_b: Array) -> tuple[Array, Array]:
    """ln alpha as (T, M, K) and ln c as (T)."""

    def step(log_predicted, log_b_t):
        log_joint = log_predicted + log_b_t
        log_c_t = log_sum_exp(log_joint, (-2, -1))
        log_alpha_t = log_joint - jnp.where(log_c_t > -jnp.inf, log_c_t, 0)
        return log_sum_exp(
            (log_alpha_t[:, None] + log(theta.move).T)[..., None]
            + log(jnp.array((((1, 0), (0, 1)), ((0, 1), (0, 1))), float)).transpose(1, 0, 2),
            (0, 2),
        ), (log_alpha_t, log_c_t)

    log_alpha, log_c = jax.lax.scan(
        step, log(jnp.array((1, 0), float))[:, None] + log(jnp.array((1, 0), float)), log_b
    )[1]
    return log_alpha, log_c


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x = chunk.x
    log_b = log_likelihood_x(theta, x)  # ln p(x[t] | z[t]=k)
    log_alpha, log_c = forward(theta, log_b)
    log_p_x_in_chain = log_c.sum()  # ln p(x[:])
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
