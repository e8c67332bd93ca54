"""The statements of the variables in the emitted NumPyro model: sample sites in their plates, chains as `scan`."""

from __future__ import annotations

from collections.abc import Sequence

from bnlab.errors import Fault, ModelError
from bnlab.families.base import registry
from bnlab.network.graph import cpds, reads, topological_order
from bnlab.network.ir import CPD, Graph, Variable, VarRef
from bnlab.printers.numpyro_code import Code, add, bare, lift, scale, where
from bnlab.printers.numpyro_families import Arguments, covariance, deviation, spell
from bnlab.printers.numpyro_layout import Layout, align, axes, chain, spine
from bnlab.printers.numpyro_reading import arguments, read
from bnlab.printers.numpyro_steps import enumerated, lags, step_order, true_reads


def variable_lines(layout: Layout) -> list[str]:
    """All sample statements: those outside chains, then each chain."""
    order = [layout.graph.variable(name) for name in topological_order(layout.graph)]
    lines = _blocks(layout, [variable for variable in order if chain(layout, variable) is None])
    for scanned in layout.scans:
        lines += _scan(layout, scanned, step_order(layout.graph, scanned))
    return lines


def _blocks(layout: Layout, variables: Sequence[Variable]) -> list[str]:
    """Sample statements under their plates; a plate stays open as long as the next variable is in it."""
    lines: list[str] = []
    opened: tuple[str, ...] = ()
    for variable in variables:
        if variable.role == "given":
            continue
        plates = axes(layout, variable)
        shared = sum(
            opened[: depth + 1] == plates[: depth + 1] for depth in range(min(len(opened), len(plates)))
        )
        for depth in range(shared, len(plates)):
            lines.append("    " * depth + f"with {_plate(layout, plates[depth])}:")
        opened = plates
        lines += ["    " * len(plates) + line for line in _statement(layout, variable)]
    return lines


def _plate(layout: Layout, plate: str) -> str:
    return f'numpyro.plate("{plate}", {size(layout, plate)}, dim={layout.dims[plate]})'


def size(layout: Layout, plate: str) -> str:
    known = {one.name: one.size for one in layout.graph.plates}.get(plate)
    return str(known) if known is not None else layout.locals[f"size {plate}"]


def _statement(layout: Layout, variable: Variable) -> list[str]:
    name = variable.name
    distribution = _distribution(layout, variable)
    keywords = ""
    if variable.role == "observed":
        keywords = f", obs={name}"
    elif enumerated(variable):
        keywords = ', infer={"enumerate": "parallel"}'
    call = f'numpyro.sample("{name}", {distribution}{keywords})'
    statement = f"{name} = {call}" if name in _read_names(layout) else call
    mask = masked(layout, variable)
    if layout.formal.get(name):
        told = " and ".join(names_of(layout, layout.formal[name]))
        statement = f"# {name} does not depend on {told}: 0 * ... only makes NumPyro sum in the right order\n{statement}"
    if mask is None:
        return statement.splitlines()
    if chain(layout, variable) is None:
        mask = mask_array(layout, spine(layout.graph, variable))
    return [f"with numpyro.handlers.mask(mask={mask}):", *(f"    {line}" for line in statement.splitlines())]


def names_of(layout: Layout, found: tuple[VarRef, ...]) -> list[str]:
    return [layout.locals[f"{read.name} {read.lag}"] if read.lag else read.name for read in found]


def masked(layout: Layout, variable: Variable) -> str | None:
    """The mask of an observed variable whose members are padded. Latent padding follows its prior and adds nothing."""
    path = spine(layout.graph, variable)
    return (
        layout.locals[f"exists {path[-1]}"]
        if variable.role == "observed" and layout.padded and len(path) > 1
        else None
    )


def given_total(variable: Variable) -> bool:
    """Whether the variable is counts whose sum in each row is taken as given."""
    return variable.cpd is not None and registry()[variable.cpd.family].given_total


def in_many_rows(layout: Layout, variable: Variable) -> bool:
    """Whether it is such counts along a chain, or padded: there NumPyro's own distribution has but one sum for all."""
    scanned = chain(layout, variable) is not None
    return given_total(variable) and (scanned or masked(layout, variable) is not None)


def _read_names(layout: Layout) -> set[str]:
    formal = {read.name for found in layout.formal.values() for read in found}
    return formal | {read.name for variable in layout.graph.variables for read in true_reads(variable)}


def _distribution(layout: Layout, variable: Variable) -> str:
    assert variable.cpd is not None
    shape = variable.domain.event_shape
    family = variable.cpd.family
    slots: Arguments = arguments(layout, variable, variable.cpd)
    scanned = chain(layout, variable)
    if scanned is not None:
        for step, first in reversed(list(enumerate(variable.first))):
            condition = f"{layout.locals[f'time {scanned}']} == {step}"
            slots = _either(condition, layout, variable, first, family, slots)
    for formal in layout.formal.get(variable.name, ()):
        slots = _formally(slots, read(layout, variable, formal))
    if _selected_by_more(layout.graph, variable):
        slots = _as_wide_as_spread(slots, shape)
    if in_many_rows(layout, variable):
        return f"{layout.locals['counts']}({slots['probs'].text})"
    if given_total(variable):
        slots = {**slots, "total": Code(f"{variable.name}.sum(-1)", 0, True)}
    return spell(family, slots, shape)


def _selected_by_more(graph: Graph, variable: Variable) -> bool:
    """Whether enumerated states select the spread of a vector that do not select its mean. NumPyro solves for the residual
    with all matrices at once, and takes it that the mean has every dimension that they have."""
    parts: dict[bool, set[str]] = {True: set(), False: set()}
    for cpd in cpds(variable):
        for name, argument in cpd.arguments:
            read = reads(CPD(cpd.family, ((name, argument),)))
            parts[name == "mean"] |= {ref.name for ref in read if enumerated(graph.variable(ref.name))}
    return bool(variable.domain.event_shape) and bool(parts[False] - parts[True])


def _as_wide_as_spread(slots: Arguments, shape: tuple[int, ...]) -> Arguments:
    """The same arguments, the mean with all dimensions of the matrices that its residual is divided by."""
    matrix = next((slots[name] for name in ("cov", "scale_matrix") if name in slots), None)
    if matrix is not None:
        zeros = Code(f"jnp.zeros_like({matrix.text}[..., 0])", 1, True)
        plain = slots["mean"].text in ("0.0", f"jnp.zeros({shape[0]})")
        return {**slots, "mean": zeros if plain else add(((1, slots["mean"]), (1, zeros)))}
    if "scale" in slots:
        zeros = Code(f"jnp.zeros_like({bare(lift(slots['scale'], 1))})", 1, True)
        return {**slots, "mean": add(((1, slots["mean"]), (1, zeros)))}
    return slots


def _formally(slots: Arguments, value: Code) -> Arguments:
    """The same arguments, the first of them reading `value` too."""
    name, code = next(iter(slots.items()))
    nothing = scale(Code("0", 0), lift(value, code.rank))
    return {**slots, name: add(((1, code), (1, nothing)))}


def _either(
    condition: str, layout: Layout, variable: Variable, first: CPD, family: str, later: Arguments
) -> Arguments:
    """The arguments of `first` where the condition holds, else those of later steps."""
    initial: Arguments = arguments(layout, variable, first)
    if first.family != family:
        reason = f"{variable.name} starts as {first.family} and goes on as {family}: the emitted scan has one family."
        raise ModelError(Fault(reason, f"Write first=bn.{family}(...).", first.location))
    if initial.keys() != later.keys():
        initial, later = _same_spread(initial, later, variable)
    return {name: where(condition, initial[name], later[name]) for name in later}


def _same_spread(one: Arguments, other: Arguments, variable: Variable) -> tuple[Arguments, Arguments]:
    """Two Normals whose spreads are given in different ways, both with `cov` or both with `std`."""

    def told(slots: Arguments) -> Arguments:
        if "cov" in one or "cov" in other:
            return {"mean": slots["mean"], "cov": covariance(slots, variable.domain.event_shape[0])}
        return {"mean": slots["mean"], "std": deviation(slots)}

    return told(one), told(other)


def _scan(layout: Layout, scanned: str, variables: Sequence[Variable]) -> list[str]:
    """A step function and its scan. What earlier steps are read of is carried, what is data runs along."""
    names = layout.locals
    members = {variable.name for variable in variables}
    carried = [
        (name, step)
        for name, lag in lags(layout.graph, layout.formal).items()
        if name in members
        for step in range(1, lag + 1)
    ]
    before = _tuple([names[f"{name} {step}"] for name, step in carried])
    after = _tuple([name if step == 1 else names[f"{name} {step - 1}"] for name, step in carried])
    along = _along(layout, scanned, variables)
    steps = names[f"step {scanned}"]
    yielded = _blocks(layout, variables)
    history = max((lag for name, lag in carried if enumerated(layout.graph.variable(name))), default=1)
    start = _tuple([_start(layout, layout.graph.variable(name)) for name, _ in carried])
    inputs = _tuple([array for _, array in along])
    more = f", history={history}" if history > 1 else ""
    return [
        "",
        f"def {steps}({names['carry']}, {names['inputs']}):",
        f"    {before} = {names['carry']}",
        f"    {_tuple([name for name, _ in along])} = {names['inputs']}",
        *(f"    {line}" for line in yielded),
        f"    return {after}, None",
        "",
        f"scan({steps}, {start}, {inputs}{more})",
    ]


def _along(layout: Layout, scanned: str, variables: Sequence[Variable]) -> list[tuple[str, str]]:
    """What has a value for each step, as (its name within the step, the array of all steps): time, data, masks."""
    steps = [(layout.locals[f"time {scanned}"], f"jnp.arange({size(layout, scanned)})")]
    data = [(variable.name, variable.name) for variable in variables if variable.role != "latent"]
    masks = {masked(layout, variable): spine(layout.graph, variable) for variable in variables}
    return steps + data + [(name, mask_array(layout, path)) for name, path in masks.items() if name]


def mask_array(layout: Layout, path: tuple[str, ...]) -> str:
    """Which members of the last plate of `path` exist, along the dimensions of the model; steps first, in a chain."""
    name = layout.locals[f"exists {path[-1]}"]
    plates = tuple(plate for plate in path if plate not in layout.scans)
    return align(layout, plates, steps_first(layout, path, name), len(path) - len(plates))


def steps_first(layout: Layout, path: tuple[str, ...], text: str) -> str:
    """An array with the axes of `path`, its scanned chain brought to the front."""
    place = next((i for i, plate in enumerate(path) if plate in layout.scans), 0)
    if not place:
        return text
    return f"{text}.T" if len(path) == 2 else f"np.moveaxis({text}, {place}, 0)"


def _start(layout: Layout, variable: Variable) -> str:
    """What a variable is carried as before its first step; never read there, but it has the right shape."""
    plates = axes(layout, variable)
    dims = [layout.dims[plate] for plate in plates]
    sizes = {layout.dims[plate]: size(layout, plate) for plate in plates}
    shape = [sizes.get(dim, "1") for dim in range(min(dims, default=0), 0)] + [
        str(n) for n in variable.domain.event_shape
    ]
    return f"jnp.zeros({_shape(shape)}{', int' if variable.discrete else ''})"


def _shape(sizes: list[str]) -> str:
    return sizes[0] if len(sizes) == 1 else f"({', '.join(sizes)})"


def _tuple(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"({', '.join(items)})"
