"""The axes of a network's arrays: steps and rows of data, sized plates, states of latents, entries of vectors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from bnlab.domains import Integer
from bnlab.network.graph import coefficients, cpds
from bnlab.network.ir import Graph, Parameter, Variable, VarRef
from bnlab.network.text import index_letters
from bnlab.program.ops import EVENT, ROW, SIZED, STATE, STEP, Axes, Axis

STATE_LETTERS = "klmabcghpqvwr"
MOST_DISTINCT = 12
"""Discrete variables, up to which each has a letter of its own."""

EVENT_LETTERS = "defghopqr"
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

    def parameter(self, parameter: Parameter) -> Axes:
        """The axes of a parameter's own array."""
        plates = tuple(self.plates[plate] for plate in parameter.plates)
        return (*plates, *self.event(parameter.name, len(parameter.domain.event_shape)))


def layout(graph: Graph, meetings: Collection[frozenset[str]] = ()) -> Layout:
    """Gives every axis its letter: those of the story for plates, the plate's letter for the states that index it.

    All are distinct as long as small letters last. After that, states that never meet share them: `meetings` are the
    variables of each table that is built, and those of one distribution meet too.
    """
    letters = index_letters(graph)
    discrete = [variable for variable in graph.variables if isinstance(variable.domain, Integer)]
    if len(discrete) > MOST_DISTINCT:
        return _crowded(graph, letters, (*meetings, *_families(graph)))
    taken = {letters[plate.name] for plate in graph.plates if plate.size is None}
    taken |= {letters[plate] for variable in graph.variables for plate in variable.plates}
    states = _states(graph, letters, taken)
    events = _events(graph, states, taken | set(letters.values()))
    return Layout(graph, _plates(graph, letters), states, events)


def _plates(graph: Graph, letters: Mapping[str, str]) -> dict[str, Axis]:
    return {
        plate.name: Axis(
            STEP if plate.chain else SIZED if plate.size else ROW,
            position,
            plate.name,
            letters[plate.name],
            plate.size,
            letters[plate.name].upper(),
        )
        for position, plate in enumerate(graph.plates)
    }


def _families(graph: Graph) -> Iterator[frozenset[str]]:
    for variable in graph.variables:
        yield frozenset({variable.name, *(ref.name for ref in _subscripts(graph, variable))})


def _crowded(graph: Graph, letters: dict[str, str], meetings: Collection[frozenset[str]]) -> Layout:
    """The axes of a network of many discrete variables; those of a plate of parameters have the letter of what indexes it."""
    rows = {letters[plate] for variable in graph.variables for plate in variable.plates}
    indexed, chained = _indexed_plates(graph), _read_before(graph)
    own: dict[str, str] = {}
    states: dict[VarRef, Axis] = {}
    discrete = [variable for variable in graph.variables if isinstance(variable.domain, Integer)]
    for position, variable in enumerate(discrete):
        assert isinstance(variable.domain, Integer)
        near = {name for meeting in meetings if variable.name in meeting for name in meeting}
        used = rows | {letter for name in near for letter in own.get(name, "")}
        now = _free(variable.name.lower() + STATE_LETTERS + SPARE, used)
        own[variable.name] = now
        size = variable.domain.size
        states[VarRef(variable.name)] = Axis(STATE, 2 * position + 1, variable.name, now, size, now.upper())
        if variable.name in chained:
            before = _free("ji" + SPARE, used | {now})
            own[variable.name] += before
            name = f"{variable.name}'"
            states[VarRef(variable.name, 1)] = Axis(STATE, 2 * position, name, before, size, now.upper())
        if variable.name in indexed:
            letters = letters | {indexed[variable.name]: now}
    return Layout(graph, _plates(graph, letters), states, _events(graph, states, rows))


def _read_before(graph: Graph) -> set[str]:
    """The discrete variables whose states are met one step earlier, too: latents of chains, and what a table reads there."""
    lagged = {ref.name for variable in graph.variables for ref in _subscripts(graph, variable) if ref.lag}
    latents = graph.in_role("latent")
    return lagged | {v.name for v in latents if any(graph.plate(plate).chain for plate in v.plates)}


def _states(graph: Graph, letters: dict[str, str], taken: set[str]) -> dict[VarRef, Axis]:
    indexed, chained = _indexed_plates(graph), _read_before(graph)
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
        if variable.name in chained:
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
        for rank in range(2):
            letter = _free(EVENT_LETTERS + SPARE, used)
            used.add(letter)
            extent = extent or letter.upper()
            name = variable.name + "'" * rank
            events[variable.name, rank] = Axis(
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
