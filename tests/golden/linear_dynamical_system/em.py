# -*- coding: utf-8 -*-
"""EM for the network `linear_dynamical_system`, derived from its declaration; needs only JAX and NumPy.

for s in 1..S:                                   sequence
    for t in 1..T[s]:                            a chain
        y[s,t] ~ Normal(F @ y[s,t-1], cov=Q)     latent; y[s,1] ~ Normal(zeros(2), cov=eye(2))
        x[s,t] ~ Normal(H @ y[s,t], cov=R)       observed

E-step   m[t] = E[y[t] | data up to t]
         mean_y[s,t,d] = E[y[s,t] | x]
         W_y[t,d,e] = sum_s Cov(y[s,t] | x)
M-step   F, Q, H, R maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 05d20d92.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular

jax.config.update("jax_enable_x64", True)


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


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x)
    S_y_prev_y_prev: Array  # (D, D)  sum_s sum_t E[y[s,t-1] y[s,t-1]']
    S_y_y_prev: Array  # (D, D)  sum_s sum_t E[e_y[s,t] y[s,t-1]']
    N_y: Array  # ()      sum_s sum_t 1
    See_y: Array  # (D, D)  sum_s sum_t E[e_y[s,t] e_y[s,t]']
    Syy: Array  # (D, D)  sum_s sum_t E[y[s,t] y[s,t]']
    Sxy: Array  # (P, D)  sum_s sum_t E[e_x[s,t] y[s,t]']
    N_x: Array  # ()      sum_s sum_t 1
    Sxx: Array  # (P, P)  sum_s sum_t E[e_x[s,t] e_x[s,t]']


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)


def solve(moments, products):
    """The x with moments x = products; where the moments are singular, of all such the one nearest to 0."""
    diagonal = jnp.diagonal(moments, axis1=-2, axis2=-1)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 0)
    scaled = scale[..., :, None] * moments * scale[..., None, :]
    smallest = jnp.finfo(moments.dtype).eps ** 0.75  # what is below is rounding of the moments
    inverse = jnp.linalg.pinv(scaled, rtol=smallest, hermitian=True)
    return scale * jnp.einsum("...pq,...q->...p", inverse, scale * products)


def symmetric(S):
    """S without the asymmetry that rounding leaves, of which iterations would make more and more."""
    return (S + jnp.swapaxes(S, -1, -2)) / 2


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


def products_of_rows(w, a, b):
    """The sum of w a b' over all rows, as one product of matrices."""
    return a.reshape(-1, a.shape[-1]).T @ (w[..., None] * b).reshape(-1, b.shape[-1])


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


def smooth_y(
    theta: Parameters, m: Array, V: Array, p: Array, P: Array, mask_t: Array, weight_in_t: Array
) -> tuple[Array, Array, Array, Array]:
    """Smoother (Rauch, Tung and Striebel 1965), from the last t back: E[y[t] | all data] and its covariance.

    Given y[t], later data say no more of y[t-1]: it is m[t-1] + G[t] (y[t] - p[t]) and a rest
    of covariance C[t].
    G and C are the same for all sequences, so that only the weighted sum of their covariances is carried: W.
    """
    # the regression of y[t-1] on y[t], given the data up to t-1
    G = product(product(V[:-1], theta.F.T), jnp.linalg.inv(P[1:]))
    B = jnp.eye(2) - product(G, theta.F)  # what it leaves of y[t-1] itself
    # Cov(y[t-1] | y[t], data up to t-1), a sum of squares: no digits cancel
    C = product(product(B, V[:-1]), B.mT) + product(product(G, theta.Q), G.mT)
    count = weight_in_t.sum(-1)  # sequences that have a step t, by their weights
    ended = jnp.where(mask_t[1:], 0, weight_in_t[:-1]).sum(-1)  # those whose last step is t-1

    def step(mean, inputs):
        m_before, p_t, G_t, mask_t_t = inputs
        mean_before = m_before + product(mean - p_t, G_t.T)  # E[y[t-1] | all data]
        return jnp.where(mask_t_t[:, None], mean_before, m_before), mean

    first_mean, mean = jax.lax.scan(step, m[-1], (m[:-1], p[1:], G, mask_t[1:]), reverse=True)

    def step(W, inputs):
        G_t, C_t, V_before, count_t, ended_t = inputs
        # the sum of Cov(y[t-1] | all data) of those
        W_before = count_t * C_t + product(product(G_t, W), G_t.T)
        return W_before + ended_t * V_before, (W, W_before)

    first_W, (W, W_before) = jax.lax.scan(
        step, count[-1] * V[-1], (G, C, V[:-1], count[1:], ended), reverse=True
    )
    return jnp.concatenate([first_mean[None], mean]), jnp.concatenate([first_W[None], W]), W_before, G


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x, weight, mask_t = chunk
    J_x = jnp.linalg.inv(theta.R)  # R^-1
    eta_y = product(x, J_x @ theta.H)  # what the data of a step say of y
    Lambda_y = jnp.einsum("pd,pq,qe->de", theta.H, J_x, theta.H)  # and how precisely
    p, P, m, V, log_ratio = filter_y(theta, eta_y, Lambda_y)
    v_x = x - product(m, theta.H.T)  # x less its mean, at the means given the data so far
    # ln p(x[s,:]) = ln p(x, y) - ln p(y | x) at the means given the data so far
    log_p_x_in_chain = jnp.where(mask_t, log_likelihood_x(theta, v_x) + log_ratio, 0).sum(0)
    weight_in_t = mask_t * weight  # 0 past the end
    # E[y[s,t] | x] and sum_s Cov(y[s,t] | x)
    mean_y, W_y, W_y_before, G = smooth_y(theta, m, V, p, P, mask_t, weight_in_t)
    W_y_next = product(W_y[1:], G.mT)  # sum_s Cov(y[t], y[t-1] | x)
    y_mean_before = mean_y[:-1]  # E[y[s,t-1] | x]
    e_y = mean_y[1:] - product(mean_y[:-1], theta.F.T)  # y less its mean, at the posterior means
    e_x = x - product(mean_y, theta.H.T)  # x less its mean, at the posterior means
    return Statistics(
        log_p=weight @ log_p_x_in_chain,
        S_y_prev_y_prev=products_of_rows(weight_in_t[1:], y_mean_before, y_mean_before) + W_y_before.sum(0),
        S_y_y_prev=products_of_rows(weight_in_t[1:], e_y, y_mean_before)
        + W_y_next.sum(0)
        - jnp.einsum("do,tog->dg", theta.F, W_y_before),
        N_y=weight_in_t[1:].sum(),
        See_y=products_of_rows(weight_in_t[1:], e_y, e_y)
        + W_y[1:].sum(0)
        - jnp.einsum("tdh,eh->de", W_y_next, theta.F)
        - jnp.einsum("do,teo->de", theta.F, W_y_next)
        + jnp.einsum("do,toh,eh->de", theta.F, W_y_before, theta.F),
        Syy=products_of_rows(weight_in_t, mean_y, mean_y) + W_y.sum(0),
        Sxy=products_of_rows(weight_in_t, e_x, mean_y) - jnp.einsum("pf,tfd->pd", theta.H, W_y),
        N_x=weight_in_t.sum(),
        Sxx=products_of_rows(weight_in_t, e_x, e_x) + jnp.einsum("pf,tfe,qe->pq", theta.H, W_y, theta.H),
    )


@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data, chunk by chunk: memory is that of one chunk."""
    zero = jax.eval_shape(expect, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, expect(theta, chunk)), None

    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]


def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x | theta)."""
    return e_step(theta, data).log_p


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Parameters:
    """The parameters that maximise Q."""
    s = statistics
    moments_y = s.S_y_prev_y_prev  # of the regressors y[s,t-1]
    change_y = solve(moments_y, s.S_y_y_prev)  # the regression of r: what the old coefficients left
    moments_x = s.Syy  # of the regressors y[s,t]
    change_x = solve(moments_x, s.Sxy)  # the regression of r: what the old coefficients left
    return Parameters(
        F=theta.F + change_y,
        Q=symmetric(
            ratio(s.See_y - jnp.einsum("dg,gG,eG->de", change_y, moments_y, change_y), s.N_y, theta.Q)
        ),
        H=theta.H + change_x,
        R=symmetric(ratio(s.Sxx - jnp.einsum("pd,dD,qD->pq", change_x, moments_x, change_x), s.N_x, theta.R)),
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
            rows_of(data, "x", dtype, (3,)), (chunk_sequence[id_sequence], step, place_sequence[id_sequence])
        ),
        weight=put(weights, (chunk_sequence, place_sequence), 0),
        mask_t=put(
            np.ones(len(step), bool), (chunk_sequence[id_sequence], step, place_sequence[id_sequence]), False
        ),
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


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x)[np.asarray(data.mask_t)], 1, rng, method)
    return Parameters(
        F=jnp.asarray(np.broadcast_to(np.eye(2), (2, 2))),
        Q=jnp.asarray(np.broadcast_to(np.eye(2), (2, 2))),
        H=jnp.asarray(rng.normal(size=(3, 2)) * rest_x.std()),
        R=jnp.asarray(
            np.broadcast_to(
                rest_x.reshape(-1, 3).T @ rest_x.reshape(-1, 3) / len(rest_x.reshape(-1, 3)), (3, 3)
            )
        ),
    )


def fit(data: Data, theta: Parameters, max_iter=200, tol=1e-6):
    """EM from theta; the trace holds ln p(x | theta) at the start and after every iteration."""
    trace = []
    for iteration in range(max_iter + 1):
        s = e_step(theta, data)
        trace.append(float(s.log_p))
        if iteration == max_iter or (
            tol and iteration and trace[-1] - trace[-2] <= tol * (1 + abs(trace[-1]))
        ):
            break
        theta = m_step(s, theta)
    return theta, np.array(trace)


if __name__ == "__main__":
    import sys

    data = prepare(np.load(sys.argv[1]))
    theta, trace = fit(data, init(data))
    print(f"ln p(x | theta) = {trace[-1]:.6f} after {len(trace) - 1} iterations")
    for name, value in theta._asdict().items():
        print(name, "=", np.array2string(np.asarray(value), precision=4, suppress_small=True))
