# -*- coding: utf-8 -*-
"""NumPyro models of the network `linear_dynamical_system`; need only JAX, NumPy and NumPyro.

for s in 1..S:                                   sequence
    for t in 1..T[s]:                            a chain
        y[s,t] ~ Normal(F @ y[s,t-1], cov=Q)     latent; y[s,1] ~ Normal(zeros(2), cov=eye(2))
        x[s,t] ~ Normal(H @ y[s,t], cov=R)       observed

Emitted by bnlab 0.1.0 from network 05d20d92.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.linalg import solve_triangular
from numpyro.contrib.control_flow import scan


def parameters():
    """The parameters: sampled where they have a prior, optimised where they have none."""
    F = numpyro.param("F", lambda key: jax.random.normal(key, (2, 2)))
    Q = numpyro.param("Q", jnp.eye(2), constraint=dist.constraints.positive_definite)
    H = numpyro.param("H", lambda key: jax.random.normal(key, (3, 2)))
    R = numpyro.param("R", jnp.eye(3), constraint=dist.constraints.positive_definite)
    # NumPy arrays may have been substituted.
    return jax.tree.map(jnp.asarray, Parameters(F=F, Q=Q, H=H, R=R))


def padded(ids):
    """Where members stand as (group, member), and which of these exist: the others are padding."""
    sizes = np.bincount(ids)
    member = np.arange(sizes.max())
    exists = member < sizes[:, None]
    first = np.cumsum(sizes) - sizes
    return np.argsort(ids, kind="stable")[np.where(exists, first[:, None] + member, 0)], exists


def model(sequence, x=None):
    """The generative model.

    Where a member has fewer rows than others nothing is observed; latents there follow their prior.

    sequence: NumPy array (rows,), the member of sequence that each row is in: 0, 1, 2 ...
    x: array (rows, 3), or None to sample it
    """
    rows_t, exists_t = padded(sequence)
    num_sequence, num_t = exists_t.shape
    x = None if x is None else x[rows_t.T]
    F, Q, H, R = parameters()

    def step(carry, inputs):
        y_prev = carry
        t, x, exists_t = inputs
        with numpyro.plate("sequence", num_sequence, dim=-1):
            y = numpyro.sample(
                "y",
                dist.MultivariateNormal(
                    jnp.where(t == 0, jnp.zeros(2), jnp.matvec(F, y_prev)),
                    covariance_matrix=jnp.where(t == 0, jnp.eye(2), Q),
                ),
            )
            with numpyro.handlers.mask(mask=exists_t):
                numpyro.sample("x", dist.MultivariateNormal(jnp.matvec(H, y), covariance_matrix=R), obs=x)
        return y, None

    scan(step, jnp.zeros((num_sequence, 2)), (jnp.arange(num_t), x, exists_t.T))


class Parameters(NamedTuple):
    F: Array  # (D, D)
    Q: Array  # (D, D)  positive definite
    H: Array  # (P, D)
    R: Array  # (P, P)  positive definite


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (T, S, P)
    weight: Array  # (S,)       0 for padding
    mask_t: Array  # (T, S)     False past the end


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


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
    """Filter: m[t] = E[y[t] | data up to t] as (T, S, D), and
    V[t] its covariance; p and P are the moments of the prediction from the data before.
    """
    # Cov(y[t] | data before): each follows from the one before in the same way
    P = predicted_covariances(jnp.eye(2), theta.F, theta.Q, Lambda_y, len(eta_y))
    # how far the data of the step leave the prediction
    S = jnp.linalg.inv(jnp.eye(2) + product(P, Lambda_y))
    V = product(S, P)  # Cov(y[t] | data up to t) = (P^-1 + Lambda)^-1

    def step(p, inputs):
        eta_y_t, V_t = inputs
        m = p + product(eta_y_t - product(p, Lambda_y.T), V_t.T)  # E[y[t] | data up to t]
        return product(m, theta.F.T), (p, m)

    p, m = jax.lax.scan(step, jnp.zeros(eta_y[0].shape), (eta_y, V))[1]
    n = (eta_y - product(p, Lambda_y.T)) @ S  # how the data move the mean: m[t] - p[t] = P[t] n[t]
    # ln p(y[t] | data before) - ln p(y[t] | data up to t) at y[t] = m[t]
    log_ratio = (0.5 * jnp.linalg.slogdet(S)[1])[:, None] - 0.5 * jnp.einsum("tsd,tsd->ts", n, m - p)
    return p, P, m, V, log_ratio


def log_likelihood_x(theta: Parameters, v_x: Array) -> Array:
    """ln p(x[s,t] | y[s,t]) from what is left of its mean as (T, S)."""
    L = jnp.linalg.cholesky(theta.R)
    whiten = inverse_lower(L)
    y = product(v_x, whiten.T)  # L^-1 (x - mean)
    log_det = 2 * jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * (3 * jnp.log(2 * jnp.pi) + log_det + (y * y).sum(-1))


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    x, weight, mask_t = chunk
    J_x = jnp.linalg.inv(theta.R)  # R^-1
    eta_y = product(x, J_x @ theta.H)  # what the data of a step say of y
    Lambda_y = jnp.einsum("pd,pq,qe->de", theta.H, J_x, theta.H)  # and how precisely
    p, P, m, V, log_ratio = filter_y(theta, eta_y, Lambda_y)
    v_x = x - product(m, theta.H.T)  # x less its mean, at the means given the data so far
    # ln p(x[s,:]) = ln p(x, y) - ln p(y | x) at the means given the data so far
    log_p_x_in_chain = jnp.where(mask_t, log_likelihood_x(theta, v_x) + log_ratio, 0).sum(0)
    return weight @ log_p_x_in_chain


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
