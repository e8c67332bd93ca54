"""Bernoulli: 1 or 0, yes or no, as a categorical variable of two categories."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Domain, Integer, Probability
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
    Tex,
    Use,
)
from bnlab.families.beta import expected_logs, pseudo_counts, update_chance
from bnlab.program.build import add, arranged, divide, exp, keep, local, log, multiply, subtract, total
from bnlab.program.ir import Start, Statement
from bnlab.program.ops import Binary, Constant, Expr, Number, Symbol, Take, Unary, Where


class Bernoulli(AbstractFamily):
    """P(x = 1) = prob, and P(x = 0) = 1 - prob."""

    name = "Bernoulli"
    slots = (Slot("prob", (Probability,), conjugate=("Beta",)),)
    spelling = {"numpyro": "dist.Bernoulli({prob})"}
    tex = Tex(
        r"$x \ln $prob + (1 - $x) \ln (1 - $prob)",
        {"prob": r"\frac{$x}{$prob} - \frac{1 - $x}{1 - $prob}"},
    )

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        if arguments["prob"].event_shape:
            raise ValueError("The probability of a Bernoulli is one number; a plate makes several of them.")
        return Integer(2)

    def density(self, node: Node) -> Density:
        """The probability of what was observed, or a table of both where nothing was."""
        prob = node.arguments["prob"]
        if node.value is not None:
            chance = Where(Binary(">", node.value, Number(0.0)), prob, subtract(Number(1.0), prob))
            return Density(Unary("log_or_never", chance))
        assert node.state is not None
        states = (node.state,)
        slope, start = Constant((-1.0, 1.0), (2,), states), Constant((1.0, 0.0), (2,), states)
        table = add(multiply(prob, slope), start)
        return Density(log(table), table)

    def starts(self, node: Node) -> tuple[Start, ...]:
        """Near the frequency of ones if they are observed, else near one half; never just there: a saddle."""
        if not node.parameter("prob"):
            return ()
        shape = tuple(axis.size or 1 for axis in node.own["prob"].axes)
        form = "" if node.value is None else "data"
        return (Start(node.parameter("prob"), "chances", node.variable, shape, form=form),)  # type: ignore[arg-type]

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        """The expected numbers of zeros and of ones."""
        assert node.state is not None
        axes = (*node.own["prob"].axes, node.state)
        return {"N": Statistic(Symbol("N", axes, "statistics"), expected((), axes))}

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        """The part of ones. A Beta prior adds its concentrations less 1 to the counts."""
        own, name = uses[0].node.own["prob"], uses[0].node.parameter("prob")
        if name not in free:
            return Maximum((), {})
        ones: list[Expr] = []
        counts: list[Expr] = []
        for use in uses:
            assert use.node.state is not None
            table = Symbol(use.statistics["N"].name, (*own.axes, use.node.state), "statistics")
            ones.append(Take(table, ((use.node.state, Number(1.0)),)))
            counts.append(total(table, (use.node.state,)))
        if name in priors:
            yes, both = pseudo_counts(priors[name], own.axes)
            ones, counts = [*ones, *yes], [*counts, *both]
        return Maximum((), {name: arranged(keep(add(*ones), add(*counts), own), own.axes)})

    variational = True

    def expectation(self, node: Node, beliefs: Beliefs) -> Expectation:
        """exp E[ln prob] and exp E[ln (1 - prob)] sum to less than 1: as parts of their sum, and the logarithm of that."""
        belief = beliefs.about(node, "prob")
        if belief is None:
            return Expectation({})
        yes, no = (exp(value) for value in expected_logs(belief))
        both = local(f"both_{node.label.replace('.', '_')}", belief.axes)
        body = (Statement(both, arranged(add(yes, no), belief.axes), "expect", "below 1"),)
        return Expectation({belief.parameter: divide(yes, both)}, log(both), body)

    def update(self, uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
        """A Beta that has counted the ones and the zeros."""
        ones, zeros = [], []
        for use in uses:
            assert use.node.state is not None
            table = Symbol(
                use.statistics["N"].name, (*uses[0].node.own["prob"].axes, use.node.state), "statistics"
            )
            ones.append(Take(table, ((use.node.state, Number(1.0)),)))
            zeros.append(Take(table, ((use.node.state, Number(0.0)),)))
        return update_chance(uses[0].node, beliefs, ones, zeros)

    def draw(
        self, generator: np.random.Generator, arguments: Mapping[str, Numbers], event: tuple[int, ...]
    ) -> Numbers:
        prob = arguments["prob"]
        return np.asarray(generator.random(prob.shape) < prob, dtype=float)


FAMILY = Bernoulli()
