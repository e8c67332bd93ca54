"""A small tree of Python source: expressions are the standard library's `ast`, statements carry their
comments.

`render` lays a module out and formats it; nothing here knows what the code means.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from bnlab.naming import fresh

LINE = 110
ROOM = LINE - 8 - 3
"""What a line of a function inside a function holds, with its comment behind it."""


@dataclass(frozen=True, slots=True)
class Assign:
    """target = value, with a comment behind it."""

    target: ast.expr
    value: ast.expr
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Return:
    """return value"""

    value: ast.expr


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Lines of Python as they stand: helpers that are the same in every file but for some names, and lines made elsewhere."""

    text: str


@dataclass(frozen=True, slots=True)
class Define:
    """A function; `arguments` are written as in a signature."""

    name: str
    arguments: tuple[str, ...]
    body: tuple[Statement, ...]
    doc: str = ""
    returns: str = ""
    decorator: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A NamedTuple: fields as (name, comment)."""

    name: str
    fields: tuple[tuple[str, str], ...]
    doc: str = ""


Statement = Assign | Return | Verbatim | Define | Record


def name(identifier: str) -> ast.expr:
    """A dotted name."""
    head, *rest = identifier.split(".")
    tree: ast.expr = ast.Name(head)
    for part in rest:
        tree = ast.Attribute(tree, part)
    return tree


def literal(value: object) -> ast.expr:
    """A number, string, None or Ellipsis; negative numbers as Python writes them."""
    if isinstance(value, tuple):
        return ast.Tuple([literal(item) for item in value])
    if isinstance(value, float) and not isfinite(value):
        return ast.parse(
            {"nan": "jnp.nan", "inf": "jnp.inf", "-inf": "-jnp.inf"}[str(value)], mode="eval"
        ).body
    if isinstance(value, float | int) and not isinstance(value, bool) and value < 0:
        return ast.UnaryOp(ast.USub(), literal(-value))
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return ast.Constant(int(value))
    return ast.Constant(value)  # type: ignore[arg-type]


def call(function: str | ast.expr, *arguments: ast.expr, **keywords: ast.expr) -> ast.expr:
    target = name(function) if isinstance(function, str) else function
    return ast.Call(target, list(arguments), [ast.keyword(key, value) for key, value in keywords.items()])


def method(value: ast.expr, attribute: str, *arguments: ast.expr, **keywords: ast.expr) -> ast.expr:
    return call(ast.Attribute(value, attribute), *arguments, **keywords)


def subscript(value: ast.expr, *items: ast.expr) -> ast.expr:
    index = items[0] if len(items) == 1 else ast.Tuple(list(items))
    return ast.Subscript(value, index)


def tuple_of(items: Sequence[ast.expr]) -> ast.expr:
    """The items as a tuple; a single one by itself."""
    return items[0] if len(items) == 1 else ast.Tuple(list(items))


COLON = ast.Slice()


def source(tree: ast.expr) -> str:
    return ast.unparse(ast.fix_missing_locations(tree))


def _bare(tree: ast.expr) -> str:
    """Source without the parentheses of a tuple."""
    if isinstance(tree, ast.Tuple) and len(tree.elts) > 1:
        return ", ".join(source(item) for item in tree.elts)
    return source(tree)


def lines(statement: Statement) -> list[str]:
    """The source lines of one statement, not yet formatted."""
    match statement:
        case Assign(target, value, comment):
            line = f"{_bare(target)} = {_bare(value)}"
            if not comment:
                return [line]
            return [f"{line}  # {comment}"] if len(line) + len(comment) < ROOM else [f"# {comment}", line]
        case Return(value):
            return [f"return {_bare(value)}"]
        case Verbatim(text):
            return text.strip("\n").splitlines()
        case Record(title, fields, doc):
            body = [f"{field}: Array" + (f"  # {comment}" if comment else "") for field, comment in fields]
            return [f"class {title}(NamedTuple):", *_indented(_docstring(doc) + body or ["pass"])]
        case Define(title, arguments, body, doc, returns, decorator):
            head = f"def {title}({', '.join(arguments)})" + (f" -> {returns}:" if returns else ":")
            inner = [line for part in body for line in lines(part)]
            above = [f"@{decorator}"] if decorator else []
            return [*above, head, *_indented(_docstring(doc) + inner)]


def _docstring(doc: str) -> list[str]:
    if not doc:
        return []
    parts = doc.splitlines()
    return [f'"""{parts[0]}', *parts[1:], '"""'] if len(parts) > 1 else [f'"""{doc}"""']


def _indented(body: list[str]) -> list[str]:
    return [f"    {line}" if line else line for line in body]


def render(doc: str, imports: str, statements: Sequence[Statement]) -> str:
    """A formatted module, the encoding fixed on its first line (so that no text in it can change it)."""
    import black

    text = ["# -*- coding: utf-8 -*-", *_docstring(doc), "", imports.strip(), ""]
    for statement in statements:
        text += ["", *lines(statement), ""]
    return black.format_str(_apart("\n".join(text) + "\n"), mode=black.Mode(line_length=LINE))


def _apart(text: str) -> str:
    """The module with other names for functions whose own names mean something else where they are called: a user's
    variable may be called like a helper.
    """
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    helpers = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    taken = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | helpers
    for helper in sorted(helpers & {name for function in functions for name in _hidden(function)}):
        text = re.sub(rf"(?<![.\w]){helper}\(", f"{fresh(helper, taken)}(", text)
    return text


def _hidden(function: ast.FunctionDef) -> set[str]:
    """The names that a function both gives a value and calls."""
    nodes = list(ast.walk(function))
    given = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    given |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return given & {
        node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
