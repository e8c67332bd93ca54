"""`bn.query` and `bn.explain`: what is known of any categorical variable, given whatever data there are of the others.

A question makes a network of its own: variables without data are latent in it, and so are those that are asked for, with
their data as evidence. What nothing depends on and nobody asks for is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.errors import DataError, Fault
from bnlab.naming import did_you_mean
from bnlab.network.declare import Network
from bnlab.network.graph import children
from bnlab.network.ir import Graph
from bnlab.runtime.data import bind
from bnlab.runtime.data_frames import Columns, from_frame, is_frame
from bnlab.runtime.data_layout import mirror, sizeless, sizes
from bnlab.runtime.data_titles import by_names, name_of, renamed
from bnlab.runtime.em import precision
from bnlab.runtime.emitted import emitted
from bnlab.runtime.load import ready
from bnlab.runtime.parameters import checked
from bnlab.runtime.records import Bound

LISTED = 5
"""How many members a message names."""

Target = str | tuple[str, ...]


def query(
    net: Network,
    parameters: Mapping[str, ArrayLike],
    data: Any,
    targets: Target | Sequence[Target],
    *,
    evidence: Mapping[str, Any] | None = None,
    columns: Columns | None = None,
) -> dict[Target, Any]:
    """The posterior probabilities of categorical variables, latent or observed, for each member.

    A target is a name, or a tuple of names for their joint table: states last, in the order of the names. Observed variables
    may be missing, in part or altogether; without any data ({}) there is one member, about which nothing is known.
    `evidence` is as in `bn.fit`. Raises DataError or FitError with everything that is wrong, IntractableError where the
    tables become too large.
    """
    asked = [targets] if isinstance(targets, str | tuple) else list(targets)
    wanted = {target: _target(net, target) for target in asked}
    names = dict.fromkeys(
        name for target in wanted.values() for name in ((target,) if isinstance(target, str) else target)
    )
    graph, bound = _posed(net, data, columns, evidence or {}, tuple(names))
    joint = tuple(dict.fromkeys(target for target in wanted.values() if not isinstance(target, str)))
    found = _asked(graph, bound, checked(net.graph, parameters, complete=True, edge=True), "posterior", joint)
    return {asked: _mirrored(graph, bound, target, found) for asked, target in wanted.items()}


def explain(
    net: Network,
    parameters: Mapping[str, ArrayLike],
    data: Any,
    *,
    evidence: Mapping[str, Any] | None = None,
    columns: Columns | None = None,
) -> dict[str, Any]:
    """The most probable explanation: the joint value of all categorical variables that is most probable given the data.

    Latent, missing and absent ones get values, known ones keep theirs. What may be missing is as in `bn.query`.
    """
    names = tuple(v.name for v in net.graph.variables if v.discrete and v.role != "given")
    if not names:
        reason = f"The network {net.graph.name} has no categorical variable whose value could be explained."
        raise DataError(
            Fault(reason, "Posteriors of Gaussian latents are those of a fit: bn.fit(...).posterior().")
        )
    graph, bound = _posed(net, data, columns, evidence or {}, names)
    found = _asked(graph, bound, checked(net.graph, parameters, complete=True, edge=True), "predict", ())
    return {
        name: mirror(bound.layout, graph, graph.variable(name), np.asarray(found[name])) for name in names
    }


def _target(net: Network, target: Target) -> Target:
    """A target by names in the network, where it is by titles of a file."""
    return name_of(net, target) if isinstance(target, str) else tuple(name_of(net, one) for one in target)


def _posed(
    net: Network, data: Any, columns: Columns | None, evidence: Mapping[str, Any], names: tuple[str, ...]
) -> tuple[Graph, Bound]:
    """The network of a question about the variables `names`, and its data."""
    graph = net.graph
    _check(graph, names)
    data, columns = by_names(net, data, columns)
    evidence = renamed(net, evidence)
    if is_frame(data) or columns is not None:
        data = from_frame(_with_data(graph, data), data, columns)
    given = dict(data or {})
    absent = {v.name for v in graph.in_role("observed") if v.name not in given}
    unknown = absent | {v.name for v in graph.in_role("latent")}
    graph = _without(graph, unknown - set(names) - set(evidence))
    hidden = {v.name for v in graph.in_role("observed") if v.name in (*absent, *names)}
    graph = replace(
        graph, variables=tuple(replace(v, role="latent") if v.name in hidden else v for v in graph.variables)
    )
    known = {name: given.pop(name) for name in hidden if name in given} | dict(evidence)
    if not given and not known:
        first = graph.variable(names[0])
        shape = (1,) * len(sizeless(graph, first.plates)) + sizes(graph, first.plates)
        known = {first.name: np.full(shape, -1)}
    return graph, bind(graph, given, evidence=known)


def _with_data(graph: Graph, data: Any) -> Graph:
    """The network without the observed variables that a frame has no column of."""
    columns = {str(name) for name in (data.columns if is_frame(data) else data)}
    absent = {v.name for v in graph.in_role("observed") if not v.domain.event_shape and v.name not in columns}
    kept = tuple(v for v in graph.variables if v.name not in absent)
    return replace(graph, variables=kept)


def _without(graph: Graph, unknown: set[str]) -> Graph:
    """The network without those of the unknown variables that nothing else in it depends on."""
    while barren := {name for name in unknown if not children(graph, name) - {name}}:
        graph = replace(graph, variables=tuple(v for v in graph.variables if v.name not in barren))
        unknown = unknown - barren
    return graph


def _check(graph: Graph, names: tuple[str, ...]) -> None:
    known = {variable.name: variable for variable in graph.variables}
    faults = []
    for name in names:
        if name not in known:
            faults.append(
                Fault(
                    f'The network {graph.name} has no variable "{name}".', did_you_mean(name, known).strip()
                )
            )
        elif not known[name].discrete or known[name].role == "given":
            kind = "given" if known[name].role == "given" else "continuous"
            faults.append(Fault(f"{name} is {kind}; probabilities are told of categorical random variables."))
    if not names:
        faults.append(Fault("No variable is asked for.", "Name one: targets=[...]."))
    if faults:
        raise DataError(*faults)


def _asked(
    graph: Graph,
    bound: Bound,
    theta: Mapping[str, NDArray[Any]],
    question: str,
    joint: tuple[tuple[str, ...], ...],
) -> Mapping[str, Any]:
    with precision("float64"):
        text = emitted(graph, "posterior", partial=bound.partial, joint=joint)
        module, filled, data = ready(text, f"{graph.name}_query", theta, bound.canonical, "float64")
        _possible(bound, np.atleast_1d(module.score(filled, data)))
        answer: Mapping[str, Any] = jax.device_get(vars(module)[question](filled, data))
        return answer


def _possible(bound: Bound, scores: NDArray[Any]) -> None:
    """Raises DataError where what is known has probability 0, so that nothing follows from it."""
    out = np.flatnonzero(~(scores > -np.inf))
    if len(out):
        plate = next((name for name, path in bound.layout.paths.items() if len(path) == 1), "")
        listed = ", ".join(map(str, out[:LISTED])) + (", ..." if len(out) > LISTED else "")
        where = f" at {plate} {listed}" if plate else ""
        reason = f"What is known{where} is impossible at these parameters: it has probability 0."
        raise DataError(
            Fault(reason, "Nothing follows from it; leave it out, or look at the zeros in the tables.")
        )


def _mirrored(graph: Graph, bound: Bound, target: Target, found: Mapping[str, Any]) -> Any:
    if isinstance(target, str):
        return mirror(bound.layout, graph, graph.variable(target), np.asarray(found[target]))
    innermost = max((graph.variable(name) for name in target), key=lambda variable: len(variable.plates))
    return mirror(bound.layout, graph, innermost, np.asarray(found[" ".join(target)]))
