"""What SVI optimises: a guide over the parameters, and the emitted model that it approximates the posterior of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
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
from bnlab.network.declare import Network
from bnlab.network.sites import sites
from bnlab.runtime.marginal import numpyro_module
from bnlab.runtime.records import Bound, Partial
from bnlab.runtime.sites import to_sites

GUIDES: dict[str, Callable[..., Any]] = {
    "point": AutoDelta,
    "mean-field": AutoNormal,
    "full-rank": AutoMultivariateNormal,
    "low-rank": AutoLowRankMultivariateNormal,
}
"""A point (the posterior's mode), and normals over the unconstrained parameters: independent, with any covariance, with
one of low rank plus a diagonal."""
MODELS = ("marginal", "enumerated")


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The model as a function of (data, index of a part), how many parts data are in, and the loss."""

    model: Callable[[Any, Any], None]
    parts: Callable[[Any], int]
    loss: Any


def guide_of(network: Network, options: Mapping[str, Any], target: Target, start: Mapping[str, Any]) -> Any:
    """The guide over the parameters that have priors, and over the Gaussian latents of an enumerated model; the empty one
    if there is neither."""
    graph = network.graph
    kept = options["model"] == "enumerated" and any(not one.discrete for one in graph.in_role("latent"))
    if not kept and not any(one.prior is not None for one in graph.parameters):
        return _nothing
    discrete = (one.name for one in graph.in_role("latent") if one.discrete)
    hidden = [*discrete, *sites(graph)]  # what is made of sites is none itself
    model = handlers.block(target.model, hide=hidden)
    more = {"rank": int(options["rank"])} if options["guide"] == "low-rank" and options["rank"] else {}
    return GUIDES[options["guide"]](model, init_loc_fn=init_to_value(values=to_sites(graph, start)), **more)


def _nothing(data: Any, part: Any) -> None:
    """The guide of a model without random parameters."""


def marginal_target(network: Network, partial: Partial, options: Mapping[str, Any]) -> Target:
    """`marginal_model`; with `batch`, on one of the parts that its data are prepared in."""
    model = numpyro_module(network, partial).marginal_model
    loss = Trace_ELBO(num_particles=int(options["num_particles"]))
    if not options["batch"]:
        return Target(lambda data, part: model(data), lambda data: 1, loss)

    def parts(data: Any) -> int:
        return len(jax.tree.leaves(data)[0])

    def one_part(data: Any, part: Any) -> None:
        with ScaleObserved(parts(data)):
            model(jax.tree.map(lambda array: jax.lax.dynamic_slice_in_dim(array, part, 1), data))

    return Target(one_part, parts, loss)


def enumerated_target(network: Network, bound: Bound, options: Mapping[str, Any]) -> Target:
    """The emitted `model` as it stands, its discrete latents summed out by NumPyro. The data are read while it is traced:
    ids decide shapes. Raises FitError where there is none."""
    module = numpyro_module(network, bound.partial)
    if "model" not in vars(module):
        reason = f"{network.name} has no enumerated model."
        raise FitError(Fault(reason, 'Leave out model="enumerated"; bn.emit(net, "numpyro") says why.'))
    if "weights" in bound.canonical:
        raise FitError(Fault("The enumerated model takes no weights.", 'Leave out model="enumerated".'))
    inputs = [name for name in inspect.signature(module.model).parameters if name in bound.canonical]
    data = {name: np.asarray(bound.canonical[name]) for name in inputs}
    discrete = any(one.discrete for one in network.graph.in_role("latent"))
    loss = (TraceEnum_ELBO if discrete else Trace_ELBO)(num_particles=int(options["num_particles"]))
    return Target(lambda _, part: module.model(**data), lambda _: 1, loss)


def refuse(options: Mapping[str, Any]) -> None:
    """Raises FitError for options that cannot be."""
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
