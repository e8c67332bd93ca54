"""EM for a linear dynamical system by hand: sequences of one length, so that one recursion of covariances serves all.

y[0] ~ N(0, I), y[t] ~ N(F y[t-1], Q), x[t] ~ N(H y[t], R). What is observed enters as h = H' R^-1 x and C = H' R^-1 H, so
that only matrices of the state's size are inverted, and those by elimination, unrolled. The map from one covariance to the
next is the same at all steps: composed with itself it takes a block of steps at once, so that few of them wait for each other.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular


class Parameters(NamedTuple):
    F: Array  # (L, L)
    Q: Array  # (L, L)
    H: Array  # (D, L)
    R: Array  # (D, D)


class Gains(NamedTuple):
    """What does not depend on the observations."""

    P: Array  # (T, L, L)  covariance of y[t] given x[:t]
    V: Array  # (T, L, L)  covariance of y[t] given x[:t+1]
    J: Array  # (T-1, L, L)  of y[t+1] on y[t], backwards
    rest: Array  # (T-1, L, L)  I - J F


class Moments(NamedTuple):
    """Sums over all sequences and steps."""

    Syy: Array  # (L, L)  y[t] y[t]'
    first: Array  # (L, L)  y[0] y[0]'
    last: Array  # (L, L)  y[T-1] y[T-1]'
    onward: Array  # (L, L)  y[t] y[t-1]'
    Sxy: Array  # (D, L)  x[t] y[t]'


def inverse(S: Array) -> Array:
    """Of small positive definite matrices (..., L, L)."""
    L = S.shape[-1]
    for k in range(L):
        row, column, pivot = S[..., k, None, :], S[..., :, k, None], S[..., k, None, k, None]
        here = jnp.arange(L) == k
        swept = jnp.where(here[:, None], row / pivot, S - column * row / pivot)
        S = jnp.where(here, jnp.where(here[:, None], 1 / pivot, -column / pivot), swept)
    return S


def observed(theta: Parameters, x: Array) -> tuple[Array, Array]:
    """h = H' R^-1 x as (T, S, L), and C = H' R^-1 H."""
    J_H = cho_solve((jnp.linalg.cholesky(theta.R), True), theta.H)
    return x @ J_H, theta.H.T @ J_H


def ahead(F: Array, Q: Array, C: Array, P: Array) -> Array:
    """The next covariance: F (P^-1 + C)^-1 F' + Q."""
    return F @ inverse(inverse(P) + C) @ F.T + Q


def twice(F: Array, Q: Array, C: Array) -> tuple[Array, Array, Array]:
    """The F, Q and C of two steps at once."""
    J_Q = inverse(Q)
    V = inverse(J_Q + C)
    onward = V @ J_Q @ F
    return F @ onward, F @ V @ F.T + Q, F.T @ C @ onward + C


def covariances(F: Array, Q: Array, C: Array, T: int) -> Array:
    """P as (T, L, L): a block of about sqrt(T) steps one by one, then block by block."""
    doublings = round(math.log2(T) / 2)
    first = jnp.eye(len(F), dtype=F.dtype)
    block = jax.lax.scan(lambda P, _: (ahead(F, Q, C, P), P), first, length=2**doublings)[1]
    F, Q, C = jax.lax.fori_loop(0, doublings, lambda _, now: twice(*now), (F, Q, C))
    P = jax.lax.scan(lambda P, _: (ahead(F, Q, C, P), P), block, length=-(-T // len(block)))[1]
    return P.reshape(-1, *F.shape)[:T]


def gains(theta: Parameters, C: Array, T: int) -> Gains:
    P = covariances(theta.F, theta.Q, C, T)
    J_P = inverse(P)
    V = inverse(J_P + C)
    J = V[:-1] @ theta.F.T @ J_P[1:]
    return Gains(P, V, J, jnp.eye(len(C), dtype=C.dtype) - J @ theta.F)


def forward(theta: Parameters, g: Gains, h: Array, C: Array) -> Array:
    """E[y[t] | x[:t+1]] as (T, S, L)."""

    def step(mean: Array, t: tuple[Array, Array]) -> tuple[Array, Array]:
        A, own = t
        mean = own + mean @ A.T
        return mean, mean

    A = (jnp.eye(len(C), dtype=C.dtype) - g.V @ C) @ theta.F
    return jax.lax.scan(step, jnp.zeros_like(h[0]), (A, h @ g.V))[1]


def backward(g: Gains, mean: Array) -> Array:
    """E[y[t] | x] as (T, S, L)."""

    def step(mean: Array, t: tuple[Array, Array]) -> tuple[Array, Array]:
        J, own = t
        mean = own + mean @ J.T
        return mean, mean

    before = jax.lax.scan(step, mean[-1], (g.J, mean[:-1] @ g.rest.mT), reverse=True)[1]
    return jnp.concatenate([before, mean[-1:]])


def smoothed(g: Gains) -> Array:
    """Covariances of y[t] given x as (T, L, L)."""

    def step(W: Array, t: tuple[Array, Array]) -> tuple[Array, Array]:
        J, own = t
        W = own + J @ W @ J.T
        return W, W

    before = jax.lax.scan(step, g.V[-1], (g.J, g.rest @ g.V[:-1]), reverse=True)[1]
    return jnp.concatenate([before, g.V[-1:]])


def square(a: Array, b: Array) -> Array:
    """Sum of a b' over all but the last axis."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


def e_step(theta: Parameters, x: Array) -> Moments:
    T, S = x.shape[:2]
    h, C = observed(theta, x)
    g = gains(theta, C, T)
    mean, W = backward(g, forward(theta, g, h, C)), smoothed(g)
    return Moments(
        Syy=square(mean, mean) + S * W.sum(0),
        first=square(mean[0], mean[0]) + S * W[0],
        last=square(mean[-1], mean[-1]) + S * W[-1],
        onward=square(mean[1:], mean[:-1]) + S * (W[1:] @ g.J.mT).sum(0),
        Sxy=square(x, mean),
    )


def regression(yx: Array, xx: Array, yy: Array, count: int) -> tuple[Array, Array]:
    """The matrix that takes x to y, and the covariance of what is left, from sums of products."""
    B = jnp.linalg.solve(xx, yx.T).T
    left = (yy - B @ yx.T) / count
    return B, (left + left.T) / 2


def m_step(s: Moments, Sxx: Array, T: int, S: int) -> Parameters:
    F, Q = regression(s.onward, s.Syy - s.last, s.Syy - s.first, (T - 1) * S)
    H, R = regression(s.Sxy, s.Syy, Sxx, T * S)
    return Parameters(F, Q, H, R)


@jax.jit
def iterate(theta: Parameters, x: Array, iterations: int) -> Parameters:
    """x as (T, S, D)."""
    Sxx = square(x, x)
    return jax.lax.fori_loop(
        0, iterations, lambda _, theta: m_step(e_step(theta, x), Sxx, *x.shape[:2]), theta
    )


@jax.jit
def log_evidence(theta: Parameters, x: Array) -> Array:
    """Of what each step adds to those before: x[t] ~ N(H F y[t-1], H P H' + R)."""
    h, C = observed(theta, x)
    g = gains(theta, C, len(x))
    onward = forward(theta, g, h, C)[:-1] @ theta.F.T
    expected = jnp.concatenate([jnp.zeros_like(onward[:1]), onward]) @ theta.H.T
    L = jnp.linalg.cholesky(theta.H @ g.P @ theta.H.T + theta.R)
    y = solve_triangular(L, (x - expected).mT, lower=True)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum()
    return -0.5 * (x.size * jnp.log(2 * jnp.pi) + x.shape[1] * log_det + (y * y).sum())
