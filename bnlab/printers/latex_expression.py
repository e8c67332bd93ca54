"""Expressions of the Program in TeX.

What only serves the machine is left out: weights and masks (padding), shifts that guard against underflow. A sum over
steps that a mask cuts off is a sum to T; `ln` of a sum of `exp` is written with probabilities; a matrix product is
written without indices where all of an equation can be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from bnlab.notation import tex
from bnlab.printers.latex_bare import bare, is_zero
from bnlab.printers.latex_names import Names
from bnlab.printers.latex_text import array, is_identity, number, power, transposed
from bnlab.program.ops import (
    EVENT,
    ROW,
    STEP,
    Axes,
    Axis,
    Binary,
    Broadcast,
    Call,
    Constant,
    Einsum,
    Expr,
    InBlocks,
    Keep,
    Linear,
    Number,
    OneHot,
    Prepend,
    Reduce,
    Relabel,
    Reliable,
    SegmentSum,
    Steps,
    Symbol,
    Take,
    Unary,
    Where,
)

SUM, BIG, PRODUCT, ATOM = range(4)
"""How tightly a formula holds together: a sum; something that reaches as far right as it can; a product; a symbol."""

Text = tuple[str, int]
Inside = tuple[str, str, bool]
"""The array that a recursion reads one step of, the step, and whether it is a variable of the network."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What has been written already."""

    tex: str
    axes: Axes


class NotMatricesError(Exception):
    """The equation cannot be written without the indices of vectors and matrices."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes expressions for one equation.

    `inline` are arrays that are written as what they are; `inside` those of a recursion, with the array that they are
    one step of and that step; `zero` those that stand for shifts. `at` are indices other than an axis's own letter;
    `free` the axes of the left side, which sums on the right must not use again.
    """

    names: Names
    inline: Mapping[str, Expr] = field(default_factory=dict)
    inside: Mapping[str, Inside] = field(default_factory=dict)
    zero: frozenset[str] = frozenset()
    at: Mapping[Axis, str] = field(default_factory=dict)
    free: Axes = ()
    matrices: bool = True

    def text(self, expr: Expr) -> str:
        """The expression; with indices for vectors' entries where it cannot be written without."""
        return self.terms(expr)[0]

    def terms(self, expr: Expr) -> tuple[str, tuple[str, ...]]:
        """The expression as one text, and as the terms of a sum, each with its sign."""
        try:
            found = replace(self, matrices=True)
            return found.write(expr)[0], found.summands(expr)
        except NotMatricesError:
            found = replace(self, matrices=False)
            return found.write(expr)[0], found.summands(expr)

    def equation(self, target: Symbol, expr: Expr) -> tuple[str, tuple[str, ...]]:
        """The symbol that is defined, and the terms of what it is; both with the indices of vectors, or both without."""
        try:
            found = replace(self, matrices=True)
            found.write(expr)
            return found.lhs(target), found.summands(expr)
        except NotMatricesError:
            found = replace(self, matrices=False)
            return found.lhs(target), found.summands(expr)

    def summands(self, expr: Expr) -> tuple[str, ...]:
        match self._bare(expr):
            case Binary("+", left, right):
                return (*self.summands(left), *(_signed(term) for term in self.summands(right)))
            case Binary("-", left, right) if not is_zero(self._bare(right)):
                return (*self.summands(left), "-" + self.held(right, BIG))
            case other:
                return (self.write(other)[0],)

    def held(self, expr: Expr | Ready, least: int) -> str:
        """The expression, in parentheses where it holds together less than it must."""
        text, level = self.write(expr)
        return text if level >= least else rf"\left({text}\right)"

    def lhs(self, symbol: Symbol) -> str:
        """A symbol that is defined, with its indices as the right side has them."""
        return self.write(symbol)[0]

    # -- the cases ----------------------------------------------------------------------------------------------------

    def write(self, expr: Expr | Ready) -> Text:
        if isinstance(expr, Ready):
            return expr.tex, ATOM
        expr = self._bare(expr)
        match expr:
            case Symbol():
                return self._symbol(expr)
            case Number(value):
                return number(value), ATOM if value >= 0 else SUM
            case Constant():
                return self._constant(expr)
            case Einsum():
                return self._einsum(expr)
            case Binary("+" | "-"):
                return self._sum(expr)
            case Binary(">", left, right):
                return f"{self.write(left)[0]} > {self.write(right)[0]}", SUM
            case Binary():
                return self._product((expr,), ())
            case Unary():
                return self._unary(expr)
            case Reduce():
                return self._reduce(expr)
            case Take(table, chosen):
                at = {axis: self.text(index) for axis, index in chosen}
                return replace(self, at={**self.at, **at}).write(table)
            case OneHot(index, axis):
                return rf"[{self.write(index)[0]}={self._letter(axis)}]", ATOM
            case SegmentSum(operand, _, source, _, _):
                return rf"\sum_{{{self._limits(source)}}}{self._top(source)} {self.held(operand, BIG)}", BIG
            case Steps(operand, axis, part):
                return self._at(axis, part).write(operand)
            case Relabel(operand) | Broadcast(operand) | InBlocks(operand):
                return self.write(operand)
            case Prepend(_, rest):
                return self.write(rest)
            case Linear():
                return self._linear(expr)
            case Keep(total, count):
                return rf"\frac{{{self.text_of(total)}}}{{{self.text_of(count)}}}", PRODUCT
            case Call(function):
                return self.names.meanings.get(function, rf"\mathrm{{{function}}}".replace("_", r"\_")), BIG
            case Where(condition, yes, no):
                yes_, no_ = self.write(yes)[0], self.write(no)[0]
                when = self.write(condition)[0]
                return rf"\begin{{cases}} {yes_} & {when} \\ {no_} & \text{{else}} \end{{cases}}", ATOM
            case Reliable():
                return "1", ATOM
        assert_never(expr)

    def text_of(self, expr: Expr | Ready) -> str:
        return self.write(expr)[0]

    def _bare(self, expr: Expr) -> Expr:
        variables = frozenset(variable.name for variable in self.names.graph.variables)
        return bare(expr, self.inline, self.zero, variables)

    # -- symbols ------------------------------------------------------------------------------------------------------

    def _symbol(self, symbol: Symbol) -> Text:
        if symbol.name == "jnp.pi":
            return r"\pi", ATOM
        if symbol.name in self.names.meanings and symbol.space == "local":
            return self.names.meanings[symbol.name], BIG
        if symbol.space in ("theta", "chunk"):
            return tex(symbol.name, self.indices(symbol.axes)), ATOM
        whole, step, data = self.inside.get(symbol.name, (symbol.name, "", False))
        index = self.indices(symbol.axes, step)
        if data:
            return tex(whole, index), ATOM
        base = self.names.bases.get(whole, rf"\mathrm{{{whole}}}".replace("_", r"\_"))
        return base + (f"_{{{','.join(index)}}}" if index else ""), ATOM

    def indices(self, axes: Axes, step: str = "") -> list[str]:
        """The indices of an array: members outermost first; `step` is the step where the array is one step of another."""
        shown = [axis for axis in axes if not (self.matrices and axis in self.names.silent)]
        found = [(self._place(axis), self._letter(axis)) for axis in shown]
        if step:
            found.append((1, step))
        return [letter for _, letter in sorted(found, key=lambda pair: pair[0])]

    def _place(self, axis: Axis) -> int:
        return {ROW: 0, STEP: 1}.get(axis.kind, 2)

    def _letter(self, axis: Axis) -> str:
        return self.at.get(axis, self.names.index(axis))

    def _at(self, axis: Axis, part: str) -> Writer:
        letter = self.names.letters[axis]
        moved = {
            "first": "1",
            "last": self.names.size(axis.name),
            "later": letter,
            "earlier": f"{letter}-1",
            "next": f"{letter}+1",
        }
        return replace(self, at={**self.at, axis: moved[part]})

    def _constant(self, expr: Constant) -> Text:
        events = tuple(axis for axis in expr.axes if axis.kind == EVENT)
        if not expr.shape or len(set(expr.flat)) == 1 and len(expr.shape) == 1:
            return number(expr.flat[0]), ATOM if expr.flat[0] >= 0 else SUM
        if len(expr.shape) == 2 and len(events) == 2 and is_identity(expr):
            return "I" if self.matrices else rf"[{'='.join(self.indices(expr.axes))}]", ATOM
        named = self.names.constants.get((expr.shape, expr.flat))
        text = named or array(expr.flat, expr.shape, transposed=bool(events) and self.matrices)
        index = self.indices(expr.axes)
        return (f"{text}_{{{','.join(index)}}}" if index else text), ATOM

    # -- sums and products --------------------------------------------------------------------------------------------

    def _sum(self, expr: Binary) -> Text:
        match expr:
            case Binary("+", Binary("*", chance, Constant((-1.0, 1.0), _, states)), Constant((1.0, 0.0))):
                prob, state = self.held(chance, ATOM), self._letter(states[0])
                return rf"{prob}^{{{state}}} \left(1 - {prob}\right)^{{1-{state}}}", BIG
        if self.matrices and self._shape(expr.left) != self._shape(expr.right):
            raise NotMatricesError
        return "".join(
            term if not place else (f" {term[0]} {term[1:]}" if term[0] in "+-" else f" + {term}")
            for place, term in enumerate(self.summands(expr))
        ), SUM

    def _shape(self, expr: Expr | Ready) -> Axes:
        return tuple(axis for axis in expr.axes if axis in self.names.silent)

    def factors(self, expr: Expr) -> tuple[list[Expr], list[Expr]]:
        """What is multiplied, and what that is divided by."""
        match self._bare(expr):
            case Binary("*", left, right):
                (above, below), (more, less) = self.factors(left), self.factors(right)
                return above + more, below + less
            case Binary("/", left, right):
                (above, below), (more, less) = self.factors(left), self.factors(right)
                return above + less, below + more
            case Number(1.0):
                return [], []
            case other:
                return [other], []

    def _product(self, operands: tuple[Expr, ...], axes: Axes) -> Text:
        above: list[Expr] = []
        below: list[Expr] = []
        for operand in operands:
            more, less = self.factors(operand)
            above, below = above + more, below + less
        numbers = [item for item in above if isinstance(item, Number)]
        sign = "-" if sum(item.value < 0 for item in numbers) % 2 else ""
        halves = [item for item in numbers if abs(item.value) == 0.5]
        plain = [Number(abs(item.value)) for item in numbers if abs(item.value) not in (0.5, 1.0)]
        others = [item for item in above if not isinstance(item, Number)]
        half = r"\tfrac{1}{2} " * len(halves)
        rest, below = self._diagonal(others, below)
        texts = [number(item.value) for item in plain] + self._multiplied(rest, axes)
        if not below and len(rest) == 1 and not (numbers or self._shape(rest[0]) and self.matrices):
            return self.write(rest[0])
        if not below:
            text = " ".join(texts) or "1"
            level = self.write(rest[0])[1] if len(rest) == 1 and not plain and not halves else PRODUCT
            return (
                f"{sign}{half if texts or not half else half.strip()}{text if texts or not half else ''}",
                (SUM if sign else level),
            )
        denominator = " ".join(self._multiplied(below, ()) if len(below) > 1 else [self.text_of(below[0])])
        top = " ".join(texts) if len(texts) != 1 or plain else self.text_of(rest[0])
        return rf"{sign}{half}\frac{{{top or '1'}}}{{{denominator}}}", SUM if sign else PRODUCT

    def _diagonal(self, above: Sequence[Expr], below: list[Expr]) -> tuple[list[Expr | Ready], list[Expr]]:
        """Division by a vector, and multiplication by one, next to an identity matrix: a diagonal matrix."""
        if not self.matrices or not any(self._shape(item) for item in below):
            return [*above], below
        unit = next(
            (item for item in above if isinstance(item, Constant) and len(self._shape(item)) == 2), None
        )
        vectors = [item for item in below if self._shape(item)]
        if unit is None or not is_identity(unit) or len(vectors) > 1 or len(self._shape(vectors[0])) != 1:
            raise NotMatricesError
        diagonal = Ready(rf"\operatorname{{diag}}({self.text_of(vectors[0])})^{{-1}}", unit.axes)
        return [diagonal if item is unit else item for item in above], [
            i for i in below if i is not vectors[0]
        ]

    def _multiplied(self, factors: Sequence[Expr | Ready], axes: Axes) -> list[str]:
        """The factors in order: scalars, then what has entries, then what reaches to the right."""
        scalars = [factor for factor in factors if not (self.matrices and self._shape(factor))]
        entries = [factor for factor in factors if self.matrices and self._shape(factor)]
        scalars.sort(key=lambda factor: self.write(factor)[1] == BIG)
        merged: list[str] = []
        place = 0
        while place < len(scalars):
            count = 1
            while place + count < len(scalars) and scalars[place + count] == scalars[place]:
                count += 1
            last = place + count == len(scalars) and not entries and count == 1
            text = self.held(
                scalars[place], BIG if last and self.write(scalars[place])[1] == BIG else PRODUCT
            )
            if count > 1:
                text = power(self.held(scalars[place], ATOM), count)
            merged.append(text)
            place += count
        return merged + self._matrix_product(entries, axes)

    def _matrix_product(self, entries: list[Expr | Ready], axes: Axes) -> list[str]:
        """A product of vectors and matrices whose indices need not be written."""
        if not entries:
            return []
        wanted = tuple(axis for axis in axes if axis in self.names.silent)
        shapes = [self._shape(entry) for entry in entries]
        if len(entries) == 1 and (not axes or set(shapes[0]) == set(wanted)):
            return [self.held(entries[0], PRODUCT)]
        ordered = sorted(zip(shapes, entries, strict=True), key=lambda pair: len(pair[0]), reverse=True)
        match [shape for shape, _ in ordered]:
            case [(_, column), (other,)] if other == column and len(wanted) == 1:
                return [self.held(entry, PRODUCT) for _, entry in ordered]
            case [(row,), (column,)] if set(wanted) == {row, column}:
                first, second = (
                    (ordered[0][1], ordered[1][1]) if row == wanted[0] else (ordered[1][1], ordered[0][1])
                )
                return [self.held(first, PRODUCT), transposed(self.held(second, ATOM))]
            case [(row,), (column,)] if row == column and not wanted:
                return [transposed(self.held(ordered[0][1], ATOM)), self.held(ordered[1][1], PRODUCT)]
        raise NotMatricesError

    def _einsum(self, expr: Einsum) -> Text:
        picked = _picked(expr)
        if picked is not None:
            rest, state = picked
            return replace(self, at={**self.at, **state}).write(rest)
        over = tuple(
            axis
            for axis in dict.fromkeys(axis for operand in expr.operands for axis in operand.axes)
            if axis not in expr.axes and not (self.matrices and axis in self.names.silent)
        )
        inner = self._renamed(over)
        text, level = inner._product(expr.operands, expr.axes)
        if not over:
            return text, level
        if level == SUM:
            text = rf"\left({text}\right)"
        return rf"{inner.sign(over, _shifted(expr.operands))} {text}", BIG

    def _renamed(self, over: Axes) -> Writer:
        """For the inside of a sum: indices that the left side has already get a prime."""
        clash = {axis: self.names.letters[axis] + "'" for axis in over if axis in self.free}
        return replace(self, at={**self.at, **clash}) if clash else self

    def sign(self, over: Axes, shifted: Axes = ()) -> str:
        r"""The `\sum` over some axes: with limits if it is over the members of one plate, else with the indices below."""
        ordered = sorted(over, key=self._place)
        if len(ordered) == 1 and ordered[0].kind in (ROW, STEP):
            axis = ordered[0]
            if axis.kind == ROW and "," in self.names.index(axis):
                return rf"\sum_{{{self.names.index(axis)}}}"
            start = f"{self.names.letters[axis]}=2" if axis in shifted else self._limits(axis)
            return rf"\sum_{{{start}}}{self._top(axis)}"
        letters = [self._letter(axis) + (r"\ge 2" if axis in shifted else "") for axis in ordered]
        return rf"\sum_{{{','.join(letters)}}}"

    def _limits(self, axis: Axis) -> str:
        return f"{self.names.members((axis.name,))[0]}=1"

    def _top(self, axis: Axis) -> str:
        return f"^{{{self.names.size(axis.name)}}}"

    # -- functions ----------------------------------------------------------------------------------------------------

    def _unary(self, expr: Unary) -> Text:
        if self.matrices and self._shape(expr.operand):
            raise NotMatricesError
        match expr.op:
            case "log" | "log_or_never":
                return rf"\ln {self.held(expr.operand, BIG if _is_fraction(expr.operand) else PRODUCT)}", BIG
            case "exp":
                return self.exponential(expr.operand)
            case "not_negative":  # only rounding makes it so
                return self.write(expr.operand)
            case "neg":
                return f"-{self.held(expr.operand, PRODUCT)}", SUM
            case "sqrt":
                return rf"\sqrt{{{self.text_of(expr.operand)}}}", ATOM
            case "square":
                return power(self.held(expr.operand, ATOM), 2), PRODUCT
            case "gammaln":
                return rf"\ln \Gamma\left({self.text_of(expr.operand)}\right)", BIG
        assert_never(expr.op)

    def exponential(self, expr: Expr) -> Text:
        """exp of a log probability: the probability."""
        match self._bare(expr):
            case Symbol(name) as symbol if name in self.names.meanings and symbol.space == "local":
                return self.names.meanings[name].removeprefix(r"\ln "), PRODUCT
            case Call(function) if function in self.names.meanings:
                return self.names.meanings[function].removeprefix(r"\ln "), PRODUCT
            case Unary("log" | "log_or_never", operand):
                return self.write(operand)
            case Binary("+", left, right):
                return f"{self.exponential(left)[0]} {self.exponential(right)[0]}", PRODUCT
            case Binary("-", left, right):
                return rf"\frac{{{self.exponential(left)[0]}}}{{{self.exponential(right)[0]}}}", PRODUCT
            case other:
                return rf"\exp\left({self.text_of(other)}\right)", PRODUCT

    def _reduce(self, expr: Reduce) -> Text:
        if self.matrices and any(axis in self.names.silent for axis in expr.over):
            raise NotMatricesError
        inner = self._renamed(expr.over)
        sign = inner.sign(tuple(sorted(expr.over)))
        match expr.op:
            case "logsumexp" | "logsumexp_or_never":
                return rf"\ln {sign} {inner.exponential(expr.operand)[0]}", BIG
            case "sum":
                return f"{sign} {inner.held(expr.operand, BIG)}", BIG
            case "mean":
                sizes = r" \cdot ".join(
                    self.names.size(axis.name) if axis.kind in (ROW, STEP) else str(axis.size)
                    for axis in expr.over
                )
                return rf"\frac{{1}}{{{sizes}}} {sign} {inner.held(expr.operand, BIG)}", BIG
            case "max":
                return rf"\max {inner.held(expr.operand, BIG)}", BIG
            case "all" | "hardmax":
                return inner.write(expr.operand)
        assert_never(expr.op)

    def _linear(self, expr: Linear) -> Text:
        if expr.op == "inverse":
            inverse = f"{self.held(expr.operand, ATOM)}^{{-1}}"
            if self.matrices:
                return inverse, ATOM
            rows = [axis for axis in expr.axes if axis in self.names.silent]
            if not rows:
                raise NotMatricesError
            try:
                inside = replace(self, matrices=True).held(expr.operand, ATOM)
            except NotMatricesError:
                inside = self.held(expr.operand, ATOM)
            return rf"\left({inside}^{{-1}}\right)_{{{','.join(self._letter(axis) for axis in rows)}}}", ATOM
        return self.write(expr.operand)


def _picked(expr: Einsum) -> tuple[Einsum, dict[Axis, str]] | None:
    """A sum over states that a vector of one 1 and zeros leaves one state of: the rest, and that state."""
    for place, operand in enumerate(expr.operands):
        if not isinstance(operand, Constant) or len(operand.shape) != 1 or operand.axes[0] in expr.axes:
            continue
        if sorted(operand.flat) == [0.0] * (len(operand.flat) - 1) + [1.0]:
            rest = (*expr.operands[:place], *expr.operands[place + 1 :])
            state = {operand.axes[0]: str(operand.flat.index(1.0))}
            return Einsum(rest, (*expr.axes, *operand.axes)), state
    return None


def _is_fraction(expr: Expr) -> bool:
    return isinstance(expr, Keep) or isinstance(expr, Binary) and expr.op == "/"


def _signed(term: str) -> str:
    return term if term.startswith(("+", "-")) else f"+{term}"


def _shifted(operands: tuple[Expr, ...]) -> Axes:
    return tuple(o.axis for o in operands if isinstance(o, Steps) and o.part in ("later", "earlier"))
