"""EM for two-covariance PLDA by hand: the utterances enter only by the sums of speakers and the scatter within speakers.

z[s] ~ N(mu, across), x[s,i] ~ N(z[s], within). With `unlike[s]`, the sum of E[z[s]] - x[s,i] over i, what EM needs are two
moments of it: E[z[s]] is mu less across within^-1 unlike[s], and the scatter about E[z] is that within speakers plus the sum
of unlike unlike' / n. Few distinct numbers of utterances: one Cholesky factor and one moment of the sums for each. Many: rows
in the basis where `within` is the identity and `across` diagonal.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular
from scipy.sparse import csr_array

CHUNK = 512
"""Rows at a time: they stay in a core's cache."""


class Parameters(NamedTuple):
    mu: Array  # (D,)
    Sigma_ac: Array  # (D, D)
    Sigma_wc: Array  # (D, D)


class Speakers(NamedTuple):
    """What all forms read: the G distinct numbers of utterances, and sums about the centre."""

    centre: Array  # (D,)
    scatter: Array  # (D, D)  within speakers
    n: Array  # (G,)  numbers of utterances
    members: Array  # (G,)  speakers that have so many


class Moments(NamedTuple):
    """Of the sums of speakers, for each number of utterances."""

    speakers: Speakers
    S: Array  # (G, D)
    SS: Array  # (G, D, D)


class Rows(NamedTuple):
    """The sums of speakers, in chunks; rows that fill up the last one have n = 0."""

    speakers: Speakers
    sums: Array  # (chunks, rows, D)
    n: Array  # (chunks, rows)
    weight: Array  # (chunks, rows)  1 / n, or 0


class Statistics(NamedTuple):
    """Sums over speakers; `z` is about mu."""

    z: Array  # (D,)
    zz: Array  # (D, D)
    rr: Array  # (D, D)  scatter about z
    log_p: Array  # ()


def prepare(x: np.ndarray, speaker: np.ndarray) -> Moments | Rows:
    """One pass for the sums, one for the scatter. Speakers are numbered from 0 and stand together."""
    n = np.bincount(speaker)
    D, ends = x.shape[1], np.concatenate([[0], np.cumsum(n)])
    sums = csr_array((np.ones(len(x), x.dtype), np.arange(len(x)), ends)) @ x
    mean, scatter = sums / n[:, None].astype(x.dtype), np.zeros((D, D), x.dtype)
    for start in range(0, len(x), CHUNK):
        r = x[start : start + CHUNK] - mean[speaker[start : start + CHUNK]]
        scatter += r.T @ r
    centre = sums.sum(0) / np.asarray(len(x), x.dtype)
    sums -= n[:, None] * centre
    values, count = np.unique(n, return_counts=True)
    shared = Speakers(*map(jnp.asarray, (centre, scatter, values.astype(x.dtype), count.astype(x.dtype))))
    if len(values) * D < len(n):
        groups = [sums[n == value] for value in values]
        S, SS = np.stack([g.sum(0) for g in groups]), np.stack([g.T @ g for g in groups])
        return Moments(shared, jnp.asarray(S), jnp.asarray(SS))
    return in_chunks(shared, sums, n.astype(x.dtype))


def in_chunks(shared: Speakers, sums: np.ndarray, n: np.ndarray) -> Rows:
    filled = -len(n) % CHUNK
    sums, n = np.pad(sums, ((0, filled), (0, 0))), np.pad(n, (0, filled))
    weight = np.where(n > 0, 1 / np.maximum(n, 1), 0).astype(n.dtype)
    return Rows(
        shared,
        jnp.asarray(sums.reshape(-1, CHUNK, sums.shape[1])),
        jnp.asarray(n.reshape(-1, CHUNK)),
        jnp.asarray(weight.reshape(-1, CHUNK)),
    )


def log_det(L: Array) -> Array:
    """Of a matrix, from its Cholesky factor."""
    return 2 * jnp.log(jnp.diagonal(L)).sum()


def log_within(theta: Parameters, data: Speakers, L: Array) -> Array:
    """What a log-likelihood owes to the scatter within speakers; L is the factor of Sigma_wc."""
    utterances = data.n @ data.members
    each = len(theta.mu) * jnp.log(2 * jnp.pi) + log_det(L)
    return -0.5 * (utterances * each + jnp.trace(cho_solve((L, True), data.scatter)))


def by_moments(theta: Parameters, data: Moments) -> Statistics:
    """For each n the gain is K = across (across + within / n)^-1."""
    mu, across, within = theta
    shared = data.speakers
    offset = mu - shared.centre

    def group(n: Array, count: Array, S: Array, SS: Array) -> Statistics:
        mean = S / n - count * offset  # of speakers' means less mu, summed
        cross = jnp.outer(S / n, offset)
        square = SS / n**2 - cross - cross.T + count * jnp.outer(offset, offset)
        L = jnp.linalg.cholesky(across + within / n)
        J = cho_solve((L, True), across)  # K'
        KB = J.T @ square
        KBK = KB @ J
        V = count * (across - J.T @ across)
        quadratic = jnp.trace(cho_solve((L, True), square))
        return Statistics(
            z=mean @ J,
            zz=KBK + V,
            rr=n * (square - KB - KB.T + KBK + V),
            log_p=-0.5 * (quadratic + count * (log_det(L) + len(mu) * jnp.log(n))),
        )

    groups = jax.vmap(group)(shared.n, shared.members, data.S, data.SS)
    total = jax.tree.map(lambda each: each.sum(0), groups)
    L = jnp.linalg.cholesky(within)
    log_p = total.log_p + log_within(theta, shared, L) + 0.5 * shared.members.sum() * log_det(L)
    return total._replace(rr=total.rr + shared.scatter, log_p=log_p)


def unlike_moments(data: Rows, whiten: Array, offset: Array, variance: Array) -> tuple[Array, Array, Array]:
    """Sums of u, u u' and u u' / n in the basis, where u is n E[z] less the sum of a speaker's utterances.

    The products are symmetric, so that a quarter of each is left out.
    """
    half = len(variance) // 2
    parts = slice(None, half), slice(half, None)

    def chunk(sums: Array, n: Array, weight: Array) -> tuple[list[Array], list[Array], list[Array]]:
        n = n[:, None]
        u = [(n * offset[at] - sums @ whiten[:, at]) / (1 + n * variance[at]) for at in parts]
        v = [weight[:, None] * part for part in u]
        pairs = [(0, 0), (0, 1), (1, 1)]
        products = [[u[i].T @ right[j] for i, j in pairs] for right in (u, v)]
        return [part.sum(0) for part in u], products[0], products[1]

    rows = data.sums, data.n, data.weight
    zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(chunk, *(each[0] for each in rows)))
    u, *products = jax.lax.scan(
        lambda total, rows: (jax.tree.map(jnp.add, total, chunk(*rows)), None), zero, rows
    )[0]
    uu, uu_n = (jnp.block([[a, b], [b.T, c]]) for a, b, c in products)
    return jnp.concatenate(u), uu, uu_n


def by_rows(theta: Parameters, data: Rows) -> Statistics:
    """In the basis a speaker's posterior has the variances v / (1 + n v)."""
    mu, across, within = theta
    shared = data.speakers
    L = jnp.linalg.cholesky(within)
    half = solve_triangular(L, across, lower=True)
    v, U = jnp.linalg.eigh(solve_triangular(L, half.T, lower=True))
    whiten, back = solve_triangular(L, U, lower=True, trans=1), L @ U
    u, uu, uu_n = unlike_moments(data, whiten, (mu - shared.centre) @ whiten, v)
    shrunk = 1 + shared.n[:, None] * v
    V, nV = shared.members @ (v / shrunk), (shared.members * shared.n) @ (v / shrunk)
    quadratic = jnp.trace(uu_n) + v @ jnp.diagonal(uu)
    return Statistics(
        z=-back @ (v * u),
        zz=back @ (v[:, None] * uu * v + jnp.diag(V)) @ back.T,
        rr=back @ (uu_n + jnp.diag(nV)) @ back.T + shared.scatter,
        log_p=log_within(theta, shared, L) - 0.5 * (shared.members @ jnp.log(shrunk).sum(-1) + quadratic),
    )


def e_step(theta: Parameters, data: Moments | Rows) -> Statistics:
    return by_moments(theta, data) if isinstance(data, Moments) else by_rows(theta, data)


def m_step(theta: Parameters, s: Statistics, data: Speakers) -> Parameters:
    speakers = data.members.sum()
    mean = s.z / speakers
    return Parameters(
        theta.mu + mean, s.zz / speakers - jnp.outer(mean, mean), s.rr / (data.members @ data.n)
    )


@jax.jit
def iterate(theta: Parameters, data: Moments | Rows, iterations: int) -> Parameters:
    def step(_: int, theta: Parameters) -> Parameters:
        return m_step(theta, e_step(theta, data), data.speakers)

    return jax.lax.fori_loop(0, iterations, step, theta)


log_evidence = jax.jit(lambda theta, data: e_step(theta, data).log_p)
