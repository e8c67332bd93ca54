# -*- coding: utf-8 -*-
"""Hard EM for the network `mixture_linear_dynamical_systems`, derived from its declaration; needs only
JAX and NumPy.

for s in 1..S:                                               sequence
    c[s] ~ Categorical(pi)                                   latent
    for t in 1..T[s]:                                        a chain
        y[s,t] ~ Normal(F[c[s]] @ y[s,t-1], cov=Q[c[s]])     latent; y[s,1] ~ Normal(zeros(2), cov=eye(2))
        x[s,t] ~ Normal(H @ y[s,t], var=R)                   observed

E-step   m[t] = E[y[t] | data up to t]
         q_c[s,k] = 1 at the most probable value, else 0
         mean_y[s,t,k,d] = E[y[s,t] | x, c]
         W_y[t,k,d,e] = sum_s Cov(y[s,t] | x, c)
M-step   pi, F, Q, H, R maximise ln p(x, z*)

Emitted by bnlab 0.1.0 from network 83990139.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


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


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()         ln p(x, z*) at the most probable z*
    N_c: Array  # (K,)       sum_s q_c[s,k]
    S_y_prev_y_prev: Array  # (K, D, D)  sum_s sum_t q_c[s,t,k] E[y[s,t-1] y[s,t-1]']
    S_y_y_prev: Array  # (K, D, D)  sum_s sum_t q_c[s,t,k] E[e_y[s,t] y[s,t-1]']
    N_c_of_y: Array  # (K,)       sum_s sum_t q_c[s,t,k]
    See_y: Array  # (K, D, D)  sum_s sum_t q_c[s,t,k] E[e_y[s,t] e_y[s,t]']
    Syy: Array  # (D, D)     sum_s sum_t E[y[s,t] y[s,t]']
    Sxy: Array  # (P, D)     sum_s sum_t E[e_x[s,t] y[s,t]']
    N_x: Array  # ()         sum_s sum_t 1
    Sxx: Array  # (P,)       sum_s sum_t E[e_x[s,t]^2]


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def hardmax(x, axis):
    """1 at the first maximum over an axis (or several together), else 0."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    last = tuple(range(-len(axes), 0))
    moved = jnp.moveaxis(x, axes, last)
    flat = moved.reshape(*moved.shape[: -len(axes)], -1)
    ones = jax.nn.one_hot(flat.argmax(-1), flat.shape[-1])
    return jnp.moveaxis(ones.reshape(moved.shape), last, axes)


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


def smooth_y(
    theta: Parameters, m: Array, V: Array, p: Array, P: Array, mask_t: Array, weight_in_t: Array
) -> tuple[Array, Array, Array, Array]:
    """Smoother (Rauch, Tung and Striebel 1965), from the last t back: E[y[t] | all data] and its covariance.

    Given y[t], later data say no more of y[t-1]: it is m[t-1] + G[t] (y[t] - p[t]) and a rest
    of covariance C[t].
    G and C are the same for all sequences, so that only the weighted sum of their covariances is carried: W.
    """
    # the regression of y[t-1] on y[t], given the data up to t-1
    G = product(jnp.einsum("tkgh,kdh->tkgd", V[:-1], theta.F), jnp.linalg.inv(P[1:]))
    B = jnp.eye(2) - jnp.einsum("tkge,keh->tkgh", G, theta.F)  # what it leaves of y[t-1] itself
    # Cov(y[t-1] | y[t], data up to t-1), a sum of squares: no digits cancel
    C = product(product(B, V[:-1]), B.mT) + product(jnp.einsum("tkge,kef->tkgf", G, theta.Q), G.mT)
    count = weight_in_t.sum(1)  # sequences that have a step t, by their weights
    ended = jnp.where(mask_t[1:][..., None], 0, weight_in_t[:-1]).sum(1)  # those whose last step is t-1

    def step(mean, inputs):
        m_before, p_t, G_t, mask_t_t = inputs
        mean_before = m_before + jnp.einsum("kde,ske->skd", G_t, mean - p_t)  # E[y[t-1] | all data]
        return jnp.where(mask_t_t[:, None, None], mean_before, m_before), mean

    first_mean, mean = jax.lax.scan(step, m[-1], (m[:-1], p[1:], G, mask_t[1:]), reverse=True)

    def step(W, inputs):
        G_t, C_t, V_before, count_t, ended_t = inputs
        # the sum of Cov(y[t-1] | all data) of those
        W_before = count_t[:, None, None] * C_t + product(product(G_t, W), G_t.mT)
        return W_before + ended_t[:, None, None] * V_before, (W, W_before)

    first_W, (W, W_before) = jax.lax.scan(
        step, count[-1][:, None, None] * V[-1], (G, C, V[:-1], count[1:], ended), reverse=True
    )
    return jnp.concatenate([first_mean[None], mean]), jnp.concatenate([first_W[None], W]), W_before, G


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, at the most probable value of the latents."""
    x, weight, mask_t = chunk
    eta_y = product(1 / theta.R * x, theta.H)  # what the data of a step say of y
    Lambda_y = jnp.einsum("pd,p,pe->de", theta.H, 1 / theta.R, theta.H)  # and how precisely
    p, P, m, V, log_ratio = filter_y(theta, eta_y, Lambda_y)
    v_x = x[:, :, None] - product(m, theta.H.T)  # x less its mean, at the means given the data so far
    # ln p(x[s,:] | c[s]=k) = ln p(x, y) - ln p(y | x) at the means given the data so far
    log_p_x_given_c_in_chain = jnp.where(mask_t[..., None], log_likelihood_x(theta, v_x) + log_ratio, 0).sum(
        0
    )
    log_p_xc = jnp.log(theta.pi) + log_p_x_given_c_in_chain  # ln p(x[s,:], c[s]=k)
    log_p_x = log_p_xc.max(-1)  # ln p(x[s,:]): maximises over c
    q_c = hardmax(log_p_xc, -1) * weight[:, None]  # P(c[s]=k | x)
    weight_in_t = mask_t[..., None] * q_c  # 0 past the end
    # E[y[s,t] | x, c] and sum_s Cov(y[s,t] | x, c)
    mean_y, W_y, W_y_before, G = smooth_y(theta, m, V, p, P, mask_t, weight_in_t)
    W_y_next = product(W_y[1:], G.mT)  # sum_s Cov(y[t], y[t-1] | x, c)
    y_mean_before = mean_y[:-1]  # E[y[s,t-1] | x]
    # y less its mean, at the posterior means
    e_y = mean_y[1:] - jnp.einsum("kdg,tskg->tskd", theta.F, mean_y[:-1])
    e_x = x[:, :, None] - product(mean_y, theta.H.T)  # x less its mean, at the posterior means
    return Statistics(
        log_p=weight @ log_p_x,
        N_c=q_c.sum(0),
        S_y_prev_y_prev=jnp.einsum("tsk,tskg,tskh->kgh", weight_in_t[1:], y_mean_before, y_mean_before)
        + W_y_before.sum(0),
        S_y_y_prev=jnp.einsum("tsk,tskd,tskg->kdg", weight_in_t[1:], e_y, y_mean_before)
        + W_y_next.sum(0)
        - jnp.einsum("kdo,tkog->kdg", theta.F, W_y_before),
        N_c_of_y=weight_in_t[1:].sum((0, 1)),
        See_y=jnp.einsum("tsk,tskd,tske->kde", weight_in_t[1:], e_y, e_y)
        + W_y[1:].sum(0)
        - jnp.einsum("tkdh,keh->kde", W_y_next, theta.F)
        - jnp.einsum("kdo,tkeo->kde", theta.F, W_y_next)
        + jnp.einsum("kdo,tkoh,keh->kde", theta.F, W_y_before, theta.F),
        Syy=products_of_rows(weight_in_t, mean_y, mean_y) + W_y.sum((0, 1)),
        Sxy=products_of_rows(weight_in_t, e_x, mean_y) - jnp.einsum("pf,tkfd->pd", theta.H, W_y),
        N_x=weight_in_t.sum(),
        Sxx=jnp.einsum("tsk,tskp,tskp->p", weight_in_t, e_x, e_x)
        + jnp.einsum("pf,tkfe,pe->p", theta.H, W_y, theta.H),
    )


@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data, chunk by chunk: memory is that of one chunk."""
    zero = jax.eval_shape(expect, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, expect(theta, chunk)), None

    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]


def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x, z* | theta) at the most probable z*."""
    return e_step(theta, data).log_p


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Parameters:
    """The parameters that maximise Q."""
    s = statistics
    moments_y = s.S_y_prev_y_prev  # of the regressors y[s,t-1]
    # the regression of r: what the old coefficients left
    change_y = solve(moments_y[:, None], s.S_y_y_prev)
    moments_x = s.Syy  # of the regressors y[s,t]
    change_x = solve(moments_x, s.Sxy)  # the regression of r: what the old coefficients left
    return Parameters(
        pi=ratio(s.N_c, s.N_c.sum(), theta.pi),
        F=theta.F + change_y,
        Q=symmetric(
            ratio(
                s.See_y - jnp.einsum("kdg,kgG,keG->kde", change_y, moments_y, change_y),
                s.N_c_of_y[:, None, None],
                theta.Q,
            )
        ),
        H=theta.H + change_x,
        R=ratio(s.Sxx - jnp.einsum("pd,dD,pD->p", change_x, moments_x, change_x), s.N_x, theta.R),
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


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    centres_x, rest_x = cluster(np.asarray(data.x)[np.asarray(data.mask_t)], 1, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        F=jnp.asarray(np.broadcast_to(np.eye(2), (2, 2, 2)) * rng.uniform(0.5, 1, (2, 1, 1))),
        Q=jnp.asarray(np.broadcast_to(np.eye(2), (2, 2, 2)) * rng.uniform(0.5, 1, (2, 1, 1))),
        H=jnp.asarray(rng.normal(size=(3, 2)) * rest_x.std()),
        R=jnp.asarray(np.broadcast_to(np.square(rest_x.reshape(-1, 3)).mean(0), (3,))),
    )


def fit(data: Data, theta: Parameters, max_iter=200, tol=1e-6):
    """Hard EM from theta; the trace holds ln p(x, z* | theta) at the start and after every iteration."""
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
    print(f"ln p(x, z* | theta) = {trace[-1]:.6f} after {len(trace) - 1} iterations")
    for name, value in theta._asdict().items():
        print(name, "=", np.array2string(np.asarray(value), precision=4, suppress_small=True))
