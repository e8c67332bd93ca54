"""How an emitted file starts EM: from clusters of the data (k-means, k-means++ seeds), or at random."""

from __future__ import annotations

from math import prod

from bnlab.program.ir import Field, Program, Start
from bnlab.program.ops import EVENT, ROW, SIZED, STEP, Axes

KMEANS = '''
def cluster(x, K, rng, method):
    """Centres (K, ...), and what they leave of each row of x (N, ...); by k-means, or K rows at random."""

    def squares(a, b):
        return np.maximum((a * a).sum(-1)[:, None] - 2 * a @ b.T + (b * b).sum(-1), 0)

    flat = x.reshape(len(x), -1).astype(float)
    centre, scale = flat.mean(0), np.maximum(flat.std(0), np.finfo(float).tiny)
    scaled = (flat - centre) / scale
    sample = scaled[rng.choice(len(x), min(len(x), 20000), replace=False)]
    if method == "random":
        means = sample[rng.choice(len(sample), K, replace=len(sample) < K)]
    else:
        means = sample[rng.integers(len(sample))][None]
        for _ in range(K - 1):
            far = squares(sample, means).min(1)
            chance = far / far.sum() if far.sum() > 0 else None
            means = np.concatenate([means, sample[rng.choice(len(sample), p=chance)][None]])
        for _ in range(20):
            label = squares(sample, means).argmin(1)
            means = np.stack([sample[label == k].mean(0) if (label == k).any() else means[k] for k in range(K)])
    label = np.concatenate([squares(part, means).argmin(1) for part in np.array_split(scaled, len(x) // 4096 + 1)])
    rest = (scaled - means[label]) * scale
    return (means * scale + centre).reshape(K, *x.shape[1:]), rest.reshape(x.shape)
'''

EVEN = '''
def near(probabilities, shape, rng, method):
    """Rows of probabilities near the given ones, but not at that saddle point; anywhere, if "random"."""
    noise = rng.exponential(size=shape) if method == "random" else rng.uniform(0.5, 1.5, shape)
    return probabilities * noise / (probabilities * noise).sum(-1, keepdims=True)
'''

LEVELS = '''
def levels(centres, x):
    """Positive levels near the centres of clusters: none is 0, unless all data are."""
    return 0.9 * centres + 0.1 * x.mean(0)
'''

CONCENTRATION = '''
def concentration(x, rest):
    """One over the squared relative deviation of x from its centres, x - rest; at most 100."""
    return 1 / (np.square(rest / (x - rest)).mean() + 0.01)
'''

SHARES = '''
def shares(x):
    """Rows of counts as parts of their sum; equal ones where nothing was counted."""
    total = x.sum(-1, keepdims=True)
    return np.where(total > 0, x, 1) / np.where(total > 0, total, x.shape[-1])
'''

FREQUENCIES = '''
def frequencies({x}, size):
    """How frequent each category is{among}, where each was seen once more."""{chosen}
    counts = np.bincount(x.ravel(), minlength=size) + 1.0
    return counts / counts.sum()
'''

RELATIVE = '''
def relative(y, u):
    """How large y is spread beside u; beside its size where it is not spread at all."""
    size = np.std(u) or np.abs(u).mean() or 1.0
    return np.std(y) / size
'''

ZEROS_AND_ONES = '''
def zeros_and_ones({x}):
    """The frequencies of 0 and 1{among}, where each was seen once more."""{chosen}
    ones = (x.sum() + 1) / (x.size + 2)
    return np.array([1 - ones, ones])
'''

SEEN = '''
def seen(x):
    """The values that are not missing."""
    return x[x >= 0]
'''

FILLED = '''
def filled(x):
    """The rows with missing numbers at the mean of their column; 0 where all of it is missing."""
    seen = ~np.isnan(x)
    mean = np.where(seen, x, 0).sum(0) / np.maximum(seen.sum(0), 1)
    return np.where(seen, x, mean)
'''

LINES = '''
def lines(u, y, K, rng, method):
    """K regressions (K, E, P) of y (N, E) on u (N, P), and what they leave of y: each through a few rows
    at random, then, as in k-means, through the rows that it is nearest to.
    """

    def line(rows):
        return np.linalg.lstsq(u[rows], y[rows], rcond=None)[0].T

    few, scale = min(len(y), 2 * u.shape[1]), np.maximum(y.std(0), np.finfo(float).tiny)
    found = np.stack([line(rng.choice(len(y), few, replace=False)) for _ in range(K)])
    for _ in range(1 if method == "random" else 20):
        far = np.square((y[:, None] - np.einsum("np,kep->nke", u, found)) / scale).sum(-1)
        label = far.argmin(1)
        if method != "random":
            found = np.stack([line(label == k) if (label == k).sum() >= few else found[k] for k in range(K)])
    return found, y - np.einsum("np,nep->ne", u, found[label])
'''

CLUSTERED = ("centres", "spread", "levels", "concentration", "shares", "noise")
"""Starts that are made of clusters of a variable's data."""
CENTRED = ("centres", "levels", "shares")
"""Those of them that the centres of clusters are read for."""


def helpers(program: Program) -> list[str]:
    kinds = {start.kind for start in program.starts}
    clusters = [KMEANS] if any(start.kind in CLUSTERED and start.variable for start in program.starts) else []
    levels = [RELATIVE] if any(s.kind == "slopes" and s.regressors for s in program.starts) else []
    levels += [LINES] if "lines" in kinds else []
    levels += [LEVELS] if kinds & {"levels", "shares"} else []
    levels += [SHARES] if "shares" in kinds else []
    levels += [CONCENTRATION] if any("concentration" in (s.kind, s.form) for s in program.starts) else []
    gaps = [field for field in program.chunk if field.name in program.leaves]
    missing, weighted = any(field.integer for field in gaps), _weighted(program)
    levels += [SEEN] if missing and not weighted else []
    levels += [FILLED] if any(not field.integer for field in gaps) else []
    levels += (
        [_counting(ZEROS_AND_ONES, weighted, missing)]
        if any(s.kind == "chances" and s.form for s in program.starts)
        else []
    )
    levels += [_counting(FREQUENCIES, weighted, missing)] if "frequencies" in kinds else []
    return clusters + levels + ([EVEN] if kinds & {"even", "frequencies", "chances"} else [])


def _counting(text: str, weighted: bool, missing: bool) -> str:
    """A helper that counts categories: of what stands for members, and is not missing."""
    chosen = ["x = np.asarray(x)[np.asarray(weight) > 0]"] if weighted else []
    chosen += ["x = x[x >= 0]  # -1 is missing"] if weighted and missing else []
    return text.format(
        x="x, weight" if weighted else "x",
        among=" in rows that have a weight" if weighted else "",
        chosen="".join(f"\n    {line}" for line in chosen),
    )


def _weighted(program: Program) -> bool:
    """Whether all that is counted has weights, or a mask, of its rows."""
    counted = [
        s.variable for s in program.starts if s.kind == "frequencies" or s.kind == "chances" and s.form
    ]
    return all(_weight(program, variable) for variable in counted)


START = 'Where EM starts: at clusters of the data (method "data") or at random rows ("random").'


def init(program: Program, name: str = "init", doc: str = START, zero: tuple[Field, ...] = ()) -> str:
    """The text of `init`, or of the function of another `name`; fields in `zero` start there."""
    body = ["rng = np.random.default_rng(seed)"]
    drawn = {start.variable: start for start in reversed(program.starts) if start.kind == "lines"}
    centred = {start.variable for start in program.starts if start.kind in CENTRED}
    variables = dict.fromkeys(
        start.variable
        for start in program.starts
        if start.kind in CLUSTERED
        and start.variable
        and (start.variable in centred or start.variable not in drawn)
    )
    for variable in variables:
        body += _clusters(program, variable)
    for start in reversed(drawn.values()):
        body += _lines(program, start)
    values = [f"{start.parameter}=jnp.asarray({_value(program, start)})" for start in program.starts]
    values += [f"{field.name}=jnp.zeros({tuple(axis.size or 1 for axis in field.axes)})" for field in zero]
    head = f'def {name}(data, seed=0, method="data"):'
    last = f"    return Parameters({', '.join(values)})"
    return "\n".join([head, f'    """{doc}"""', *(f"    {line}" for line in body), last])


def _field(program: Program, variable: str) -> Field:
    return next(field for field in program.chunk if field.name == variable)


def _real(program: Program, variable: str) -> str:
    """The rows of a variable, padding left out and missing numbers filled in."""
    return _without_gaps(program, variable, _members_of(program, variable))


def _without_gaps(program: Program, variable: str, rows: str) -> str:
    gaps = variable in program.leaves and not _field(program, variable).integer
    return f"filled({rows})" if gaps else rows


def _members_of(program: Program, variable: str) -> str:
    field = _field(program, variable)
    steps = any(axis.kind == STEP for axis in field.axes)
    if not program.root:  # steps of the only sequence are rows; without steps there is one row
        return f"np.asarray(data.{variable})" + ("" if steps else "[None]")
    weight = _weight(program, variable)
    if not weight:
        outer = {f.made: f.name for f in program.chunk if f.made in ("weight", "index")}
        arrays = (variable, outer["weight"], _row_weight(program, field), outer["index"])
        return f"alike({', '.join(f'np.asarray(data.{name})' for name in arrays)})"
    return f"np.asarray(data.{variable})[np.asarray(data.{weight}){'' if steps else ' > 0'}]"


def _weight(program: Program, variable: str) -> str:
    """The array that is 0 where rows of the variable are padding; empty where that is not all that tells which rows count."""
    field = _field(program, variable)
    if not program.root:
        return ""
    if any(axis.kind == STEP for axis in field.axes):
        return next(field.name for field in program.chunk if field.made == "mask")
    rows = next(axis for axis in field.axes if axis.kind == ROW)
    return "" if program.condensed and rows.name != program.root else _row_weight(program, field)


def _row_weight(program: Program, field: Field) -> str:
    rows = next(axis for axis in field.axes if axis.kind == ROW)
    made = "weight" if rows.name == program.root else "rows"
    return next(f.name for f in program.chunk if f.made == made and rows in f.axes)


def _rows(program: Program, variable: str, shared: tuple[int, ...]) -> str:
    """The rows of a variable; members of sized plates that the parameter has not are rows too."""
    rows = _real(program, variable)
    field = _field(program, variable)
    sized = [axis for axis in field.axes if axis.kind == SIZED]
    if len(shared) < len(sized):
        rows += f".reshape(-1{''.join(f', {axis.size}' for axis in field.axes if axis.kind == EVENT)})"
    return rows


def _centre(program: Program, variable: str) -> Start | None:
    """The start that tells how many clusters the data of a variable are put in: the most that any wants."""
    starts = [start for start in program.starts if start.variable == variable]
    centres = [start for start in starts if start.kind in CENTRED]
    return max(centres, key=lambda start: _clustered(program, start), default=None)


def _shared(program: Program, variable: str) -> tuple[int, ...]:
    centre = _centre(program, variable)
    return centre.shared if centre else ()


def _rows_from(program: Program, variable: str, lag: int, first: int) -> str:
    """The rows of a variable `lag` steps before those from step `first` on, padding left out and missing numbers filled in."""
    return _without_gaps(program, variable, _steps_from(program, variable, lag, first))


def _steps_from(program: Program, variable: str, lag: int, first: int) -> str:
    if not first:
        return _members_of(program, variable)
    field = _field(program, variable)
    stop = str(-lag) if lag else ""
    start = str(first - lag) if first > lag else ""
    if not program.root:
        return f"np.asarray(data.{field.name})[{start}:{stop}]"
    mask = next(field.name for field in program.chunk if field.made == "mask")
    return f"np.asarray(data.{field.name})[:, {start}:{stop}][np.asarray(data.{mask})[:, {first}:]]"


def _width(program: Program, variable: str) -> int:
    """How many numbers a row of a variable is; one for an offset."""
    field = next((field for field in program.chunk if field.name == variable), None)
    return prod(axis.size or 1 for axis in field.axes if axis.kind == EVENT) if field else 1


def _lines(program: Program, start: Start) -> list[str]:
    """Regressions of a variable, as many as the coefficients with most members want."""
    name = start.variable
    rows = _rows_from(program, name, 0, start.first)
    count = max(
        _members(program, one) for one in program.starts if one.kind == "lines" and one.variable == name
    )
    columns = ", ".join(
        _rows_from(program, regressor, lag, start.first) if regressor else f"np.ones(len(y_{name}))"
        for regressor, lag in start.regressors
    )
    return [
        f"y_{name} = {rows}",
        f"u_{name} = np.column_stack([{columns}])",
        f"lines_{name}, rest_{name} = lines(u_{name}, y_{name}.reshape(len(y_{name}), -1), {count}, rng, method)",
    ]


def _members(program: Program, start: Start) -> int:
    """How many members of plates a parameter has."""
    return prod(axis.size or 1 for axis in _axes(program, start) if axis.kind != EVENT)


def _coefficient(program: Program, start: Start) -> str:
    widths = [_width(program, regressor) for regressor, _ in start.regressors]
    before = sum(widths[: start.place])
    found = f"lines_{start.variable}[..., {before}:{before + widths[start.place]}]"
    if _members(program, start) == 1:
        found += ".mean(0)"
    return f"{found}.reshape({start.shape})"


def _clusters(program: Program, variable: str) -> list[str]:
    centre, shared = _centre(program, variable), _shared(program, variable)
    rows = _rows(program, variable, shared)
    rows = f"shares({rows})" if centre and centre.kind == "shares" else rows
    count = _clustered(program, centre) if centre else 1
    return [f"centres_{variable}, rest_{variable} = cluster({rows}, {count}, rng, method)"]


def _clustered(program: Program, start: Start) -> int:
    """How many clusters a parameter wants: one for each member of the plates that its variable is not in."""
    axes = enumerate(_axes(program, start))
    return prod(axis.size or 1 for place, axis in axes if axis.kind != EVENT and place not in start.shared)


def _value(program: Program, start: Start) -> str:
    match start.kind:
        case "fixed":
            numbers = ", ".join(repr(value) for value in start.values)
            return f"np.array([{numbers}]).reshape({start.shape})" if start.shape else repr(start.values[0])
        case "even":
            return f"near({1 / start.shape[-1]!r}, {start.shape}, rng, method)"
        case "frequencies":
            counted = f"frequencies({_counted(program, start.variable)}, {start.shape[-1]})"
            return f"near({counted}, {start.shape}, rng, method)"
        case "chances":
            return f"near({_chance(program, start)}, {(*start.shape, 2)}, rng, method)[..., 1]"
        case "levels":
            rows = _rows(program, start.variable, start.shared)
            level = f"levels(centres_{start.variable}, {rows})"
            entries = any(axis.kind == EVENT for axis in _field(program, start.variable).axes)
            whole = entries and not any(axis.kind == EVENT for axis in _axes(program, start))
            value = _centres(program, start, f"{level}.mean(-1)" if whole else level)
            match start.form:
                case "inverse":
                    return f"1 / {value}"
                case "concentration":
                    return f"{_moment(program, start)} / {value}"
                case _:
                    return f"{start.values[0]!r} * {value}" if start.values else value
        case "number":
            return f"np.full({start.shape}, {start.values[0]!r})" if start.shape else repr(start.values[0])
        case "shares":
            rows = _rows(program, start.variable, start.shared)
            level = _centres(program, start, f"levels(centres_{start.variable}, shares({rows}))")
            return f"shares({level} + {0.1 / start.shape[-1]:.2g})"
        case "concentration":
            return (
                f"np.full({start.shape}, {_moment(program, start)})"
                if start.shape
                else _moment(program, start)
            )
        case "centres":
            return _centres(program, start, f"centres_{start.variable}")
        case "spread":
            return _apart(start, _spread(program, start))
        case "lines":
            return _coefficient(program, start)
        case "slopes":
            size = f"np.std({_real(program, start.variable)})"
            for regressor, _ in start.regressors:
                size = f"relative({_real(program, start.variable)}, {_real(program, regressor)})"
            return f"0.5 * {size} * rng.normal(size={start.shape})"
        case "noise":
            noise = f"rng.normal(size={start.shape})"
            return f"{noise} * rest_{start.variable}.std()" if start.variable else noise
        case "unit":
            if start.form != "cov":
                return _apart(start, f"np.ones({start.shape})")
            return _apart(start, f"np.broadcast_to(np.eye({start.shape[-1]}), {start.shape})")


def _apart(start: Start, value: str) -> str:
    """The value; times a factor for each component where all would start alike."""
    if not start.apart:
        return value
    factors = tuple(size if place in start.apart else 1 for place, size in enumerate(start.shape))
    return f"{value} * rng.uniform(0.5, 1, {factors})"


def _moment(program: Program, start: Start) -> str:
    """The concentration of a variable within its clusters: its mean value where it is known."""
    if start.values:
        return repr(start.values[0])
    rows = _rows(program, start.variable, _shared(program, start.variable))
    return f"concentration({rows}, rest_{start.variable})"


def _chance(program: Program, start: Start) -> str:
    """The probabilities of 0 and 1: their frequencies, or one half."""
    if start.form != "data":
        return "0.5"
    return f"zeros_and_ones({_counted(program, start.variable)})"


def _counted(program: Program, variable: str) -> str:
    """A categorical variable with the weights of its rows, or its values that count."""
    if _weighted(program):
        return f"data.{variable}, data.{_weight(program, variable)}"
    values = _real(program, variable)
    return f"seen({values})" if variable in program.leaves else values


def _centres(program: Program, start: Start, value: str) -> str:
    """Clusters (`value`) come as (selecting plates, shared plates, event); the parameter may have another order of plates."""
    own = _clustered(program, start)
    most = max(
        _clustered(program, one)
        for one in program.starts
        if (one.variable, one.kind) == (start.variable, start.kind)
    )
    if own < most:
        value += ".mean(0)" if own == 1 else f"[:{own}]"
    event = next(
        (place for place, axis in enumerate(_axes(program, start)) if axis.kind == EVENT), len(start.shape)
    )
    selecting = [place for place in range(event) if place not in start.shared]
    order = [*selecting, *start.shared, *range(event, len(start.shape))]
    if order == list(range(len(order))):
        return f"{value}.reshape({start.shape})"
    back = tuple(order.index(place) for place in range(len(order)))
    return f"{value}.reshape({tuple(start.shape[place] for place in order)}).transpose({back})"


def _axes(program: Program, start: Start) -> Axes:
    return next(field.axes for field in program.parameters if field.name == start.parameter)


def _spread(program: Program, start: Start) -> str:
    rest = f"rest_{start.variable}"
    field = _field(program, start.variable)
    events = [axis.size for axis in field.axes if axis.kind == EVENT]
    flat = f"{rest}.reshape(-1{''.join(f', {size}' for size in events)})"
    if start.form == "cov":
        return f"np.broadcast_to({flat}.T @ {flat} / len({flat}), {start.shape})"
    diagonal = (
        bool(events)
        and bool(start.shape)
        and start.shape[-1] == events[0]
        and any(axis.kind == EVENT for axis in _axes(program, start))
    )
    value = f"np.square({flat}).mean(0)" if diagonal else f"np.square({rest}).mean()"
    value = f"np.sqrt({value})" if start.form == "std" else value
    return f"np.broadcast_to({value}, {start.shape})" if start.shape else value
