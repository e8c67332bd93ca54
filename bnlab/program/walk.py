"""Walking through expressions: what is in them, and the same with parts replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from bnlab.program.ops import Axis, Symbol

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
