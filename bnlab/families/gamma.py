"""Gamma: the conjugate prior of a rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Domain, Positive, Values
from bnlab.errors import Fault, IntractableError
from bnlab.families import hyper
from bnlab.families.base import AbstractFamily, PriorOn, Slot, Tex
from bnlab.program.build import add, multiply, subtract, total
from bnlab.program.ops import Axes, Expr, Number, Symbol


class Gamma(AbstractFamily):
    """p(v) proportional to v^(concentration - 1) exp(-rate v), for each entry by itself."""

    name = "Gamma"
    slots = (Slot("concentration", (Positive,)), Slot("rate", (Positive,)))
    is_cpd = False
    is_prior = True
    spelling = {"numpyro": "dist.Gamma({concentration}, {rate})"}
    tex = Tex(r"($concentration - 1) \ln $x - $rate $x", {"x": r"\frac{$concentration - 1}{$x} - $rate"})

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        return Positive(arguments["concentration"].event_shape or arguments["rate"].event_shape)

    def log_prior(self, value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
        a, b = (hyper.spread(constants[name], value.axes) for name in ("concentration", "rate"))
        normaliser = Number(float(np.sum(a * np.log(b) - hyper.log_gamma(a))))
        powers = hyper.log_powers(value, a - 1, value.axes)
        return subtract(
            add(normaliser, *powers), total(multiply(hyper.expression(b, value.axes), value), value.axes)
        )


def pseudo_events(prior: PriorOn, axes: Axes) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """What the prior adds to the number of events, and to the exposure that they were counted in.

    Raises IntractableError where a concentration is below 1: the density then has no mode above 0.
    """
    a, b = (hyper.spread(prior.constants[name], axes) for name in ("concentration", "rate"))
    if a.min() < 1:
        reason = f"A Gamma prior with a concentration of {a.min()} has no mode above 0."
        raise IntractableError(Fault(reason, "Use concentrations of at least 1 for EM, or fit by NUTS."))
    events = () if np.all(a == 1) else (hyper.expression(a - 1, axes),)
    return events, (hyper.expression(b, axes),)


FAMILY = Gamma()
