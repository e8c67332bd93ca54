"""Categories that nothing reads, where their values are missing: -1 in the data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bnlab.families.base import Density, Node, registry
from bnlab.inference.factor import Factor
from bnlab.inference.nodes import indicators
from bnlab.inference.pieces import Piece
from bnlab.program import build
from bnlab.program.ops import Axes, Binary, Expr, Number, Where

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def where_seen(run: Elimination, found: Node, density: Density, offset: Expr | None) -> Density:
    """The density of a value that may be missing, with its offset: then it says nothing, and its probability is 1."""
    assert found.value is not None
    seen = Binary(">=", found.value, Number(0.0))
    if density.linear is None:
        log = density.log if offset is None else build.add(density.log, offset)
        return replace(density, log=Where(seen, log, Number(0.0)))
    linear = density.linear if offset is None else Binary("*", density.linear, build.exp(offset))
    table = Where(seen, linear, Number(1.0))
    return Density(run.log(table), table)


def unseen(run: Elimination, factor: Factor, piece: Piece, posterior: Expr | None, axes: Axes) -> Expr:
    """What missing values add to the counts: the table, for each time that it was to be read."""
    node = run.nodes[piece.label]
    assert node.state is not None and node.value is not None
    chosen = indicators(run.layout, run.layout.graph.variable(factor.variable), piece)
    rest = tuple(axis for axis in axes if axis != node.state)
    states = run.layout.scope(factor.scope)
    picks = tuple(chosen[axis] for axis in rest if axis in chosen and axis not in states)
    missing = Binary("<", node.value, Number(0.0))
    times = build.einsum(rest, *((posterior,) if posterior is not None else ()), missing, *picks)
    return Binary("*", times, _table(node, piece), layout=axes)


def _table(node: Node, piece: Piece) -> Expr:
    """The whole table of an observed variable, as if it were latent: own axes, then its states."""
    whole = replace(node, value=None, arguments=node.own)
    linear = registry()[piece.cpd.family].density(whole).linear
    assert linear is not None, "a categorical variable has a table"
    return linear
