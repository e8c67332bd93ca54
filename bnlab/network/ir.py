"""The Network in canonical form: what was declared, frozen; nothing derived.

Everything downstream (checks, plans, printers, file formats) reads these records and only these. `declare.py` makes them
from what the user typed, `formats.py` from a file. Locations never take part in comparison: equal declarations are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bnlab.domains import Domain, Integer, Values
from bnlab.errors import Location


@dataclass(frozen=True, slots=True)
class Plate:
    """A replicated index. `size` None takes the size from the data; in a `chain` members follow one another in time."""

    name: str
    size: int | None = None
    chain: bool = False
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class VarRef:
    """A variable as it is read in a conditional distribution: `lag` steps earlier along its chain (0: the same member)."""

    name: str
    lag: int = 0
    location: Location | None = field(default=None, compare=False, repr=False)


Subscript = VarRef | int


@dataclass(frozen=True, slots=True)
class Ref:
    """A parameter (by name) or a constant (its values), read by a variable.

    The plates of the parameter that the variable is in too align by themselves; each other plate has one subscript, in
    nesting order. A constant's leading axes take the subscripts.
    """

    target: str | Values
    subscripts: tuple[Subscript, ...] = ()
    location: Location | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Term:
    """One term of an affine mean: sign * coefficient * variable.

    `coefficient` is a Ref (parameter or constant), a VarRef to a `given`, or None for 1; `variable` is a VarRef to a
    latent, observed or given variable, or None for an offset. `op` tells how they multiply: "scale" (elementwise, a
    scalar broadcasts), "matmul" (coefficient @ variable), "rmatmul" (variable @ coefficient).
    """

    coefficient: Ref | VarRef | None
    variable: VarRef | None
    op: str = "scale"
    sign: int = 1


@dataclass(frozen=True, slots=True)
class Affine:
    """A sum of terms, in the order written."""

    terms: tuple[Term, ...]

    @property
    def alone(self) -> bool:
        """Whether it is one parameter, constant or given variable, and no sum or product."""
        term = self.terms[0]
        return len(self.terms) == 1 and term.variable is None and term.sign > 0


Argument = Ref | VarRef | Affine


@dataclass(frozen=True, slots=True)
class CPD:
    """A conditional distribution: the name of its family (`Categorical`, `Normal`, ...) and its arguments by name.

    Every argument declared as a mean is an Affine, also when it is a single parameter; every other one is a Ref, or a
    VarRef to a `given` (a known standard deviation).
    """

    family: str
    arguments: tuple[tuple[str, Argument], ...]
    location: Location | None = field(default=None, compare=False)

    def argument(self, name: str) -> Argument | None:
        return dict(self.arguments).get(name)


@dataclass(frozen=True, slots=True)
class Prior:
    """A distribution over a parameter: its family and its hyper-parameters, which are constants."""

    family: str
    arguments: tuple[tuple[str, Values], ...]
    location: Location | None = field(default=None, compare=False)

    def argument(self, name: str) -> Values | None:
        return dict(self.arguments).get(name)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A quantity to be learnt, or fixed at `value`. Its array has the axes of its plates, outermost first, then its event's."""

    name: str
    domain: Domain
    plates: tuple[str, ...] = ()
    prior: Prior | None = None
    value: Values | None = None
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Variable:
    """A random variable or a given one. `role` is "latent", "observed" or "given"; a given one has no `cpd`.

    `domain` is Integer for a discrete variable and Real for a continuous one (Integer(2) for a Bernoulli). `plates` are
    outermost first, the chain among them. `first` holds the distributions of the initial steps of a chain: entry i is
    that of step i, and the `cpd` is that of step len(first) onwards.
    """

    name: str
    role: str
    domain: Domain
    plates: tuple[str, ...] = ()
    cpd: CPD | None = None
    first: tuple[CPD, ...] = ()
    location: Location | None = field(default=None, compare=False)

    @property
    def discrete(self) -> bool:
        return isinstance(self.domain, Integer)

    @property
    def continuous_latent(self) -> bool:
        """Whether it is hidden and has no states to sum over: a Gaussian latent, where inference is exact."""
        return self.role == "latent" and not self.discrete


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole network: all its records in the order of declaration. `doc` is free text."""

    name: str
    plates: tuple[Plate, ...]
    parameters: tuple[Parameter, ...]
    variables: tuple[Variable, ...]
    doc: str = ""

    def plate(self, name: str) -> Plate:
        return next(plate for plate in self.plates if plate.name == name)

    def parameter(self, name: str) -> Parameter:
        return next(parameter for parameter in self.parameters if parameter.name == name)

    def variable(self, name: str) -> Variable:
        return next(variable for variable in self.variables if variable.name == name)

    def in_role(self, *roles: str) -> tuple[Variable, ...]:
        return tuple(variable for variable in self.variables if variable.role in roles)
