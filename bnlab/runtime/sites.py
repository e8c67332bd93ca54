"""Parameters as the sites of the emitted NumPyro models, and back: they differ where a prior is over parts of a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from bnlab.families.base import AbstractFamily, registry
from bnlab.network.ir import Graph
from bnlab.network.sites import sites

Values = Mapping[str, Any]


def to_sites(graph: Graph, theta: Values) -> dict[str, Any]:
    """The values of the sites at the parameters `theta`; differentiable."""
    values = dict(theta)
    for name, parts in sites(graph).items():
        if name in theta:
            found = _prior(graph, name).apart(jnp.asarray(values.pop(name)), jnp)
            values |= {site: found[part] for part, site in parts.items()}
    return values


def from_sites(graph: Graph, values: Values) -> dict[str, Any]:
    """The parameters at values of the sites, with any leading axes, alike for all parts of one of them."""
    theta = dict(values)
    for name, parts in sites(graph).items():
        if all(site in values for site in parts.values()):
            theta[name] = _prior(graph, name).together({part: theta.pop(at) for part, at in parts.items()})
    return theta


def log_volume(graph: Graph, theta: Values) -> Any:
    """By how much the log density of the sites is above that of the parameters `theta`; differentiable."""
    total = jnp.zeros(())
    for name in sites(graph):
        family = _prior(graph, name)
        total += family.log_volume(family.apart(jnp.asarray(theta[name]), jnp), jnp).sum()
    return total


def _prior(graph: Graph, name: str) -> AbstractFamily:
    prior = graph.parameter(name).prior
    assert prior is not None
    return registry()[prior.family]
