"""Parameters as what NumPyro samples in their place, from the definition of a prior over their parts: a covariance with an LKJ
prior is diag(s) L L' diag(s), with L the Cholesky factor of the correlations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bnlab.network.ir import Graph
from bnlab.network.sites import sites

Theta = Mapping[str, Any]


def to_sites(graph: Graph, theta: Theta) -> dict[str, Any]:
    """The values of the sites at the parameters `theta`; differentiable."""
    values = dict(theta)
    for name, names in sites(graph).items():
        std, root = _parts(jnp.asarray(values.pop(name)))
        values |= {names["std"]: std, names["corr_root"]: root}
    return values


def log_volume(graph: Graph, theta: Theta) -> Any:
    """The log of |d Sigma / d (s, L)|, a determinant of derivatives, summed over the covariances of all members."""
    total = jnp.zeros(())
    for name in sites(graph):
        value = jnp.asarray(theta[name])
        each = value.reshape(-1, *value.shape[-2:])
        total += sum((_log_volume(*_parts(sigma)) for sigma in each), jnp.zeros(()))
    return total


def _parts(sigma: Any) -> tuple[Any, Any]:
    std = jnp.sqrt(jnp.diagonal(sigma, axis1=-2, axis2=-1))
    return std, jnp.linalg.cholesky(sigma / (std[..., None] * std[..., None, :]))


def _log_volume(std: Any, root: Any) -> Any:
    dim = len(std)
    below, lower = np.tril_indices(dim, -1), np.tril_indices(dim)

    def covariance(free: Any) -> Any:
        """The lower triangle of Sigma from s and what is below the diagonal of L, whose rows have length 1."""
        s, strict = free[:dim], jnp.zeros((dim, dim)).at[below].set(free[dim:])
        whole = strict + jnp.diag(jnp.sqrt(1 - (strict**2).sum(-1)))
        scaled = s[:, None] * whole
        return (scaled @ scaled.T)[lower]

    return jnp.linalg.slogdet(jax.jacfwd(covariance)(jnp.concatenate([std, root[below]])))[1]
