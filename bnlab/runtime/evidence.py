"""What the user knows of latents: values, tables of allowed states, and the states that a chain may end in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Integer, Simplex
from bnlab.errors import DataError, Fault
from bnlab.naming import did_you_mean
from bnlab.network.graph import chain_of
from bnlab.network.ir import Graph, Variable
from bnlab.runtime.data_layout import Layout, sizeless, sizes


@dataclass(frozen=True, slots=True)
class Final:
    """The states that the last step of each chain may be in, by number or by name."""

    states: tuple[int | str, ...]


def final(states: int | str | Sequence[int | str]) -> Final:
    """Evidence that each chain ends in one of `states`, by number or by name: P(X) = sum over them of alpha(T, s)."""
    listed = (states,) if isinstance(states, int | str | np.integer) else tuple(states)
    return Final(tuple(state if isinstance(state, str) else int(state) for state in listed))


def usable(graph: Graph, evidence: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """The evidence on latents, and what is wrong with the rest."""
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    known = {variable.name: variable for variable in graph.variables}
    for name, value in evidence.items():
        variable = known.get(name)
        if variable is None:
            near = did_you_mean(name, [latent.name for latent in graph.in_role("latent")])
            faults.append(
                Fault(f'evidence names "{name}", which the network {graph.name} does not have.', near.strip())
            )
        elif variable.role != "latent":
            faults.append(
                Fault(f"{name} is {variable.role}, so what is known of it are its data.", "Give it as data.")
            )
        elif isinstance(value, Final) and (wrong := _final_faults(graph, variable, value)):
            faults += wrong
        else:
            found[name] = value
    return found, faults


def tabled(variable: Variable, value: Any) -> Variable:
    """The variable as evidence has it: where its values are truth values, they are tables, states last."""
    if not isinstance(variable.domain, Integer) or not _truths(value):
        return variable
    return replace(variable, domain=Simplex(variable.domain.size))


def _truths(value: Any) -> bool:
    """Whether an array, or every one of (nested) lists of arrays, holds truth values."""
    if isinstance(value, list | tuple):
        return bool(value) and all(_truths(part) for part in value)
    return bool(np.asarray(value).dtype == bool)


def nothing_allowed(name: str, array: NDArray[Any]) -> list[Fault]:
    """A fault where a table allows no state at all."""
    if array.dtype != bool or (some := array.any(axis=-1)).all():
        return []
    rows = np.unique(np.argwhere(~some)[:, 0]) if some.ndim else [0]
    return [Fault(f"evidence allows no state of {name} at row {rows[0]} ({len(rows)} such rows).")]


def last_steps(graph: Graph, variable: Variable, value: Final, layout: Layout) -> NDArray[np.bool_]:
    """The table that lets the last step of each chain be in some states only."""
    chain = sizeless(graph, variable.plates)[-1]
    domain = variable.domain
    assert isinstance(domain, Integer)
    parents = layout.parents[chain]
    table = np.ones((len(parents), *sizes(graph, variable.plates), domain.size), dtype=bool)
    allowed = np.isin(np.arange(domain.size), _numbers(domain, value))
    table[np.append(parents[1:] != parents[:-1], True)] = allowed
    return table


def _numbers(domain: Integer, value: Final) -> list[int]:
    return [domain.labels.index(state) if isinstance(state, str) else state for state in value.states]


def _final_faults(graph: Graph, variable: Variable, value: Final) -> list[Fault]:
    domain = variable.domain
    if not isinstance(domain, Integer):
        return [Fault(f"{variable.name} is continuous, so it has no states that could be final.")]
    if chain_of(graph, variable) is None:
        return [Fault(f"{variable.name} is in no chain, so it has no last step that could be final.")]
    if not value.states:
        return [Fault("bn.final() has no states: no chain could end.", "Name at least one.")]
    wrong = [
        state
        for state in value.states
        if (isinstance(state, str) and state not in domain.labels)
        or (isinstance(state, int) and not 0 <= state < domain.size)
    ]
    known = ", ".join(domain.labels) if domain.labels else f"0 to {domain.size - 1}"
    return (
        [Fault(f"bn.final names the state {wrong[0]!r} of {variable.name}; its states are {known}.")]
        if wrong
        else []
    )


def no_evidence_alone(evidence: Mapping[str, Any] | None) -> None:
    """Raises DataError for evidence that comes without the data that it is about."""
    if evidence is not None:
        reason = "evidence is about the data that it is given with."
        raise DataError(Fault(reason, "Give the data too: fit.posterior(data, evidence=...)."))
