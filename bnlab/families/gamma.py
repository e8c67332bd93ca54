"""Gamma: how long it takes until several events have happened; and the conjugate prior of a rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Domain, Positive, Values
from bnlab.families import hyper
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
    Tex,
    Use,
    widened,
)
from bnlab.families.gamma_update import maximise_gamma, update_gamma
from bnlab.families.rates import entries_total, expected_log, known, level_start
from bnlab.program.build import add, divide, log, minus, multiply, subtract, total
from bnlab.program.ir import Start
from bnlab.program.ops import Axes, Expr, Number, Symbol, Unary


class Gamma(AbstractFamily):
    """p(x) proportional to x^(concentration - 1) exp(-rate x), for each entry by itself; its mean is concentration / rate."""

    name = "Gamma"
    slots = (Slot("concentration", (Positive,)), Slot("rate", (Positive,), conjugate=("Gamma",)))
    is_prior = True
    entrywise = True
    spelling = {"numpyro": "dist.Gamma({concentration}, {rate})"}
    tex = Tex(
        r"$concentration \ln $rate - \ln \Gamma($concentration) + ($concentration - 1) \ln $x - $rate $x",
        {
            "concentration": r"\ln $rate - \psi($concentration) + \ln $x",
            "rate": r"\frac{$concentration}{$rate} - $x",
            "x": r"\frac{$concentration - 1}{$x} - $rate",
        },
    )

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        shapes = {found.event_shape for found in arguments.values()} - {()}
        if len(shapes) > 1:
            raise ValueError(
                "The concentration and the rate of a Gamma have the same shape, or one is a scalar."
            )
        return Positive(shapes.pop() if shapes else ())

    def density(self, node: Node) -> Density:
        assert node.value is not None
        value, a, b = node.value, node.arguments["concentration"], node.arguments["rate"]
        normaliser = subtract(multiply(a, log(b)), Unary("gammaln", a))
        power = multiply(subtract(a, Number(1.0)), log(value))
        return Density(total(subtract(add(normaliser, power), multiply(b, value)), node.event[:1]))

    def starts(self, node: Node) -> tuple[Start, ...]:
        """Means at the levels of clusters of the data, concentrations at the relative spread within them."""
        names = {slot: node.parameter(slot) for slot in ("concentration", "rate")}
        numbers = {slot: (float(np.mean(values.flat)),) for slot, values in node.known.items()}
        if names["concentration"] and "rate" in numbers:
            return (level_start(node, "concentration", "", numbers["rate"]),)
        found = []
        if names["concentration"]:
            shape = tuple(axis.size or 1 for axis in node.own["concentration"].axes)
            found.append(Start(names["concentration"], "concentration", node.variable, shape))
        if names["rate"]:
            found.append(level_start(node, "rate", "concentration", numbers.get("concentration", ())))
        return tuple(found)

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        """Counts, and the sums of the data and of their logarithms, for each combination of subscripts."""
        assert node.value is not None
        entries = node.event[:1]
        cells = minus(tuple(sorted({axis for own in node.own.values() for axis in own.axes})), entries)
        wide = (*cells, *entries)
        counted = wide if node.seen is not None else cells  # each entry is seen in rows of its own
        name = node.variable
        return {
            "N": Statistic(Symbol("N", counted, "statistics"), expected((), counted)),
            "S": Statistic(
                Symbol("S", wide, "statistics"), expected((node.value,), wide), f"{name}[{{index}}]"
            ),
            "L": Statistic(
                Symbol("L", wide, "statistics"), expected((log(node.value),), wide), f"ln {name}[{{index}}]"
            ),
        }

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        return maximise_gamma(uses, free, priors)

    def draw(
        self, generator: np.random.Generator, arguments: Mapping[str, Numbers], event: tuple[int, ...]
    ) -> Numbers:
        wide = 1 + len(event)
        concentration, rate = (widened(arguments[name], wide) for name in ("concentration", "rate"))
        size = (len(concentration), *event)
        return np.asarray(generator.gamma(np.broadcast_to(concentration, size)) / rate)

    def log_prior(self, value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
        a, b = (hyper.spread(constants[name], value.axes) for name in ("concentration", "rate"))
        normaliser = Number(float(np.sum(a * np.log(b) - hyper.log_gamma(a))))
        powers = hyper.log_powers(value, a - 1, value.axes)
        return subtract(
            add(normaliser, *powers), total(multiply(hyper.expression(b, value.axes), value), value.axes)
        )

    variational = True

    def expectation(self, node: Node, beliefs: Beliefs) -> Expectation:
        """At the mean rate, and a (E[ln b] - ln E[b]) for each entry."""
        belief = beliefs.about(node, "rate")
        if belief is None:
            return Expectation({})
        concentration = known(node, "concentration")
        gap = multiply(concentration, subtract(expected_log(belief), log(self.average(belief))))
        return Expectation({belief.parameter: self.average(belief)}, entries_total(node, gap))

    def update(self, uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
        """The concentrations, times how often, are the number of events; the sums of the data are the exposure."""
        return update_gamma(uses, beliefs)

    def hyperparameters(self, prior: PriorOn, axes: Axes, event: Axes) -> Hyper:
        return {name: (axes, hyper.spread(prior.constants[name], axes)) for name in ("concentration", "rate")}

    def divergence(self, belief: Belief) -> Expr:
        return hyper.gamma_divergence(belief, "rate")

    def average(self, belief: Belief) -> Expr:
        return divide(belief["concentration"], belief["rate"])

    def draw_belief(self, generator: np.random.Generator, hyper: Draws, count: int) -> Numbers:
        a, b = hyper["concentration"], hyper["rate"]
        return np.asarray(generator.standard_gamma(np.broadcast_to(a, (count, *np.shape(a)))) / b)


FAMILY = Gamma()
