"""How the arguments of a distribution are read in the emitted NumPyro model."""

from __future__ import annotations

from collections.abc import Iterator

from bnlab.network.graph import alignment, coefficients, cpds
from bnlab.network.ir import CPD, Affine, Argument, Ref, Subscript, Term, Variable, VarRef
from bnlab.printers.numpyro_code import Code, add, constant, matmul, scale
from bnlab.printers.numpyro_layout import Layout, crossing, needs_ids, spine


def arguments(layout: Layout, variable: Variable, cpd: CPD) -> dict[str, Code]:
    """The arguments of a conditional distribution of `variable`, by slot."""
    return {name: read(layout, variable, argument) for name, argument in cpd.arguments}


def read(layout: Layout, variable: Variable, argument: Argument) -> Code:
    match argument:
        case Ref():
            return _reference(layout, variable, argument)
        case VarRef():
            return _variable(layout, variable, argument)
        case Affine(terms):
            return add(tuple((term.sign, _term(layout, variable, term)) for term in terms))


def _term(layout: Layout, variable: Variable, term: Term) -> Code:
    coefficient = None if term.coefficient is None else read(layout, variable, term.coefficient)
    other = None if term.variable is None else read(layout, variable, term.variable)
    if coefficient is None or other is None:
        found = coefficient or other
        return found if found is not None else Code("1.0", 0)
    match term.op:
        case "matmul":
            return matmul(coefficient, other)
        case "rmatmul":
            return matmul(other, coefficient)
        case _:
            return scale(coefficient, other)


def _variable(layout: Layout, reader: Variable, ref: VarRef) -> Code:
    variable = layout.graph.variable(ref.name)
    text = layout.locals[f"{ref.name} {ref.lag}"] if ref.lag else ref.name
    inner, outer = spine(layout.graph, reader), spine(layout.graph, variable)
    if not layout.padded and outer and outer != inner:
        text = f"{text}[{members(layout, outer[-1], inner)}]"
    batched = bool(variable.plates) or variable.role == "latent"
    return Code(text, len(variable.domain.event_shape), batched)


def members(layout: Layout, outer: str, inner: tuple[str, ...]) -> str:
    """The ids that tell for each row of the spine `inner` its member of `outer`; the data have those of innermost plates."""
    graph = layout.graph
    innermost = inner[-1] not in needs_ids(graph) or crossing(graph, inner)
    return outer if innermost else layout.locals[f"{outer} of {inner[-1]}"]


def _reference(layout: Layout, reader: Variable, ref: Ref) -> Code:
    if not isinstance(ref.target, str):
        whole = constant(ref.target)
        index = [_subscript(layout, reader, each) for each in ref.subscripts]
        return _indexed(whole.text, index, whole.rank - len(index))
    parameter = layout.graph.parameter(ref.target)
    rank = len(parameter.domain.event_shape)
    aligned, _ = alignment(layout.graph, ref, reader)
    if aligned == parameter.plates and _in_place(layout, aligned):
        return Code(parameter.name, rank, bool(aligned))
    chosen = iter(ref.subscripts)
    index = [
        Code(layout.locals[f"index {plate}"], 0, True)
        if plate in aligned
        else _subscript(layout, reader, next(chosen))
        for plate in parameter.plates
    ]
    return _indexed(parameter.name, index, rank)


def _in_place(layout: Layout, plates: tuple[str, ...]) -> bool:
    """Whether arrays with axes `plates` broadcast as they are."""
    return [layout.dims[plate] for plate in plates] == list(range(-len(plates), 0))


def _indexed(text: str, index: list[Code], rank: int) -> Code:
    if not index:
        return Code(text, rank)
    return Code(
        f"{text}[{', '.join(each.text for each in index)}]", rank, any(each.batched for each in index)
    )


def _subscript(layout: Layout, reader: Variable, subscript: Subscript) -> Code:
    return Code(str(subscript), 0) if isinstance(subscript, int) else _variable(layout, reader, subscript)


def indexed_plates(layout: Layout) -> tuple[str, ...]:
    """The plates whose members must be numbered: a parameter is read in them, but not as a whole."""
    found = (alignment(layout.graph, ref, variable)[0] for variable, ref in _partly(layout))
    return tuple(dict.fromkeys(plate for plates in found for plate in plates))


def subscripted(layout: Layout) -> tuple[str, ...]:
    """The parameters without a fixed value that are read by their members."""
    names = {ref.target for _, ref in _partly(layout)}
    return tuple(p.name for p in layout.graph.parameters if p.name in names and p.value is None)


def _partly(layout: Layout) -> Iterator[tuple[Variable, Ref]]:
    """Where parameters are read with subscripts or along dimensions that are not their own axes."""
    for variable in layout.graph.variables:
        for ref in (ref for cpd in cpds(variable) for ref in coefficients(cpd)):
            if isinstance(ref.target, str):
                plates = layout.graph.parameter(ref.target).plates
                if alignment(layout.graph, ref, variable)[0] != plates or not _in_place(layout, plates):
                    yield variable, ref
