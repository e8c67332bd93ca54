"""Normal: a scalar or a vector with an affine mean and a covariance, variances or standard deviations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from bnlab.domains import Covariance, Domain, Positive, Real, Values
from bnlab.families.base import (
    AbstractFamily,
    Density,
    Expected,
    Maximum,
    Node,
    Numbers,
    PriorOn,
    Slot,
    Statistic,
    Use,
    widened,
)
from bnlab.families.normal_density import diagonal, full
from bnlab.families.normal_prior import log_normal_prior
from bnlab.families.normal_update import maximise_normal, origin, spread_slot, turned
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
        return full(node) if "cov" in node.arguments and node.event else diagonal(node)

    def starts(self, node: Node) -> tuple[Start, ...]:
        """Means at the centres of clusters, spreads at those within clusters."""
        variable = node.variable if node.value is not None else node.proxy
        found = [*_slope_starts(node)]
        for name in ("mean", "cov", "var", "std"):
            if node.parameter(name):
                axes = node.own[name].axes
                shape = tuple(axis.size or 1 for axis in axes)
                if not variable:
                    fixed: Literal["noise", "unit"] = "noise" if name == "mean" else "unit"
                    matrix: Literal["", "cov"] = "cov" if name == "cov" and node.event else ""
                    found.append(Start(node.parameter(name), fixed, "", shape, form=matrix))
                    continue
                shared = tuple(
                    place for place, axis in enumerate(axes) if axis.kind == SIZED and node.value and axis in node.value.axes
                )
                kind: Literal["centres", "spread"] = "centres" if name == "mean" else "spread"
                form: Literal["", "cov", "var", "std"] = "" if name == "mean" else name  # type: ignore[assignment]
                found.append(Start(node.parameter(name), kind, variable, shape, shared, form))
        return tuple(found)

    def prepare(self, node: Node) -> tuple[Statement, ...]:
        """The residual that moments are taken of: about an origin near the data, so that nothing cancels."""
        if node.gaussian:
            return ()
        assert node.value is not None
        residual = local(f"r{node.suffix}", node.value.axes)
        about = origin(node)
        value = subtract(node.value, about) if about is not None else node.value
        return (Statement(residual, value, "numerics", "data far from 0 lose no digits"),)

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        """Counts, first and second moments of the residual, for each combination of subscripts."""
        entries = node.event[:1]
        residual = _residual(node)
        spread = node.own[spread_slot(node.own)]
        centre = node.own["mean"].axes if "mean" in node.own else ()
        cells = tuple(sorted({*minus(centre, entries), *minus(spread.axes, node.event)}))
        moments = spread.axes
        matrix = bool(node.event) and set(node.event) <= set(moments)
        twin = turned(residual, node.event) if matrix else residual
        first = Statistic(
            Symbol("S", (*cells, *entries), "statistics"),
            expected((residual,), (*cells, *entries)),
            "r[{index}]",
        )
        return {
            "N": Statistic(Symbol("N", cells, "statistics"), expected((), cells)),
            **({} if node.gaussian and not node.parameter("mean") else {"S": first}),
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


def _slope_starts(node: Node) -> tuple[Start, ...]:
    """Coefficients of Gaussian latents: small and random, on the scale of the data; a latent's own past keeps its value."""
    found = []
    for slope in node.slopes:
        if isinstance(slope.own, Symbol) and slope.own.space == "theta":
            shape = tuple(axis.size or 1 for axis in slope.own.axes)
            past = slope.lag > 0 and slope.parent == node.variable
            variable = node.variable if node.value is not None else ""
            form: Literal["", "cov"] = "cov" if past and not slope.elementwise and node.event else ""
            found.append(Start(slope.own.name, "unit" if past else "noise", variable, shape, form=form))
    return tuple(found)


def _residual(node: Node) -> Symbol:
    if node.residual is not None:
        return node.residual
    assert node.value is not None
    return local(f"r{node.suffix}", node.value.axes)


FAMILY = Normal()
