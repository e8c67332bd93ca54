"""The emitted NumPyro module made ready: what SVI and NUTS share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from numpyro.infer.util import log_density

from bnlab.domains import Domain, Simplex
from bnlab.errors import Fault, FitError
from bnlab.network.ir import Graph
from bnlab.runtime.em_engine import engine, theta_of_start
from bnlab.runtime.emitted import emitted
from bnlab.runtime.load import load_source
from bnlab.runtime.records import Problem

MARGIN = 1e-6
"""How far from 0, as a part of 1 / size, probabilities start."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Marginal:
    """The module, and the data that its `marginal_model` takes. `log_joint` and `log_evidence` are compiled functions of
    the parameters: ln p(x, theta) and ln p(x | theta)."""

    module: ModuleType
    data: Any
    log_joint: Callable[[Arrays], Any]
    log_evidence: Callable[[Arrays], Any]


def marginal(problem: Problem) -> Marginal:
    """Raises FitError where the latents cannot be eliminated."""
    module = load_source(emitted(problem.network, "numpyro"), f"{problem.graph.name}_numpyro")
    if "marginal_model" not in vars(module):
        reason = f'The latents of {problem.graph.name} cannot be eliminated, and method "{problem.method}" runs without them.'
        raise FitError(Fault(reason, "bn.derive(net) says why; run NumPyro on the emitted `model` instead."))
    data = jax.device_put(module.prepare(dict(problem.bound.canonical), np.dtype(problem.dtype)))
    fixed = {one.name: one.value.array for one in problem.graph.parameters if one.value is not None}

    def joint(theta: Arrays) -> Any:
        return log_density(module.marginal_model, (data,), {}, dict(theta))[0]

    def evidence(theta: Arrays) -> Any:
        return module.log_evidence(module.Parameters(**theta, **fixed), data)

    return Marginal(module, data, jax.jit(joint), jax.jit(evidence))


def free_start(problem: Problem, number: int) -> dict[str, NDArray[Any]]:
    """Where run `number` starts: the same values as EM's, without the fixed ones, and inside of their domains."""
    theta = theta_of_start(problem, engine(problem, "scaled"), number)
    return {
        one.name: _inside(one.domain, theta[one.name])
        for one in problem.graph.parameters
        if one.value is None
    }


def _inside(domain: Domain, value: NDArray[Any]) -> NDArray[Any]:
    """Probabilities away from 0: in the unconstrained space 0 is infinitely far away."""
    if not isinstance(domain, Simplex):
        return value
    return (1 - MARGIN) * value + MARGIN / domain.size


def complete(graph: Graph, theta: Arrays) -> dict[str, NDArray[Any]]:
    """Every parameter in order of declaration, fixed ones at their values."""
    return {
        one.name: np.asarray(theta[one.name] if one.value is None else one.value.array)
        for one in graph.parameters
    }


def options_of(problem: Problem, defaults: Mapping[str, float]) -> dict[str, float]:
    """The method's options with their defaults. Raises FitError for one that it does not have."""
    unknown = [name for name in problem.options if name not in defaults]
    if unknown:
        reason = f'method "{problem.method}" has no option {", ".join(unknown)}.'
        raise FitError(Fault(reason, f"Its options are {', '.join(defaults)}."))
    return {**defaults, **problem.options}
