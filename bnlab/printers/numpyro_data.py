"""The arguments of the emitted NumPyro model, and the statements that bring them into the model's dimensions."""

from __future__ import annotations

from bnlab.network.ir import Variable
from bnlab.printers.numpyro_layout import (
    Layout,
    align,
    axes,
    chain,
    crossing,
    leaves,
    needs_ids,
    rows_plate,
    spine,
    spines,
)
from bnlab.printers.numpyro_reading import members
from bnlab.printers.numpyro_steps import enumerated, true_reads
from bnlab.printers.numpyro_variables import given_total, steps_first


def model_arguments(layout: Layout) -> tuple[str, ...]:
    """Ids and given variables, then observed ones, then sizes that only observed ones tell."""
    graph = layout.graph
    given = [variable.name for variable in graph.in_role("given")]
    observed = [f"{variable.name}=None" for variable in graph.in_role("observed")]
    return (
        *needs_ids(graph),
        *given,
        *observed,
        *(f"{layout.locals[f'size {p}']}=None" for p in _free_sizes(layout)),
    )


def _free_sizes(layout: Layout) -> list[str]:
    """The sizeless plates whose size neither ids nor given variables tell."""
    alone = [path[0] for path in leaves(layout.graph) if len(path) == 1]
    known = needs_ids(layout.graph)
    return [plate for plate in alone if plate not in known and not _at(layout, (plate,), "given")]


def _at(layout: Layout, path: tuple[str, ...], *roles: str) -> list[str]:
    return [
        variable.name for variable in layout.graph.in_role(*roles) if spine(layout.graph, variable) == path
    ]


def model_doc(layout: Layout) -> str:
    """What the model is, and the shapes of its arguments."""
    graph = layout.graph
    lines = ["The generative model."]
    if any(enumerated(variable) for variable in graph.variables):
        nesting = -min((dim for dim in layout.dims.values()), default=0)
        lines[0] += f" Discrete latents are enumerated, in the dimensions from {-1 - nesting} leftwards."
    lines.append("")
    if layout.padded:
        lines += [
            "Where a member has fewer rows than others nothing is observed; latents there follow their prior.",
            "",
        ]
    for plate in needs_ids(graph):
        lines.append(f"{plate}: NumPy array (rows,), the member of {plate} that each row is in: 0, 1, 2 ...")
    for variable in graph.in_role("given", "observed"):
        drawn = variable.role == "observed" and not given_total(variable)
        otherwise = ", or None to sample it" if drawn else ""
        lines.append(f"{variable.name}: array {_shape(layout, variable)}{otherwise}")
    for plate in _free_sizes(layout):
        names = " and ".join(_at(layout, (plate,), "observed"))
        when = f", needed only without {names}" if names else ""
        lines.append(f"{layout.locals[f'size {plate}']}: the size of {plate}{when}")
    return "\n".join(lines) + "\n"


def _shape(layout: Layout, variable: Variable) -> str:
    path = spine(layout.graph, variable)
    plates = [layout.graph.plate(name) for name in variable.plates]
    rows = [] if not path else ["rows" if len(path) > 1 else layout.locals[f"size {path[0]}"]]
    sizes = [
        *rows,
        *(str(p.size) for p in plates if p.size is not None),
        *map(str, variable.domain.event_shape),
    ]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def data_lines(layout: Layout) -> list[str]:
    """Sizes of plates, rows of padded members, and data in the dimensions of the model."""
    lines = _padding(layout) if layout.padded else []
    lines += _sizes(layout)
    for variable in layout.graph.in_role("given", "observed"):
        lines += _array(layout, variable)
    return lines


def _sizes(layout: Layout) -> list[str]:
    lines: list[str] = []
    names = layout.locals
    for path in spines(layout.graph):
        if crossing(layout.graph, path):
            lines.append(f"{names[f'size {rows_plate(layout.graph, path)}']} = len({path[0]})")
            continue
        plate, name = path[-1], names[f"size {path[-1]}"]
        given = _at(layout, path, "given")
        if layout.padded and any(
            len(leaf) > 1 and leaf[: len(path)] == path for leaf in leaves(layout.graph)
        ):
            continue
        if plate in needs_ids(layout.graph):
            lines.append(f"{name} = int(np.max({plate})) + 1")
        elif len(path) > 1:
            lines.append(f"{name} = len({path[-2]})")
        elif given:
            lines.append(f"{name} = len({given[0]})")
        else:
            for observed in _at(layout, path, "observed"):
                lines += [f"if {observed} is not None:", f"    {name} = len({observed})"]
    return lines + ([] if layout.padded else _outer_members(layout))


def _outer_members(layout: Layout) -> list[str]:
    """For members of a plate that holds another one: which member of a plate around it each is in, where that is read."""
    graph = layout.graph
    pairs = [
        (outer[-1], inner[-1])
        for variable in graph.variables
        for read in true_reads(variable)
        for inner, outer in [(spine(graph, variable), spine(graph, graph.variable(read.name)))]
        if outer and outer != inner and members(layout, outer[-1], inner) != outer[-1]
    ]
    return [_member_line(layout, *pair) for pair in dict.fromkeys(pairs)]


def _member_line(layout: Layout, outer: str, inner: str) -> str:
    name = layout.locals[f"{outer} of {inner}"]
    return f"{name} = {outer}[np.unique({inner}, return_index=True)[1]]"


def _padding(layout: Layout) -> list[str]:
    """Rows and masks of every level of every nest, and the sizes."""
    lines: list[str] = []
    names = layout.locals
    for path in (path for path in leaves(layout.graph) if len(path) > 1):
        for depth in range(1, len(path)):
            outer, plate = path[depth - 1], path[depth]
            rows, exists = names[f"rows {plate}"], names[f"exists {plate}"]
            ids = outer
            if depth < len(path) - 1:
                lines.append(_member_line(layout, outer, plate))
                ids = names[f"{outer} of {plate}"]
            lines.append(f"{rows}, {exists} = {names['padded']}({ids})")
            if depth > 1:
                above, there = names[f"rows {outer}"], names[f"exists {outer}"]
                lines.append(f"{rows}, {exists} = {rows}[{above}], {exists}[{above}] & {there}[..., None]")
        sizes = ", ".join(names[f"size {plate}"] for plate in path)
        lines.append(f"{sizes} = {names[f'exists {path[-1]}']}.shape")
    return lines


def _array(layout: Layout, variable: Variable) -> list[str]:
    """The statement that gives a data array its rows and dimensions, if it does not have them."""
    path = spine(layout.graph, variable)
    name = variable.name
    text = name
    if layout.padded and len(path) > 1:
        text = f"{name}[{steps_first(layout, path, layout.locals[f'rows {path[-1]}'])}]"
    leading = 1 if chain(layout, variable) else 0
    text = align(layout, axes(layout, variable), text, leading)
    if text == name:
        return []
    if variable.role == "given" or given_total(variable):
        return [f"{name} = {text}"]
    return [f"{name} = None if {name} is None else {text}"]
