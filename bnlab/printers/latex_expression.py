"""Expressions of the Program in TeX.

What only serves the machine is left out: weights and masks (padding), shifts that guard against underflow. A sum over
steps that a mask cuts off is a sum to T; `ln` of a sum of `exp` is written with probabilities; a matrix product is
written without indices where all of an equation can be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from bnlab.errors import InternalError
from bnlab.notation import tex
from bnlab.printers.latex_bare import bare, is_zero
from bnlab.printers.latex_names import Names
from bnlab.printers.latex_products import ATOM, BIG, PRODUCT, SUM, NotMatricesError, Ready, Text, product
from bnlab.printers.latex_sums import alone, limited, picked, starts_of, sum_sign
from bnlab.printers.latex_text import array, number, power
from bnlab.program.ops import (
    EVENT,
    ROW,
    STEP,
    Axes,
    Axis,
    Binary,
    Blocks,
    Broadcast,
    Call,
    Constant,
    Count,
    Einsum,
    Expr,
    Identity,
    InBlocks,
    Joined,
    JointBasis,
    Keep,
    Linear,
    Number,
    OneHot,
    Part,
    Prepend,
    Reduce,
    Relabel,
    Reliable,
    Riccati,
    SegmentSum,
    Solve,
    Steps,
    Symbol,
    Take,
    Unary,
    Where,
)
from bnlab.program.plain import index_place

Inside = tuple[str, str, bool]
"""The array that a recursion reads one step of, the step, and whether it is a variable of the network."""


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
        match self.bare(expr):
            case Binary("+", left, right):
                return (*self.summands(left), *(_signed(term) for term in self.summands(right)))
            case Binary("-", left, right) if not is_zero(self.bare(right)):
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
        expr = self.bare(expr)
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
            case Binary("==", Symbol(name), Number(value)) if name in self.inside:
                return self._at_step(self.inside[name], int(value)), SUM
            case Binary(">" | ">=" | "<" | "==" as op, left, right):
                sign = {">=": r"\ge"}.get(op, op)
                return f"{self.write(left)[0]} {sign} {self.write(right)[0]}", SUM
            case Binary():
                return product(self, (expr,), ())
            case Unary():
                return self._unary(expr)
            case Reduce():
                return self._reduce(expr)
            case Take(table, chosen):
                at = {axis: self.text(index) for axis, index in chosen}
                return replace(self, at={**self.at, **at}).write(table)
            case OneHot(Number(value), axis):
                return rf"[{self._letter(axis)}={number(value)}]", ATOM
            case OneHot(index, axis):
                return rf"[{self.write(index)[0]}={self._letter(axis)}]", ATOM
            case SegmentSum(operand, _, source, _, _):
                return f"{limited(self.names, source, '1')} {self.held(operand, BIG)}", BIG
            case Steps(operand, axis, "range", start, end, only):
                letter = self.names.letters[axis]
                lag = f"{letter}-{end}" if end else letter
                at = {axis: str(start + 1) if only else lag}
                return replace(self, at={**self.at, **at}).write(operand)
            case Steps(operand, axis, part):
                return self._at(axis, part).write(operand)
            case Joined(parts, axis):
                return self._joined(parts, axis)
            case Blocks(blocks):
                rows = (" & ".join(self.text_of(block) for block in line) for line in blocks)
                lines = [r" \\ ".join(rows)] if expr.columns else [r" \\ ".join(map(self.text_of, blocks[0]))]
                return rf"\begin{{pmatrix}} {lines[0]} \end{{pmatrix}}", ATOM
            case Solve(matrix, vector):
                held = self.held(matrix, ATOM)
                held = rf"\left({held}\right)" if "^" in held else held
                return f"{held}^{{-1}} {self.held(vector, ATOM)}", PRODUCT
            case Part(operand, start, stop):
                where = str(start + 1) if stop == start + 1 else rf"{start + 1} \dots {stop}"
                return rf"{self.held(operand, ATOM)}\left[{where}\right]", ATOM
            case Count(_, axis):
                return self._letter(axis), ATOM
            case Relabel(operand) | Broadcast(operand) | InBlocks(operand):
                return self.write(operand)
            case Prepend(_, rest):
                return self.write(rest)
            case Identity():
                return "I", ATOM
            case JointBasis(covariance, precision):
                return rf"T({self.write(covariance)[0]}, {self.write(precision)[0]})", ATOM
            case Linear():
                return self._linear(expr)
            case Keep(total, count):
                return rf"\frac{{{self.text_of(total)}}}{{{self.text_of(count)}}}", PRODUCT
            case Call(function):
                return self.names.meanings.get(function, rf"\mathrm{{{function}}}".replace("_", r"\_")), BIG
            case Where(condition, yes, no):
                cases = r" \\ ".join(self._cases(condition, yes, no))
                return rf"\begin{{cases}} {cases} \end{{cases}}", ATOM
            case Reliable():
                return "1", ATOM
            case Riccati():
                raise InternalError("A recursion is told step by step.")
        assert_never(expr)

    def _joined(self, parts: tuple[Expr, ...], axis: Axis) -> Text:
        """The first steps, each by itself, then all later ones."""
        letter = self.names.letters[axis]
        rows = [
            rf"{replace(self, at={**self.at, axis: str(step + 1)}).text_of(part)} & {letter} = {step + 1}"
            for step, part in enumerate(parts[:-1])
        ]
        rows.append(rf"{self.text_of(parts[-1])} & {letter} > {len(parts) - 1}")
        return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}", ATOM

    def text_of(self, expr: Expr | Ready) -> str:
        return self.write(expr)[0]

    def bare(self, expr: Expr) -> Expr:
        """The expression without what only serves the machine."""
        variables = frozenset(variable.name for variable in self.names.graph.variables)
        return bare(expr, self.inline, self.zero, variables)

    # -- symbols ------------------------------------------------------------------------------------------------------

    def _symbol(self, symbol: Symbol) -> Text:
        if symbol.space == "constant":
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
        found = [(index_place(axis), self._letter(axis)) for axis in shown]
        if step:
            found.append((1, step))
        return [letter for _, letter in sorted(found, key=lambda pair: pair[0])]

    def _letter(self, axis: Axis) -> str:
        return self.at.get(axis, self.names.index(axis))

    def _at(self, axis: Axis, part: str) -> Writer:
        letter = self.names.letters[axis]
        moved = {
            "first": "1",
            "last": self.names.size(axis.name),
            "later": self.at.get(axis, letter),
            "opening": self.at.get(axis, letter),
            "earlier": f"{letter}-1",
            "next": f"{letter}+1",
        }
        return replace(self, at={**self.at, axis: moved[part]})

    def _cases(self, condition: Expr, yes: Expr, no: Expr) -> Iterator[str]:
        """One row a case; what is else again a choice adds its rows."""
        yield rf"{self.write(yes)[0]} & \text{{if }} {self.write(condition)[0]}"
        other = self.bare(no)
        if isinstance(other, Where):
            yield from self._cases(other.condition, other.yes, other.no)
        else:
            yield rf"{self.write(other)[0]} & \text{{else}}"

    def _at_step(self, counted: Inside, value: int) -> str:
        """Which step it is where a number that counts steps from 0 has a value; the number may be that of the step before."""
        letter, step, _ = counted
        return f"{letter}={value + 1 + (step == f'{letter}-1')}"

    def _constant(self, expr: Constant) -> Text:
        events = tuple(axis for axis in expr.axes if axis.kind == EVENT)
        if not expr.shape or len(set(expr.flat)) == 1 and len(expr.shape) == 1:
            return number(expr.flat[0]), ATOM if expr.flat[0] >= 0 else SUM
        if not events and expr.is_identity:
            return f"[{'='.join(self.indices(expr.axes))}]", ATOM
        if len(events) == 2 and expr.is_identity:
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
        if self.matrices and self.shape(expr.left) != self.shape(expr.right):
            raise NotMatricesError
        return "".join(
            term if not place else (f" {term[0]} {term[1:]}" if term[0] in "+-" else f" + {term}")
            for place, term in enumerate(self.summands(expr))
        ), SUM

    def shape(self, expr: Expr | Ready) -> Axes:
        """The axes that are written without indices."""
        return tuple(axis for axis in expr.axes if axis in self.names.silent)

    def _einsum(self, expr: Einsum) -> Text:
        found = picked(expr)
        if found is not None:
            rest, state = found
            return replace(self, at={**self.at, **state}).write(rest)
        only = {o.axis: str(o.start + 1) for o in expr.operands if isinstance(o, Steps) and o.only}
        if only and not only.keys() <= self.at.keys():
            return replace(self, at={**self.at, **only})._einsum(expr)
        over = tuple(
            axis
            for axis in dict.fromkeys(axis for operand in expr.operands for axis in operand.axes)
            if axis not in (*expr.axes, *only) and not (self.matrices and axis in self.names.silent)
        )
        starts, single = starts_of(expr.operands, self.names.later), alone(expr.operands)
        over = tuple(axis for axis in over if axis not in single)
        inner = self._renamed(over)
        inner = replace(inner, at={**inner.at, **{axis: str(starts[axis]) for axis in single}})
        text, level = product(inner, expr.operands, expr.axes)
        if not over:
            return text, level
        if level == SUM:
            text = rf"\left({text}\right)"
        return rf"{inner.sign(over, starts)} {text}", BIG

    def _renamed(self, over: Axes) -> Writer:
        """For the inside of a sum: indices that the left side has already get a prime."""
        clash = {axis: self.names.letters[axis] + "'" for axis in over if axis in self.free}
        return replace(self, at={**self.at, **clash}) if clash else self

    def sign(self, over: Axes, shifted: Mapping[Axis, int] | None = None, of_all: bool = False) -> str:
        r"""The `\sum` over some axes; over those in `shifted` it begins at a later step, `of_all` sequences together."""
        return sum_sign(self.names, {axis: self._letter(axis) for axis in over}, shifted, of_all)

    # -- functions ----------------------------------------------------------------------------------------------------

    def _unary(self, expr: Unary) -> Text:
        if self.matrices and self.shape(expr.operand):
            raise NotMatricesError
        match expr.op:
            case "log" | "log_or_never" | "log_if_reliable":
                return rf"\ln {self.held(expr.operand, BIG if _is_fraction(expr.operand) else PRODUCT)}", BIG
            case "log1p":
                return rf"\ln \left(1 + {self.text_of(expr.operand)}\right)", BIG
            case "exp":
                return self.exponential(expr.operand)
            case "not_negative" | "held":  # only rounding makes it so; only gradients see it
                return self.write(expr.operand)
            case "seen":
                return rf"\left[{self.text_of(expr.operand)} \text{{ seen}}\right]", ATOM
            case "sqrt":
                return rf"\sqrt{{{self.text_of(expr.operand)}}}", ATOM
            case "square":
                return power(self.held(expr.operand, ATOM), 2), PRODUCT
            case "gammaln":
                return rf"\ln \Gamma\left({self.text_of(expr.operand)}\right)", BIG
            case "digamma":
                return rf"\psi\left({self.text_of(expr.operand)}\right)", BIG
            case "inverse_digamma":
                return rf"\psi^{{-1}}\left({self.text_of(expr.operand)}\right)", BIG
            case "gamma_shape":
                return rf"h^{{-1}}\left({self.text_of(expr.operand)}\right)", BIG
        assert_never(expr.op)

    def exponential(self, expr: Expr) -> Text:
        """exp of a log probability: the probability."""
        match self.bare(expr):
            case Symbol(name) as symbol if name in self.names.meanings and symbol.space == "local":
                return self.names.meanings[name].removeprefix(r"\ln "), PRODUCT
            case Call(function) if function in self.names.meanings:
                return self.names.meanings[function].removeprefix(r"\ln "), PRODUCT
            case Unary("log" | "log_or_never" | "log_if_reliable", operand):
                return self.write(operand)
            case Binary("+", left, right):
                return f"{self.exponential(left)[0]} {self.exponential(right)[0]}", PRODUCT
            case Binary("-", left, right) as difference:
                above, below = self.exponential(left)[0], self.exponential(right)[0]
                if above.startswith(r"\exp") and below.startswith(r"\exp"):
                    return rf"\exp\left({self.text_of(difference)}\right)", PRODUCT
                return rf"\frac{{{above}}}{{{below}}}", PRODUCT
            case other:
                return rf"\exp\left({self.text_of(other)}\right)", PRODUCT

    def _reduce(self, expr: Reduce) -> Text:
        if self.matrices and any(axis in self.names.silent for axis in expr.over):
            raise NotMatricesError
        inner = self._renamed(expr.over)
        sign = inner.sign(tuple(sorted(expr.over)))
        inner = replace(inner, free=(*inner.free, *expr.over))
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
            case "hardmax":
                return inner.write(expr.operand)
        assert_never(expr.op)

    def _linear(self, expr: Linear) -> Text:
        if expr.op == "inverse":
            held = self.held(expr.operand, ATOM)
            inverse = rf"\left({held}\right)^{{-1}}" if _raised(held) else f"{held}^{{-1}}"
            if self.matrices:
                return inverse, ATOM
            rows = [axis for axis in expr.axes if axis in self.names.silent]
            if not rows:
                raise NotMatricesError
            try:
                inside = replace(self, matrices=True).held(expr.operand, ATOM)
            except NotMatricesError:
                inside = self.held(expr.operand, ATOM)
            inside = rf"\left({inside}\right)" if _raised(inside) else inside
            return rf"\left({inside}^{{-1}}\right)_{{{','.join(self._letter(axis) for axis in rows)}}}", ATOM
        if expr.op == "log_det":
            try:
                inside = replace(self, matrices=True).write(expr.operand)[0]
            except NotMatricesError:
                inside = self.write(expr.operand)[0]
            return rf"\ln \left|{inside}\right|", BIG
        return self.write(expr.operand)


def _raised(text: str) -> bool:
    """Whether a symbol has a superscript already."""
    return re.fullmatch(r"(\\[A-Za-z]+|[A-Za-z]|\{[^{}]*\}|\\hat\{[^{}]*\})\^.*", text) is not None


def _is_fraction(expr: Expr) -> bool:
    return isinstance(expr, Keep) or isinstance(expr, Binary) and expr.op == "/"


def _signed(term: str) -> str:
    return term if term.startswith(("+", "-")) else f"+{term}"
