"""Products in TeX: numbers in front, quotients as fractions, matrices in an order that needs no indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bnlab.printers.latex_names import Names
from bnlab.printers.latex_text import number, power, transposed
from bnlab.program.ops import Axes, Binary, Constant, Expr, Number

SUM, BIG, PRODUCT, ATOM = range(4)
"""How tightly a formula holds together: a sum; something that reaches as far right as it can; a product; a symbol."""

Text = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Ready:
    """What has been written already."""

    tex: str
    axes: Axes


class NotMatricesError(Exception):
    """The equation cannot be written without the indices of vectors and matrices."""


class Pen(Protocol):
    """What writes the factors."""

    @property
    def names(self) -> Names: ...

    @property
    def matrices(self) -> bool:
        """Whether vectors and matrices are written without indices."""
        ...

    def write(self, expr: Expr | Ready) -> Text:
        """The expression, and how tightly it holds together."""
        ...

    def held(self, expr: Expr | Ready, least: int) -> str:
        """The expression, in parentheses where it holds together less than it must."""
        ...

    def text_of(self, expr: Expr | Ready) -> str:
        """The expression without parentheses."""
        ...

    def bare(self, expr: Expr) -> Expr:
        """The expression without what only serves the machine."""
        ...

    def shape(self, expr: Expr | Ready) -> Axes:
        """The axes that are written without indices."""
        ...


def factors(writer: Pen, expr: Expr) -> tuple[list[Expr], list[Expr]]:
    """What is multiplied, and what that is divided by."""
    match writer.bare(expr):
        case Binary("*", left, right):
            (above, below), (more, less) = factors(writer, left), factors(writer, right)
            return above + more, below + less
        case Binary("/", left, right):
            (above, below), (more, less) = factors(writer, left), factors(writer, right)
            return above + less, below + more
        case Number(1.0):
            return [], []
        case other:
            return [other], []


def product(writer: Pen, operands: tuple[Expr, ...], axes: Axes) -> Text:
    above: list[Expr] = []
    below: list[Expr] = []
    for operand in operands:
        more, less = factors(writer, operand)
        above, below = above + more, below + less
    numbers = [item for item in above if isinstance(item, Number)]
    sign = "-" if sum(item.value < 0 for item in numbers) % 2 else ""
    halves = [item for item in numbers if abs(item.value) == 0.5]
    plain = [Number(abs(item.value)) for item in numbers if abs(item.value) not in (0.5, 1.0)]
    others = [item for item in above if not isinstance(item, Number)]
    half = r"\tfrac{1}{2} " * len(halves)
    rest, below = _diagonal(writer, others, below)
    texts = [number(item.value) for item in plain] + _multiplied(writer, rest, axes)
    if not below and len(rest) == 1 and not (numbers or writer.shape(rest[0]) and writer.matrices):
        return writer.write(rest[0])
    if not below:
        text = " ".join(texts) or "1"
        level = writer.write(rest[0])[1] if len(rest) == 1 and not plain and not halves else PRODUCT
        return (
            f"{sign}{half if texts or not half else half.strip()}{text if texts or not half else ''}",
            (SUM if sign else level),
        )
    denominator = " ".join(_multiplied(writer, below, ()) if len(below) > 1 else [writer.text_of(below[0])])
    top = " ".join(texts) if len(texts) != 1 or plain else writer.text_of(rest[0])
    return rf"{sign}{half}\frac{{{top or '1'}}}{{{denominator}}}", SUM if sign else PRODUCT


def _diagonal(writer: Pen, above: Sequence[Expr], below: list[Expr]) -> tuple[list[Expr | Ready], list[Expr]]:
    """Division by a vector, and multiplication by one, next to an identity matrix: a diagonal matrix."""
    if not writer.matrices or not any(writer.shape(item) for item in below):
        return [*above], below
    unit = next((item for item in above if isinstance(item, Constant) and len(writer.shape(item)) == 2), None)
    vectors = [item for item in below if writer.shape(item)]
    if unit is None or not unit.is_identity or len(vectors) > 1 or len(writer.shape(vectors[0])) != 1:
        raise NotMatricesError
    diagonal = Ready(rf"\operatorname{{diag}}({writer.text_of(vectors[0])})^{{-1}}", unit.axes)
    return [diagonal if item is unit else item for item in above], [i for i in below if i is not vectors[0]]


def _multiplied(writer: Pen, factors: Sequence[Expr | Ready], axes: Axes) -> list[str]:
    """The factors in order: scalars, then what has entries, then what reaches to the right."""
    scalars = [factor for factor in factors if not (writer.matrices and writer.shape(factor))]
    entries = [factor for factor in factors if writer.matrices and writer.shape(factor)]
    scalars.sort(key=lambda factor: writer.write(factor)[1] == BIG)
    merged: list[str] = []
    place = 0
    while place < len(scalars):
        count = 1
        while place + count < len(scalars) and scalars[place + count] == scalars[place]:
            count += 1
        last = place + count == len(scalars) and not entries and count == 1
        text = writer.held(
            scalars[place], BIG if last and writer.write(scalars[place])[1] == BIG else PRODUCT
        )
        if count > 1:
            text = power(writer.held(scalars[place], ATOM), count)
        merged.append(text)
        place += count
    return merged + _matrix_product(writer, entries, axes)


def _matrix_product(writer: Pen, entries: list[Expr | Ready], axes: Axes) -> list[str]:
    """A product of vectors and matrices whose indices need not be written."""
    if not entries:
        return []
    wanted = tuple(axis for axis in axes if axis in writer.names.silent)
    shapes = [writer.shape(entry) for entry in entries]
    if len(entries) == 1 and (not axes or set(shapes[0]) == set(wanted)):
        return [writer.held(entries[0], PRODUCT)]
    ordered = sorted(zip(shapes, entries, strict=True), key=lambda pair: len(pair[0]), reverse=True)
    match [shape for shape, _ in ordered]:
        case [(_, column), (other,)] if other == column and len(wanted) == 1:
            return [writer.held(entry, PRODUCT) for _, entry in ordered]
        case [(row,), (column,)] if set(wanted) == {row, column}:
            first, second = (
                (ordered[0][1], ordered[1][1]) if row == wanted[0] else (ordered[1][1], ordered[0][1])
            )
            return [writer.held(first, PRODUCT), transposed(writer.held(second, ATOM))]
        case [(row,), (column,)] if row == column and not wanted:
            return [transposed(writer.held(ordered[0][1], ATOM)), writer.held(ordered[1][1], PRODUCT)]
    raise NotMatricesError
