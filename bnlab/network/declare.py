"""The user's language: one verb per role. What is typed goes into a draft, which becomes a `Graph` when the network closes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextvars import Token
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.domains import Domain, Values
from bnlab.errors import Fault, Location, ModelError
from bnlab.naming import did_you_mean
from bnlab.network import graph as structure
from bnlab.network.check import check
from bnlab.network.distributions import Distribution
from bnlab.network.draft import Draft, ParameterDraft, VariableDraft, current, open_draft, report
from bnlab.network.expression import Expression, Symbol, shown
from bnlab.network.ir import Graph, Plate
from bnlab.network.known import known_faults, learnable, title_faults, with_role
from bnlab.network.resolve import resolve
from bnlab.network.sets import whole
from bnlab.network.shapes import UNKNOWN
from bnlab.network.source import argument_location, forget_old_source, here
from bnlab.network.text import story


class Network:
    """A declared network. `with bn.Network("name") as net:` opens it; at the end it is checked and never changes again.

    Raises ModelError, with everything that is wrong, when it closes. Two networks are equal if they declare the same. One
    that was read from a file may bring along the values of its parameters, and the names its variables have there.
    """

    __slots__ = ("_draft", "_graph", "_known", "_titles", "_token")

    def __init__(self, name: str, doc: str = "") -> None:
        location = here()
        forget_old_source(location)
        if not isinstance(name, str) or not isinstance(doc, str):
            raise ModelError(Fault("The name of a network is text.", 'Write bn.Network("name").', location))
        self._draft: Draft | None = Draft(name, doc, location)
        self._graph: Graph | None = None
        self._token: Token[Draft | None] | None = None
        self._known: Mapping[str, Values] = {}
        self._titles: Mapping[str, str] = {}

    @classmethod
    def of(
        cls,
        graph: Graph,
        known: Mapping[str, Values] | None = None,
        titles: Mapping[str, str] | None = None,
    ) -> Self:
        """The closed network of a graph, with values for its parameters and names to show for its variables, if known.

        Raises ModelError with all the faults of these.
        """
        faults = check(graph) or (*known_faults(graph, known or {}), *title_faults(graph, titles or {}))
        if faults:
            raise ModelError(*faults)
        network = cls(graph.name, graph.doc)
        network._draft, network._graph = None, graph
        network._known, network._titles = dict(known or {}), dict(titles or {})
        return network

    def __enter__(self) -> Self:
        if self._draft is None or self._token is not None:
            raise ModelError(
                Fault("A network is opened only once.", "Declare a new one: bn.Network(...).", here())
            )
        outer = current.get()
        if outer is not None:
            raise ModelError(Fault(f'The network "{outer.name}" is still open.', "Close it first.", here()))
        self._token = current.set(self._draft)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token is not None and self._draft is not None
        current.reset(self._token)
        draft, self._draft, self._token = self._draft, None, None
        if error is not None:
            return
        graph, faults = resolve(draft)
        faults = (*draft.faults, *faults)
        faults = (*faults, *check(graph, complete=not faults))
        if faults:
            raise ModelError(*_in_order(faults, draft.location))
        self._graph = graph

    @property
    def graph(self) -> Graph:
        """What was declared, frozen. Raises ModelError while the network is open, or if it closed with an error."""
        if self._graph is None:
            remedy = "Use the network after its `with` block."
            raise ModelError(Fault("The network is not closed, or has an error.", remedy, here()))
        return self._graph

    @property
    def known(self) -> Mapping[str, Values]:
        """The values that came along for parameters that are to be learnt."""
        return MappingProxyType(self._known)

    @property
    def parameters(self) -> dict[str, NDArray[np.float64]]:
        """The same as arrays: the tables of the file that the network was read from; empty for a declared one.

        They fix nothing: they are where `bn.fit` starts, and what `bn.sample(net, net.parameters, ...)` draws from.
        """
        return {name: values.array for name, values in self._known.items()}

    @property
    def titles(self) -> Mapping[str, str]:
        """What variables are called in pictures and files, where that is something else than their names."""
        return MappingProxyType(self._titles)

    def with_parameters(self, parameters: Mapping[str, ArrayLike]) -> Self:
        """The same network, bringing along these values: those of a fit, to be written to a file.

        Raises ModelError where they do not fit the parameters.
        """
        values = {name: Values.of(array) for name, array in parameters.items()}
        return type(self).of(self.graph, learnable(self.graph, values), self._titles)

    def hide(self, *names: str) -> Self:
        """The same network with these variables latent."""
        return type(self).of(with_role(self.graph, names, "latent"), self._known, self._titles)

    def observe(self, *names: str) -> Self:
        """The same network with these variables observed."""
        return type(self).of(with_role(self.graph, names, "observed"), self._known, self._titles)

    def parents(self, name: str) -> frozenset[str]:
        """The variables that `name` reads."""
        return structure.parents(self.graph, self._variable(name))

    def children(self, name: str) -> frozenset[str]:
        """The variables that read `name`."""
        return structure.children(self.graph, self._variable(name))

    def ancestors(self, name: str) -> frozenset[str]:
        """Parents, their parents, and so on."""
        return structure.ancestors(self.graph, self._variable(name))

    def descendants(self, name: str) -> frozenset[str]:
        """Children, their children, and so on."""
        return structure.descendants(self.graph, self._variable(name))

    def markov_blanket(self, name: str) -> frozenset[str]:
        """Parents, children and the children's other parents: given these, `name` depends on nothing else."""
        return structure.markov_blanket(self.graph, self._variable(name))

    def topological_order(self) -> tuple[str, ...]:
        """The variables, each after those of its own step that it reads."""
        return structure.topological_order(self.graph)

    def d_separated(
        self, x: str | Collection[str], y: str | Collection[str], given: str | Collection[str] = ()
    ) -> bool:
        """Whether the graph tells that x and y are independent once `given` is known, whatever the distributions.

        A variable of a plate stands for all of its members, one of a chain for all of its steps; parameters are held
        fixed. Raises ModelError where the three overlap.
        """
        return structure.d_separated(self.graph, *self._sets(x, y, given))

    def open_path(
        self, x: str | Collection[str], y: str | Collection[str], given: str | Collection[str] = ()
    ) -> tuple[str, ...]:
        """The variables of a shortest path along which x may tell of y once `given` is known; () where they are d-separated.

        `bn.draw(net, highlight=net.open_path("asia", "smoke", given="dysp"))` shows it. Raises ModelError as `d_separated`.
        """
        return structure.open_path(self.graph, *self._sets(x, y, given))

    def _sets(self, *given: str | Collection[str]) -> tuple[frozenset[str], ...]:
        sets = tuple(frozenset([names] if isinstance(names, str) else names) for names in given)
        for name in frozenset().union(*sets):
            self._variable(name)
        return sets

    def _variable(self, name: str) -> str:
        names = [variable.name for variable in self.graph.variables]
        if name not in names:
            reason = f"{shown(name)} is no variable of {self.name}.{did_you_mean(str(name), names)}"
            raise ModelError(Fault(reason, f"Variables are {', '.join(names)}."))
        return name

    @property
    def name(self) -> str:
        return self.graph.name

    @property
    def doc(self) -> str:
        return self.graph.doc

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and (self.graph, self._known, self._titles) == (
            other.graph,
            other._known,
            other._titles,
        )

    def __hash__(self) -> int:
        return hash(self.graph)

    def __str__(self) -> str:
        return story(self._graph) if self._graph else repr(self)

    def __repr__(self) -> str:
        return f"<bnlab network {self._graph.name}>" if self._graph else "<bnlab network, not closed>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        """The picture, for notebooks."""
        import bnlab  # the front: what draws stands above this module, and only a notebook needs it here

        return {"image/svg+xml": str(bnlab.draw(self)), "text/plain": str(self)}


class PlateContext:
    """An open `with bn.plate(...)`."""

    __slots__ = ("_draft", "_plate")

    def __init__(self, draft: Draft, plate: Plate) -> None:
        self._draft, self._plate = draft, plate

    def __enter__(self) -> None:
        draft, plate = self._draft, self._plate
        known = draft.plates.setdefault(plate.name, plate)
        if plate.name in draft.open_plates:
            report(f'The plate "{plate.name}" is already open here.', "Open it once.", plate.location)
        elif known.chain != plate.chain:
            kinds = ("bn.plate", "bn.chain")
            reason = f'"{plate.name}" was opened with {kinds[known.chain]} and is now opened with {kinds[plate.chain]}.'
            report(reason, f'Write {kinds[known.chain]}("{plate.name}").', plate.location)
        elif plate.size not in (None, known.size):
            was = "without a size" if known.size is None else f"with size {known.size}"
            reason = f'The plate "{plate.name}" was opened {was} and now has size {plate.size}.'
            report(
                reason, "Give the size where the plate is first opened, or use another name.", plate.location
            )
        draft.open_plates.append(plate.name)

    def __exit__(self, *error: object) -> None:
        self._draft.open_plates.pop()


def plate(name: str, size: int | None = None) -> PlateContext:
    """What is declared inside is replicated `size` times, or as often as the data say."""
    draft, location = open_draft("plate"), here()
    number = None if size is None else whole(size)
    if size is not None and number is None:
        reason = f"A plate has {shown(size)} for a size. A size is a positive integer."
        report(reason, f"Write bn.plate({shown(name)}, 3).", argument_location(location, 1, "size"))
        number = 1
    return PlateContext(draft, Plate(_text("plate", name), number, location=location))


def chain(name: str) -> PlateContext:
    """A plate whose members follow one another in time; inside it `previous("z")` is z one step earlier."""
    return PlateContext(open_draft("chain"), Plate(_text("chain", name), chain=True, location=here()))


def parameter(
    name: str, domain: Domain, prior: Distribution | None = None, value: object = None
) -> Expression:
    """A quantity to be learnt, with a prior if one is given; or fixed at `value`."""
    draft, location = open_draft("parameter"), here()
    name = _text("parameter", name)
    known = _domain("parameter", name, domain)
    draft.parameters.append(ParameterDraft(name, known, _distinct(draft), prior, value, location))
    return Symbol(name, draft)


def latent(
    name: str, cpd: Distribution, first: Distribution | tuple[Distribution, ...] | None = None
) -> Expression:
    """A hidden variable. `first` is its distribution (or a tuple of them) in the first step (steps) of a chain."""
    return _variable("latent", name, cpd, first)


def observed(
    name: str, cpd: Distribution, first: Distribution | tuple[Distribution, ...] | None = None
) -> Expression:
    """A variable whose values are data."""
    return _variable("observed", name, cpd, first)


def given(name: str, domain: Domain) -> Expression:
    """An input that is conditioned on: it has values but no distribution."""
    draft, location = open_draft("given"), here()
    name = _text("given", name)
    known = _domain("given", name, domain)
    draft.variables.append(VariableDraft(name, "given", _distinct(draft), location, domain=known))
    return Symbol(name, draft)


def _variable(role: str, name: str, cpd: object, first: object) -> Expression:
    draft, location = open_draft(role), here()
    name = _text(role, name)
    initial = () if first is None else first if isinstance(first, list | tuple) else (first,)
    entries = tuple(
        _distribution(role, name, entry, argument_location(location, 2, "first")) for entry in initial
    )
    draft.variables.append(
        VariableDraft(
            name,
            role,
            _distinct(draft),
            location,
            cpd=_distribution(role, name, cpd, argument_location(location, 1, "cpd")),
            first=tuple(entry for entry in entries if entry is not None),
        )
    )
    return Symbol(name, draft)


def _distribution(role: str, name: str, value: object, location: Location | None) -> Distribution | None:
    if isinstance(value, Distribution):
        return value
    remedy = f'Write bn.{role}("{name}", bn.Normal(mu, cov=Sigma)), for example.'
    report(f'The distribution of "{name}" is {shown(value)}, not a distribution.', remedy, location)
    return None


def _domain(verb: str, name: str, domain: object) -> Domain:
    if isinstance(domain, Domain):
        return domain
    remedy = f'Write bn.{verb}("{name}", bn.Real(2)), for example; a scalar is bn.Real(), with parentheses.'
    place = argument_location(here(), 1, "domain")
    report(f'The domain of "{name}" is {shown(domain)}, not a domain.', remedy, place)
    return UNKNOWN


def _text(verb: str, name: object) -> str:
    if isinstance(name, str):
        return name
    place = argument_location(here(), 0, "name")
    report(f"The name is {shown(name)}, not text.", f'Write bn.{verb}("name", ...).', place)
    return "unnamed"


def _distinct(draft: Draft) -> tuple[str, ...]:
    return tuple(dict.fromkeys(draft.open_plates))


def _in_order(faults: tuple[Fault, ...], network: Location | None) -> list[Fault]:
    """In the order of the source; one that belongs to no line belongs to the network's."""
    placed = [replace(fault, location=fault.location or network) for fault in faults]
    return sorted(placed, key=lambda fault: fault.location.line if fault.location else 0)
