# -*- coding: utf-8 -*-
"""Hard EM for the network `asia`, derived from its declaration; needs only JAX and NumPy.

for n in 1..N:
    visit[n] ~ Categorical(P_visit)                             observed
    smoke[n] ~ Categorical(P_smoke)                             observed
    tub[n] ~ Categorical(P_tub[visit[n]])                       latent
    lung[n] ~ Categorical(P_lung[smoke[n]])                     latent
    bronc[n] ~ Categorical(P_bronc[smoke[n]])                   latent
    either[n] ~ Categorical(array(2, 2, 2)[tub[n],lung[n]])     latent
    xray[n] ~ Categorical(P_xray[either[n]])                    observed
    dysp[n] ~ Categorical(P_dysp[either[n],bronc[n]])           observed

E-step   q_tub[n,t] = 1 at the most probable value, else 0
         q_tub_lung[n,t,l] = 1 at the most probable value, else 0
         q_tub_lung_either[n,t,l,i] = 1 at the most probable value, else 0
         q_bronc_either[n,c,i] = 1 at the most probable value, else 0
M-step   P_visit, P_smoke, P_tub, P_lung, P_bronc maximise ln p(x, z*)

Emitted by bnlab 0.1.0 from network 47c954de.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)


class Parameters(NamedTuple):
    P_visit: Array  # (B,)       sums to 1
    P_smoke: Array  # (S,)       sums to 1
    P_tub: Array  # (B, T)     rows sum to 1
    P_lung: Array  # (S, L)     rows sum to 1
    P_bronc: Array  # (S, C)     rows sum to 1
    P_xray: Array  # (I, V)     rows sum to 1
    P_dysp: Array  # (I, C, W)  rows sum to 1


class Data(NamedTuple):
    """The data in chunks: every array has one more axis in front, that of the chunks."""

    visit: Array  # (N,)
    smoke: Array  # (N,)
    xray: Array  # (N,)
    dysp: Array  # (N,)
    weight: Array  # (N,)  0 for padding


class Statistics(NamedTuple):
    """Expected sufficient statistics. They add: over members, chunks, devices."""

    log_p: Array  # ()      ln p(x, z*) at the most probable z*
    N_visit: Array  # (B,)    sum_n 1
    N_smoke: Array  # (S,)    sum_n 1
    N_visit_tub: Array  # (B, T)  sum_n q_tub[n,t]
    N_smoke_lung: Array  # (S, L)  sum_n q_lung[n,l]
    N_smoke_bronc: Array  # (S, C)  sum_n q_bronc[n,c]


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


def expect(theta: Parameters, chunk: Data) -> Statistics:
    """Statistics of one chunk, at the most probable value of the latents."""
    visit, smoke, xray, dysp, weight = chunk
    # ln p(dysp[n], bronc[n]=c | either[n]=i)
    log_p_dysp_bronc_given_either = jnp.log(theta.P_bronc[smoke])[..., None] + jnp.log(
        jnp.moveaxis(theta.P_dysp, 2, 0)[dysp]
    ).transpose(0, 2, 1)
    # ln p(dysp[n] | either[n]=i): maximises over bronc
    log_p_dysp_given_either = log_p_dysp_bronc_given_either.max(1)
    # ln p(xray[n], dysp[n], either[n]=i | tub[n]=t, lung[n]=l)
    log_p_xray_dysp_either_given_tub_lung = (
        jnp.log(jnp.array((((1, 0), (1, 0)), ((1, 0), (0, 1))), float))
        + jnp.log(theta.P_xray.T[xray])[:, None, None]
        + log_p_dysp_given_either[:, None, None]
    )
    # ln p(xray[n], dysp[n] | tub[n]=t, lung[n]=l): maximises over either
    log_p_xray_dysp_given_tub_lung = log_p_xray_dysp_either_given_tub_lung.max(-1)
    # ln p(xray[n], dysp[n], lung[n]=l | tub[n]=t)
    log_p_xray_dysp_lung_given_tub = jnp.log(theta.P_lung[smoke])[:, None] + log_p_xray_dysp_given_tub_lung
    # ln p(xray[n], dysp[n] | tub[n]=t): maximises over lung
    log_p_xray_dysp_given_tub = log_p_xray_dysp_lung_given_tub.max(-1)
    # ln p(xray[n], dysp[n], tub[n]=t)
    log_p_xray_dysp_tub = jnp.log(theta.P_tub[visit]) + log_p_xray_dysp_given_tub
    log_p_xray_dysp = log_p_xray_dysp_tub.max(-1)  # ln p(xray[n], dysp[n]): maximises over tub
    q_tub = hardmax(log_p_xray_dysp_tub, -1) * weight[:, None]  # P(tub[n]=t | visit, smoke, xray, dysp)
    # P(tub[n]=t, lung[n]=l | visit, smoke, xray, dysp)
    q_tub_lung = hardmax(log_p_xray_dysp_lung_given_tub, -1) * q_tub[..., None]
    # P(tub[n]=t, lung[n]=l, either[n]=i | visit, smoke, xray, dysp)
    q_tub_lung_either = hardmax(log_p_xray_dysp_either_given_tub_lung, -1) * q_tub_lung[..., None]
    # P(bronc[n]=c, either[n]=i | visit, smoke, xray, dysp)
    q_bronc_either = hardmax(log_p_dysp_bronc_given_either, 1) * q_tub_lung_either.sum((1, 2))[:, None]
    return Statistics(
        log_p=weight @ (jnp.log(theta.P_visit[visit]) + jnp.log(theta.P_smoke[smoke]) + log_p_xray_dysp),
        N_visit=weight @ jax.nn.one_hot(visit, 2),
        N_smoke=weight @ jax.nn.one_hot(smoke, 2),
        N_visit_tub=jnp.einsum("nt,nb->bt", q_tub, jax.nn.one_hot(visit, 2)),
        N_smoke_lung=jnp.einsum("ntl,ns->sl", q_tub_lung, jax.nn.one_hot(smoke, 2)),
        N_smoke_bronc=jnp.einsum("nci,ns->sc", q_bronc_either, jax.nn.one_hot(smoke, 2)),
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
    return Parameters(
        P_visit=ratio(s.N_visit, s.N_visit.sum(), theta.P_visit),
        P_smoke=ratio(s.N_smoke, s.N_smoke.sum(), theta.P_smoke),
        P_tub=ratio(s.N_visit_tub, s.N_visit_tub.sum(-1)[:, None], theta.P_tub),
        P_lung=ratio(s.N_smoke_lung, s.N_smoke_lung.sum(-1)[:, None], theta.P_lung),
        P_bronc=ratio(s.N_smoke_bronc, s.N_smoke_bronc.sum(-1)[:, None], theta.P_bronc),
        P_xray=theta.P_xray,
        P_dysp=theta.P_dysp,
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
    N = len(data["visit"])
    weights = np.asarray(data.get("weights", np.ones(N)), dtype)
    chunks = -(-N // rows)
    chunk_n, place_n = np.divmod(np.arange(N), -(-N // chunks))
    return Data(
        visit=put(rows_of(data, "visit", int, states=2), (chunk_n, place_n)),
        smoke=put(rows_of(data, "smoke", int, states=2), (chunk_n, place_n)),
        xray=put(rows_of(data, "xray", int, states=2), (chunk_n, place_n)),
        dysp=put(rows_of(data, "dysp", int, states=2), (chunk_n, place_n)),
        weight=put(weights, (chunk_n, place_n), 0),
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


def init(data, seed=0, method="data"):
    """Where EM starts: at clusters of the data (method "data") or at random rows ("random")."""
    rng = np.random.default_rng(seed)
    return Parameters(
        P_visit=jnp.asarray(near(frequencies(data.visit, data.weight, 2), (2,), rng, method)),
        P_smoke=jnp.asarray(near(frequencies(data.smoke, data.weight, 2), (2,), rng, method)),
        P_tub=jnp.asarray(near(0.5, (2, 2), rng, method)),
        P_lung=jnp.asarray(near(0.5, (2, 2), rng, method)),
        P_bronc=jnp.asarray(near(0.5, (2, 2), rng, method)),
        P_xray=jnp.asarray(np.array([0.98, 0.02, 0.05, 0.95]).reshape((2, 2))),
        P_dysp=jnp.asarray(np.array([0.9, 0.1, 0.7, 0.3, 0.8, 0.2, 0.1, 0.9]).reshape((2, 2, 2))),
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
