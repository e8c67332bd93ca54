"""The axes of a network's arrays: steps and rows of data, sized plates, states of latents, entries of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bnlab.domains import Integer
from bnlab.network.graph import coefficients, cpds, reads
from bnlab.network.ir import Affine, Graph, Parameter, Ref, Term, Variable, VarRef
from bnlab.network.text import index_letters
from bnlab.program.ops import EVENT, ROW, SIZED, STATE, STEP, Axes, Axis

STATE_LETTERS = "klmabcghpqvwr"
EVENT_LETTERS = "defghopqr"
LAGGED = "-"
"""Behind the name of a variable, as often as it is read steps earlier."""
SPARE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Layout:
    """All axes of one network, each with a letter of its own.

    A plate of parameters shares its letter with the states that it is read at.
    """

    graph: Graph
    plates: dict[str, Axis]
    states: dict[VarRef, Axis]
    events: dict[tuple[str, int], Axis]

    def members(self, plates: tuple[str, ...]) -> Axes:
        """The axes that count the members of some plates.

        They are the step, the rows of the innermost plate without size, and the sized plates.
        """
        known = [self.graph.plate(name) for name in plates]
        steps = [self.plates[plate.name] for plate in known if plate.chain]
        rows = [self.plates[plate.name] for plate in known if plate.size is None and not plate.chain][-1:]
        sized = [self.plates[plate.name] for plate in known if plate.size is not None]
        return (*steps, *rows, *sorted(sized))

    def scope(self, scope: tuple[VarRef, ...]) -> Axes:
        return tuple(sorted(self.states[ref] for ref in scope))

    def event(self, name: str, rank: int) -> Axes:
        """The event axes of a variable or parameter; rank 2 adds the second axis of a matrix over a vector's entries."""
        return tuple(self.events[name, place] for place in range(rank))

    def vector(self, ref: VarRef, rank: int = 1) -> Axes:
        """The axes of a Gaussian latent's entries, as it is read; rank 2 adds those of a matrix over them; () for a scalar."""
        shape = self.graph.variable(ref.name).domain.event_shape
        name = ref.name + LAGGED * ref.lag
        return tuple(self.events[name, place] for place in range(rank)) if shape else ()

    def parameter(self, parameter: Parameter) -> Axes:
        """The axes of a parameter's own array."""
        plates = tuple(self.plates[plate] for plate in parameter.plates)
        return (*plates, *self.event(parameter.name, len(parameter.domain.event_shape)))


def layout(graph: Graph) -> Layout:
    """Gives every axis its letter: those of the story for plates, the plate's letter for the states that index it."""
    letters = index_letters(graph)
    taken = {letters[plate.name] for plate in graph.plates if plate.size is None}
    plates: dict[str, Axis] = {}
    for position, plate in enumerate(graph.plates):
        kind = STEP if plate.chain else SIZED if plate.size else ROW
        plates[plate.name] = Axis(
            kind, position, plate.name, letters[plate.name], plate.size, letters[plate.name].upper()
        )
    used_as_rows = {plate for variable in graph.variables for plate in variable.plates}
    taken |= {letters[plate] for plate in used_as_rows}
    states = _states(graph, letters, taken)
    events = _events(graph, states, taken | set(letters.values()))
    return Layout(graph, plates, states, events)


def _states(graph: Graph, letters: dict[str, str], taken: set[str]) -> dict[VarRef, Axis]:
    indexed = _indexed_plates(graph)
    lagged = {
        ref
        for variable in graph.variables
        for cpd in cpds(variable)
        for ref in _subscripts(graph, variable)
        if ref.lag
    }
    states: dict[VarRef, Axis] = {}
    reserved = {letters[plate] for plate in indexed.values()}
    discrete = [variable for variable in graph.variables if isinstance(variable.domain, Integer)]
    for position, variable in enumerate(discrete):
        assert isinstance(variable.domain, Integer)
        plate = indexed.get(variable.name)
        wanted = letters[plate] if plate and letters[plate] not in taken else ""
        first = variable.name if variable.role == "latent" else "vw"
        letter = wanted or _free(first + STATE_LETTERS + SPARE, taken | reserved)
        taken.add(letter)
        size = variable.domain.size
        states[VarRef(variable.name)] = Axis(
            STATE, 2 * position + 1, variable.name, letter, size, letter.upper()
        )
        chained = variable.role == "latent" and any(graph.plate(plate).chain for plate in variable.plates)
        if chained or VarRef(variable.name, 1) in lagged:
            before = _free("ji" + SPARE, taken | reserved)
            taken.add(before)
            states[VarRef(variable.name, 1)] = Axis(
                STATE, 2 * position, f"{variable.name}'", before, size, letter.upper()
            )
    return states


def _events(graph: Graph, states: dict[VarRef, Axis], taken: set[str]) -> dict[tuple[str, int], Axis]:
    """Vectors' entries. A parameter shares the axes of the variable whose distribution it enters: its rows are that one's."""
    events: dict[tuple[str, int], Axis] = {}
    used = set(taken) | {axis.letter for axis in states.values()}
    position = 0
    for variable in graph.variables:
        if isinstance(variable.domain, Integer) or not variable.domain.event_shape:
            continue
        extent = ""
        lags = range(1 + any(r.lag and r.name == variable.name for v in graph.variables for c in cpds(v) for r in reads(c)))
        ranks = 3 if variable.role == "latent" else 2
        for lag, rank in ((lag, rank) for lag in lags for rank in range(ranks)):
            letter = _free(EVENT_LETTERS + SPARE, used)
            used.add(letter)
            extent = extent or letter.upper()
            name = variable.name + "'" * rank + LAGGED * lag
            events[variable.name + LAGGED * lag, rank] = Axis(
                EVENT, position, name, letter, variable.domain.event_shape[0], extent
            )
            position += 1
    for parameter in graph.parameters:
        owner = next(
            (
                v
                for v in graph.variables
                if any(r.target == parameter.name for c in cpds(v) for r in coefficients(c))
            ),
            None,
        )
        shape = parameter.domain.event_shape
        slope = _regressor(graph, owner, parameter)
        if owner is not None and slope is not None:
            events.update({(parameter.name, r): axis for r, axis in enumerate(slope_axes(graph, events, owner, slope, len(shape)))})
            continue
        for rank, size in enumerate(shape):
            if owner is not None and (owner.name, rank) in events:
                events[parameter.name, rank] = events[owner.name, rank]
                continue
            state = states.get(VarRef(owner.name)) if owner is not None else None
            letter = state.letter if state is not None and rank == 0 else _free(EVENT_LETTERS + SPARE, used)
            if state is None:
                used.add(letter)
            events[parameter.name, rank] = Axis(
                EVENT, 1000 + position, f"{parameter.name}.{rank}", letter, size, letter.upper()
            )
            position += 1
    return events


def slope_axes(graph: Graph, events: Mapping[tuple[str, int], Axis], owner: Variable, term: Term, rank: int) -> Axes:
    """The axes of a coefficient: the entries of `owner` and those of the variable that it multiplies."""
    assert term.variable is not None
    parent = graph.variable(term.variable.name)
    rows = (events[owner.name, 0],) if owner.domain.event_shape else ()
    columns = (events[parent.name + LAGGED * term.variable.lag, 0],) if parent.domain.event_shape else ()
    match term.op:
        case "matmul":
            return (*rows, *columns) if rank == 2 else columns
        case "rmatmul":
            return (*columns, *rows) if rank == 2 else columns
        case _:
            return rows if rank else ()


def _regressor(graph: Graph, owner: Variable | None, parameter: Parameter) -> Term | None:
    """The first term that the parameter is the coefficient of, where it multiplies a continuous variable."""
    for cpd in cpds(owner) if owner is not None else ():
        mean = cpd.argument("mean")
        for term in mean.terms if isinstance(mean, Affine) else ():
            if isinstance(term.coefficient, Ref) and term.coefficient.target == parameter.name:
                return term if term.variable is not None else None
    return None


def _indexed_plates(graph: Graph) -> dict[str, str]:
    """For each discrete variable the first sized plate of parameters that it is a subscript of."""
    found: dict[str, str] = {}
    for variable in graph.variables:
        for cpd in cpds(variable):
            for ref in coefficients(cpd):
                if not isinstance(ref.target, str):
                    continue
                plates = [
                    plate for plate in graph.parameter(ref.target).plates if plate not in variable.plates
                ]
                for plate, subscript in zip(plates, ref.subscripts, strict=True):
                    if isinstance(subscript, VarRef):
                        found.setdefault(subscript.name, plate)
    return found


def _subscripts(graph: Graph, variable: Variable) -> list[VarRef]:
    refs = [ref for cpd in cpds(variable) for ref in coefficients(cpd)]
    return [subscript for ref in refs for subscript in ref.subscripts if isinstance(subscript, VarRef)]


def _free(wanted: str, taken: set[str]) -> str:
    return next((letter for letter in wanted if letter.isalpha() and letter not in taken), "Z")
