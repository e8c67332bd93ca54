"""A factor's conditional distributions, and the steps of a chain that each is for.

The first steps of an observed variable of a chain have distributions of their own. Nothing is passed along the chain by
them, so they and the general one are one factor, whose densities stand one behind the other along the steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnlab.inference.factor import Factor
from bnlab.naming import label_of
from bnlab.network.ir import CPD, Graph


@dataclass(frozen=True, slots=True)
class Piece:
    """A distribution by its `label` (`x`, `x.first`): from step `start` on, or there `only`."""

    label: str
    cpd: CPD
    start: int = 0
    only: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is for all steps that the factor stands at."""
        return not (self.start or self.only)


def pieces(graph: Graph, factor: Factor) -> tuple[Piece, ...]:
    """The distributions of a factor, in order of the steps."""
    variable = graph.variable(factor.variable)
    assert variable.cpd is not None
    if factor.steps == "first":
        return (Piece(factor.name, variable.first[factor.at]),)
    if factor.steps == "later" or not variable.first:
        return (Piece(factor.name, variable.cpd),)
    initial = (
        Piece(label_of(variable.name, step), cpd, step, True) for step, cpd in enumerate(variable.first)
    )
    return (*initial, Piece(factor.name, variable.cpd, len(variable.first)))
