"""The brute-force oracle: what inference must return, by listing every configuration of the latents.

A `Posterior` holds, for each set of connected hidden variables, one probability for each of its configurations: nothing
is factorised further. All else (evidence, marginals, Q, H, KL, the most probable assignment) is read off these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
from scipy.special import logsumexp

from bnlab.network.ir import Graph
from bnlab.runtime.proof.densities import Array, Theta, log_density
from bnlab.runtime.proof.grounding import Batch, Data, Ground, Local, ground, sized


@dataclass(frozen=True, slots=True)
class Posterior:
    """A distribution over all hidden variables: `tables[c]` are the probabilities of the configurations of component c."""

    tables: tuple[np.ndarray, ...]


class Oracle:
    """Brute force for one network and one data set; every method takes the parameters in the user's shapes."""

    def __init__(self, graph: Graph, data: Data) -> None:
        self.graph = graph
        self.ground: Ground = ground(graph, data)

    @cached_property
    def _states(self) -> tuple[np.ndarray, ...]:
        return tuple(self.ground.states(component) for component in range(len(self.ground.components)))

    @cached_property
    def _home(self) -> dict[int, tuple[int, int]]:
        """Where each hidden variable is: its component, and its column there."""
        return {v: (c, at) for c, found in enumerate(self.ground.components) for at, v in enumerate(found)}

    def _assignment(self, local: Local) -> tuple[int, np.ndarray]:
        """The component that a ground CPD is in, and the row of its batch that each configuration selects."""
        component = self._home[local.scope[0]][0]
        columns = [self._home[variable][1] for variable in local.scope]
        sizes = [self.ground.sizes[variable] for variable in local.scope]
        return component, np.ravel_multi_index(tuple(self._states[component][:, columns].T), sizes)

    def log_joints(self, theta: Theta) -> tuple[list[np.ndarray], list[tuple[int, float]]]:
        """ln p(x, z) of every configuration of each component, and (owner, ln p) of each CPD that touches none."""
        tables = [np.zeros(len(states)) for states in self._states]
        rest: list[tuple[int, float]] = []
        for batch in self.ground.batches:
            values = log_density(np, self.graph, theta, batch)
            for local in batch.locals:
                if local.scope:
                    component, rows = self._assignment(local)
                    tables[component] += values[local.start + rows]
                else:
                    rest.append((local.owner, float(values[local.start])))
        return tables, rest

    def _owner(self, component: int) -> int:
        owners = {
            local.owner
            for batch in self.ground.batches
            for local in batch.locals
            if set(local.scope) & set(self.ground.components[component])
        }
        assert len(owners) == 1, "latents connect members of the outermost plate"
        return owners.pop()

    @cached_property
    def owners(self) -> tuple[int, ...]:
        """The member of the outermost plate that each component belongs to."""
        return tuple(self._owner(component) for component in range(len(self._states)))

    def scores(self, theta: Theta) -> np.ndarray:
        """ln p of each member of the outermost plate."""
        tables, rest = self.log_joints(theta)
        total = np.zeros(self.ground.owners)
        for owner, table in zip(self.owners, tables, strict=True):
            total[owner] += logsumexp(table)
        for owner, value in rest:
            total[owner] += value
        return total

    def log_evidence(self, theta: Theta) -> float:
        """ln p(x), each member counted as often as its weight says."""
        return float(self.ground.weights @ self.scores(theta))

    def posterior(self, theta: Theta) -> Posterior:
        """P(z | x) by Bayes' rule over all configurations."""
        return Posterior(tuple(np.exp(table - logsumexp(table)) for table in self.log_joints(theta)[0]))

    def log_joint(self, theta: Theta, assignment: Mapping[str, np.ndarray]) -> float:
        """ln p(x, z) at one assignment of all latents, each in the shape of its values."""
        latents = [element.name for element in self.ground.hidden]
        flat = {name: iter(np.ravel(assignment[name]).tolist()) for name in dict.fromkeys(latents)}
        values = np.array([next(flat[name]) for name in latents], int)
        tables, rest = self.log_joints(theta)
        total = sum(self.ground.weights[owner] * value for owner, value in rest)
        for owner, found, states, table in zip(
            self.owners, self.ground.components, self._states, tables, strict=True
        ):
            row = np.flatnonzero((states == values[list(found)]).all(-1))[0]
            total += self.ground.weights[owner] * table[row]
        return float(total)

    def modal(self, theta: Theta) -> Posterior:
        """All probability on the most probable assignment; the first of equals."""
        return Posterior(tuple(np.eye(len(table))[np.argmax(table)] for table in self.log_joints(theta)[0]))

    def random_posterior(self, theta: Theta, rng: np.random.Generator) -> Posterior:
        """Any distribution over the configurations that are possible at theta, factorised or not."""
        drawn = (rng.dirichlet(np.ones(len(p))) * (p > 0) for p in self.posterior(theta).tables)
        return Posterior(tuple(table / table.sum() for table in drawn))

    def family(self, q: Posterior, batch: Batch) -> np.ndarray:
        """q of each row of a batch: the joint marginals of a node and what it reads; 1 where nothing is hidden."""
        weights = np.ones(batch.rows)
        for local in batch.locals:
            if local.scope:
                component, rows = self._assignment(local)
                counts = np.bincount(rows, q.tables[component], minlength=local.size)
                weights[local.start : local.start + local.size] = counts
        return weights

    def marginals(self, q: Posterior) -> dict[str, np.ndarray]:
        """q of each latent by itself: rows as in the canonical data, then sized plates, states last."""
        found: dict[str, list[np.ndarray]] = {variable.name: [] for variable in self.graph.in_role("latent")}
        for position, element in enumerate(self.ground.hidden):
            if element.name in found:
                component, column = self._home[position]
                values = self._states[component][:, column]
                table = np.bincount(values, q.tables[component], minlength=self.ground.sizes[position])
                found[element.name].append(table)
        return {name: np.reshape(tables, (*self._shape(name), -1)) for name, tables in found.items()}

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape of one discrete variable's values: rows, then its sized plates."""
        rows = (self.ground.rows[name],) if name in self.ground.rows else ()
        return (*rows, *(self.graph.plate(p).size or 0 for p in sized(self.graph, self.graph.variable(name))))

    def auxiliary(self, theta: Theta, q: Posterior, xp: ModuleType = np) -> Array:
        """Q(q, theta) = E_q[ln p(x, z | theta)]; differentiable in theta with xp = jax.numpy."""
        total = xp.zeros(())
        for batch in self.ground.batches:
            weight = self.family(q, batch) * self._member_weights(batch)
            support = np.flatnonzero(weight)  # 0 ln 0 = 0
            values = log_density(xp, self.graph, theta, _take(batch, support))
            total = total + (weight[support] * values).sum()
        return total

    def _member_weights(self, batch: Batch) -> np.ndarray:
        weights = [np.full(local.size, self.ground.weights[local.owner]) for local in batch.locals]
        return np.concatenate(weights)

    def entropy(self, q: Posterior) -> float:
        """H(q) in nats."""
        return -sum(
            self.ground.weights[owner] * _expected_log(table, table)
            for owner, table in zip(self.owners, q.tables, strict=True)
        )

    def kl(self, q: Posterior, theta: Theta) -> float:
        """D_KL(q || P(z | x, theta))."""
        pairs = zip(self.owners, q.tables, self.posterior(theta).tables, strict=True)
        return sum(self.ground.weights[o] * (_expected_log(a, a) - _expected_log(a, b)) for o, a, b in pairs)

    def most_probable(self, theta: Theta) -> tuple[dict[str, np.ndarray], float]:
        """z* = arg max p(x, z) and ln p(x, z*); the first of equals."""
        tables, rest = self.log_joints(theta)
        found = {name: q.argmax(-1) for name, q in self.marginals(self.modal(theta)).items()}
        weights = self.ground.weights
        total = sum(weights[o] * table.max() for o, table in zip(self.owners, tables, strict=True))
        return found, float(total + sum(weights[o] * value for o, value in rest))


def _take(batch: Batch, rows: np.ndarray) -> Batch:
    """Some rows of a batch, for their densities."""
    values = {ref: array[rows] for ref, array in batch.values.items()}
    return Batch(
        batch.variable, batch.cpd, (), values, {plate: cells[rows] for plate, cells in batch.cells.items()}
    )


def _expected_log(q: np.ndarray, p: np.ndarray) -> float:
    """E_q[ln p], with 0 ln 0 = 0."""
    inside = q > 0
    with np.errstate(divide="ignore"):
        return float(q[inside] @ np.log(p[inside]))
