"""What the laws are held against: an emitted EM module, with a network, data and parameters, beside the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import jax
import numpy as np

from bnlab.domains import Covariance, Positive
from bnlab.network.ir import Graph, Ref
from bnlab.runtime.proof.grounding import Data
from bnlab.runtime.proof.oracle import Oracle
from bnlab.runtime.proof.roles import names, refs_of

Theta = Mapping[str, np.ndarray]
STEPS = 5  # iterations whose every step is looked at
COLLAPSED = 1e-6  # a variance this much smaller than at the start


@cache
def _slope(log_evidence: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(jax.grad(log_evidence))


def narrowest(graph: Graph, theta: Theta) -> float:
    """The smallest of all variances, along any direction; 1 without variances, NaN if one is."""
    smallest = [1.0]
    for parameter in graph.parameters:
        value = np.asarray(theta[parameter.name])
        match parameter.domain:
            case Covariance():
                smallest.append(np.linalg.eigvalsh(value).min())
            case Positive():
                smallest.append(value.min() ** 2)
    return float(np.min(smallest))


def _variances(graph: Graph, name: str, cov: np.ndarray) -> np.ndarray:
    """The variance of each entry of a latent, for all its members."""
    vector = bool(graph.variable(name).domain.event_shape)
    return np.ravel(np.diagonal(cov, axis1=-2, axis2=-1) if vector else cov)


@dataclass(frozen=True)
class Subject:
    """`em` has the functions of the emitted EM module (docs/architecture.md).

    `hard` tells that it is the module of hard EM, whose objective is ln p(x, z*); `prepared_in` how many rows its chunks
    have, if not as many as it chooses itself.
    """

    graph: Graph
    data: Data
    theta: Theta
    em: Any
    hard: bool = False
    prepared_in: int | None = None

    @cached_property
    def oracle(self) -> Oracle:
        return Oracle(self.graph, self.data)

    @cached_property
    def rounding(self) -> float:
        """What rounding of a latent's prior variance is beside the posterior one, at worst: where the data narrow a variance of
        1e7 to 1, what computes with covariances keeps seven digits less.
        """
        told = {v.name for v in self.graph.in_role("observed") if not v.discrete}
        silent = {n: np.full(np.shape(x), np.nan) if n in told else x for n, x in self.data.items()}
        before, after = (
            one.moments(one.posterior(self.theta)) for one in (Oracle(self.graph, silent), self.oracle)
        )
        narrowed = [1.0]
        for name in before:
            wide, narrow = (_variances(self.graph, name, found[name]["cov"]) for found in (before, after))
            narrowed += [float(w / n) for w, n in zip(wide, narrow, strict=True) if n > 0]
        return float(np.finfo(float).eps) * max(narrowed)

    @cached_property
    def prepared(self) -> Any:
        return self.em.prepare(self.data, **({} if self.prepared_in is None else {"rows": self.prepared_in}))

    @cached_property
    def has_prior(self) -> bool:
        return any(p.prior is not None and p.value is None for p in self.graph.parameters)

    @cached_property
    def judged(self) -> list[str]:
        """The free parameters with a Q to be judged by: those of variables that have a density."""
        lost = set().union(*(names(refs) for refs in self._without_density()))
        return [p.name for p in self.graph.parameters if p.value is None and p.name not in lost]

    def _without_density(self) -> Iterator[set[Ref]]:
        """The parameters that each distribution without a density reads."""
        for cpd in self.oracle.without_density(self.theta):
            yield refs_of(cpd, "mean", "cov", "var", "std")

    def at(self, theta: Theta) -> Subject:
        return replace(self, theta=theta)

    def on(self, data: Data) -> Subject:
        return replace(self, data=data)

    def parameters(self, theta: Theta | None = None) -> Any:
        given = self.theta if theta is None else theta
        return self.em.Parameters(**{name: np.asarray(value, float) for name, value in given.items()})

    def log_evidence(self, theta: Theta | None = None) -> float:
        return float(self.em.log_evidence(self.parameters(theta), self.prepared))

    def objective(self, theta: Theta | None = None) -> float:
        """What EM raises: `log_p` of the E-step, plus the log prior where there is one."""
        prior = float(self.em.log_prior(self.parameters(theta))) if self.has_prior else 0.0
        return float(self.statistics(theta)["log_p"]) + prior

    def gradient(self) -> dict[str, np.ndarray]:
        """Of the emitted log evidence, by automatic differentiation."""
        found = _slope(self.em.log_evidence)(self.parameters(), self.prepared)
        return {name: np.asarray(value) for name, value in found._asdict().items()}

    def statistics(self, theta: Theta | None = None) -> dict[str, np.ndarray]:
        found = self.em.e_step(self.parameters(theta), self.prepared)
        return {name: np.asarray(value) for name, value in found._asdict().items()}

    def step(self, theta: Theta | None = None) -> dict[str, np.ndarray]:
        """The parameters after one iteration of EM."""
        now = self.parameters(theta)
        found = self.em.m_step(self.em.e_step(now, self.prepared), now)
        return {name: np.asarray(value) for name, value in found._asdict().items()}

    def collapses(self, theta: Theta) -> bool:
        """Whether a variance is next to nothing beside those of the start, or NaN."""
        return not narrowest(self.graph, theta) >= COLLAPSED * narrowest(self.graph, self.theta)

    @cached_property
    def path(self) -> list[Theta]:
        """The parameters of a few iterations, those before the first one included; it ends where a variance collapses,
        since the likelihood has no maximum there."""
        path = [self.theta]
        for _ in range(STEPS):
            new = self.step(path[-1])
            if self.collapses(new):
                break
            path.append(new)
        return path
