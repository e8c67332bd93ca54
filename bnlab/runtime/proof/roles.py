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
    return names(used_as(graph, "cov", "var", "std", "scale", "scale_matrix"))


def given_others(graph: Graph) -> dict[str, set[str]]:
    """Parameters that may be maximised given the old values of others, and these others.

    They are means, given the spreads; and concentrations of Gammas whose rate has a prior, is fixed or shared otherwise than
    they are, given the rates.
    """
    found = {name: spreads(graph) for name in names(used_as(graph, "mean"))}
    pairs = _gammas(graph)
    for one, rate in pairs:
        alone = all((one == other) == (rate == beside) for other, beside in pairs)
        free = isinstance(rate.target, str) and _is_plain(graph, rate.target)
        if isinstance(one.target, str) and not (
            alone and free and _selects(graph, rate) >= _selects(graph, one)
        ):
            found[one.target] = names(used_as(graph, "rate"))
    return found


def _gammas(graph: Graph) -> list[tuple[Ref, Ref]]:
    """The concentration and the rate of every Gamma."""
    cpds = [cpd for v in graph.variables for cpd in (*v.first, v.cpd) if cpd and cpd.family == "Gamma"]
    pairs = [(cpd.argument("concentration"), cpd.argument("rate")) for cpd in cpds]
    return [(a, b) for a, b in pairs if isinstance(a, Ref) and isinstance(b, Ref)]


def _is_plain(graph: Graph, name: str) -> bool:
    return graph.parameter(name).prior is None and graph.parameter(name).value is None


def _selects(graph: Graph, ref: Ref) -> set[str]:
    """The plates and the entries that a parameter tells apart."""
    assert isinstance(ref.target, str)
    parameter = graph.parameter(ref.target)
    return {*parameter.plates, *(["entries"] if parameter.domain.event_shape else [])}
