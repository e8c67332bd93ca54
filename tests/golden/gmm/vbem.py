# -*- coding: utf-8 -*-
"""Variational EM for the network `gmm`, derived from its declaration; needs only JAX and NumPy.

pi ~ Dirichlet(1)                                          prior
for k in 1..2:
    mu[k] ~ Normal([3.49, 70.9], std=[5.7, 68])            prior
    Sigma[k] ~ InverseWishart(4, [[0.65, 0], [0, 92]])     prior
for n in 1..N:
    z[n] ~ Categorical(pi)                                 latent
    x[n] ~ Normal(mu[z[n]], cov=Sigma[z[n]])               observed

The posterior of latents z and parameters theta is approximated by q(z) q(theta), as near as can be in KL
divergence.
E-step   q_z[n,k] = P(z[n]=k | x)
M-step   q(pi), q(mu), q(Sigma) in turn, each the best given the others

Emitted by bnlab 0.1.0 from network 9b69178e.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import digamma, gammaln, logsumexp

jax.config.update("jax_enable_x64", True)


class Posterior(NamedTuple):
    """The hyperparameters of q(theta), a product of one factor for each parameter."""

    pi_concentration: Array  # (K,)       of q(pi), Dirichlet
    mu_mean: Array  # (K, D)     of q(mu), Normal
    mu_cov: Array  # (K, D, D)  of q(mu), Normal
    Sigma_df: Array  # (K,)       of q(Sigma), InverseWishart
    Sigma_scale: Array  # (K, D, D)  of q(Sigma), InverseWishart


# p(theta), in the same form
PRIOR = Posterior(
    pi_concentration=np.ones(2),
    mu_mean=np.array(((3.49, 70.9), (3.49, 70.9)), float),
    mu_cov=np.broadcast_to(np.array(((32.49, 0), (0, 4624)), float), (2, 2, 2)),
    Sigma_df=np.full(2, 4.0),
    Sigma_scale=np.broadcast_to(np.array(((0.65, 0), (0, 92)), float), (2, 2, 2)),
)


class Parameters(NamedTuple):
    """What the E-step reads of q(theta): a point, and what E[ln p] is more than ln p there."""

    pi: Array  # (K,)       exp E[ln pi]
    mu: Array  # (K, D)     E[mu]
    Sigma: Array  # (K, D, D)  E[Sigma^-1]^-1
    offset_x: Array  # (K,)       E[ln p(x | ...)] is this and ln p at the values above


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (N, D)
    weight: Array  # (N,)    0 for padding


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()         ln of what normalises q(z): E[ln p(x, z | theta)] + H(q(z))
    N_z: Array  # (K,)       sum_n q_z[n,k]
    Sx: Array  # (K, D)     sum_n q_z[n,k] r[n]
    Sxx: Array  # (K, D, D)  sum_n q_z[n,k] r[n] r[n]'


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


@jax.jit
def expectations(q: Posterior) -> Parameters:
    """Where ln p(x, z | theta), with the offsets, is E[ln p(x, z | theta)] under q(theta)."""
    precision = q.Sigma_df[:, None, None] * jnp.linalg.inv(q.Sigma_scale)  # E[Sigma^-1]
    return Parameters(
        pi=jnp.exp(digamma(q.pi_concentration) - digamma(q.pi_concentration.sum())),
        mu=q.mu_mean,
        Sigma=q.Sigma_scale / q.Sigma_df[:, None, None],
        offset_x=-0.5
        * (
            2 * jnp.log(q.Sigma_df / 2)
            - digamma((q.Sigma_df[:, None] - jnp.arange(2)) / 2).sum(-1)
            + jnp.einsum("kde,kde->k", precision, q.mu_cov)
        ),
    )


def log_likelihood_x(theta: Parameters, x: Array) -> Array:
    """ln p(x[n] | z[n]=k) as (N, K)."""
    L = jnp.linalg.cholesky(theta.Sigma)
    whiten = inverse_lower(L)
    y = jnp.einsum("nkd,ked->nke", x[:, None] - theta.mu, whiten)  # L^-1 (x - mean)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (2 * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under q(z)."""
    x, weight = chunk
    log_p_xz = jnp.log(theta.pi) + (log_likelihood_x(theta, x) + theta.offset_x)  # ln p(x[n], z[n]=k)
    log_p_x = logsumexp(log_p_xz, axis=-1)  # ln p(x[n]): sums out z
    q_z = jnp.exp(log_p_xz - log_p_x[:, None]) * weight[:, None]  # P(z[n]=k | x)
    r = x - theta.mu.mean(0)  # data far from 0 lose no digits
    return Statistics(
        log_p=weight @ log_p_x,
        N_z=q_z.sum(0),
        Sx=jnp.einsum("nk,nd->kd", q_z, r),
        Sxx=jnp.einsum("nk,nd,ne->kde", q_z, r, r),
    )


@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data, chunk by chunk: memory is that of one chunk."""
    zero = jax.eval_shape(expect, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, expect(theta, chunk)), None

    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]


@jax.jit
def divergence(q: Posterior) -> Array:
    """KL(q(theta) || p(theta)): the sum of those of the parameters."""
    # of Dirichlets
    kl_pi = (
        (q.pi_concentration - PRIOR.pi_concentration)
        * (digamma(q.pi_concentration) - digamma(q.pi_concentration.sum()))
    ).sum() + (
        gammaln(q.pi_concentration.sum())
        - gammaln(q.pi_concentration).sum()
        - (gammaln(PRIOR.pi_concentration.sum()) - gammaln(PRIOR.pi_concentration).sum())
    )
    # of Normals
    kl_mu = (
        0.5
        * jnp.einsum(
            "kd,kde,ke->k", q.mu_mean - PRIOR.mu_mean, jnp.linalg.inv(PRIOR.mu_cov), q.mu_mean - PRIOR.mu_mean
        ).sum()
        + 0.5 * (jnp.einsum("kde,kde->k", jnp.linalg.inv(PRIOR.mu_cov), q.mu_cov) - 2).sum()
        + 0.5 * (jnp.linalg.slogdet(PRIOR.mu_cov)[1] - jnp.linalg.slogdet(q.mu_cov)[1]).sum()
    )
    # of InverseWisharts
    kl_Sigma = (
        (
            0.5
            * PRIOR.Sigma_df
            * (jnp.linalg.slogdet(q.Sigma_scale)[1] - jnp.linalg.slogdet(PRIOR.Sigma_scale)[1])
        ).sum()
        + (
            0.5
            * q.Sigma_df
            * (jnp.einsum("kde,kde->k", PRIOR.Sigma_scale, jnp.linalg.inv(q.Sigma_scale)) - 2)
        ).sum()
        + (
            gammaln((PRIOR.Sigma_df[:, None] - jnp.arange(2)) / 2)
            - gammaln((q.Sigma_df[:, None] - jnp.arange(2)) / 2)
        )
        .sum(-1)
        .sum()
        + (
            0.5 * (q.Sigma_df - PRIOR.Sigma_df) * digamma((q.Sigma_df[:, None] - jnp.arange(2)) / 2).sum(-1)
        ).sum()
    )
    return kl_pi + kl_mu + kl_Sigma


def elbo(q: Posterior, data: Data) -> Array:
    """The lower bound of ln p(x): E[ln p(x, z, theta)] - E[ln q(z)] - E[ln q(theta)], at the best q(z)."""
    return e_step(expectations(q), data).log_p - divergence(q)


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Posterior:
    """q(theta) given q(z): the priors' hyperparameters and what the statistics add."""
    s = statistics
    origin = theta.mu.mean(0)
    precision = jnp.linalg.inv(theta.Sigma)  # E[Sigma^-1]
    # Cov(mu) under q
    cov = jnp.linalg.inv(jnp.linalg.inv(PRIOR.mu_cov) + jnp.einsum("k,kde->kde", s.N_z, precision))
    moment = jnp.einsum("kde,ke->kd", jnp.linalg.inv(PRIOR.mu_cov), PRIOR.mu_mean - origin) + jnp.einsum(
        "kde,ke->kd", precision, s.Sx
    )
    mean = jnp.einsum("kde,ke->kd", cov, moment)  # E[mu] less the origin
    return Posterior(
        pi_concentration=PRIOR.pi_concentration + s.N_z,
        mu_mean=mean + origin,
        mu_cov=cov,
        Sigma_df=PRIOR.Sigma_df + s.N_z,
        Sigma_scale=PRIOR.Sigma_scale
        + (
            s.Sxx
            - (jnp.einsum("kd,ke->kde", s.Sx, mean) + jnp.einsum("kd,ke->kde", mean, s.Sx))
            + jnp.einsum("k,kd,ke->kde", s.N_z, mean, mean)
        )
        + jnp.einsum("k,kde->kde", s.N_z, cov),
    )


def means(q: Posterior) -> dict:
    """E[theta] under q(theta)."""
    return dict(
        pi=q.pi_concentration / q.pi_concentration.sum(),
        mu=q.mu_mean,
        Sigma=jnp.where(
            (q.Sigma_df - 3 > 0)[:, None, None], q.Sigma_scale / (q.Sigma_df - 3)[:, None, None], jnp.nan
        ),
    )


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
        x=put(rows_of(data, "x", dtype, (2,)), (chunk_n, place_n)), weight=put(weights, (chunk_n, place_n), 0)
    )


def cluster(x, K, rng, method):
    """Centres (K, ...), and what they leave of each row of x (N, ...); by k-means, or K rows at random."""

    def squares(a, b):
        return np.maximum((a * a).sum(-1)[:, None] - 2 * a @ b.T + (b * b).sum(-1), 0)

    flat = x.reshape(len(x), -1).astype(float)
    centre, scale = flat.mean(0), np.maximum(flat.std(0), np.finfo(float).tiny)
    scaled = (flat - centre) / scale
    sample = scaled[rng.choice(len(x), min(len(x), 20000), replace=False)]
    if method == "random":
        means = sample[rng.choice(len(sample), K, replace=len(sample) < K)]
    else:
        means = sample[rng.integers(len(sample))][None]
        for _ in range(K - 1):
            far = squares(sample, means).min(1)
            chance = far / far.sum() if far.sum() > 0 else None
            means = np.concatenate([means, sample[rng.choice(len(sample), p=chance)][None]])
        for _ in range(20):
            label = squares(sample, means).argmin(1)
            means = np.stack(
                [sample[label == k].mean(0) if (label == k).any() else means[k] for k in range(K)]
            )
    label = np.concatenate(
        [squares(part, means).argmin(1) for part in np.array_split(scaled, len(x) // 4096 + 1)]
    )
    rest = (scaled - means[label]) * scale
    return (means * scale + centre).reshape(K, *x.shape[1:]), rest.reshape(x.shape)


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def start(data, seed=0, method="data"):
    """A point that q(theta) starts from."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x)[np.asarray(data.weight) > 0], 2, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        mu=jnp.asarray(centres_x.reshape((2, 2))),
        Sigma=jnp.asarray(
            np.broadcast_to(
                rest_x.reshape(-1, 2).T @ rest_x.reshape(-1, 2) / len(rest_x.reshape(-1, 2)), (2, 2, 2)
            )
        ),
        offset_x=jnp.zeros((2,)),
    )


def init(data, seed=0, method="data") -> Posterior:
    """q(theta) after an M-step from clusters of the data (method "data") or from random rows ("random")."""
    theta = start(data, seed, method)
    return m_step(e_step(theta, data), theta)


def fit(data: Data, q: Posterior, max_iter=200, tol=1e-6):
    """Variational EM from q; the trace holds the ELBO at the start and after every iteration."""
    trace = []
    for iteration in range(max_iter + 1):
        theta = expectations(q)
        s = e_step(theta, data)
        trace.append(float(s.log_p - divergence(q)))
        if iteration == max_iter or (
            tol and iteration and trace[-1] - trace[-2] <= tol * (1 + abs(trace[-1]))
        ):
            break
        q = m_step(s, theta)
    return q, np.array(trace)


if __name__ == "__main__":
    import sys

    data = prepare(np.load(sys.argv[1]))
    q, trace = fit(data, init(data))
    print(f"ELBO = {trace[-1]:.6f} after {len(trace) - 1} iterations; posterior means:")
    for name, value in means(q).items():
        print(name, "=", np.array2string(np.asarray(value), precision=4, suppress_small=True))
