"""What parameters are used for: means, spreads, and how they move when the data are scaled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.network.ir import Affine, Argument, Graph, Ref
from bnlab.runtime.proof.grounding import Data

Theta = Mapping[str, np.ndarray]


def used_as(graph: Graph, *slots: str) -> set[Ref]:
    """The parameters and constants that stand in these arguments of some variable's distribution."""
    found: set[Ref] = set()
    for variable in graph.variables:
        for cpd in (*variable.first, *([variable.cpd] if variable.cpd else [])):
            for slot in slots:
                found |= _refs(cpd.argument(slot))
    return found


def _refs(argument: Argument | None) -> set[Ref]:
    terms = argument.terms if isinstance(argument, Affine) else ()
    return {ref for ref in (argument, *(term.coefficient for term in terms)) if isinstance(ref, Ref)}


def names(refs: set[Ref]) -> set[str]:
    return {ref.target for ref in refs if isinstance(ref.target, str)}


def spreads(graph: Graph) -> set[str]:
    """The parameters that are covariances, variances or standard deviations of variables."""
    return names(used_as(graph, "cov", "var", "std"))


def given_old_spreads(graph: Graph) -> set[str]:
    """Coefficients of means that no closed form may maximise together with their spreads: those with a prior of their own,
    and those of sums (where they share one covariance that is a factor of all their equations, they are)."""
    summed: set[str] = set()
    for variable in graph.variables:
        for cpd in (*variable.first, *([variable.cpd] if variable.cpd else [])):
            mean = cpd.argument("mean")
            if isinstance(mean, Affine) and (len(mean.terms) > 1 or mean.terms[0].variable is not None):
                summed |= names(_refs(mean))
    return summed | {
        name for name in names(used_as(graph, "mean")) if graph.parameter(name).prior is not None
    }


def has_regressions(graph: Graph) -> bool:
    """Whether a mean is a sum or reads other continuous variables, so that moving the data does not just move it."""
    found = (cpd.argument("mean") for v in graph.variables for cpd in (*v.first, *([v.cpd] if v.cpd else [])))
    means = [mean for mean in found if isinstance(mean, Affine)]
    return any(len(mean.terms) > 1 or mean.terms[0].variable is not None for mean in means)


def units(graph: Graph, factor: float) -> dict[str, float]:
    """What a unit of each parameter becomes when data are multiplied by `factor`."""
    linear = names(used_as(graph, "mean", "std"))
    square = names(used_as(graph, "cov", "var"))
    powers = {p.name: 2 if p.name in square else 1 if p.name in linear else 0 for p in graph.parameters}
    return {name: factor**power for name, power in powers.items()}


def map_data(
    graph: Graph, data: Data, theta: Theta, factor: float, offset: float
) -> tuple[dict[str, object], dict[str, np.ndarray], int] | None:
    """Data factor * x + offset, the parameters that go with them, and how many numbers there are; None where constants,
    fixed values or priors do not move along, or something continuous is not normal, or nothing is continuous."""
    real = {v.name for v in graph.in_role("observed") if not v.discrete}
    if any((v := graph.variable(name)).cpd and v.cpd.family != "Normal" for name in real):
        return None
    used = used_as(graph, "mean", "cov", "var", "std")
    still = [p for p in graph.parameters if p.prior is not None or p.value is not None]
    if not real or still or has_regressions(graph) or any(not isinstance(ref.target, str) for ref in used):
        return None
    moved = {
        name: factor * np.asarray(value) + offset if name in real else value for name, value in data.items()
    }
    scale, means = units(graph, factor), names(used_as(graph, "mean"))
    mapped = {name: scale[name] * np.asarray(theta[name]) + offset * (name in means) for name in scale}
    return moved, mapped, sum(int(np.size(data[name])) for name in real)
