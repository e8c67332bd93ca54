"""The Program: functions of named statements. Written by `inference`, printed by `printers`, run by
`evaluate`.

A statement's `formula` is the same quantity in plain text, `tex` in TeX; `because` is the reason it exists,
one of a closed set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bnlab.domains import Values
from bnlab.program.ops import ROW, STEP, Axes, Expr, Symbol

Because = Literal[
    "density",  # a node's log density
    "multiply",  # factors that share a variable are multiplied
    "sum out",  # a latent variable is eliminated
    "leave plate",  # members of a plate are independent given what remains
    "recursion",  # one step of a chain's message
    "posterior",  # posterior marginals of a factor's own variables
    "moments",  # the posterior mean or covariance of a Gaussian latent; `formula` says of which, and given what
    "expect",  # an expected sufficient statistic
    "maximise",  # the stationary point of Q
    "numerics",  # a rewriting that changes no value
]


@dataclass(frozen=True, slots=True)
class Statement:
    """name = expression."""

    target: Symbol
    expression: Expr
    because: Because
    formula: str = ""
    tex: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """A recursion along a chain: `body` runs once a step and makes the next `carry` and the `outputs`.

    `inputs` pair the symbol that the body reads with the array whose steps it takes. `carry` holds (symbol,
    its first value, the expression of its next value). `outputs` pair a name in the body with the symbol that
    collects it over all steps; `last` names symbols that receive the carries after the last step (None for one
    that is not wanted). `like` is an array that has as many steps, where there may be no inputs. `at_once`, if there is such a
    way, makes the same outputs without one step waiting for another.
    """

    carry: tuple[tuple[Symbol, Expr, Expr], ...]
    inputs: tuple[tuple[Symbol, Expr], ...]
    body: tuple[Statement, ...]
    outputs: tuple[tuple[Expr, Symbol], ...]
    last: tuple[Symbol | None, ...]
    reverse: bool = False
    like: Symbol | None = None
    at_once: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Invoke:
    """targets = function(arguments), for a function with several results. `formula` says what the first is, where that is a
    table; `meanings` what each of the first are, where they are moments.
    """

    targets: tuple[Symbol, ...]
    function: str
    arguments: tuple[Expr, ...]
    formula: str = ""
    meanings: tuple[str, ...] = ()

    @property
    def comment(self) -> str:
        return self.formula or " and ".join(self.meanings)


@dataclass(frozen=True, slots=True)
class Function:
    """`arguments` are symbols (locals, or "theta" / "chunk" as a whole by name); the results are returned in
    order. `head` says in a line what the messages of a chain are.
    """

    name: str
    arguments: tuple[Symbol, ...]
    whole: tuple[Literal["theta", "chunk", "statistics", "posterior"], ...]
    body: tuple[Statement | Scan | Invoke, ...]
    results: tuple[Expr, ...]
    doc: str
    tex: str = ""
    head: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of Parameters, of a chunk of data or of Statistics: its axes and a word on what it holds.

    `made` tells what `prepare` makes it of; "" for a variable's data: "allowed" (of a variable's values, -1 where they are
    unknown, or of tables of its states), "weight" of the members of the outermost plate,
    "rows" (1 for those of an inner plate that are no padding), "mask" (the steps before the end of a sequence), or "index" (the
    row of the outer plate `of` that each row of an inner one belongs to). Of a result, `made` is "mean" or "cov" where it is
    that of the Gaussian latent `of`, "joint" where it is of several latents, `of` their names; `of` is also the latent that
    another name than its own stands for, or the parameter that a hyperparameter is of. `states` is how many a discrete variable
    has.
    """

    name: str
    axes: Axes
    comment: str = ""
    integer: bool = False
    made: str = ""
    of: str = ""
    states: int = 0

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of one row: the members of sized plates, then the entries."""
        return tuple(axis.size or 1 for axis in self.axes if axis.kind not in (ROW, STEP))


@dataclass(frozen=True, slots=True)
class Start:
    """Where EM starts a parameter from.

    "fixed": at `values`. "centres": at the centres of clusters of the variable's data, one for each entry of
    the plates that are not among the variable's; "spread": at the spread within those clusters, `form` being
    the structure it is declared with.
    "lines": at coefficient number `place` of regressions of the variable, from step `first` on, on `regressors`: each
    a variable ("" for 1) and how many steps earlier.
    "slopes": at random, as large as the variable is beside the first of `regressors`, or as it is spread.
    "levels": at positive levels near those centres, times the number in `values` if there is one; with the form "inverse", at 1
    over them; with the form "concentration", at the concentration over them, the number in `values` where it is known.
    "concentration": at one over the squared relative deviation within those clusters.
    "shares": near the shares of categories in clusters of rows of counts; none is 0.
    "number": at the number in `values`.
    "frequencies": near the frequencies of the variable's categories. "even": near equal probabilities.
    "noise": random numbers, on the scale of the variable's data where there is one; "unit": ones, or unit matrices with
    the form "cov".
    "chances": near the frequency of ones with the form "data", else near one half.
    `shape` is the parameter's, `shared` which of its axes are plates that the variable is in too, `apart` those along which
    a random factor sets members apart that would start alike.
    """

    parameter: str
    kind: Literal[
        "fixed",
        "centres",
        "spread",
        "lines",
        "slopes",
        "levels",
        "concentration",
        "shares",
        "number",
        "frequencies",
        "even",
        "chances",
        "noise",
        "unit",
    ]
    variable: str
    shape: tuple[int, ...]
    shared: tuple[int, ...] = ()
    form: Literal["", "cov", "var", "std", "inverse", "concentration", "data"] = ""
    values: tuple[float, ...] = ()
    regressors: tuple[tuple[str, int], ...] = ()
    place: int = 0
    first: int = 0
    apart: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """All there is to compute for one network: densities and messages (`functions`), the E-step of a chunk,
    and the M-step.

    `m_step` returns one expression for each field of `parameters`; `log_prior` is None without priors. `root`
    is the outermost plate, whose members are dealt out to chunks ("" if the data are one member); `levels`
    are the plates without size, each with those around it. `leaves` are variables whose values may be -1, missing,
    `notes` sentences on missing values and on evidence. `densities` are those of `functions` that are log densities, by the
    factor they belong to. `evidence` is ln p of a chunk for derivatives, where the E-step has statements without any.
    `condensed` tells that rows may be replaced by fewer that tell the same (`program/degree.py`).
    """

    name: str
    parameters: tuple[Field, ...]
    chunk: tuple[Field, ...]
    statistics: tuple[Field, ...]
    functions: tuple[Function, ...]
    expect: Function
    m_step: Function
    log_prior: Function | None
    root: str
    levels: tuple[tuple[str, ...], ...]
    starts: tuple[Start, ...]
    leaves: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    densities: dict[str, Function] = field(default_factory=dict)
    evidence: Function | None = None
    condensed: bool = False


@dataclass(frozen=True, slots=True)
class Variational:
    """Variational EM: the Program of the E-step at a point, whose M-step gives the hyperparameters in `posterior`.

    `prior` are the numbers of the same hyperparameters before any data. `expectations` makes the point,
    `program.parameters`, of those of q(theta); `means` the posterior means of the parameters in `learnt`,
    and `divergence` KL(q(theta) || p(theta)).
    """

    program: Program
    posterior: tuple[Field, ...]
    prior: tuple[Values, ...]
    learnt: tuple[Field, ...]
    expectations: Function
    means: Function
    divergence: Function
