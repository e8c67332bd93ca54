"""How `prepare` replaces many rows by a few that tell the same, where the E-step reads no more of them than counts, sums and
scatter (`program/degree.py`).

Rows of real numbers with a mean and a scatter matrix are as good as the corners of a simplex with the same: one row more than
they have entries.
"""

from __future__ import annotations

from math import prod

from bnlab.program.ir import Field, Program

CORNERS = '''
def corners(mean, scatter, count):
    """D + 1 rows, and the weight of each, with that count, that mean, and that scatter (D, D) about it."""
    size = len(mean) + 1
    scale = np.sqrt(np.diagonal(scatter))
    scale = np.where(scale > 0, scale, 1)
    variances, directions = np.linalg.eigh(scatter / np.outer(scale, scale))
    root = scale[:, None] * directions * np.sqrt(np.maximum(variances, 0))
    mirror = np.eye(size)[0] - 1 / np.sqrt(size)
    simplex = np.eye(size) - 2 * np.outer(mirror, mirror) / (mirror @ mirror)
    # its columns but the first have mean 0 and scatter I
    return mean + np.sqrt(size / count) * simplex[:, 1:] @ root.T, np.full(size, count / size)
'''

SCATTER = '''
def scatter(x, weights, means, group):
    """The sum over n of weights[n] r r' with r = x[n] - means[group[n]], some rows at a time."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for rows in (slice(start, start + 4096) for start in range(0, len(x), 4096)):
        r = x[rows] - means[group[rows]]
        r *= np.sqrt(weights[rows])[:, None]
        with np.errstate(over="ignore", invalid="ignore"):  # whoever reads it looks whether it is finite
            total += r.T @ r
    return total
'''

ONE_LEVEL = '''
def condensed(data):
    """The data, or fewer rows that tell the same: the E-step reads their count, sum and scatter alone."""
    names, shapes = {names}, {shapes}
    N, D = len(data[names[0]]), {width}
    if N <= 2 * (D + 1):
        return data
    weights = np.asarray(data.get("weights", np.ones(N)), float)
    x = np.concatenate([np.asarray(data[name], float).reshape(N, -1) for name in names], 1)
    mean = weights @ x / weights.sum()
    about = scatter(x, weights, mean[None], np.zeros(N, int))
    if not np.isfinite(about).all():
        return data
    rows, weights = corners(mean, about, weights.sum())
    parts = np.split(rows, np.cumsum([np.prod(shape, dtype=int) for shape in shapes])[:-1], 1)
    found = {{name: part.reshape(-1, *shape) for name, part, shape in zip(names, parts, shapes)}}
    return {{**data, **found, "weights": weights}}
'''

ONE_FIELD = '''
def condensed(data):
    """The data, or fewer rows that tell the same: the E-step reads their count, sum and scatter alone."""
    x = rows_of(data, "{name}", float{shape}){flat}
    N, D = x.shape
    if N <= 2 * (D + 1):
        return data
    weights = np.asarray(data.get("weights", np.ones(N)), float)
    mean = weights @ x / weights.sum()
    about = scatter(x, weights, mean[None], np.zeros(N, int))
    if not np.isfinite(about).all():
        return data
    rows, weights = corners(mean, about, weights.sum())
    return {{**data, "{name}": rows{shaped}, "weights": weights}}
'''

TWO_LEVELS = '''
def condensed(data):
    """The data, or fewer rows that tell the same.

    A {root} enters the E-step by its count, its mean and the scatter about it: of all scatter
    one {root} can be the bearer, the rows of the others stand at their means. Where many {root}s
    have the same count, fewer tell the same.
    """
    x = rows_of(data, "{name}", float{shape}){flat}
    N, D = x.shape
    member = numbered(data.get("{root}", np.zeros(N, int)), len(data.get("weights", ())))
    count = np.bincount(member)
    weights = np.asarray(data.get("weights", np.ones(len(count))), float)
    if count.min() == 0 or N <= len(count) + D:
        return data
    if np.any(np.diff(member) < 0):
        order = np.argsort(member, kind="stable")
        x, member = x[order], member[order]
    means, first = np.empty((len(count), D)), np.cumsum(count) - count
    for one in np.unique(count):  # together those that have as many rows, some at a time
        same = np.flatnonzero(count == one)
        for some in np.array_split(same, len(same) * one // 65536 + 1):
            means[some] = x[first[some][:, None] + np.arange(one)].mean(1)
    within = scatter(x, weights[member], means, member)
    if not np.isfinite(within).all() or not np.isfinite(np.square(means).sum()):
        return data
    found = []  # for each count the means, and the weight of each
    for one in np.unique(count):
        mean, weight = means[count == one], weights[count == one]
        if len(mean) > D + 1 and weight.sum() > 0:
            centre = weight @ mean / weight.sum()
            about = scatter(mean, weight, centre[None], np.zeros(len(mean), int))
            mean, weight = corners(centre, about, weight.sum())
        found.append((mean, weight, np.full(len(mean), one)))
    means, weights, count = (np.concatenate(parts) for parts in zip(*found))
    bearer = np.argmax(weights * count)
    if len(means) + D > N / 2 or weights[bearer] == 0:
        return data
    rows, each = corners(means[bearer], within / weights[bearer], count[bearer])
    others = np.arange(len(means)) != bearer
    return {{
        **data,
        "{name}": np.concatenate([means[others], rows]){shaped},
        "{root}": np.concatenate([np.flatnonzero(others), np.full(len(rows), bearer)]),
        "weights": weights,
        "weights of {inner}": np.concatenate([count[others], each]),
    }}
'''

ALIKE = '''
def alike(x, weight, weight_inner, outer):
    """The rows of x, or others that count alike and have the same mean and scatter."""
    weight = np.take_along_axis(weight, np.minimum(outer, weight.shape[1] - 1), 1) * weight_inner
    x, weight = x[weight > 0], weight[weight > 0]
    if np.all(weight == weight[0]):
        return x
    flat = x.reshape(len(x), -1).astype(float)
    mean = weight @ flat / weight.sum()
    about = scatter(flat, weight, mean[None], np.zeros(len(x), int))
    return corners(mean, about, weight.sum())[0].reshape(-1, *x.shape[1:])
'''


def helpers(program: Program) -> list[str]:
    """The functions that `prepare` calls; none where rows have to stay as they are."""
    if not program.condensed:
        return []
    variables = [field for field in program.chunk if not field.made]
    first = variables[0]
    flat, shaped = "", ""
    shape = f", {first.row}" if first.row else ""
    if len(first.row) != 1:
        flat, shaped = '.reshape(len(data["' + first.name + '"]), -1)', _reshape(first)
    if len(program.levels) == 2:
        root, inner = program.levels[-1]
        text = TWO_LEVELS.format(
            name=first.name, root=root, inner=inner, flat=flat, shaped=shaped, shape=shape
        )
        return [CORNERS, SCATTER, text, ALIKE]
    if len(variables) == 1:
        return [CORNERS, SCATTER, ONE_FIELD.format(name=first.name, flat=flat, shaped=shaped, shape=shape)]
    names = tuple(field.name for field in variables)
    shapes = tuple(field.row for field in variables)
    width = sum(prod(shape) for shape in shapes)
    return [CORNERS, SCATTER, ONE_LEVEL.format(names=names, shapes=shapes, width=width)]


def _reshape(field: Field) -> str:
    return f".reshape(-1{''.join(f', {size}' for size in field.row)})"
