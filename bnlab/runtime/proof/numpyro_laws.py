"""The law of the emitted NumPyro file: its densities are those of the oracle and of the EM."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.contrib import funsor
from numpyro.infer.util import log_density

from bnlab.runtime.proof import priors
from bnlab.runtime.proof.auxiliary import slope_of_auxiliary
from bnlab.runtime.proof.deviation import Deviation, difference, differences
from bnlab.runtime.proof.subject import Subject
from bnlab.runtime.proof.tangent import tangent

ENUMERATED = -8  # the first dimension for enumerated states: left of every plate of a small network
AGREEMENT = 1e-10  # NumPyro's own order of operations, in float64


def enumerated_is_brute_force(
    subject: Subject, module: ModuleType, gradient: bool = False
) -> Iterator[Deviation]:
    """The density of `model`, its discrete latents enumerated by NumPyro, its continuous ones at arbitrary values.

    Nothing is yielded where a latent has no density.
    """
    if subject.oracle.without_density(subject.theta):
        return
    sites = _arbitrary_latents(subject)
    inputs = [name for name in inspect.signature(module.model).parameters if name in subject.data]
    data = {name: np.asarray(subject.data[name]) for name in inputs}
    model = funsor.enum(module.model, ENUMERATED)
    yield from _agrees(
        subject.on({**subject.data, **sites}),
        lambda theta: funsor.log_density(model, (), data, theta | sites)[0],
        gradient,
    )


def _arbitrary_latents(subject: Subject) -> dict[str, np.ndarray]:
    """Values for every continuous latent: laws hold for any."""
    rng = np.random.default_rng(3)
    moments = subject.oracle.moments(subject.oracle.posterior(subject.theta))
    return {name: found["mean"] + rng.normal(size=found["mean"].shape) for name, found in moments.items()}


def marginal_is_brute_force(
    subject: Subject, module: ModuleType, gradient: bool = False
) -> Iterator[Deviation]:
    """The density of `marginal_model`, its latents eliminated by the derived code."""
    data = (module.prepare(subject.data),)
    yield from _agrees(
        subject, lambda theta: log_density(module.marginal_model, data, {}, theta)[0], gradient
    )


def _agrees(subject: Subject, log_p: Callable[[dict[str, Any]], Any], gradient: bool) -> Iterator[Deviation]:
    """The value, and with `gradient` (for parameters without zeros) the slope, beside the oracle's."""
    free = {p.name for p in subject.graph.parameters if p.value is None}
    theta = {name: jnp.asarray(value, float) for name, value in subject.theta.items() if name in free}
    expected = subject.oracle.log_evidence(subject.theta) + float(
        priors.log_prior(subject.graph, subject.theta)
    )
    yield difference("log density", log_p(theta), expected, AGREEMENT)
    if gradient:
        slope = slope_of_auxiliary(subject, subject.oracle.posterior(subject.theta))(subject.theta)
        wanted = tangent(subject.graph, subject.theta, slope)
        fixed = {name: np.zeros(()) for name in subject.theta if name not in free}
        found = tangent(subject.graph, subject.theta, jax.grad(log_p)(theta) | fixed)
        yield from differences("gradient", found, wanted, AGREEMENT)
