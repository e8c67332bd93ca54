"""Where EM starts the coefficients of a mean that is a sum: at lines through the data, where these are easily drawn."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Literal

from bnlab.families.base import Node, Slope, Term
from bnlab.families.normal_regression import cells
from bnlab.program.ir import Start
from bnlab.program.ops import SIZED, Axes, Expr, Steps, Symbol
from bnlab.program.walk import readings, symbols

Read = tuple[str, int]
"""A variable, and how many steps earlier it is read."""


def coefficient_starts(node: Node) -> Iterator[Start]:
    """Lines; else the first offset at centres of clusters, and all other coefficients at random."""
    if node.gaussian:
        yield from _beside_latents(node)
        return
    assert node.value is not None
    free = [term for term in node.terms if term.free and term.own is not None]
    reads = _lines(node)
    centred = False
    for place, term in enumerate(free):
        assert term.own is not None
        shape = _shape(term.own.axes)
        first = _first(node.value)
        if reads:
            yield Start(
                term.parameter, "lines", node.variable, shape, regressors=reads, place=place, first=first
            )
        elif term.value is None and not centred and not _only(node.value):
            centred = True
            own = enumerate(term.own.axes)
            shared = tuple(at for at, axis in own if axis.kind == SIZED and axis in node.value.axes)
            yield Start(term.parameter, "centres", node.variable, shape, shared)
        else:
            yield Start(term.parameter, "slopes", node.variable, shape, regressors=_named(term))


def _beside_latents(node: Node) -> Iterator[Start]:
    """Where Gaussian latents are: the offset at centres of clusters, loadings at random, on the scale of the data."""
    latent = {slope.place: slope for slope in node.slopes}
    variable = node.proxy if node.value is None else node.variable
    members = node.value.axes if node.value is not None else ()
    centred = False
    for place, term in enumerate(node.terms):
        if not term.free or term.own is None:
            continue
        shape = _shape(term.own.axes)
        if place in latent:
            yield _loading(node, term, latent[place], shape)
        elif not variable:
            yield Start(term.parameter, "noise", "", shape)
        elif term.value is None and not centred:
            centred = True
            own = enumerate(term.own.axes)
            shared = tuple(at for at, axis in own if axis.kind == SIZED and axis in members)
            yield Start(term.parameter, "centres", variable, shape, shared)
        else:
            yield Start(term.parameter, "slopes", variable, shape, regressors=_named(term))


def _loading(node: Node, term: Term, slope: Slope, shape: tuple[int, ...]) -> Start:
    """A coefficient of a Gaussian latent: random; but a latent's own past keeps its value."""
    if slope.lag and slope.parent == node.variable:
        form: Literal["", "cov"] = "cov" if not slope.elementwise and node.event else ""
        return Start(term.parameter, "unit", "", shape, form=form)
    return Start(term.parameter, "noise", node.variable if node.value is not None else "", shape)


def _shape(axes: Axes) -> tuple[int, ...]:
    return tuple(axis.size or 1 for axis in axes)


def _named(term: Term) -> tuple[Read, ...]:
    found = readings(term.value) if term.value is not None else []
    return ((symbols(found[0])[0].name, 0),) if found else ()


def _first(value: Expr) -> int:
    """The step that a distribution starts at."""
    return value.start if isinstance(value, Steps) else 0


def _only(value: Expr) -> bool:
    """Whether a distribution is that of one early step."""
    return isinstance(value, Steps) and value.only


def _lines(node: Node) -> tuple[Read, ...]:
    """What each coefficient multiplies, where all is learnt, and read of the very rows that the child has."""
    value = node.value
    if value is None or any(axis.kind == SIZED for axis in value.axes) or _only(value):
        return ()
    members = set(value.axes) - set(node.event)
    found: list[Read] = []
    counts = {1}
    for term in node.terms:
        read = _read(term)
        if (
            read is None
            or term.sign < 0
            or term.own is None
            or node.event
            and node.event[0] not in term.own.axes
        ):
            return ()
        if term.value is not None and set(term.value.axes) - set(term.columns) != members:
            return ()
        if term.columns and term.own.axes[-1:] != term.columns:
            return ()
        found.append(read)
        counts.add(prod(_shape(cells(node, term))))
    return tuple(found) if len(set(found)) == len(found) and len(counts) <= 2 else ()


def _read(term: Term) -> Read | None:
    match term.value if term.free else Symbol("", ()):
        case None:
            return "", 0
        case Symbol(name, _, "chunk"):
            return name, 0
        case Steps(Symbol(name), _, "range", _, lag):
            return name, lag
        case _:
            return None
