# -*- coding: utf-8 -*-
"""EM for the network `local_linear_trend`, derived from its declaration; needs only JAX and NumPy.

for t in 1..T:                                              a chain
    slope[t] ~ Normal(slope[t-1], var=zeta)                 latent; slope[1] ~ Normal(0, var=10000000)
    level[t] ~ Normal(level[t-1] + slope[t-1], var=eta)     latent; level[1] ~ Normal(1000, var=10000000)
    x[t] ~ Normal(level[t], var=eps)                        observed

E-step   m[t] = E[state[t] | data up to t]
         mean_state[t,a] = E[state | x]
         cov_state[t,a,b] = Cov(state | x)
M-step   eta, zeta, eps maximise Q = E[ln p(x, z)] under q

Emitted by bnlab 0.1.0 from network 7b248c9c.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    eta: Array  # ()  positive
    zeta: Array  # ()  positive
    eps: Array  # ()  positive


class Data(NamedTuple):
    """The data."""

    x: Array  # (T,)


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()  ln p(x)
    N_slope: Array  # ()  sum_t 1
    See_slope: Array  # ()  sum_t E[e_slope[t]^2]
    N_level: Array  # ()  sum_t 1
    See_level: Array  # ()  sum_t E[e_level[t]^2]
    N_x: Array  # ()  sum_t 1
    Sxx: Array  # ()  sum_t E[e_x[t]^2]


def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)


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


def filter_state(
    theta: Parameters,
    eta_state: Array,
    Lambda_state: Array,
    Q_state: Array,
    F_state: Array,
    p_first: Array,
    P_first: Array,
) -> tuple[Array, Array, Array, Array, Array]:
    """Filter: m[t] = E[state[t] | data up to t] as (T, A), and
    V[t] its covariance; p and P are the moments of the prediction from the data before.
    """
    # Cov(state[t] | data before): each follows from the one before in the same way
    P = predicted_covariances(P_first, F_state, Q_state, Lambda_state, len(eta_state))
    # how far the data of the step leave the prediction
    S = jnp.linalg.inv(jnp.eye(2) + product(P, Lambda_state))
    V = product(S, P)  # Cov(state[t] | data up to t) = (P^-1 + Lambda)^-1

    def step(p, inputs):
        eta_state_t, V_t = inputs
        m = p + V_t @ (eta_state_t - Lambda_state @ p)  # E[state[t] | data up to t]
        return F_state @ m, (p, m)

    p, m = jax.lax.scan(step, p_first, (eta_state, V))[1]
    # how the data move the mean: m[t] - p[t] = P[t] n[t]
    n = jnp.einsum("tca,tc->ta", S, eta_state - product(p, Lambda_state.T))
    # ln p(state[t] | data before) - ln p(state[t] | data up to t) at state[t] = m[t]
    log_ratio = 0.5 * jnp.linalg.slogdet(S)[1] - 0.5 * jnp.einsum("ta,ta->t", n, m - p)
    return p, P, m, V, log_ratio


def log_likelihood_x(theta: Parameters, v_x: Array) -> Array:
    """ln p(x[t] | level[t]) from what is left of its mean as (T)."""
    return -0.5 * (jnp.log(2 * jnp.pi * theta.eps) + jnp.square(v_x) / theta.eps)


def smooth_state(
    theta: Parameters, m: Array, V: Array, p: Array, P: Array, Q_state: Array, F_state: Array
) -> tuple[Array, Array, Array]:
    """Smoother (Rauch, Tung and Striebel 1965), from the last t back: E[state[t] | all data] and its
    covariance.

    Given state[t], later data say no more of state[t-1]: it is m[t-1] + G[t] (state[t] - p[t]) and a rest
    of covariance C[t].
    """
    # the regression of state[t-1] on state[t], given the data up to t-1
    G = product(product(V[:-1], F_state.T), jnp.linalg.inv(P[1:]))
    B = jnp.eye(2) - product(G, F_state)  # what it leaves of state[t-1] itself
    # Cov(state[t-1] | state[t], data up to t-1), a sum of squares: no digits cancel
    C = product(product(B, V[:-1]), B.mT) + product(product(G, Q_state), G.mT)

    def step(mean, inputs):
        m_before, p_t, G_t = inputs
        mean_before = m_before + G_t @ (mean - p_t)  # E[state[t-1] | all data]
        return mean_before, mean

    first_mean, mean = jax.lax.scan(step, m[-1], (m[:-1], p[1:], G), reverse=True)

    def step(cov, inputs):
        G_t, C_t = inputs
        cov_before = C_t + product(product(G_t, cov), G_t.T)  # and its covariance
        return cov_before, cov

    first_cov, cov = jax.lax.scan(step, V[-1], (G, C), reverse=True)
    return jnp.concatenate([first_mean[None], mean]), jnp.concatenate([first_cov[None], cov]), G


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, expected under the posterior of the latents."""
    x = chunk.x
    eta_level = 1 / theta.eps * x  # of level alone
    # what the data of a step say of (slope, level)
    eta_state = jnp.stack([jnp.zeros(eta_level.shape), eta_level], -1)
    Lambda_state = jnp.array([[0.0, 0.0], [0.0, 1 / theta.eps]])  # and how precisely
    # (slope, level) of a step, from those of the step before
    F_state = jnp.array([[1.0, 0.0], [1.0, 1.0]])
    Q_state = jnp.array([[theta.zeta, 0.0], [0.0, theta.eta]])  # covariance of what a step adds
    P_first = jnp.array([[10000000.0, 0.0], [0.0, 10000000.0]])  # covariance of the first step
    p_first = jnp.array([0.0, 1000.0])  # mean of the first step
    p, P, m, V, log_ratio = filter_state(theta, eta_state, Lambda_state, Q_state, F_state, p_first, P_first)
    m_level = m[..., 1]  # E[level[t] | data so far]
    v_x = x - m_level  # x less its mean, at the means given the data so far
    # ln p(x[:]) = ln p(x, slope, level) - ln p(slope, level | x) at the means given the data so far
    log_p_x_in_chain = (log_likelihood_x(theta, v_x) + log_ratio).sum()
    # E[state | x] and Cov(state | x)
    mean_state, cov_state, G = smooth_state(theta, m, V, p, P, Q_state, F_state)
    mean_slope = mean_state[..., 0]  # E[slope[t] | x]
    cov_slope = cov_state[..., 0, 0]  # Cov(slope[t] | x)
    cov_state_next = product(cov_state[1:], G.mT)  # Cov(state[t], state[t-1] | x)
    cov_slope_slope_before = cov_state_next[..., 0, 0]  # Cov(slope[t], slope[t-1] | x)
    e_slope = mean_slope[1:] - mean_slope[:-1]  # slope less its mean, at the posterior means
    mean_level = mean_state[..., 1]  # E[level[t] | x]
    cov_level = cov_state[..., 1, 1]  # Cov(level[t] | x)
    cov_level_slope = cov_state[..., 1, 0]  # Cov(level[t], slope[t] | x)
    cov_level_level_before = cov_state_next[..., 1, 1]  # Cov(level[t], level[t-1] | x)
    cov_level_slope_before = cov_state_next[..., 1, 0]  # Cov(level[t], slope[t-1] | x)
    # level less its mean, at the posterior means
    e_level = mean_level[1:] - mean_level[:-1] - mean_slope[:-1]
    e_x = x - mean_level  # x less its mean, at the posterior means
    return Statistics(
        log_p=log_p_x_in_chain,
        N_slope=jnp.ones(e_slope.shape).sum(),
        See_slope=e_slope @ e_slope
        + cov_slope[1:].sum()
        - 2 * cov_slope_slope_before.sum()
        + cov_slope[:-1].sum(),
        N_level=jnp.ones(e_level.shape).sum(),
        See_level=e_level @ e_level
        + cov_level[1:].sum()
        - 2 * cov_level_level_before.sum()
        - 2 * cov_level_slope_before.sum()
        + cov_level[:-1].sum()
        + 2 * cov_level_slope[:-1].sum()
        + cov_slope[:-1].sum(),
        N_x=jnp.ones(e_x.shape).sum(),
        Sxx=e_x @ e_x + cov_level.sum(),
    )


@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data."""
    return expect(theta, data)


def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x | theta)."""
    return e_step(theta, data).log_p


@jax.jit
def m_step(statistics: Statistics, theta: Parameters) -> Parameters:
    """The parameters that maximise Q."""
    s = statistics
    return Parameters(
        eta=ratio(s.See_level, s.N_level, theta.eta),
        zeta=ratio(s.See_slope, s.N_slope, theta.zeta),
        eps=ratio(s.Sxx, s.N_x, theta.eps),
    )


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


def prepare(data, dtype=float):
    """Data as arrays."""
    return Data(x=jnp.asarray(rows_of(data, "x", dtype)))


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
    centres_x, rest_x = cluster(np.asarray(data.x), 1, rng, method)
    return Parameters(
        eta=jnp.asarray(np.square(rest_x).mean()),
        zeta=jnp.asarray(np.ones(())),
        eps=jnp.asarray(np.square(rest_x).mean()),
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
