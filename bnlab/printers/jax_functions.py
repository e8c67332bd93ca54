"""Functions, statements and recursions of a Program as JAX."""

from __future__ import annotations

import ast
from dataclasses import replace

from bnlab.printers.jax_expression import expression, passed
from bnlab.printers.jax_words import OF_MATRICES, SPACES
from bnlab.printers.python_tree import (
    Assign,
    Define,
    Return,
    Statement,
    call,
    literal,
    name,
    subscript,
    tuple_of,
)
from bnlab.program import ir
from bnlab.program.walk import symbols


def function(
    item: ir.Function, prologue: tuple[Statement, ...] = (), record: str = "", fields: tuple[str, ...] = ()
) -> Define:
    """A function of the program as a definition; `record` names the NamedTuple that its results are the
    `fields` of.
    """
    kinds = {
        "theta": "theta: Parameters",
        "chunk": "chunk: Data",
        "statistics": "statistics: Statistics",
        "posterior": "q: Posterior",
    }
    arguments = [kinds[whole] for whole in item.whole] + [
        f"{symbol.name}: Array" for symbol in item.arguments
    ]
    short = [Assign(name(SPACES["statistics"]), name("statistics"))] if _counts(item) else []
    body = [*prologue, *short, *(part for statement in item.body for part in statements(statement))]
    values = [expression(result) for result in item.results]
    if record:
        filled = call(record, **dict(zip(fields, values, strict=True)))
        return Define(item.name, tuple(arguments), (*body, Return(filled)), item.doc, record)
    results = tuple_of(values)
    returns = "Array" if len(item.results) == 1 else f"tuple[{', '.join(['Array'] * len(item.results))}]"
    return Define(item.name, tuple(arguments), (*body, Return(results)), item.doc, returns)


def _counts(item: ir.Function) -> bool:
    """Whether a function reads statistics: they go by one letter in its formulas."""
    return any(symbol.space == "statistics" for symbol in symbols(item))


def statements(item: ir.Statement | ir.Scan | ir.Invoke) -> list[Statement]:
    match item:
        case ir.Statement(target, value, _, formula):
            return [Assign(name(target.name), expression(value), formula)]
        case ir.Invoke(targets, function_name, arguments):
            values = call(function_name, *(passed(argument) for argument in arguments))
            return [Assign(tuple_of([name(target.name) for target in targets]), values, item.comment)]
        case ir.Scan(at_once=made) if made:
            return [part for each in made for part in statements(each)]
        case ir.Scan():
            return _scan(item)


def _scan(item: ir.Scan) -> list[Statement]:
    carry = [symbol for symbol, _, _ in item.carry]
    reads = [symbol for symbol, _ in item.inputs]
    body = [
        Assign(tuple_of([name(symbol.name) for symbol in carry]), name("carry")) if len(carry) > 1 else None,
        Assign(tuple_of([name(symbol.name) for symbol in reads]), name("inputs")) if len(reads) > 1 else None,
        *(part for statement in item.body for part in statements(statement)),
        Return(
            ast.Tuple(
                [
                    tuple_of([expression(following) for _, _, following in item.carry]),
                    tuple_of([expression(value) for value, _ in item.outputs])
                    if item.outputs
                    else literal(None),
                ]
            )
        ),
    ]
    arguments = (
        carry[0].name if len(carry) == 1 else "carry",
        reads[0].name if len(reads) == 1 else "inputs" if reads else "_",
    )
    step = Define("step", arguments, tuple(_with_small_products(part) for part in body if part is not None))
    first = tuple_of([expression(value) for _, value, _ in item.carry])
    inputs = tuple_of([expression(value) for _, value in item.inputs]) if reads else literal(None)
    keywords = {"reverse": literal(True)} if item.reverse else {}
    if not reads and item.like is not None:
        keywords["length"] = call("len", expression(item.like))
    scan = call("jax.lax.scan", name("step"), first, inputs, **keywords)
    last = [name(symbol.name if symbol else "_") for symbol in item.last]
    outputs = tuple_of([name(symbol.name) for _, symbol in item.outputs]) if item.outputs else name("_")
    if all(symbol is None for symbol in item.last):
        return [step, Assign(outputs, subscript(scan, literal(1)))]
    if not item.outputs:
        return [step, Assign(tuple_of(last), subscript(scan, literal(0)))]
    return [step, Assign(ast.Tuple([tuple_of(last), outputs]), scan)]


def _with_small_products(item: Statement) -> Statement:
    match item:
        case Assign() | Return():
            return replace(item, value=_SmallProducts().visit(item.value))
        case _:
            return item


class _SmallProducts(ast.NodeTransformer):
    """`product(A, B)` for `A @ B` inside a recursion, where each call of BLAS would cost more than a small product."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        return call("product", node.left, node.right) if node.op is OF_MATRICES else node
