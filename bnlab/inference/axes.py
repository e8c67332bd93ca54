"""The axes of a network's arrays: steps and rows of data, sized plates, states of latents, entries of vectors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from bnlab.domains import Integer
from bnlab.naming import fresh
from bnlab.network.graph import coefficients, cpds, reads
from bnlab.network.ir import CPD, Affine, Graph, Parameter, Ref, Term, Variable, VarRef
from bnlab.network.text import index_letters
from bnlab.program.ops import EVENT, ROW, SIZED, STATE, STEP, Axes, Axis, Symbol

STATE_LETTERS = "klmabcghpqvwr"
MOST_DISTINCT = 12
"""Discrete variables, up to which each has a letter of its own."""

EVENT_LETTERS = "defghopqr"
LAGGED = "-"
"""Behind the name of a variable, as often as it is read steps earlier."""
SPARE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Layout:
    """All axes of one network, each with a letter of its own.

    A plate of parameters shares its letter with the states that it is read at. `seen` are latents that are observed in
    part: they stand among what the posterior is given.
    """

    graph: Graph
    plates: dict[str, Axis]
    states: dict[VarRef, Axis]
    events: dict[tuple[str, int], Axis]
    columns: dict[tuple[str, VarRef], Axes] = field(default_factory=dict)
    """For each vector that is a regressor of a child its entries' axis, and the same once more for products."""
    seen: tuple[str, ...] = ()

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
        """The axes of a Gaussian latent's entries as it is read: rows, columns, one more to sum over; () for a scalar."""
        shape = self.graph.variable(ref.name).domain.event_shape
        name = ref.name + LAGGED * ref.lag
        return tuple(self.events[name, place] for place in range(rank)) if shape else ()

    def field(self, name: str) -> str:
        """The name of a field of the data that is no variable's: no variable has it."""
        return fresh(name, {variable.name for variable in self.graph.variables})

    def index(self, inner: Axis, outer: Axis) -> Symbol:
        """For every row of the inner plate the row of the outer one that it belongs to."""
        return Symbol(self.field(f"{outer.name}_of_{inner.name}"), (inner,), "chunk")

    def parameter(self, parameter: Parameter) -> Axes:
        """The axes of a parameter's own array."""
        plates = tuple(self.plates[plate] for plate in parameter.plates)
        return (*plates, *self.event(parameter.name, len(parameter.domain.event_shape)))


def layout(graph: Graph, meetings: Collection[frozenset[str]] = (), seen: tuple[str, ...] = ()) -> Layout:
    """Gives every axis its letter: those of the story for plates, the plate's letter for the states that index it.

    All are distinct as long as small letters last. After that, states that never meet share them: `meetings` are the
    variables of each table that is built, and those of one distribution meet too.
    """
    letters = index_letters(graph)
    discrete = [variable for variable in graph.variables if isinstance(variable.domain, Integer)]
    if len(discrete) > MOST_DISTINCT:
        return _crowded(graph, letters, (*meetings, *_families(graph)), seen)
    taken = {letters[plate.name] for plate in graph.plates if plate.size is None}
    taken |= {letters[plate] for variable in graph.variables for plate in variable.plates}
    states = _states(graph, letters, taken)
    return _complete(graph, letters, states, taken | set(letters.values()), seen)


def _complete(
    graph: Graph,
    letters: Mapping[str, str],
    states: dict[VarRef, Axis],
    taken: set[str],
    seen: tuple[str, ...],
) -> Layout:
    """The layout with the entries of vectors, of regressors and of parameters."""
    events = _variables(graph, states, taken)
    columns = _columns(graph, events, taken | {axis.letter for axis in states.values()})
    _parameters(graph, states, events, columns, taken)
    return Layout(graph, _plates(graph, letters), states, events, columns, seen)


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
        yield frozenset({variable.name, *(ref.name for ref in _subscripts(variable))})


def _crowded(
    graph: Graph, letters: dict[str, str], meetings: Collection[frozenset[str]], seen: tuple[str, ...]
) -> Layout:
    """The axes of a network of many discrete variables; those of a plate of parameters have the letter of what indexes it."""
    rows = {letters[plate] for variable in graph.variables for plate in variable.plates}
    indexed, before = _indexed_plates(graph), _steps_before(graph)
    orders = 1 + max(before.values(), default=1)
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
        for lag in range(1 + before.get(variable.name, 0)):
            letter = _free("ji" + SPARE, used | set(own[variable.name])) if lag else now
            own[variable.name] += letter * bool(lag)
            place, name = orders * (position + 1) - lag, variable.name + "'" * lag
            states[VarRef(variable.name, lag)] = Axis(STATE, place, name, letter, size, now.upper())
        if variable.name in indexed:
            letters = letters | {indexed[variable.name]: now}
    return _complete(graph, letters, states, rows, seen)


def _steps_before(graph: Graph) -> dict[str, int]:
    """The discrete variables whose states are met at earlier steps, too: latents of chains, and what tables read there; how
    many steps back.
    """
    latents = graph.in_role("latent")
    found = {v.name: 1 for v in latents if any(graph.plate(plate).chain for plate in v.plates)}
    for ref in (ref for variable in graph.variables for ref in _subscripts(variable)):
        if ref.lag:
            found[ref.name] = max(ref.lag, found.get(ref.name, 0))
    return found


def _states(graph: Graph, letters: dict[str, str], taken: set[str]) -> dict[VarRef, Axis]:
    indexed, before = _indexed_plates(graph), _steps_before(graph)
    orders = 1 + max(before.values(), default=1)
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
            STATE, orders * (position + 1), variable.name, letter, size, letter.upper()
        )
        for lag in range(1, 1 + before.get(variable.name, 0)):
            earlier = _free("ji" + SPARE, taken | reserved)
            taken.add(earlier)
            place, name = orders * (position + 1) - lag, variable.name + "'" * lag
            states[VarRef(variable.name, lag)] = Axis(STATE, place, name, earlier, size, letter.upper())
    return states


Events = dict[tuple[str, int], Axis]
Columns = dict[tuple[str, VarRef], Axes]


def _variables(graph: Graph, states: dict[VarRef, Axis], taken: set[str]) -> Events:
    """Vectors' entries, each axis twice, for matrices over them; the rows and columns of a given matrix."""
    events: Events = {}
    used = set(taken) | {axis.letter for axis in states.values()}
    position = 0
    for variable in graph.variables:
        if isinstance(variable.domain, Integer) or not variable.domain.event_shape:
            continue
        extent, shape = "", variable.domain.event_shape
        latent = variable.role == "latent"
        for lag, rank in (
            (lag, rank) for lag in _lags(graph, variable) for rank in range(3 if latent else 2)
        ):
            letter = _free(EVENT_LETTERS + SPARE, used)
            used.add(letter)
            extent = letter.upper() if len(shape) > 1 else extent or letter.upper()
            name = variable.name + "'" * rank + LAGGED * lag
            size = shape[rank] if len(shape) > 1 else shape[0]
            events[variable.name + LAGGED * lag, rank] = Axis(EVENT, position, name, letter, size, extent)
            position += 1
    return events


def _lags(graph: Graph, variable: Variable) -> range:
    """How far back a Gaussian latent is read; 0 alone for data."""
    if variable.role != "latent":
        return range(1)
    read = (ref for other in graph.variables for cpd in cpds(other) for ref in reads(cpd))
    return range(1 + max((ref.lag for ref in read if ref.name == variable.name), default=0))


def _columns(graph: Graph, events: Events, taken: set[str]) -> Columns:
    """The entries of regressors that are summed over: a variable's own axes, or new ones where the child has these."""
    found: Columns = {}
    used = set(taken) | {axis.letter for axis in events.values()}
    for variable in graph.variables:
        for ref, size in _regressors(graph, variable):
            key = (variable.name, VarRef(ref.name, ref.lag))
            if key in found:
                continue
            own = (events[ref.name, 0], events[ref.name, 1])
            if graph.variable(ref.name).role == "latent":
                found[key] = tuple(events[ref.name + LAGGED * ref.lag, rank] for rank in range(2))
                continue
            matrix = len(graph.variable(ref.name).domain.event_shape) > 1
            others = {axis for (child, _), axes in found.items() if child == variable.name for axis in axes}
            if not matrix and ref.name != variable.name and not others.intersection(own):
                found[key] = own
                continue
            place, extent, pair = 500 + 2 * len(found), "", []
            for rank in range(2):
                letter = _free(EVENT_LETTERS + SPARE, used)
                used.add(letter)
                extent = extent or letter.upper()
                name = f"{ref.name}{'-' * ref.lag} of {variable.name}" + "'" * rank
                pair.append(Axis(EVENT, place + rank, name, letter, size, extent))
            found[key] = tuple(pair)
    return found


def _regressors(graph: Graph, variable: Variable) -> list[tuple[VarRef, int]]:
    """The variables whose entries the mean of `variable` sums over, and how many these are."""
    found = []
    for cpd in cpds(variable):
        for term in mean_terms(cpd):
            if term.op != "scale" and isinstance(term.variable, VarRef):
                shape = graph.variable(term.variable.name).domain.event_shape
                found.append((term.variable, shape[0] if term.op == "matmul" else shape[-1]))
    return found


def mean_terms(cpd: CPD) -> tuple[Term, ...]:
    """All terms of the means of a distribution."""
    return tuple(t for _, argument in cpd.arguments if isinstance(argument, Affine) for t in argument.terms)


def coefficient_axes(term: Term, event: Axes, columns: Axes, shape: tuple[int, ...]) -> Axes:
    """The axes of the entries of a coefficient of this shape: the child's, the regressor's, or both."""
    if term.variable is None or term.op == "scale":
        return event[: len(shape)]
    if len(shape) == 1:
        return columns[:1]
    return (event[0], columns[0]) if term.op == "matmul" else (columns[0], event[0])


def _parameters(
    graph: Graph, states: dict[VarRef, Axis], events: Events, columns: Columns, taken: set[str]
) -> None:
    """Adds the axes of parameters: those of the variable whose distribution they enter first."""
    used = set(taken) | {axis.letter for axis in (*states.values(), *events.values())}
    used |= {axis.letter for axes in columns.values() for axis in axes}
    position = len(events)
    for parameter in graph.parameters:
        owner, term = _owner(graph, parameter)
        shape = parameter.domain.event_shape
        event = (
            tuple(events[owner.name, rank] for rank in range(2))
            if owner and (owner.name, 0) in events
            else ()
        )
        if owner is not None and term is not None and term.variable is not None and shape:
            own = columns.get((owner.name, VarRef(term.variable.name, term.variable.lag)), ())
            for rank, axis in enumerate(coefficient_axes(term, event, own, shape)):
                events[parameter.name, rank] = axis
            continue
        for rank, size in enumerate(shape):
            if event:
                events[parameter.name, rank] = event[rank]
                continue
            state = states.get(VarRef(owner.name)) if owner is not None else None
            letter = state.letter if state is not None and rank == 0 else _free(EVENT_LETTERS + SPARE, used)
            if state is None:
                used.add(letter)
            events[parameter.name, rank] = Axis(
                EVENT, 1000 + position, f"{parameter.name}.{rank}", letter, size, letter.upper()
            )
            position += 1


def _owner(graph: Graph, parameter: Parameter) -> tuple[Variable | None, Term | None]:
    """The first variable whose distribution reads a parameter, and the term of its mean that does."""
    for variable in graph.variables:
        for cpd in cpds(variable):
            if any(ref.target == parameter.name for ref in coefficients(cpd)):
                terms = (
                    term
                    for term in mean_terms(cpd)
                    if isinstance(term.coefficient, Ref) and term.coefficient.target == parameter.name
                )
                return variable, next(terms, None)
    return None, None


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


def _subscripts(variable: Variable) -> list[VarRef]:
    refs = [ref for cpd in cpds(variable) for ref in coefficients(cpd)]
    return [subscript for ref in refs for subscript in ref.subscripts if isinstance(subscript, VarRef)]


def _free(wanted: str, taken: set[str]) -> str:
    return next((letter for letter in wanted if letter.isalpha() and letter not in taken), "Z")
