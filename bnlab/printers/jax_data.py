"""How an emitted file takes its data: `prepare` deals the members of the outermost plate out to chunks, and
pads them.

The first axis of every field of Data counts chunks. Padding repeats a real value, so that it has a density,
and has weight 0; a padding row of an inner plate belongs to no member of the outer one.
"""

from __future__ import annotations

from math import prod

from bnlab.naming import fresh
from bnlab.printers import jax_condense
from bnlab.program import walk
from bnlab.program.ir import Field, Program, Statement
from bnlab.program.ops import ROW, STEP, Axes, Binary, Einsum, JointBasis

PUT = '''
def put(values, index, fill=None):
    """An array with values[i] at index[0][i], index[1][i], ..., and `fill` (or the first value) elsewhere."""
    fill = values[0] if fill is None else fill
    out = np.full([int(i.max()) + 1 for i in index] + list(np.shape(values)[1:]), fill, np.asarray(values).dtype)
    out[index] = values
    return jnp.asarray(out)
'''

POSITION = '''
def position(group):
    """For each element of `group` how many equal ones stand before it."""
    order = np.argsort(group, kind="stable")
    _, first, count = np.unique(group, return_index=True, return_counts=True)
    rank = np.empty(len(group), int)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(count) - count, count)
    return rank
'''

NUMBERED = '''
def numbered(ids, size=0, outer=None):
    """Ids (of members within `outer`) as numbers from 0: themselves where they are, else by first appearance.

    Numbers below `size` are those of members, also if some of these have no rows.
    """
    ids = np.asarray(ids)
    found, at = np.unique(ids, return_inverse=True)
    pairs = at if outer is None else outer * len(found) + at
    members, first, at = np.unique(pairs, return_index=True, return_inverse=True)
    if ids.dtype.kind in "iu" and len(members) == len(found) and 0 <= found[0] and found[-1] < max(len(found), size):
        return ids
    return np.argsort(np.argsort(first))[at]
'''

ROWS = '''
def rows_of(data, name, dtype, shape=(), states=0, gaps=False):
    """The rows of a variable, each of this shape; no NaN without `gaps`, and no value that is no state."""
    values = np.asarray(data[name])
    if values.shape[1:] != shape:
        raise ValueError(f"{name} has the shape {values.shape}; it takes rows of the shape {shape}")
    if states and not np.isin(values, np.arange(-1 if gaps else 0, states)).all():
        raise ValueError(f"{name} has values other than 0 to {states - 1}")
    values = np.asarray(values, dtype)
    if not gaps and not np.isfinite(values).all():
        raise ValueError(f"{name} has numbers that are missing or infinite")
    return values
'''

ALLOWED = '''
def allowed(values, size):
    """Which states are allowed: the value itself, or all where it is -1, unknown; a table of these stays as it is."""
    values = np.asarray(values)
    return values if values.dtype == bool else (values[..., None] == np.arange(size)) | (values[..., None] < 0)
'''


def helpers(program: Program) -> list[str]:
    """The helper functions that `prepare` calls."""
    found = [ALLOWED] if any(field.made == "allowed" for field in program.chunk) else []
    if not program.root:
        return [*found, ROWS] if chain(program) else found
    found += jax_condense.helpers(program)
    nested = [POSITION, NUMBERED] if any(len(level) > 1 for level in program.levels) or chain(program) else []
    return [*found, PUT, ROWS, *nested]


def chain(program: Program) -> str:
    """The chain that the data are in; "" without one."""
    return next((axis.name for field in program.chunk for axis in field.axes if axis.kind == STEP), "")


def prepare(program: Program, rows: tuple[str, ...] = ()) -> str:
    """The text of `prepare`; for the plates in `rows` Data keep where each row of the user's data went."""
    variables = [field for field in program.chunk if _datum(field)]
    if not program.root:
        parts = ", ".join(f"{field.name}=jnp.asarray({_read(program, field)})" for field in variables)
        return _function("dtype=float", "Data as arrays.", [f"return Data({parts})"])
    inner = program.levels[-1]
    steps = chain(program)
    single = len(program.levels) == 1 and not steps
    body = ["data = condensed(data)"] if program.condensed else []
    body += _single(program, variables) if single else _nested(program, variables, inner, steps)
    fields = ", ".join(_fill(program, field, steps) for field in program.chunk)
    body.append(f"return Data({fields}{_extra(rows, steps, program)})")
    doc = (
        f"Data in chunks of whole members of `{program.root}`, about `rows` rows each; padding has weight 0."
    )
    return _function(f"dtype=float, rows={_chunk_rows(program, steps)}", doc, body)


def _read(program: Program, field: Field) -> str:
    """A variable as an array, or as a table of the states that it may be in."""
    if field.made == "allowed":
        return f'allowed(data["{_datum(field)}"], {field.axes[-1].size})'
    kind = "int" if field.integer else "dtype"
    if not program.root and not _steps(field):
        return f'np.asarray(data["{field.name}"], {kind})'
    more = f", {field.row}" if field.row else ""
    more += f", states={field.states}" if field.states else ""
    more += ", gaps=True" if field.name in program.leaves else ""
    return f'rows_of(data, "{field.name}", {kind}{more})'


def _chunk_rows(program: Program, steps: str) -> int:
    """Rows of a chunk, so that its largest array stays in a core's cache; a chain needs many sequences abreast: each step costs
    much the same for one as for a hundred.

    Very large tables are built for a few rows at a time, so that they take 256 MiB at most; so are the covariances of what is
    missing at each step. Where members share a basis of D dimensions each chunk turns its sums back, some D^3: beside 8 D rows
    that is little.
    """
    parts = [item for function in (*program.functions, program.expect) for item in function.body]
    axes = [item.target.axes for item in parts if isinstance(item, Statement)]
    grows = [found for found in axes if any(axis.kind in (ROW, STEP) for axis in found)]
    grows += [_pairs(part) for one in (*program.functions, program.expect) for part in walk.parts(one)]
    cells = max((prod(axis.size or 1 for axis in found) for found in grows), default=1)
    if steps and not any(not field.integer for field in program.chunk if field.name in program.leaves):
        rows = [found for found in grows if any(axis.kind == ROW for axis in found)]
        wide = max((prod(axis.size or 1 for axis in found) for found in rows), default=1)
        return max(16384, min(65536, 1 << max(0, (2**18 // wide).bit_length() - 1)))
    if steps:
        return max(256, min(16384, 1 << max(0, (2**24 // cells).bit_length() - 1)))
    few: int = max(1, min(512, 2**25 // cells))
    bases = (part for one in parts for part in walk.parts(one) if isinstance(part, JointBasis))
    dims = max((part.axes[-1].size or 1 for part in bases), default=0)
    return max(few, min(4096, 8 * dims), min(4096, 1 << max(0, (131072 // cells).bit_length() - 1)))


def _pairs(part: object) -> Axes:
    """The pairs of entries whose products stand beside each row where squared distances are multiplied out."""
    if not isinstance(part, Einsum) or not all(isinstance(one, Binary) for one in part.operands[:2]):
        return ()
    return (
        tuple({one.axes[-1]: None for one in part.operands[:2] if one.axes})
        if len(part.operands) == 3
        else ()
    )


def _function(options: str, doc: str, body: list[str]) -> str:
    return "\n".join(
        [f"def prepare(data, {options}):", f'    """{doc}"""', *(f"    {line}" for line in body)]
    )


def _datum(field: Field) -> str:
    """The variable whose data a field is, as they are or as a table of states; "" for what `prepare` makes of ids."""
    if field.made == "allowed":
        return field.axes[-1].name
    return "" if field.made else field.name


def _level_of(program: Program, field: Field) -> str:
    return next((axis.name for axis in field.axes if axis.kind == ROW), program.root)


def _single(program: Program, variables: list[Field]) -> list[str]:
    first, root = _datum(variables[0]), program.root
    return [
        f'N = len(data["{first}"])',
        'weights = np.asarray(data.get("weights", np.ones(N)), dtype)',
        "chunks = -(-N // rows)",
        f"chunk_{root}, place_{root} = np.divmod(np.arange(N), -(-N // chunks))",
    ]


def _nested(program: Program, variables: list[Field], inner: tuple[str, ...], steps: str) -> list[str]:
    """Members by number; inner rows follow their member to its chunk."""
    body: list[str] = []
    deepest = [
        field
        for field in variables
        if _level_of(program, field) == inner[-1] and (not steps or _steps(field))
    ]
    count = f'len(data["{_datum(deepest[0])}"])'
    id_levels = inner if steps else inner[:-1]
    root = program.root
    for depth, plate in enumerate(id_levels):
        ids = f'data.get("{plate}", np.zeros({count}, int))'
        above = f", {_told(variables, program, plate)}, id_{id_levels[depth - 1]}" if depth else ", known"
        if not depth:  # the members that something tells of
            body.append(f"known = {_told(variables, program, plate)}")
        body.append(f"id_{plate} = numbered({ids}{above})")
    body += [
        f"size_{root} = max(id_{root}.max() + 1, known)",
        f'weights = np.asarray(data.get("weights", np.ones(size_{root})), dtype)',
        f"chunks = -(-{count} // rows)",
        f"chunk_{root}, place_{root} = np.divmod(np.arange(size_{root}), -(-size_{root} // chunks))",
    ]
    for depth, plate in enumerate(inner[1:], 1):
        if plate in id_levels:
            body.append(f"_, first_{plate} = np.unique(id_{plate}, return_index=True)")
            for above in inner[:depth]:
                body.append(f"{above}_of_{plate} = id_{above}[first_{plate}]")
        else:
            body += [f"{above}_of_{plate} = id_{above}" for above in inner[:depth]]
        body.append(f"chunk_{plate} = chunk_{root}[{root}_of_{plate}]")
        body.append(f"place_{plate} = position(chunk_{plate})")
    if steps:
        body.append(f"step = position(id_{inner[-1]})")
    return body


def _told(variables: list[Field], program: Program, plate: str) -> str:
    """How many members of a plate something other than ids tells of: a variable of theirs, or weights."""
    own = (field for field in variables if _level_of(program, field) == plate and not _steps(field))
    field = next(own, None)
    if field is not None:
        return f'len(data["{_datum(field)}"])'
    return 'len(data.get("weights", ()))' if plate == program.root else "0"


def _steps(field: Field) -> bool:
    return any(axis.kind == STEP for axis in field.axes)


def _index(program: Program, field: Field, steps: str) -> str:
    level = _level_of(program, field)
    if steps and _steps(field):
        return f"(chunk_{level}[id_{level}], step, place_{level}[id_{level}])"
    return f"(chunk_{level}, place_{level})"


def _fill(program: Program, field: Field, steps: str) -> str:
    index = _index(program, field, steps)
    level = _level_of(program, field)
    if not field.made:
        return f"{field.name}=put({_read(program, field)}, {index})"
    if field.made == "allowed":
        return f"{field.name}=put({_read(program, field)}, {index}, True)"
    if field.made == "weight":
        return f"{field.name}=put(weights, {index}, 0)"
    if field.made == "rows":
        ones = f"np.ones(len(place_{level}), dtype)"
        if program.condensed:
            ones = f'np.asarray(data.get("weights of {level}", np.ones(len(place_{level}))), dtype)'
        return f"{field.name}=put({ones}, {index}, 0)"
    if field.made == "mask":
        return f"{field.name}=put(np.ones(len(step), bool), {index}, False)"
    outer = field.of
    return f"{field.name}=put(place_{outer}[{outer}_of_{level}], {index}, place_{outer}.max() + 1)"


def rows_field(program: Program, level: str) -> str:
    """The field of Data that says where each member of a plate went, or each row of a chain."""
    return fresh(f"rows_{level}", {field.name for field in program.chunk})


def _extra(rows: tuple[str, ...], steps: str, program: Program) -> str:
    """Where each row went: -1 for padding."""
    parts = []
    for name in rows:
        if name == steps:
            level = program.levels[-1][-1]
            index = f"(chunk_{level}[id_{level}], step, place_{level}[id_{level}])"
            parts.append(f", {rows_field(program, name)}=put(np.arange(len(step)), {index}, -1)")
        else:
            index = f"(chunk_{name}, place_{name})"
            parts.append(f", {rows_field(program, name)}=put(np.arange(len(place_{name})), {index}, -1)")
    return "".join(parts)
