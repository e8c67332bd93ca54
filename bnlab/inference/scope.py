"""Which variables a factor ranges over, the outermost plate, and what the derivation does not reach (yet, or ever)."""

from __future__ import annotations

from bnlab.domains import Count
from bnlab.errors import Fault, IntractableError
from bnlab.families.base import registry
from bnlab.network.graph import cpds, crossed_plates, reads, selectors, sizeless_plates
from bnlab.network.ir import CPD, Affine, Graph, Variable, VarRef


def discrete_scope(graph: Graph, cpd: CPD) -> tuple[VarRef, ...]:
    """The discrete latents that a distribution is conditioned on, each once, in the order written."""
    found = dict.fromkeys(ref for ref in selectors(cpd) if graph.variable(ref.name).role == "latent")
    return tuple(found)


def gaussian_scope(graph: Graph, cpd: CPD) -> tuple[VarRef, ...]:
    """The Gaussian latents that a distribution reads, each once, in the order written."""
    read = dict.fromkeys(ref for ref in reads(cpd) if graph.variable(ref.name).role == "latent")
    return tuple(ref for ref in read if not graph.variable(ref.name).discrete)


def root_plate(graph: Graph) -> str:
    """The outermost plate without size that all random variables are in; "" if there is none (one member in all)."""
    paths = [
        tuple(plate.name for plate in sizeless_plates(graph, variable) if not plate.chain)
        for variable in graph.in_role("latent", "observed")
    ]
    heads = {path[0] if path else "" for path in paths}
    return heads.pop() if len(heads) == 1 else ""


def check_derivable(graph: Graph) -> None:
    """Raises IntractableError with everything that keeps exact EM from being derived."""
    faults = [
        fault
        for variable in graph.in_role("latent", "observed")
        for fault in _variable_faults(graph, variable)
    ]
    for outer, inner in crossed_plates(graph):
        faults.append(
            Fault(
                f"The plates `{outer}` and `{inner}` cross: neither lies within the other, so exact elimination would "
                "couple all members of one through those of the other.",
                'Nest the plates, or run the model that bn.emit(net, "numpyro") writes by NUTS or SVI.',
                graph.plate(inner).location,
            )
        )
    faults += _plate_faults(graph)
    if faults:
        raise IntractableError(*faults)


def _variable_faults(graph: Graph, variable: Variable) -> list[Fault]:
    faults = []
    where = variable.location
    for cpd in cpds(variable):
        if cpd.family != "Normal" and (variable.continuous_latent or gaussian_scope(graph, cpd)):
            reason = f"`{variable.name}` is {cpd.family} and {_meets(graph, variable, cpd)}: no posterior in closed form."
            remedy = "Let it be Normal, or fit this network by NUTS: its NumPyro model can be emitted."
            if isinstance(variable.domain, Count) and variable.continuous_latent:
                reason = f"`{variable.name}` is {cpd.family}, a count without an end, and latent: it has no table to sum."
                remedy = "Let it be Categorical over the counts that matter, or observe it."
            faults.append(Fault(reason, remedy, where))
        for ref in reads(cpd):
            faults += _read_faults(graph, variable, ref)
        if not registry()[cpd.family].regression:
            faults += _plain_faults(variable, cpd)
    lagged = any(ref.lag for cpd in cpds(variable) for ref in discrete_scope(graph, cpd))
    if len(variable.first) > 1 and not variable.discrete and (variable.role == "latent" or lagged):
        faults.append(Fault(f"`{variable.name}` has several initial steps: not derived yet.", "", where))
    if variable.role == "observed" and lagged:
        reason = (
            f"The distribution of `{variable.name}` depends on the latents of two steps: not derived yet."
        )
        faults.append(Fault(reason, "Let it depend on the latents of its own step.", where))
    return faults


def _meets(graph: Graph, variable: Variable, cpd: CPD) -> str:
    if variable.continuous_latent:
        return "a continuous latent variable"
    return f"depends on the Gaussian latent `{gaussian_scope(graph, cpd)[0].name}`"


def _plain_faults(variable: Variable, cpd: CPD) -> list[Fault]:
    """What a family without regressions does not take."""
    found = []
    for name, argument in cpd.arguments:
        if isinstance(argument, VarRef):
            reason = (
                f"The {name} of `{variable.name}` is data, `{argument.name}`: its M-step is not derived yet."
            )
            found.append(Fault(reason, f"Let {name} be a parameter or a constant.", variable.location))
        elif isinstance(argument, Affine) and (
            len(argument.terms) > 1 or argument.terms[0].variable is not None
        ):
            reason = (
                f"The mean of `{variable.name}` is a sum or reads other variables: for {cpd.family} its M-step is not "
                "derived yet."
            )
            remedy = (
                "Its mean may be one parameter, subscripted by discrete variables; sums are for bn.Normal."
            )
            found.append(Fault(reason, remedy, variable.location))
    return found


def _read_faults(graph: Graph, variable: Variable, ref: VarRef) -> list[Fault]:
    """What the distribution of a variable cannot read."""
    parent, where = graph.variable(ref.name), variable.location
    if ref.lag > 1 and parent.continuous_latent:
        reason = f"`{variable.name}` reads `{ref.name}` {ref.lag} steps earlier: not derived yet."
        remedy = (
            f"Carry it along: bn.latent(..., bn.Normal(bn.previous({ref.name!r}), var=bn.constant(0.0)), first=...) is its "
            "value of one step earlier, and may be read one step earlier itself."
        )
        return [Fault(reason, remedy, where)]
    if ref.lag and parent.role != "latent" and variable.role == "latent":
        reason = f"The latent `{variable.name}` reads data of an earlier step, `{ref.name}`: not derived yet."
        remedy = "Give the earlier values as a variable of their own, one row a step."
        return [Fault(reason, remedy, where)]
    return []


def _plate_faults(graph: Graph) -> list[Fault]:
    faults = []
    heads: dict[str, str] = {}
    for variable in graph.in_role("latent", "observed"):
        rows = sizeless_plates(graph, variable)
        chains = [place for place, plate in enumerate(rows) if plate.chain]
        if chains and chains != [len(rows) - 1]:
            name = rows[chains[0]].name
            reason = (
                f"`{variable.name}` is in a plate without size, or another chain, inside the chain `{name}`: "
                "not derived yet."
            )
            faults.append(
                Fault(
                    reason,
                    "Let the chain be the innermost plate, or give the inner plate a size.",
                    variable.location,
                )
            )
        heads.setdefault(rows[0].name if rows else "", variable.name)
    if len(heads) > 1:
        names = " and ".join(f"`{name}`" for name in heads.values())
        reason = f"{names} have no outermost plate in common, so statistics do not add over its members: not derived yet."
        faults.append(Fault(reason, "Declare them inside one plate, or as networks of their own."))
    return faults + _beside(graph)


def _beside(graph: Graph) -> list[Fault]:
    """Plates that hold two others: one array of ids cannot tell the rows of both."""
    paths = {tuple(plate.name for plate in sizeless_plates(graph, variable)) for variable in graph.variables}
    leaves = sorted(path for path in paths if not any(path == other[: len(path)] != other for other in paths))
    held: dict[str, list[str]] = {}
    for path in leaves:
        for plate in path[:-1]:
            held.setdefault(plate, []).append(path[-1])
    crossed = {name for pair in crossed_plates(graph) for name in pair}
    return [
        Fault(
            f"`{plate}` holds the plates {' and '.join(f'`{name}`' for name in inner)} beside one another, so one array "
            "of ids cannot tell whose member each row is: not derived yet.",
            "Declare all rows in one plate, with a given Integer that tells what each row is.",
        )
        for plate, inner in held.items()
        if len(inner) > 1 and plate not in crossed
    ]
