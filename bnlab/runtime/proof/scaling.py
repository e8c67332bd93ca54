"""How parameters move when the data are multiplied and shifted: found from the distributions alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from bnlab.domains import Values
from bnlab.network.ir import CPD, Affine, Graph, Ref, Term, Variable, VarRef
from bnlab.runtime.proof.grounding import Data

Theta = Mapping[str, np.ndarray]


class Stays(Exception):
    """A constant, a fixed value or a prior does not move along with the data."""


@dataclass(slots=True)
class Motion:
    """x -> factor^power x + shift offset, for each variable; the same for each parameter."""

    graph: Graph
    power: dict[str, int]
    shift: dict[str, int]
    parameters: dict[str, tuple[int, int]] = field(default_factory=dict)

    def need(self, ref: Ref | VarRef, power: int, shift: int = 0) -> None:
        """Has a coefficient or a spread move so; raises Stays where it cannot."""
        if isinstance(ref, VarRef):
            if (self.power[ref.name], self.shift[ref.name]) != (power, shift):
                raise Stays
        elif isinstance(ref.target, Values):
            if (power, shift) != (0, 0) and (shift or np.any(ref.target.array)):
                raise Stays
        else:
            parameter = self.graph.parameter(ref.target)
            held = parameter.prior is not None or parameter.value is not None
            moved = self.parameters.setdefault(ref.target, (power, shift))
            if moved != (power, shift) or (held and (power, shift) != (0, 0)):
                raise Stays

    def mean(self, child: str, mean: Affine) -> None:
        """The terms of a mean move as the child does; a shift that identities do not bring is the one offset's."""
        missing = self.shift[child]
        for term in mean.terms:
            if term.variable is not None:
                self._coefficient(child, term)
                missing -= term.sign * self.shift[term.variable.name] if term.coefficient is None else 0
        offsets = [term for term in mean.terms if term.variable is None]
        if missing and len(offsets) != 1:
            raise Stays
        for term in offsets:
            assert term.coefficient is not None
            self.need(term.coefficient, self.power[child], term.sign * missing)

    def _coefficient(self, child: str, term: Term) -> None:
        assert term.variable is not None
        power = self.power[child] - self.power[term.variable.name]
        if term.coefficient is not None:
            if self.shift[term.variable.name]:
                raise Stays
            self.need(term.coefficient, power)
        elif power:
            raise Stays

    def spread(self, child: str, cpd: CPD) -> None:
        for slot, powers in (("cov", 2), ("var", 2), ("std", 1)):
            found = cpd.argument(slot)
            if found is not None:
                assert not isinstance(found, Affine)
                self.need(found, powers * self.power[child])


def cpds(variable: Variable) -> Iterator[CPD]:
    yield from variable.first
    if variable.cpd is not None:
        yield variable.cpd


def motion(graph: Graph) -> Motion | None:
    """A motion of all observed normal variables: shifted too if parameters can follow, else multiplied only."""
    normal = [v for v in graph.variables if any(cpd.family == "Normal" for cpd in cpds(v))]
    continuous = [v for v in graph.in_role("observed") if not v.discrete]
    if not continuous or any(v not in normal for v in continuous):
        return None
    free = [v.name for v in normal if v.role == "latent"]
    known = {v.name: 0 for v in graph.variables} | {v.name: 1 for v in continuous}
    spreads = {v.name for v in graph.in_role("given") if _is_spread(graph, v.name)}
    for shift in (1, 0):
        for powers in itertools.product((1, 0), repeat=len(free)):
            for shifts in itertools.product((1, 0) if shift else (0,), repeat=len(free)):
                found = Motion(
                    graph,
                    known | dict.fromkeys(spreads, 1) | dict(zip(free, powers, strict=True)),
                    {n: shift * p for n, p in known.items()} | dict(zip(free, shifts, strict=True)),
                )
                if _fits(found, normal):
                    return found
    return None


def _is_spread(graph: Graph, name: str) -> bool:
    """Whether a given variable is the spread of some other."""
    found = (cpd.argument(slot) for v in graph.variables for cpd in cpds(v) for slot in ("cov", "var", "std"))
    return any(argument == VarRef(name) for argument in found)


def _fits(found: Motion, normal: list[Variable]) -> bool:
    try:
        for variable in normal:
            for cpd in cpds(variable):
                mean = cpd.argument("mean")
                assert isinstance(mean, Affine)
                found.mean(variable.name, mean)
                found.spread(variable.name, cpd)
    except Stays:
        return False
    return True


def units(found: Motion, factor: float) -> dict[str, float]:
    """What a unit of each parameter becomes."""
    return {p.name: factor ** found.parameters.get(p.name, (0, 0))[0] for p in found.graph.parameters}


def moved_data(found: Motion, data: Data, factor: float, offset: float) -> tuple[dict[str, object], int]:
    """The data, moved, and how many random numbers there are among them."""
    moved, count = dict(data), 0
    for variable in found.graph.in_role("observed", "given"):
        if found.power[variable.name]:
            values = np.asarray(data[variable.name])
            moved[variable.name] = factor * values + offset * found.shift[variable.name]
            count += int(np.isfinite(values).sum()) if variable.role == "observed" else 0
    return moved, count


def moved_parameters(found: Motion, theta: Theta, factor: float, offset: float) -> dict[str, np.ndarray]:
    """The parameters that go with the moved data."""
    scale = units(found, factor)
    return {
        name: scale[name] * np.asarray(value) + offset * found.parameters.get(name, (0, 0))[1]
        for name, value in theta.items()
    }
