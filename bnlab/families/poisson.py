"""Poisson: how many events happened, each by itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Count, Domain, Positive
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
from bnlab.program.build import add, exp, multiply, subtract, total
from bnlab.program.ir import Start
from bnlab.program.ops import Binary, Number, Unary, Where


class Poisson(AbstractFamily):
    """P(x) = rate^x exp(-rate) / x!, for each entry of a vector by itself."""

    name = "Poisson"
    slots = (Slot("rate", (Positive,), conjugate=("Gamma",)),)
    entrywise = True
    spelling = {"numpyro": "dist.Poisson({rate})"}
    tex = Tex(r"$x \ln $rate - $rate - \ln $x!", {"rate": r"\frac{$x}{$rate} - 1"})

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        return Count(arguments["rate"].event_shape)

    def density(self, node: Node) -> Density:
        """x ln rate - rate - ln x!. A rate may have become 0: then nothing but 0 can happen, and 0 ln 0 is 0."""
        assert node.value is not None
        value, rate = node.value, node.arguments["rate"]
        some = Binary(">", value, Number(0.0))
        powers = Where(some, multiply(value, Unary("log_or_never", rate)), Number(0.0))
        factorial = Unary("gammaln", add(value, Number(1.0)))
        return Density(total(subtract(subtract(powers, rate), factorial), node.event[:1]))

    def starts(self, node: Node) -> tuple[Start, ...]:
        return rate_starts(node, "")

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        return counts_and_sums(node, expected)

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        """The mean of the data."""
        return maximise_rate(uses, free, priors, events="S", exposure="N")

    variational = True

    def expectation(self, node: Node, beliefs: Beliefs) -> Expectation:
        """At exp E[ln rate], and exp E[ln rate] - E[rate] for each entry."""
        belief = beliefs.about(node, "rate")
        if belief is None:
            return Expectation({})
        point = exp(expected_log(belief))
        gap = subtract(point, GAMMA.average(belief))
        return Expectation({belief.parameter: point}, entries_total(node, gap))

    def update(self, uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
        return update_rate(uses, beliefs, events="S", exposure="N")

    def draw(
        self, generator: np.random.Generator, arguments: Mapping[str, Numbers], event: tuple[int, ...]
    ) -> Numbers:
        return np.asarray(generator.poisson(arguments["rate"]), dtype=float)


FAMILY = Poisson()
