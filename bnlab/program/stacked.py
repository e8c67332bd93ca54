"""First and second moments under one posterior as one product, with the residuals and their squares side by side.

Beside many states the posterior is the largest array of a chunk. One product passes over it once, and is twice as wide.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from bnlab.naming import fresh
from bnlab.program.build import square
from bnlab.program.ir import Program, Statement
from bnlab.program.ops import EVENT, STATE, Axis, Blocks, Einsum, Expr, Part, Symbol
from bnlab.program.walk import symbols

MANY_STATES = 128
"""From this many states on one product beats two: measured with 2 to 40 entries, in both precisions."""


def stacked(program: Program) -> Program:
    """The same statistics, those of many states taken in pairs."""
    expect = program.expect
    taken = {symbol.name for function in (*program.functions, expect) for symbol in symbols(function)}
    body, results = list(expect.body), list(expect.results)
    for place, second in enumerate(expect.results):
        first = _first_moments(second)
        if first is None or first not in results:
            continue
        posterior, residual = first.operands
        assert isinstance(residual, Symbol)
        name = fresh(f"moments_of_{residual.name}", taken)
        taken.add(name)
        row = first.axes[-1]
        size = row.size or 1
        both = Axis(EVENT, row.position, f"{name}'s", row.letter, 2 * size, f"2{row.extent}")
        beside = Blocks(((residual, square(residual)),), ((row,), (row,)), (), (*residual.axes[:-1], both))
        pair = Symbol(name, (*first.axes[:-1], both))
        text = f"of {residual.name} and its square at once: fastest from {MANY_STATES} states on"
        body.append(Statement(pair, Einsum((posterior, beside), pair.axes), "posterior", text))
        results[results.index(first)] = Part(pair, 0, size, first.axes)
        results[place] = Part(pair, size, 2 * size, first.axes)
    return replace(program, expect=replace(expect, body=tuple(body), results=tuple(results)))


def _first_moments(second: Expr) -> Einsum | None:
    """The sum of a residual, where `second` is that of its square, entry by entry, for each of many states."""
    match second:
        case Einsum((Symbol() as posterior, Symbol(space="local") as residual, again), axes) if (
            residual == again
        ):
            *states, row = axes or (None,)
            many = all(axis is not None and axis.kind == STATE for axis in states)
            apart = row is not None and row.kind == EVENT and residual.axes[-1:] == (row,)
            cells = prod(axis.size or 1 for axis in states if axis is not None)
            if many and apart and cells >= MANY_STATES and not set(states) & set(residual.axes):
                return Einsum((posterior, residual), axes)
    return None
