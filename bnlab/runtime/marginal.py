"""The emitted NumPyro module made ready: what SVI, NUTS, certificates and standard errors share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro.infer.util import log_density

from bnlab.domains import Domain, Probability, Simplex
from bnlab.errors import Fault, FitError
from bnlab.network.declare import Network
from bnlab.network.ir import Graph
from bnlab.runtime.emitted import emitted
from bnlab.runtime.load import load_source
from bnlab.runtime.records import Bound, Partial, Problem
from bnlab.runtime.sites import log_volume, to_sites

MARGIN = 1e-6
"""How far from 0, as a part of 1 / size, probabilities start."""
LEAST = (1e-300, 1 - 2.0**-53)
"""A probability that is 0 but for nothing that a density could show, and the largest below 1."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Densities:
    """Compiled functions of the free parameters and the module's data: ln p(x, theta) and ln p(x | theta), and the same of many
    draws, stacked along a leading axis."""

    log_joint: Callable[[Arrays, Any], Any]
    log_evidence: Callable[[Arrays, Any], Any]
    log_joints: Callable[[Arrays, Any], Any]
    log_evidences: Callable[[Arrays, Any], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Marginal:
    """The module, and the data that its `marginal_model` takes. `log_joint` and `log_evidence` are compiled functions of
    the free parameters: ln p(x, theta) and ln p(x | theta)."""

    module: ModuleType
    data: Any
    densities: Densities

    def log_joint(self, theta: Arrays) -> Any:
        return self.densities.log_joint(dict(theta), self.data)

    def log_evidence(self, theta: Arrays) -> Any:
        return self.densities.log_evidence(dict(theta), self.data)

    def log_joints(self, draws: Arrays) -> NDArray[Any]:
        return np.asarray(self.densities.log_joints(dict(draws), self.data))

    def log_evidences(self, draws: Arrays) -> NDArray[Any]:
        return np.asarray(self.densities.log_evidences(dict(draws), self.data))


def marginal(problem: Problem) -> Marginal:
    """Raises FitError where the latents cannot be eliminated."""
    return marginal_of(problem.network, problem.bound, problem.dtype)


def marginal_of(network: Network, bound: Bound, dtype: str) -> Marginal:
    """The same for bound data. Raises FitError where the latents cannot be eliminated."""
    module = numpyro_module(network, bound.partial)
    if "marginal_model" not in vars(module):
        reason = f"The latents of {network.name} cannot be eliminated, and this runs without them."
        raise FitError(Fault(reason, "bn.derive(net) says why; run NumPyro on the emitted `model` instead."))
    data = jax.device_put(module.prepare(dict(bound.canonical), np.dtype(dtype)))
    return Marginal(module, data, densities(network, bound.partial))


def numpyro_module(network: Network, partial: Partial) -> ModuleType:
    """The emitted NumPyro file, loaded."""
    text = emitted(network, "numpyro", partial=partial)
    return load_source(text, f"{network.graph.name}_numpyro")


@lru_cache(maxsize=32)
def densities(network: Network, partial: Partial) -> Densities:
    """Compiled once a network and shape of data."""
    module, graph = numpyro_module(network, partial), network.graph
    fixed = {
        one.name: jnp.asarray(one.value.array) for one in network.graph.parameters if one.value is not None
    }

    def joint(theta: Arrays, data: Any) -> Any:
        density = log_density(module.marginal_model, (data,), {}, to_sites(graph, theta))[0]
        return density - log_volume(graph, theta)

    def evidence(theta: Arrays, data: Any) -> Any:
        return module.log_evidence(module.Parameters(**theta, **fixed), data)

    def each(density: Callable[[Arrays, Any], Any]) -> Callable[[Arrays, Any], Any]:
        return jax.jit(lambda draws, data: jax.lax.map(lambda theta: density(theta, data), draws))

    return Densities(jax.jit(joint), jax.jit(evidence), each(joint), each(evidence))


def inside(graph: Graph, theta: Arrays) -> dict[str, NDArray[Any]]:
    """The free parameters, those on the edge of their domain moved off it by as much as makes no difference."""
    return {
        one.name: _inside(one.domain, np.asarray(theta[one.name]))
        for one in graph.parameters
        if one.value is None
    }


def _inside(domain: Domain, value: NDArray[Any]) -> NDArray[Any]:
    """Probabilities away from 0: in the unconstrained space 0 is infinitely far away."""
    match domain:
        case Simplex(size=size):
            return (1 - MARGIN) * value + MARGIN / size
        case Probability():
            return (1 - MARGIN) * value + MARGIN / 2
        case _:
            return value


def off_the_edge(graph: Graph, theta: Arrays) -> dict[str, NDArray[Any]]:
    """The free parameters with the least numbers there are for probabilities of 0: no density is another by it, and that of a
    Dirichlet(1) or Beta(1, 1), which NumPyro computes as 0 ln 0 there, is a number."""
    return {
        one.name: np.clip(np.asarray(theta[one.name], float), *LEAST)
        if isinstance(one.domain, Simplex | Probability)
        else np.asarray(theta[one.name])
        for one in graph.parameters
        if one.value is None
    }


def complete(graph: Graph, theta: Arrays) -> dict[str, NDArray[Any]]:
    """Every parameter in order of declaration, fixed ones at their values."""
    return {
        one.name: np.asarray(theta[one.name] if one.value is None else one.value.array)
        for one in graph.parameters
    }


def options_of(problem: Problem, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The method's options with their defaults. Raises FitError for one that it does not have."""
    unknown = [name for name in problem.options if name not in defaults]
    if unknown:
        reason = f'method "{problem.method}" has no option {", ".join(unknown)}.'
        raise FitError(Fault(reason, f"Its options are {', '.join(defaults)}."))
    if problem.checkpoint is not None:
        raise FitError(Fault(f'method "{problem.method}" keeps no checkpoint.', "Leave it out."))
    options = {**defaults, **problem.options}
    faults = [fault for name, value in options.items() for fault in _option_faults(name, value)]
    if faults:
        raise FitError(*faults)
    return options


FEWEST = {
    "num_warmup": 0,
    "num_samples": 1,
    "num_chains": 1,
    "num_particles": 1,
    "max_tree_depth": 1,
    "rank": 0,
    "batch": 0,
}
"""The options that are whole numbers, and the lowest that each can be."""


def _option_faults(name: str, value: Any) -> Iterator[Fault]:
    if name in FEWEST:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < FEWEST[name]:
            yield Fault(f"{name} is {value!r}; it is a whole number of at least {FEWEST[name]}.")
        return
    highest = {"step_size": np.inf, "target_accept": 1.0}.get(name)
    if highest is not None:
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not 0 < value < highest:
            yield Fault(
                f"{name} is {value!r}; it is a number above 0{' and below 1' if highest == 1 else ''}."
            )
