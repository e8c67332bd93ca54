"""Dirichlet: the conjugate prior of a table's row."""

from __future__ import annotations

from collections.abc import Mapping
from math import lgamma

from bnlab.domains import Domain, Positive, Simplex, Values
from bnlab.errors import Fault, IntractableError
from bnlab.families.base import AbstractFamily, PriorOn, Slot
from bnlab.program.build import add, constant, log, multiply, total
from bnlab.program.ops import Axes, Expr, Number, Symbol


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
        size = event[-1].size or 0
        alpha = _concentration(constants["concentration"], size)
        rows = 1
        for axis in value.axes[:-1]:
            rows *= axis.size or 1
        normaliser = rows * (lgamma(sum(alpha)) - sum(lgamma(a) for a in alpha))
        if set(alpha) == {1.0}:
            return Number(normaliser)
        return add(total(multiply(_pseudo(alpha, event[-1:]), log(value)), value.axes), Number(normaliser))


def _concentration(values: Values, size: int) -> tuple[float, ...]:
    return values.flat if values.shape else values.flat * size


def _pseudo(alpha: tuple[float, ...], axes: Axes) -> Expr:
    shifted = tuple(a - 1 for a in alpha)
    return Number(shifted[0]) if len(set(shifted)) == 1 else constant(shifted, (len(shifted),), axes)


def pseudo_counts(prior: PriorOn, axes: Axes) -> tuple[Expr, ...]:
    """concentration - 1, to be added to the counts; nothing for a flat prior.

    Raises IntractableError where a concentration is below 1: the density then has no mode inside the simplex.
    """
    alpha = _concentration(prior.constants["concentration"], axes[-1].size or 0)
    if min(alpha) < 1:
        reason = f"A Dirichlet prior with a concentration of {min(alpha)} has no mode inside the simplex."
        raise IntractableError(Fault(reason, "Use concentrations of at least 1 for EM, or fit by NUTS."))
    return () if set(alpha) == {1.0} else (_pseudo(alpha, axes[-1:]),)


FAMILY = Dirichlet()
