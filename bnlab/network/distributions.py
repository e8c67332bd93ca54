"""The distributions as the user calls them: `Normal(mu[z], cov=Sigma[z])`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from bnlab.errors import Fault, Location
from bnlab.families.base import AbstractFamily, registry
from bnlab.naming import did_you_mean
from bnlab.network.expression import Expression, tree
from bnlab.network.source import argument_location, here

NOWHERE = -1
"""The position of an argument that must be named."""

Argument = tuple[str, Expression, Location | None]
"""The slot, what stands there, and where."""


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """A call of a constructor: the arguments that were given, by slot, and what was wrong with the call itself."""

    family: str
    arguments: tuple[Argument, ...]
    faults: tuple[Fault, ...]
    location: Location | None


class Constructor:
    """Makes distributions of one family; its arguments are the family's slots."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.__doc__ = registry()[name].__doc__
        self.__signature__ = _signature(registry()[name])

    def __repr__(self) -> str:
        return f"bn.{self.__name__}{self.__signature__}"

    def __call__(self, *positional: object, **named: object) -> Distribution:
        family, location = registry()[self.__name__], here()
        order = _positional(family)
        written = {name: value for name, value in zip(order, positional, strict=False)} | named
        arguments = tuple(
            (
                slot.name,
                tree(written[slot.name]),
                argument_location(location, _index(order, slot.name), slot.name),
            )
            for slot in family.slots
            if written.get(slot.name) is not None
        )
        faults = (*_unknown(family, named, location), *_excess(family, positional, named, location))
        return Distribution(family.name, arguments, faults + _missing(family, arguments, location), location)


def _unknown(
    family: AbstractFamily, named: Mapping[str, object], location: Location | None
) -> tuple[Fault, ...]:
    known = [slot.name for slot in family.slots]
    return tuple(
        Fault(
            f"{family.name} takes no {name}=.{did_you_mean(name, known)}",
            _usage(family),
            argument_location(location, NOWHERE, name),
        )
        for name in named
        if name not in known
    )


def _excess(
    family: AbstractFamily,
    positional: tuple[object, ...],
    named: Mapping[str, object],
    location: Location | None,
) -> tuple[Fault, ...]:
    order = _positional(family)
    twice = [name for name in order[: len(positional)] if name in named]
    faults = [Fault(f"{family.name} has {name} twice.", _usage(family), location) for name in twice]
    if len(positional) > len(order):
        place = argument_location(location, len(order), "")
        faults.append(Fault(f"{family.name} has too many arguments without a name.", _usage(family), place))
    return tuple(faults)


def _positional(family: AbstractFamily) -> list[str]:
    """Slots of a group (cov, var, std) must be named, so that nobody mixes them up."""
    return [slot.name for slot in family.slots if not slot.group]


def _signature(family: AbstractFamily) -> inspect.Signature:
    plain, grouped = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    required = [inspect.Parameter(slot.name, plain) for slot in family.slots if not slot.group]
    choices = [inspect.Parameter(slot.name, grouped, default=None) for slot in family.slots if slot.group]
    return inspect.Signature(required + choices)


def _usage(family: AbstractFamily) -> str:
    groups = sorted({slot.group for slot in family.slots if slot.group})
    choices = [
        " or ".join(f"{slot.name}=..." for slot in family.slots if slot.group == group) for group in groups
    ]
    return f"Write bn.{family.name}({', '.join([*_positional(family), *choices])})."


def _missing(
    family: AbstractFamily, arguments: tuple[Argument, ...], location: Location | None
) -> tuple[Fault, ...]:
    given = {name for name, _, _ in arguments}
    faults = [
        Fault(f"{family.name} lacks its {slot.name}.", _usage(family), location)
        for slot in family.slots
        if not slot.group and slot.name not in given
    ]
    for group in sorted({slot.group for slot in family.slots if slot.group}):
        names = [slot.name for slot in family.slots if slot.group == group]
        chosen = [name for name in names if name in given]
        if len(chosen) > 1:
            reason = f"{family.name} has {' and '.join(chosen)}, but takes only one of them."
            faults.append(Fault(reason, _usage(family), location))
        elif not chosen:
            faults.append(Fault(f"{family.name} needs one of {', '.join(names)}.", _usage(family), location))
    return tuple(faults)


def _index(order: list[str], name: str) -> int:
    return order.index(name) if name in order else NOWHERE


Categorical = Constructor("Categorical")
Bernoulli = Constructor("Bernoulli")
Multinomial = Constructor("Multinomial")
Normal = Constructor("Normal")
StudentT = Constructor("StudentT")
Poisson = Constructor("Poisson")
Geometric = Constructor("Geometric")
Exponential = Constructor("Exponential")
Dirichlet = Constructor("Dirichlet")
InverseWishart = Constructor("InverseWishart")
InverseGamma = Constructor("InverseGamma")
Beta = Constructor("Beta")
Gamma = Constructor("Gamma")
HalfNormal = Constructor("HalfNormal")
LKJ = Constructor("LKJ")
