"""Variational EM as it was derived, run in NumPy, and an estimate of the ELBO that shares no code with it.

The estimate draws theta from q(theta) with SciPy and NumPy, evaluates ln p(x, z | theta) of every configuration by
brute force, and takes the best q(z) for these draws: ln sum_z exp(mean of ln p(x, z | theta)) - mean of ln q(theta) / p(theta).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import logsumexp

import bnlab as bn
from bnlab.compile import emit
from bnlab.inference.knowledge import Knowledge
from bnlab.inference.vbem import vbem
from bnlab.network.graph import parents
from bnlab.network.ir import Graph
from bnlab.program import evaluate
from bnlab.program.ir import Variational
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.oracle import Oracle
from bnlab.runtime.proof.priors import log_prior
from tests.laws.emitted import load
from tests.laws.gaps import with_gaps
from tests.networks import Example

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Subject:
    """A network with priors, data, and a point to start from; what may be missing."""

    graph: Graph
    data: Arrays
    theta: Arrays
    messages: str = "scaled"
    missing: tuple[str, ...] = ()

    @cached_property
    def derived(self) -> Variational:
        return vbem(self.graph, self.messages, Knowledge(frozenset(self.missing)))  # type: ignore[arg-type]

    @cached_property
    def chunks(self) -> list[Arrays]:
        text = emit(self.graph, "vbem", missing=self.missing)
        data = load(text, f"{self.graph.name}_vbem").prepare(self.data)._asdict()
        arrays = {name: np.asarray(value) for name, value in data.items()}
        if not self.derived.program.root:
            return [arrays]
        count = len(next(iter(arrays.values())))
        return [{name: array[n] for name, array in arrays.items()} for n in range(count)]

    @cached_property
    def prior(self) -> Arrays:
        numbers = self.derived.prior
        return {f.name: v.array for f, v in zip(self.derived.posterior, numbers, strict=True)}

    @cached_property
    def start(self) -> Arrays:
        """q(theta) after an M-step from the point."""
        shapes = {f.name: tuple(axis.size or 1 for axis in f.axes) for f in self.derived.program.parameters}
        zeros = {name: np.zeros(shape) for name, shape in shapes.items() if name not in self.theta}
        return self.update({**self.theta, **zeros})

    def point(self, q: Arrays) -> Arrays:
        values = evaluate.outputs(self.derived.program, self.derived.expectations, posterior=q)
        return {f.name: v for f, v in zip(self.derived.program.parameters, values, strict=True)}

    def statistics(self, theta: Arrays) -> Arrays:
        parts = [evaluate.expect(self.derived.program, theta, chunk) for chunk in self.chunks]
        return {name: sum(part[name] for part in parts) for name in parts[0]}  # type: ignore[misc]

    def divergence(self, q: Arrays) -> float:
        return float(
            evaluate.outputs(self.derived.program, self.derived.divergence, posterior=q, prior=self.prior)[0]
        )

    def elbo(self, q: Arrays) -> float:
        return float(self.statistics(self.point(q))["log_p"]) - self.divergence(q)

    def update(self, theta: Arrays) -> Arrays:
        statistics = self.statistics(theta)
        program = self.derived.program
        values = evaluate.outputs(
            program, program.m_step, statistics=statistics, theta=theta, prior=self.prior
        )
        return {f.name: np.asarray(v) for f, v in zip(self.derived.posterior, values, strict=True)}

    def path(self, steps: int) -> list[Arrays]:
        found = [self.start]
        for _ in range(steps):
            found.append(self.update(self.point(found[-1])))
        return found

    def estimate(self, q: Arrays, count: int, rng: np.random.Generator) -> tuple[float, float]:
        """The ELBO and the standard error of that."""
        oracle = Oracle(self.graph, self.data)
        draws = draw(self.graph, q, count, rng)
        thetas = [
            {p.name: p.value.array if p.value else draws[p.name][s] for p in self.graph.parameters}
            for s in range(count)
        ]
        found = [oracle.log_joints(theta) for theta in thetas]
        ratio = np.array([log_q(self.graph, q, theta) - log_prior(self.graph, theta) for theta in thetas])
        weights = oracle.ground.weights
        total = np.array([sum(weights[owner] * value for owner, value in rest) for _, rest in found]) - ratio
        value = 0.0
        for c, owner in enumerate(oracle.owners):
            tables = np.array([tables[c] for tables, _ in found])
            log_norm = logsumexp(tables.mean(0))
            value += weights[owner] * log_norm
            share = np.exp(tables.mean(0) - log_norm)
            total = total + weights[owner] * (tables - tables.mean(0)) @ share
        return value + float(total.mean()), float(total.std(ddof=1) / np.sqrt(count))

    def estimate_with_gaussians(self, q: Arrays, count: int, rng: np.random.Generator) -> tuple[float, float]:
        """The same where all latents are Gaussian, for the q(z) of the point: offsets do not change it."""
        oracle = Oracle(self.graph, self.data)
        point = self.point(q)
        latents = oracle.posterior({p.name: point[p.name] for p in self.graph.parameters})
        expected = oracle.auxiliary_of(latents)
        draws = draw(self.graph, q, count, rng)
        values = []
        for s in range(count):
            theta = {p.name: p.value.array if p.value else draws[p.name][s] for p in self.graph.parameters}
            values.append(expected(theta) + log_prior(self.graph, theta) - log_q(self.graph, q, theta))
        value = float(np.mean(values)) + oracle.entropy(latents)
        return value, float(np.std(values, ddof=1) / np.sqrt(count))


def hyper(name: str, q: Arrays) -> Arrays:
    """The hyperparameters of one parameter."""
    found = {key.removeprefix(f"{name}_"): value for key, value in q.items() if key.startswith(f"{name}_")}
    return {key: np.asarray(value) for key, value in found.items() if "_" not in key}


def draw(graph: Graph, q: Arrays, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws from q(theta), (count, *shape), by SciPy's distributions, one cell at a time."""
    found = {}
    for parameter in graph.parameters:
        if parameter.value is None:
            assert parameter.prior is not None
            h = hyper(parameter.name, q)
            lead = h["mean"].shape[:-1] if "cov" in h else np.shape(h["df"]) if "df" in h else None
            match parameter.prior.family:
                case "Dirichlet":
                    a = h["concentration"]
                    rows = [rng.dirichlet(row, count) for row in a.reshape(-1, a.shape[-1])]
                    found[parameter.name] = np.stack(rows, 1).reshape(count, *a.shape)
                case "Normal" if "cov" in h:
                    means = h["mean"].reshape(-1, h["mean"].shape[-1])
                    covs = h["cov"].reshape(-1, *h["cov"].shape[-2:])
                    rows = [rng.multivariate_normal(m, c, count) for m, c in zip(means, covs, strict=True)]
                    found[parameter.name] = np.stack(rows, 1).reshape(count, *h["mean"].shape)
                case "Normal":
                    found[parameter.name] = rng.normal(
                        h["mean"], np.sqrt(h["var"]), (count, *h["mean"].shape)
                    )
                case "InverseWishart":
                    scale = h["scale"]
                    cells = zip(h["df"].reshape(-1), scale.reshape(-1, *scale.shape[-2:]), strict=True)
                    rows = [
                        np.reshape(stats.invwishart.rvs(df, s, count, random_state=rng), (count, *s.shape))
                        for df, s in cells
                    ]
                    found[parameter.name] = np.stack(rows, 1).reshape(count, *scale.shape)
                case "InverseGamma":
                    a = h["concentration"]
                    found[parameter.name] = stats.invgamma.rvs(
                        a, scale=h["scale"], size=(count, *a.shape), random_state=rng
                    )
                case "Gamma":
                    a = h["concentration"]
                    found[parameter.name] = rng.gamma(a, 1 / h["rate"], (count, *a.shape))
                case "Beta":
                    a, b = h["concentration1"], h["concentration0"]
                    found[parameter.name] = rng.beta(a, b, (count, *a.shape))
            del lead
    return found


def log_q(graph: Graph, q: Arrays, theta: Arrays) -> float:
    """ln q(theta), by SciPy's densities, one cell at a time."""
    total = 0.0
    for parameter in graph.parameters:
        if parameter.value is not None:
            continue
        h, value = hyper(parameter.name, q), theta[parameter.name]
        assert parameter.prior is not None
        match parameter.prior.family:
            case "Dirichlet":
                size = value.shape[-1]
                cells = zip(h["concentration"].reshape(-1, size), value.reshape(-1, size), strict=True)
                total += sum(stats.dirichlet.logpdf(v / v.sum(), a) for a, v in cells)
            case "Normal" if "cov" in h:
                size = value.shape[-1]
                found = zip(
                    h["mean"].reshape(-1, size), h["cov"].reshape(-1, size, size), value.reshape(-1, size),
                    strict=True,
                )  # fmt: skip
                total += sum(stats.multivariate_normal.logpdf(v, m, c) for m, c, v in found)
            case "Normal":
                total += stats.norm.logpdf(value, h["mean"], np.sqrt(h["var"])).sum()
            case "InverseWishart":
                size = value.shape[-1]
                triples = zip(
                    h["df"].reshape(-1), h["scale"].reshape(-1, size, size), value.reshape(-1, size, size),
                    strict=True,
                )  # fmt: skip
                total += sum(stats.invwishart.logpdf(v, d, s) for d, s, v in triples)
            case "InverseGamma":
                total += stats.invgamma.logpdf(value, h["concentration"], scale=h["scale"]).sum()
            case "Gamma":
                total += stats.gamma.logpdf(value, h["concentration"], scale=1 / h["rate"]).sum()
            case "Beta":
                total += stats.beta.logpdf(value, h["concentration1"], h["concentration0"]).sum()
    return float(total)


def subject(example: Example, seed: int = 0, gaps: bool = False) -> Subject:
    """An example with weakly informative priors where it has none, and with random data and a random point; with `gaps`
    some of the data of what nothing reads are missing."""
    rng = np.random.default_rng(seed)
    graph = example.build().graph
    theta: dict[str, Any] = random_parameters(graph, rng)
    data = random_data(graph, rng, example.layout)
    with_priors = bn.weakly_informative(example.build(), data).network.graph
    if not gaps:
        return Subject(with_priors, data, theta)
    read = {name for variable in graph.variables for name in parents(graph, variable.name)}
    missing = tuple(v.name for v in graph.in_role("observed") if v.name not in read)
    return Subject(with_priors, with_gaps(graph, data, rng, missing), theta, missing=missing)
