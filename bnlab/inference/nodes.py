"""Conditional distributions as the families see them: parameters read at the members, with named axes."""

from __future__ import annotations

from bnlab.domains import Integer, Values
from bnlab.families.base import Node, Slope, Term
from bnlab.inference.axes import Layout, coefficient_axes, mean_terms
from bnlab.inference.pieces import Piece
from bnlab.inference.scope import gaussian_scope
from bnlab.naming import lagged_name, step_of
from bnlab.network.graph import alignment, coefficients, cpds
from bnlab.network.ir import CPD, Affine, Argument, Ref, Variable, VarRef
from bnlab.network.ir import Term as NetworkTerm
from bnlab.program.build import add, einsum, multiply, subtract
from bnlab.program.ops import (
    ROW,
    SIZED,
    STEP,
    Axes,
    Axis,
    Constant,
    Expr,
    Number,
    OneHot,
    Steps,
    Symbol,
    Take,
    union,
)
from bnlab.program.walk import reindexed


def data(layout: Layout, name: str) -> Symbol:
    """The values of an observed or given variable."""
    variable = layout.graph.variable(name)
    event = (
        () if isinstance(variable.domain, Integer) else layout.event(name, len(variable.domain.event_shape))
    )
    return Symbol(name, (*layout.members(variable.plates), *event), "chunk")


def read(layout: Layout, ref: VarRef, variable: Variable, piece: Piece) -> Expr:
    """The data of another variable, or of earlier steps, as the members of `variable` see them."""
    found: Expr = data(layout, ref.name)
    step = next((axis for axis in found.axes if axis.kind == STEP), None)
    if step is not None and not piece.whole:
        found = Steps(found, step, "range", piece.start - ref.lag, ref.lag, piece.only)
    rows = next((axis for axis in layout.members(variable.plates) if axis.kind == ROW), None)
    outer = next((axis for axis in found.axes if axis.kind == ROW and axis != rows), None)
    if outer is None or rows is None:
        return found
    return Take(found, ((outer, layout.index(rows, outer)),))


def node(layout: Layout, variable: Variable, piece: Piece) -> Node:
    """One conditional distribution of `variable`."""
    discrete = isinstance(variable.domain, Integer)
    rank = 0 if discrete else len(variable.domain.event_shape)
    event = layout.event(variable.name, 2) if rank else ()
    own: dict[str, Symbol | Constant] = {}
    arguments: dict[str, Expr] = {}
    terms: tuple[Term, ...] = ()
    slopes: tuple[Slope, ...] = ()
    regression = _is_regression(layout, piece.cpd) or _is_gaussian(layout, variable, piece.cpd)
    for name, argument in piece.cpd.arguments:
        ref = alone(argument)
        if ref is not None and not (regression and isinstance(argument, Affine)):
            own[name] = whole(layout, ref, variable)
            arguments[name] = taken(layout, ref, variable, own[name], piece)
        elif isinstance(argument, VarRef):
            arguments[name] = _same_entries(layout, argument, variable, piece)
        else:
            assert isinstance(argument, Affine), "a Ref is alone"
            terms, slopes, arguments[name] = affine(layout, argument, variable, piece)
    value = read(layout, VarRef(variable.name), variable, piece) if variable.role == "observed" else None
    state = layout.states[VarRef(variable.name)] if discrete else None
    suffix, known = _suffix(layout, variable, piece), _known(layout, piece.cpd)
    return Node(
        piece.label,
        variable.name,
        value,
        state,
        event,
        arguments,
        own,
        suffix,
        known,
        terms,
        slopes,
    )


def _known(layout: Layout, cpd: CPD) -> dict[str, Values]:
    """The numbers of arguments that are not learnt: constants, and parameters with a value."""
    refs = {name: argument for name, argument in cpd.arguments if isinstance(argument, Ref)}
    numbers = {
        name: layout.graph.parameter(ref.target).value if isinstance(ref.target, str) else ref.target
        for name, ref in refs.items()
    }
    return {name: values for name, values in numbers.items() if values is not None}


def _is_gaussian(layout: Layout, variable: Variable, cpd: CPD) -> bool:
    """Whether a distribution is that of a Gaussian latent, or has one in its mean."""
    return variable.continuous_latent or bool(gaussian_scope(layout.graph, cpd))


def _is_regression(layout: Layout, cpd: CPD) -> bool:
    """Whether a mean is learnt by regression: it is a sum, or shares a parameter with one, or members are weighed by data."""

    def summed(one: CPD) -> bool:
        means = [argument for _, argument in one.arguments if isinstance(argument, Affine)]
        data_ = any(isinstance(argument, VarRef) for _, argument in one.arguments)
        return any(data_ or alone(mean) is None for mean in means)

    def names(one: CPD) -> set[object]:
        return {t.coefficient.target for t in mean_terms(one) if isinstance(t.coefficient, Ref)}

    others = (other for variable in layout.graph.variables for other in cpds(variable))
    parameters = {name for name in names(cpd) if isinstance(name, str)}
    return summed(cpd) or any(summed(other) and names(other) & parameters for other in others)


def _suffix(layout: Layout, variable: Variable, piece: Piece) -> str:
    sole = sum(not other.discrete for other in layout.graph.in_role("observed", "latent")) == 1
    first = step_of(piece.label)
    return first if sole else f"_{variable.name}{first}"


def _same_entries(layout: Layout, ref: VarRef, variable: Variable, piece: Piece) -> Expr:
    """Data with the child's entries."""
    rank = len(layout.graph.variable(ref.name).domain.event_shape)
    names = dict(zip(layout.event(ref.name, rank), layout.event(variable.name, rank), strict=True))
    return reindexed(read(layout, ref, variable, piece), names)


def alone(argument: Argument) -> Ref | None:
    """The one parameter or constant that an argument is; None for data, sums and products."""
    if isinstance(argument, Affine):
        coefficient = argument.terms[0].coefficient
        return coefficient if argument.alone and isinstance(coefficient, Ref) else None
    return argument if isinstance(argument, Ref) else None


def whole(layout: Layout, ref: Ref, variable: Variable, entries: Axes | None = None) -> Symbol | Constant:
    """A parameter with its own axes named as `variable` reads them: aligned plates, subscripts, then its entries'
    (the child's, if no others are given).
    """
    if not isinstance(ref.target, str):
        leading = tuple(_subscript_axis(layout, ref, place, "") for place in range(len(ref.subscripts)))
        rest = len(ref.target.shape) - len(leading)
        event = _event(layout, variable, rest) if entries is None else entries
        return Constant(ref.target.flat, ref.target.shape, (*leading, *event))
    parameter = layout.graph.parameter(ref.target)
    _, subscripted = alignment(layout.graph, ref, variable)
    axes = []
    for plate in parameter.plates:
        if plate in subscripted:
            axes.append(_subscript_axis(layout, ref, subscripted.index(plate), plate))
        else:
            axes.append(layout.plates[plate])
    event = _event(layout, variable, len(parameter.domain.event_shape)) if entries is None else entries
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
    assert not isinstance(ref.target, str)
    return Axis(SIZED, 900 + place, f"constant {place}", "ABCDE"[place], ref.target.shape[place])


def taken(layout: Layout, ref: Ref, variable: Variable, own: Symbol | Constant, piece: Piece) -> Expr:
    """The parameter with observed, given and constant subscripts applied; those of latents stay axes."""
    indices: list[tuple[Axis, Expr]] = []
    for axis, subscript in _subscripted(layout, ref, variable, own):
        if isinstance(subscript, int):
            indices.append((axis, Number(float(subscript))))
        elif layout.graph.variable(subscript.name).role != "latent":
            indices.append((axis, read(layout, subscript, variable, piece)))
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


def indicators(layout: Layout, variable: Variable, piece: Piece) -> dict[Axis, Expr]:
    """For every axis of a parameter that is not a latent's: which entry each member uses, as ones and zeros."""
    found: dict[Axis, Expr] = {}
    for ref in coefficients(piece.cpd):
        for axis, subscript in _subscripted(layout, ref, variable, whole(layout, ref, variable, ())):
            if isinstance(subscript, int):
                found[axis] = OneHot(Number(float(subscript)), axis)
            elif layout.graph.variable(subscript.name).role != "latent":
                found[axis] = OneHot(read(layout, subscript, variable, piece), axis)
    if variable.role == "observed" and isinstance(variable.domain, Integer):
        axis = layout.states[VarRef(variable.name)]
        found[axis] = OneHot(read(layout, VarRef(variable.name), variable, piece), axis)
    return found


# -- affine means


def affine(
    layout: Layout, mean: Affine, variable: Variable, piece: Piece
) -> tuple[tuple[Term, ...], tuple[Slope, ...], Expr]:
    """The terms of a mean, those of them that hold a Gaussian latent, and all others at the members."""
    found, slopes, total = [], [], None
    for place, term in enumerate(mean.terms):
        if term.variable is not None and layout.graph.variable(term.variable.name).role == "latent":
            made, slope = _slope(layout, term, variable, piece, place)
            found.append(made)
            slopes.append(slope)
            continue
        made, value = _term(layout, term, variable, piece)
        found.append(made)
        if total is None:
            total = value if term.sign > 0 else multiply(Number(-1.0), value)
        else:
            total = add(total, value) if term.sign > 0 else subtract(total, value)
    return tuple(found), tuple(slopes), Number(0.0) if total is None else total


def _slope(
    layout: Layout, term: NetworkTerm, variable: Variable, piece: Piece, place: int
) -> tuple[Term, Slope]:
    """A Gaussian latent in the mean of `variable`; the regressor's values are its posterior means, once these are known."""
    assert term.variable is not None
    ref = VarRef(term.variable.name, term.variable.lag)
    entries = layout.vector(ref)
    event = layout.event(variable.name, 2) if variable.domain.event_shape else ()
    name, formula = _called(layout, term.variable, piece)
    columns = layout.columns.get((variable.name, ref), ()) if term.op != "scale" else ()
    elementwise = term.op == "scale" and (bool(entries) or not event)
    held = columns[:1] or (event[:1] if entries else ())
    value = Symbol(f"{ref.name} to come", held)
    if term.coefficient is None:
        return Term(term.sign, None, value), Slope(ref.name, ref.lag, entries, None, True, term.sign, place)
    if isinstance(term.coefficient, VarRef):
        data_ = _factor(layout, term.coefficient, term, variable, piece, False)
        return Term(term.sign, None, value), Slope(
            ref.name, ref.lag, entries, data_, elementwise, term.sign, place
        )
    axes = coefficient_axes(term, event, columns, _entries(layout, term.coefficient))
    own = whole(layout, term.coefficient, variable, axes)
    coefficient = taken(layout, term.coefficient, variable, own, piece)
    target = term.coefficient.target
    free = isinstance(target, str) and layout.graph.parameter(target).value is None
    made = Term(term.sign, own, value, columns[:1], columns[1:], free, name, formula)
    return made, Slope(ref.name, ref.lag, entries, coefficient, elementwise, term.sign, place)


def _term(layout: Layout, term: NetworkTerm, variable: Variable, piece: Piece) -> tuple[Term, Expr]:
    event = layout.event(variable.name, 2) if variable.domain.event_shape else ()
    columns: Axes = ()
    if term.variable is not None and term.op != "scale":
        columns = layout.columns[variable.name, VarRef(term.variable.name, term.variable.lag)]
    value = None if term.variable is None else _factor(layout, term.variable, term, variable, piece, True)
    if not isinstance(term.coefficient, Ref):
        if term.coefficient is not None and value is not None:
            value = _product(
                _factor(layout, term.coefficient, term, variable, piece, False), value, columns[:1]
            )
        assert value is not None, "a term has a coefficient or a variable"
        return Term(term.sign, None, value), value
    entries = coefficient_axes(term, event, columns, _entries(layout, term.coefficient))
    own = whole(layout, term.coefficient, variable, entries)
    coefficient = taken(layout, term.coefficient, variable, own, piece)
    target = term.coefficient.target
    free = isinstance(target, str) and layout.graph.parameter(target).value is None
    at = coefficient if value is None else _product(value, coefficient, columns[:1])
    name, formula = _called(layout, term.variable, piece)
    return Term(term.sign, own, value, columns[:1], columns[1:], free, name, formula), at


def _entries(layout: Layout, ref: Ref) -> tuple[int, ...]:
    """The shape of one member's coefficient."""
    if isinstance(ref.target, str):
        return layout.graph.parameter(ref.target).domain.event_shape
    return ref.target.shape[len(ref.subscripts) :]


def _factor(
    layout: Layout, ref: VarRef, term: NetworkTerm, variable: Variable, piece: Piece, right: bool
) -> Expr:
    """The data of a term under the axes of the child's entries and of those that are summed over."""
    assert term.variable is not None
    rank = len(layout.graph.variable(ref.name).domain.event_shape)
    own = layout.event(ref.name, rank)
    event = layout.event(variable.name, 1) if variable.domain.event_shape else ()
    found = read(layout, ref, variable, piece)
    if term.op == "scale":
        return reindexed(found, dict(zip(own, event[:rank], strict=True)))
    column = layout.columns[variable.name, VarRef(term.variable.name, term.variable.lag)][:1]
    summed_first = right == (term.op == "matmul")
    if rank == 1:
        return reindexed(found, dict(zip(own, column, strict=True)))
    wanted = (*column, *event) if summed_first else (*event, *column)
    return reindexed(found, dict(zip(own, wanted, strict=True)))


def _product(left: Expr, right: Expr, over: Axes) -> Expr:
    """The product, summed over the entries of a regressor."""
    if not over:
        return multiply(left, right)
    return einsum(tuple(axis for axis in union(left, right) if axis not in over), left, right)


def _called(layout: Layout, ref: VarRef | None, piece: Piece) -> tuple[str, str]:
    """The name of a regressor in statistics, and the regressor with its indices."""
    if ref is None:
        return "", ""
    name = lagged_name(ref.name, ref.lag)
    graph, letters = layout.graph, []
    for plate in graph.variable(ref.name).plates:
        letter = layout.plates[plate].letter
        if graph.plate(plate).chain:
            letter = (
                str(piece.start + 1 - ref.lag) if piece.only else f"{letter}-{ref.lag}" if ref.lag else letter
            )
        letters.append(letter)
    return name, f"{ref.name}[{','.join(letters)}]" if letters else ref.name
