"""Sums of products that emitted files have a helper for: which helper, and what it is called with."""

from __future__ import annotations

from bnlab.program.ops import Binary, Einsum, Expr, OneHot, Symbol

Helped = tuple[str, tuple[Expr, ...], tuple[int, ...]]
"""The helper's name, the arrays it is called with, and the numbers after them."""

WIDE = 8
"""From this many entries on, second moments of each state are summed over half of their entries only: they are symmetric.
Those of all rows together are one matrix product, which is faster."""


def helped(expr: Einsum) -> Helped | None:
    """The call of a helper that makes this sum; None where no helper does."""
    symmetric = _second_moments(expr) or _symmetric_products(expr)
    return symmetric or _products_of_rows(expr) or _counts(expr) or _squared_distances(expr)


def _second_moments(expr: Einsum) -> Helped | None:
    """`second_moments(q, r)` for sum q r r', where r is long."""
    if len(expr.operands) != 3:
        return None
    q, r, twin = expr.operands
    if not (
        isinstance(r, Symbol) and isinstance(twin, Symbol) and r.name == twin.name and r.axes != twin.axes
    ):
        return None
    rows, row, column = r.axes[:-1], r.axes[-1], twin.axes[-1]
    states = q.axes[len(rows) :]
    if (
        not states
        or (row.size or 0) < WIDE
        or q.axes[: len(rows)] != rows
        or expr.axes != (*states, row, column)
    ):
        return None
    return "second_moments", (q, r), ()


HALVED = 128
"""From this many entries on, a symmetric product is made of blocks, of which one is the transpose of another."""


def _symmetric_products(expr: Einsum) -> Helped | None:
    """`symmetric_products(w, r)` for sum w r r' over rows of very many entries."""
    match expr:
        case Einsum((w, Symbol() as r, Symbol() as twin), (row, column)) if r.name == twin.name:
            fits = w.axes == r.axes[:-1] == twin.axes[:-1] and (r.axes[-1], twin.axes[-1]) == (row, column)
            wide = row != column and (row.size or 0) >= HALVED
            return ("symmetric_products", (w, r), ()) if fits and wide and w.axes else None
    return None


def _products_of_rows(expr: Einsum) -> Helped | None:
    """`products_of_rows(w, a, b)` for sum w a b' over several axes of rows, which are one to a product of matrices."""
    if len(expr.operands) != 3:
        return None
    w, a, b = expr.operands
    rows = w.axes
    fits = len(rows) > 1 and a.axes[:-1] == rows and b.axes[:-1] == rows and a.axes[-1] != b.axes[-1]
    if not fits or expr.axes != (a.axes[-1], b.axes[-1]):
        return None
    return "products_of_rows", (w, a, b), ()


def _squared_distances(expr: Einsum) -> Helped | None:
    """`squared_distances(r, m, P)` for (r - m)' P (r - m), multiplied out, of every row and state."""
    match expr.operands:
        case (
            Binary("-", Symbol() as r, Symbol() as m),
            Binary("-", Symbol() as twin_r, Symbol() as twin_m),
            Symbol() as matrix,
        ) if (r.name, m.name) == (twin_r.name, twin_m.name):
            pass
        case _:
            return None
    rows, states, entries = r.axes[:-1], matrix.axes[:-2], (r.axes[-1], twin_r.axes[-1])
    fits = (
        matrix.axes[-2:] == entries
        and (m.axes[-1], twin_m.axes[-1]) == entries
        and m.axes[:-1] in ((), states)
    )
    if not fits or expr.axes != (*rows, *states) or set(rows) & set(states):
        return None
    return "squared_distances", (r, m, matrix), ()


VOCABULARY = 64
"""From this many categories on, counting adds rows where they belong; below, a product with indicators is as fast."""


def _counts(expr: Einsum) -> Helped | None:
    """`counts(q, x, size)` for the sum of q over the rows of each category, where there are many categories."""
    if len(expr.operands) != 2:
        return None
    q, indicator = expr.operands
    if not isinstance(indicator, OneHot) or (indicator.axis.size or 0) < VOCABULARY:
        return None
    rows = indicator.index.axes
    if not rows or q.axes[: len(rows)] != rows or expr.axes != (*q.axes[len(rows) :], indicator.axis):
        return None
    return "counts", (q, indicator.index), (indicator.axis.size or 0,)
