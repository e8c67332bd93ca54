"""What every family of distributions says about itself.

A family is one file: what it takes (`slots`), the domain of what it draws, its log density, its expected
statistics, its closed-form M-step, and its spelling in each printed language. `registry()` finds them all.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Domain, Values
from bnlab.errors import InternalError
from bnlab.program.build import local, total
from bnlab.program.ir import Start, Statement
from bnlab.program.ops import Axes, Axis, Constant, Expr, Number, Symbol, Unary, Where


@dataclass(frozen=True, slots=True)
class Slot:
    """An argument of a distribution.

    `mean` slots take an affine expression in the network's variables; every other slot takes one parameter,
    constant or
    `given`. `domains` are those that a parameter standing there may be declared with. Of the slots that share
    a non-empty `group` exactly one must be given; every other slot is required. `conjugate` names the priors
    with which the M-step of a parameter standing there has a closed form. `rows`: of a prior of matrices, one number or one
    for each row.
    """

    name: str
    domains: tuple[type[Domain], ...]
    mean: bool = False
    group: str = ""
    conjugate: tuple[str, ...] = ()
    rows: bool = False


Numbers = NDArray[np.float64]

Expected = Callable[[tuple[Expr, ...], Axes], Expr]
"""E_q of the product of some expressions, summed over members, as an array with the given axes."""


@dataclass(frozen=True, slots=True)
class Term:
    """One term of an affine mean: sign * coefficient * regressor.

    `own` is the coefficient whole, its entries under the axes of the child's (`row`) and the regressor's; None
    for 1. `value` is the regressor at the members, under the same axes; None for an offset. `columns` are the
    axes of the regressor's own entries, and `twins` the same once more, for products of two regressors. `name`
    is what the regressor is called in names of statistics, `formula` in text. `free`: the coefficient is learnt.
    """

    sign: int
    own: Symbol | Constant | None
    value: Expr | None
    columns: Axes = ()
    twins: Axes = ()
    free: bool = False
    name: str = ""
    formula: str = ""

    @property
    def parameter(self) -> str:
        """The name of the parameter that is learnt; "" for a coefficient that is known."""
        return self.own.name if self.free and isinstance(self.own, Symbol) else ""


@dataclass(frozen=True, slots=True)
class Slope:
    """A Gaussian latent in the mean of a Normal: sign * coefficient * parent.

    `parent` is its name, `lag` how many steps earlier it is read, `entries` its entries' axes (none for a scalar).
    `coefficient` is read at the members; None for 1. An `elementwise` one multiplies entry by entry; any
    other is a matrix from the entries of the parent to those of the child (a vector, where one of them is a scalar).
    `place` is the term's among those of the mean.
    """

    parent: str
    lag: int
    entries: Axes
    coefficient: Expr | None
    elementwise: bool
    sign: int
    place: int = 0


@dataclass(frozen=True, slots=True)
class Gaps:
    """A vector of which entries may be missing: its residual, 0 where they are, and the inverse of its covariance among
    those that are seen, 0 elsewhere (of independent entries: one number each)."""

    away: Symbol
    precision: Symbol


@dataclass(frozen=True, slots=True)
class Node:
    """One conditional distribution as the derivation sees it.

    `label` names it apart from all others (`x`; `z.first` for an initial distribution). `value` is the data
    of an observed variable, None for a latent one; `state` the axis of a discrete variable's categories,
    `event` those of a vector's entries (twice, for matrices). `arguments` are read at the members: discrete
    latents in subscripts are axes, observed ones have been taken. `own` are the same parameters whole, in the
    user's shape, with every subscript an axis. `suffix` tells the node's locals from those of other nodes; ""
    where there is only one that has any. `known` are the numbers of arguments other than means that are not learnt:
    constants, and parameters with a value. `terms` are those of a mean that is more than one parameter or constant; it
    is then no entry of `own`. An argument that is data is none either.
    `slopes` are the Gaussian latents in the mean; the mean in `arguments` is then what is left of it, and `residual` the
    variable less its mean under the old parameters, expected. `proxy` is an observed variable on the scale of a latent
    one ("" if there is none). `gradients` is whether the density is there to be differentiated: then every array that a
    formulation makes on the way is made twice more. `seen` tells which numbers of `value` are there, NaN standing for the
    others; None where none may be missing. `gaps` is what a hidden weight reads of a vector with missing entries.
    """

    label: str
    variable: str
    value: Expr | None
    state: Axis | None
    event: Axes
    arguments: Mapping[str, Expr]
    own: Mapping[str, Symbol | Constant]
    suffix: str = ""
    known: Mapping[str, Values] = field(default_factory=dict)
    terms: tuple[Term, ...] = ()
    slopes: tuple[Slope, ...] = ()
    residual: Symbol | None = None
    proxy: str = ""
    gradients: bool = False
    seen: Expr | None = None
    gaps: Gaps | None = None

    @property
    def gaussian(self) -> bool:
        """Whether the node is a Gaussian latent's or a child of one."""
        return bool(self.slopes) or (self.value is None and self.state is None)

    def parameter(self, argument: str) -> str:
        """The name of the parameter behind an argument; "" for a constant or a given variable."""
        symbol = self.own.get(argument)
        return symbol.name if isinstance(symbol, Symbol) and symbol.space == "theta" else ""

    @property
    def parameters(self) -> frozenset[str]:
        """The names of all parameters that the distribution reads."""
        named = (*self.own.values(), *(term.own for term in self.terms))
        return frozenset(part.name for part in named if isinstance(part, Symbol) and part.space == "theta")


@dataclass(frozen=True, slots=True)
class Density:
    """A log density: what to compute first (`body`), then the `log`; `linear` is exp(log), where that is a
    table.
    """

    log: Expr
    linear: Expr | None = None
    body: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Statistic:
    """An expected sufficient statistic: `expression` sums over members; `target` has its axes as the M-step
    reads them. `formula` is what is summed, in text, with `{index}` for the indices of a member; "" for 1.
    """

    target: Symbol
    expression: Expr
    formula: str = ""


@dataclass(frozen=True, slots=True)
class PriorOn:
    """The prior of a parameter: its family's name and its constants."""

    family: str
    constants: Mapping[str, Values]


@dataclass(frozen=True, slots=True)
class Use:
    """A node whose parameters are to be maximised, with its statistics by name."""

    node: Node
    statistics: Mapping[str, Symbol]


@dataclass(frozen=True, slots=True)
class Maximum:
    """Statements of the M-step, and the new value of each parameter."""

    body: tuple[Statement, ...]
    values: Mapping[str, Expr]


@dataclass(frozen=True, slots=True)
class Belief:
    """q of one parameter in variational EM: a member of its prior's family, which is conjugate.

    `hyper` are its hyperparameters by name, fields of the emitted Posterior; `prior` are those of the prior, which have the
    numbers `values`. `axes` are the parameter's; `event` those of one draw, two of them where q has a matrix over a vector.
    """

    parameter: str
    family: str
    axes: Axes
    event: Axes
    hyper: Mapping[str, Symbol]
    prior: Mapping[str, Symbol]
    values: Mapping[str, Numbers]

    def __getitem__(self, name: str) -> Symbol:
        return self.hyper[name]

    @property
    def plates(self) -> Axes:
        """The axes that tell draws apart."""
        return tuple(axis for axis in self.axes if axis not in self.event)


Hyper = Mapping[str, tuple[Axes, Numbers]]
"""Hyperparameters by name: their axes, and the values that the prior has."""

Draws = Mapping[str, Numbers]
"""Hyperparameters as arrays, or draws."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What q(theta) is made of: the prior of each learnt parameter, and which vectors have a full covariance in q."""

    priors: Mapping[str, PriorOn]
    full: frozenset[str] = frozenset()

    def about(self, node: Node, slot: str) -> Belief | None:
        """q of the parameter behind an argument, under the axes that the node has; None for what is not learnt."""
        name = node.parameter(slot)
        if name not in self.priors:
            return None
        axes = node.own[slot].axes
        event = tuple(axis for axis in axes if axis in node.event)
        return self.of(name, axes, node.event if name in self.full else event)

    def of(self, name: str, axes: Axes, event: Axes) -> Belief:
        """q of a parameter with these axes."""
        prior = self.priors[name]
        found = registry()[prior.family].hyperparameters(prior, axes, event)
        hyper = {key: Symbol(f"{name}_{key}", where, "posterior") for key, (where, _) in found.items()}
        before = {key: Symbol(symbol.name, symbol.axes, "prior") for key, symbol in hyper.items()}
        values = {key: value for key, (_, value) in found.items()}
        return Belief(name, prior.family, axes, event, hyper, before, values)


@dataclass(frozen=True, slots=True)
class Expectation:
    """E[ln p] of a node under q(theta), as ln p at a point plus an offset.

    `points` are the values of the learnt parameters; `offset` depends on what selects these alone, None for 0. `body` are
    statements that both read.
    """

    points: Mapping[str, Expr]
    offset: Expr | None = None
    body: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Tex:
    """A family in TeX, as templates in `$x`, what is drawn, and its slots by name: `$rate`.

    `log` is the log density, for one entry of a vector; `derivative` what it is by each slot, or, for a prior,
    by "x".
    """

    log: str
    derivative: Mapping[str, str]


class AbstractFamily(ABC):
    """The contract. Families are stateless: one instance each, found by `registry()`."""

    name: ClassVar[str]
    slots: ClassVar[tuple[Slot, ...]]
    is_cpd: ClassVar[bool] = True
    is_prior: ClassVar[bool] = False
    regression: ClassVar[bool] = False
    """Whether the M-step takes means that are sums, and arguments that are data."""
    given_total: ClassVar[bool] = False
    """Whether the density is of counts given their sum: then nothing can be drawn without data."""
    entrywise: ClassVar[bool] = False
    """Whether each entry of a vector may be missing by itself: what is left of the density has a closed form."""
    spelling: ClassVar[Mapping[str, str]] = {}
    """By target: "numpyro" is a template in the slots, `dist.Poisson({rate})`, for scalars."""
    tex: ClassVar[Tex | None] = None

    @abstractmethod
    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        """The domain of what is drawn, from the domains of the arguments that were given.

        Raises ValueError, with the reason as a sentence, where the shapes of the arguments do not fit one
        another.
        """

    def density(self, node: Node) -> Density:
        """The log density (or log probability) of a node."""
        raise InternalError(f"{self.name} is not the distribution of a variable.")

    def density_of_seen(self, node: Node) -> Density:
        """The log density of what is not missing, `node.seen`; what is missing has been integrated out: 0 is left of it.

        Here entries that may be missing by themselves are independent. What stands in for a missing number is 1, which every
        continuous variable and every count may be.
        """
        assert node.value is not None and node.seen is not None
        seen, known = local("seen", node.seen.axes), local("known", node.value.axes)
        body = (
            Statement(seen, node.seen, "numerics"),
            Statement(known, Where(seen, node.value, Number(1.0)), "numerics"),
        )
        entries = node.event[:1] if self.entrywise else ()
        found = self.density(replace(node, value=known, event=() if entries else node.event))
        log = total(Where(seen, found.log, Number(0.0)), entries)
        return Density(log, None, (*body, *found.body))

    def regressed(self, node: Node) -> tuple[Node, Symbol | None] | None:
        """The Normal by whose regression the missing entries of a node follow those that are seen, and the hidden weight that
        its covariance is divided by (None for 1). None of all that: what is missing is left out of the statistics."""
        return None

    def seen(self, node: Node) -> Expr:
        """Which numbers of a node's data are not missing; which vectors, where these are missing as a whole."""
        assert node.value is not None
        apart = self.entrywise or not node.event
        return Unary("seen", node.value if apart else total(node.value, node.event[:1]))

    def starts(self, node: Node) -> tuple[Start, ...]:
        """Where EM starts the node's parameters from."""
        raise InternalError(f"{self.name} is not the distribution of a variable.")

    def prepare(self, node: Node) -> tuple[Statement, ...]:
        """What the statistics and the M-step of a node are computed from, once a chunk."""
        return ()

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        """The expected sufficient statistics of a node, by a name that `maximise` knows."""
        raise InternalError(f"{self.name} is not the distribution of a variable.")

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        """The stationary point of Q (plus the log priors) in the `free` parameters of nodes that share them."""
        raise InternalError(f"{self.name} is not the distribution of a variable.")

    def draw(
        self, generator: np.random.Generator, arguments: Mapping[str, Numbers], event: tuple[int, ...]
    ) -> Numbers:
        """One draw for each cell, (cells, *event), given its arguments, (cells, *event of the argument)."""
        raise InternalError(f"{self.name} is not the distribution of a variable.")

    def log_prior(self, value: Symbol, constants: Mapping[str, Values], event: Axes) -> Expr:
        """The log prior density of a parameter, summed over its plates; `event` are the axes of one draw. Only EM and
        variational EM ask for it: a prior that no slot names as conjugate goes without."""
        raise InternalError(f"{self.name} is not a prior that EM has an update for.")

    def unsuited(self, domain: Domain) -> str:
        """Why this cannot be the prior of a parameter in a domain of the right kind, as a sentence; empty where it can."""
        return ""

    # -- a prior of a parameter that samplers see in parts

    parts: ClassVar[tuple[str, ...]] = ()
    """What NumPyro samples in place of the parameter, which is made of these; none where it is sampled whole."""

    def apart(self, value: Any, xp: ModuleType) -> Mapping[str, Any]:
        """The parts of a parameter's value, with any leading axes, by NumPy or jax.numpy."""
        raise InternalError(f"{self.name} has no parts.")

    def together(self, parts: Mapping[str, Any]) -> Any:
        """The value that the parts make; the inverse of `apart`."""
        raise InternalError(f"{self.name} has no parts.")

    def priors_of_parts(
        self, arguments: Mapping[str, Values], plates: tuple[int, ...], dim: int
    ) -> Mapping[str, tuple[str, Mapping[str, Values]]]:
        """The distribution of each part of a parameter of so many rows: what it is called, and its arguments."""
        raise InternalError(f"{self.name} has no parts.")

    def log_volume(self, parts: Mapping[str, Any], xp: ModuleType) -> Any:
        """ln |d value / d parts|: by how much the log density of the parts is above that of the value."""
        raise InternalError(f"{self.name} has no parts.")

    # -- variational EM: what a conditional distribution says

    variational: ClassVar[bool] = False
    """Whether `expectation` and `update` are there."""

    def expectation(self, node: Node, beliefs: Beliefs) -> Expectation:
        """E[ln p] under q(theta) of the node's parameters."""
        raise InternalError(f"{self.name} has no variational EM.")

    def update(self, uses: tuple[Use, ...], beliefs: Beliefs) -> Maximum:
        """The best q of each parameter in turn, given the statistics and q of the others: values by hyperparameter."""
        raise InternalError(f"{self.name} has no variational EM.")

    # -- and what a prior says

    def hyperparameters(self, prior: PriorOn, axes: Axes, event: Axes) -> Hyper:
        """What describes q of a parameter with these axes, of which `event` are those of one draw."""
        raise InternalError(f"{self.name} is not a prior.")

    def divergence(self, belief: Belief) -> Expr:
        """KL(q || prior), summed over the plates of the parameter."""
        raise InternalError(f"{self.name} is not a prior.")

    def average(self, belief: Belief) -> Expr:
        """E_q of the parameter."""
        raise InternalError(f"{self.name} is not a prior.")

    def draw_belief(self, generator: np.random.Generator, hyper: Draws, count: int) -> Numbers:
        """Draws from q, (count, *shape of the parameter)."""
        raise InternalError(f"{self.name} is not a prior.")


def grouped(uses: tuple[Use, ...], names: Sequence[str]) -> list[tuple[Use, ...]]:
    """The uses by the names given, one each; those with the name "" are shared by nobody."""
    groups: dict[str, list[Use]] = {}
    for use, name in zip(uses, names, strict=True):
        groups.setdefault(name or f"constant of {use.node.label}", []).append(use)
    return [tuple(group) for group in groups.values()]


def sharing(uses: tuple[Use, ...], slot: str) -> list[tuple[Use, ...]]:
    """The uses grouped by the parameter that is this argument; a constant is shared by nobody."""
    return grouped(uses, [use.node.parameter(slot) for use in uses])


def widened(array: Numbers, ndim: int) -> Numbers:
    """A scalar for each cell as a vector or matrix of it."""
    return array.reshape(*array.shape, *(1,) * (ndim - array.ndim))


@cache
def registry() -> dict[str, AbstractFamily]:
    """All families by name, from every module of this package that defines `FAMILY`."""
    package = importlib.import_module("bnlab.families")
    modules = (
        importlib.import_module(f"bnlab.families.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    )
    families = (module.FAMILY for module in modules if "FAMILY" in vars(module))
    return {family.name: family for family in families}
