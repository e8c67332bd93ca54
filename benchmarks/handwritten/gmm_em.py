"""EM for a Gaussian mixture by hand: full covariances, E-step over chunks, moments about an origin."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp


class Parameters(NamedTuple):
    pi: Array  # (K,)
    mu: Array  # (K, D)
    Sigma: Array  # (K, D, D)


class Statistics(NamedTuple):
    log_p: Array  # ()
    N_z: Array  # (K,)
    Sx: Array  # (K, D)
    Sxx: Array  # (K, D, D)


def log_joint(theta: Parameters, x: Array) -> Array:
    """ln p(x[n], z[n]=k) as (N, K)."""
    D = x.shape[-1]
    L = jnp.linalg.cholesky(theta.Sigma)
    whiten = jax.vmap(lambda L: solve_triangular(L, jnp.eye(D, dtype=L.dtype), lower=True))(L)
    y = jnp.einsum("nkd,ked->nke", x[:, None] - theta.mu, whiten)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return jnp.log(theta.pi) - 0.5 * (D * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def e_step(theta: Parameters, x: Array, weight: Array, origin: Array) -> Statistics:
    log_p_xz = log_joint(theta, x)
    log_p_x = logsumexp(log_p_xz, axis=-1)
    q_z = jnp.exp(log_p_xz - log_p_x[:, None]) * weight[:, None]
    r = x - origin
    return Statistics(
        log_p=weight @ log_p_x,
        N_z=q_z.sum(0),
        Sx=jnp.einsum("nk,nd->kd", q_z, r),
        Sxx=jnp.einsum("nk,nd,ne->kde", q_z, r, r),
    )


def m_step(s: Statistics, origin: Array) -> Parameters:
    mean = s.Sx / s.N_z[:, None]
    return Parameters(
        pi=s.N_z / s.N_z.sum(),
        mu=mean + origin,
        Sigma=s.Sxx / s.N_z[:, None, None] - jnp.einsum("kd,ke->kde", mean, mean),
    )


def expect(theta: Parameters, x: Array, weight: Array, origin: Array) -> Statistics:
    """E-step over chunks of rows, x as (chunks, rows, D)."""
    zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(e_step, theta, x[0], weight[0], origin))

    def add(total: Statistics, chunk: tuple[Array, Array]) -> tuple[Statistics, None]:
        return jax.tree.map(jnp.add, total, e_step(theta, *chunk, origin)), None

    return jax.lax.scan(add, zero, (x, weight))[0]


@jax.jit
def iterate(theta: Parameters, x: Array, weight: Array, origin: Array, iterations: int) -> Parameters:
    def step(_: int, theta: Parameters) -> Parameters:
        return m_step(expect(theta, x, weight, origin), origin)

    return jax.lax.fori_loop(0, iterations, step, theta)


log_evidence = jax.jit(lambda theta, x, weight, origin: expect(theta, x, weight, origin).log_p)
