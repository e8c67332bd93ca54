"""Beta: the conjugate prior of a probability."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Domain, Positive, Probability, Values
from bnlab.errors import Fault, IntractableError
from bnlab.families import hyper
from bnlab.families.base import AbstractFamily, PriorOn, Slot, Tex
from bnlab.program.build import add, subtract
from bnlab.program.ops import Axes, Expr, Number, Symbol

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
