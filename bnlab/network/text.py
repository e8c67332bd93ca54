"""A network as text: its generative story, and its distributions as one would type or index them."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bnlab.domains import Covariance, Domain, Integer, Simplex, Values
from bnlab.families.base import registry
from bnlab.network.graph import alignment
from bnlab.network.ir import CPD, Affine, Argument, Graph, Parameter, Plate, Ref, Term, Variable, VarRef

ROLE_COLUMN, WIDEST, GAP = 49, 80, 5
"""Roles stand behind the longest line, from ROLE_COLUMN to WIDEST; behind a line that is longer still, after GAP blanks."""

LISTED = 6
"""A constant of at most so many numbers is written in full."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a distribution is read: at `variable`, with an index letter a plate; at `step` (from 0) of its chain, or any."""

    graph: Graph
    variable: Variable
    letters: Mapping[str, str]
    step: int | None = None


def index_letters(graph: Graph) -> dict[str, str]:
    """A letter for each plate: its own name if that is a letter, else the first free letter of its name.

    All are distinct as long as there are letters; after that, those of plates that hold nothing together are shared.
    """
    names = {parameter.name for parameter in graph.parameters} | {
        variable.name for variable in graph.variables
    }
    letters: dict[str, str] = {}
    for plate in sorted(graph.plates, key=lambda plate: len(plate.name) > 1):
        wanted = [letter for letter in plate.name.lower() if letter in string.ascii_lowercase]
        taken = set(letters.values())
        if taken.issuperset(string.ascii_lowercase):
            taken = {letters[other] for other in _beside(graph, plate.name) if other in letters}
        free = [letter for letter in [*wanted, *string.ascii_lowercase] if letter not in taken]
        clear = [letter for letter in free if letter == plate.name or not {letter, letter.upper()} & names]
        letters[plate.name] = (clear or free)[0]
    return {plate.name: letters[plate.name] for plate in graph.plates}


def _beside(graph: Graph, plate: str) -> set[str]:
    """The plates that something is in together with `plate`, and those that data have rows of."""
    records: tuple[Parameter | Variable, ...] = (*graph.parameters, *graph.variables)
    together = {other for record in records if plate in record.plates for other in record.plates}
    return together | {other.name for other in graph.plates if other.size is None}


def size_text(graph: Graph, plate: str, outer: tuple[str, ...], letters: Mapping[str, str]) -> str:
    """The size of `plate` inside the plates `outer`: its number, or a capital such as `T[s]` where the data tell it."""
    size = graph.plate(plate).size
    if size is not None:
        return str(size)
    ragged = [
        letters[name] for name in outer if graph.plate(name).size is None and _encloses(graph, name, plate)
    ]
    return letters[plate].upper() + (f"[{','.join(ragged)}]" if ragged else "")


def _encloses(graph: Graph, outer: str, plate: str) -> bool:
    """Whether all that is in `plate` is in `outer`: else the two cross, and all members of `outer` share those of `plate`."""
    return all(outer in variable.plates for variable in graph.variables if plate in variable.plates)


def story(graph: Graph) -> str:
    """The generative story: one line a variable, plates as loops; parameters only where they have a prior."""
    letters = index_letters(graph)
    lines: list[tuple[str, str]] = []
    loops: tuple[str, ...] = ()
    for plates, text, remark in _sentences(graph, letters):
        shared = _common(loops, plates)
        for depth in range(shared, len(plates)):
            loop, plate = _loop(graph, plates[: depth + 1], letters)
            lines.append(("    " * depth + loop, plate))
        lines.append(("    " * len(plates) + text, remark))
        loops = plates
    ends = (len(line) + GAP for line, remark in lines if remark)
    column = max((end for end in ends if end <= WIDEST), default=ROLE_COLUMN)
    return "\n".join(_line(line, remark, max(column, ROLE_COLUMN)) for line, remark in lines)


def _sentences(graph: Graph, letters: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    for parameter in graph.parameters:
        if parameter.prior is not None:
            yield parameter.plates, f"{_indexed(parameter, letters)} ~ {prior_text(parameter)}", "prior"
    for variable in graph.variables:
        place = Place(graph, variable, letters)
        name = variable_text(VarRef(variable.name), place)
        if variable.cpd is None:
            yield variable.plates, name, variable.role
        else:
            remarks = [variable.role, *_first(graph, variable, letters)]
            yield variable.plates, f"{name} ~ {cpd_text(variable.cpd, place)}", "; ".join(remarks)


def _first(graph: Graph, variable: Variable, letters: Mapping[str, str]) -> Iterator[str]:
    for step, cpd in enumerate(variable.first):
        place = Place(graph, variable, letters, step)
        yield f"{variable_text(VarRef(variable.name), place)} ~ {cpd_text(cpd, place)}"


def _loop(graph: Graph, plates: tuple[str, ...], letters: Mapping[str, str]) -> tuple[str, str]:
    *outer, inner = plates
    plate = graph.plate(inner)
    size = size_text(graph, inner, tuple(outer), letters)
    return f"for {letters[inner]} in 1..{size}:", _plate_remark(plate, letters[inner])


def _plate_remark(plate: Plate, letter: str) -> str:
    name = "" if plate.name == letter else plate.name
    return f"a chain, {name}".removesuffix(", ") if plate.chain else name


def _line(line: str, remark: str, column: int) -> str:
    return line.ljust(max(column, len(line) + GAP)) + remark if remark else line


def _common(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )


def cpd_text(cpd: CPD, place: Place | None = None) -> str:
    """`Normal(mu[z], cov=Sigma[z])` as typed; with a place, with indices: `Normal(mu[z[n]], cov=Sigma[z[n]])`."""
    named = {slot.name for slot in registry()[cpd.family].slots if slot.group}
    parts = (
        f"{name}={argument_text(argument, place)}" if name in named else argument_text(argument, place)
        for name, argument in cpd.arguments
    )
    return f"{cpd.family}({', '.join(parts)})"


def prior_text(parameter: Parameter) -> str:
    """The prior of a parameter as typed."""
    prior = parameter.prior
    assert prior is not None
    return cpd_text(CPD(prior.family, tuple((name, Ref(values)) for name, values in prior.arguments)))


def argument_text(argument: Argument, place: Place | None = None) -> str:
    """An argument as typed, or with indices."""
    match argument:
        case Ref():
            return ref_text(argument, place)
        case VarRef():
            return variable_text(argument, place)
        case Affine(terms):
            return "".join(_terms(terms, place))
    raise AssertionError(argument)


def ref_text(ref: Ref, place: Place | None = None) -> str:
    """`theta[c]` as typed; with a place, with the plates that align too: `theta[c[n],i]`."""
    name = ref.target if isinstance(ref.target, str) else values_text(ref.target)
    subscripts = [
        variable_text(each, place) if isinstance(each, VarRef) else str(each) for each in ref.subscripts
    ]
    if place is not None and isinstance(ref.target, str):
        aligned, _ = alignment(place.graph, ref, place.variable)
        chosen = iter(subscripts)
        plates = place.graph.parameter(ref.target).plates
        subscripts = [place.letters[plate] if plate in aligned else next(chosen) for plate in plates]
    separator = ", " if place is None else ","
    return f"{name}[{separator.join(subscripts)}]" if subscripts else name


def variable_text(ref: VarRef, place: Place | None = None) -> str:
    """`z` or `previous("z")` as typed; with a place, `z[s,t]` or `z[s,t-1]`."""
    if place is None:
        return ref.name if not ref.lag else f'previous("{ref.name}"{f", {ref.lag}" if ref.lag > 1 else ""})'
    plates = place.graph.variable(ref.name).plates
    indices = [_index(place, place.graph.plate(plate), ref.lag) for plate in plates]
    return f"{ref.name}[{','.join(indices)}]" if indices else ref.name


def _index(place: Place, plate: Plate, lag: int) -> str:
    letter = place.letters[plate.name]
    if not plate.chain:
        return letter
    if place.step is not None:
        return str(place.step + 1 - lag)
    return f"{letter}-{lag}" if lag else letter


def _indexed(parameter: Parameter, letters: Mapping[str, str]) -> str:
    indices = ",".join(letters[plate] for plate in parameter.plates)
    return f"{parameter.name}[{indices}]" if indices else parameter.name


def _terms(terms: tuple[Term, ...], place: Place | None) -> Iterator[str]:
    for i, term in enumerate(terms):
        minus = term.sign < 0
        yield (" - " if minus else " + ") if i else ("-" if minus else "")
        yield term_text(term, place)


def term_text(term: Term, place: Place | None = None) -> str:
    """One term without its sign: `W[c] @ y`."""
    factors = [
        argument_text(factor, place) for factor in (term.coefficient, term.variable) if factor is not None
    ]
    if term.op == "rmatmul":
        factors.reverse()
    return (" * " if term.op == "scale" else " @ ").join(factors)


def values_text(values: Values) -> str:
    """A constant as typed, if it is short; else `array(3, 4)`, which tells its shape."""
    shape = ", ".join(map(str, values.shape))
    if values.shape and not any(values.flat):
        return f"zeros({shape})"
    if len(values.shape) == 2 and values.flat and np.array_equal(values.array, np.eye(*values.shape)):
        return f"eye({values.shape[0]})" if values.shape[0] == values.shape[1] else f"array({shape})"
    return _nested(values.array.tolist()) if len(values.flat) <= LISTED else f"array({shape})"


def _nested(numbers: object) -> str:
    if isinstance(numbers, list):
        return f"[{', '.join(_nested(number) for number in numbers)}]"
    return repr(numbers).removesuffix(".0")


def domain_text(domain: Domain) -> str:
    """A domain as typed: `Real(2)`, `Simplex(["yes", "no"])`. Labels are written in ASCII."""
    if isinstance(domain, Simplex | Integer):
        inside = (
            f"[{', '.join(ascii(label) for label in domain.labels)}]" if domain.labels else str(domain.size)
        )
        return f"{type(domain).__name__}({inside})"
    shape = domain.event_shape[:1] if isinstance(domain, Covariance) else domain.event_shape
    return f"{type(domain).__name__}({', '.join(map(str, shape))})"
