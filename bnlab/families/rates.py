"""What families with a rate have in common: events that were counted, and the exposure that they were counted in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from bnlab.families.base import Belief, Beliefs, Expected, Maximum, Node, PriorOn, Statistic, Use
from bnlab.families.gamma_update import pseudo_events
from bnlab.program.build import add, arranged, constant, keep, log, minus, subtract, total
from bnlab.program.ir import Start
from bnlab.program.ops import SIZED, Axes, Expr, Symbol, Unary

Kind = Literal["N", "S"]


def cells(node: Node) -> Axes:
    """The axes of the rate, without those of a vector's entries; with them, where each entry is seen in other rows."""
    return minus(node.own["rate"].axes, () if node.seen is not None else node.event)


def counts_and_sums(node: Node, expected: Expected) -> Mapping[str, Statistic]:
    """The expected number of members for each combination of subscripts, and the sum of their data."""
    assert node.value is not None
    axes = node.own["rate"].axes
    return {
        "N": Statistic(Symbol("N", cells(node), "statistics"), expected((), cells(node))),
        "S": Statistic(
            Symbol("S", axes, "statistics"), expected((node.value,), axes), f"{node.variable}[{{index}}]"
        ),
    }


def maximise_rate(
    uses: tuple[Use, ...],
    free: frozenset[str],
    priors: Mapping[str, PriorOn],
    events: Kind,
    exposure: Kind,
) -> Maximum:
    """rate = events / exposure, each of them one of the statistics; a Gamma prior adds to both."""
    node = uses[0].node
    own, name = node.own["rate"], node.parameter("rate")
    if name not in free:
        return Maximum((), {})

    def axes(kind: Kind, use: Use) -> Axes:
        return own.axes if kind == "S" else cells(replace(node, seen=use.node.seen))

    def collected(kind: Kind) -> list[Expr]:
        return [Symbol(use.statistics[kind].name, axes(kind, use), "statistics") for use in uses]

    happened, lasted = collected(events), collected(exposure)
    if name in priors:
        more, longer = pseudo_events(priors[name], own.axes)
        happened, lasted = [*happened, *more], [*lasted, *longer]
    return Maximum((), {name: arranged(keep(add(*happened), add(*lasted), own), own.axes)})


def rate_starts(node: Node, form: Literal["", "inverse"]) -> tuple[Start, ...]:
    """At the levels of clusters of the data, or at the inverse of these."""
    return (level_start(node, "rate", form),) if node.parameter("rate") else ()


def level_start(
    node: Node, slot: str, form: Literal["", "inverse", "concentration"], values: tuple[float, ...] = ()
) -> Start:
    """The start of a parameter at levels of clusters of the data."""
    assert node.value is not None
    axes = node.own[slot].axes
    shape = tuple(axis.size or 1 for axis in axes)
    shared = tuple(place for place, axis in enumerate(axes) if axis.kind == SIZED and axis in node.value.axes)
    return Start(node.parameter(slot), "levels", node.variable, shape, shared, form, values)


def expected_log(belief: Belief) -> Expr:
    """E[ln rate] = digamma(concentration) - ln rate, for a Gamma."""
    return subtract(Unary("digamma", belief["concentration"]), log(belief["rate"]))


def entries_total(node: Node, value: Expr) -> Expr:
    """Summed over the entries of a vector, of which a rate is one each; left apart where some may be missing."""
    return (
        value
        if node.seen is not None
        else total(value, tuple(axis for axis in node.event[:1] if axis in value.axes))
    )


def known(node: Node, slot: str) -> Expr:
    """The numbers of an argument that is not learnt."""
    values = node.known[slot]
    return constant(values.flat, values.shape, node.own[slot].axes)


def update_rate(uses: tuple[Use, ...], beliefs: Beliefs, events: Kind, exposure: Kind) -> Maximum:
    """A Gamma that has counted the events, and the exposure, that the statistics tell, on top of those of the prior."""
    node = uses[0].node
    belief = beliefs.about(node, "rate")
    if belief is None:
        return Maximum((), {})

    def told(use: Use, kind: Kind) -> Symbol:
        apart = cells(replace(node, seen=use.node.seen))
        axes = apart if kind == "N" else node.own["rate"].axes
        return Symbol(use.statistics[kind].name, axes, "statistics")

    values: dict[str, Expr] = {}
    for name, kind in (("concentration", events), ("rate", exposure)):
        seen = [told(use, kind) for use in uses]
        values[belief[name].name] = arranged(add(belief.prior[name], *seen), belief.axes)
    return Maximum((), values)
