"""Signs of sums in TeX, and what they run over."""

from __future__ import annotations

from collections.abc import Mapping

from bnlab.printers.latex_names import Names
from bnlab.program.ops import ROW, STEP, Axes, Axis, Constant, Einsum, Expr, Steps


def place(axis: Axis) -> int:
    """Where an index stands: members of plates outermost first."""
    return {ROW: 0, STEP: 1}.get(axis.kind, 2)


def sum_sign(names: Names, over: Mapping[Axis, str], shifted: Axes = ()) -> str:
    r"""The `\sum` over axes with their letters: with limits over the members of one plate, else with the indices below."""
    ordered = sorted(over, key=place)
    if len(ordered) == 1 and ordered[0].kind in (ROW, STEP) and "," not in names.index(ordered[0]):
        return limited(names, ordered[0], "2" if ordered[0] in shifted else "1")
    letters = [over[axis] + (r"\ge 2" if axis in shifted else "") for axis in ordered]
    return rf"\sum_{{{','.join(letters)}}}"


def limited(names: Names, axis: Axis, start: str) -> str:
    """The sum over the members of one plate, inside one member of those around it."""
    letter = names.members((axis.name,))[0]
    return rf"\sum_{{{letter}={start}}}^{{{names.size(axis.name)}}}"


def shifted_steps(operands: tuple[Expr, ...]) -> Axes:
    """The steps of which an operand leaves out the first or the last."""
    return tuple(
        o.axis
        for o in operands
        if isinstance(o, Steps) and (o.part in ("later", "earlier") or o.start + o.end)
    )


def picked(expr: Einsum) -> tuple[Einsum, dict[Axis, str]] | None:
    """A sum over states that a vector of one 1 and zeros leaves one state of: the rest, and that state."""
    for place, operand in enumerate(expr.operands):
        if not isinstance(operand, Constant) or len(operand.shape) != 1 or operand.axes[0] in expr.axes:
            continue
        if sorted(operand.flat) == [0.0] * (len(operand.flat) - 1) + [1.0]:
            rest = (*expr.operands[:place], *expr.operands[place + 1 :])
            state = {operand.axes[0]: str(operand.flat.index(1.0))}
            return Einsum(rest, (*expr.axes, *operand.axes)), state
    return None
