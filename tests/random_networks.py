"""Random small networks of discrete latents: nested plates, chains, and plates with a size, in any mixture that stays small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

import bnlab as bn
from bnlab.runtime.proof.draws import Layout, small_layout

NESTS = (("n",), ("g", "n"), ("a", "g", "n"), ("t",), ("s", "t"), ("g", "s", "t"))
CHAIN = "t"


@dataclass(frozen=True)
class Node:
    """A discrete latent declared so far: how deep it stands in the nest of plates, and its number of states."""

    name: str
    depth: int
    states: int


@dataclass(frozen=True)
class Parent:
    """A latent as a parent, possibly one step earlier."""

    node: Node
    lag: int = 0


class Writer:
    """Declares one random network."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nest = NESTS[rng.integers(len(NESTS))]
        self.nodes: list[Node] = []
        self.parents: set[str] = set()
        self.symbols: dict[str, object] = {}

    def network(self) -> bn.Network:
        with bn.Network("random") as net:
            for number in range(self.rng.integers(1, 4)):
                self._latent(f"z{number}")
            self._observed("x0", len(self.nest), [node for node in self.nodes if self._chance(0.6)])
            unseen = [node for node in self.nodes if node.name not in self.parents]
            for node in unseen:
                if self._in_chain(node) or self._chance(0.7):
                    self._observed(f"x{node.name}", node.depth, [node])
        return net

    def _chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def _choose(self, candidates: Sequence[Parent], most: int) -> list[Parent]:
        count = min(len(candidates), int(self.rng.integers(most + 1)))
        return [candidates[i] for i in sorted(self.rng.choice(len(candidates), count, replace=False))]

    def _latent(self, name: str) -> None:
        depth = int(self.rng.integers(1, len(self.nest) + 1))
        node = Node(name, depth, int(self.rng.integers(2, 4)))
        parents = self._choose([Parent(other) for other in self.nodes if other.depth <= depth], 2)
        before: list[Parent] = []
        if self._in_chain(node) and self._chance(0.8):
            before = [Parent(node, 1)]
            before += self._choose([Parent(other, 1) for other in self.nodes if other.depth == depth], 1)
        yes = node.states == 2 and self._chance(0.3)
        family = bn.Bernoulli if yes else bn.Categorical
        domain = bn.Probability() if yes else bn.Simplex(node.states)
        probs = self._table(name, "P", [*before, *parents], domain)
        first = self._table(name, "F", parents, domain) if before else None
        with ExitStack() as stack:
            self._enter(stack, depth)
            cpd = family(self._read(probs, [*before, *parents]))
            start = None if first is None else family(self._read(first, parents))
            self.symbols[name] = bn.latent(name, cpd, first=start)
        self.nodes.append(node)
        self.parents |= {parent.node.name for parent in parents}

    def _in_chain(self, node: Node) -> bool:
        return self.nest[node.depth - 1] == CHAIN

    def _observed(self, name: str, depth: int, nodes: list[Node]) -> None:
        """An observed variable at `depth`, with two of the latents as parents; those of the whole nest if none is named."""
        parents = [Parent(node) for node in (nodes or self.nodes)][-2:]
        self.parents |= {parent.node.name for parent in parents}
        kind = self.rng.choice(["categorical", "normal", "rate", "answer"], p=[0.3, 0.4, 0.2, 0.1])
        match kind:
            case "categorical":
                self._categorical(name, depth, parents)
            case "normal":
                self._normal(name, depth, parents)
            case "rate":
                self._rate(name, depth, parents)
            case _:
                self._answer(name, depth, parents)

    def _rate(self, name: str, depth: int, parents: list[Parent]) -> None:
        family = bn.Poisson if self._chance(0.5) else bn.Exponential
        shape = (2,) if self._chance(0.3) else ()
        plates = {"item": 2} if self._chance(0.3) else {}
        rate = self._table(name, "R", parents, bn.Positive(*shape), plates)
        with ExitStack() as stack:
            self._enter(stack, depth, plates)
            bn.observed(name, family(self._read(rate, parents)))

    def _answer(self, name: str, depth: int, parents: list[Parent]) -> None:
        plates = {"item": 2} if self._chance(0.3) else {}
        prob = self._table(name, "Q", parents, bn.Probability(), plates)
        with ExitStack() as stack:
            self._enter(stack, depth, plates)
            bn.observed(name, bn.Bernoulli(self._read(prob, parents)))

    def _categorical(self, name: str, depth: int, parents: list[Parent]) -> None:
        plates = {"item": 2} if self._chance(0.3) else {}
        probs = self._table(name, "B", parents, bn.Simplex(int(self.rng.integers(2, 5))), plates)
        with ExitStack() as stack:
            self._enter(stack, depth, plates)
            bn.observed(name, bn.Categorical(self._read(probs, parents)))

    def _normal(self, name: str, depth: int, parents: list[Parent]) -> None:
        dim = int(self.rng.integers(0, 3 if len(self.nest) > 1 and depth == len(self.nest) else 2))
        shape = (dim,) if dim else ()
        selectors = parents if self._chance(0.6) else parents[:1] if self._chance(0.5) else []
        kind = "cov" if dim and self._chance(0.5) else str(self.rng.choice(["var", "std"]))
        spread_shape = shape if self._chance(0.5) else ()
        domain = bn.Covariance(dim) if kind == "cov" else bn.Positive(*spread_shape)
        if self._chance(0.4):
            self._regression(name, depth, parents, selectors, kind, domain, dim)
            return
        mean = self._table(name, "M", parents, bn.Real(*shape))
        spread = self._table(name, "V", selectors, domain)
        with ExitStack() as stack:
            self._enter(stack, depth)
            bn.observed(name, bn.Normal(self._read(mean, parents), **{kind: self._read(spread, selectors)}))

    def _regression(
        self,
        name: str,
        depth: int,
        parents: list[Parent],
        selectors: list[Parent],
        kind: str,
        domain: object,
        dim: int,
    ) -> None:
        """A normal variable on inputs of its own plates and of those around, and perhaps on its own past. Coefficients that
        latents select have priors: few rows do not tell them well enough for laws that hold to rounding.
        """
        shape = (dim,) if dim else ()
        places = [depth, *([int(self.rng.integers(1, depth + 1))] if not parents else [])]
        inputs = [self._given(f"u{name}{number}", place) for number, place in enumerate(places)]
        sub = [parents[:1] if self._chance(0.6) else [] for _ in inputs]
        slopes = [
            self._table(
                name, f"W{number}", sub[number], bn.Real(*shape, size), prior=self._prior(sub[number])
            )
            for number, (_, size) in enumerate(inputs)
        ]
        offset = self._chance(0.7)
        offsets = (
            self._table(name, "M", parents, bn.Real(*shape), prior=self._prior(parents)) if offset else None
        )
        past = self.nest[depth - 1] == CHAIN and self._chance(0.6)
        slope = self._table(name, "G", [], bn.Real(), prior=self._prior(parents)) if past else None
        spread = self._table(name, "V", selectors, domain)
        with ExitStack() as stack:
            self._enter(stack, depth)
            mean = sum(
                (self._read(w, sub[i]) @ inputs[i][0] for i, w in enumerate(slopes)),
                start=self._read(offsets, parents) if offsets is not None else bn.zeros(*shape),
            )
            first = None
            if slope is not None:
                first = bn.Normal(mean, **{kind: self._read(spread, selectors)})
                mean = mean + slope * bn.previous(name)
            bn.observed(name, bn.Normal(mean, **{kind: self._read(spread, selectors)}), first=first)

    def _prior(self, parents: list[Parent]) -> object:
        return bn.Normal(0.5, std=1.5) if parents else None

    def _given(self, name: str, depth: int) -> tuple[object, int]:
        """An input in the plates around, and its number of entries."""
        size = 1 + self._chance(0.3)
        with ExitStack() as stack:
            self._enter(stack, depth)
            return bn.given(name, bn.Real(size)), size

    def _table(
        self, name: str, letter: str, parents, domain, plates: Mapping[str, int] | None = None, prior=None
    ):
        """A parameter with one sized plate for each parent, and the plates that it shares with its child."""
        with ExitStack() as stack:
            for parent in parents:
                suffix = "p" if parent.lag else "k"
                stack.enter_context(bn.plate(f"{parent.node.name}{suffix}", parent.node.states))
            for plate, size in (plates or {}).items():
                stack.enter_context(bn.plate(plate, size))
            return bn.parameter(f"{letter}{name}", domain, prior=prior)

    def _read(self, table, parents: Sequence[Parent]):
        """`table[a, b, ...]`."""
        subscripts = tuple(
            bn.previous(parent.node.name, parent.lag) if parent.lag else self.symbols[parent.node.name]
            for parent in parents
        )
        return table[subscripts] if subscripts else table

    def _enter(self, stack: ExitStack, depth: int, plates: Mapping[str, int] | None = None) -> None:
        for plate in self.nest[:depth]:
            stack.enter_context(bn.chain(plate) if plate == CHAIN else bn.plate(plate))
        for plate, size in (plates or {}).items():
            stack.enter_context(bn.plate(plate, size))


def random_network(rng: np.random.Generator) -> tuple[bn.Network, Mapping[str, Layout]]:
    """A network, and how many members its plates get."""
    net = Writer(rng).network()
    return net, small_layout(net.graph, rng)
