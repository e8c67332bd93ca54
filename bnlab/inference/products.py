"""Products of factors: tables and Gaussian functions; over the members of plates too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnlab.inference.gaussian import (
    Pair,
    Quadratic,
    contract,
    plus,
)
from bnlab.inference.plan import LeavePlates
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ops import (
    ROW,
    STEP,
    Binary,
    Einsum,
    Expr,
    Number,
    Symbol,
)

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def leave(run: Elimination, step: LeavePlates) -> None:
    """The product over the members of the plates that are left: shifts and precisions add."""
    found = multiplied(run, step.factors)
    source, target = step.joint.plates, step.message.plates
    shift, precision = {}, {}
    for ref, value in found.shift.items():
        shift[ref] = run.statement(
            f"eta_{ref.name}",
            summed(run, value, source, target),
            "leave plate",
            f"what the data say of {ref.name}",
        )
    for (a, b), value in found.precision.items():
        names = a.name if a == b else f"{a.name}_{b.name}"
        total = summed(run, value, source, target)
        if counted(total) is None:
            total = run.statement(f"Lambda_{names}", total, "leave plate", "and how precisely")
        precision[a, b] = total
    run.quadratics[step.message.name] = Quadratic(shift, precision)


def counted(value: Expr) -> tuple[Symbol, Expr] | None:
    """The number of alike members and the matrix of each, where a precision is their product; else None."""
    match value:
        case Binary("*", Symbol() as count, each) if not any(axis.kind in (ROW, STEP) for axis in each.axes):
            return count, each
        case _:
            return None


def summed(run: Elimination, value: Expr, source: tuple[str, ...], target: tuple[str, ...]) -> Expr:
    """The sum over the members of the plates that are left; what is the same for all of them, times their number."""
    if isinstance(value, Einsum) and len(value.operands) > 1:
        return _sum_inside(run, value, source, target)
    return _sum(run, value, source, target)


def _sum(run: Elimination, value: Expr, source: tuple[str, ...], target: tuple[str, ...]) -> Expr:
    graph = run.layout.graph
    left = [graph.plate(plate) for plate in source if plate not in target]
    for plate in left:
        axis = run.layout.plates[plate.name]
        if plate.size is not None:
            value = (
                build.total(value, (axis,))
                if axis in value.axes
                else contract((), Number(float(plate.size)), value)
            )
    rows_in, rows_out = run.rows(source), run.rows(target)
    chain = next((plate.name for plate in left if plate.chain), None)
    if chain is not None and run.layout.plates[chain] in value.axes:
        value = run.sum_steps(value, chain)
        chain = None
    if rows_in == rows_out:
        return value if chain is None else contract((), count(run, source, target), value)
    assert rows_in is not None
    if rows_in not in value.axes:
        return contract((), count(run, source, target), value)
    if chain is not None:
        value = contract((), number_of_steps(run, chain), value)
    return run.sum_rows(value, rows_in, rows_out)


def _sum_inside(run: Elimination, value: Einsum, source: tuple[str, ...], target: tuple[str, ...]) -> Expr:
    """The sum of a product of which one factor alone differs between members: that factor is summed first."""
    gone = set(run.layout.members(source)) - set(run.layout.members(target))
    differ = [operand for operand in value.operands if gone & set(operand.axes)]
    if len(differ) > 1:
        return _sum(run, value, source, target)
    if not differ:
        return _sum(run, value, source, target)
    inside = summed(run, differ[0], source, target)
    operands = [inside if operand is differ[0] else operand for operand in value.operands]
    over = tuple({axis for operand in value.operands for axis in operand.axes} - set(value.axes))
    return contract(over, *operands)


def number_of_steps(run: Elimination, chain: str) -> Expr:
    """The number of steps of each sequence."""
    mask = run.mask(chain)
    assert mask is not None
    return build.total(mask, (run.layout.plates[chain],))


def count(run: Elimination, source: tuple[str, ...], target: tuple[str, ...]) -> Expr:
    """How many rows and steps of some plates each member of outer ones has."""
    if (source, target) not in run.counts:
        rows_in, rows_out = run.rows(source), run.rows(target)
        chain = next((p for p in source if p not in target and run.layout.graph.plate(p).chain), None)
        value: Expr = number_of_steps(run, chain) if chain else Number(1.0)
        if rows_in is not None and rows_in != rows_out:
            value = run.weight(rows_in) if chain is None else value
            value = run.sum_rows(value, rows_in, rows_out)
        left = [plate for plate in source if plate not in target]
        name, words = (
            "count_" + "_".join(left),
            f"how many of {' and '.join(left)} in each {target[-1] if target else 'all'}",
        )
        run.counts[source, target] = run.statement(name, value, "leave plate", words)
    return run.counts[source, target]


def multiplied(run: Elimination, names: tuple[str, ...]) -> Quadratic:
    """The product of those factors that are Gaussian functions."""
    shift: dict[VarRef, Expr] = {}
    precision: dict[Pair, Expr] = {}
    for name in names:
        found = run.quadratics.get(name)
        if found is None:
            continue
        for ref, value in found.shift.items():
            shift[ref] = plus(shift.get(ref), value)
        for key, value in found.precision.items():
            precision[key] = plus(precision.get(key), value)
    return Quadratic(shift, precision)


def named(run: Elimination, value: Expr, wanted: str, text: str = "") -> Symbol:
    """The value as a statement of its own, unless it is one."""
    if isinstance(value, Symbol) and value.space == "local":
        return value
    return run.statement(wanted, value, "numerics", text)
