"""Expressions as algebra in plain text, with an index letter an axis: `q_z[n,k] = exp(log_p_xz[n,k] - log_p_x[n])`."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_lowercase
from typing import assert_never

from bnlab.errors import InternalError
from bnlab.program.ops import (
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

SUM, PRODUCT, ATOM = range(3)
"""How tightly a text holds together: as a sum, a product, or by itself."""

Letters = Mapping[Axis, str]
"""Axes whose index is not their own letter: `t-1`, `x[n]`."""

WORDS = {
    "log_or_never": "log",
    "log_if_reliable": "log",
    "gammaln": "log Gamma",
    "inverse_digamma": "digamma^-1",
}
SHIFTS = {"later": "", "earlier": "-1", "opening": "", "next": "+1"}


def index_place(axis: Axis) -> int:
    """Where an index stands: members of plates outermost first."""
    return {ROW: 0, STEP: 1}.get(axis.kind, 2)


def indices(axes: Axes, letters: Letters | None = None) -> str:
    """`[s,t,k]`: the members of plates outermost first, then all else as the array has it."""
    own = letters or {}
    found = ",".join(own.get(axis, axis.letter) for axis in sorted(axes, key=index_place))
    return f"[{found}]" if found else ""


def plain(expr: Expr) -> str:
    """The expression on one line."""
    return _text(expr, {})[0]


def _text(expr: Expr, at: Letters) -> tuple[str, int]:
    match expr:
        case Symbol(name, axes):
            return name + indices(axes, at), ATOM
        case Number(value):
            return _number(value), SUM if value < 0 else ATOM
        case Constant():
            return _constant(expr) + indices(expr.axes, at), ATOM
        case Einsum(operands, axes):
            only = {o.axis for o in operands if isinstance(o, Steps) and o.only}
            summed = (axis for o in operands for axis in o.axes if axis not in axes and axis not in only)
            over = tuple(dict.fromkeys(summed))
            inside = _bound(over, axes, at)
            return _summed("sum", over, _product(operands, inside), _shifted(operands), inside), PRODUCT
        case Binary(op, left, right):
            return _binary(op, left, right, at)
        case Unary("not_negative" | "held", operand):
            return _text(operand, at)
        case Unary("seen", operand):
            return f"({_text(operand, at)[0]} is seen)", ATOM
        case Unary("square", operand):
            return f"{_held(operand, at, ATOM)}^2", ATOM
        case Unary("log1p", operand):
            return f"log(1 + {_text(operand, at)[0]})", ATOM
        case Unary(op, operand):
            return f"{WORDS.get(op, op)}({_text(operand, at)[0]})", ATOM
        case Reduce("logsumexp" | "logsumexp_or_never", operand, over):
            return f"log {_summed('sum', over, f'exp({_text(operand, at)[0]})')}", PRODUCT
        case Reduce(op, operand, over):
            return _summed(op, over, _held(operand, at, PRODUCT)), PRODUCT
        case Take(table, chosen):
            return _text(table, {**at, **{axis: _text(index, at)[0] for axis, index in chosen}})
        case Where(condition, yes, no):
            return f"({_text(yes, at)[0]} where {_text(condition, at)[0]} else {_text(no, at)[0]})", ATOM
        case OneHot(index, axis):
            return f"({_text(index, at)[0]} == {at.get(axis, axis.letter)})", ATOM
        case SegmentSum(operand, _, source, target):
            return f"sum_{{{source.letter} in {target.letter}}} {_held(operand, at, PRODUCT)}", PRODUCT
        case Steps(operand, axis, "first" | "last" as part):
            return _text(operand, {**at, axis: "1" if part == "first" else axis.letter.upper()})
        case Steps(operand, axis, "range", start, end, only):
            lag = f"-{end}" if end else ""
            return _text(operand, {**at, axis: str(start + 1) if only else axis.letter + lag})
        case Steps(operand, axis, part):
            return _text(operand, {**at, axis: axis.letter + SHIFTS[part]})
        case Joined(parts, axis):
            texts = (_text(part, at)[0] for part in parts)
            return f"({', then '.join(texts)} along {axis.letter})", ATOM
        case Blocks(blocks):
            lines = (", ".join(_text(block, at)[0] for block in line) for line in blocks)
            return f"[{'; '.join(lines)}]", ATOM
        case Solve(matrix, vector):
            return f"{_held(matrix, at, ATOM)}^-1 {_held(vector, at, ATOM)}", PRODUCT
        case Part(operand, start, stop, _, behind):
            where = str(start + 1) if stop == start + 1 else f"{start + 1}..{stop}"
            return _text(operand, {**at, operand.axes[-1 - behind]: where})
        case Count(_, axis):
            return at.get(axis, axis.letter), ATOM
        case Relabel(operand, axes):
            renamed = zip(operand.axes, axes, strict=True)
            return _text(operand, {**at, **{old: at.get(new, new.letter) for old, new in renamed}})
        case Prepend(first, rest, axis):
            return f"({_text(first, at)[0]} at {axis.letter}=1, then {_text(rest, at)[0]})", ATOM
        case Broadcast(operand):
            return _text(operand, at)
        case Identity():
            return "I", ATOM
        case JointBasis(covariance, precision):
            return f"joint_basis({_text(covariance, at)[0]}, {_text(precision, at)[0]})", ATOM
        case Linear("symmetric", operand):
            return _text(operand, at)
        case Linear(op, operand):
            return _linear(op, _held(operand, at, ATOM))
        case Riccati():
            raise InternalError("A recursion is told step by step.")
        case Keep(total, count, _):
            return f"{_held(total, at, PRODUCT)} / {_held(count, at, ATOM)}", PRODUCT
        case Reliable(c, beta):
            return f"reliable({_text(c, at)[0]}, {_text(beta, at)[0]})", ATOM
        case Call(function, _, axes):
            return function + indices(axes, at), ATOM
        case InBlocks(call):
            return _text(call, at)
    assert_never(expr)


def _held(expr: Expr, at: Letters, least: int) -> str:
    """The text, in parentheses where it holds together less than it must."""
    text, level = _text(expr, at)
    return text if level >= least else f"({text})"


def _binary(op: str, left: Expr, right: Expr, at: Letters) -> tuple[str, int]:
    match op:
        case "+" | "-" | ">" | ">=" | "<" | "==":
            second = _held(right, at, PRODUCT if op != "+" else SUM)
            return f"{_text(left, at)[0]} {op} {second}", SUM
        case "*":
            return _product((left, right), at), PRODUCT
        case _:
            return f"{_held(left, at, PRODUCT)} / {_held(right, at, ATOM)}", PRODUCT


def _product(factors: tuple[Expr, ...], at: Letters) -> str:
    texts = (_held(factor, at, PRODUCT) for factor in factors)
    return " ".join(
        f"({text})" if isinstance(factor, Binary) and factor.op == "/" else text
        for factor, text in zip(factors, texts, strict=True)
    )


def _summed(word: str, over: Axes, text: str, shifted: Axes = (), at: Letters | None = None) -> str:
    """The sum over some axes; over those in `shifted` it begins at the second step."""
    if not over:
        return text
    own = {axis: at.get(axis, axis.letter) for axis in over} if at else {}
    own.update({axis: f"{own.get(axis, axis.letter)}>=2" for axis in shifted})
    letters = indices(over, own)[1:-1]
    return f"{word}_{letters} {text}" if len(letters) == 1 else f"{word}_{{{letters}}} {text}"


def _bound(over: Axes, free: Axes, at: Letters) -> Letters:
    """The letters within a sum: those that are summed over are called otherwise than what stays, there and in sums inside."""
    found = {axis: at.get(axis, axis.letter) for axis in (*at, *free) if axis not in over}
    used = {*at.values(), *(at.get(axis, axis.letter) for axis in free)}
    for axis in over:
        letter = axis.letter
        if letter in used:
            taken = used | {other.letter for other in over}
            letter = next(spare for spare in ascii_lowercase if spare not in taken)
        found[axis] = letter
        used.add(letter)
    return found


def _shifted(operands: tuple[Expr, ...]) -> Axes:
    """The steps of which an operand leaves out the first or the last."""
    return tuple(
        o.axis
        for o in operands
        if isinstance(o, Steps) and (o.part in ("later", "earlier") or o.start + o.end)
    )


def _linear(op: str, operand: str) -> tuple[str, int]:
    match op:
        case "inverse" | "inverse_lower":
            return f"{operand}^-1", ATOM
        case "log_diagonal_sum":
            return f"sum log diag {operand}", PRODUCT
        case "log_det":
            return f"log |{operand}|", PRODUCT
        case "diagonal":
            return f"diag {operand}", PRODUCT
        case _:
            return f"{op}({operand})", ATOM


def _constant(expr: Constant) -> str:
    if not expr.shape:
        return _number(expr.flat[0])
    if len(expr.shape) == 1 and len(expr.flat) <= 4:
        return f"({', '.join(_number(value) for value in expr.flat)})"
    return f"constant({', '.join(map(str, expr.shape))})"


def _number(value: float) -> str:
    return f"{value:.6g}"
