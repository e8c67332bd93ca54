"""Offsets of expected log densities: what E[ln p] under q(theta) is more than ln p at a point, for each member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnlab.families.base import registry
from bnlab.inference.factor import Factor
from bnlab.inference.nodes import indicators
from bnlab.inference.pieces import Piece
from bnlab.naming import fresh
from bnlab.program.ops import Expr, OneHot, Symbol, Take

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def offset_of(run: Elimination, factor: Factor, piece: Piece) -> Expr | None:
    """The offset of a distribution, read at the members; None where there is none."""
    if run.beliefs is None:
        return None
    node = run.nodes[piece.label]
    found = registry()[piece.cpd.family].expectation(node, run.beliefs)
    run.expectations[piece.label] = found
    if found.offset is None:
        return None
    offset = Symbol(offset_name(run, piece.label), found.offset.axes, "theta")
    picks = indicators(run.layout, run.layout.graph.variable(factor.variable), piece)
    chosen = tuple(
        (axis, picks[axis].index)  # type: ignore[union-attr]
        for axis in offset.axes
        if isinstance(picks.get(axis), OneHot)
    )
    return Take(offset, chosen) if chosen else offset


def offset_name(run: Elimination, label: str) -> str:
    """The field that holds it: no parameter has its name."""
    return fresh(f"offset_{label.replace('.', '_')}", {one.name for one in run.layout.graph.parameters})
