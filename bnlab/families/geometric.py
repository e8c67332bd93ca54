"""Geometric: how often something failed before it worked for the first time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Count, Domain, Probability
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
from bnlab.families.beta import expected_logs, pseudo_counts, update_chance
from bnlab.program.build import add, arranged, exp, keep, log, multiply, subtract
from bnlab.program.ir import Start
from bnlab.program.ops import Binary, Number, Symbol, Unary, Where


class Geometric(AbstractFamily):
    """P(x) = prob (1 - prob)^x, for x = 0, 1, 2 ..."""

    name = "Geometric"
    slots = (Slot("prob", (Probability,), conjugate=("Beta",)),)
    spelling = {"numpyro": "dist.Geometric({prob})"}
    tex = Tex(r"\ln $prob + $x \ln (1 - $prob)", {"prob": r"\frac{1}{$prob} - \frac{$x}{1 - $prob}"})

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        if arguments["prob"].event_shape:
            raise ValueError("The probability of a Geometric is one number; a plate makes several of them.")
        return Count()

    def density(self, node: Node) -> Density:
        """A probability may have become 1: then nothing but 0 can happen, and 0 ln 0 is 0."""
        assert node.value is not None
        prob = node.arguments["prob"]
        failed = multiply(node.value, Unary("log_or_never", subtract(Number(1.0), prob)))
        some = Binary(">", node.value, Number(0.0))
        return Density(add(log(prob), Where(some, failed, Number(0.0))))

    def starts(self, node: Node) -> tuple[Start, ...]:
        if not node.parameter("prob"):
            return ()
        shape = tuple(axis.size or 1 for axis in node.own["prob"].axes)
        return (Start(node.parameter("prob"), "chances", node.variable, shape),)

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        """The expected number of members for each combination of subscripts, and the sum of their data."""
        assert node.value is not None
        axes = node.own["prob"].axes
        value = f"{node.variable}[{{index}}]"
        return {
            "N": Statistic(Symbol("N", axes, "statistics"), expected((), axes)),
            "S": Statistic(Symbol("S", axes, "statistics"), expected((node.value,), axes), value),
        }

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        """The successes over all trials. A Beta prior adds its concentrations less 1 to either."""
        own, name = uses[0].node.own["prob"], uses[0].node.parameter("prob")
        if name not in free:
            return Maximum((), {})
        counts = [
            {k: Symbol(s.name, own.axes, "statistics") for k, s in use.statistics.items()} for use in uses
        ]
        worked = [count["N"] for count in counts]
        trials = [add(count["N"], count["S"]) for count in counts]
        more, both = pseudo_counts(priors[name], own.axes) if name in priors else ((), ())
        value = keep(add(*worked, *more), add(*trials, *both), own)
        return Maximum((), {name: arranged(value, own.axes)})

    variational = True

    def expectation(self, node: Node, beliefs: Beliefs) -> Expectation:
        """At 1 - exp E[ln (1 - prob)], and E[ln prob] less the logarithm of that."""
        belief = beliefs.about(node, "prob")
        if belief is None:
            return Expectation({})
        worked, failed = expected_logs(belief)
        point = subtract(Number(1.0), exp(failed))
        return Expectation({belief.parameter: point}, subtract(worked, log(point)))

    def update(self, uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
        """A Beta that has counted the successes, one for each member, and the failures."""
        counts = [
            {k: Symbol(s.name, use.node.own["prob"].axes, "statistics") for k, s in use.statistics.items()}
            for use in uses
        ]
        worked, failed = ([count[kind] for count in counts] for kind in ("N", "S"))
        return update_chance(uses[0].node, beliefs, worked, failed)

    def draw(
        self, generator: np.random.Generator, arguments: Mapping[str, Numbers], event: tuple[int, ...]
    ) -> Numbers:
        return np.asarray(generator.geometric(arguments["prob"]) - 1, dtype=float)


FAMILY = Geometric()
