# -*- coding: utf-8 -*-
"""NumPyro models of the network `mixture_linear_dynamical_systems`; need only JAX, NumPy and NumPyro.

for s in 1..S:                                               sequence
    c[s] ~ Categorical(pi)                                   latent
    for t in 1..T[s]:                                        a chain
        y[s,t] ~ Normal(F[c[s]] @ y[s,t-1], cov=Q[c[s]])     latent; y[s,1] ~ Normal(zeros(2), cov=eye(2))
        x[s,t] ~ Normal(H @ y[s,t], var=R)                   observed

There is no `model`: y is a continuous latent of the chain t and reads c, which NumPyro enumerates: its
`scan` takes the states of the one for the steps of the other.

Emitted by bnlab 0.1.0 from network 83990139.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import logsumexp


def parameters():
    """The parameters: sampled where they have a prior, optimised where they have none."""
    pi = numpyro.param(
        "pi", lambda key: jax.random.dirichlet(key, jnp.ones(2)), constraint=dist.constraints.simplex
    )
    with numpyro.plate("k", 2, dim=-1):
        F = numpyro.param("F", lambda key: jax.random.normal(key, (2, 2, 2)), event_dim=2)
        Q = numpyro.param(
            "Q",
            jnp.broadcast_to(jnp.eye(2), (2, 2, 2)),
            constraint=dist.constraints.positive_definite,
            event_dim=2,
        )
    H = numpyro.param("H", lambda key: jax.random.normal(key, (3, 2)))
    R = numpyro.param("R", jnp.ones((3,)), constraint=dist.constraints.positive)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(pi=pi, F=F, Q=Q, H=H, R=R))


class Parameters(NamedTuple):
    pi: Array  # (K,)       sums to 1
    F: Array  # (K, D, D)
    Q: Array  # (K, D, D)  positive definite
    H: Array  # (P, D)
    R: Array  # (P,)       positive


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (T, S, P)
    weight: Array  # (S,)       0 for padding
    mask_t: Array  # (T, S)     False past the end


def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


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


def filter_y(theta: Parameters, eta_y: Array, Lambda_y: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Filter: m[t] = E[y[t] | data up to t] as (T, S, K, D), and
    V[t] its covariance; p and P are the moments of the prediction from the data before.
    """
    # Cov(y[t] | data before): each follows from the one before in the same way
    P = predicted_covariances(jnp.broadcast_to(jnp.eye(2), (2, 2, 2)), theta.F, theta.Q, Lambda_y, len(eta_y))
    # how far the data of the step leave the prediction
    S = jnp.linalg.inv(jnp.eye(2) + product(P, Lambda_y))
    V = product(S, P)  # Cov(y[t] | data up to t) = (P^-1 + Lambda)^-1

    def step(p, inputs):
        eta_y_t, V_t = inputs
        # E[y[t] | data up to t]
        m = p + jnp.einsum("kdf,skf->skd", V_t, eta_y_t[:, None] - product(p, Lambda_y.T))
        return jnp.einsum("kdg,skg->skd", theta.F, m), (p, m)

    p, m = jax.lax.scan(step, jnp.zeros((eta_y[0].shape[0], 2, 2)), (eta_y, V))[1]
    # how the data move the mean: m[t] - p[t] = P[t] n[t]
    n = jnp.einsum("tkfd,tskf->tskd", S, eta_y[:, :, None] - product(p, Lambda_y.T))
    # ln p(y[t] | data before) - ln p(y[t] | data up to t) at y[t] = m[t]
    log_ratio = (0.5 * jnp.linalg.slogdet(S)[1])[:, None] - 0.5 * jnp.einsum("tskd,tskd->tsk", n, m - p)
    return p, P, m, V, log_ratio


def log_likelihood_x(theta: Parameters, v_x: Array) -> Array:
    """ln p(x[s,t] | y[s,t]) from what is left of its mean as (T, S, K)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.R).sum() + (jnp.square(v_x) / theta.R).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x, weight, mask_t = chunk
    eta_y = product(1 / theta.R * x, theta.H)  # what the data of a step say of y
    Lambda_y = jnp.einsum("pd,p,pe->de", theta.H, 1 / theta.R, theta.H)  # and how precisely
    p, P, m, V, log_ratio = filter_y(theta, eta_y, Lambda_y)
    v_x = x[:, :, None] - product(m, theta.H.T)  # x less its mean, at the means given the data so far
    # ln p(x[s,:] | c[s]=k) = ln p(x, y) - ln p(y | x) at the means given the data so far
    log_p_x_given_c_in_chain = jnp.where(mask_t[..., None], log_likelihood_x(theta, v_x) + log_ratio, 0).sum(
        0
    )
    log_p_xc = log(theta.pi) + log_p_x_given_c_in_chain  # ln p(x[s,:], c[s]=k)
    log_p_x = logsumexp(log_p_xc, axis=-1)  # ln p(x[s,:]): sums out c
    return weight @ log_p_x


@jax.custom_jvp
def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x | theta), to be differentiated in theta: the data are constants."""
    return jax.lax.map(lambda chunk: expect(theta, chunk), data).sum()


@log_evidence.defjvp
def _(at, direction):
    """ln p(x | theta) and its slope: each chunk gives its gradient at once, and nothing of it is kept."""
    theta, data = at
    share = jax.value_and_grad(expect)
    zero = jax.eval_shape(share, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, share(theta, chunk)), None

    log_p, gradient = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]
    return log_p, sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction[0])))


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


def prepare(data, dtype=float, rows=32768):
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
            rows_of(data, "x", dtype, (3,)), (chunk_sequence[id_sequence], step, place_sequence[id_sequence])
        ),
        weight=put(weights, (chunk_sequence, place_sequence), 0),
        mask_t=put(
            np.ones(len(step), bool), (chunk_sequence[id_sequence], step, place_sequence[id_sequence]), False
        ),
    )


def marginal_model(data):
    """The density of x with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
