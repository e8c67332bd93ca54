"""Unrolling, by definition: every plate member and chain step of a network becomes a variable of its own.

`ground(graph, data)` writes a declared network and canonical data (docs/architecture.md) out as a list of ground
conditional distributions. Nothing here is shared with bnlab's inference: the declaration is all that is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bnlab.domains import Integer
from bnlab.network.ir import CPD, Affine, Argument, Graph, Ref, Variable, VarRef

Data = Mapping[str, object]
Member = tuple[int, ...]  # one id for each sizeless plate, outermost first
MOST_CONFIGURATIONS = 200_000


@dataclass(frozen=True, slots=True)
class Element:
    """A ground variable: a member of the sizeless plates of `name`, and its place in the sized ones."""

    name: str
    member: Member
    cell: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Local:
    """Consecutive rows of a Batch: all values that the hidden discrete variables around one ground CPD can take.

    `scope` are those variables, as positions in `Ground.hidden`; rows are in C order of their values. `unsure` are the
    references of the CPD, the child's own among them, to elements of `Ground.unsure`, by their position there. `owner` is
    the member of the outermost plate that the element belongs to.
    """

    element: Element
    scope: tuple[int, ...]
    unsure: tuple[tuple[VarRef, int], ...]
    start: int
    size: int
    owner: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Every ground copy of one CPD, a row for each setting of what it reads: `values` of references, `cells` of plates.

    Numbers that are not known, of elements in `Ground.unsure`, are NaN in `values`.
    """

    variable: Variable
    cpd: CPD
    locals: tuple[Local, ...]
    values: dict[VarRef, np.ndarray]
    cells: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        return len(self.values[VarRef(self.variable.name)])


@dataclass(frozen=True, slots=True)
class Component:
    """Unknown variables that ground CPDs connect: positions in `Ground.hidden` and in `Ground.unsure`."""

    hidden: tuple[int, ...]
    unsure: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ground:
    """The unrolled network.

    `hidden` are the discrete variables without a value, with their numbers of states in `sizes`, of which evidence leaves
    those in `allowed`; `unsure` the normal ones of which not every number is known: latents, and vectors with missing
    entries. No ground CPD connects two components.
    """

    graph: Graph
    batches: tuple[Batch, ...]
    hidden: tuple[Element, ...]
    sizes: tuple[int, ...]
    unsure: tuple[Element, ...]
    components: tuple[Component, ...]
    owners: int
    weights: np.ndarray
    rows: dict[str, int]
    allowed: tuple[np.ndarray, ...]

    def states(self, component: int) -> np.ndarray:
        """All configurations of one component, (configurations, hidden variables of the component)."""
        sizes = [self.sizes[index] for index in self.components[component].hidden]
        count = int(np.prod(sizes, dtype=float))
        assert count <= MOST_CONFIGURATIONS, f"{count} configurations are too many to list"
        return np.array(list(itertools.product(*map(range, sizes))), int).reshape(count, len(sizes))


def sizeless(graph: Graph, variable: Variable) -> tuple[str, ...]:
    """The plates of a variable that take their size from the data, outermost first."""
    return tuple(name for name in variable.plates if graph.plate(name).size is None)


def sized(graph: Graph, variable: Variable) -> tuple[str, ...]:
    return tuple(name for name in variable.plates if graph.plate(name).size is not None)


def references(cpd: CPD) -> tuple[VarRef, ...]:
    """Every variable that a CPD reads, once each."""

    def inside(argument: Argument | None) -> Iterator[VarRef]:
        match argument:
            case VarRef():
                yield argument
            case Ref():
                yield from (subscript for subscript in argument.subscripts if isinstance(subscript, VarRef))
            case Affine():
                for term in argument.terms:
                    yield from inside(term.coefficient)
                    yield from inside(term.variable)

    return tuple(dict.fromkeys(ref for _, argument in cpd.arguments for ref in inside(argument)))


class Unrolling:
    """Who the members of each plate are, and which ground variable a reference means."""

    def __init__(self, graph: Graph, data: Data) -> None:
        self.graph, self.data = graph, data
        self.members: dict[tuple[str, ...], list[Member]] = {(): [()]}
        paths = {variable.name: sizeless(graph, variable) for variable in graph.variables}
        with_data = sorted((name for name in paths if name in data), key=lambda name: -len(paths[name]))
        for name in with_data:
            self._see(paths[name], len(np.asarray(data[name])) if paths[name] else 1)
        missing = [path for path in paths.values() if path not in self.members]
        assert not missing, f"no data tell how many members there are of {missing}"
        self.place = {path: {m: i for i, m in enumerate(found)} for path, found in self.members.items()}

    def _see(self, path: tuple[str, ...], rows: int) -> None:
        """Take in the members that `rows` rows of a variable in the sizeless plates `path` show."""
        if path in self.members:
            if len(path) == 1:  # members without inner rows come last
                self.members[path] += [(row,) for row in range(len(self.members[path]), rows)]
            assert len(self.members[path]) == rows, (
                f"{path}: {rows} rows, but {len(self.members[path])} members"
            )
            return
        ids = [np.asarray(self.data[plate]).tolist() for plate in path[:-1]]
        innermost = [(*(column[row] for column in ids), row) for row in range(rows)]
        for depth in range(1, len(path) + 1):
            found = dict.fromkeys(member[:depth] for member in innermost)
            self.members.setdefault(path[:depth], list(found))

    def elements(self, variable: Variable) -> Iterator[Element]:
        sizes = [range(self.graph.plate(name).size or 0) for name in sized(self.graph, variable)]
        for member in self.members[sizeless(self.graph, variable)]:
            for cell in itertools.product(*sizes):
                yield Element(variable.name, member, cell)

    def observation(self, element: Element) -> np.ndarray | None:
        """The value in the data, also of a continuous latent; None where the element is hidden: a latent without a value, a
        discrete one (of which the data hold evidence), or a missing category."""
        variable = self.graph.variable(element.name)
        if element.name not in self.data or (variable.role == "latent" and variable.discrete):
            return None
        value = self._datum(element)
        return None if variable.discrete and value < 0 else value

    def _datum(self, element: Element) -> np.ndarray:
        path = sizeless(self.graph, self.graph.variable(element.name))
        row = (self.place[path][element.member],) if path else ()
        return np.asarray(np.asarray(self.data[element.name])[(*row, *element.cell)])

    def allowed(self, element: Element) -> np.ndarray:
        """The states that evidence leaves to a hidden variable: a table of them, or its value, -1 for any."""
        variable = self.graph.variable(element.name)
        every = np.ones(state_count(variable), bool)
        if variable.role != "latent" or element.name not in self.data:
            return every
        datum = self._datum(element)
        if datum.dtype == bool:
            return datum
        return every if datum < 0 else np.arange(len(every)) == datum

    def chain_of(self, variable: Variable) -> int | None:
        """The depth of the variable's chain among its sizeless plates."""
        path = sizeless(self.graph, variable)
        depths = [depth for depth, name in enumerate(path) if self.graph.plate(name).chain]
        return depths[-1] if depths else None

    def steps(self, path: tuple[str, ...], depth: int, member: Member) -> list[Member]:
        """The steps of the chain that `member` is in, in order of time."""
        return [other for other in self.members[path[: depth + 1]] if other[:depth] == member[:depth]]

    def step(self, element: Element) -> int:
        """How many steps of its chain came before this element; 0 outside chains."""
        variable = self.graph.variable(element.name)
        depth = self.chain_of(variable)
        if depth is None:
            return 0
        steps = self.steps(sizeless(self.graph, variable), depth, element.member)
        return steps.index(element.member[: depth + 1])

    def cpd(self, element: Element) -> CPD:
        variable = self.graph.variable(element.name)
        assert variable.cpd is not None
        step = self.step(element)
        return variable.first[step] if step < len(variable.first) else variable.cpd

    def read(self, child: Element, reference: VarRef) -> Element:
        """The ground variable that `child` means by `reference`."""
        reader, variable = self.graph.variable(child.name), self.graph.variable(reference.name)
        path, own = sizeless(self.graph, variable), sizeless(self.graph, reader)
        assert own[: len(path)] == path, (
            f"{child.name} cannot read {reference.name}: its plates are not around it"
        )
        member = child.member[: len(path)]
        if reference.lag:
            depth = self.chain_of(variable)
            assert depth == len(path) - 1, f"{reference.name} is not a step of a chain"
            steps = self.steps(path, depth, member)
            position = steps.index(member) - reference.lag
            assert position >= 0, f"{child.name} reads {reference.name} before the chain's beginning"
            member = steps[position]
        cells = dict(zip(sized(self.graph, reader), child.cell, strict=True))
        return Element(reference.name, member, tuple(cells[plate] for plate in sized(self.graph, variable)))


def owner(graph: Graph, element: Element) -> int:
    """The member of the outermost plate that an element belongs to; a chain or a sized plate alone has one member."""
    path = sizeless(graph, graph.variable(element.name))
    return element.member[0] if path and not graph.plate(path[0]).chain else 0


def ground(graph: Graph, data: Data) -> Ground:
    """Write the network out over the data.

    Latents with values among the data are taken for observed. A continuous value that is read must be normal or known.
    """
    unrolling = Unrolling(graph, data)
    random = [variable for variable in graph.variables if variable.cpd is not None]
    elements = [element for variable in random for element in unrolling.elements(variable)]
    hidden = [e for e in elements if graph.variable(e.name).discrete and unrolling.observation(e) is None]
    unsure = [e for e in elements if _is_unsure(graph.variable(e.name), unrolling.observation(e))]
    unknown = Unknown({e: at for at, e in enumerate(hidden)}, {e: at for at, e in enumerate(unsure)})
    sizes = tuple(state_count(graph.variable(element.name)) for element in hidden)
    owners = {key: position for position, key in enumerate(dict.fromkeys(owner(graph, e) for e in elements))}
    copies: dict[tuple[str, CPD], list[Element]] = {}
    for element in elements:
        copies.setdefault((element.name, unrolling.cpd(element)), []).append(element)
    batches = tuple(
        _batch(unrolling, cpd, found, unknown, sizes, owners) for (_, cpd), found in copies.items()
    )
    weights = np.asarray(data.get("weights", np.ones(len(owners))), float)
    paths = {variable.name: sizeless(graph, variable) for variable in random}
    rows = {name: len(unrolling.members[path]) for name, path in paths.items() if path}
    components = _components(len(hidden), len(unsure), batches)
    allowed = tuple(unrolling.allowed(element) for element in hidden)
    return Ground(
        graph,
        batches,
        tuple(hidden),
        sizes,
        tuple(unsure),
        components,
        len(owners),
        weights,
        rows,
        allowed,
    )


@dataclass(frozen=True, slots=True)
class Unknown:
    """Where the unknown elements are: positions in `Ground.hidden` and in `Ground.unsure`."""

    hidden: Mapping[Element, int]
    unsure: Mapping[Element, int]


def _is_unsure(variable: Variable, value: np.ndarray | None) -> bool:
    """Whether some number of a normal variable is not known."""
    normal = variable.cpd is not None and variable.cpd.family == "Normal"
    return normal and (value is None or bool(np.isnan(value).any()))


def state_count(variable: Variable) -> int:
    """The number of categories of a discrete variable."""
    assert isinstance(variable.domain, Integer)
    return variable.domain.size


def _batch(
    unrolling: Unrolling,
    cpd: CPD,
    elements: Sequence[Element],
    unknown: Unknown,
    sizes: Sequence[int],
    owners: Mapping[int, int],
) -> Batch:
    """All copies of one CPD, with a row for each assignment of the hidden variables that each copy touches."""
    graph, name = unrolling.graph, elements[0].name
    plates = sized(graph, graph.variable(name))
    locals_: list[Local] = []
    values: dict[VarRef, list[np.ndarray]] = {ref: [] for ref in (VarRef(name), *references(cpd))}
    cells: dict[str, list[np.ndarray]] = {plate: [] for plate in plates}
    start = 0
    for element in elements:
        reads = {ref: element if ref == VarRef(name) else unrolling.read(element, ref) for ref in values}
        scope = tuple(
            dict.fromkeys(unknown.hidden[read] for read in reads.values() if read in unknown.hidden)
        )
        unsure = tuple((ref, unknown.unsure[read]) for ref, read in reads.items() if read in unknown.unsure)
        assignments = list(itertools.product(*(range(sizes[variable]) for variable in scope)))
        for ref, read in reads.items():
            if read in unknown.hidden:
                column = scope.index(unknown.hidden[read])
                values[ref].append(np.array([assignment[column] for assignment in assignments]))
            else:
                known = _known(unrolling, read, read in unknown.unsure or read == element)
                values[ref].append(np.repeat(known[None], len(assignments), 0))
        for plate, cell in zip(plates, element.cell, strict=True):
            cells[plate].append(np.full(len(assignments), cell))
        owned = owners[owner(graph, element)]
        locals_.append(Local(element, scope, unsure, start, len(assignments), owned))
        start += len(assignments)
    return Batch(
        graph.variable(name),
        cpd,
        tuple(locals_),
        {ref: np.concatenate(parts) for ref, parts in values.items()},
        {plate: np.concatenate(parts) for plate, parts in cells.items()},
    )


def _known(unrolling: Unrolling, element: Element, may_lack: bool) -> np.ndarray:
    """The value in the data, with NaN for what is not there."""
    value = unrolling.observation(element)
    if value is None:
        value = np.full(unrolling.graph.variable(element.name).domain.event_shape, np.nan)
    assert may_lack or np.all(np.isfinite(value)), f"{element.name} is read and has no value"
    return np.asarray(value)


def _components(hidden: int, unsure: int, batches: Sequence[Batch]) -> tuple[Component, ...]:
    """Unknown variables that share a ground CPD, directly or through others, in one set each."""
    group = list(range(hidden + unsure))
    for batch in batches:
        for local in batch.locals:
            touched = (*local.scope, *(hidden + position for _, position in local.unsure))
            joined = {group[variable] for variable in touched}
            group = [min(joined) if g in joined else g for g in group]
    sets = [[i for i, g in enumerate(group) if g == first] for first in sorted(set(group))]
    return tuple(
        Component(tuple(i for i in found if i < hidden), tuple(i - hidden for i in found if i >= hidden))
        for found in sets
    )
