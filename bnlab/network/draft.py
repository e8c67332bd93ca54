"""A network while it is being declared: what was typed so far, unjudged.

The draft is the only thing in the language that changes. Nothing outside this package holds one, and it is dropped when
the network closes.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from bnlab.domains import Domain
from bnlab.errors import Fault, Location, ModelError
from bnlab.network.distributions import Distribution
from bnlab.network.ir import Plate
from bnlab.network.source import here


@dataclass(frozen=True, slots=True)
class ParameterDraft:
    """`bn.parameter(...)` as typed."""

    name: str
    domain: Domain
    plates: tuple[str, ...]
    prior: object
    value: object
    location: Location | None


@dataclass(frozen=True, slots=True)
class VariableDraft:
    """`bn.latent`, `bn.observed` or `bn.given` as typed; `domain` is set for a given one only."""

    name: str
    role: str
    plates: tuple[str, ...]
    location: Location | None
    domain: Domain | None = None
    cpd: Distribution | None = None
    first: tuple[Distribution, ...] = ()


@dataclass(slots=True, eq=False)
class Draft:
    """Everything declared so far, the plates that are open now (outermost first), and what was wrong on the way."""

    name: str
    doc: str
    location: Location | None
    plates: dict[str, Plate] = field(default_factory=dict)
    open_plates: list[str] = field(default_factory=list)
    parameters: list[ParameterDraft] = field(default_factory=list)
    variables: list[VariableDraft] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


current: ContextVar[Draft | None] = ContextVar("current", default=None)
"""The draft of the `with bn.Network(...)` that is being run, in this thread or task."""


def open_draft(verb: str) -> Draft:
    """The draft being written. Raises ModelError outside a network."""
    draft = current.get()
    if draft is None:
        remedy = f'Write it in a network: with bn.Network("name") as net: bn.{verb}(...)'
        raise ModelError(Fault(f"bn.{verb} stands outside a network.", remedy, here()))
    return draft


def report(reason: str, remedy: str = "", location: Location | None = None) -> None:
    """Keep a fault until the network closes, so that all are told at once; raise it at once outside a network."""
    found = Fault(reason, remedy, location or here())
    draft = current.get()
    if draft is None:
        raise ModelError(found)
    draft.faults.append(found)
