"""What SVI optimises: a guide over the parameters, and the emitted model that it approximates the posterior of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.infer import Trace_ELBO, TraceEnum_ELBO, init_to_value
from numpyro.infer.autoguide import (
    AutoDelta,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)
from numpyro.primitives import Messenger

from bnlab.errors import Fault, FitError
from bnlab.runtime.marginal import marginal, numpyro_module
from bnlab.runtime.records import Problem

GUIDES: dict[str, Callable[..., Any]] = {
    "point": AutoDelta,
    "mean-field": AutoNormal,
    "full-rank": AutoMultivariateNormal,
    "low-rank": AutoLowRankMultivariateNormal,
}
"""A point (the posterior's mode), and normals over the unconstrained parameters: independent, with any covariance, with
one of low rank plus a diagonal."""
MODELS = ("marginal", "enumerated")

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The model as a function of (data, index of a part), the data, how many parts they are in, and the loss."""

    model: Callable[[Any, Any], None]
    data: Any
    parts: int
    loss: Any


def guide_of(problem: Problem, options: Mapping[str, Any], target: Target, start: Arrays) -> Any:
    """The guide over the parameters that have priors; the empty one if none has."""
    random = any(one.prior is not None for one in problem.graph.parameters if one.name in start)
    if not random:
        return _nothing
    model = handlers.block(target.model, hide=[one.name for one in problem.graph.in_role("latent")])
    found = {name: jnp.asarray(value) for name, value in start.items()}
    more = {"rank": int(options["rank"])} if options["guide"] == "low-rank" and options["rank"] else {}
    return GUIDES[options["guide"]](model, init_loc_fn=init_to_value(values=found), **more)


def _nothing(data: Any, part: Any) -> None:
    """The guide of a model without random parameters."""


def target_of(problem: Problem, options: Mapping[str, Any]) -> Target:
    """What is fitted. Raises FitError for an option that cannot be."""
    _refuse(problem, options)
    particles = int(options["num_particles"])
    if options["model"] == "enumerated":
        return _enumerated(problem, particles)
    rows = int(options["batch"])
    ready = marginal(problem)
    if not rows:
        return Target(
            lambda data, part: ready.module.marginal_model(data), ready.data, 1, Trace_ELBO(particles)
        )
    data = ready.module.prepare(dict(problem.bound.canonical), np.dtype(problem.dtype), rows=rows)
    parts = len(jax.tree.leaves(data)[0])

    def model(data: Any, part: Any) -> None:
        one = jax.tree.map(lambda array: jax.lax.dynamic_slice_in_dim(array, part, 1), data)
        with ScaleObserved(parts):
            ready.module.marginal_model(one)

    return Target(model, jax.device_put(data), parts, Trace_ELBO(particles))


def _enumerated(problem: Problem, particles: int) -> Target:
    """The emitted `model` as it stands, its discrete latents summed out by NumPyro."""
    module = numpyro_module(problem.network)
    if "model" not in vars(module):
        reason = f"{problem.graph.name} has no enumerated model."
        raise FitError(Fault(reason, 'Leave out model="enumerated"; bn.emit(net, "numpyro") says why.'))
    canonical = problem.bound.canonical
    inputs = [name for name in inspect.signature(module.model).parameters if name in canonical]
    data = {name: np.asarray(canonical[name]) for name in inputs}  # ids are read while it is traced
    discrete = any(one.discrete for one in problem.graph.in_role("latent"))
    loss = TraceEnum_ELBO(num_particles=particles) if discrete else Trace_ELBO(num_particles=particles)
    return Target(lambda _, part: module.model(**data), None, 1, loss)


def _refuse(problem: Problem, options: Mapping[str, Any]) -> None:
    faults = []
    for name, known in (("guide", tuple(GUIDES)), ("model", MODELS)):
        if options[name] not in known:
            listed = ", ".join(f'"{one}"' for one in known)
            faults.append(Fault(f"{name} is {options[name]!r}; those are {listed}."))
    if options["batch"] and options["model"] == "enumerated":
        faults.append(
            Fault("batch= takes parts of the data of the marginal model.", "Leave out one of the two.")
        )
    if faults:
        raise FitError(*faults)


class ScaleObserved(Messenger):
    """Multiplies the log density of the data by `factor`, as if there were so many times as many; priors stay."""

    def __init__(self, factor: int) -> None:
        self.factor = factor
        super().__init__(None)

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and msg["is_observed"]:
            msg["scale"] = self.factor if msg.get("scale") is None else self.factor * msg["scale"]
