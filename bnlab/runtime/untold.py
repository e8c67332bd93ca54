"""Gaussian latents with more entries than there are numbers that depend on them: some directions of them are free."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from bnlab.domains import Values
from bnlab.network.graph import children, cpds
from bnlab.network.ir import Affine, Graph, Ref, Term, Variable, VarRef
from bnlab.runtime.records import FitWarning


def untold(graph: Graph) -> Iterator[FitWarning]:
    """A warning for each latent of more entries than all loadings on it together have rows: no data tell the rest."""
    for latent in graph.in_role("latent"):
        rows = None if latent.discrete or not latent.domain.event_shape else _rows(graph, latent)
        if rows is None or rows >= latent.domain.event_shape[0]:
            continue
        size = latent.domain.event_shape[0]
        sums, directions = "sum" + "s" * (rows > 1), "direction" + "s" * (size - rows > 1)
        message = (
            f"no more than {rows} {sums} of its {size} entries are read, so the data tell nothing of {size - rows} "
            f"{directions}, and {rows} would reach the same likelihood."
        )
        yield FitWarning(latent.name, message, f"Declare it with {rows} or fewer.")


def _rows(graph: Graph, latent: Variable) -> int | None:
    """The rows of all loadings on a latent, each loading once; None where it is read in some other way."""
    found: dict[str | Values, int] = {}
    for reader in (graph.variable(name) for name in children(graph, latent.name)):
        for cpd in cpds(reader):
            mean = cpd.argument("mean")
            if not isinstance(mean, Affine):
                return None
            for term in mean.terms:
                if term.variable is None or term.variable.name != latent.name:
                    continue
                if term.variable.lag or term.op == "scale" or not isinstance(term.coefficient, Ref):
                    return None
                found[term.coefficient.target] = _height(graph, latent, term.coefficient, term)
    return sum(found.values()) if found else None


def _height(graph: Graph, latent: Variable, loading: Ref, term: Term) -> int:
    """How many rows a loading has, in all the settings that members of one latent may read it in."""
    if isinstance(loading.target, Values):
        shape: tuple[int, ...] = loading.target.shape
        settings = shape[: len(loading.subscripts)]
        event = shape[len(loading.subscripts) :]
    else:
        parameter = graph.parameter(loading.target)
        event = parameter.domain.event_shape
        settings = tuple(
            graph.plate(plate).size or 1 for plate in parameter.plates if plate not in latent.plates
        )
    if loading.subscripts and all(_same(graph, latent, chosen) for chosen in loading.subscripts):
        settings = ()
    height = (event[0] if term.op == "matmul" else event[-1]) if len(event) > 1 else 1
    return height * prod(settings)


def _same(graph: Graph, latent: Variable, chosen: object) -> bool:
    """Whether a subscript is the same for all that reads one member of the latent."""
    return isinstance(chosen, int) or (
        isinstance(chosen, VarRef) and set(graph.variable(chosen.name).plates) <= set(latent.plates)
    )
