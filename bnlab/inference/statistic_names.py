"""What the statistics of an E-step are called, and what they are in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnlab.families.base import Statistic
from bnlab.inference import wording
from bnlab.inference.factor import Factor
from bnlab.inference.pieces import Piece
from bnlab.naming import step_of
from bnlab.network.ir import VarRef
from bnlab.program.ops import SIZED, STATE, Axes, Symbol

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination

ORDINALS = ("first", "second", "third")
"""What statistics of the first steps of a chain are called by."""


def statistic_title(run: Elimination, factor: Factor, piece: Piece, kind: str, axes: Axes) -> str:
    variable, gaussian = factor.variable, run.nodes[piece.label].gaussian
    opening = piece.only or (gaussian and factor.steps == "first")
    behind = step_of(piece.label) if opening else ""
    moved = gaussian and run.nodes[piece.label].value is None and run.nodes[piece.label].slopes
    if kind.startswith("S "):
        factors = [name or variable for name in kind.split(" ")[1:]]
        return f"S{_joined(tuple(factors))}{behind}"
    if kind == "SS" and moved:
        return f"See_{variable}{behind}"
    if kind != "N" and gaussian:
        return f"S{_joined((variable,) * len(kind))}{behind}"
    if kind != "N":
        return (f"S{variable}{variable}" if kind == "SS" else f"{kind}{variable}") + behind
    if piece.only:
        return f"N_{variable}{behind}"
    if factor.steps == "first":
        first = [f for f in run.plan.factors if f.steps == "first" and f.at == factor.at]
        name = f"N_{ORDINALS[factor.at]}" if factor.at < len(ORDINALS) else f"N_step_{factor.at + 1}"
        return name if len(first) == 1 else f"{name}_{variable}"
    names = tuple(
        axis.name.rstrip("'") for axis in axes if axis.kind in (SIZED, STATE) and " " not in axis.name
    )
    return wording.count_title(names or (variable,))


def _joined(names: tuple[str, ...]) -> str:
    """`xx` of letters, `_level_level` of words."""
    short = all(len(name) == 1 for name in names)
    return "".join(names) if short else "".join(f"_{name}" for name in names)


def statistic_formula(run: Elimination, factor: Factor, piece: Piece, statistic: Statistic) -> str:
    layout, axes = run.layout, statistic.target.axes
    rows = [layout.graph.plate(plate) for plate in factor.plates if layout.graph.plate(plate).size is None]
    first = factor.steps == "first" or piece.only
    starts = [plate.chain and first for plate in rows]
    own = [layout.plates[plate.name].letter for plate in rows]
    later = [f">{piece.start}" if plate.chain and piece.start else "" for plate in rows]
    sums = " ".join(
        f"sum_{letter if not after else f'{{{letter}{after}}}'}"
        for letter, start, after in zip(own, starts, later, strict=True)
        if not start
    )
    number = str((piece.start if piece.only else factor.at) + 1)
    plates = [number if start else letter for letter, start in zip(own, starts, strict=True)]
    states = [ref for ref in factor.scope if layout.states[ref] in axes]
    observed = layout.states.get(VarRef(factor.variable))
    seen = observed in axes and VarRef(factor.variable) not in states
    at = zip(factor.plates, wording.indices(layout, factor.plates, factor.variable), strict=True)
    index = ",".join(
        str(piece.start + 1) if piece.only and layout.graph.plate(plate).chain else letter
        for plate, letter in at
    )
    value = f" {statistic.formula.format(index=index)}".rstrip()
    residual = run.nodes[piece.label].residual
    if run.nodes[piece.label].gaussian and isinstance(residual, Symbol):
        value = value.replace(" r[", f" {residual.name}[")
        if value.count("[") > 1 or "]^2" in value:
            value = f" E[{value.strip()}]"
    value = f" {_with_gaps(run, factor, piece, value.strip())}".rstrip()
    if not states:
        return f"{sums}{value or ' 1'}".strip()
    if seen:
        value = f" ({factor.variable}[{index}]={observed.letter if observed else ''})"
    if any(ref.lag for ref in states):
        pair = Factor("", (), (), tuple(states), factor.plates)
        start = "".join(f", {letter}={number}" for letter, s in zip(own, starts, strict=True) if s)
        return f"{sums} {wording.posterior_formula(layout, pair)}{value}{start}".strip()
    if factor.variable in run.leaves and run.nodes[piece.label].state is not None:
        value += f" or, where {factor.variable} is missing, q times its table"
    title = wording.posterior_title(tuple(states))
    letters = ",".join([*plates, *(layout.states[ref].letter for ref in states)])
    return f"{sums} {title}[{letters}]{value}".strip()


def _with_gaps(run: Elimination, factor: Factor, piece: Piece, formula: str) -> str:
    """What is summed, where numbers may be missing: it is expected, or left out."""
    node = run.nodes[piece.label]
    if factor.variable not in run.leaves or node.state is not None:
        return formula
    if node.residual is None:
        return f"{formula or '1'} where {factor.variable} is seen"
    residual = node.residual.name if isinstance(node.residual, Symbol) else "r"
    wanted = "r[" in formula or f"{residual}[" in formula
    return f"E[{formula}]" if wanted and not formula.startswith("E[") else formula
