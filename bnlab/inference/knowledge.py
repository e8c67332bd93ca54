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
from bnlab.network.graph import children, cpds, parents, reads
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
    where they are not missing, those in `tables` have tables of what is allowed, and those in `regressors` are Gaussian latents
    of which numbers are seen.
    """

    graph: Graph
    latent: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    joint: tuple[tuple[str, ...], ...] = ()
    regressors: tuple[str, ...] = ()


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
    read = [variable for variable in missing if variable.name not in leaves]
    latent = tuple(variable.name for variable in read if variable.discrete)
    told = [v.name for v in graph.variables if v.name in known.evidence and not v.discrete]
    regressors = (*(variable.name for variable in read if not variable.discrete), *told)
    made = (*latent, *regressors)
    variables = tuple(replace(v, role="latent") if v.name in made else v for v in graph.variables)
    tabled = (*latent, *(known.evidence - set(told)))
    tables = tuple(v.name for v in graph.variables if v.name in tabled)
    return Analysed(replace(graph, variables=variables), latent, leaves, tables, known.joint, regressors)


def gaps(graph: Graph, known: Knowledge) -> tuple[str, ...]:
    """The continuous variables of which numbers may be missing, where nothing else is to be told: what the article can tell.

    Raises IntractableError for missing categories and for evidence.
    """
    found = analysed(graph, known)
    others = (*known.missing - set(found.leaves), *found.latent, *known.evidence)
    others += tuple(name for name in found.leaves if graph.variable(name).discrete)
    if others:
        names = ", ".join(sorted(set(others)))
        reason = f"The derivation in TeX tells of missing numbers that nothing reads; of {names} it cannot tell yet."
        raise IntractableError(
            Fault(reason, "Leave them out there: the derivation is that of complete data.")
        )
    return found.leaves


def notes(found: Analysed) -> tuple[str, ...]:
    """What the reader of an emitted file must know of missing values and of evidence."""
    parts = (*found.leaves, *found.latent, *found.regressors)
    missing = [variable.name for variable in found.graph.variables if variable.name in parts]
    known = [name for name in found.tables if name not in found.latent]
    sentences = []
    for discrete, words in (
        (True, "-1 in the data, and summed out."),
        (False, "NaN in the data, and integrated out."),
    ):
        names = [name for name in missing if found.graph.variable(name).discrete == discrete]
        sentences += [f"{', '.join(names)} may be missing: {words}"] if names else []
    if known:
        sentences.append(
            f"{', '.join(known)} may be known: states in the data, -1 where not, or tables of the states allowed. "
            "It is part of the data in all that follows."
        )
    return tuple(sentences)


def _leaf(graph: Graph, variable: Variable) -> bool:
    """Whether nothing reads the variable, so that a missing value leaves no trace."""
    return not children(graph, variable.name) and (not variable.first or not variable.discrete)


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
    elif not found.discrete and not _leaf(graph, found):
        yield from _number_faults(graph, found, "missing", "Leave out those members, or fill the values in.")


def _number_faults(graph: Graph, variable: Variable, what: str, remedy: str) -> Iterator[Fault]:
    """A continuous variable of which some numbers are known is a Gaussian latent where they are not, if it can be one."""
    readers = [other for other in graph.variables if variable.name in parents(graph, other.name)]
    names = " and ".join(f"`{other.name}`" for other in readers)
    lagged = any(
        ref.lag for other in readers for cpd in cpds(other) for ref in reads(cpd) if ref.name == variable.name
    )
    if lagged:
        reason = (
            f"`{variable.name}` is read by {names} at other steps: what is {what} of it "
            "would be part of a chain's state, which is not derived yet."
        )
        yield Fault(reason, remedy, variable.location)
    elif {cpd.family for cpd in cpds(variable)} != {"Normal"}:
        family = cpds(variable)[0].family
        reason = f"`{variable.name}` is {family} and read by {names}: what is {what} of it leaves no posterior in closed form."
        yield Fault(reason, remedy, variable.location)


def _evidence_faults(graph: Graph, name: str) -> Iterator[Fault]:
    found = next((variable for variable in graph.variables if variable.name == name), None)
    if found is None:
        near = did_you_mean(name, [variable.name for variable in graph.in_role("latent")])
        yield Fault(f"evidence names `{name}`, which is no variable of the network.", near.strip())
    elif found.role != "latent":
        yield Fault(f"`{name}` is {found.role}: what is known of it are its data.", "", found.location)
    elif not found.discrete:
        yield from _number_faults(graph, found, "known", "Leave that evidence out.")


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
