"""Linear algebra in TeX: expressions over vectors and matrices, written without the indices of their entries.

Every text knows which axes its rows and columns are, so a product is put in the order in which its axes meet, and
transposes follow. Indices of members, steps and states are written by the Writer of all other equations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from bnlab.printers.latex_expression import Writer
from bnlab.printers.latex_matrices import (
    Matrix,
    UnwritableError,
    arranged,
    chained,
    signed,
    symmetric_parameters,
)
from bnlab.printers.latex_names import axes_of
from bnlab.printers.latex_products import ATOM, BIG, PRODUCT, SUM, NotMatricesError
from bnlab.printers.latex_sums import alone, limited, starts_of
from bnlab.printers.latex_text import number, power
from bnlab.program.ops import (
    EVENT,
    ROW,
    Axes,
    Axis,
    Binary,
    Blocks,
    Broadcast,
    Call,
    Constant,
    Einsum,
    Expr,
    Identity,
    Keep,
    Linear,
    Number,
    Part,
    Reduce,
    Relabel,
    SegmentSum,
    Solve,
    Steps,
    Symbol,
    Take,
    Unary,
    Where,
)

Definition = tuple[Axes, Expr]
"""The axes that an array is defined with, and what it is."""


@dataclass(frozen=True, slots=True)
class Algebra:
    """Writes the sides of equations; `inline` are the arrays that are written as what they are, `symmetric` matrices that
    are their own transpose."""

    pen: Writer
    inline: Mapping[str, Definition] = field(default_factory=dict)
    symmetric: frozenset[str] = frozenset()

    def equation(self, target: Symbol, value: Expr) -> tuple[str, tuple[str, ...]]:
        """The symbol that is defined, and the terms of what it is."""
        pen = replace(self, pen=replace(self.pen, free=target.axes))
        return self.pen.lhs(target), pen.terms(value, events(target.axes))

    def terms(self, value: Expr, axes: Axes = ()) -> tuple[str, ...]:
        """The terms of a sum, each with its sign, their rows and columns as in `axes`."""
        found = self.pen.bare(value)
        if isinstance(found, Binary) and found.op in "+-":
            right = self.terms(found.right, axes)
            if found.op == "-":
                right = tuple(signed(term, -1) for term in right)
            return (*self.terms(found.left, axes), *(signed(term, 1) for term in right))
        return (arranged(self.write(found), axes).tex,)

    def write(self, expr: Expr) -> Matrix:
        """The expression with its rows and columns."""
        expr = self.pen.bare(expr)
        if isinstance(expr, Symbol) and expr.space == "local" and expr.name in self.inline:
            axes, value = self.inline[expr.name]
            return self._called(self.write(value), dict(zip(axes, expr.axes, strict=True)))
        if isinstance(expr, Symbol):
            return Matrix(*self.pen.write(expr), events(expr.axes), self._symmetric(expr))
        match expr:
            case Number() | Constant():
                return Matrix(*self.pen.write(expr), events(expr.axes), expr.axes != ())
            case Identity(axes):
                return Matrix("I", ATOM, axes, True)
            case Einsum() | Binary("*" | "/"):
                return self._product(expr)
            case Binary("+" | "-"):
                return self._sum(expr)
            case Linear():
                return self._linear(expr)
            case Relabel(operand, axes):
                return self._called(self.write(operand), dict(zip(operand.axes, axes, strict=True)))
            case Broadcast(operand):
                return self.write(operand)
            case Take(table, chosen):
                at = {axis: self.pen.text(index) for axis, index in chosen}
                return self._at(at).write(table)
            case SegmentSum(operand, _, source):
                return self._over_rows(operand, source)
            case Steps(operand, axis, part) if part != "range":
                return replace(self, pen=self.pen._at(axis, part)).write(operand)
            case Keep(total, count):
                return self._ratio(total, count)
            case Unary("square", operand):
                found = self.write(operand)
                return replace(found, tex=power(found.held(ATOM), 2), level=PRODUCT)
            case Unary("log", operand) if not events(operand.axes):
                return Matrix(rf"\ln {self.write(operand).held(PRODUCT)}", BIG)
            case Solve(matrix, vector):
                return self._solved(matrix, vector)
            case Part(operand, start, stop, axes):
                where = str(start + 1) if stop == start + 1 else rf"{start + 1} \dots {stop}"
                return Matrix(rf"{self.write(operand).held(ATOM)}\left[{where}\right]", ATOM, events(axes))
            case Blocks():
                return self._blocks(expr)
            case Call():
                return self._plain(expr)
            case Reduce("sum", operand, over) if not events(over) and _has_vectors(operand):
                return self._over_members(operand, over)
            case Where():
                raise UnwritableError
        if any(axis.kind == EVENT for axis in axes_of(expr)) and not isinstance(expr, Reduce | Unary):
            raise UnwritableError
        return self._plain(expr)

    def _plain(self, expr: Expr) -> Matrix:
        """What has no vectors in it, as all other equations are written; of a number, sums over entries with indices."""
        try:
            return Matrix(*self.pen.write(expr))
        except NotMatricesError as error:
            if events(expr.axes):
                raise UnwritableError from error
            return Matrix(*replace(self.pen, matrices=False).write(expr))

    def _symmetric(self, symbol: Symbol) -> bool:
        if symbol.space == "theta":
            return symbol.name in symmetric_parameters(self.pen.names.graph)
        if symbol.space == "chunk":  # what the arrays of the derivation are called says nothing of data
            return False
        head = symbol.name.split("_")[0]
        return (
            symbol.name in self.symmetric
            or head in ("V", "Lambda", "J", "cov", "C", "P", "moments")
            and symbol.name.count("_") < 2
        )

    def _called(self, found: Matrix, names: Mapping[Axis, Axis]) -> Matrix:
        return replace(found, axes=tuple(names.get(axis, axis) for axis in found.axes))

    def _at(self, at: Mapping[Axis, str]) -> Algebra:
        return replace(self, pen=replace(self.pen, at={**self.pen.at, **at}))

    def _sum(self, expr: Binary) -> Matrix:
        axes = events(expr.axes)
        terms = self.terms(expr, self.write(expr.left).axes or axes)
        if any(set(self.write(side).axes) != set(axes) for side in (expr.left, expr.right)):
            raise UnwritableError
        sides = [self.write(side) for side in (expr.left, expr.right)]
        text = " ".join(
            f"{term[0]} {term[1:].strip()}" if place else term for place, term in enumerate(terms)
        )
        return Matrix(text, SUM, sides[0].axes or axes, all(side.symmetric for side in sides))

    def _linear(self, expr: Linear) -> Matrix:
        found = self.write(expr.operand)
        match expr.op:
            case "inverse":
                held = found.held(ATOM)
                held = rf"\left({found.tex}\right)" if "^" in held and found.level == ATOM else held
                return Matrix(f"{held}^{{-1}}", ATOM, found.axes, found.symmetric)
            case "log_det":
                return Matrix(rf"\ln \left|{found.tex}\right|", BIG)
            case "diagonal":
                return Matrix(rf"\operatorname{{diag}}\left({found.tex}\right)", ATOM, events(expr.axes))
            case _:
                raise UnwritableError

    def _over_rows(self, operand: Expr, source: Axis) -> Matrix:
        """The sum over the members of an inner plate; of 1, their number."""
        found = self.write(operand)
        if found.tex == "1":
            return Matrix(self.pen.names.size(source.name), ATOM)
        sign = limited(self.pen.names, source, "1")
        return replace(found, tex=f"{sign} {found.held(BIG)}", level=BIG)

    def _over_members(self, operand: Expr, over: Axes) -> Matrix:
        """A sum over states and members of sized plates."""
        inner = replace(self, pen=self.pen._renamed(over))
        found = inner.write(operand)
        return replace(found, tex=f"{inner.pen.sign(over)} {found.held(BIG)}", level=BIG)

    def _blocks(self, expr: Blocks) -> Matrix:
        """Blocks of a matrix, of a column, or of the columns of a matrix that are told apart."""
        rows = [[self.write(block) for block in line] for line in expr.blocks]
        texts = [
            [block.turned() if not around and block.axes else block.tex for block in line]
            for line, around in zip(rows, expr.rows, strict=False)
        ]
        if not expr.columns:
            texts = [[block.tex for block in rows[0]]]
            if len(events(expr.axes)) == 1:
                texts = [[block.tex] for block in rows[0]]
        inside = r" \\ ".join(" & ".join(line) for line in texts)
        text = rf"\begin{{pmatrix}} {inside} \end{{pmatrix}}"
        return Matrix(text, ATOM, events(expr.axes), bool(expr.columns))

    def _ratio(self, total: Expr, count: Expr) -> Matrix:
        above, below = self.write(total), self.write(count)
        if below.axes:
            raise UnwritableError
        if above.level == SUM and above.axes:
            return replace(above, tex=rf"\frac{{1}}{{{below.tex}}} \left({above.tex}\right)", level=PRODUCT)
        return replace(above, tex=rf"\frac{{{above.tex}}}{{{below.tex}}}", level=PRODUCT)

    def _solved(self, matrix: Expr, vector: Expr) -> Matrix:
        """A symmetric system: from the left for one vector, from the right for a matrix whose rows they are."""
        system, found = self.write(matrix), self.write(vector)
        held = system.held(ATOM)
        inverse = rf"{held}^{{-1}}" if "^" not in held else rf"\left({system.tex}\right)^{{-1}}"
        parts = (inverse, found.held(PRODUCT)) if len(found.axes) == 1 else (found.held(PRODUCT), inverse)
        return Matrix(" ".join(parts), PRODUCT, found.axes)

    # -- products -----------------------------------------------------------------------------------------------------

    def _product(self, expr: Einsum | Binary) -> Matrix:
        operands = expr.operands if isinstance(expr, Einsum) else (expr,)
        over = tuple(
            axis
            for axis in dict.fromkeys(axis for operand in operands for axis in operand.axes)
            if axis not in expr.axes and axis.kind != EVENT
        )
        starts, single = starts_of(operands, self.pen.names.later), alone(operands)
        over = tuple(axis for axis in over if axis not in single)
        inner = replace(self, pen=self.pen._renamed(over))
        inner = inner._at({axis: str(starts[axis]) for axis in single})
        factors = [found for operand in operands for found in inner.factors(operand)]
        found = chained(factors, events(expr.axes))
        if not over:
            return found
        if found.tex == "1" and len(over) == 1 and over[0].kind == ROW:
            over_text = inner.pen.sign(over, starts)
            return Matrix(f"{over_text} 1", BIG)
        of_all = not any(axis.kind == ROW for operand in operands for axis in operand.axes)
        return replace(found, tex=f"{inner.pen.sign(over, starts, of_all)} {found.held(BIG)}", level=BIG)

    def factors(self, expr: Expr, inverted: bool = False) -> Iterator[tuple[Matrix, bool]]:
        """What is multiplied, each with whether it divides."""
        expr = self.pen.bare(expr)
        if isinstance(expr, Symbol) and expr.space == "local" and expr.name in self.inline:
            axes, value = self.inline[expr.name]
            names = dict(zip(axes, expr.axes, strict=True))
            for found, under in self.factors(value, inverted):
                yield self._called(found, names), under
            return
        match expr:
            case Binary("*", left, right):
                yield from self.factors(left, inverted)
                yield from self.factors(right, inverted)
            case Binary("/", left, right):
                yield from self.factors(left, inverted)
                yield from self.factors(right, not inverted)
            case Relabel(operand, axes) if isinstance(self.pen.bare(operand), Binary):
                names = dict(zip(operand.axes, axes, strict=True))
                for found, under in self.factors(operand, inverted):
                    yield self._called(found, names), under
            case Number(scale):
                yield Matrix(number(scale), ATOM if scale >= 0 else SUM), inverted
            case _:
                yield self.write(expr), inverted


def _has_vectors(expr: Expr) -> bool:
    return any(axis.kind == EVENT for axis in axes_of(expr))


def events(axes: Axes) -> Axes:
    """The axes of rows and columns."""
    return tuple(axis for axis in axes if axis.kind == EVENT)
