"""Inverse gamma: the conjugate prior of a variance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Domain, Positive, Values
from bnlab.families import hyper
from bnlab.families.base import AbstractFamily, Belief, Draws, Hyper, Numbers, PriorOn, Slot
from bnlab.program.build import add, divide, log, multiply, subtract, total
from bnlab.program.ops import Axes, Binary, Expr, Number, Symbol, Where


class InverseGamma(AbstractFamily):
    """p(v) proportional to v^(-concentration - 1) exp(-scale / v), for each entry by itself."""

    name = "InverseGamma"
    slots = (Slot("concentration", (Positive,)), Slot("scale", (Positive,)))
    is_cpd = False
    is_prior = True

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        return Positive(arguments["scale"].event_shape)

    def log_prior(self, value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
        a, b = (hyper.spread(constants[name], value.axes) for name in ("concentration", "scale"))
        normaliser = float(np.sum(a * np.log(b) - hyper.log_gamma(a)))
        shape, scale = (hyper.expression(array, value.axes) for array in (a, b))
        terms = add(multiply(add(shape, Number(1.0)), log(value)), divide(scale, value))
        return subtract(Number(normaliser), total(terms, value.axes))

    def hyperparameters(self, prior: PriorOn, axes: Axes, event: Axes) -> Hyper:
        return {
            name: (axes, hyper.spread(prior.constants[name], axes)) for name in ("concentration", "scale")
        }

    def divergence(self, belief: Belief) -> Expr:
        return hyper.gamma_divergence(belief, "scale")

    def average(self, belief: Belief) -> Expr:
        """scale / (concentration - 1): there is no mean unless the concentration is above 1."""
        a = belief["concentration"]
        above = Binary(">", a, Number(1.0))
        return Where(above, divide(belief["scale"], subtract(a, Number(1.0))), Number(float("nan")))

    def draw_belief(self, generator: np.random.Generator, hyper: Draws, count: int) -> Numbers:
        a, b = hyper["concentration"], hyper["scale"]
        return np.asarray(b / generator.standard_gamma(np.broadcast_to(a, (count, *np.shape(a)))))


def posterior_scatter(
    prior: PriorOn, scatter: Expr, count: Expr, axes: Axes, event: Axes
) -> tuple[Expr, Expr]:
    """scatter / 2 + scale, and count / 2 + concentration + 1: their ratio is the mode. `axes` are the parameter's."""
    arrays = (hyper.spread(prior.constants[name], axes) for name in ("concentration", "scale"))
    shape, scale = (hyper.expression(array, axes) for array in arrays)
    half = Number(0.5)
    return add(multiply(half, scatter), scale), add(multiply(half, count), shape, Number(1.0))


FAMILY = InverseGamma()
