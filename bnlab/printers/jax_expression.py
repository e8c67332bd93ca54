"""Expressions and functions of a Program as JAX: axes by name become axes by position."""

from __future__ import annotations

import ast
from math import prod
from string import ascii_letters
from typing import assert_never

from bnlab.printers.jax_helped import helped
from bnlab.printers.jax_words import (
    COMPARISONS,
    FUNCTIONS,
    OF_MATRICES,
    OPERATORS,
    SMALL,
    SPACES,
    WITH_VECTOR,
)
from bnlab.printers.python_tree import (
    COLON,
    call,
    literal,
    method,
    name,
    subscript,
)
from bnlab.program.ops import (
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
from bnlab.program.walk import read_name


def expression(expr: Expr) -> ast.expr:
    """The expression as JAX source, its axes in the order of `expr.axes`."""
    match expr:
        case Symbol(title, _, space):
            return name(f"{SPACES[space]}.{title}") if space in SPACES else name(title)
        case Number(value):
            return literal(value)
        case Constant(flat, ()):
            return literal(flat[0])
        case Constant(_, (size, _)) if size > 1 and expr.is_identity:
            return call("jnp.eye", literal(size))
        case Constant(flat, (size,)) if size > 1 and flat == tuple(range(size)):
            return call("jnp.arange", literal(size))
        case Constant():
            return call("jnp.array", literal(_nested(expr)), name("float"))
        case Einsum():
            return _einsum(expr)
        case Binary(op, left, right):
            pair = aligned(left, expr.axes), aligned(right, expr.axes)
            if op in COMPARISONS:
                return ast.Compare(pair[0], [COMPARISONS[op]], [pair[1]])
            return ast.BinOp(pair[0], OPERATORS[op], pair[1])
        case Unary("not_negative", operand):
            return call("jnp.maximum", expression(operand), literal(0))
        case Unary("seen", operand):
            return ast.UnaryOp(ast.Invert(), call("jnp.isnan", expression(operand)))
        case Unary(op, operand):
            return call(FUNCTIONS[op], expression(operand))
        case Reduce():
            return _reduce(expr)
        case Take():
            return _take(expr)
        case Where(condition, yes, no):
            return call("jnp.where", *(aligned(part, expr.axes) for part in (condition, yes, no)))
        case OneHot(index, axis):
            return call("jax.nn.one_hot", expression(index), literal(axis.size))
        case SegmentSum(operand, index, source, _, like):
            rows = ordered(operand, (source, *(axis for axis in operand.axes if axis != source)))
            count = call("len", expression(like))
            return call("jax.ops.segment_sum", rows, expression(index), num_segments=count)
        case Steps():
            return _steps(expr)
        case Count(like):
            return call("jnp.arange", call("len", expression(like)))
        case Relabel(operand):
            return expression(operand)
        case Prepend(first, rest, axis):
            place = expr.axes.index(axis)
            head = subscript(expression(first), *[COLON] * place, literal(None))
            both = ast.List([head, expression(rest)])
            return call("jnp.concatenate", both, **({"axis": literal(place)} if place else {}))
        case Joined(parts, axis):
            position = expr.axes.index(axis)
            pieces = ast.List([expression(part) for part in parts])
            return call("jnp.concatenate", pieces, **({"axis": literal(position)} if position else {}))
        case Blocks():
            return _blocks(expr)
        case Solve(matrix, vector):
            return call("solve", aligned(matrix, (*vector.axes, matrix.axes[-1])), expression(vector))
        case Part():
            return _part(expr)
        case Broadcast(Number(value)) if value in (0, 1):
            return call("jnp.ones" if value else "jnp.zeros", _shape(expr))
        case Broadcast():
            return call("jnp.broadcast_to", aligned(expr.operand, expr.axes), _shape(expr))
        case Identity(axes):
            return call("jnp.eye", literal(axes[0].size))
        case JointBasis(covariance, precision):
            helper = "basis_by_cholesky" if expr.definite else "joint_basis"
            return call(helper, aligned(covariance, expr.axes), aligned(precision, expr.axes))
        case Linear():
            return _linear(expr)
        case Riccati(first, F, Q, Lambda, like):
            told = [aligned(part, expr.axes[1:]) for part in (first, F, Q, Lambda)]
            return call("predicted_covariances", *told, call("len", expression(like)))
        case Keep(total, count, old):
            return call("ratio", *(aligned(part, expr.axes) for part in (total, count, old)))
        case Reliable(c, beta):
            return call("reliable", expression(c), expression(beta))
        case InBlocks(Call(function, arguments), members):
            names = [argument for argument in arguments if argument.axes]
            inner = ast.Lambda(_lambda_arguments(names), _inside(expr.call))
            return call(
                "in_blocks", inner, *(expression(argument) for argument in names), axes=literal(members)
            )
        case Call(function, arguments, _):
            return call(function, *(passed(argument) for argument in arguments))
    assert_never(expr)


def aligned(expr: Expr, axes: Axes) -> ast.expr:
    """The expression with size-1 axes put in, so that it broadcasts against an array with these axes."""
    present = tuple(axis for axis in axes if axis in expr.axes)
    tree = ordered(expr, present)
    if not present:
        return tree
    wanted = axes[axes.index(present[0]) :]
    index = [axis in present for axis in wanted]
    if all(index):
        return tree
    kept = index.count(True)
    if kept > 1 and all(index[:kept]):
        return subscript(tree, literal(...), *[literal(None)] * (len(index) - kept))
    while index[-1]:
        index.pop()
    return subscript(tree, *[COLON if here else literal(None) for here in index])


def ordered(expr: Expr, axes: Axes) -> ast.expr:
    """The expression with its axes in the given order."""
    tree = expression(expr)
    if expr.axes == axes:
        return tree
    if len(axes) == 2:
        return ast.Attribute(tree, "T")
    return method(tree, "transpose", *(literal(expr.axes.index(axis)) for axis in axes))


def _nested(constant: Constant) -> object:
    def build(offset: int, shape: tuple[int, ...]) -> object:
        if not shape:
            return constant.flat[offset]
        stride = prod(shape[1:])
        return tuple(build(offset + index * stride, shape[1:]) for index in range(shape[0]))

    return build(0, constant.shape)


def _einsum(expr: Einsum) -> ast.expr:
    if len(expr.operands) == 1:
        operand = expr.operands[0]
        over = tuple(axis for axis in operand.axes if axis not in expr.axes)
        kept = tuple(axis for axis in operand.axes if axis in expr.axes)
        if kept == expr.axes and over:
            return expression(Reduce("sum", operand, over))
        if not over:
            return ordered(operand, expr.axes)
    product = _matrix_product(expr)
    if product is not None:
        return product
    special = helped(expr)
    if special is not None:
        helper, arrays, numbers = special
        return call(helper, *map(expression, arrays), *map(literal, numbers))
    letters = _letters(expr)
    spelled = ["".join(letters[axis] for axis in operand.axes) for operand in expr.operands]
    pattern = ",".join(spelled) + "->" + "".join(letters[axis] for axis in expr.axes)
    return call("jnp.einsum", literal(pattern), *(expression(operand) for operand in expr.operands))


def _letters(expr: Einsum) -> dict[Axis, str]:
    """The axes' own letters; where two that meet here have the same, the later one gets another."""
    found: dict[Axis, str] = {}
    for axis in dict.fromkeys(axis for operand in expr.operands for axis in operand.axes):
        taken = set(found.values())
        found[axis] = next(letter for letter in axis.letter + ascii_letters if letter not in taken)
    return found


def _matrix_product(expr: Einsum) -> ast.expr | None:
    """`a @ b` or `a @ b.T`, where the sum is one: over the last axis of `a`, with a matrix or vector `b`."""
    if len(expr.operands) != 2:
        return None
    left, right = expr.operands
    return _product(left, right, expr.axes) or _product(right, left, expr.axes)


def _product(left: Expr, right: Expr, axes: Axes) -> ast.expr | None:
    batched = _batched(left, right, axes)
    if batched is not None:
        return batched
    if not left.axes or len(right.axes) not in (1, 2):
        return None
    summed, kept = left.axes[-1], left.axes[:-1]
    rest = tuple(axis for axis in right.axes if axis != summed)
    if summed not in right.axes or summed in axes or set(rest) & set(left.axes) or axes != (*kept, *rest):
        return None
    first, second = _matrices_first(left, right, summed, rest)
    matrix = expression(second)
    if len(second.axes) == 2 and second.axes[1] == first.axes[-1]:
        matrix = ast.Attribute(matrix, "T")
    of_matrices = len(first.axes) > 1 and len(second.axes) > 1
    if of_matrices and _is_small(first.axes, rest):
        return call("product", expression(first), matrix)
    return ast.BinOp(expression(first), OF_MATRICES if of_matrices else WITH_VECTOR, matrix)


def _matrices_first(left: Expr, right: Expr, summed: Axis, rest: Axes) -> tuple[Expr, Expr]:
    """(x B) C as x (B C), where x has rows or steps and the matrices have not: the product of rows is one less."""
    if not isinstance(left, Einsum) or len(left.operands) != 2 or len(right.axes) != 2:
        return left, right
    rows, matrix = sorted(left.operands, key=lambda part: len(part.axes), reverse=True)
    many = any(axis.size is None for axis in rows.axes)
    if not many or any(axis.size is None for axis in (*matrix.axes, *right.axes)):
        return left, right
    inner = set(rows.axes) & set(matrix.axes)
    if len(inner) != 1 or set(matrix.axes) != {*inner, summed} or rows.axes != (*left.axes[:-1], *inner):
        return left, right
    return rows, Einsum((matrix, right), (*inner, *rest))


def _is_small(rows: Axes, column: Axes) -> bool:
    """Whether each row of the steps of a chain is multiplied by so small a matrix that sums written out are faster."""
    steps = any(axis.kind == STEP for axis in rows[:-1])
    return steps and 0 < (rows[-1].size or 0) * (column[0].size or 0) <= 4 * SMALL


def _batched(left: Expr, right: Expr, axes: Axes) -> ast.expr | None:
    """`A @ B` or `A @ B.mT` for stacks of matrices: B is one, and A another over the same members or a single matrix."""
    if len(left.axes) < 2 or len(right.axes) < 3 or len(axes) < 2:
        return None
    batch, row, inner, column = right.axes[:-2], left.axes[-2], left.axes[-1], axes[-1]
    fits = left.axes[:-2] in ((), batch) and axes == (*batch, row, column)
    distinct = len({*batch, row, inner, column}) == len(batch) + 3
    if not fits or not distinct or right.axes[-2:] not in ((inner, column), (column, inner)):
        return None
    matrices = expression(right)
    if right.axes[-1] == inner:
        matrices = ast.Attribute(matrices, "mT")
    if left.axes[:-2] and all(axis.size and axis.size <= SMALL for axis in (row, inner, column)):
        return call("product", expression(left), matrices)
    return ast.BinOp(expression(left), OF_MATRICES, matrices)


def _positions(operand: Expr, over: tuple[Axis, ...]) -> ast.expr:
    """Axes as numbers: negative where they are the last ones, so that the text holds for any leading axes."""
    count = len(operand.axes)
    found = sorted(operand.axes.index(axis) for axis in over)
    if found == list(range(count - len(found), count)):
        found = [position - count for position in found]
    return literal(found[0]) if len(found) == 1 else literal(tuple(found))


def _reduce(expr: Reduce) -> ast.expr:
    operand = expression(expr.operand)
    everything = set(expr.over) == set(expr.operand.axes)
    if expr.op == "logsumexp":
        return call("logsumexp", operand, axis=_positions(expr.operand, expr.over))
    if expr.op == "logsumexp_or_never":
        return call("log_sum_exp", operand, _positions(expr.operand, expr.over))
    if expr.op == "hardmax":
        return call("hardmax", operand, _positions(expr.operand, expr.over))
    if everything:
        return method(operand, expr.op)
    return method(operand, expr.op, _positions(expr.operand, expr.over))


def _take(expr: Take) -> ast.expr:
    table = expression(expr.table)
    axes = expr.table.axes
    if len(expr.indices) == 1 and not set(expr.index_axes) & set(axes):
        ((axis, index),) = expr.indices
        position = axes.index(axis)
        if position and len(axes) == 2:
            table = ast.Attribute(table, "T")
        elif position:
            table = call("jnp.moveaxis", table, literal(position), literal(0))
        return subscript(table, expression(index))
    chosen = dict(expr.indices)
    shared = tuple(axis for axis in axes if axis in expr.index_axes)
    front = tuple(axis for axis in axes if axis in chosen or axis in shared)
    table = ordered(expr.table, (*front, *(axis for axis in axes if axis not in front)))
    items = []
    for axis in front:
        if axis in chosen:
            items.append(aligned(chosen[axis], expr.index_axes))
        else:
            steps = Symbol(f"jnp.arange({axis.size})", (axis,))
            items.append(aligned(steps, expr.index_axes))
    return subscript(table, *items)


def _steps(expr: Steps) -> ast.expr:
    position = expr.operand.axes.index(expr.axis)
    tree = expression(expr.operand)
    if expr.part == "range":
        start = literal(expr.start) if expr.start else None
        stop = literal(expr.start + 1) if expr.only else literal(-expr.end) if expr.end else None
        return subscript(tree, *[COLON] * position, ast.Slice(start, stop))
    if expr.part == "next":
        return call("jnp.roll", tree, literal(-1), axis=literal(position))
    parts: dict[str, ast.expr] = {
        "later": ast.Slice(literal(1)),
        "opening": ast.Slice(None, literal(1)),
        "earlier": ast.Slice(None, literal(-1)),
        "first": literal(0),
        "last": literal(-1),
    }
    return subscript(tree, *[COLON] * position, parts[expr.part])


def _blocks(expr: Blocks) -> ast.expr:
    """`jnp.block` of matrices, or one vector behind the other."""
    batch = expr.axes[: len(expr.axes) - (2 if expr.columns else 1)]

    def flat(block: Expr, *parts: Axes) -> ast.expr:
        tree = expression(block)
        if any(len(part) > 1 for part in parts):
            sizes = [prod(axis.size or 1 for axis in part) for part in parts]
            leading = [literal(axis.size or 1) for axis in batch]
            return method(tree, "reshape", *leading, *map(literal, sizes))
        if all(parts) or (not batch and expr.columns and not parts[0]):
            return tree  # `jnp.block` takes a vector as a row
        if isinstance(block, Number | Constant) and not block.axes:
            return call("jnp.array", ast.List([_as_real(block)]))
        shown = [COLON if part else literal(None) for part in parts]
        return subscript(tree, *([literal(...)] if batch else []), *shown)

    scalars = not any((*expr.rows, *expr.columns))
    if scalars and all(block.axes == batch for line in expr.blocks for block in line):
        lines = [ast.List([_as_real(block) for block in line]) for line in expr.blocks]
        if not expr.columns:
            return call("jnp.stack", lines[0], literal(-1)) if batch else call("jnp.array", lines[0])
        if not batch:
            return call("jnp.array", ast.List([*lines]))
    if not expr.columns:
        pieces = [flat(block, rows) for block, rows in zip(expr.blocks[0], expr.rows, strict=True)]
        return call("jnp.concatenate", ast.List(pieces), literal(-1)) if len(pieces) > 1 else pieces[0]
    lines = [
        ast.List([flat(block, rows, columns) for block, columns in zip(line, expr.columns, strict=True)])
        for line, rows in zip(expr.blocks, expr.rows, strict=True)
    ]
    return call("jnp.block", ast.List([*lines])) if len(lines) > 1 else lines[0].elts[0]


def _as_real(expr: Expr) -> ast.expr:
    """A number with its point, so that an array of numbers alone is no array of integers."""
    match expr:
        case Number(value):
            return _with_point(value)
        case Constant((value,), ()):
            return _with_point(value)
        case _:
            return expression(expr)


def _with_point(value: float) -> ast.expr:
    size = ast.Constant(abs(float(value)))
    return ast.UnaryOp(ast.USub(), size) if value < 0 else size


def _part(expr: Part) -> ast.expr:
    """Entries along the last axes of an array, cut one after the other, in one subscript."""
    operand: Expr = expr
    picks: list[ast.expr] = []
    while isinstance(operand, Part):
        place = len(operand.operand.axes) - 1 - operand.behind
        kept = place < len(operand.axes) - operand.behind
        start, stop, whole = operand.start, operand.stop, operand.operand.axes[place].size
        begin, end = literal(start) if start else None, literal(stop) if stop != whole else None
        picks.append(ast.Slice(begin, end) if kept else literal(start))
        operand = operand.operand
    tree = expression(operand)
    if not all(isinstance(pick, ast.Slice) and pick.lower is None and pick.upper is None for pick in picks):
        tree = subscript(tree, literal(...), *picks)
    if len(expr.axes) <= len(expr.operand.axes):
        return tree
    return method(tree, "reshape", *(literal(axis.size or 1) for axis in expr.axes))


def _linear(expr: Linear) -> ast.expr:
    operand = expression(expr.operand)
    match expr.op:
        case "cholesky":
            return call("jnp.linalg.cholesky", operand)
        case "inverse_lower":
            return call("inverse_lower", operand)
        case "log_diagonal_sum":
            diagonal = call("jnp.diagonal", operand, axis1=literal(-2), axis2=literal(-1))
            return method(call("jnp.log", diagonal), "sum", literal(-1))
        case "inverse":
            return call("jnp.linalg.inv", operand)
        case "log_det":
            return subscript(call("jnp.linalg.slogdet", operand), literal(1))
        case "diagonal":
            return call("jnp.diagonal", operand, axis1=literal(-2), axis2=literal(-1))
        case "symmetric":
            return call("symmetric", operand)


def _inside(call_: Call) -> ast.expr:
    """The call with its arrays by name, as they are inside of the lambda."""
    return call(call_.function, *(name(read_name(a)) if a.axes else passed(a) for a in call_.arguments))


def _lambda_arguments(arrays: list[Expr]) -> ast.arguments:
    found = [ast.arg(read_name(array)) for array in arrays]
    return ast.arguments([], found, None, [], [], None, [])


def passed(expr: Expr) -> ast.expr:
    if isinstance(expr, Symbol) and not expr.axes and expr.name in ("theta", "chunk"):
        return name(expr.name)
    return expression(expr)


def _shape(expr: Broadcast) -> ast.expr:
    shape = ast.Attribute(expression(expr.like), "shape")
    if expr.like.axes == expr.axes:
        return shape
    sizes = [
        literal(axis.size) if axis.size else subscript(shape, literal(expr.like.axes.index(axis)))
        for axis in expr.axes
    ]
    return ast.Tuple(sizes)
