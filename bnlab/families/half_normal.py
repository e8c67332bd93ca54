"""Half normal: the prior of a standard deviation, for samplers; a standard deviation of 0 stays possible."""

from __future__ import annotations

from collections.abc import Mapping

from bnlab.domains import Domain, Positive
from bnlab.families.base import AbstractFamily, Slot


class HalfNormal(AbstractFamily):
    """p(s) = sqrt(2 / pi) / scale exp(-s^2 / (2 scale^2)) for s > 0, for each entry by itself; conjugate to nothing."""

    name = "HalfNormal"
    slots = (Slot("scale", (Positive,)),)
    is_cpd = False
    is_prior = True
    spelling = {"numpyro": "dist.HalfNormal({scale})"}

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        return Positive(arguments["scale"].event_shape)


FAMILY = HalfNormal()
