# -*- coding: utf-8 -*-
"""EM for the network `hmm_factor_analysis`, derived from its declaration; needs only JAX and NumPy.

for s in 1..S:                                                        sequence
    for t in 1..T[s]:                                                 a chain
        z[s,t] ~ Categorical(A[z[s,t-1]])                             latent; z[s,1] ~ Categorical(pi)
        y[s,t] ~ Normal(zeros(1), cov=eye(1))                         latent
        x[s,t] ~ Normal(W[z[s,t]] @ y[s,t] + mu[z[s,t]], var=psi)     observed

E-step   alpha[t] = P(z[t]=k | data[1..t])
         beta[t] = p(data[t+1..] | z[t]=k) / p(data[t+1..] | data[1..t])
         V_y[k,d,e] = Cov(y[s,t] | x, z) = (I + Lambda_y)^-1
         d_y[s,t,k,d] = E[y[s,t] | x, z]
         q_z[s,t,k] = P(z[s,t]=k | x)
M-step   pi, psi, A, mu, W maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 269b8b87.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    pi: Array  # (K,)       sums to 1
    psi: Array  # (G,)       positive
    A: Array  # (K, K)     rows sum to 1
    mu: Array  # (K, G)
    W: Array  # (K, G, D)


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    x: Array  # (T, S, G)
    weight: Array  # (S,)       0 for padding
    mask_t: Array  # (T, S)     False past the end


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()         ln p(x)
    N_first: Array  # (K,)       sum_s q_z[s,1,k]
    N_zz: Array  # (K, K)     sum_s sum_t P(z[s,t-1]=j, z[s,t]=k | x)
    Syy: Array  # (K, D, D)  sum_s sum_t q_z[s,t,k] E[y[s,t] y[s,t]']
    Sy: Array  # (K, D)     sum_s sum_t q_z[s,t,k] y[s,t]
    N_z: Array  # (K,)       sum_s sum_t q_z[s,t,k]
    Sxy: Array  # (K, G, D)  sum_s sum_t q_z[s,t,k] E[e_x[s,t] y[s,t]']
    Sx: Array  # (K, G)     sum_s sum_t q_z[s,t,k] e_x[s,t]
    Sxx: Array  # (G,)       sum_s sum_t E[e_x[s,t]^2]


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


def solve(moments, products):
    """The x with moments x = products; where the moments are singular, of all such the one nearest to 0."""
    diagonal = jnp.diagonal(moments, axis1=-2, axis2=-1)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 0)
    scaled = scale[..., :, None] * moments * scale[..., None, :]
    smallest = jnp.finfo(moments.dtype).eps ** 0.75  # what is below is rounding of the moments
    inverse = jnp.linalg.pinv(scaled, rtol=smallest, hermitian=True)
    return scale * jnp.einsum("...pq,...q->...p", inverse, scale * products)


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


def log_likelihood_x(theta: Parameters, e_x: Array) -> Array:
    """ln p(x[s,t] | z[s,t]=k, y[s,t]) from what is left of its mean as (T, S, K)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.psi).sum() + (jnp.square(e_x) / theta.psi).sum(-1))


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
    """Statistics of one chunk, expected under the posterior of the latents."""
    x, weight, mask_t = chunk
    r_x = x[:, :, None] - theta.mu  # x less its prior mean
    eta_y = jnp.einsum("kgd,tskg->tskd", theta.W, 1 / theta.psi * r_x)  # what the data say of y
    Lambda_y = jnp.einsum("kgd,g,kge->kde", theta.W, 1 / theta.psi, theta.W)  # and how precisely
    V_y = jnp.linalg.inv(jnp.eye(1) + Lambda_y)  # Cov(y[s,t] | x, z) = (I + Lambda_y)^-1
    d_y = jnp.einsum("kfd,tskf->tskd", V_y, eta_y)  # E[y[s,t] | x, z]
    e_x = r_x - jnp.einsum("kgd,tskd->tskg", theta.W, d_y)  # x less its mean, at the posterior means
    # ln p(x[s,t] | z[s,t]=k) = ln p(x, y) - ln p(y | x) at the posterior means
    log_p_x_given_z = (
        log_likelihood_x(theta, e_x)
        - 0.5 * jnp.einsum("tskd,tskd->tsk", d_y, d_y)
        + 0.5 * jnp.linalg.slogdet(V_y)[1]
    )
    log_b = log_p_x_given_z  # ln p(x[s,t] | z[s,t]=k)
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
        Syy=jnp.einsum("tsk,tskd,tske->kde", q_z, d_y, d_y) + jnp.einsum("tsk,kde->kde", q_z, V_y),
        Sy=jnp.einsum("tsk,tskd->kd", q_z, d_y),
        N_z=q_z.sum((0, 1)),
        Sxy=jnp.einsum("tsk,tskg,tskd->kgd", q_z, e_x, d_y)
        - jnp.einsum("tsk,kgf,kfd->kgd", q_z, theta.W, V_y),
        Sx=jnp.einsum("tsk,tskg->kg", q_z, e_x),
        Sxx=jnp.einsum("tsk,tskg,tskg->g", q_z, e_x, e_x)
        + jnp.einsum("tsk,kgf,kfe,kge->g", q_z, theta.W, V_y, theta.W),
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
    # of the regressors y[s,t], 1
    moments_x = jnp.block([[s.Syy, s.Sy[..., :, None]], [s.Sy[..., None, :], s.N_z[..., None, None]]])
    # the regression of r: what the old coefficients left
    change_x = solve(moments_x[:, None], jnp.concatenate([s.Sxy, s.Sx[..., None]], -1))
    change_W = change_x[..., :1]
    change_mu = change_x[..., 1]
    return Parameters(
        pi=ratio(s.N_first, s.N_first.sum(), theta.pi),
        psi=ratio(
            s.Sxx - jnp.einsum("kgp,kpP,kgP->g", change_x, moments_x, change_x), s.N_z.sum(), theta.psi
        ),
        A=ratio(s.N_zz, s.N_zz.sum(-1)[:, None], theta.A),
        mu=theta.mu + change_mu,
        W=theta.W + change_W,
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
            rows_of(data, "x", dtype, (4,)), (chunk_sequence[id_sequence], step, place_sequence[id_sequence])
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
    centres_x, rest_x = cluster(np.asarray(data.x)[np.asarray(data.mask_t)], 2, rng, method)
    return Parameters(
        pi=jnp.asarray(near(0.5, (2,), rng, method)),
        psi=jnp.asarray(np.broadcast_to(np.square(rest_x.reshape(-1, 4)).mean(0), (4,))),
        A=jnp.asarray(near(0.5, (2, 2), rng, method)),
        mu=jnp.asarray(centres_x.reshape((2, 4))),
        W=jnp.asarray(rng.normal(size=(2, 4, 1)) * rest_x.std()),
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
