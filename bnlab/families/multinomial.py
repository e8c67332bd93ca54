"""Multinomial: how often each of several categories was drawn, as one vector of counts."""

from __future__ import annotations

from collections.abc import Mapping

from bnlab.domains import Count, Domain
from bnlab.families.base import (
    AbstractFamily,
    Beliefs,
    Density,
    Expectation,
    Expected,
    Maximum,
    Node,
    PriorOn,
    Statistic,
    Use,
)
from bnlab.families.categorical import Categorical, expected_table, maximise_table, update_table
from bnlab.program.build import add, einsum, local, log, minus, subtract, total
from bnlab.program.ir import Start, Statement
from bnlab.program.ops import Binary, Number, Symbol, Unary, Where, union


class Multinomial(AbstractFamily):
    """P(x) = (sum x)! / prod_v x[v]! * prod_v probs[v]^x[v]: the counts of each row, given how many there are in all."""

    name = "Multinomial"
    slots = Categorical.slots
    given_total = True

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        if len(arguments["probs"].event_shape) != 1:
            raise ValueError(
                "The probabilities of a Multinomial are one vector, one number for each category."
            )
        return Count(arguments["probs"].event_shape)

    def density(self, node: Node) -> Density:
        """The sum of x ln probs as one matrix product; a probability may have become 0, and 0 ln 0 is 0."""
        assert node.value is not None
        value, probs, entries = node.value, node.arguments["probs"], node.event[:1]
        axes = minus(union(value, probs), entries)
        # the comparison's axes are in order; those of a table are as it is subscripted
        above = Binary(">", probs, Number(0.0))
        possible, logs = local("possible", above.axes), local("log_probs", above.axes)
        never, ways = local("never", axes), local("log_ways", minus(value.axes, entries))
        one = Number(1.0)
        factorials = total(Unary("gammaln", add(value, one)), entries)
        body = (
            Statement(possible, above, "numerics"),
            Statement(logs, log(Where(possible, probs, one)), "numerics"),
            Statement(
                never,
                einsum(axes, value, Where(possible, Number(0.0), one)),
                "numerics",
                "how often something happened whose probability is 0",
            ),
            Statement(
                ways, subtract(Unary("gammaln", add(total(value, entries), one)), factorials), "density"
            ),
        )
        likely = add(einsum(axes, value, logs), ways)
        return Density(Where(Binary(">", never, Number(0.0)), Number(float("-inf")), likely), None, body)

    def starts(self, node: Node) -> tuple[Start, ...]:
        """At the shares of clusters of rows."""
        name, axes = node.parameter("probs"), node.own["probs"].axes
        return (Start(name, "shares", node.variable, tuple(axis.size or 1 for axis in axes)),) if name else ()

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        """The expected counts of each category, for each combination of subscripts."""
        assert node.value is not None
        axes = node.own["probs"].axes
        counts = expected((node.value,), axes)
        return {"S": Statistic(Symbol("S", axes, "statistics"), counts, f"{node.variable}[{{index}}]")}

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        return maximise_table(uses, free, priors, "S")

    variational = True

    def expectation(self, node: Node, beliefs: Beliefs) -> Expectation:
        return expected_table(node, beliefs)

    def update(self, uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
        return update_table(uses, beliefs, "S")


FAMILY = Multinomial()
