"""EM for a hidden Markov model by hand: rescaled messages over all sequences at once, counts as one product.

`log_likelihood(theta, x)` and the emission's statistics are those of a full-covariance Gaussian, or of a table of symbols.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular


class Gaussian(NamedTuple):
    pi: Array  # (K,)
    A: Array  # (K, K)
    mu: Array  # (K, D)
    Sigma: Array  # (K, D, D)


class Categorical(NamedTuple):
    pi: Array  # (K,)
    A: Array  # (K, K)
    B: Array  # (K, V)


def log_emission(theta: Gaussian | Categorical, x: Array) -> Array:
    """ln p(x[t,s] | z[t,s]=k) as (T, S, K)."""
    if isinstance(theta, Categorical):
        return jnp.log(theta.B).T[x]
    D = x.shape[-1]
    L = jnp.linalg.cholesky(theta.Sigma)
    whiten = jax.vmap(lambda L: solve_triangular(L, jnp.eye(D, dtype=L.dtype), lower=True))(L)
    y = jnp.einsum("tskd,ked->tske", x[..., None, :] - theta.mu, whiten)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (D * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def forward(theta: Gaussian | Categorical, b: Array) -> tuple[Array, Array]:
    """alpha as (T, S, K) and c as (T, S)."""

    def step(prior: Array, b_t: Array) -> tuple[Array, tuple[Array, Array]]:
        joint = prior * b_t
        c = joint.sum(-1)
        alpha = joint / c[:, None]
        return alpha @ theta.A, (alpha, c)

    return jax.lax.scan(step, jnp.broadcast_to(theta.pi, b.shape[1:]), b)[1]


def backward(theta: Gaussian | Categorical, b: Array, c: Array) -> Array:
    """beta as (T, S, K)."""

    def step(beta: Array, b_and_c: tuple[Array, Array]) -> tuple[Array, Array]:
        b_next, c_next = b_and_c
        beta = (beta * b_next / c_next[:, None]) @ theta.A.T
        return beta, beta

    last = jnp.ones_like(b[0])
    return jnp.concatenate([jax.lax.scan(step, last, (b[1:], c[1:]), reverse=True)[1], last[None]])


def em_step(theta: Gaussian | Categorical, x: Array, origin: Array) -> tuple[Gaussian | Categorical, Array]:
    """One iteration, and ln p(x) before it."""
    log_b = log_emission(theta, x)
    scale = log_b.max(-1)
    b = jnp.exp(log_b - scale[..., None])
    alpha, c = forward(theta, b)
    beta = backward(theta, b, c)
    q_z = alpha * beta
    onward = beta[1:] * b[1:] / c[1:, :, None]
    N_zz = theta.A * jnp.einsum("tsj,tsk->jk", alpha[:-1], onward)
    pi, A = q_z[0].sum(0), N_zz / N_zz.sum(-1, keepdims=True)
    log_p = (jnp.log(c) + scale).sum()
    if isinstance(theta, Categorical):
        N_zx = jnp.zeros_like(theta.B.T).at[x.reshape(-1)].add(q_z.reshape(-1, q_z.shape[-1])).T
        return Categorical(pi / pi.sum(), A, N_zx / N_zx.sum(-1, keepdims=True)), log_p
    r = x - origin
    N_z = q_z.sum((0, 1))
    mean = jnp.einsum("tsk,tsd->kd", q_z, r) / N_z[:, None]
    square = jnp.einsum("tsk,tsd,tse->kde", q_z, r, r) / N_z[:, None, None]
    return Gaussian(pi / pi.sum(), A, mean + origin, square - jnp.einsum("kd,ke->kde", mean, mean)), log_p


@jax.jit
def iterate(
    theta: Gaussian | Categorical, x: Array, origin: Array, iterations: int
) -> Gaussian | Categorical:
    return jax.lax.fori_loop(0, iterations, lambda _, theta: em_step(theta, x, origin)[0], theta)


log_evidence = jax.jit(lambda theta, x, origin: em_step(theta, x, origin)[1])
