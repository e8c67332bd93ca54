"""A Program run in plain NumPy: the oracle for every printed form of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import lgamma
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import InternalError
from bnlab.program import special
from bnlab.program.ir import Function, Invoke, Program, Scan, Statement
from bnlab.program.ops import (
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

Array = NDArray[Any]
Environment = dict[tuple[str, str], Array]
UNARY: dict[str, Callable[[Array], Array]] = {
    "log": np.log,
    "log_or_never": np.log,
    "log_if_reliable": lambda value: np.where(value > np.finfo(float).tiny ** 0.5, np.log(value), np.nan),
    "log1p": np.log1p,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "square": np.square,
    "held": lambda value: value,
    "seen": lambda value: ~np.isnan(value),
    "not_negative": lambda value: np.maximum(value, 0.0),
    "gammaln": np.vectorize(lgamma, otypes=[float]),
    "digamma": special.digamma,
    "inverse_digamma": special.inverse_digamma,
    "gamma_shape": special.gamma_shape,
}
BINARY = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "==": np.equal,
}


def expect(program: Program, theta: Mapping[str, Array], chunk: Mapping[str, Array]) -> dict[str, Array]:
    """The statistics of one chunk, by name."""
    environment = _environment(theta=theta, chunk=chunk)
    values = _run(program, program.expect, environment)
    return {field.name: value for field, value in zip(program.statistics, values, strict=True)}


def maximise(
    program: Program, statistics: Mapping[str, Array], theta: Mapping[str, Array]
) -> dict[str, Array]:
    """The parameters that the M-step makes of the statistics."""
    environment = _environment(theta=theta, statistics=statistics)
    values = _run(program, program.m_step, environment)
    return {field.name: value for field, value in zip(program.parameters, values, strict=True)}


def outputs(program: Program, function: Function, **spaces: Mapping[str, Array]) -> list[Array]:
    """What a function of fields returns, given these by the space that they are in."""
    return _run(program, function, _environment(**spaces))


def _environment(**spaces: Mapping[str, Array]) -> Environment:
    return {
        (space, name): np.asarray(value) for space, items in spaces.items() for name, value in items.items()
    }


def _run(program: Program, function: Function, environment: Environment) -> list[Array]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        for item in function.body:
            _execute(program, item, environment)
        return [_value(program, result, environment) for result in function.results]


def _execute(program: Program, item: Statement | Scan | Invoke, environment: Environment) -> None:
    if isinstance(item, Statement):
        value = _value(program, item.expression, environment)
        environment["local", item.target.name] = value
        return
    if isinstance(item, Invoke):
        values = call_function(program, item.function, item.arguments, environment)
        for target, value in zip(item.targets, values, strict=True):
            environment["local", target.name] = value
        return
    carry = [_value(program, value, environment) for _, value, _ in item.carry]
    inputs = [_value(program, value, environment) for _, value in item.inputs]
    if item.like is not None:
        steps = range(len(_value(program, item.like, environment)))
    else:
        steps = range(len(inputs[0]))
    collected: list[list[Array]] = [[] for _ in item.outputs]
    for step in reversed(steps) if item.reverse else steps:
        inner = dict(environment)
        inner.update(
            {("local", symbol.name): value for (symbol, _, _), value in zip(item.carry, carry, strict=True)}
        )
        inner.update(
            {
                ("local", symbol.name): value[step]
                for (symbol, _), value in zip(item.inputs, inputs, strict=True)
            }
        )
        for part in item.body:
            _execute(program, part, inner)
        for values, (expr, _) in zip(collected, item.outputs, strict=True):
            values.append(_value(program, expr, inner))
        carry = [_value(program, following, inner) for _, _, following in item.carry]
    for values, (_, symbol), shape in zip(collected, item.outputs, _shapes(item, carry), strict=True):
        ordered = values[::-1] if item.reverse else values
        environment["local", symbol.name] = np.stack(ordered) if ordered else np.zeros((0, *shape))
    for last, value in zip(item.last, carry, strict=True):
        if last is not None:
            environment["local", last.name] = value


def _shapes(item: Scan, carry: list[Array]) -> list[tuple[int, ...]]:
    """The shape of one step of each output; known without a step where it is a carry."""
    known = {symbol.name: value.shape for (symbol, _, _), value in zip(item.carry, carry, strict=True)}
    return [known.get(expr.name, ()) if isinstance(expr, Symbol) else () for expr, _ in item.outputs]


def _aligned(value: Array, have: Axes, want: Axes) -> Array:
    """`value` transposed and with size-1 axes, to broadcast against an array with the axes `want`."""
    present = [axis for axis in want if axis in have]
    value = value.transpose([have.index(axis) for axis in present])
    return value[tuple(slice(None) if axis in have else None for axis in want)]


def _value(program: Program, expr: Expr, environment: Environment) -> Array:
    def value(part: Expr) -> Array:
        return _value(program, part, environment)

    def spread(part: Expr) -> Array:
        return _aligned(value(part), part.axes, expr.axes)

    match expr:
        case Symbol("pi", _, "constant"):
            return np.asarray(np.pi)
        case Symbol(name, _, space):
            return environment[space, name]
        case Number(number):
            return np.asarray(number)
        case Constant(flat, shape):
            return np.array(flat).reshape(shape)
        case Einsum(operands, axes):
            letters = _letters(operands, axes)
            pattern = ",".join("".join(letters[axis] for axis in operand.axes) for operand in operands)
            pattern += "->" + "".join(letters[axis] for axis in axes)
            return np.asarray(np.einsum(pattern, *(value(operand) for operand in operands)))
        case Binary(op, left, right):
            return np.asarray(BINARY[op](spread(left), spread(right)))
        case Unary(op, operand):
            return np.asarray(UNARY[op](value(operand)))
        case Reduce():
            return _reduce(expr, value(expr.operand))
        case Take():
            return _take(expr, value(expr.table), [value(place) for _, place in expr.indices])
        case Where(condition, yes, no):
            return np.where(spread(condition), spread(yes), spread(no))
        case OneHot(index, axis):
            return np.asarray(value(index)[..., None] == np.arange(axis.size or 0), float)  # nowhere 1 for -1
        case SegmentSum(operand, index, source, _, like):
            rows = np.moveaxis(value(operand), operand.axes.index(source), 0)
            total = np.zeros((len(value(like)) + 1, *rows.shape[1:]))
            np.add.at(total, np.minimum(value(index), len(total) - 1), rows)
            return np.asarray(total[:-1])
        case Steps(operand, axis):
            return _steps(expr, value(operand), operand.axes.index(axis))
        case Count(like):
            return np.arange(len(value(like)))
        case Joined(parts, axis):
            return np.concatenate([value(part) for part in parts], expr.axes.index(axis))
        case Blocks(blocks):
            return _blocks(expr, [[value(block) for block in row] for row in blocks])
        case Solve(matrix, vector):
            return _solve(
                _aligned(value(matrix), matrix.axes, (*vector.axes, matrix.axes[-1])), value(vector)
            )
        case Part(operand, start, stop, axes, behind):
            taken = value(operand).take(range(start, stop), -1 - behind)
            return taken.reshape(_part_shape(value(operand), operand.axes, axes))
        case Relabel(operand):
            return value(operand)
        case Prepend(first, rest, axis):
            place = expr.axes.index(axis)
            return np.concatenate([np.expand_dims(value(first), place), value(rest)], place)
        case Broadcast(operand, like, axes):
            known = dict(zip(like.axes, value(like).shape, strict=True))
            return np.broadcast_to(spread(operand), [known.get(axis, axis.size or 0) for axis in axes])
        case Identity(axes):
            return np.eye(axes[0].size or 1)
        case JointBasis(covariance, precision):
            return _joint_basis(spread(covariance), spread(precision))
        case Linear(op, operand):
            return _linear(op, value(operand))
        case Riccati():
            raise InternalError("The evaluator takes one step after the other.")
        case Keep(total, count, old):
            counts = spread(count)
            return np.where(counts > 0, spread(total) / np.where(counts > 0, counts, 1), spread(old))
        case Reliable(c, beta):
            info = np.finfo(float)
            return np.asarray(value(c).min() > info.tiny ** (1 / 3) and value(beta).max() < info.max**0.5)
        case InBlocks(whole):
            return value(whole)
        case Call(name, arguments):
            return _call(program, name, arguments, environment)
    assert_never(expr)


def _letters(operands: tuple[Expr, ...], axes: Axes) -> dict[Axis, str]:
    found = sorted({axis for operand in operands for axis in operand.axes} | set(axes))
    return {
        axis: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[place]
        for place, axis in enumerate(found)
    }


def _reduce(expr: Reduce, value: Array) -> Array:
    over = tuple(expr.operand.axes.index(axis) for axis in expr.over)
    match expr.op:
        case "sum":
            return np.asarray(value.sum(over))
        case "mean":
            return np.asarray(value.mean(over))
        case "max":
            return np.asarray(value.max(over))
        case "logsumexp" | "logsumexp_or_never":
            top = value.max(over, keepdims=True)
            top = np.where(np.isfinite(top), top, 0.0)
            return np.asarray(np.log(np.exp(value - top).sum(over)) + top.squeeze(over))
        case "hardmax":
            ends = tuple(range(-len(over), 0))
            moved = np.moveaxis(value, over, ends)
            flat = moved.reshape(*moved.shape[: -len(over)], -1)
            ones = np.eye(flat.shape[-1])[flat.argmax(-1)].reshape(moved.shape)
            return np.moveaxis(ones, ends, over)


def _take(expr: Take, table: Array, indices: list[Array]) -> Array:
    axes = expr.table.axes
    chosen: dict[Axis, Array] = {axis: index for (axis, _), index in zip(expr.indices, indices, strict=True)}
    have = {axis: index.axes for axis, index in expr.indices}
    front = [axis for axis in axes if axis in chosen or axis in expr.index_axes]
    table = table.transpose(
        [axes.index(axis) for axis in (*front, *(axis for axis in axes if axis not in front))]
    )
    items = []
    for place, axis in enumerate(front):
        index = chosen.get(axis, np.arange(table.shape[place]))
        limit = table.shape[place] - 1
        items.append(_aligned(np.minimum(index, limit).astype(int), have.get(axis, (axis,)), expr.index_axes))
    return np.asarray(table[tuple(items)])


def _steps(expr: Steps, value: Array, position: int) -> Array:
    rows = np.moveaxis(value, position, 0)
    match expr.part:
        case "range":
            stop = expr.start + 1 if expr.only else max(len(rows) - expr.end, 0)
            return np.moveaxis(rows[expr.start : stop], 0, position)
        case "first":
            return np.asarray(rows[0])
        case "last":
            return np.asarray(rows[-1])
        case "later":
            return np.moveaxis(rows[1:], 0, position)
        case "opening":
            return np.moveaxis(rows[:1], 0, position)
        case "earlier":
            return np.moveaxis(rows[:-1], 0, position)
        case _:
            return np.roll(value, -1, axis=position)


def _blocks(expr: Blocks, values: list[list[Array]]) -> Array:
    depth = 2 if expr.columns else 1
    batch = len(expr.axes) - depth

    def flat(value: Array, rows: Axes) -> Array:
        whole = value.shape[batch:]
        split = len(rows)
        sizes = [int(np.prod(whole[:split]))] + [int(np.prod(whole[split:]))] * (depth - 1)
        return value.reshape(*value.shape[:batch], *sizes)

    if not expr.columns:
        return np.concatenate([flat(v, r) for v, r in zip(values[0], expr.rows, strict=True)], -1)
    lines = [
        np.concatenate([flat(v, rows) for v in line], -1)
        for line, rows in zip(values, expr.rows, strict=True)
    ]
    return np.concatenate(lines, -2)


def _solve(matrix: Array, vector: Array) -> Array:
    """By eigenvectors, once the diagonal is scaled to ones."""
    diagonal = np.diagonal(matrix, axis1=-2, axis2=-1)
    scale = np.where(diagonal > 0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1)), 0)
    scaled = scale[..., :, None] * matrix * scale[..., None, :]
    inverse = np.linalg.pinv(scaled, rcond=np.finfo(float).eps ** 0.75, hermitian=True)
    return np.asarray(scale * np.einsum("...pq,...q->...p", inverse, scale * vector))


def _part_shape(value: Array, have: Axes, want: Axes) -> tuple[int, ...]:
    known = dict(zip(have, value.shape, strict=True))
    return tuple(known[axis] if axis in have else axis.size or 1 for axis in want)


def _joint_basis(covariance: Array, precision: Array) -> Array:
    variances, directions = np.linalg.eigh(covariance)
    root = directions * np.sqrt(np.maximum(variances, 0.0))[..., None, :]
    return np.asarray(root @ np.linalg.eigh(root.swapaxes(-1, -2) @ precision @ root)[1])


def _linear(op: str, value: Array) -> Array:
    match op:
        case "cholesky":
            return np.linalg.cholesky(value)
        case "inverse_lower" | "inverse":
            return np.linalg.inv(value)
        case "log_det":
            return np.asarray(np.linalg.slogdet(value)[1])
        case "symmetric":
            return (value + value.swapaxes(-1, -2)) / 2
        case "diagonal":
            return np.diagonal(value, axis1=-2, axis2=-1)
        case _:
            return np.asarray(np.log(np.diagonal(value, axis1=-2, axis2=-1)).sum(-1))


def _call(program: Program, name: str, arguments: tuple[Expr, ...], environment: Environment) -> Array:
    results = call_function(program, name, arguments, environment)
    return results[0]


def call_function(
    program: Program, name: str, arguments: tuple[Expr, ...], environment: Environment
) -> list[Array]:
    """Runs a function of the program with its arguments bound to the values of the expressions."""
    function = next(function for function in program.functions if function.name == name)
    inner = {key: value for key, value in environment.items() if key[0] != "local"}
    given = [a for a in arguments if not (isinstance(a, Symbol) and a.name in ("theta", "chunk"))]
    for symbol, argument in zip(function.arguments, given, strict=True):
        inner["local", symbol.name] = _value(program, argument, environment)
    return _run(program, function, inner)
