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


def given_others(graph: Graph) -> dict[str, set[str]]:
    """Parameters that are maximised given the old values of others, and these others.

    They are means with a prior of their own, given the spreads; and concentrations of Gammas whose rate has a prior, is fixed
    or shared otherwise than they are, given the rates.
    """
    means = {name for name in names(used_as(graph, "mean")) if graph.parameter(name).prior is not None}
    found = {name: spreads(graph) for name in means}
    pairs = _gammas(graph)
    for one, rate in pairs:
        alone = all((one == other) == (rate == beside) for other, beside in pairs)
        free = isinstance(rate.target, str) and _is_plain(graph, rate.target)
        if isinstance(one.target, str) and not (
            alone and free and _selects(graph, rate) >= _selects(graph, one)
        ):
            found[one.target] = names(used_as(graph, "rate"))
    return found


def _gammas(graph: Graph) -> list[tuple[Ref, Ref]]:
    """The concentration and the rate of every Gamma."""
    cpds = [cpd for v in graph.variables for cpd in (*v.first, v.cpd) if cpd and cpd.family == "Gamma"]
    pairs = [(cpd.argument("concentration"), cpd.argument("rate")) for cpd in cpds]
    return [(a, b) for a, b in pairs if isinstance(a, Ref) and isinstance(b, Ref)]


def _is_plain(graph: Graph, name: str) -> bool:
    return graph.parameter(name).prior is None and graph.parameter(name).value is None


def _selects(graph: Graph, ref: Ref) -> set[str]:
    """The plates and the entries that a parameter tells apart."""
    assert isinstance(ref.target, str)
    parameter = graph.parameter(ref.target)
    return {*parameter.plates, *(["entries"] if parameter.domain.event_shape else [])}


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
    if not real or still or any(not isinstance(ref.target, str) for ref in used):
        return None
    moved = {
        name: factor * np.asarray(value) + offset if name in real else value for name, value in data.items()
    }
    scale, means = units(graph, factor), names(used_as(graph, "mean"))
    mapped = {name: scale[name] * np.asarray(theta[name]) + offset * (name in means) for name in scale}
    return moved, mapped, sum(int(np.size(data[name])) for name in real)
