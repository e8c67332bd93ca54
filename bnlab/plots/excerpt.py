"""Data few enough that every configuration of the latents can be listed: Q, H and KL are then computed by definition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from bnlab.errors import Fault, FitError
from bnlab.network.ir import Graph
from bnlab.runtime.data_layout import sizes
from bnlab.runtime.em import precision
from bnlab.runtime.emitted import emitted
from bnlab.runtime.load import load_source
from bnlab.runtime.proof import members
from bnlab.runtime.proof.draws import rows_to_list
from bnlab.runtime.proof.grounding import sizeless
from bnlab.runtime.proof.oracle import Oracle
from bnlab.runtime.proof.subject import narrowest
from bnlab.runtime.replay import bound_of, initial_of
from bnlab.runtime.result import Fit

Theta = Mapping[str, NDArray[Any]]
MOST_CONFIGURATIONS = 20_000
MOST_DIMENSIONS = 120
"""Of the joint Gaussian of everything in one set of connected latents."""
MOST_VARIABLES = 1200
"""Listing takes about a millisecond for each variable of a member."""


@dataclass(frozen=True, eq=False)
class Excerpt:
    """A part of a fit's data (all of them, if they are few), which `words` name, with brute force and EM on it."""

    fit: Fit
    data: Mapping[str, NDArray[Any]]
    words: str

    @cached_property
    def oracle(self) -> Oracle:
        return Oracle(self.fit.network.graph, self.data)

    @cached_property
    def _em(self) -> tuple[ModuleType, Any]:
        """The emitted EM, and the data prepared for it."""
        em = load_source(emitted(self.fit.network, "em"), f"{self.fit.network.graph.name}_em")
        return em, em.prepare(dict(self.data))

    def path(self, count: int) -> list[Theta]:
        """The fit's initial parameters, and those after each of `count` steps of the emitted EM on this data.

        It ends early where the likelihood of so few data has no maximum, because a variance becomes 0.
        """
        found: list[Theta] = [initial_of(self.fit)]
        with precision("float64"):
            em, data = self._em
            for _ in range(count):
                theta = self._parameters(found[-1])
                new = jax.device_get(em.m_step(em.e_step(theta, data), theta))._asdict()
                if not narrowest(self.fit.network.graph, new) > 0:  # NaN included
                    break
                found.append(new)
        return found

    def log_evidence(self, theta: Theta) -> float:
        """ln p of this data, by the emitted EM; NaN where theta is outside its domain."""
        with precision("float64"):
            em, data = self._em
            return float(em.log_evidence(self._parameters(theta), data))

    @property
    def has_prior(self) -> bool:
        return "log_prior" in vars(self._em[0])

    def log_prior(self, theta: Theta) -> float:
        """ln p(theta); 0 without priors."""
        if not self.has_prior:
            return 0.0
        with precision("float64"):
            return float(self._em[0].log_prior(self._parameters(theta)))

    def _parameters(self, theta: Theta) -> Any:
        return self._em[0].Parameters(**{name: np.asarray(value, float) for name, value in theta.items()})


def excerpt(fit: Fit) -> Excerpt:
    """The largest such part. Raises FitError where a single row is too much already, and where real values are missing."""
    graph, bound = fit.network.graph, bound_of(fit)
    data = dict(bound.canonical)
    if _gaps(data):
        raise FitError(
            Fault("Q, H and KL are drawn by brute force, which takes no data with gaps in real values.")
        )
    longest = min(rows_to_list(graph, MOST_CONFIGURATIONS), _rows_of_one_gaussian(graph))
    if longest < 1:
        raise FitError(
            Fault(
                "Q, H and KL are drawn by brute force, and one row has more than "
                f"{MOST_CONFIGURATIONS} configurations or {MOST_DIMENSIONS} dimensions."
            )
        )
    most = max(1, MOST_VARIABLES // len(graph.in_role("latent", "observed")))
    root = members.root(graph)
    if not root:
        return _steps(fit, data, longest)
    count = members.count(graph, data)
    paths = {sizeless(graph, variable) for variable in graph.variables if variable.cpd is not None}
    if max(map(len, paths)) == 1:
        kept = min(count, most)
    else:
        ids = np.asarray(data[root])
        lengths = np.bincount(ids.astype(int), minlength=count)
        fitting = int(np.argmax(lengths > longest)) if (lengths > longest).any() else count
        kept = min(fitting, most)
        if not kept:
            return _steps(fit, members.select(graph, data, [0]), longest)
    words = "all data" if kept == count else f"the first {kept} of {count} members of {root}"
    return Excerpt(fit, data if kept == count else members.select(graph, data, range(kept)), words)


def _steps(fit: Fit, data: Mapping[str, NDArray[Any]], longest: int) -> Excerpt:
    """The first steps of a single chain."""
    graph = fit.network.graph
    plates = {plate.name for plate in graph.plates if plate.size is None}
    inner = max((sizeless(graph, variable) for variable in graph.variables), key=len)
    if not inner or not graph.plate(inner[-1]).chain:
        raise FitError(Fault("The latents of one member have too many configurations to be listed."))
    rows = {v.name for v in graph.variables if sizeless(graph, v) == inner} | (plates & data.keys())
    cut = {name: array[:longest] if name in rows else array for name, array in data.items()}
    total = len(np.asarray(data[next(name for name in rows if name in data)]))
    return Excerpt(fit, cut, f"the first {min(longest, total)} steps of {inner[-1]}")


def _rows_of_one_gaussian(graph: Graph) -> int:
    """How many rows may be connected by continuous latents; as many as there are, without such latents."""
    if all(latent.discrete for latent in graph.in_role("latent")):
        return MOST_CONFIGURATIONS
    wide = sum(
        math.prod(sizes(graph, one.plates) + one.domain.event_shape)
        for one in graph.in_role("latent", "observed")
        if not one.discrete
    )
    return MOST_DIMENSIONS // wide


def _gaps(data: Mapping[str, NDArray[Any]]) -> bool:
    return any(
        np.issubdtype(np.asarray(array).dtype, np.floating) and bool(np.isnan(array).any())
        for array in data.values()
    )
