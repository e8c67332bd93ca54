"""The closed set of array operations.

Every expression knows its axes by name; a name stands for the same index wherever it occurs, so broadcasting,
transposing and the letters of an einsum all follow from the names. Constructors work out the axes; printers
and the evaluator match on the classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class Axis:
    """A named axis. Axes sort as arrays are laid out: steps, rows, sized plates, parameters' plates, states,
    events.

    `kind` is one of the constants below, `position` the order of declaration; `letter` stands for it in einsums and formulas,
    `extent` for its size in the comments on shapes.
    """

    kind: int
    position: int
    name: str
    letter: str
    size: int | None = field(default=None, compare=False)
    extent: str = field(default="", compare=False)


STEP, ROW, SIZED, STATE, EVENT = range(5)

Axes = tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Symbol:
    """An array by name. `space` says where it lives: it is a local name, or a field of the parameters, of a
    chunk of data, of the statistics, or of the hyperparameters of q(theta) or of its prior.
    """

    name: str
    axes: Axes
    space: Literal["local", "theta", "chunk", "statistics", "posterior", "prior", "constant"] = "local"


@dataclass(frozen=True, slots=True)
class Number:
    """A real number."""

    value: float
    axes: Axes = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """A small array written out: `flat` in C order over `axes`, of `shape`."""

    flat: tuple[float, ...]
    shape: tuple[int, ...]
    axes: Axes

    @property
    def is_identity(self) -> bool:
        """Whether it is the identity matrix."""
        if len(self.shape) != 2 or self.shape[0] != self.shape[1]:
            return False
        size = self.shape[0]
        return all(value == float(place // size == place % size) for place, value in enumerate(self.flat))


@dataclass(frozen=True, slots=True)
class Einsum:
    """The sum, over all axes that are not in `axes`, of the product of the operands."""

    operands: tuple[Expr, ...]
    axes: Axes


@dataclass(frozen=True, slots=True)
class Binary:
    """left op right, elementwise over the union of their axes, laid out as in `layout` if that is given."""

    op: Literal["+", "-", "*", "/", ">", ">=", "<", "=="]
    left: Expr
    right: Expr
    layout: Axes = ()

    @property
    def axes(self) -> Axes:
        return self.layout or union(self.left, self.right)


@dataclass(frozen=True, slots=True)
class Unary:
    """An elementwise function. "not_negative" is 0 where a rounding error made a sum of squares negative.
    "log_or_never" is the log of a probability whose gradient is 0 where the probability is 0. "log_if_reliable" is that
    of one whose parts may have underflowed: NaN where it is so small that this would matter.
    "held" is the operand itself, on which the result does not depend: no gradient flows through it.
    "seen" tells where data are not missing: no NaN.
    "inverse_digamma" of y is the a with digamma(a) = y; "gamma_shape" of s is the a with ln a - digamma(a) = s.
    """

    op: Literal[
        "log",
        "log_or_never",
        "log_if_reliable",
        "log1p",
        "exp",
        "sqrt",
        "square",
        "gammaln",
        "digamma",
        "inverse_digamma",
        "gamma_shape",
        "not_negative",
        "held",
        "seen",
    ]
    operand: Expr

    @property
    def axes(self) -> Axes:
        return self.operand.axes


@dataclass(frozen=True, slots=True)
class Reduce:
    """A reduction over the axes `over`. "hardmax" keeps its axes: 1 at the first maximum, else 0.

    "logsumexp_or_never" has gradient 0 where everything is -inf.
    """

    op: Literal["sum", "mean", "logsumexp", "logsumexp_or_never", "max", "hardmax"]
    operand: Expr
    over: Axes

    @property
    def axes(self) -> Axes:
        if self.op == "hardmax":
            return self.operand.axes
        return tuple(axis for axis in self.operand.axes if axis not in self.over)


@dataclass(frozen=True, slots=True)
class Take:
    """`table` with each axis of `indices` replaced by what an integer array picks; the axes of the index
    arrays come first.
    """

    table: Expr
    indices: tuple[tuple[Axis, Expr], ...]

    @property
    def axes(self) -> Axes:
        replaced = {axis for axis, _ in self.indices}
        rest = tuple(axis for axis in self.table.axes if axis not in replaced)
        return (
            *union(*(index for _, index in self.indices)),
            *(axis for axis in rest if axis not in self.index_axes),
        )

    @property
    def index_axes(self) -> Axes:
        return union(*(index for _, index in self.indices))


@dataclass(frozen=True, slots=True)
class Where:
    """`yes` where `condition` holds, else `no`."""

    condition: Expr
    yes: Expr
    no: Expr

    @property
    def axes(self) -> Axes:
        return union(self.condition, self.yes, self.no)


@dataclass(frozen=True, slots=True)
class OneHot:
    """1 at the index, else 0, along a new last axis."""

    index: Expr
    axis: Axis

    @property
    def axes(self) -> Axes:
        return (*self.index.axes, self.axis)


@dataclass(frozen=True, slots=True)
class SegmentSum:
    """Sums rows (axis `source`) into their members (axis `target`): row r goes to index[r]; rows that point
    past the end are dropped.

    `like` is an array whose first axis is `target`: it tells how many members there are.
    """

    operand: Expr
    index: Expr
    source: Axis
    target: Axis
    like: Expr

    @property
    def axes(self) -> Axes:
        return (self.target, *(axis for axis in self.operand.axes if axis != self.source))


@dataclass(frozen=True, slots=True)
class Steps:
    """A part of the steps of a chain: all but the first ("later"), all but the last ("earlier"), the first alone
    with its axis ("opening", empty where there is none), one end, the next step's, or a "range" that leaves out
    `start` steps at the beginning and `end` at the end; a range with `only` is the one step `start`, as an axis of
    length 1 (0 where there is no such step).
    """

    operand: Expr
    axis: Axis
    part: Literal["later", "earlier", "opening", "first", "last", "next", "range"]
    start: int = 0
    end: int = 0
    only: bool = False

    @property
    def axes(self) -> Axes:
        if self.part in ("first", "last"):
            return tuple(axis for axis in self.operand.axes if axis != self.axis)
        return self.operand.axes


@dataclass(frozen=True, slots=True)
class Count:
    """The numbers of the members along an axis, from 0; `like` is an array whose first axis it is."""

    like: Expr
    axis: Axis

    @property
    def axes(self) -> Axes:
        return (self.axis,)


@dataclass(frozen=True, slots=True)
class Relabel:
    """The same array, its axes called otherwise."""

    operand: Expr
    axes: Axes


@dataclass(frozen=True, slots=True)
class Prepend:
    """`first` put before the steps of `rest` along the axis."""

    first: Expr
    rest: Expr
    axis: Axis

    @property
    def axes(self) -> Axes:
        return self.rest.axes


@dataclass(frozen=True, slots=True)
class Joined:
    """Parts of the steps of a chain, one behind the other; all have the same axes."""

    parts: tuple[Expr, ...]
    axis: Axis

    @property
    def axes(self) -> Axes:
        return self.parts[0].axes


@dataclass(frozen=True, slots=True)
class Blocks:
    """A vector, or a matrix, put together of blocks, each flattened.

    Block i of a vector has the axes (*axes[:-1], *rows[i]); block (i, j) of a matrix (*axes[:-2], *rows[i],
    *columns[j]). A vector has no `columns`, and its blocks are the only row of `blocks`.
    """

    blocks: tuple[tuple[Expr, ...], ...]
    rows: tuple[Axes, ...]
    columns: tuple[Axes, ...]
    axes: Axes


@dataclass(frozen=True, slots=True)
class Solve:
    """The x with matrix x = vector, over the last axes, for a symmetric matrix that may be singular: of all
    that do, the one nearest to 0.
    """

    matrix: Expr
    vector: Expr
    axes: Axes


@dataclass(frozen=True, slots=True)
class Part:
    """The entries from `start` to before `stop` of the last axis, laid out as the last of `axes`; of the one that has as many
    as `behind` behind it.
    """

    operand: Expr
    start: int
    stop: int
    axes: Axes
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Broadcast:
    """The operand repeated along the axes that it lacks; `like` is an array that has the rows among them."""

    operand: Expr
    like: Expr
    axes: Axes


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity matrix over two axes of the same size."""

    axes: Axes


@dataclass(frozen=True, slots=True)
class Linear:
    """Linear algebra on the last two axes. "inverse_lower" is of a lower triangular matrix; "log_diagonal_sum" of
    a Cholesky factor is half the log determinant, "log_det" the log of a positive determinant, "symmetric" the mean of a matrix
    and its transpose, which mathematics calls the same.
    """

    op: Literal[
        "cholesky", "inverse_lower", "log_diagonal_sum", "inverse", "log_det", "diagonal", "symmetric"
    ]
    operand: Expr
    axes: Axes


@dataclass(frozen=True, slots=True)
class JointBasis:
    """T with T T' = `covariance` and T' `precision` T diagonal; the axes are those of its rows and columns, last.

    `definite` tells that the precision is not singular, which takes half the work; the covariance may be.
    """

    covariance: Expr
    precision: Expr
    axes: Axes
    definite: bool = False


@dataclass(frozen=True, slots=True)
class Riccati:
    """Covariances along a chain, the first of its axes: each is F (P^-1 + Lambda)^-1 F' + Q of the one before. There are as
    many as `like` has steps.
    """

    first: Expr
    F: Expr
    Q: Expr
    Lambda: Expr
    like: Expr
    axes: Axes


@dataclass(frozen=True, slots=True)
class Keep:
    """total / count; where nothing was counted, the old value."""

    total: Expr
    count: Expr
    old: Expr

    @property
    def axes(self) -> Axes:
        found = union(self.total, self.count)
        return self.total.axes if set(found) == set(self.total.axes) else found


@dataclass(frozen=True, slots=True)
class Reliable:
    """Whether rescaled messages lost nothing that matters: no `c` is near the smallest float, no `beta` near
    its inverse.
    """

    c: Expr
    beta: Expr
    axes: Axes = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the program applied to symbols."""

    function: str
    arguments: tuple[Expr, ...]
    axes: Axes


@dataclass(frozen=True, slots=True)
class InBlocks:
    """A call whose arguments share their first `members` axes, made for some of these members at a time; the same numbers."""

    call: Call
    members: int

    @property
    def axes(self) -> Axes:
        return self.call.axes


Expr = (
    Symbol
    | Number
    | Constant
    | Einsum
    | Binary
    | Unary
    | Reduce
    | Take
    | Where
    | OneHot
    | SegmentSum
    | Steps
    | Count
    | Relabel
    | Prepend
    | Joined
    | Blocks
    | Solve
    | Part
    | Broadcast
    | Identity
    | JointBasis
    | Linear
    | Riccati
    | Keep
    | Reliable
    | Call
    | InBlocks
)


def union(*operands: Expr | Axes) -> Axes:
    """All axes of the operands, each once, in the canonical order."""
    found = {
        axis for operand in operands for axis in (operand if isinstance(operand, tuple) else operand.axes)
    }
    return tuple(sorted(found))
