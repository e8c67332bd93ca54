"""Conditional distributions as the families see them: parameters read at the members, with named axes."""

from __future__ import annotations

from bnlab.domains import Integer, Values
from bnlab.families.base import Node
from bnlab.inference.axes import Layout
from bnlab.network.graph import alignment
from bnlab.network.ir import CPD, Affine, Argument, Ref, Variable, VarRef
from bnlab.program.ops import SIZED, Axes, Axis, Constant, Expr, Number, OneHot, Symbol, Take


def data(layout: Layout, name: str) -> Symbol:
    """The values of an observed or given variable."""
    variable = layout.graph.variable(name)
    event = (
        () if isinstance(variable.domain, Integer) else layout.event(name, len(variable.domain.event_shape))
    )
    return Symbol(name, (*layout.members(variable.plates), *event), "chunk")


def node(layout: Layout, variable: Variable, cpd: CPD, label: str) -> Node:
    """One conditional distribution of `variable`."""
    discrete = isinstance(variable.domain, Integer)
    rank = 0 if discrete else len(variable.domain.event_shape)
    event = layout.event(variable.name, 2) if rank else ()
    own: dict[str, Symbol | Constant] = {}
    arguments: dict[str, Expr] = {}
    for name, argument in cpd.arguments:
        ref = _ref(argument)
        own[name] = whole(layout, ref, variable)
        arguments[name] = _taken(layout, ref, variable, own[name])
    value = data(layout, variable.name) if variable.role == "observed" else None
    state = layout.states[VarRef(variable.name)] if discrete else None
    alone = sum(not other.discrete for other in layout.graph.in_role("observed", "latent")) == 1
    suffix = "" if alone else f"_{variable.name}"
    known = _known(layout, cpd)
    return Node(label, variable.name, value, state, event, arguments, own, suffix, known=known)


def _known(layout: Layout, cpd: CPD) -> dict[str, Values]:
    """The numbers of arguments that are not learnt: constants, and parameters with a value."""
    refs = {name: argument for name, argument in cpd.arguments if isinstance(argument, Ref)}
    numbers = {
        name: layout.graph.parameter(ref.target).value if isinstance(ref.target, str) else ref.target
        for name, ref in refs.items()
    }
    return {name: values for name, values in numbers.items() if values is not None}


def _ref(argument: Argument) -> Ref:
    """The one parameter or constant of an argument; `scope.check_derivable` has refused everything else."""
    if isinstance(argument, Affine):
        coefficient = argument.terms[0].coefficient
        assert isinstance(coefficient, Ref)
        return coefficient
    assert isinstance(argument, Ref)
    return argument


def whole(layout: Layout, ref: Ref, variable: Variable) -> Symbol | Constant:
    """A parameter with its own axes named as `variable` reads them: aligned plates, subscripts, then the event."""
    if not isinstance(ref.target, str):
        leading = tuple(_subscript_axis(layout, ref, place, "") for place in range(len(ref.subscripts)))
        rest = len(ref.target.shape) - len(leading)
        return Constant(ref.target.flat, ref.target.shape, (*leading, *_event(layout, variable, rest)))
    parameter = layout.graph.parameter(ref.target)
    _, subscripted = alignment(layout.graph, ref, variable)
    axes = []
    for plate in parameter.plates:
        if plate in subscripted:
            axes.append(_subscript_axis(layout, ref, subscripted.index(plate), plate))
        else:
            axes.append(layout.plates[plate])
    event = _event(layout, variable, len(parameter.domain.event_shape))
    return Symbol(parameter.name, (*axes, *event), "theta")


def _event(layout: Layout, variable: Variable, rank: int) -> Axes:
    if isinstance(variable.domain, Integer):
        return (layout.states[VarRef(variable.name)],) if rank else ()
    return layout.event(variable.name, rank)


def _subscript_axis(layout: Layout, ref: Ref, place: int, plate: str) -> Axis:
    subscript = ref.subscripts[place]
    if isinstance(subscript, VarRef):
        return layout.states[subscript]
    if plate:
        return layout.plates[plate]
    return Axis(SIZED, 900 + place, f"constant {place}", "ABCDE"[place], 1)


def _taken(layout: Layout, ref: Ref, variable: Variable, own: Symbol | Constant) -> Expr:
    """The parameter with observed, given and constant subscripts applied; those of latents stay axes."""
    subscripted = _subscripted(layout, ref, variable, own)
    indices: list[tuple[Axis, Expr]] = []
    for axis, subscript in subscripted:
        if isinstance(subscript, int):
            indices.append((axis, Number(float(subscript))))
        elif layout.graph.variable(subscript.name).role != "latent":
            indices.append((axis, data(layout, subscript.name)))
    return Take(own, tuple(indices)) if indices else own


def _subscripted(
    layout: Layout, ref: Ref, variable: Variable, own: Symbol | Constant
) -> list[tuple[Axis, VarRef | int]]:
    if not isinstance(ref.target, str):
        return list(zip(own.axes, ref.subscripts, strict=False))
    _, subscripted = alignment(layout.graph, ref, variable)
    plates = layout.graph.parameter(ref.target).plates
    return [
        (own.axes[plates.index(plate)], sub) for plate, sub in zip(subscripted, ref.subscripts, strict=True)
    ]


def indicators(layout: Layout, variable: Variable, cpd: CPD) -> dict[Axis, Expr]:
    """For every axis of a parameter that is not a latent's: which entry each member uses, as ones and zeros."""
    found: dict[Axis, Expr] = {}
    for _, argument in cpd.arguments:
        ref = _ref(argument)
        for axis, subscript in _subscripted(layout, ref, variable, whole(layout, ref, variable)):
            if isinstance(subscript, int):
                found[axis] = OneHot(Number(float(subscript)), axis)
            elif layout.graph.variable(subscript.name).role != "latent":
                found[axis] = OneHot(data(layout, subscript.name), axis)
    if variable.role == "observed" and isinstance(variable.domain, Integer):
        axis = layout.states[VarRef(variable.name)]
        found[axis] = OneHot(data(layout, variable.name), axis)
    return found
