"""What parameters are used for: means or spreads."""

from __future__ import annotations

from bnlab.network.ir import CPD, Affine, Argument, Graph, Ref


def used_as(graph: Graph, *slots: str) -> set[Ref]:
    """The parameters and constants that stand in these arguments of some variable's distribution."""
    found: set[Ref] = set()
    for variable in graph.variables:
        for cpd in (*variable.first, *([variable.cpd] if variable.cpd else [])):
            found |= refs_of(cpd, *slots)
    return found


def refs_of(cpd: CPD, *slots: str) -> set[Ref]:
    """The parameters and constants that stand in these arguments of a distribution."""
    return set().union(*(_refs(cpd.argument(slot)) for slot in slots))


def _refs(argument: Argument | None) -> set[Ref]:
    terms = argument.terms if isinstance(argument, Affine) else ()
    return {ref for ref in (argument, *(term.coefficient for term in terms)) if isinstance(ref, Ref)}


def names(refs: set[Ref]) -> set[str]:
    return {ref.target for ref in refs if isinstance(ref.target, str)}


def spreads(graph: Graph) -> set[str]:
    """The parameters that are covariances, variances or standard deviations of variables."""
    return names(used_as(graph, "cov", "var", "std"))


def means(graph: Graph) -> set[str]:
    """The parameters that are means of variables, or coefficients in them."""
    return names(used_as(graph, "mean"))
