"""Shapes and domains: what each argument of a distribution is, and so what is drawn from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bnlab.domains import Domain, Integer, Real, Values
from bnlab.families.base import registry
from bnlab.network.ir import CPD, Affine, Argument, Graph, Ref, Term, Variable, VarRef
from bnlab.network.text import term_text

Shape = tuple[int, ...]

UNKNOWN = Domain()
"""The domain of what was declared wrongly: no check complains about it again."""


def infer_domains(graph: Graph) -> Graph:
    """The graph with the domain of each variable worked out from its distributions, as far as they tell it."""
    known: dict[str, Domain] = {parameter.name: parameter.domain for parameter in graph.parameters}
    known |= {variable.name: variable.domain for variable in graph.variables if variable.role == "given"}
    waiting = [variable for variable in graph.variables if variable.role != "given"]
    while waiting:
        drawn = {variable.name: variable_domain(variable, known) for variable in waiting}
        found = {name: domain for name, domain in drawn.items() if domain is not None}
        known |= found
        if not found:
            break
        waiting = [variable for variable in waiting if variable.name not in found]
    variables = tuple(
        variable if variable.role == "given" else replace(variable, domain=known.get(variable.name, UNKNOWN))
        for variable in graph.variables
    )
    return replace(graph, variables=variables)


def variable_domain(variable: Variable, known: Mapping[str, Domain]) -> Domain | None:
    """What the distributions of a variable draw, by the first of them that tells; None while none does."""
    cpds = variable.first if variable.cpd is None else (variable.cpd, *variable.first)
    domains = [domain for cpd in cpds if (domain := _quietly(cpd, known)) is not None]
    named = (domain for domain in domains if isinstance(domain, Integer) and domain.labels)
    return next(named, domains[0]) if domains else None


def cpd_domain(cpd: CPD, known: Mapping[str, Domain]) -> Domain | None:
    """What `cpd` draws; None where an argument's domain is not known. Raises ValueError if shapes do not fit."""
    arguments = {name: argument_domain(argument, known) for name, argument in cpd.arguments}
    found = {name: domain for name, domain in arguments.items() if domain is not None}
    return registry()[cpd.family].domain(found) if len(found) == len(arguments) else None


def argument_domain(argument: Argument, known: Mapping[str, Domain]) -> Domain | None:
    """The domain of one member's argument; of constants and means, real arrays. Raises ValueError as above."""
    match argument:
        case Ref(Values() as values, subscripts):
            return Real(values.shape[len(subscripts) :])
        case Ref(str() as name, _):
            return _unless_unknown(known.get(name))
        case VarRef(name, _):
            return _unless_unknown(known.get(name))
        case Affine():
            shape = affine_shape(argument, known)
            return None if shape is None else Real(shape)
    raise AssertionError(argument)


def affine_shape(affine: Affine, known: Mapping[str, Domain]) -> Shape | None:
    """The shape of a sum: all its terms must have the same. None while no term's shape is known."""
    shapes = [term_shape(term, known) for term in affine.terms]
    distinct = {shape for shape in shapes if shape is not None}
    if len(distinct) > 1:
        listed = ", ".join(
            f"{term_text(term)} has {shape}" for term, shape in zip(affine.terms, shapes, strict=True)
        )
        raise ValueError(f"The terms of a sum have the same shape, and here {listed}.")
    return distinct.pop() if distinct else None


def term_shape(term: Term, known: Mapping[str, Domain]) -> Shape | None:
    """The shape of coefficient times variable. Raises ValueError if they do not multiply."""
    left = None if term.coefficient is None else _shape(term.coefficient, known)
    right = None if term.variable is None else _shape(term.variable, known)
    if term.coefficient is None:
        return right
    if term.variable is None:
        return left
    try:
        match term.op:
            case "matmul":
                return _matmul_shape(left, right)
            case "rmatmul":
                return _matmul_shape(right, left)
            case _:
                return _scaled_shape(left, right)
    except ValueError as error:
        raise ValueError(f"{term_text(term)} is not possible: {error}") from None


def _scaled_shape(left: Shape | None, right: Shape | None) -> Shape | None:
    if left is None or right is None:
        return left or right or None
    if left and right and left != right:
        raise ValueError(f"shapes {left} and {right} do not multiply by `*`; a matrix product is `@`.")
    return left or right


def _matmul_shape(left: Shape | None, right: Shape | None) -> Shape | None:
    """Shapes of `left @ right`; an unknown one is taken for a vector, as variables mostly are."""
    if left is None and right is None:
        return None
    if left is None:
        return right[1:] if right else None
    if right is None:
        return left[:-1]
    if not left or not right:
        raise ValueError(f"shapes {left} and {right} do not multiply by `@`; a scalar multiplies by `*`.")
    inner = right[0]
    if left[-1] != inner:
        raise ValueError(
            f"shapes {left} and {right} do not multiply by `@`, because {left[-1]} is not {inner}."
        )
    return left[:-1] + right[1:]


def _shape(factor: Ref | VarRef, known: Mapping[str, Domain]) -> Shape | None:
    domain = argument_domain(factor, known)
    return None if domain is None else domain.event_shape


def _unless_unknown(domain: Domain | None) -> Domain | None:
    return None if domain == UNKNOWN else domain


def _quietly(cpd: CPD, known: Mapping[str, Domain]) -> Domain | None:
    """The domain if it can be told; what is wrong with the shapes is for the checks to say."""
    try:
        return cpd_domain(cpd, known)
    except ValueError:
        return None
