"""Expressions of the emitted NumPyro model, and what combines them: numbers, products, sums."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Values
from bnlab.errors import InternalError


@dataclass(frozen=True, slots=True)
class Code:
    """An expression. Its array has `rank` event axes, and plates (or enumerated states) before them if `batched`.

    `text` binds tighter than any operator, unless it is a sum made by `add`.
    """

    text: str
    rank: int
    batched: bool = False


def constant(values: Values) -> Code:
    """The numbers of a constant, as short as they can be written without losing a bit."""
    return Code(_array(values.array), len(values.shape))


def number(value: float) -> str:
    if math.isnan(value):
        return "jnp.nan"
    if math.isinf(value):
        return "jnp.inf" if value > 0 else "(-jnp.inf)"
    return repr(value) if value >= 0 else f"({value!r})"


def _array(array: NDArray[np.float64]) -> str:
    shape = array.shape
    if not shape:
        return number(float(array))
    if len(shape) == 2 and shape[0] == shape[1] and np.array_equal(array, np.eye(shape[0])):
        return f"jnp.eye({shape[0]})"
    size = repr(shape[0]) if len(shape) == 1 else repr(shape)
    if array.size and (array == array.flat[0]).all():
        value = float(array.flat[0])
        name = {0.0: f"jnp.zeros({size})", 1.0: f"jnp.ones({size})"}
        return name.get(value, f"jnp.full({size}, {number(value)})")
    return f"jnp.array({_nested(array.tolist())})"


def _nested(numbers: float | list[float]) -> str:
    if isinstance(numbers, list):
        return f"[{', '.join(_nested(item) for item in numbers)}]"
    return number(numbers).strip("()")


def lift(code: Code, rank: int) -> Code:
    """The same array, broadcasting against arrays of `rank` event axes. A scalar without plates does so by itself."""
    if code.rank >= rank or not (code.batched or code.rank):
        return code
    return replace(code, text=f"{code.text}[{', '.join(['...', *['None'] * (rank - code.rank)])}]", rank=rank)


def scale(left: Code, right: Code) -> Code:
    """left * right, elementwise; a scalar broadcasts."""
    rank = max(left.rank, right.rank)
    return Code(f"{lift(left, rank).text} * {lift(right, rank).text}", rank, left.batched or right.batched)


def matmul(left: Code, right: Code) -> Code:
    """left @ right for every member of the plates at once."""
    functions = {(1, 1): "jnp.vecdot", (2, 1): "jnp.matvec", (1, 2): "jnp.vecmat"}
    function = functions.get((left.rank, right.rank))
    if function is None:
        raise InternalError(f"A mean multiplies arrays of {left.rank} and {right.rank} axes.")
    batched = left.batched or right.batched
    if not batched:
        return Code(f"({left.text} @ {right.text})", left.rank + right.rank - 2)
    return Code(f"{function}({left.text}, {right.text})", left.rank + right.rank - 2, True)


def add(terms: tuple[tuple[int, Code], ...]) -> Code:
    """The sum of signed terms."""
    if len(terms) == 1 and terms[0][0] > 0:
        return terms[0][1]
    rank = max(term.rank for _, term in terms)
    text = "".join(f"{' + ' if sign > 0 else ' - '}{lift(term, rank).text}" for sign, term in terms)
    text = text.replace(" - ", "-", 1) if text.startswith(" - ") else text.removeprefix(" + ")
    return Code(f"({text})", rank, any(term.batched for _, term in terms))


def where(condition: str, one: Code, other: Code) -> Code:
    """`one` where the condition (a scalar) holds."""
    if one.text == other.text:
        return other
    rank = max(one.rank, other.rank)
    text = f"jnp.where({condition}, {bare(lift(one, rank))}, {bare(lift(other, rank))})"
    return Code(text, rank, one.batched or other.batched)


def bare(code: Code) -> str:
    """The text without parentheses round the whole of it: for an argument of a call."""
    text = code.text
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[1:-1] if position == len(text) - 1 else text
    return text
