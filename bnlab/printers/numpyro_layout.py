"""Where everything stands in the emitted NumPyro model: its plates, their dimensions, sizes and rows.

Sizeless plates that nest are laid out in one of two ways. *Flat*: the innermost plate is one plate over all its rows, which
read outer variables through their ids. *Padded*: each plate is a dimension, shorter members are padded, and a mask hides
the padding. Enumeration and `scan` need the second; everything else takes the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from bnlab.errors import Fault, ModelError
from bnlab.naming import MODULE_NAMES, fresh, lagged_name
from bnlab.network.graph import crossed_plates, sizeless_plates
from bnlab.network.ir import Graph, Variable, VarRef
from bnlab.network.sites import Sites, sites
from bnlab.printers.numpyro_steps import enumerated, formal_reads, lags, true_reads


@dataclass(frozen=True, slots=True)
class Layout:
    """The plates of the emitted model.

    `scans` are the chains that are scanned: those in which something is read from an earlier step. `dims` gives the
    (negative) dimension of each plate, `locals` the names of the emitted file's own variables by what they are,
    `formal` what variables of chains are made to read beside what they depend on (numpyro_steps), `sites` what is sampled in
    place of parameters.
    """

    graph: Graph
    padded: bool
    scans: tuple[str, ...]
    dims: Mapping[str, int]
    locals: Mapping[str, str]
    formal: Mapping[str, tuple[VarRef, ...]]
    sites: Sites


def spine(graph: Graph, variable: Variable) -> tuple[str, ...]:
    """The sizeless plates of a variable, chains among them, outermost first."""
    return tuple(plate.name for plate in sizeless_plates(graph, variable))


def spines(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """The different spines, each once, in order of declaration."""
    return tuple(
        dict.fromkeys(spine(graph, variable) for variable in graph.variables if spine(graph, variable))
    )


def leaves(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """The spines that no other one goes on from."""
    found = spines(graph)
    return tuple(
        path for path in found if not any(other[: len(path)] == path and other != path for other in found)
    )


def axes(layout: Layout, variable: Variable) -> tuple[str, ...]:
    """The plates that a variable's statement stands in, outermost first; without the chain that is scanned around it."""
    rows = tuple(plate for plate in spine(layout.graph, variable) if plate not in layout.scans)
    sized = tuple(plate for plate in variable.plates if layout.graph.plate(plate).size is not None)
    if rows and not layout.padded:
        rows = (rows_plate(layout.graph, rows),)
    return rows + sized


def rows_plate(graph: Graph, path: tuple[str, ...]) -> str:
    """The plate over all rows of a spine: its innermost one, or one made of all where they cross."""
    return "_".join(path) if crossing(graph, path) else path[-1]


def crossing(graph: Graph, path: tuple[str, ...]) -> bool:
    """Whether plates of a spine cross."""
    return any({outer, inner} <= set(path) for outer, inner in crossed_plates(graph))


def chain(layout: Layout, variable: Variable) -> str | None:
    """The scanned chain that the variable is in."""
    return next((plate for plate in variable.plates if plate in layout.scans), None)


def make_layout(graph: Graph) -> Layout:
    """The layout of a network. Raises ModelError where its plates cannot be laid out."""
    lagged = lags(graph, {})
    members = [variable for variable in graph.variables if variable.name in lagged]
    scans = tuple(p.name for p in graph.plates if p.chain and any(p.name in v.plates for v in members))
    padded = any(
        set(path[:-1]) and set(path) & set(scans) for path in spines(graph)
    ) or _selected_from_outside(graph)
    faults = [*(_crossed(*pair) for pair in crossed_plates(graph) if padded), *_beside(graph)]
    if faults:
        raise ModelError(*faults)
    formal = {name: found for chain in scans for name, found in formal_reads(graph, chain).items()}
    found = sites(graph)
    layout = Layout(graph, padded, scans, {}, _locals(graph, lags(graph, formal), found), formal, found)
    return replace(layout, dims=_dims(layout))


def _selected_from_outside(graph: Graph) -> bool:
    """Whether a row's distribution reads a discrete latent of an outer plate."""
    return any(
        enumerated(graph.variable(read.name))
        and spine(graph, graph.variable(read.name)) not in ((), spine(graph, variable))
        for variable in graph.variables
        for read in true_reads(variable)
    )


def _crossed(outer: str, inner: str) -> Fault:
    return Fault(
        f"The plates {outer} and {inner} cross, and discrete latents or a chain in them couple all of their members.",
        f"Declare one inside the other, or give one a size: bn.plate({inner!r}, size).",
    )


def _beside(graph: Graph) -> list[Fault]:
    """Plates that hold two others: one array of ids cannot tell the rows of both."""
    nests = [path for path in leaves(graph) if len(path) > 1 and not crossing(graph, path)]
    shared = {p: [path[-1] for path in nests if p in path[:-1]] for path in nests for p in path[:-1]}
    return [
        Fault(
            f"The plate {plate} holds {' and '.join(found)} beside one another: their rows need ids of their own.",
            "Declare all rows in one plate, or write one network for each.",
        )
        for plate, found in shared.items()
        if len(found) > 1
    ]


def _dims(layout: Layout) -> dict[str, int]:
    """Dimensions counted from the right: a plate stands left of everything that is ever inside it."""
    paths = [axes(layout, variable) for variable in layout.graph.variables]
    nests = [path for path in spines(layout.graph) if not crossing(layout.graph, path)]
    root = {plate: plate if layout.padded else path[0] for path in nests for plate in path}
    inner: dict[str, set[str]] = {}
    for path in paths:
        names = [root.get(plate, plate) for plate in path]
        for plate in names:
            inner.setdefault(plate, set())
        for outer, below in pairwise(names):
            inner[outer].add(below)
    heights: dict[str, int] = {}

    def height(plate: str, above: tuple[str, ...] = ()) -> int:
        if plate in above:
            both = f"The plates {plate} and {above[-1]} are each inside the other."
            raise ModelError(Fault(both, "Open them in one order everywhere."))
        if plate not in heights:
            heights[plate] = 1 + max(
                (height(below, (*above, plate)) for below in sorted(inner[plate])), default=0
            )
        return heights[plate]

    dims = {plate: -height(root.get(plate, plate)) for path in paths for plate in path}
    return dims | _parameter_dims(layout.graph, dims)


def _parameter_dims(graph: Graph, dims: Mapping[str, int]) -> dict[str, int]:
    """The dimensions of plates that hold parameters only, in the order of the parameters' own axes."""
    found: dict[str, int] = {}
    for parameter in graph.parameters:
        for dim, plate in enumerate(reversed(parameter.plates), 1):
            if plate not in dims:
                found.setdefault(plate, -dim)
    return found


def _locals(graph: Graph, lagged: Mapping[str, int], found: Sites) -> dict[str, str]:
    """Readable names for the variables of the emitted file, clear of the user's names."""
    taken = {record.name for records in (graph.parameters, graph.variables) for record in records}
    taken |= (
        MODULE_NAMES | set(needs_ids(graph)) | {site for parts in found.values() for site in parts.values()}
    )
    names: dict[str, str] = {}
    for role, wanted in (*_wanted(graph, lagged), *((f"root {name}", f"{name}_root") for name in found)):
        names[role] = fresh(wanted, taken)
        taken.add(names[role])
    return names


def _wanted(graph: Graph, lagged: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What the emitted file names for itself, as (role, wish)."""
    yield from ((role, role) for role in ("carry", "inputs", "log_p", "padded", "parameters"))
    yield "counts", "Counts"
    for path in spines(graph):
        if crossing(graph, path):
            yield f"size {rows_plate(graph, path)}", "num_rows"
    for plate in graph.plates:
        yield f"size {plate.name}", f"num_{plate.name}"
        yield f"rows {plate.name}", f"rows_{plate.name}"
        yield f"exists {plate.name}", f"exists_{plate.name}"
        yield f"index {plate.name}", f"index_{plate.name}"
        if plate.chain:
            yield f"time {plate.name}", plate.name
            yield f"step {plate.name}", "step"
    for path in leaves(graph):
        for depth, inner in enumerate(path[:-1]):
            yield from ((f"{outer} of {inner}", f"{outer}_of_{inner}") for outer in path[:depth])
    for name, lag in lagged.items():
        for steps in range(1, lag + 1):
            yield f"{name} {steps}", lagged_name(name, steps)


def needs_ids(graph: Graph) -> tuple[str, ...]:
    """The sizeless plates around others, and those that cross: the data say which member of them each row is in."""
    found = (path if crossing(graph, path) else path[:-1] for path in leaves(graph))
    return tuple(dict.fromkeys(plate for plates in found for plate in plates))


def align(layout: Layout, plates: tuple[str, ...], text: str, leading: int = 0) -> str:
    """An array with axes `plates` (after `leading` others), with an axis of 1 for each dimension between and behind."""
    if not plates:
        return text
    dims = [layout.dims[plate] for plate in plates]
    index = [":"] * leading + [":" if dim in dims else "None" for dim in range(dims[0], 0)]
    while index and index[-1] == ":":
        index.pop()
    return f"{text}[{', '.join(index)}]" if index else text
