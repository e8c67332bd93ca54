"""Dirichlet: the conjugate prior of a table's row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Domain, Positive, Simplex, Values
from bnlab.errors import Fault, IntractableError
from bnlab.families import hyper
from bnlab.families.base import AbstractFamily, Belief, Draws, Hyper, Numbers, PriorOn, Slot
from bnlab.program.build import add, divide, log, multiply, subtract, total
from bnlab.program.ops import Axes, Expr, Number, Symbol, Unary


class Dirichlet(AbstractFamily):
    """p(pi) proportional to prod_k pi[k]^(concentration[k] - 1); a scalar concentration holds for every k."""

    name = "Dirichlet"
    slots = (Slot("concentration", (Positive,)),)
    is_cpd = False
    is_prior = True

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        shape = arguments["concentration"].event_shape
        return Simplex(shape[0] if shape else 0)

    def log_prior(self, value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
        alpha = hyper.spread(constants["concentration"], value.axes)
        normaliser = float(np.sum(hyper.log_gamma(alpha.sum(-1)) - hyper.log_gamma(alpha).sum(-1)))
        if np.all(alpha == 1):
            return Number(normaliser)
        weights = hyper.expression(alpha - 1, value.axes)
        return add(total(multiply(weights, log(value)), value.axes), Number(normaliser))

    def hyperparameters(self, prior: PriorOn, axes: Axes, event: Axes) -> Hyper:
        return {"concentration": (axes, hyper.spread(prior.constants["concentration"], axes))}

    def divergence(self, belief: Belief) -> Expr:
        a, a0 = belief["concentration"], belief.prior["concentration"]
        change = total(multiply(subtract(a, a0), expected_log(a)), a.axes[-1:])
        return total(add(change, subtract(_normaliser(a), _normaliser(a0))), belief.plates)

    def average(self, belief: Belief) -> Expr:
        a = belief["concentration"]
        return divide(a, total(a, a.axes[-1:]))

    def draw_belief(self, generator: np.random.Generator, hyper: Draws, count: int) -> Numbers:
        a = hyper["concentration"]
        found = generator.standard_gamma(np.broadcast_to(a, (count, *a.shape)))
        return np.asarray(found / found.sum(-1, keepdims=True))


def _normaliser(a: Symbol) -> Expr:
    """ln Gamma(sum of a) - sum of ln Gamma(a)."""
    entries = a.axes[-1:]
    return subtract(Unary("gammaln", total(a, entries)), total(Unary("gammaln", a), entries))


def expected_log(a: Symbol) -> Expr:
    """E[ln pi[k]] = digamma(a[k]) - digamma(sum of a), over the last axis."""
    return subtract(Unary("digamma", a), Unary("digamma", total(a, a.axes[-1:])))


def pseudo_counts(prior: PriorOn, axes: Axes) -> tuple[Expr, ...]:
    """concentration - 1, to be added to the counts; nothing for a flat prior.

    Raises IntractableError where a concentration is below 1: the density then has no mode inside the simplex.
    """
    alpha = hyper.spread(prior.constants["concentration"], axes)
    if alpha.min() < 1:
        reason = f"A Dirichlet prior with a concentration of {alpha.min()} has no mode inside the simplex."
        raise IntractableError(Fault(reason, "Use concentrations of at least 1 for EM, or fit by NUTS."))
    return () if np.all(alpha == 1) else (hyper.expression(alpha - 1, axes),)


FAMILY = Dirichlet()
