"""Signs of sums in TeX, and what they run over."""

from __future__ import annotations

from collections.abc import Mapping

from bnlab.printers.latex_names import Names
from bnlab.program.ir import Function, Invoke, Program, Scan, Statement
from bnlab.program.ops import (
    ROW,
    STEP,
    Axis,
    Broadcast,
    Constant,
    Einsum,
    Expr,
    Number,
    Relabel,
    Steps,
    Symbol,
)
from bnlab.program.plain import index_place
from bnlab.program.walk import parts, symbols

NOTHING: Mapping[str, int] = {}


def sum_sign(
    names: Names, over: Mapping[Axis, str], shifted: Mapping[Axis, int] | None = None, of_all: bool = False
) -> str:
    r"""The `\sum` over axes with their letters: with limits over the members of one plate, else with the indices below.

    Over the axes in `shifted` it begins at the step told, counted from 1. With `of_all` the summand is one of all sequences,
    so that the steps have no last one of theirs.
    """
    starts = shifted or {}
    ordered = sorted(over, key=index_place)
    alone = len(ordered) == 1 and ordered[0].kind in (ROW, STEP) and "," not in names.index(ordered[0])
    if alone and not (of_all and "_" in names.size(ordered[0].name)):
        return limited(names, ordered[0], str(starts.get(ordered[0], 1)))
    letters = [over[axis] + (rf"\ge {starts[axis]}" if axis in starts else "") for axis in ordered]
    return rf"\sum_{{{','.join(letters)}}}"


def limited(names: Names, axis: Axis, start: str) -> str:
    """The sum over the members of one plate, inside one member of those around it."""
    letter = names.members((axis.name,))[0]
    return rf"\sum_{{{letter}={start}}}^{{{names.size(axis.name)}}}"


def starts_of(operands: tuple[Expr, ...], known: Mapping[str, int] = NOTHING) -> dict[Axis, int]:
    """The steps of which operands leave out the first ones, with the first that is there, counted from 1; `known` are arrays
    made without them.
    """
    found: dict[Axis, int] = {}
    for one in operands:
        array = _array(one)
        if array is not None and array.name in known:
            found.update({axis: known[array.name] for axis in array.axes if axis.kind == STEP})
        if isinstance(one, Steps) and one.part == "range" and not one.only and one.start + one.end:
            found[one.axis] = one.start + one.end + 1
        start, operand = 1, one
        while isinstance(operand, Steps) and operand.part in ("later", "earlier", "opening"):
            start += operand.part != "opening"
            axis, operand = operand.axis, operand.operand
            found[axis] = start
    return found


def _array(expr: Expr) -> Symbol | None:
    """The array that an expression has its steps from."""
    while isinstance(expr, Relabel | Broadcast):
        expr = (
            expr.operand if isinstance(expr, Relabel) or not isinstance(expr.operand, Number) else expr.like
        )
    return expr if isinstance(expr, Symbol) and expr.space == "local" else None


def first_steps(program: Program) -> dict[str, int]:
    """The first step of those arrays that have none before."""
    found: dict[str, int] = {}
    functions = {function.name: function for function in program.functions}
    for item in program.expect.body:
        if isinstance(item, Invoke):
            called = functions[item.function]
            collected = _of_later_steps(called)
            made = zip(item.targets, called.results, strict=True)
            found.update({target.name: 2 for target, result in made if result in collected})
        if isinstance(item, Statement) and any(axis.kind == STEP for axis in item.target.axes):
            cuts = [part for part in parts(item.expression) if isinstance(part, Steps)]
            later = [2 for cut in cuts if cut.part in ("later", "earlier")]
            later += [
                found[s.name] for s in symbols(item.expression) if s.space == "local" and s.name in found
            ]
            if later:
                found[item.target.name] = max(later)
    return found


def _of_later_steps(function: Function) -> set[Expr]:
    """The arrays that a recursion collects over all steps but the first."""
    scans = [part for part in function.body if isinstance(part, Scan)]
    return {
        array
        for scan in scans
        if any(isinstance(whole, Steps) and whole.part == "later" for _, whole in scan.inputs)
        for _, array in scan.outputs
    }


def alone(operands: tuple[Expr, ...]) -> set[Axis]:
    """The steps of which there is only one."""
    return {o.axis for o in operands if isinstance(o, Steps) and o.part == "opening"}


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
