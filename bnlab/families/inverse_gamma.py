"""Inverse gamma: the conjugate prior of a variance."""

from __future__ import annotations

from collections.abc import Mapping
from math import lgamma, log

from bnlab.domains import Domain, Positive, Values
from bnlab.families.base import AbstractFamily, PriorOn, Slot
from bnlab.program import build
from bnlab.program.build import add, constant, divide, multiply, subtract, total
from bnlab.program.ops import Axes, Expr, Number, Symbol


class InverseGamma(AbstractFamily):
    """p(v) proportional to v^(-concentration - 1) exp(-scale / v), for each entry by itself."""

    name = "InverseGamma"
    slots = (Slot("concentration", (Positive,)), Slot("scale", (Positive,)))
    is_cpd = False
    is_prior = True

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        return Positive(arguments["scale"].event_shape)

    def log_prior(self, value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
        shape, scale = _arrays(constants, event)
        size = 1
        for axis in event:
            size *= axis.size or 1
        a = constants["concentration"].flat * (1 if constants["concentration"].shape else size)
        b = constants["scale"].flat * (1 if constants["scale"].shape else size)
        rows = 1
        for axis in value.axes:
            rows *= axis.size or 1
        normaliser = rows // size * sum(x * log(y) - lgamma(x) for x, y in zip(a, b, strict=True))
        terms = add(multiply(add(shape, Number(1.0)), build.log(value)), divide(scale, value))
        return subtract(Number(normaliser), total(terms, value.axes))


def posterior_scatter(prior: PriorOn, scatter: Expr, count: Expr, event: Axes) -> tuple[Expr, Expr]:
    """scatter / 2 + scale, and count / 2 + concentration + 1: their ratio is the mode."""
    shape, scale = _arrays(prior.constants, event)
    half = Number(0.5)
    return add(multiply(half, scatter), scale), add(multiply(half, count), shape, Number(1.0))


def _arrays(constants: Mapping[str, Values], event: Axes) -> tuple[Expr, Expr]:
    found = (constants["concentration"], constants["scale"])
    shape, scale = (constant(values.flat, values.shape, event[: len(values.shape)]) for values in found)
    return shape, scale


FAMILY = InverseGamma()
