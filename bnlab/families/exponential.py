"""Exponential: how long it takes until an event happens that may happen at any time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Domain, Positive
from bnlab.families.base import (
    AbstractFamily,
    Beliefs,
    Density,
    Expectation,
    Expected,
    Maximum,
    Node,
    Numbers,
    PriorOn,
    Slot,
    Statistic,
    Tex,
    Use,
)
from bnlab.families.gamma import FAMILY as GAMMA
from bnlab.families.rates import (
    counts_and_sums,
    entries_total,
    expected_log,
    maximise_rate,
    rate_starts,
    update_rate,
)
from bnlab.program.build import log, multiply, subtract, total
from bnlab.program.ir import Start


class Exponential(AbstractFamily):
    """p(x) = rate exp(-rate x), for each entry of a vector by itself."""

    name = "Exponential"
    slots = (Slot("rate", (Positive,), conjugate=("Gamma",)),)
    entrywise = True
    spelling = {"numpyro": "dist.Exponential({rate})"}
    tex = Tex(r"\ln $rate - $rate \, $x", {"rate": r"\frac{1}{$rate} - $x"})

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        return Positive(arguments["rate"].event_shape)

    def density(self, node: Node) -> Density:
        assert node.value is not None
        rate = node.arguments["rate"]
        return Density(total(subtract(log(rate), multiply(rate, node.value)), node.event[:1]))

    def starts(self, node: Node) -> tuple[Start, ...]:
        return rate_starts(node, "inverse")

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        return counts_and_sums(node, expected)

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        """1 over the mean of the data."""
        return maximise_rate(uses, free, priors, events="N", exposure="S")

    variational = True

    def expectation(self, node: Node, beliefs: Beliefs) -> Expectation:
        """At the mean rate, and E[ln rate] - ln E[rate] for each entry."""
        belief = beliefs.about(node, "rate")
        if belief is None:
            return Expectation({})
        point = GAMMA.average(belief)
        return Expectation(
            {belief.parameter: point}, entries_total(node, subtract(expected_log(belief), log(point)))
        )

    def update(self, uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
        return update_rate(uses, beliefs, events="N", exposure="S")

    def draw(
        self, generator: np.random.Generator, arguments: Mapping[str, Numbers], event: tuple[int, ...]
    ) -> Numbers:
        return np.asarray(generator.exponential(1 / arguments["rate"]))


FAMILY = Exponential()
