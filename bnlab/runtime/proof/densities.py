"""Log densities by definition, for NumPy and jax.numpy alike (`xp` is either), so that they can be differentiated.

Every function takes a Batch of ground CPDs and returns one number a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from jax.scipy.special import gammaln as jax_gammaln
from scipy.special import gammaln

from bnlab.domains import Values
from bnlab.errors import InternalError
from bnlab.network.ir import Affine, Argument, Graph, Ref, Term, VarRef
from bnlab.runtime.proof.grounding import Batch

Array = Any  # numpy.ndarray or jax.Array
Theta = Mapping[str, Array]


def log_density(xp: ModuleType, graph: Graph, theta: Theta, batch: Batch) -> Array:
    """ln p(child | what it reads), one number for each row of the batch."""
    reader = Reader(xp, graph, theta, batch)
    match batch.cpd.family:
        case "Categorical":
            return _categorical(reader)
        case "Normal":
            return _normal(reader)
        case "Bernoulli":
            return _bernoulli(reader)
        case "Poisson":
            return _poisson(reader)
        case "Geometric":
            return _geometric(reader)
        case "Exponential":
            return _exponential(reader)
        case "StudentT":
            return _student(reader)
        case "Gamma":
            return _gamma(reader)
        case "Multinomial":
            return _multinomial(reader)
        case other:
            raise InternalError(f"the oracle does not know {other}")


class Reader:
    """Evaluates the arguments of a CPD on every row of a batch."""

    def __init__(self, xp: ModuleType, graph: Graph, theta: Theta, batch: Batch) -> None:
        self.xp, self.graph, self.theta, self.batch = xp, graph, theta, batch

    @property
    def child(self) -> np.ndarray:
        """The values; 1 where one is missing, which `known` gives no weight. What a Normal lacks is no value of a batch."""
        value = self.batch.values[VarRef(self.batch.variable.name)]
        return value if self.batch.variable.discrete else np.where(np.isnan(value), 1.0, value)

    def known(self, terms: Array) -> Array:
        """The terms, one for each number or one a row, summed to one a row; what is missing contributes nothing."""
        there = ~np.isnan(self.batch.values[VarRef(self.batch.variable.name)])
        if there.ndim > np.ndim(terms):
            there = there.any(-1)
        return self.xp.where(there, terms, 0.0).reshape(self.batch.rows, -1).sum(-1)

    def argument(self, name: str) -> Array | None:
        found = self.batch.cpd.argument(name)
        return None if found is None else self.value(found)

    def value(self, argument: Argument) -> Array:
        match argument:
            case VarRef():
                return self.batch.values[argument]
            case Ref():
                return self._ref(argument)
            case Affine():
                return self._sum(argument)

    def _ref(self, ref: Ref) -> Array:
        """A parameter or constant: plates shared with the child align, the rest take the subscripts in order."""
        subscripts = [
            np.full(self.batch.rows, s) if isinstance(s, int) else self.batch.values[s]
            for s in ref.subscripts
        ]
        if isinstance(ref.target, Values):
            array, index = ref.target.array, subscripts
        else:
            array, index = self.theta[ref.target], []
            for plate in self.graph.parameter(ref.target).plates:
                aligned = plate in self.batch.variable.plates
                index.append(self.batch.cells[plate] if aligned else subscripts.pop(0))
            assert not subscripts, f"{ref.target} has more subscripts than plates"
        if index:
            return self.xp.asarray(array)[tuple(index)]
        return self.xp.broadcast_to(self.xp.asarray(array), (self.batch.rows, *np.shape(array)))

    def _sum(self, affine: Affine) -> Array:
        event = self.batch.variable.domain.event_shape
        total = self.xp.zeros((self.batch.rows, *event))
        for term in affine.terms:
            total = total + term.sign * _wide(self._term(term), len(event))
        return total

    def _term(self, term: Term) -> Array:
        factors = [self.value(part) for part in (term.coefficient, term.variable) if part is not None]
        if len(factors) == 1:
            return factors[0]
        coefficient, variable = factors
        match term.op:
            case "scale":
                ndim = max(coefficient.ndim, variable.ndim) - 1
                return _wide(coefficient, ndim) * _wide(variable, ndim)
            case "matmul":
                return _matmul(coefficient, variable)
            case "rmatmul":
                return _matmul(variable, coefficient)
            case other:
                raise InternalError(f"term operation {other}")


def _wide(array: Array, event_axes: int) -> Array:
    """A scalar a row as one that broadcasts over `event_axes` axes; other arrays unchanged."""
    return array[(..., *[None] * event_axes)] if array.ndim == 1 else array


def _matmul(left: Array, right: Array) -> Array:
    """left @ right for each row; at most one of them is a matrix."""
    if left.ndim == 3:
        return (left * right[:, None]).sum(-1)
    if right.ndim == 3:
        return (left[..., None] * right).sum(1)
    return (left * right).sum(-1)


def _categorical(reader: Reader) -> Array:
    probs = reader.argument("probs")
    assert probs is not None
    with np.errstate(divide="ignore"):
        return reader.xp.log(probs[np.arange(reader.batch.rows), reader.child])


def _bernoulli(reader: Reader) -> Array:
    prob = reader.argument("prob")
    assert prob is not None
    with np.errstate(divide="ignore"):
        return reader.xp.log(reader.xp.where(reader.child == 1, prob, 1.0 - prob))


def _poisson(reader: Reader) -> Array:
    x, rate = reader.child, reader.argument("rate")
    terms = x * reader.xp.log(rate) - rate - gammaln(x + 1.0)
    return reader.known(terms)


def _geometric(reader: Reader) -> Array:
    x, prob = reader.child, reader.argument("prob")
    return reader.known(reader.xp.log(prob) + x * reader.xp.log1p(-prob))


def _exponential(reader: Reader) -> Array:
    x, rate = reader.child, reader.argument("rate")
    return reader.known(reader.xp.log(rate) - rate * x)


def _gamma(reader: Reader) -> Array:
    xp, x = reader.xp, reader.child
    a, b = (_wide(reader.argument(name), x.ndim - 1) for name in ("concentration", "rate"))
    log_gamma = gammaln(a) if xp is np else jax_gammaln(a)
    terms = a * xp.log(b) - log_gamma + (a - 1.0) * xp.log(x) - b * x
    return reader.known(terms)


def _student(reader: Reader) -> Array:
    """The textbook density of Kotz and Nadarajah (2004), with a scale matrix in every case; of the entries that are there."""
    xp, (dim, apart, log_det) = reader.xp, scaled_distance(reader)
    df, log_gamma = reader.argument("df"), gammaln if xp is np else jax_gammaln
    constant = log_gamma((df + dim) / 2) - log_gamma(df / 2) - dim / 2 * xp.log(df * np.pi) - log_det / 2
    return reader.known(constant - (df + dim) / 2 * xp.log1p(apart / df))


def student_parts(reader: Reader) -> tuple[Array, Array, np.ndarray]:
    """Of a Student t: (x - mean) and the scale matrix of each row, and which entries are there."""
    rows = reader.batch.rows
    residual = (reader.child - reader.argument("mean")).reshape(rows, -1)
    dim = residual.shape[-1]
    matrix, scale = reader.argument("scale_matrix"), reader.argument("scale")
    if matrix is None:
        matrix = (_wide(scale, 1) ** 2)[..., None] * np.eye(dim)
    value = reader.batch.values[VarRef(reader.batch.variable.name)]
    return residual, matrix.reshape(rows, dim, dim), ~np.isnan(value).reshape(rows, dim)


def scaled_distance(reader: Reader) -> tuple[np.ndarray, Array, Array]:
    """Of each row of a Student t: how many entries are there, and of these (x - mean)' scale_matrix^-1 (x - mean) and
    ln |scale_matrix|. Rows that lack the same are taken together: whatever is missing is cut out."""
    xp, (residual, matrix, there) = reader.xp, student_parts(reader)
    order: list[int] = []
    distances, log_dets = [], []
    for pattern in np.unique(there, axis=0):
        rows, kept = np.flatnonzero((there == pattern).all(-1)), np.flatnonzero(pattern)
        left, block = residual[rows][:, kept], matrix[rows][:, kept][:, :, kept]
        order += list(rows)
        distances.append((left * xp.linalg.solve(block, left[..., None])[..., 0]).sum(-1))
        log_dets.append(xp.linalg.slogdet(block)[1])
    back = np.argsort(order)
    return there.sum(-1), xp.concatenate(distances)[back], xp.concatenate(log_dets)[back]


def _multinomial(reader: Reader) -> Array:
    xp, x, probs = reader.xp, reader.child, reader.argument("probs")
    ways = gammaln(x.sum(-1) + 1.0) - gammaln(x + 1.0).sum(-1)
    with np.errstate(divide="ignore"):
        each = xp.where(x > 0, x * xp.log(xp.where(x > 0, probs, 1.0)), 0.0)
    return reader.known(ways + each.sum(-1))


def _normal(reader: Reader) -> Array:
    xp, x, mean = reader.xp, reader.child, reader.argument("mean")
    cov, var, std = (reader.argument(name) for name in ("cov", "var", "std"))
    residual = x - mean
    if cov is not None and residual.ndim == 2:
        solved = xp.linalg.solve(cov, residual[..., None])[..., 0]
        log_det = xp.linalg.slogdet(cov)[1]
        return -0.5 * (residual.shape[-1] * np.log(2 * np.pi) + log_det + (residual * solved).sum(-1))
    spread = var if var is not None else std**2 if std is not None else cov
    spread = _wide(spread, residual.ndim - 1) + xp.zeros(residual.shape)
    terms = -0.5 * (np.log(2 * np.pi) + xp.log(spread) + residual**2 / spread)
    return terms.reshape(len(x), -1).sum(-1)
