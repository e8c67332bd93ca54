"""The brute-force oracle: what inference must return, by listing every configuration of the discrete latents.

A `Posterior` holds, for each set of connected unknown variables, one probability for each configuration of the discrete ones,
and one joint Gaussian of all normal ones for each: nothing is factorised further. All else (evidence, marginals, Q, H, KL,
the most probable assignment) is read off these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
from scipy.special import logsumexp

from bnlab.network.ir import CPD, Graph, VarRef
from bnlab.runtime.proof.densities import Array, Theta, log_density
from bnlab.runtime.proof.gaussians import Gaussian, Linear, Piece, condition, linear
from bnlab.runtime.proof.grounding import Batch, Data, Ground, Local, ground, sized
from bnlab.runtime.proof.quadrature import Points, points, pooled, replaced, taken

NO_SPREAD = 1e-7  # of the largest standard deviation: half the digits of a covariance


@dataclass(frozen=True, slots=True)
class Posterior:
    """A distribution over all unknown variables, component by component.

    `tables[c]` are the probabilities of the configurations of component c, `gaussians[c]` its normal variables for each of
    them; None where there are none.
    """

    tables: tuple[np.ndarray, ...]
    gaussians: tuple[Gaussian | None, ...]


@dataclass(frozen=True, slots=True)
class Placing:
    """The coordinates of a component's joint Gaussian: `children` of the ground CPDs in it, as (batch, local, coordinates);
    `at` of each element of `Ground.unsure`; and the values `observed` (N,), NaN where nothing is known."""

    children: tuple[tuple[int, Local, slice], ...]
    at: dict[int, slice]
    observed: np.ndarray


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
        found = enumerate(self.ground.components)
        return {v: (c, at) for c, component in found for at, v in enumerate(component.hidden)}

    @cached_property
    def _home_of_unsure(self) -> dict[int, int]:
        """The component of each unsure variable."""
        return {v: c for c, component in enumerate(self.ground.components) for v in component.unsure}

    def _component(self, local: Local) -> int | None:
        """The component that a ground CPD is in; None if all that it touches is known."""
        if local.scope:
            return self._home[local.scope[0]][0]
        return self._home_of_unsure[local.unsure[0][1]] if local.unsure else None

    def _rows(self, local: Local) -> np.ndarray:
        """The row of its own that each configuration of its component selects for a ground CPD."""
        component = self._component(local)
        assert component is not None
        if not local.scope:
            return np.zeros(len(self._states[component]), int)
        columns = [self._home[variable][1] for variable in local.scope]
        sizes = [self.ground.sizes[variable] for variable in local.scope]
        return np.ravel_multi_index(tuple(self._states[component][:, columns].T), sizes)

    @cached_property
    def _placings(self) -> tuple[Placing | None, ...]:
        """The joint Gaussian of each component, laid out."""
        position = {element: index for index, element in enumerate(self.ground.unsure)}
        children: list[list[tuple[int, Local, slice]]] = [[] for _ in self._states]
        at: list[dict[int, slice]] = [{} for _ in self._states]
        values: list[list[np.ndarray]] = [[] for _ in self._states]
        for number, batch in enumerate(self.ground.batches):
            own = batch.values[VarRef(batch.variable.name)]
            for local in batch.locals:
                component = self._component(local)
                if component is None or not local.unsure:
                    continue
                value = np.ravel(own[local.start])
                start = sum(map(len, values[component]))
                where = slice(start, start + len(value))
                values[component].append(value)
                children[component].append((number, local, where))
                if local.element in position:
                    at[component][position[local.element]] = where
        found = zip(children, at, values, strict=True)
        return tuple(Placing(tuple(c), a, np.concatenate(v)) if c else None for c, a, v in found)

    def _solved(
        self, theta: Theta
    ) -> tuple[list[np.ndarray], list[tuple[int, float]], list[Gaussian | None]]:
        """`log_joints`, and what is known of the normal variables in each configuration."""
        tables = [self._evidence(component) for component in range(len(self._states))]
        rest: list[tuple[int, float]] = []
        linears: dict[int, Linear] = {}
        for number, batch in enumerate(self.ground.batches):
            sure = [local for local in batch.locals if not local.unsure]
            if len(sure) < len(batch.locals):
                linears[number] = linear(self.graph, theta, batch)
            values = np.full(batch.rows, np.nan)
            rows = _rows_of(sure)
            if sure:
                values[rows] = log_density(np, self.graph, theta, taken(batch, rows))
            for local in sure:
                component = self._component(local)
                if component is None:
                    rest.append((local.owner, float(values[local.start])))
                else:
                    tables[component] += values[local.start + self._rows(local)]
        gaussians: list[Gaussian | None] = [None] * len(tables)
        for component, placing in enumerate(self._placings):
            if placing is not None:
                pieces = [
                    Piece(linears[number], local, where, local.start + self._rows(local))
                    for number, local, where in placing.children
                ]
                log_p, gaussians[component] = condition(pieces, placing.at, placing.observed)
                tables[component] += log_p
        return tables, rest, gaussians

    def log_joints(self, theta: Theta) -> tuple[list[np.ndarray], list[tuple[int, float]]]:
        """ln p(x, z) of every configuration of the discrete variables of each component, normal ones integrated out, and
        (owner, ln p) of each CPD that touches nothing unknown."""
        tables, rest, _ = self._solved(theta)
        return tables, rest

    def _evidence(self, component: int) -> np.ndarray:
        """0 for the configurations that evidence allows, -inf for the others."""
        states = self._states[component]
        hidden = self.ground.components[component].hidden
        columns = [self.ground.allowed[v][states[:, at]] for at, v in enumerate(hidden)]
        return np.where(np.all(columns, axis=0), 0.0, -np.inf) if columns else np.zeros(len(states))

    def _owner(self, component: int) -> int:
        owners = {
            local.owner
            for batch in self.ground.batches
            for local in batch.locals
            if self._component(local) == component
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
        tables, _, gaussians = self._solved(theta)
        return Posterior(tuple(np.exp(table - logsumexp(table)) for table in tables), tuple(gaussians))

    def _row_of(self, assignment: Mapping[str, np.ndarray]) -> list[int]:
        """The configuration of each component that an assignment of all discrete latents is."""
        latents = [element.name for element in self.ground.hidden]
        flat = {name: iter(np.ravel(assignment[name]).tolist()) for name in dict.fromkeys(latents)}
        values = np.array([next(flat[name]) for name in latents], int)
        found = zip(self.ground.components, self._states, strict=True)
        return [
            int(np.flatnonzero((states == values[list(component.hidden)]).all(-1))[0])
            for component, states in found
        ]

    def log_joint(self, theta: Theta, assignment: Mapping[str, np.ndarray]) -> float:
        """ln p(x, z) at one assignment of all discrete latents, each in the shape of its values; normal ones integrated out."""
        tables, rest = self.log_joints(theta)
        total = sum(self.ground.weights[owner] * value for owner, value in rest)
        for owner, row, table in zip(self.owners, self._row_of(assignment), tables, strict=True):
            total += self.ground.weights[owner] * table[row]
        return float(total)

    def given(self, theta: Theta, assignment: Mapping[str, np.ndarray]) -> Posterior:
        """All probability on one assignment of the discrete latents, and the normal ones given it."""
        q = self.posterior(theta)
        found = zip(q.tables, self._row_of(assignment), strict=True)
        return Posterior(tuple(np.eye(len(table))[row] for table, row in found), q.gaussians)

    def modal(self, theta: Theta) -> Posterior:
        """All probability on the most probable assignment of the discrete latents; the first of equals."""
        q = self.posterior(theta)
        return Posterior(tuple(np.eye(len(table))[np.argmax(table)] for table in q.tables), q.gaussians)

    def random_posterior(self, theta: Theta, rng: np.random.Generator) -> Posterior:
        """Any distribution over what is possible at theta, factorised or not."""
        q = self.posterior(theta)
        drawn = (rng.dirichlet(np.ones(len(p))) * (p > 0) for p in q.tables)
        return Posterior(
            tuple(table / table.sum() for table in drawn),
            tuple(None if one is None else _moved(one, rng) for one in q.gaussians),
        )

    def family(self, q: Posterior, batch: Batch) -> np.ndarray:
        """q of each row of a batch: the joint marginals of a node and what it reads; 1 where nothing is hidden."""
        weights = np.ones(batch.rows)
        for local in batch.locals:
            component = self._component(local)
            if component is not None:
                counts = np.bincount(self._rows(local), q.tables[component], minlength=local.size)
                weights[local.start : local.start + local.size] = counts
        return weights

    def marginals(self, q: Posterior) -> dict[str, np.ndarray]:
        """q of each discrete latent by itself: rows as in the canonical data, then sized plates, states last."""
        latents = [variable for variable in self.graph.in_role("latent") if variable.discrete]
        found: dict[str, list[np.ndarray]] = {variable.name: [] for variable in latents}
        for position, element in enumerate(self.ground.hidden):
            if element.name in found:
                component, column = self._home[position]
                values = self._states[component][:, column]
                table = np.bincount(values, q.tables[component], minlength=self.ground.sizes[position])
                found[element.name].append(table)
        return {name: np.reshape(tables, (*self._shape(name), -1)) for name, tables in found.items()}

    def moments(self, q: Posterior) -> dict[str, dict[str, np.ndarray]]:
        """Mean and covariance of each normal latent, whatever the discrete ones are: rows as in the canonical data, then sized
        plates, then the event once and twice; a scalar has its variance in the mean's shape."""
        latents = [variable for variable in self.graph.in_role("latent") if not variable.discrete]
        found: dict[str, list[Points]] = {variable.name: [] for variable in latents}
        for position, element in enumerate(self.ground.unsure):
            if element.name in found:
                component = self._home_of_unsure[position]
                gaussian, placing = q.gaussians[component], self._placings[component]
                assert gaussian is not None and placing is not None
                index = np.arange(len(placing.observed))[placing.at[position]]
                found[element.name].append(pooled(q.tables[component], gaussian, index))
        result = {}
        for variable in latents:
            rows, event = self._shape(variable.name), variable.domain.event_shape
            means = np.array([one.mean for one in found[variable.name]])
            covariances = np.array([one.root @ one.root.T for one in found[variable.name]])
            result[variable.name] = {
                "mean": means.reshape((*rows, *event)),
                "cov": covariances.reshape((*rows, *event, *event)),
            }
        return result

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one variable's values: rows, its sized plates, its event."""
        return (*self._shape(name), *self.graph.variable(name).domain.event_shape)

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape of one variable's values but for its event: rows, then its sized plates."""
        rows = (self.ground.rows[name],) if name in self.ground.rows else ()
        return (*rows, *(self.graph.plate(p).size or 0 for p in sized(self.graph, self.graph.variable(name))))

    def without_density(self, theta: Theta) -> tuple[CPD, ...]:
        """The distributions of unsure variables that have no spread in some direction."""
        found = []
        for batch in self.ground.batches:
            if any(local.unsure for local in batch.locals):
                spreads = np.linalg.svd(linear(self.graph, theta, batch).root, compute_uv=False)
                if (spreads[:, -1] <= NO_SPREAD * spreads[:, 0]).any():
                    found.append(batch.cpd)
        return tuple(found)

    def auxiliary(
        self, theta: Theta, q: Posterior, xp: ModuleType = np, without: tuple[CPD, ...] = ()
    ) -> Array:
        """Q(q, theta) = E_q[ln p(x, z | theta)], but for distributions that have no density; differentiable in theta with
        xp = jax.numpy."""
        total = xp.zeros(())
        for batch, weight in self._expanded(q):
            if batch.cpd in without:
                continue
            total = total + (weight * log_density(xp, self.graph, theta, batch)).sum()
        return total

    def auxiliary_of(self, q: Posterior) -> Callable[[Theta], float]:
        """theta -> Q(q, theta), for many thetas: what q expects is gathered once."""
        batches = self._expanded(q)
        return lambda theta: float(
            sum((weight * log_density(np, self.graph, theta, batch)).sum() for batch, weight in batches)
        )

    def _expanded(self, q: Posterior) -> list[tuple[Batch, np.ndarray]]:
        """Batches without anything unknown, and a weight a row, whose log densities sum to Q.

        A log density is quadratic in the normal variables: points with their mean and covariance have its expectation.
        """
        found = []
        for batch in self.ground.batches:
            weight = self.family(q, batch) * self._member_weights(batch)
            sure = _rows_of([local for local in batch.locals if not local.unsure])
            support = sure[weight[sure] != 0]  # 0 ln 0 = 0
            found.append((taken(batch, support), weight[support]))
            for local in batch.locals:
                for row in range(local.start, local.start + local.size) if local.unsure else ():
                    if weight[row]:
                        spread = points(self._pooled(q, local, row - local.start))
                        many = np.full(len(spread), row)
                        filled = replaced(taken(batch, many), self._by_reference(local, spread))
                        found.append((filled, weight[many] / len(spread)))
        return _merged([(batch, weight) for batch, weight in found if batch.rows])

    def _pooled(self, q: Posterior, local: Local, row: int) -> Points:
        """The unsure variables that a ground CPD touches, in the configurations that select one of its rows."""
        component = self._component(local)
        assert component is not None
        gaussian, placing = q.gaussians[component], self._placings[component]
        assert gaussian is not None and placing is not None
        everything = np.arange(len(placing.observed))
        index = np.concatenate([everything[placing.at[position]] for _, position in local.unsure])
        return pooled(q.tables[component] * (self._rows(local) == row), gaussian, index)

    def _by_reference(self, local: Local, spread: np.ndarray) -> dict[VarRef, np.ndarray]:
        """The columns of points that stand for each reference."""
        component = self._home_of_unsure[local.unsure[0][1]]
        placing = self._placings[component]
        assert placing is not None
        sizes = [placing.at[position].stop - placing.at[position].start for _, position in local.unsure]
        parts = np.split(spread, np.cumsum(sizes)[:-1], axis=1)
        return {ref: part for (ref, _), part in zip(local.unsure, parts, strict=True)}

    def _member_weights(self, batch: Batch) -> np.ndarray:
        weights = [np.full(local.size, self.ground.weights[local.owner]) for local in batch.locals]
        return np.concatenate(weights)

    def entropy(self, q: Posterior) -> float:
        """H(q) in nats; of normal variables with respect to Lebesgue measure, so -inf where one has no spread."""
        total = 0.0
        for component, table in enumerate(q.tables):
            inside = -_expected_log(table, table)
            if self._placings[component] is not None:
                roots = self._free_roots(q, component)
                many = roots.shape[-1]
                log_det = np.linalg.slogdet(roots)[1]
                inside += float(table @ (0.5 * many * np.log(2 * np.pi * np.e) + log_det))
            total += self.ground.weights[self.owners[component]] * inside
        return total

    def _free_roots(self, q: Posterior, component: int) -> np.ndarray:
        """Square roots of the covariances of all coordinates that are not known, (configurations, free, free)."""
        gaussian, placing = q.gaussians[component], self._placings[component]
        assert gaussian is not None and placing is not None
        return gaussian.roots[:, np.isnan(placing.observed)]

    def kl(self, q: Posterior, theta: Theta) -> float:
        """D_KL(q || P(z | x, theta))."""
        p, total = self.posterior(theta), 0.0
        for component, (a, b) in enumerate(zip(q.tables, p.tables, strict=True)):
            inside = _expected_log(a, a) - _expected_log(a, b)
            if (placing := self._placings[component]) is not None:
                one, two = q.gaussians[component], p.gaussians[component]
                assert one is not None and two is not None
                base, free = self._free_roots(p, component), np.isnan(placing.observed)
                ratio = np.linalg.solve(base, self._free_roots(q, component))
                shift = np.linalg.solve(base, (one.means - two.means)[:, free, None])[..., 0]
                squares = (ratio**2).sum((-2, -1)) + (shift**2).sum(-1)
                log_det = np.linalg.slogdet(ratio)[1]
                inside += float(a @ (0.5 * (squares - base.shape[-1]) - log_det))
            total += self.ground.weights[self.owners[component]] * inside
        return total

    def most_probable(self, theta: Theta) -> tuple[dict[str, np.ndarray], float]:
        """z* = arg max p(x, z) over the discrete latents and ln p(x, z*); the first of equals."""
        tables, rest = self.log_joints(theta)
        found = {name: q.argmax(-1) for name, q in self.marginals(self.modal(theta)).items()}
        weights = self.ground.weights
        total = sum(weights[o] * table.max() for o, table in zip(self.owners, tables, strict=True))
        return found, float(total + sum(weights[o] * value for o, value in rest))


def _rows_of(locals_: list[Local]) -> np.ndarray:
    """All rows of some ground CPDs of a batch."""
    ranges = [np.arange(local.start, local.start + local.size) for local in locals_]
    return np.concatenate(ranges) if ranges else np.zeros(0, int)


def _merged(parts: list[tuple[Batch, np.ndarray]]) -> list[tuple[Batch, np.ndarray]]:
    """One batch for each CPD, of all rows of its parts."""
    groups: dict[tuple[str, int], list[tuple[Batch, np.ndarray]]] = {}
    for batch, weight in parts:
        groups.setdefault((batch.variable.name, id(batch.cpd)), []).append((batch, weight))
    merged = []
    for group in groups.values():
        first = group[0][0]
        values = {ref: np.concatenate([batch.values[ref] for batch, _ in group]) for ref in first.values}
        cells = {name: np.concatenate([batch.cells[name] for batch, _ in group]) for name in first.cells}
        rows = Batch(first.variable, first.cpd, (), values, cells)
        merged.append((rows, np.concatenate([weight for _, weight in group])))
    return merged


def _moved(gaussian: Gaussian, rng: np.random.Generator) -> Gaussian:
    """Another Gaussian on the same support, for each configuration."""
    count, _, free = gaussian.roots.shape
    shift = rng.normal(size=(count, free, 1))
    turn = np.eye(free) + 0.3 * rng.normal(size=(count, free, free)) / np.sqrt(max(free, 1))
    return Gaussian(gaussian.means + (gaussian.roots @ shift)[..., 0], gaussian.roots @ turn)


def _expected_log(q: np.ndarray, p: np.ndarray) -> float:
    """E_q[ln p], with 0 ln 0 = 0."""
    inside = q > 0
    with np.errstate(divide="ignore"):
        return float(q[inside] @ np.log(p[inside]))
