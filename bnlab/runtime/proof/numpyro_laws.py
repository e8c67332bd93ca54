"""The law of the emitted NumPyro file: its densities are those of the oracle and of the EM."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.contrib import funsor
from numpyro.infer.util import log_density

from bnlab.network.ir import Variable
from bnlab.runtime.proof import priors
from bnlab.runtime.proof.auxiliary import slope_of_auxiliary
from bnlab.runtime.proof.deviation import Deviation, difference, differences
from bnlab.runtime.proof.grounding import sizeless
from bnlab.runtime.proof.padding import completed, grid_shape, is_scanned
from bnlab.runtime.proof.parts import log_volume, to_sites
from bnlab.runtime.proof.subject import Subject
from bnlab.runtime.proof.tangent import tangent

ENUMERATED = -8  # the first dimension for enumerated states: left of every plate of a small network
AGREEMENT = 1e-10  # NumPyro's own order of operations, in float64


def enumerated_is_brute_force(
    subject: Subject, module: ModuleType, gradient: bool = False
) -> Iterator[Deviation]:
    """The density of `model`, its discrete latents enumerated by NumPyro, its continuous ones at arbitrary values.

    Nothing is yielded where a latent has no density, or where NumPyro can have no such model.
    """
    if "model" not in vars(module) or subject.oracle.without_density(subject.theta):
        return
    inputs = [name for name in inspect.signature(module.model).parameters if name in subject.data]
    data = {name: np.asarray(subject.data[name]) for name in inputs}
    filled, sites = _filled(subject, _site_shapes(subject, module, data))
    model = funsor.enum(module.model, ENUMERATED)
    yield from _agrees(filled, lambda theta: funsor.log_density(model, (), data, theta | sites)[0], gradient)


def _site_shapes(
    subject: Subject, module: ModuleType, data: dict[str, np.ndarray]
) -> dict[str, tuple[int, ...]]:
    """The shapes of the sites of continuous latents, and of nothing else."""
    theta = {name: jnp.asarray(value, float) for name, value in subject.theta.items()}
    model = handlers.seed(handlers.substitute(module.model, data=to_sites(subject.graph, theta)), 0)
    trace = handlers.trace(model).get_trace(**data)
    return {v.name: trace[v.name]["value"].shape for v in _continuous(subject)}


def _continuous(subject: Subject) -> list[Variable]:
    return [variable for variable in subject.graph.in_role("latent") if not variable.discrete]


def _filled(subject: Subject, shapes: dict[str, tuple[int, ...]]) -> tuple[Subject, dict[str, jax.Array]]:
    """The subject with values for every continuous latent, and the same values in the shapes of the model's sites: rows
    that pad ragged members have some too, and scans put time first. Laws hold for any values."""
    graph, rng = subject.graph, np.random.default_rng(3)
    canonical = {v.name: subject.oracle.shape(v.name) for v in _continuous(subject)}
    padded = any(math.prod(shapes[name]) != math.prod(shape) for name, shape in canonical.items())
    if padded:
        subject = subject.on(completed(graph, subject.data))
        canonical = {name: subject.oracle.shape(name) for name in canonical}
    values = {name: rng.normal(size=shape) for name, shape in canonical.items()}
    sites = {}
    for variable in _continuous(subject):
        path, value = sizeless(graph, variable), values[variable.name]
        scanned = [
            at for at, plate in enumerate(path) if graph.plate(plate).chain and is_scanned(graph, plate)
        ]
        if len(path) > 1 and (padded or scanned):
            value = value.reshape(*grid_shape(graph, subject.data, variable), *value.shape[1:])
            value = np.moveaxis(value, scanned, range(len(scanned)))
        sites[variable.name] = jnp.asarray(value.reshape(shapes[variable.name]))
    return subject.on({**subject.data, **values}), sites


def marginal_is_brute_force(
    subject: Subject, module: ModuleType, gradient: bool = False
) -> Iterator[Deviation]:
    """The density of `marginal_model`, its latents eliminated by the derived code."""
    data = (module.prepare(subject.data),)
    yield from _agrees(
        subject, lambda theta: log_density(module.marginal_model, data, {}, theta)[0], gradient
    )


def _agrees(subject: Subject, log_p: Callable[[dict[str, Any]], Any], gradient: bool) -> Iterator[Deviation]:
    """The value, and with `gradient` (for parameters without zeros) the slope, beside the oracle's. `log_p` takes sites."""

    def density(theta: dict[str, Any]) -> Any:
        return log_p(to_sites(subject.graph, theta)) - log_volume(subject.graph, theta)

    free = {p.name for p in subject.graph.parameters if p.value is None}
    theta = {name: jnp.asarray(value, float) for name, value in subject.theta.items() if name in free}
    expected = subject.oracle.log_evidence(subject.theta) + float(
        priors.log_prior(subject.graph, subject.theta)
    )
    yield difference("log density", density(theta), expected, AGREEMENT)
    if gradient:
        slope = slope_of_auxiliary(subject, subject.oracle.posterior(subject.theta))(subject.theta)
        wanted = tangent(subject.graph, subject.theta, slope)
        fixed = {name: np.zeros(()) for name in subject.theta if name not in free}
        found = tangent(subject.graph, subject.theta, jax.grad(density)(theta) | fixed)
        yield from differences("gradient", found, wanted, AGREEMENT)
