# -*- coding: utf-8 -*-
"""NumPyro models of the network `asia`; need only JAX, NumPy and NumPyro.

for n in 1..N:
    visit[n] ~ Categorical(P_visit)                             observed
    smoke[n] ~ Categorical(P_smoke)                             observed
    tub[n] ~ Categorical(P_tub[visit[n]])                       latent
    lung[n] ~ Categorical(P_lung[smoke[n]])                     latent
    bronc[n] ~ Categorical(P_bronc[smoke[n]])                   latent
    either[n] ~ Categorical(array(2, 2, 2)[tub[n],lung[n]])     latent
    xray[n] ~ Categorical(P_xray[either[n]])                    observed
    dysp[n] ~ Categorical(P_dysp[either[n],bronc[n]])           observed

Emitted by bnlab 0.1.0 from network 47c954de.
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
    P_visit = numpyro.param(
        "P_visit", lambda key: jax.random.dirichlet(key, jnp.ones(2)), constraint=dist.constraints.simplex
    )
    P_smoke = numpyro.param(
        "P_smoke", lambda key: jax.random.dirichlet(key, jnp.ones(2)), constraint=dist.constraints.simplex
    )
    with numpyro.plate("been", 2, dim=-1):
        P_tub = numpyro.param(
            "P_tub",
            lambda key: jax.random.dirichlet(key, jnp.ones(2), (2,)),
            constraint=dist.constraints.simplex,
            event_dim=1,
        )
    with numpyro.plate("smokes", 2, dim=-1):
        P_lung = numpyro.param(
            "P_lung",
            lambda key: jax.random.dirichlet(key, jnp.ones(2), (2,)),
            constraint=dist.constraints.simplex,
            event_dim=1,
        )
        P_bronc = numpyro.param(
            "P_bronc",
            lambda key: jax.random.dirichlet(key, jnp.ones(2), (2,)),
            constraint=dist.constraints.simplex,
            event_dim=1,
        )
    P_xray = jnp.array([[0.98, 0.02], [0.05, 0.95]])
    P_dysp = jnp.array([[[0.9, 0.1], [0.7, 0.3]], [[0.8, 0.2], [0.1, 0.9]]])
    # NumPy arrays may have been substituted.
    return jax.tree.map(
        jnp.asarray,
        Parameters(
            P_visit=P_visit,
            P_smoke=P_smoke,
            P_tub=P_tub,
            P_lung=P_lung,
            P_bronc=P_bronc,
            P_xray=P_xray,
            P_dysp=P_dysp,
        ),
    )


def model(visit=None, smoke=None, xray=None, dysp=None, num_n=None):
    """The generative model. Discrete latents are enumerated, in the dimensions from -2 leftwards.

    visit: array (num_n,), or None to sample it
    smoke: array (num_n,), or None to sample it
    xray: array (num_n,), or None to sample it
    dysp: array (num_n,), or None to sample it
    num_n: the size of n, needed only without visit and smoke and xray and dysp
    """
    if visit is not None:
        num_n = len(visit)
    if smoke is not None:
        num_n = len(smoke)
    if xray is not None:
        num_n = len(xray)
    if dysp is not None:
        num_n = len(dysp)
    P_visit, P_smoke, P_tub, P_lung, P_bronc, P_xray, P_dysp = parameters()
    with numpyro.plate("n", num_n, dim=-1):
        visit = numpyro.sample("visit", dist.Categorical(P_visit), obs=visit)
        smoke = numpyro.sample("smoke", dist.Categorical(P_smoke), obs=smoke)
        tub = numpyro.sample("tub", dist.Categorical(P_tub[visit]), infer={"enumerate": "parallel"})
        lung = numpyro.sample("lung", dist.Categorical(P_lung[smoke]), infer={"enumerate": "parallel"})
        bronc = numpyro.sample("bronc", dist.Categorical(P_bronc[smoke]), infer={"enumerate": "parallel"})
        either = numpyro.sample(
            "either",
            dist.Categorical(jnp.array([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])[tub, lung]),
            infer={"enumerate": "parallel"},
        )
        numpyro.sample("xray", dist.Categorical(P_xray[either]), obs=xray)
        numpyro.sample("dysp", dist.Categorical(P_dysp[either, bronc]), obs=dysp)


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


def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)


def expect(theta: Parameters, chunk: Data) -> Array:
    """ln p of one chunk."""
    visit, smoke, xray, dysp, weight = chunk
    # ln p(dysp[n], bronc[n]=c | either[n]=i)
    log_p_dysp_bronc_given_either = log(theta.P_bronc[smoke])[..., None] + log(
        jnp.moveaxis(theta.P_dysp, 2, 0)[dysp]
    ).transpose(0, 2, 1)
    # ln p(dysp[n] | either[n]=i): sums out bronc
    log_p_dysp_given_either = logsumexp(log_p_dysp_bronc_given_either, axis=1)
    # ln p(xray[n], dysp[n], either[n]=i | tub[n]=t, lung[n]=l)
    log_p_xray_dysp_either_given_tub_lung = (
        log(jnp.array((((1, 0), (1, 0)), ((1, 0), (0, 1))), float))
        + log(theta.P_xray.T[xray])[:, None, None]
        + log_p_dysp_given_either[:, None, None]
    )
    # ln p(xray[n], dysp[n] | tub[n]=t, lung[n]=l): sums out either
    log_p_xray_dysp_given_tub_lung = logsumexp(log_p_xray_dysp_either_given_tub_lung, axis=-1)
    # ln p(xray[n], dysp[n], lung[n]=l | tub[n]=t)
    log_p_xray_dysp_lung_given_tub = log(theta.P_lung[smoke])[:, None] + log_p_xray_dysp_given_tub_lung
    # ln p(xray[n], dysp[n] | tub[n]=t): sums out lung
    log_p_xray_dysp_given_tub = logsumexp(log_p_xray_dysp_lung_given_tub, axis=-1)
    # ln p(xray[n], dysp[n], tub[n]=t)
    log_p_xray_dysp_tub = log(theta.P_tub[visit]) + log_p_xray_dysp_given_tub
    log_p_xray_dysp = logsumexp(log_p_xray_dysp_tub, axis=-1)  # ln p(xray[n], dysp[n]): sums out tub
    return weight @ (log(theta.P_visit[visit]) + log(theta.P_smoke[smoke]) + log_p_xray_dysp)


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


def marginal_model(data):
    """The density of visit, smoke, xray, dysp with the latent variables eliminated, for NUTS and SVI.

    data: what `prepare` returns.
    """
    numpyro.factor("log_p", log_evidence(parameters(), data))
