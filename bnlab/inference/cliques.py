"""The junction tree of a network: the tables of its elimination, those that lie in a neighbour left out.

All categories are eliminated, observed ones too: the tree belongs to the graph, not to what happens to be seen.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from bnlab.domains import Integer
from bnlab.inference.plan import Integrate, IntegrateChain, LeavePlates, Plan, Step, plan
from bnlab.network.cliques import Clique
from bnlab.network.ir import Graph, VarRef


def junction_tree(graph: Graph) -> tuple[Clique, ...]:
    """The cliques, each before the one that it sends its message to. Raises IntractableError where one is too large."""
    variables = tuple(replace(v, role="latent") if v.discrete and v.cpd else v for v in graph.variables)
    latent = replace(graph, variables=variables)
    found = plan(latent)
    steps = [step for step in found.steps if not isinstance(step, LeavePlates)]
    places = {step.message.name: place for place, step in enumerate(steps)}
    cliques = []
    for step in steps:
        target = _target(found, step)
        cliques.append(
            Clique(
                tuple(dict.fromkeys((*step.joint.scope, *_gaussian(step)))),
                step.joint.plates,
                prod(_size(latent, ref) for ref in step.joint.scope),
                places[target.message.name] if target else None,
                (*step.message.scope, *step.message.continuous),
            )
        )
    return _maximal(cliques)


def _gaussian(step: Step) -> tuple[VarRef, ...]:
    """The Gaussian latents that meet in a step: they take no room in its table."""
    match step:
        case Integrate():
            own: tuple[VarRef, ...] = (step.variable,)
        case IntegrateChain():
            own = tuple(VarRef(name, lag) for lag in (0, 1) for name in step.variables)
            own += tuple(map(VarRef, step.beside))
        case _:
            own = ()
    return (*own, *step.joint.continuous, *step.message.continuous)


def _size(graph: Graph, ref: VarRef) -> int:
    domain = graph.variable(ref.name).domain
    assert isinstance(domain, Integer), "only discrete variables are in tables"
    return domain.size


def _target(found: Plan, step: Step) -> Step | None:
    """The next step with a table that the message goes into, if it is over anything."""
    if not step.message.scope and not step.message.continuous:
        return None
    name = step.message.name
    for other in found.steps:
        if name in other.factors:
            return _target(found, other) if isinstance(other, LeavePlates) else other
    return None


def _maximal(cliques: list[Clique]) -> tuple[Clique, ...]:
    """Without those whose variables are among a neighbour's: that one takes over its neighbours."""
    stands = list(range(len(cliques)))  # the clique that now stands for each
    for place, clique in enumerate(cliques):
        if clique.towards is None or cliques[clique.towards].plates != clique.plates:
            continue
        target = cliques[clique.towards]
        if set(target.variables) <= set(clique.variables):
            onward = replace(clique, towards=target.towards, separator=target.separator)
            cliques[clique.towards] = onward
            stands[place] = clique.towards
        elif set(clique.variables) <= set(target.variables):
            stands[place] = clique.towards
    kept = [place for place, other in enumerate(stands) if place == other]
    numbers = {place: number for number, place in enumerate(kept)}
    return tuple(
        replace(cliques[place], towards=None if target is None else numbers[_last(stands, target)])
        for place in kept
        for target in [cliques[place].towards]
    )


def _last(stands: list[int], place: int) -> int:
    while stands[place] != place:
        place = stands[place]
    return place
