"""What is known of single members beyond their data: values that may be missing, and evidence on latents.

A value that may be missing makes its variable latent for the analysis: a table of what is allowed, all states where nothing
is known, is one more factor (docs/architecture.md). A categorical leaf needs no such table: where its value is missing it
has the probability 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bnlab.errors import Fault, IntractableError
from bnlab.naming import did_you_mean
from bnlab.network.graph import children
from bnlab.network.ir import Graph, Variable


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The observed variables of which values may be missing, and the latents that there is evidence on, by name; and the
    sets of latents whose joint posterior is wanted.
    """

    missing: frozenset[str] = frozenset()
    evidence: frozenset[str] = frozenset()
    joint: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.evidence or self.joint)


@dataclass(frozen=True, slots=True)
class Analysed:
    """The network as it is analysed: variables in `latent` are observed ones made latent, those in `leaves` are observed
    where they are not missing, and those in `tables` have tables of what is allowed.
    """

    graph: Graph
    latent: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    joint: tuple[tuple[str, ...], ...] = ()


def analysed(graph: Graph, known: Knowledge) -> Analysed:
    """Raises IntractableError with every name that is no discrete variable of the role wanted."""
    faults = [
        *(fault for name in sorted(known.missing) for fault in _missing_faults(graph, name)),
        *(fault for name in sorted(known.evidence) for fault in _evidence_faults(graph, name)),
        *(fault for names in known.joint for fault in _joint_faults(graph, names)),
    ]
    if faults:
        raise IntractableError(*faults)
    missing = [variable for variable in graph.variables if variable.name in known.missing]
    leaves = tuple(variable.name for variable in missing if _leaf(graph, variable))
    latent = tuple(variable.name for variable in missing if variable.name not in leaves)
    variables = tuple(replace(v, role="latent") if v.name in latent else v for v in graph.variables)
    tables = tuple(v.name for v in graph.variables if v.name in known.evidence or v.name in latent)
    return Analysed(replace(graph, variables=variables), latent, leaves, tables, known.joint)


def notes(found: Analysed) -> tuple[str, ...]:
    """What the reader of an emitted file must know of missing values and of evidence."""
    parts = (*found.leaves, *found.latent)
    missing = [variable.name for variable in found.graph.variables if variable.name in parts]
    known = [name for name in found.tables if name not in found.latent]
    sentences = [f"{', '.join(missing)} may be missing: -1 in the data, and summed out."] if missing else []
    if known:
        sentences.append(
            f"{', '.join(known)} may be known: states in the data, -1 where not, or tables of the states allowed. "
            "It is part of the data in all that follows."
        )
    return tuple(sentences)


def _leaf(graph: Graph, variable: Variable) -> bool:
    """Whether nothing reads the variable, so that a missing value leaves no trace."""
    return not children(graph, variable.name) and not variable.first


def _missing_faults(graph: Graph, name: str) -> Iterator[Fault]:
    found = next((variable for variable in graph.variables if variable.name == name), None)
    if found is None:
        near = did_you_mean(name, [variable.name for variable in graph.in_role("observed")])
        yield Fault(f"missing names `{name}`, which is no variable of the network.", near.strip())
    elif found.role == "given":
        reason = f"`{name}` is given: it has no distribution that a missing value could be summed out of."
        yield Fault(reason, "Fill it in, or declare it observed.", found.location)
    elif found.role == "latent":
        yield Fault(f"`{name}` is latent: all of its values are missing.", "Leave it out.", found.location)
    elif not found.discrete:
        reason = f"Missing values of `{name}`, which is no categorical variable, are not marginalised yet."
        yield Fault(reason, "Leave out those members.", found.location)


def _evidence_faults(graph: Graph, name: str) -> Iterator[Fault]:
    found = next((variable for variable in graph.variables if variable.name == name), None)
    if found is None:
        near = did_you_mean(name, [variable.name for variable in graph.in_role("latent")])
        yield Fault(f"evidence names `{name}`, which is no variable of the network.", near.strip())
    elif found.role != "latent":
        yield Fault(f"`{name}` is {found.role}: what is known of it are its data.", "", found.location)
    elif not found.discrete:
        reason = f"Evidence on `{name}`, a continuous latent variable, is not derived yet."
        yield Fault(reason, "Declare it observed, with missing values.", found.location)


def _joint_faults(graph: Graph, names: tuple[str, ...]) -> Iterator[Fault]:
    latents = {variable.name: variable for variable in graph.in_role("latent") if variable.discrete}
    for name in names:
        if name not in latents:
            yield Fault(f"A joint posterior is wanted of `{name}`, which is no discrete latent variable.")
            return
    innermost = max((latents[name].plates for name in names), key=len)
    for name in names:
        if not set(latents[name].plates) <= set(innermost):
            reason = f"A joint posterior is wanted of {' and '.join(names)}, which are in plates beside one another."
            yield Fault(reason, "Ask for variables of which one is inside the plates of all others.")
            return
