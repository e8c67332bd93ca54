"""Categorical: one of K categories, with the probabilities of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from bnlab.domains import Domain, Integer, Simplex
from bnlab.families.base import (
    AbstractFamily,
    Beliefs,
    Density,
    Expectation,
    Expected,
    Maximum,
    Node,
    Numbers,
    PriorOn,
    Slot,
    Statistic,
    Use,
)
from bnlab.families.dirichlet import expected_log, pseudo_counts
from bnlab.program.build import add, arranged, exp, keep, log, total
from bnlab.program.ir import Start
from bnlab.program.ops import Expr, Symbol, Take


class Categorical(AbstractFamily):
    """P(z = k) = probs[k]."""

    name = "Categorical"
    slots = (Slot("probs", (Simplex,), conjugate=("Dirichlet",)),)

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        probs = arguments["probs"]
        if isinstance(probs, Simplex):
            return Integer(probs.size, probs.labels)
        if len(probs.event_shape) != 1:
            raise ValueError(
                "The probabilities of a Categorical are one vector, one number for each category."
            )
        return Integer(probs.event_shape[0])

    def density(self, node: Node) -> Density:
        table = node.arguments["probs"]
        if node.value is not None:
            assert node.state is not None
            table = _taken(table, node)
        return Density(log(table), table)

    def starts(self, node: Node) -> tuple[Start, ...]:
        """Near the categories' frequencies if they are observed, else near equal probabilities; never just
        there: that is a saddle.
        """
        if not node.parameter("probs"):
            return ()
        shape = tuple(axis.size or 1 for axis in node.own["probs"].axes)
        kind: Literal["frequencies", "even"] = "even" if node.value is None else "frequencies"
        return (Start(node.parameter("probs"), kind, node.variable, shape),)

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        """The expected number of times that each entry of the table was used."""
        axes = node.own["probs"].axes
        return {"N": Statistic(Symbol("N", axes, "statistics"), expected((), axes))}

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        return maximise_table(uses, free, priors, "N")

    variational = True

    def expectation(self, node: Node, beliefs: Beliefs) -> Expectation:
        return expected_table(node, beliefs)

    def update(self, uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
        return update_table(uses, beliefs, "N")

    def draw(
        self, generator: np.random.Generator, arguments: Mapping[str, Numbers], event: tuple[int, ...]
    ) -> Numbers:
        """The first category at which the cumulated probability passes a uniform number; never one of probability 0."""
        cumulated = np.cumsum(arguments["probs"], axis=-1)
        uniform = generator.random(len(cumulated)) * cumulated[:, -1]
        return np.asarray((cumulated <= uniform[:, None]).sum(axis=-1), dtype=float)


def maximise_table(
    uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn], kind: Literal["N", "S"]
) -> Maximum:
    """Normalised counts: sum_k probs[k] = 1, by a Lagrange multiplier. A Dirichlet prior adds concentration - 1.

    `kind` is the statistic that counts.
    """
    first = uses[0].node
    name, own = first.parameter("probs"), first.own["probs"]
    if name not in free:
        return Maximum((), {})
    counts = add(*(Symbol(use.statistics[kind].name, own.axes, "statistics") for use in uses))
    if name in priors:
        counts = add(counts, *pseudo_counts(priors[name], own.axes))
    value = keep(counts, total(counts, own.axes[-1:]), own)
    return Maximum((), {name: arranged(value, own.axes)})


def expected_table(node: Node, beliefs: Beliefs) -> Expectation:
    """At exp E[ln probs], whose rows sum to less than 1."""
    belief = beliefs.about(node, "probs")
    return Expectation(
        {} if belief is None else {belief.parameter: exp(expected_log(belief["concentration"]))}
    )


def update_table(uses: tuple[Use, ...], beliefs: Beliefs, kind: Literal["N", "S"]) -> Maximum:
    """A Dirichlet that has counted: the statistic `kind` on top of the prior's concentration."""
    belief, own = beliefs.about(uses[0].node, "probs"), uses[0].node.own["probs"]
    if belief is None:
        return Maximum((), {})
    first = belief.prior["concentration"]
    counts = (Symbol(use.statistics[kind].name, own.axes, "statistics") for use in uses)
    return Maximum((), {belief["concentration"].name: arranged(add(first, *counts), own.axes)})


def _taken(table: Expr, node: Node) -> Expr:
    """The entries of the table at the observed category."""
    assert node.state is not None and node.value is not None
    if isinstance(table, Take):
        return Take(table.table, (*table.indices, (node.state, node.value)))
    return Take(table, ((node.state, node.value),))


FAMILY = Categorical()
