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

    `scope` are those variables, as positions in `Ground.hidden`; rows are in C order of their values. `owner` is the
    member of the outermost plate that the element belongs to.
    """

    element: Element
    scope: tuple[int, ...]
    start: int
    size: int
    owner: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Every ground copy of one CPD, a row for each setting of what it reads: `values` of references, `cells` of plates."""

    variable: Variable
    cpd: CPD
    locals: tuple[Local, ...]
    values: dict[VarRef, np.ndarray]
    cells: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        return len(self.values[VarRef(self.variable.name)])


@dataclass(frozen=True, slots=True)
class Ground:
    """The unrolled network. `components` are sets of hidden variables that no ground CPD connects to one another."""

    graph: Graph
    batches: tuple[Batch, ...]
    hidden: tuple[Element, ...]
    sizes: tuple[int, ...]
    components: tuple[tuple[int, ...], ...]
    owners: int
    weights: np.ndarray
    rows: dict[str, int]

    def states(self, component: int) -> np.ndarray:
        """All configurations of one component, (configurations, variables of the component)."""
        sizes = [self.sizes[index] for index in self.components[component]]
        count = int(np.prod(sizes, dtype=float))
        assert count <= MOST_CONFIGURATIONS, f"{count} configurations are too many to list"
        return np.stack(np.unravel_index(np.arange(count), sizes), -1)


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
        """The value in the data; None where the element is hidden: latent, or a missing category."""
        if element.name not in self.data:
            return None
        path = sizeless(self.graph, self.graph.variable(element.name))
        row = (self.place[path][element.member],) if path else ()
        value = np.asarray(self.data[element.name])[(*row, *element.cell)]
        if self.graph.variable(element.name).discrete and value < 0:
            return None
        return value

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
    """Write the network out over the data. Values that are read and continuous must all be known."""
    unrolling = Unrolling(graph, data)
    random = [variable for variable in graph.variables if variable.cpd is not None]
    elements = [element for variable in random for element in unrolling.elements(variable)]
    hidden = [e for e in elements if graph.variable(e.name).discrete and unrolling.observation(e) is None]
    index = {element: position for position, element in enumerate(hidden)}
    sizes = tuple(state_count(graph.variable(element.name)) for element in hidden)
    owners = {key: position for position, key in enumerate(dict.fromkeys(owner(graph, e) for e in elements))}
    copies: dict[tuple[str, CPD], list[Element]] = {}
    for element in elements:
        copies.setdefault((element.name, unrolling.cpd(element)), []).append(element)
    batches = tuple(_batch(unrolling, cpd, found, index, sizes, owners) for (_, cpd), found in copies.items())
    weights = np.asarray(data.get("weights", np.ones(len(owners))), float)
    paths = {variable.name: sizeless(graph, variable) for variable in random}
    rows = {name: len(unrolling.members[path]) for name, path in paths.items() if path}
    return Ground(
        graph, batches, tuple(hidden), sizes, _components(len(hidden), batches), len(owners), weights, rows
    )


def state_count(variable: Variable) -> int:
    """The number of categories of a discrete variable."""
    assert isinstance(variable.domain, Integer)
    return variable.domain.size


def _batch(
    unrolling: Unrolling,
    cpd: CPD,
    elements: Sequence[Element],
    index: Mapping[Element, int],
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
        scope = tuple(dict.fromkeys(index[read] for read in reads.values() if read in index))
        assignments = list(itertools.product(*(range(sizes[variable]) for variable in scope)))
        for ref, read in reads.items():
            column = scope.index(index[read]) if read in index else None
            values[ref].append(_values(unrolling.observation(read), column, assignments))
        for plate, cell in zip(plates, element.cell, strict=True):
            cells[plate].append(np.full(len(assignments), cell))
        locals_.append(Local(element, scope, start, len(assignments), owners[owner(graph, element)]))
        start += len(assignments)
    return Batch(
        graph.variable(name),
        cpd,
        tuple(locals_),
        {ref: np.concatenate(parts) for ref, parts in values.items()},
        {plate: np.concatenate(parts) for plate, parts in cells.items()},
    )


def _values(
    known: np.ndarray | None, column: int | None, assignments: Sequence[tuple[int, ...]]
) -> np.ndarray:
    """What a reference stands for under each assignment: its own column of them, or the same known value."""
    if column is not None:
        return np.array([assignment[column] for assignment in assignments])
    assert known is not None and np.all(np.isfinite(known)), "a continuous variable is hidden"
    return np.repeat(np.asarray(known)[None], len(assignments), 0)


def _components(count: int, batches: Sequence[Batch]) -> tuple[tuple[int, ...], ...]:
    """Hidden variables that share a ground CPD, directly or through others, in one set each."""
    group = list(range(count))
    for batch in batches:
        for local in batch.locals:
            joined = {group[variable] for variable in local.scope}
            group = [min(joined) if g in joined else g for g in group]
    return tuple(tuple(i for i in range(count) if group[i] == g) for g in sorted(set(group)))
