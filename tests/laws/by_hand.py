"""EM and posterior of `two_covariances`, written by hand: right laws accept it, and none of its mutants.

Moments are taken about the old mean, so that data far from the origin lose nothing.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Parameters(NamedTuple):
    mu: Any
    Sigma_ac: Any
    Sigma_wc: Any


class Statistics(NamedTuple):
    log_p: Any
    N_z: Any
    N_x: Any
    Sz: Any
    Szz: Any
    Srr: Any


class Data(NamedTuple):
    x: Any
    member: Any  # (groups, rows), 1 where the row is in the group
    weight: Any  # (groups,)


def prepare(data: Any) -> Data:
    ids = np.asarray(data["group"])
    groups = int(ids.max()) + 1
    return Data(
        jnp.asarray(data["x"]),
        jnp.asarray((np.arange(groups)[:, None] == ids).astype(float)),
        jnp.asarray(data.get("weights", np.ones(groups))),
    )


def latents(theta: Parameters, data: Data, spread: float = 1.0) -> tuple[Any, Any, Any]:
    """Means of z - mu, covariances, and ln p of each group; `spread` other than 1 is a mutant's."""
    x, member = data.x - theta.mu, data.member
    J_ac, J_wc, many = jnp.linalg.inv(theta.Sigma_ac), jnp.linalg.inv(theta.Sigma_wc), member.sum(1)
    V = spread * jnp.linalg.inv(J_ac + many[:, None, None] * J_wc)
    h = member @ x @ J_wc
    m = jnp.einsum("gde,ge->gd", V, h)
    log_det = [jnp.linalg.slogdet(S)[1] for S in (theta.Sigma_wc, theta.Sigma_ac, V)]
    norm = many * (x.shape[1] * jnp.log(2 * jnp.pi) + log_det[0]) + log_det[1] - log_det[2]
    squares = member @ jnp.einsum("nd,de,ne->n", x, J_wc, x) - (m * h).sum(1)
    return m, V, -0.5 * (norm + squares)


def log_evidence(theta: Parameters, data: Data) -> Any:
    return data.weight @ latents(theta, data)[2]


def e_step(theta: Parameters, data: Data, spread: float = 1.0) -> Statistics:
    x, member, weight = data.x - theta.mu, data.member, data.weight
    m, V, log_p = latents(theta, data, spread)
    Ezz = V + m[:, :, None] * m[:, None]
    rows = weight @ member
    residual = x - member.T @ m
    return Statistics(
        log_p=weight @ log_p,
        N_z=weight.sum(),
        N_x=rows.sum(),
        Sz=weight @ m,
        Szz=jnp.einsum("g,gde->de", weight, Ezz),
        Srr=(residual * rows[:, None]).T @ residual + jnp.einsum("g,gde->de", weight * member.sum(1), V),
    )


def m_step(s: Statistics, theta: Parameters, lost: int = 0) -> Parameters:
    """`lost` groups are forgotten in a mutant."""
    step = s.Sz / s.N_z
    return Parameters(theta.mu + step, s.Szz / (s.N_z - lost) - jnp.outer(step, step), s.Srr / s.N_x)


def fit(data: Data, theta: Parameters, max_iter: int, tol: float) -> tuple[Parameters, list[float]]:
    trace = [float(log_evidence(theta, data))]
    for _ in range(max_iter):
        theta = m_step(e_step(theta, data), theta)
        trace.append(float(log_evidence(theta, data)))
    return theta, trace


def posterior(theta: Parameters, data: Data) -> dict[str, Any]:
    m, V, _ = latents(theta, data)
    return {"z": {"mean": theta.mu + m, "cov": V}}


def module(spread: float = 1.0, lost: int = 0) -> Any:
    """The functions of an emitted module (docs/architecture.md)."""
    return SimpleNamespace(
        Parameters=Parameters,
        prepare=prepare,
        log_evidence=log_evidence,
        e_step=jax.jit(lambda theta, data: e_step(theta, data, spread)),
        m_step=lambda statistics, theta: m_step(statistics, theta, lost),
        fit=fit,
        posterior=posterior,
        predict=lambda theta, data: {"z": theta.mu + latents(theta, data)[0]},
        score=lambda theta, data: latents(theta, data)[2],
    )
