"""Which axes of which parameters belong together: what the names of a latent's states do not change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from bnlab.network.ir import CPD, Affine, Argument, Graph, Ref, VarRef

Axis = tuple[str, int]  # a parameter and one of its array's axes


def uses(graph: Graph) -> Iterator[tuple[str, Axis]]:
    """Every (discrete variable, axis of a parameter) such that the axis is counted by the variable's states. A number that
    was written in place of a variable is the variable "" here."""
    for variable in graph.variables:
        for cpd in (*variable.first, variable.cpd):
            for ref in _refs(cpd):
                if not isinstance(ref.target, str):
                    continue
                plates = graph.parameter(ref.target).plates
                free = [at for at, plate in enumerate(plates) if plate not in variable.plates]
                for at, subscript in zip(free, ref.subscripts, strict=True):
                    yield (subscript.name if isinstance(subscript, VarRef) else ""), (ref.target, at)
                if variable.discrete and graph.parameter(ref.target).domain.event_shape:
                    yield variable.name, (ref.target, len(plates))


def _refs(cpd: CPD | None) -> Iterator[Ref]:
    def inside(argument: Argument | None) -> Iterator[Ref]:
        match argument:
            case Ref():
                yield argument
            case Affine():
                for term in argument.terms:
                    yield from inside(term.coefficient)

    for _, argument in cpd.arguments if cpd else ():
        yield from inside(argument)


def told_apart(graph: Graph) -> set[str]:
    """The variables whose states a constant tells apart: its entries, or probabilities, are not the same for all of them."""
    found = set()
    for variable in graph.variables:
        for cpd in (*variable.first, variable.cpd):
            for ref in _refs(cpd):
                if isinstance(ref.target, str):
                    continue
                values = ref.target.array
                named = [s.name if isinstance(s, VarRef) else "" for s in ref.subscripts]
                axes = [*enumerate(named), *([(-1, variable.name)] if values.ndim > len(named) else [])]
                found |= {name for axis, name in axes if np.ptp(values, axis).any()}
    return found


def groups(graph: Graph) -> list[tuple[set[str], set[Axis]]]:
    """Variables whose states must be renamed together, with all the axes that they count. Where a constant tells the
    states apart, "" is among the variables: as a number written in place of one does, it names a state."""
    found: list[tuple[set[str], set[Axis]]] = []
    for name, axis in uses(graph):
        touching = [g for g in found if name in g[0] or axis in g[1]]
        found = [g for g in found if g not in touching]
        found.append(
            (
                {name}.union(*(variables for variables, _ in touching)),
                {axis}.union(*(axes for _, axes in touching)),
            )
        )
    fixed = told_apart(graph)
    return [(variables | {""} if variables & fixed else variables, axes) for variables, axes in found]


def renameable(graph: Graph) -> list[tuple[set[str], set[Axis]]]:
    """The groups of latents whose states carry no meaning: nothing observed, given, fixed or with a prior is among them,
    and no Bernoulli, whose 1 is not its 0."""
    latents = {
        variable.name
        for variable in graph.in_role("latent")
        if all(cpd and cpd.family == "Categorical" for cpd in (*variable.first, variable.cpd))
    }
    plain = {p.name for p in graph.parameters if p.prior is None and p.value is None}
    return [(v, axes) for v, axes in groups(graph) if v <= latents and {name for name, _ in axes} <= plain]


def rename(theta: Mapping[str, np.ndarray], axes: set[Axis], order: np.ndarray) -> dict[str, np.ndarray]:
    """The parameters with the states of one group in another order."""
    renamed = {name: np.asarray(value) for name, value in theta.items()}
    for name, axis in axes:
        renamed[name] = np.take(renamed[name], order, axis)
    return renamed


def empty_last_state(graph: Graph, theta: Mapping[str, np.ndarray], axes: set[Axis]) -> dict[str, np.ndarray]:
    """The parameters with probability 0 for the last state of a group, wherever it is drawn."""
    emptied = {name: np.array(value, float) for name, value in theta.items()}
    for name, axis in axes:
        if axis == len(graph.parameter(name).plates):
            rest = emptied[name] * (np.arange(emptied[name].shape[-1]) < emptied[name].shape[-1] - 1)
            total = rest.sum(-1, keepdims=True)
            # a row that knows no other state is that of the last state itself, which is never entered any more
            emptied[name] = np.where(total > 0, rest / np.where(total > 0, total, 1.0), emptied[name])
    return emptied
