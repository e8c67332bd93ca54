"""One big joint Gaussian: all normal variables of a component at once, for every configuration of its discrete ones.

Each ground CPD v = sum_p A_p v_p + c + S^(1/2) e is a row of blocks of the linear system (I - A) v = c + S^(1/2) e, with e
standard normal. Solved, v = m + L e. What is observed fixes some of e: with L_o' = Q R, the part of e along Q is
R'^-1 (v_o - m_o) and the rest stays standard normal. Nothing is inverted but what is observed, nothing is subtracted from a
covariance: variances may be 0, priors may be wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnlab.network.ir import Affine, Graph, VarRef
from bnlab.runtime.proof.densities import Reader, Theta
from bnlab.runtime.proof.grounding import Batch, Local


@dataclass(frozen=True, slots=True)
class Linear:
    """A normal CPD on every row of a batch: the mean is `offset` + sum of `slopes[ref]` @ ref, over references that are not
    known; `root` @ root' is the covariance. Scalars are vectors of one entry."""

    offset: np.ndarray  # (rows, D)
    slopes: Mapping[VarRef, np.ndarray]  # (rows, D, E)
    root: np.ndarray  # (rows, D, D)


@dataclass(frozen=True, slots=True)
class Piece:
    """A ground CPD of a component: its child's coordinates in the joint, and the batch row of each configuration."""

    linear: Linear
    local: Local
    child: slice
    rows: np.ndarray  # (configurations,)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """N(mean, root root') for each configuration, over all coordinates of a component; what is observed has no spread."""

    means: np.ndarray  # (configurations, N)
    roots: np.ndarray  # (configurations, N, free)


def linear(graph: Graph, theta: Theta, batch: Batch) -> Linear:
    """What a batch of normal CPDs says, read off its mean at 0 and at the unit vectors."""
    parents = _unsure_rows(batch)
    at_zero = dict(batch.values)
    for ref, rows in parents.items():
        at_zero[ref] = np.array(batch.values[ref], float)
        at_zero[ref][rows] = 0.0
    mean = batch.cpd.argument("mean")
    assert isinstance(mean, Affine)
    rows, dim = batch.rows, int(np.prod(batch.variable.domain.event_shape, dtype=int))
    offset = Reader(np, graph, theta, replace(batch, values=at_zero)).value(mean)
    slopes = {}
    for ref in parents:
        terms = Affine(tuple(term for term in mean.terms if term.variable == ref))
        shape = batch.values[ref].shape[1:]
        columns = []
        for unit in np.eye(int(np.prod(shape, dtype=int))):
            at_unit = at_zero | {ref: np.broadcast_to(unit.reshape(shape), (rows, *shape))}
            columns.append(
                Reader(np, graph, theta, replace(batch, values=at_unit)).value(terms).reshape(rows, dim)
            )
        slopes[ref] = np.stack(columns, -1)
    return Linear(offset.reshape(rows, dim), slopes, _root(Reader(np, graph, theta, batch), dim))


def _unsure_rows(batch: Batch) -> dict[VarRef, np.ndarray]:
    """The rows in which each reference but the child's own is to an unsure variable."""
    found: dict[VarRef, list[np.ndarray]] = {}
    for local in batch.locals:
        for ref, _ in local.unsure:
            if ref != VarRef(batch.variable.name):
                found.setdefault(ref, []).append(np.arange(local.start, local.start + local.size))
    return {ref: np.concatenate(rows) for ref, rows in found.items()}


def _root(reader: Reader, dim: int) -> np.ndarray:
    """A square root of the covariance on every row; one exists however many variances are 0."""
    cov, var, std = (reader.argument(name) for name in ("cov", "var", "std"))
    if cov is not None and cov.ndim == 3:
        values, vectors = np.linalg.eigh(cov)
        return vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
    spread = std if std is not None else np.sqrt(var if var is not None else cov)
    spread = spread.reshape(len(spread), -1) + np.zeros(dim)
    return spread[:, :, None] * np.eye(dim)


def condition(
    pieces: Sequence[Piece], at: Mapping[int, slice], observed: np.ndarray
) -> tuple[np.ndarray, Gaussian]:
    """ln p(observed) of each configuration, and the Gaussian of all coordinates given it.

    `at` are the coordinates of each element of `Ground.unsure`; `observed` (N,) has NaN where nothing is known.
    """
    known = ~np.isnan(observed)
    means, roots = joint(pieces, at, len(observed))
    q, r = np.linalg.qr(roots[:, known].swapaxes(-1, -2), mode="complete")
    many = int(known.sum())
    r = r[:, :many]
    fixed = np.linalg.solve(r.swapaxes(-1, -2), (observed[known] - means[:, known])[..., None])[..., 0]
    log_det = np.log(np.abs(np.diagonal(r, axis1=-2, axis2=-1))).sum(-1)
    log_p = -0.5 * (many * np.log(2 * np.pi) + (fixed**2).sum(-1)) - log_det
    means = means + (roots @ q[..., :many] @ fixed[..., None])[..., 0]
    roots = np.where(known[:, None], 0.0, roots @ q[..., many:])
    return log_p, Gaussian(np.where(known, observed, means), roots)


def joint(pieces: Sequence[Piece], at: Mapping[int, slice], size: int) -> tuple[np.ndarray, np.ndarray]:
    """m and L of v = m + L e, with e standard normal, for each configuration."""
    count = len(pieces[0].rows)
    system = np.tile(np.eye(size), (count, 1, 1))
    offset, noise = np.zeros((count, size)), np.zeros((count, size, size))
    for piece in pieces:
        offset[:, piece.child] = piece.linear.offset[piece.rows]
        noise[:, piece.child, piece.child] = piece.linear.root[piece.rows]
        for ref, position in piece.local.unsure:
            if ref in piece.linear.slopes:
                system[:, piece.child, at[position]] -= piece.linear.slopes[ref][piece.rows]
    return np.linalg.solve(system, offset[..., None])[..., 0], np.linalg.solve(system, noise)
