# -*- coding: utf-8 -*-
"""NumPyro models of the network `local_linear_trend`; need only JAX, NumPy and NumPyro.

for t in 1..T:                                              a chain
    slope[t] ~ Normal(slope[t-1], var=zeta)                 latent; slope[1] ~ Normal(0, var=10000000)
    level[t] ~ Normal(level[t-1] + slope[t-1], var=eta)     latent; level[1] ~ Normal(1000, var=10000000)
    x[t] ~ Normal(level[t], var=eps)                        observed

Emitted by bnlab 0.1.0 from network 7b248c9c.
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
    zeta = numpyro.param("zeta", 1.0, constraint=dist.constraints.positive)
    eps = numpyro.param("eps", 1.0, constraint=dist.constraints.positive)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(eta=eta, zeta=zeta, eps=eps))


def model(x=None, num_t=None):
    """The generative model.

    x: array (num_t,), or None to sample it
    num_t: the size of t, needed only without x
    """
    if x is not None:
        num_t = len(x)
    eta, zeta, eps = parameters()

    def step(carry, inputs):
        slope_prev, level_prev = carry
        t, x = inputs
        slope = numpyro.sample(
            "slope",
            dist.Normal(jnp.where(t == 0, 0.0, slope_prev), jnp.sqrt(jnp.where(t == 0, 10000000.0, zeta))),
        )
        level = numpyro.sample(
            "level",
            dist.Normal(
                jnp.where(t == 0, 1000.0, level_prev + slope_prev),
                jnp.sqrt(jnp.where(t == 0, 10000000.0, eta)),
            ),
        )
        numpyro.sample("x", dist.Normal(level, jnp.sqrt(eps)), obs=x)
        return (slope, level), None

    scan(step, (jnp.zeros(()), jnp.zeros(())), (jnp.arange(num_t), x))


class Parameters(NamedTuple):
    eta: Array  # ()  positive
    zeta: Array  # ()  positive
    eps: Array  # ()  positive


class Data(NamedTuple):
    """The data."""

    x: Array  # (T,)


def product(A, B):
    """A @ B; small matrices as sums written out, which the compiler fuses: BLAS costs more than they do."""
    if max(A.size * B.shape[-1], B.size * A.shape[-2]) < 4096:
        return (A[..., :, None] * B[..., None, :, :]).sum(-2)
    if A.shape[-1] <= 8:
        return sum(A[..., k, None] * B[..., None, k, :] for k in range(A.shape[-1]))
    return A @ B


def predicted_covariances(P, F, Q, Lambda, steps):
    """Those of so many steps, the first of them P, each F (P^-1 + Lambda)^-1 F' + Q of the one before.

    About sqrt(steps) of them one by one, the others many at once: k steps take P to A (P^-1 + J)^-1 A' + C,
    where A, C and J are found by doubling k (Anderson and Moore 1979, section 6.7).
    """
    unit = jnp.eye(P.shape[-1], dtype=P.dtype)
    F, Q, Lambda = (jnp.broadcast_to(M, P.shape).astype(P.dtype) for M in (F, Q, Lambda))

    def ahead(P, A, C, J):
        V = product(jnp.linalg.inv(unit + product(P, J)), P)
        return product(product(A, V), A.mT) + C

    def twice(_, now):
        A, C, J = now
        S = jnp.linalg.inv(unit + C @ J)
        return A @ S @ A, A @ S @ C @ A.mT + C, A.mT @ J @ S @ A + J

    doublings = steps.bit_length() // 2
    early = 8  # steps that are not taken together: a wide start would cost digits
    taken = jax.lax.scan(lambda P, _: (ahead(P, F, Q, Lambda), P), P, None, length=early + 2**doublings)[1]
    block = taken[early:]
    A, C, J = jax.lax.fori_loop(0, doublings, twice, (F, Q, Lambda))
    blocks = jax.lax.scan(lambda P, _: (ahead(P, A, C, J), P), block, None, length=-(-steps // len(block)))[1]
    return jnp.concatenate([taken[:early], blocks.reshape(-1, *P.shape)])[:steps]


def filter_state(
    theta: Parameters,
    eta_state: Array,
    Lambda_state: Array,
    Q_state: Array,
    F_state: Array,
    p_first: Array,
    P_first: Array,
) -> tuple[Array, Array, Array, Array, Array]:
    """Filter: m[t] = E[state[t] | data up to t] as (T, A), and
    V[t] its covariance; p and P are the moments of the prediction from the data before.
    """
    # Cov(state[t] | data before): each follows from the one before in the same way
    P = predicted_covariances(P_first, F_state, Q_state, Lambda_state, len(eta_state))
    # how far the data of the step leave the prediction
    S = jnp.linalg.inv(jnp.eye(2) + product(P, Lambda_state))
    V = product(S, P)  # Cov(state[t] | data up to t) = (P^-1 + Lambda)^-1

    def step(p, inputs):
        eta_state_t, V_t = inputs
        m = p + V_t @ (eta_state_t - Lambda_state @ p)  # E[state[t] | data up to t]
        return F_state @ m, (p, m)

    p, m = jax.lax.scan(step, p_first, (eta_state, V))[1]
    # how the data move the mean: m[t] - p[t] = P[t] n[t]
    n = jnp.einsum("tca,tc->ta", S, eta_state - product(p, Lambda_state.T))
    # ln p(state[t] | data before) - ln p(state[t] | data up to t) at state[t] = m[t]
    log_ratio = 0.5 * jnp.linalg.slogdet(S)[1] - 0.5 * jnp.einsum("ta,ta->t", n, m - p)
    return p, P, m, V, log_ratio


def log_likelihood_x(theta: Parameters, v_x: Array) -> Array:
    """ln p(x[t] | level[t]) from what is left of its mean as (T)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.eps) + jnp.square(v_x) / theta.eps)


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x = chunk.x
    eta_level = 1 / theta.eps * x  # of level alone
    # what the data of a step say of (slope, level)
    eta_state = jnp.stack([jnp.zeros(eta_level.shape), eta_level], -1)
    Lambda_state = jnp.array([[0.0, 0.0], [0.0, 1 / theta.eps]])  # and how precisely
    # (slope, level) of a step, from those of the step before
    F_state = jnp.array([[1.0, 0.0], [1.0, 1.0]])
    Q_state = jnp.array([[theta.zeta, 0.0], [0.0, theta.eta]])  # covariance of what a step adds
    P_first = jnp.array([[10000000.0, 0.0], [0.0, 10000000.0]])  # covariance of the first step
    p_first = jnp.array([0.0, 1000.0])  # mean of the first step
    p, P, m, V, log_ratio = filter_state(theta, eta_state, Lambda_state, Q_state, F_state, p_first, P_first)
    m_level = m[..., 1]  # E[level[t] | data so far]
    v_x = x - m_level  # x less its mean, at the means given the data so far
    # ln p(x[:]) = ln p(x, slope, level) - ln p(slope, level | x) at the means given the data so far
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
