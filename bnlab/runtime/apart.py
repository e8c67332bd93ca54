"""Spreads that data cannot tell apart: of a latent, and about it, where every member is seen only once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bnlab.network.graph import chain_of, children
from bnlab.network.ir import Affine, Graph, Parameter, Ref, Variable, VarRef
from bnlab.runtime.data_layout import sizeless
from bnlab.runtime.em_floor import SLOTS
from bnlab.runtime.records import Bound, FitWarning

ADVICE = "Give data with several for some member, or fix one of them (value=), or declare a prior."


def confounded(graph: Graph, bound: Bound) -> Iterator[FitWarning]:
    """A warning for each latent that one variable alone reads, as it is and once for each member: then only the sum of its
    spread and that variable's is determined, and both are learnt."""
    for latent in graph.in_role("latent"):
        readers = [graph.variable(name) for name in children(graph, latent.name)]
        ours = _learnt_spread(graph, latent)
        if latent.discrete or ours is None or len(readers) != 1 or chain_of(graph, readers[0]):
            continue
        theirs = _learnt_spread(graph, readers[0])
        if theirs is not None and _as_it_is(readers[0], latent) and _once(graph, bound, latent, readers[0]):
            message = (
                f"{readers[0].name} is there once for each {latent.name}, so the data tell {ours.name} and {theirs.name} "
                "together, but not one from the other."
            )
            yield FitWarning(latent.name, message, ADVICE)


def _learnt_spread(graph: Graph, variable: Variable) -> Parameter | None:
    """The parameter that is the variable's spread, if it is learnt without a prior."""
    arguments = variable.cpd.arguments if variable.cpd else ()
    for slot, argument in arguments:
        if slot in SLOTS and isinstance(argument, Ref) and isinstance(argument.target, str):
            parameter = graph.parameter(argument.target)
            return parameter if parameter.value is None and parameter.prior is None else None
    return None


def _as_it_is(reader: Variable, latent: Variable) -> bool:
    """Whether the latent stands in the reader's mean without a coefficient."""
    mean = reader.cpd.argument("mean") if reader.cpd else None
    return isinstance(mean, Affine) and any(
        term.variable == VarRef(latent.name) and term.coefficient is None for term in mean.terms
    )


def _once(graph: Graph, bound: Bound, latent: Variable, reader: Variable) -> bool:
    """Whether every member of the latent's plates has exactly one of the reader."""
    if [plate for plate in reader.plates if graph.plate(plate).size] != [
        plate for plate in latent.plates if graph.plate(plate).size
    ]:
        return False
    outer, inner = sizeless(graph, latent.plates), sizeless(graph, reader.plates)
    if not outer:
        return False
    counts = np.bincount(bound.layout.members(inner[-1], outer[-1]))
    return bool(len(counts) == bound.layout.count(outer[-1]) and (counts == 1).all())
