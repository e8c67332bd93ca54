"""Starts whose states are called as evidence calls them.

Clusters of the data have no names, evidence has: a start is renamed so that the states of its posterior agree best with
what is known. Otherwise EM would begin with the labels of one cluster on another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.runtime.emitted import emitted
from bnlab.runtime.load import ready
from bnlab.runtime.proof.relabel import groups, rename
from bnlab.runtime.records import Partial, Problem

Arrays = Mapping[str, NDArray[Any]]


def named_by_evidence(problem: Problem, theta: Arrays, given: Arrays) -> dict[str, NDArray[Any]]:
    """The start `theta` with renamed states; those that count axes of `given` or fixed parameters keep their names."""
    found = {name: np.asarray(value) for name, value in theta.items()}
    evidence = problem.bound.partial.evidence
    graph = problem.graph
    latents = {latent.name for latent in graph.in_role("latent")}
    bound = {one.name for one in graph.parameters if one.value is not None or one.prior is not None} | set(
        given
    )
    free = [
        (next(name for name in evidence if name in variables), axes)
        for variables, axes in groups(graph)
        if variables & set(evidence) and variables <= latents and not {name for name, _ in axes} & bound
    ]
    if not free:
        return found
    from scipy.optimize import (
        linear_sum_assignment,  # half a second to import, and most fits have no evidence
    )

    posterior = _without_evidence(problem, found)
    for name, axes in free:
        q, known = posterior[name], _known(problem.bound.canonical[name], posterior[name].shape[-1])
        agreement = q.reshape(-1, q.shape[-1]).T @ known.reshape(-1, q.shape[-1])
        _, order = linear_sum_assignment(-agreement.T)
        found = rename(found, axes, order)
    return found


def _known(evidence: NDArray[Any], size: int) -> NDArray[np.float64]:
    """How much is known for each state: shares of 1 among the states allowed, nothing where all are."""
    table = evidence if evidence.dtype == bool else evidence[..., None] == np.arange(size)
    count = table.sum(-1, keepdims=True)
    return np.where((count > 0) & (count < size), table / np.maximum(count, 1), 0.0)


def _without_evidence(problem: Problem, theta: Arrays) -> dict[str, NDArray[Any]]:
    text = emitted(problem.network, "posterior", partial=Partial(problem.bound.partial.missing))
    name, canonical = f"{problem.graph.name}_posterior", problem.bound.canonical
    module, given, data = ready(text, name, theta, canonical, problem.dtype)
    return {latent: np.asarray(q) for latent, q in module.posterior(given, data).items()}
