"""Normal: a scalar or a vector with an affine mean and a covariance, variances or standard deviations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from bnlab.domains import Covariance, Domain, Positive, Real, Values
from bnlab.families import normal_regression
from bnlab.families.base import (
    AbstractFamily,
    Belief,
    Beliefs,
    Density,
    Draws,
    Expectation,
    Expected,
    Hyper,
    Maximum,
    Node,
    Numbers,
    PriorOn,
    Slot,
    Statistic,
    Use,
    widened,
)
from bnlab.families.normal_belief import expected_normal, update_normal
from bnlab.families.normal_density import diagonal, full
from bnlab.families.normal_missing import density_of_seen
from bnlab.families.normal_prior import log_normal_prior, normal_divergence, normal_hyper
from bnlab.families.normal_regression import spread_slot
from bnlab.families.normal_starts import coefficient_starts
from bnlab.families.normal_update import maximise_normal, origin, turned
from bnlab.program.build import local, minus, subtract
from bnlab.program.ir import Start, Statement
from bnlab.program.ops import SIZED, Axes, Expr, Symbol


class Normal(AbstractFamily):
    """N(x; mean, cov). A vector `var` or `std` is a diagonal covariance, a scalar one a spherical covariance."""

    name = "Normal"
    slots = (
        Slot("mean", (Real, Positive), mean=True, conjugate=("Normal",)),
        Slot("cov", (Covariance,), group="spread", conjugate=("InverseWishart",)),
        Slot("var", (Positive,), group="spread", conjugate=("InverseGamma",)),
        Slot("std", (Positive,), group="spread"),
    )
    is_prior = True
    regression = True
    entrywise = True

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        shape = arguments["mean"].event_shape
        if len(shape) > 1:
            raise ValueError("The mean of a Normal is a scalar or a vector.")
        if "cov" in arguments and arguments["cov"].event_shape != shape * 2:
            raise ValueError(f"The mean has shape {shape}, so cov must have shape {shape * 2}.")
        for spread in ("var", "std"):
            if spread in arguments and arguments[spread].event_shape not in ((), shape):
                raise ValueError(
                    f"The mean has shape {shape}, so {spread} must be a scalar or have that shape."
                )
        return Real(shape)

    def density(self, node: Node) -> Density:
        node, body = _with_mean(node)
        found = full(node) if "cov" in node.arguments and node.event else diagonal(node)
        return Density(found.log, found.linear, (*body, *found.body))

    def density_of_seen(self, node: Node) -> Density:
        node, body = _with_mean(node)
        found = density_of_seen(node)
        return Density(found.log, found.linear, (*body, *found.body))

    def regressed(self, node: Node) -> tuple[Node, Symbol | None] | None:
        return node, None

    def starts(self, node: Node) -> tuple[Start, ...]:
        """Means at the centres of clusters, spreads at those within clusters."""
        found = list(coefficient_starts(node))
        variable = node.proxy if node.value is None else node.variable
        members = node.value.axes if node.value is not None else ()
        for name in ("mean", "cov", "var", "std"):
            if node.parameter(name):
                axes = node.own[name].axes
                shape = tuple(axis.size or 1 for axis in axes)
                if not variable:
                    unit: Literal["", "cov"] = "cov" if name == "cov" and node.event else ""
                    found.append(Start(node.parameter(name), "unit", "", shape, form=unit))
                    continue
                shared = tuple(
                    place for place, axis in enumerate(axes) if axis.kind == SIZED and axis in members
                )
                kind: Literal["centres", "spread"] = "centres" if name == "mean" else "spread"
                form: Literal["", "cov", "var", "std"] = "" if name == "mean" else name  # type: ignore[assignment]
                found.append(Start(node.parameter(name), kind, variable, shape, shared, form))
        return tuple(found)

    def prepare(self, node: Node) -> tuple[Statement, ...]:
        """The residual that moments are taken of: about an origin near the data, so that nothing cancels."""
        if node.residual is not None:
            return ()
        assert node.value is not None
        if node.terms:
            left = normal_regression.residual(node)
            value = normal_regression.left_over(node)
            return (Statement(left, value, "numerics", "what the old coefficients leave"),)
        residual = local(f"r{node.suffix}", node.value.axes)
        about = origin(node)
        value = subtract(node.value, about) if about is not None else node.value
        return (Statement(residual, value, "numerics", "data far from 0 lose no digits"),)

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        """Counts, first and second moments of the residual, for each combination of subscripts."""
        if node.terms:
            return normal_regression.statistics(node, expected)
        entries = node.event[:1]
        assert node.value is not None
        residual = node.residual or local(f"r{node.suffix}", node.value.axes)
        spread = node.own[spread_slot(node.own)]
        cells = tuple(sorted({*minus(node.own["mean"].axes, entries), *minus(spread.axes, node.event)}))
        moments = spread.axes
        matrix = bool(node.event) and set(node.event) <= set(moments)
        twin = turned(residual, node.event) if matrix else residual
        return {
            "N": Statistic(Symbol("N", cells, "statistics"), expected((), cells)),
            "S": Statistic(
                Symbol("S", (*cells, *entries), "statistics"),
                expected((residual,), (*cells, *entries)),
                "r[{index}]",
            ),
            "SS": Statistic(
                Symbol("SS", moments, "statistics"),
                expected((residual, twin), moments),
                "r[{index}] r[{index}]'" if matrix else "r[{index}]^2",
            ),
        }

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        return maximise_normal(uses, free, priors)

    def draw(
        self, generator: np.random.Generator, arguments: Mapping[str, Numbers], event: tuple[int, ...]
    ) -> Numbers:
        """mean + (a root of the covariance) * standard normal numbers; covariances may be singular."""
        mean = arguments["mean"]
        standard = generator.standard_normal((len(mean), *event))
        if "cov" in arguments:
            eigenvalues, vectors = np.linalg.eigh(arguments["cov"])
            standard = np.einsum("nij,nj->ni", vectors, np.sqrt(np.maximum(eigenvalues, 0)) * standard)
            return np.asarray(mean + standard)
        spread = arguments["std"] if "std" in arguments else np.sqrt(arguments["var"])
        return np.asarray(widened(mean, standard.ndim) + widened(spread, standard.ndim) * standard)

    def log_prior(self, value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
        return log_normal_prior(value, constants, event)

    variational = True

    def expectation(self, node: Node, beliefs: Beliefs) -> Expectation:
        return expected_normal(node, beliefs)

    def update(self, uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
        return update_normal(uses, beliefs)

    def hyperparameters(self, prior: PriorOn, axes: Axes, event: Axes) -> Hyper:
        return normal_hyper(prior, axes, event)

    def divergence(self, belief: Belief) -> Expr:
        return normal_divergence(belief)

    def average(self, belief: Belief) -> Expr:
        return belief["mean"]

    def draw_belief(self, generator: np.random.Generator, hyper: Draws, count: int) -> Numbers:
        mean = hyper["mean"]
        standard = generator.standard_normal((count, *mean.shape))
        if "var" in hyper:
            return np.asarray(mean + np.sqrt(hyper["var"]) * standard)
        return np.asarray(mean + np.einsum("...ij,n...j->n...i", np.linalg.cholesky(hyper["cov"]), standard))


def _with_mean(node: Node) -> tuple[Node, tuple[Statement, ...]]:
    """The node with a mean that is a sum by name, and the statement that names it."""
    if not node.terms:
        return node, ()
    mean = node.arguments["mean"]
    named = local("mean", mean.axes)
    return replace(node, arguments={**node.arguments, "mean": named}), (Statement(named, mean, "density"),)


FAMILY = Normal()
