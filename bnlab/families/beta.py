"""Beta: the conjugate prior of a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bnlab.domains import Domain, Positive, Probability, Values
from bnlab.errors import Fault, IntractableError
from bnlab.families import hyper
from bnlab.families.base import (
    AbstractFamily,
    Belief,
    Beliefs,
    Draws,
    Hyper,
    Maximum,
    Node,
    Numbers,
    PriorOn,
    Slot,
    Tex,
)
from bnlab.program.build import add, arranged, divide, multiply, subtract, total
from bnlab.program.ops import Axes, Expr, Number, Symbol, Unary

ONES, ZEROS = "concentration1", "concentration0"


class Beta(AbstractFamily):
    """p(v) proportional to v^(concentration1 - 1) (1 - v)^(concentration0 - 1)."""

    name = "Beta"
    slots = (Slot(ONES, (Positive,)), Slot(ZEROS, (Positive,)))
    is_cpd = False
    is_prior = True
    spelling = {"numpyro": "dist.Beta({concentration1}, {concentration0})"}
    tex = Tex(
        r"($concentration1 - 1) \ln $x + ($concentration0 - 1) \ln (1 - $x)",
        {"x": r"\frac{$concentration1 - 1}{$x} - \frac{$concentration0 - 1}{1 - $x}"},
    )

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        return Probability()

    def log_prior(self, value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
        a, b = (hyper.spread(constants[name], value.axes) for name in (ONES, ZEROS))
        normaliser = np.sum(hyper.log_gamma(a + b) - hyper.log_gamma(a) - hyper.log_gamma(b))
        ones = hyper.log_powers(value, a - 1, value.axes)
        zeros = hyper.log_powers(subtract(Number(1.0), value), b - 1, value.axes)
        return add(Number(float(normaliser)), *ones, *zeros)

    def hyperparameters(self, prior: PriorOn, axes: Axes, event: Axes) -> Hyper:
        return {name: (axes, hyper.spread(prior.constants[name], axes)) for name in (ONES, ZEROS)}

    def divergence(self, belief: Belief) -> Expr:
        yes, no = expected_logs(belief)
        a, b = belief[ONES], belief[ZEROS]
        a0, b0 = belief.prior[ONES], belief.prior[ZEROS]
        change = add(multiply(subtract(a, a0), yes), multiply(subtract(b, b0), no))
        return total(add(change, subtract(_normaliser(a, b), _normaliser(a0, b0))), a.axes)

    def average(self, belief: Belief) -> Expr:
        return divide(belief[ONES], add(belief[ONES], belief[ZEROS]))

    def draw_belief(self, generator: np.random.Generator, hyper: Draws, count: int) -> Numbers:
        a, b = hyper[ONES], hyper[ZEROS]
        return np.asarray(generator.beta(a, b, (count, *np.shape(a))))


def _normaliser(a: Symbol, b: Symbol) -> Expr:
    """ln Gamma(a + b) - ln Gamma(a) - ln Gamma(b)."""
    return subtract(subtract(Unary("gammaln", add(a, b)), Unary("gammaln", a)), Unary("gammaln", b))


def update_chance(node: Node, beliefs: Beliefs, ones: Sequence[Expr], zeros: Sequence[Expr]) -> Maximum:
    """q of a probability: a Beta whose concentrations have counted ones and zeros."""
    belief = beliefs.about(node, "prob")
    if belief is None:
        return Maximum((), {})
    values = {
        belief[name].name: arranged(add(belief.prior[name], *seen), belief.axes)
        for name, seen in ((ONES, ones), (ZEROS, zeros))
    }
    return Maximum((), values)


def expected_logs(belief: Belief) -> tuple[Expr, Expr]:
    """E[ln p] and E[ln (1 - p)]: digamma of the concentration of ones, or of zeros, less that of their sum."""
    both = Unary("digamma", add(belief[ONES], belief[ZEROS]))
    return subtract(Unary("digamma", belief[ONES]), both), subtract(Unary("digamma", belief[ZEROS]), both)


def pseudo_counts(prior: PriorOn, axes: Axes) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """What the prior adds to the number of ones, and to the number of all; nothing for a flat prior.

    Raises IntractableError where a concentration is below 1: the density then has no mode between 0 and 1.
    """
    a, b = (hyper.spread(prior.constants[name], axes) for name in (ONES, ZEROS))
    least = min(a.min(), b.min())
    if least < 1:
        reason = f"A Beta prior with a concentration of {least} has no mode between 0 and 1."
        raise IntractableError(Fault(reason, "Use concentrations of at least 1 for EM, or fit by NUTS."))
    added = (a - 1, a + b - 2)
    yes, both = (() if not np.any(array) else (hyper.expression(array, axes),) for array in added)
    return yes, both


FAMILY = Beta()
