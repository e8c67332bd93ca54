"""What the user writes inside a conditional distribution: names, subscripts, sums and products, as trees.

Nothing is judged here. `resolve.py` turns a tree into the canonical records, or says why it cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bnlab.domains import Values
from bnlab.errors import Fault, Location, ModelError
from bnlab.naming import quoted
from bnlab.network.source import here


class Expression:
    """The base of all trees: it only has the operators."""

    __slots__ = ()
    __array_ufunc__: ClassVar[None] = None  # so that `array @ y` comes to y.__rmatmul__
    __iter__: ClassVar[None] = None  # __getitem__ would otherwise make it an endless sequence

    def __bool__(self) -> bool:
        reason = "What is being declared is not known yet, so it is neither true nor false."
        raise ModelError(Fault(reason, "Let a categorical variable select instead: mu[z].", here()))

    def __getitem__(self, subscripts: object) -> Expression:
        return Subscripted(self, subscripts if isinstance(subscripts, tuple) else (subscripts,), here())

    def __add__(self, other: object) -> Expression:
        return Operation("+", (self, tree(other)), here())

    def __radd__(self, other: object) -> Expression:
        return Operation("+", (tree(other), self), here())

    def __sub__(self, other: object) -> Expression:
        return Operation("-", (self, tree(other)), here())

    def __rsub__(self, other: object) -> Expression:
        return Operation("-", (tree(other), self), here())

    def __mul__(self, other: object) -> Expression:
        return Operation("*", (self, tree(other)), here())

    def __rmul__(self, other: object) -> Expression:
        return Operation("*", (tree(other), self), here())

    def __matmul__(self, other: object) -> Expression:
        return Operation("@", (self, tree(other)), here())

    def __rmatmul__(self, other: object) -> Expression:
        return Operation("@", (tree(other), self), here())

    def __truediv__(self, other: object) -> Expression:
        return Operation("/", (self, tree(other)), here())

    def __rtruediv__(self, other: object) -> Expression:
        return Operation("/", (tree(other), self), here())

    def __pow__(self, other: object) -> Expression:
        return Operation("**", (self, tree(other)), here())

    def __neg__(self) -> Expression:
        return Operation("neg", (self,), here())

    def __pos__(self) -> Expression:
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Symbol(Expression):
    """A declared parameter or variable. `owner` is the draft of the network that it was declared in."""

    name: str
    owner: object


@dataclass(frozen=True, slots=True, eq=False)
class Previous(Expression):
    """The variable called `name`, `lag` steps earlier; looked up when the network closes."""

    name: object
    lag: object
    location: Location | None


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Expression):
    """Numbers that are known."""

    values: Values
    location: Location | None


@dataclass(frozen=True, slots=True, eq=False)
class Subscripted(Expression):
    """`base[subscripts]`."""

    base: Expression
    subscripts: tuple[object, ...]
    location: Location | None


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Expression):
    """`operator` is +, -, *, @, /, ** or neg."""

    operator: str
    operands: tuple[Expression, ...]
    location: Location | None


@dataclass(frozen=True, slots=True, eq=False)
class Foreign(Expression):
    """Something that is neither a tree nor numbers; `shown` is what it looks like."""

    shown: str
    location: Location | None


def tree(value: object) -> Expression:
    """The tree of anything the user may write: numbers, lists and arrays are copied into constants."""
    if isinstance(value, Expression):
        return value
    values = numbers(value)
    return Foreign(shown(value), here()) if values is None else Constant(values, here())


def numbers(value: object) -> Values | None:
    """The values of a number, a (nested) list or an array; None for anything else, such as text or objects."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return Values.of(array) if array.dtype.kind in "biuf" else None


def shown(value: object) -> str:
    """A short account of an object for an error message, on one line."""
    match value:
        case str():
            return quoted(value)
        case Symbol(name, _):
            return quoted(name)
        case bool() | int() | float() | None:
            return repr(value)[:64]
        case Expression():
            return "an expression"
        case _:
            return f"a {type(value).__name__}"


def previous(name: str, lag: int = 1) -> Expression:
    """The variable called `name`, `lag` steps earlier along its chain."""
    return Previous(name, lag, here())


def constant(array: object) -> Expression:
    """Known numbers; their leading axes may be subscripted like a parameter's plates."""
    return tree(array)


def zeros(*shape: int) -> Expression:
    """The constant 0 in the given shape."""
    return Constant(Values.of(np.zeros(shape)), here())


def eye(dim: int) -> Expression:
    """The identity matrix of `dim` rows."""
    return Constant(Values.of(np.eye(dim)), here())
