# -*- coding: utf-8 -*-
"""Variational EM for the network `hmm_categorical`, derived from its declaration; needs only JAX and
NumPy.

pi ~ Dirichlet(1)                                prior
for k in 1..2:
    A[k] ~ Dirichlet(1)                          prior
    B[k] ~ Dirichlet(1)                          prior
for s in 1..S:                                   sequence
    for t in 1..T[s]:                            a chain
        z[s,t] ~ Categorical(A[z[s,t-1]])        latent; z[s,1] ~ Categorical(pi)
        x[s,t] ~ Categorical(B[z[s,t]])          observed

The posterior of latents z and parameters theta is approximated by q(z) q(theta), as near as can be in KL
divergence.
E-step   alpha[t] = P(z[t]=k | data[1..t])
         beta[t] = p(data[t+1..] | z[t]=k) / p(data[t+1..] | data[1..t])
         q_z[s,t,k] = P(z[s,t]=k | x)
M-step   q(pi), q(A), q(B) in turn, each the best given the others

Emitted by bnlab 0.1.0 from network 67469e28.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import digamma, gammaln

jax.config.update("jax_enable_x64", True)


class Posterior(NamedTuple):
    """The hyperparameters of q(theta), a product of one factor for each parameter."""

    pi_concentration: Array  # (K,)    of q(pi), Dirichlet
    A_concentration: Array  # (K, K)  of q(A), Dirichlet
    B_concentration: Array  # (K, V)  of q(B), Dirichlet


# p(theta), in the same form
PRIOR = Posterior(
    pi_concentration=np.ones(2), A_concentration=np.ones((2, 2)), B_concentration=np.ones((2, 2))
)


class Parameters(NamedTuple):
    """What the E-step reads of q(theta): a point, and what E[ln p] is more than ln p there."""

    pi: Array  # (K,)    exp E[ln pi]
    A: Array  # (K, K)  exp E[ln A]
    B: Array  # (K, V)  exp E[ln B]


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (T, S)
    weight: Array  # (S,)    0 for padding
    mask_t: Array  # (T, S)  False past the end


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln of what normalises q(z): E[ln p(x, z | theta)] + H(q(z))
    N_first: Array  # (K,)    sum_s q_z[s,1,k]
    N_zz: Array  # (K, K)  sum_s sum_t P(z[s,t-1]=j, z[s,t]=k | x)
    N_zx: Array  # (K, V)  sum_s sum_t q_z[s,t,k] (x[s,t]=v)


def product(A, B):
    """A @ B; small matrices as sums written out, which the compiler fuses: BLAS costs more than they do."""
    if max(A.size * B.shape[-1], B.size * A.shape[-2]) < 4096:
        return (A[..., :, None] * B[..., None, :, :]).sum(-2)
    if A.shape[-1] <= 8:
        return sum(A[..., k, None] * B[..., None, k, :] for k in range(A.shape[-1]))
    return A @ B


def reliable(c, beta):
    """Whether the scaled messages lost nothing that matters: it would take a tiny c or a huge beta."""
    limits = jnp.finfo(c.dtype)
    return (c.min() > limits.tiny ** (1 / 3)) & (beta.max() < limits.max**0.5)


@jax.jit
def expectations(q: Posterior) -> Parameters:
    """Where ln p(x, z | theta), with the offsets, is E[ln p(x, z | theta)] under q(theta)."""
    return Parameters(
        pi=jnp.exp(digamma(q.pi_concentration) - digamma(q.pi_concentration.sum())),
        A=jnp.exp(digamma(q.A_concentration) - digamma(q.A_concentration.sum(-1))[:, None]),
        B=jnp.exp(digamma(q.B_concentration) - digamma(q.B_concentration.sum(-1))[:, None]),
    )


def forward(theta: Parameters, b: Array, mask_t: Array) -> tuple[Array, Array]:
    """alpha[t] = P(z[t]=k | data[1..t]) as (T, S, K),
    and c[t] = p(data[t] | data[1..t-1]) as (T, S); where the mask is False the chain has ended.
    """

    def step(predicted, inputs):
        b_t, on = inputs
        joint = predicted * b_t  # P(z[t]=k, data[t] | data[1..t-1])
        c_t = jnp.where(on, joint.sum(-1), 1)
        alpha_t = joint / c_t[:, None]
        return product(alpha_t, theta.A), (alpha_t, c_t)

    alpha, c = jax.lax.scan(step, jnp.broadcast_to(theta.pi, b[0].shape), (b, mask_t))[1]
    return alpha, c


def backward(theta: Parameters, b: Array, c: Array, mask_t: Array) -> Array:
    """beta[t] = p(data[t+1..] | z[t]=k) / p(data[t+1..] | data[1..t]) as (T, S, K);
    1 at the end of each sequence.
    """

    def step(beta_t, inputs):
        b_t, c_t, on = inputs
        onward = beta_t * b_t / c_t[:, None]
        beta_before = product(onward, theta.A.T)  # of step t-1
        return jnp.where(on[:, None], beta_before, 1), beta_t

    beta = jax.lax.scan(step, jnp.ones((c[-1].shape[0], 2)), (b, c, mask_t), reverse=True)[1]
    return beta


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under q(z)."""
    x, weight, mask_t = chunk
    log_b = jnp.log(theta.B.T[x])  # ln p(x[s,t] | z[s,t]=k)
    scale = jax.lax.stop_gradient(log_b.max(-1))  # so that exp neither over- nor underflows
    b = jnp.exp(log_b - scale[..., None])
    alpha, c = forward(theta, b, mask_t)
    log_p_x_in_chain = jnp.where(mask_t, jnp.log(c) + scale, 0).sum(0)  # ln p(x[s,:])
    beta = backward(theta, b, c, mask_t)
    q_z = jnp.where(mask_t[..., None], alpha * beta * weight[:, None], 0)  # P(z[s,t]=k | x)
    # of the steps moved to
    onward = beta[1:] * b[1:] * (jnp.where(mask_t[1:], 1 / c[1:], 0) * weight)[..., None]
    safe = reliable(c, beta)  # no state was lost to underflow
    return Statistics(
        log_p=jnp.where(safe, weight @ log_p_x_in_chain, jnp.nan),
        N_first=q_z[0].sum(0),
        N_zz=theta.A * jnp.einsum("tsj,tsk->jk", alpha[:-1], onward),
        N_zx=jnp.einsum("tsk,tsv->kv", q_z, jax.nn.one_hot(x, 2)),
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
    # of Dirichlets
    kl_A = (
        (
            (q.A_concentration - PRIOR.A_concentration)
            * (digamma(q.A_concentration) - digamma(q.A_concentration.sum(-1))[:, None])
        ).sum(-1)
        + (
            gammaln(q.A_concentration.sum(-1))
            - gammaln(q.A_concentration).sum(-1)
            - (gammaln(PRIOR.A_concentration.sum(-1)) - gammaln(PRIOR.A_concentration).sum(-1))
        )
    ).sum()
    # of Dirichlets
    kl_B = (
        (
            (q.B_concentration - PRIOR.B_concentration)
            * (digamma(q.B_concentration) - digamma(q.B_concentration.sum(-1))[:, None])
        ).sum(-1)
        + (
            gammaln(q.B_concentration.sum(-1))
            - gammaln(q.B_concentration).sum(-1)
            - (gammaln(PRIOR.B_concentration.sum(-1)) - gammaln(PRIOR.B_concentration).sum(-1))
        )
    ).sum()
    return kl_pi + kl_A + kl_B


def elbo(q: Posterior, data: Data) -> Array:
    """The lower bound of ln p(x): E[ln p(x, z, theta)] - E[ln q(z)] - E[ln q(theta)], at the best q(z)."""
    return e_step(expectations(q), data).log_p - divergence(q)


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Posterior:
    """q(theta) given q(z): the priors' hyperparameters and what the statistics add."""
    s = statistics
    return Posterior(
        pi_concentration=PRIOR.pi_concentration + s.N_first,
        A_concentration=PRIOR.A_concentration + s.N_zz,
        B_concentration=PRIOR.B_concentration + s.N_zx,
    )


def means(q: Posterior) -> dict:
    """E[theta] under q(theta)."""
    return dict(
        pi=q.pi_concentration / q.pi_concentration.sum(),
        A=q.A_concentration / q.A_concentration.sum(-1)[:, None],
        B=q.B_concentration / q.B_concentration.sum(-1)[:, None],
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


def position(group):
    """For each element of `group` how many equal ones stand before it."""
    order = np.argsort(group, kind="stable")
    _, first, count = np.unique(group, return_index=True, return_counts=True)
    rank = np.empty(len(group), int)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(count) - count, count)
    return rank


def numbered(ids, size=0, outer=None):
    """Ids (of members within `outer`) as numbers from 0: themselves where they are, else by first appearance.

    Numbers below `size` are those of members, also if some of these have no rows.
    """
    ids = np.asarray(ids)
    found, at = np.unique(ids, return_inverse=True)
    pairs = at if outer is None else outer * len(found) + at
    members, first, at = np.unique(pairs, return_index=True, return_inverse=True)
    if (
        ids.dtype.kind in "iu"
        and len(members) == len(found)
        and 0 <= found[0]
        and found[-1] < max(len(found), size)
    ):
        return ids
    return np.argsort(np.argsort(first))[at]


def prepare(data, dtype=float, rows=65536):
    """Data in chunks of whole members of `sequence`, about `rows` rows each; padding has weight 0."""
    known = len(data.get("weights", ()))
    id_sequence = numbered(data.get("sequence", np.zeros(len(data["x"]), int)), known)
    size_sequence = max(id_sequence.max() + 1, known)
    weights = np.asarray(data.get("weights", np.ones(size_sequence)), dtype)
    chunks = -(-len(data["x"]) // rows)
    chunk_sequence, place_sequence = np.divmod(np.arange(size_sequence), -(-size_sequence // chunks))
    step = position(id_sequence)
    return Data(
        x=put(
            rows_of(data, "x", int, states=2),
            (chunk_sequence[id_sequence], step, place_sequence[id_sequence]),
        ),
        weight=put(weights, (chunk_sequence, place_sequence), 0),
        mask_t=put(
            np.ones(len(step), bool), (chunk_sequence[id_sequence], step, place_sequence[id_sequence]), False
        ),
    )


def frequencies(x, weight, size):
    """How frequent each category is in rows that have a weight, where each was seen once more."""
    x = np.asarray(x)[np.asarray(weight) > 0]
    counts = np.bincount(x.ravel(), minlength=size) + 1.0
    return counts / counts.sum()


def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)


def start(data, seed=0, method="data"):
    """A point that q(theta) starts from."""
    rng = np.random.default_rng(seed)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        A=jnp.asarray(near(0.5, (2, 2), rng, method)),
        B=jnp.asarray(near(frequencies(data.x, data.mask_t, 2), (2, 2), rng, method)),
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
