"""Densities that take more than a line, as functions of their own."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from bnlab.families.base import Density
from bnlab.inference import wording
from bnlab.inference.axes import Layout
from bnlab.inference.factor import Factor
from bnlab.inference.pieces import Piece
from bnlab.inference.potentials import Potential
from bnlab.inference.scope import discrete_scope
from bnlab.program.ir import Function, Statement
from bnlab.program.ops import ROW, STEP, Axes, Broadcast, Call, Expr, InBlocks, Joined, Symbol
from bnlab.program.walk import read_name, readings, rename, reread, symbols

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination

LARGE = 32
"""Numbers a row of data, from which on a density makes arrays worth keeping in cache."""


def joined(run: Elimination, factor: Factor, found: list[Potential]) -> Expr:
    """The densities of the first steps, then that of all later ones; each for all that any depends on."""
    axes = (*run.layout.members(factor.plates), *run.layout.scope(factor.scope))
    value = run.nodes[run.pieces(factor)[-1].label].value
    assert value is not None, "first steps of a latent are factors of their own"
    parts = []
    for piece, each in zip(run.pieces(factor), found, strict=True):
        like = run.nodes[piece.label].value
        assert like is not None
        same = each.log.axes == axes
        parts.append(each.log if same else Broadcast(each.log, like, axes))
    return Joined(tuple(parts), next(axis for axis in axes if axis.kind == STEP))


def density_function(
    run: Elimination,
    factor: Factor,
    piece: Piece,
    density: Density,
    given: tuple[Symbol, ...] = (),
    of_residual: bool = False,
) -> Expr:
    """A function of its own for a density that takes more than a line. `given` are arrays that it reads beside data."""
    reads: dict[Expr, Symbol] = {symbol: symbol for symbol in given}
    reads |= _reads(density)
    if piece.label in run.densities:
        return _call(run.densities[piece.label], tuple(reads), density.log.axes)
    title = run.fresh(f"log_likelihood_{piece.label.replace('.', '_')}")
    density = _apart(density, {symbol.name for symbol in reads.values()})
    function = _renamed(density, reads)
    result = function.log
    own = _seen(run.layout, factor, piece)
    shape = ", ".join(axis.extent or axis.letter.upper() for axis in result.axes)
    doc = f"{wording.formula(run.layout, own)}{' from what is left of its mean' if of_residual else ''} as ({shape})"
    doc += f"{_when(piece, run.layout, factor)}."
    tex = wording.formula_tex(run.layout, own)
    run.densities[piece.label] = Function(
        title, tuple(reads.values()), ("theta",), function.body, (result,), doc, tex
    )
    run.functions.append(run.densities[piece.label])
    return _call(run.densities[piece.label], tuple(reads), result.axes)


def _seen(layout: Layout, factor: Factor, piece: Piece) -> Factor:
    """What one distribution of a factor is the density of."""
    if factor.continuous or (piece.whole and factor.steps != "all"):
        return factor
    given = discrete_scope(layout.graph, piece.cpd)
    mine = tuple(ref for ref in factor.scope if ref in given or ref.name == factor.variable)
    return replace(factor, given=tuple(ref for ref in given if ref in mine), scope=mine)


def _when(piece: Piece, layout: Layout, factor: Factor) -> str:
    """The steps that a distribution is for."""
    if piece.whole:
        return ""
    letter = next(layout.plates[p].letter for p in factor.plates if layout.graph.plate(p).chain)
    return f" for {letter} = {piece.start + 1}" if piece.only else f" for {letter} > {piece.start}"


def _call(function: Function, arguments: tuple[Expr, ...], axes: Axes) -> Expr:
    """The call of a density; for all steps of a chain in blocks, unless what it makes on the way is small."""
    call = Call(function.name, (Symbol("theta", ()), *arguments), axes)
    targets = [item.target.axes for item in function.body if isinstance(item, Statement)]
    cells = max((prod(axis.size or 1 for axis in found) for found in targets), default=1)
    if cells < LARGE or not any(axis.kind == STEP for axis in axes):
        return call
    return InBlocks(call, sum(axis.kind in (STEP, ROW) for axis in axes))


def _reads(density: Density) -> dict[Expr, Symbol]:
    """The data that a density reads, at whatever steps, and what they are called inside of it."""
    found: dict[Expr, Symbol] = {}
    for expr in (*(statement.expression for statement in density.body), density.log):
        for part in readings(expr):
            found.setdefault(part, Symbol(read_name(part), part.axes))
    return found


def _renamed(density: Density, reads: dict[Expr, Symbol]) -> Density:
    """The density with its data under their names."""
    body = tuple(replace(item, expression=reread(item.expression, reads)) for item in density.body)
    return Density(reread(density.log, reads), None, body)


def _apart(density: Density, taken: set[str]) -> Density:
    """The density with its locals called otherwise than its data."""
    mapping = {
        statement.target: Symbol(f"{statement.target.name}_", statement.target.axes)
        for statement in density.body
        if statement.target.name in taken
    }
    if not mapping:
        return density
    names = {symbol.name: new.name for symbol, new in mapping.items()}
    found = (s for e in (density.log, *(st.expression for st in density.body)) for s in symbols(e))
    every = {
        s: Symbol(names[s.name], s.axes) for s in found if s.space == "local" and s.name in names
    } | mapping
    body = tuple(
        replace(_as_locals(statement, every), target=every.get(statement.target, statement.target))
        for statement in density.body
    )
    log = rename(density.log, every)
    return replace(density, body=body, log=log)


def _as_locals(statement: Statement, mapping: dict[Symbol, Symbol]) -> Statement:
    return replace(statement, expression=rename(statement.expression, mapping))
