"""Walking through expressions: what is in them, and the same with parts replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from bnlab.errors import InternalError
from bnlab.naming import lagged_name
from bnlab.program.ops import Axis, Expr, Steps, Symbol, Take

Tree = TypeVar("Tree")


def symbols(tree: object) -> list[Symbol]:
    """All symbols in an expression, statement or function, in the order they stand."""
    if isinstance(tree, Symbol):
        return [tree]
    if isinstance(tree, tuple):
        return [symbol for part in tree for symbol in symbols(part)]
    if isinstance(tree, Axis) or isinstance(tree, type) or not is_dataclass(tree):
        return []
    return [symbol for field in fields(tree) for symbol in symbols(getattr(tree, field.name))]


def parts(tree: object) -> Iterator[object]:
    """An expression, statement or function and all that is in it."""
    yield tree
    if isinstance(tree, tuple):
        for part in tree:
            yield from parts(part)
    elif is_dataclass(tree) and not isinstance(tree, Axis | type):
        for field in fields(tree):
            yield from parts(getattr(tree, field.name))


def rename(tree: Tree, mapping: Mapping[Symbol, Symbol]) -> Tree:
    """The same with symbols replaced."""
    return transform(tree, lambda part: mapping.get(part, part) if isinstance(part, Symbol) else part)


def transform(tree: Tree, change: Callable[[object], object]) -> Tree:
    """The same with `change` applied to every part, the innermost first."""
    if isinstance(tree, tuple):
        return tuple(transform(part, change) for part in tree)  # type: ignore[return-value]
    if isinstance(tree, Axis) or isinstance(tree, type) or not is_dataclass(tree):
        return tree
    changes = {field.name: transform(getattr(tree, field.name), change) for field in fields(tree)}
    return change(replace(tree, **changes))  # type: ignore[return-value, type-var]


def reindexed(tree: Tree, mapping: Mapping[Axis, Axis]) -> Tree:
    """The same expression with other axes."""
    if isinstance(tree, Axis):
        return mapping.get(tree, tree)  # type: ignore[return-value]
    if isinstance(tree, tuple):
        return tuple(reindexed(part, mapping) for part in tree)  # type: ignore[return-value]
    if isinstance(tree, Mapping):
        return {name: reindexed(part, mapping) for name, part in tree.items()}  # type: ignore[return-value]
    if isinstance(tree, type) or not is_dataclass(tree):
        return tree
    changes = {slot.name: reindexed(getattr(tree, slot.name), mapping) for slot in fields(tree)}
    return replace(tree, **changes)  # type: ignore[type-var]


def read_name(read: Expr) -> str:
    """What data that are read, perhaps at earlier steps (`x_prev`, `x_prev2`), are called where they are taken in."""
    match read:
        case Symbol(name):
            return name
        case Steps(operand, _, "range", _, end):
            return lagged_name(read_name(operand), end)
        case Steps(operand):
            return read_name(operand)
        case Take(table):
            return read_name(table)
        case _:
            raise InternalError(f"{type(read).__name__} is no reading of data.")


def readings(tree: object) -> list[Expr]:
    """All data that an expression reads: a field, or its rows or steps picked out by data."""
    if _is_reading(tree):
        return [tree]  # type: ignore[list-item]
    if isinstance(tree, tuple):
        return [found for part in tree for found in readings(part)]
    if isinstance(tree, Axis) or isinstance(tree, type) or not is_dataclass(tree):
        return []
    return [found for field in fields(tree) for found in readings(getattr(tree, field.name))]


def reread(tree: Tree, names: Mapping[Expr, Symbol]) -> Tree:
    """The same with data under other names. Axes that a reader has renamed keep their new names."""
    if _is_reading(tree):
        return names[tree]  # type: ignore[index, return-value]
    if isinstance(tree, tuple):
        return tuple(reread(part, names) for part in tree)  # type: ignore[return-value]
    if isinstance(tree, Axis) or isinstance(tree, type) or not is_dataclass(tree):
        return tree
    changes = {slot.name: reread(getattr(tree, slot.name), names) for slot in fields(tree)}
    return replace(tree, **changes)  # type: ignore[type-var]


def _is_reading(tree: object) -> bool:
    match tree:
        case Symbol(_, _, "chunk"):
            return True
        case Steps(operand):
            return _is_reading(operand)
        case Take(table, indices):
            return _is_reading(table) and all(_is_reading(index) for _, index in indices)
        case _:
            return False
