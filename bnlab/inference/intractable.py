"""What exact elimination cannot do, by name and with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from bnlab.errors import Fault, IntractableError
from bnlab.inference.factor import Factor
from bnlab.network.ir import Graph, VarRef


def coupled(graph: Graph, factor: Factor) -> Fault:
    """Latents of plates that cross meet in one distribution."""
    names = " and ".join(_placed(graph, ref) for ref in (*factor.scope, *factor.continuous))
    return Fault(
        f"{names} are latent parents of `{', '.join(factor.left)}`, and their plates cross: "
        "summing one out couples all members of the other.",
        "Observe one of them, or put both into one plate.",
    )


def refuse_mixture(graph: Graph, names: Sequence[str], factors: Sequence[Factor]) -> None:
    """Raises IntractableError if discrete latents would be summed out while a Gaussian latent still depends on them.

    The sum would be a mixture of Gaussian functions, with a term for each joint value of the discrete latents of all members
    (Lauritzen 1992: the strong root condition).
    """
    for factor in factors:
        if factor.continuous:
            gaussian = _placed(graph, factor.continuous[0])
            discrete = " and ".join(_placed(graph, VarRef(name)) for name in names)
            reason = (
                f"{discrete} selects how `{factor.left[0]}` depends on the Gaussian latent {gaussian}: summed over every "
                "member, the posterior is a mixture with a term for each joint value of all of them."
            )
            remedy = (
                f"Declare {_listed(names)} in the plates of `{factor.continuous[0].name}`, observe "
                f'{"it" if len(names) == 1 else "them"}, or run the model that bn.emit(net, "numpyro") writes by NUTS or SVI.'
            )
            raise IntractableError(Fault(reason, remedy, graph.variable(names[0]).location))


def refuse_gaps(graph: Graph, chain: str, names: Sequence[str], seen: Sequence[str]) -> None:
    """Raises IntractableError where a filter would have to take in latents of which numbers are seen."""
    for name in names:
        if name in seen:
            reason = f"What is missing of `{name}` is handed on by the steps of the chain `{chain}`: not derived yet."
            remedy = "Leave out those members, or fill the values in."
            raise IntractableError(Fault(reason, remedy, graph.variable(name).location))


def refuse_chain(
    graph: Graph, chain: str, names: tuple[str, ...], factors: Sequence[Factor], pending: Sequence[Factor]
) -> None:
    """Raises IntractableError where a Gaussian chain is not one filter."""
    for factor in factors:
        steps = [ref for ref in factor.scope if chain in graph.variable(ref.name).plates]
        if steps:
            reason = (
                f"{_placed(graph, steps[0])} selects how `{factor.left[0]}` depends on the Gaussian chain of {_listed(names)} "
                "at each step: the posterior is a mixture with a term for each path of states (a switching linear system)."
            )
            declared = f"Declare `{steps[0].name}` outside the chain `{chain}`"
            remedy = f'{declared}, or run what bn.emit(net, "numpyro") writes by NUTS or SVI.'
            if factor.variable in names:  # which NumPyro cannot enumerate along the chain either
                remedy = f"{declared}, for a class of each sequence, or observe it."
            raise IntractableError(Fault(reason, remedy, graph.variable(steps[0].name).location))
        strange = [ref for ref in factor.continuous if ref.lag and factor.variable not in names]
        if strange:
            reason = f"`{factor.left[0]}` reads `{strange[0].name}` of an earlier step: not derived yet."
            raise IntractableError(Fault(reason, f"Let it read `{strange[0].name}` of its own step."))
    outside = {ref: f for f in factors for ref in f.continuous if ref.name not in names}
    outer = {plate for plate in graph.variable(names[0]).plates if plate != chain}
    for ref, reader in outside.items():
        _refuse_beside(graph, chain, names, ref, reader, outer, [f for f in pending if f not in factors])


def refuse_unseen(names: Sequence[str]) -> None:
    """Raises IntractableError for a chain of which nothing is seen."""
    reason = f"Nothing observed depends on the chain of {_listed(names)}, so its parameters cannot be learnt."
    raise IntractableError(Fault(reason, "Give it an observed child."))


def _refuse_beside(
    graph: Graph,
    chain: str,
    names: tuple[str, ...],
    ref: VarRef,
    reader: Factor,
    outer: set[str],
    pending: Sequence[Factor],
) -> None:
    """Raises IntractableError where a Gaussian latent outside a chain is not one more entry of what its steps hand on."""
    others = [f for f in pending if ref in f.continuous and f.name != ref.name]
    own = [f for f in pending if f.name == ref.name and f.continuous == (ref,)]
    if set(graph.variable(ref.name).plates) != outer:
        where = "is not in the plates of the sequences"
    elif others:
        where = f"is read by {_listed(list(dict.fromkeys(others[0].left)))} outside the chain too"
    elif not own:
        where = "has Gaussian parents"
    else:
        return
    reason = (
        f"{_placed(graph, ref)} is a Gaussian latent outside the chain `{chain}`, which `{reader.left[0]}` reads beside "
        f"the chain of {_listed(names)}, and {where}: not derived yet."
    )
    remedy = (
        "Fit this network by NUTS, for which the NumPyro model can be emitted, or declare it in the plates of the sequences, "
        "read by the steps alone."
    )
    raise IntractableError(Fault(reason, remedy, graph.variable(ref.name).location))


def _placed(graph: Graph, ref: VarRef) -> str:
    plates = ", ".join(graph.variable(ref.name).plates)
    return f"`{ref.name}` ({f'plates {plates}' if plates else 'no plate'})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def tied(graph: Graph, factor: Factor, plates: tuple[str, ...]) -> Fault:
    """The fault of a factor that still holds latents of plates that it is not in."""
    apart = [ref.name for ref in factor.scope if set(graph.variable(ref.name).plates) - set(plates)]
    ties = f"{_listed(apart)} {'ties' if len(apart) == 1 else 'tie'} together several chains or members of other plates"
    remedy = 'Declare it in their plate, or run the model that bn.emit(net, "numpyro") writes by NUTS or SVI.'
    return Fault(f"{ties}: not derived yet.", remedy, graph.variable(apart[0]).location)


def refuse_own_first(graph: Graph, name: str) -> NoReturn:
    """Raises IntractableError for a child of Gaussian latents that has a distribution of its own at the first steps."""
    reason = f"`{name}` depends on a Gaussian latent and has a distribution of its own at the first step: not derived yet."
    remedy = 'Leave first= out, or run the model that bn.emit(net, "numpyro") writes by NUTS or SVI.'
    raise IntractableError(Fault(reason, remedy, graph.variable(name).location))
