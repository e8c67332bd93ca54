"""Rows of a comparison: every learnt number as each method sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bnlab.comparison.records import Estimate, Row
from bnlab.domains import Covariance, Domain, Positive, Probability, Simplex
from bnlab.network.ir import Graph, Parameter
from bnlab.runtime.coordinates import entry
from bnlab.runtime.diagnostics import effective, r_hat
from bnlab.runtime.result import Fit

Arrays = Mapping[str, NDArray[Any]]


def rows(
    graph: Graph, fits: Mapping[str, Fit], errors: Mapping[str, Arrays], reference: str, level: float
) -> tuple[Row, ...]:
    """A row for every entry of every learnt parameter; of a covariance, which is symmetric, those up to the diagonal.

    `errors` are standard errors by method, of those that have them. A number that its fit reports on the edge of its domain
    has none: the likelihood is no parabola there.
    """
    found = []
    learnt = [one for one in graph.parameters if one.value is None]
    chains = {
        method: {one.name: Sampled.of(fit.draws[one.name], level) for one in learnt if one.name in fit.draws}
        for method, fit in fits.items()
        if fit.draws is not None
    }
    for parameter in learnt:
        for index in _indices(parameter, np.shape(next(iter(fits.values())).parameters[parameter.name])):
            estimates = {}
            for method, fit in fits.items():
                if method in chains and parameter.name in chains[method]:
                    estimates[method] = chains[method][parameter.name].at(index)
                else:
                    error = errors.get(method, {}).get(parameter.name)
                    value = float(fit.parameters[parameter.name][index])
                    edge = _on_the_edge(fit, parameter, index)
                    deviation = None if error is None or edge else float(error[index])
                    estimates[method] = _point(parameter.domain, index, value, deviation, level)
            found.append(
                Row(parameter.name, index, entry(parameter.name, index), _apart(estimates, reference))
            )
    return tuple(found)


def _on_the_edge(fit: Fit, parameter: Parameter, index: tuple[int, ...]) -> bool:
    """Whether a spread is reported to go to 0. Probabilities that do have errors that go to 0 with them."""
    if isinstance(parameter.domain, Simplex | Probability):
        return False
    edges = {warning.concerns for warning in fit.warnings if warning.kind == "boundary"}
    return any(entry(parameter.name, index[:depth]) in edges for depth in range(len(index) + 1))


def _indices(parameter: Parameter, shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for index in np.ndindex(shape):
        if not isinstance(parameter.domain, Covariance) or index[-2] >= index[-1]:
            yield index


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Mean, deviation, interval's ends, R-hat and effective draws of every entry of one parameter."""

    arrays: tuple[NDArray[Any], ...]

    @classmethod
    def of(cls, draws: NDArray[Any], level: float) -> Self:
        tail = (1 - level) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], axis=(0, 1))
        return cls((draws.mean((0, 1)), draws.std((0, 1)), low, high, r_hat(draws), effective(draws)))

    def at(self, index: tuple[int, ...]) -> Estimate:
        value, deviation, low, high, mixed, worth = (float(array[index]) for array in self.arrays)
        return Estimate(
            value,
            deviation,
            low,
            high,
            r_hat=None if np.isnan(mixed) else mixed,
            effective=None if np.isnan(worth) else worth,
        )


def _point(
    domain: Domain, index: tuple[int, ...], value: float, deviation: float | None, level: float
) -> Estimate:
    """A point with its standard error, and a normal interval on the scale on which the number is free."""
    if deviation is None:
        return Estimate(value)
    wide = float(ndtri((1 + level) / 2)) * deviation
    match domain:
        case Simplex() | Probability() if 0 < value < 1:
            odds, step = np.log(value / (1 - value)), wide / (value * (1 - value))
            low, high = (float(1 / (1 + np.exp(-o))) for o in (odds - step, odds + step))
        case Positive() if value > 0:
            low, high = value * float(np.exp(-wide / value)), value * float(np.exp(wide / value))
        case Covariance() if index[-1] == index[-2]:
            low, high = value * float(np.exp(-wide / value)), value * float(np.exp(wide / value))
        case _:
            low, high = value - wide, value + wide
    return Estimate(value, deviation, low, high)


def _apart(estimates: Mapping[str, Estimate], reference: str) -> dict[str, Estimate]:
    """How far each value is from the reference's, in its deviations."""
    base = estimates[reference]
    if not base.deviation:
        return dict(estimates)
    return {
        method: one if method == reference else replace(one, apart=(one.value - base.value) / base.deviation)
        for method, one in estimates.items()
    }
