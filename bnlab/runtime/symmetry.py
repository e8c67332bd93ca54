"""What the likelihood cannot tell apart of Gaussian latents: the linear maps of a latent that its network absorbs.

A latent that is read through free coefficients may be turned, y' = A y, when the coefficients turn back, W' = W A^-1, and what
the latent itself is drawn from turns along: m' = A m, F' = A F A^-1, Q' = A Q A'. Which A leave everything as it was declared
is found by trying: random members of ever smaller groups, at random parameters. A group is a symmetry if what is fixed stays,
what has a structure (a diagonal, one variance) keeps it, a parameter read in several places moves alike in all of them, and
no prior density changes. Shifts of a latent are not among these groups.

Where the coefficients are selected by discrete variables that stay the same as long as the latent lives, each of their values
has an A of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Positive, Real, Values
from bnlab.network.graph import alignment, cpds
from bnlab.network.ir import CPD, Affine, Argument, Graph, Ref, Term, Variable, VarRef
from bnlab.runtime.maps import GROUPS, ORTHOGONAL, SPREADS, as_matrix, member, moved_value, near
from bnlab.runtime.proof.draws import random_parameters
from bnlab.runtime.proof.priors import log_prior

CLOSE = 1e-8
"""Relative: what a random member changes by less is unchanged; rounding of a few products of small matrices is 1e-14."""
NEAR = 1e-3
"""How far from the identity a map is that is small; an estimate that it leaves as it is, to CLOSE, is one that none moves."""
TRIALS = 3
"""Random members and parameters tried: one that is no symmetry passes none of them, except on a set of measure 0."""

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Use:
    """One place where a map of the latents acts: the `kind` of a coefficient ("offset", "scale", "matmul", "rmatmul") or of a
    spread ("cov", "var", "std"), what stands there, and which sides move: `left` the variable drawn, `right` the one read.

    `event` counts the axes of one coefficient; `axes` label the leading ones: the plate that aligns, or the variable that
    selects.
    """

    kind: str
    source: Ref | VarRef | None
    event: int
    left: str | None
    right: str | None
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    axes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Symmetry:
    """`latents` that one map acts on together, from `group` (a row of `maps.GROUPS`); `parameters` move with them, and each
    value of `labels` (of so many `sizes`) has a map of its own. The maps are root B root^-1 with B in the group: a fixed
    covariance root root' is what rotations keep."""

    latents: tuple[str, ...]
    group: str
    dim: int
    root: Values
    parameters: tuple[str, ...]
    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    uses: tuple[Use, ...]

    @property
    def orthogonal(self) -> bool:
        return self.group in ORTHOGONAL

    def member(self, rng: np.random.Generator) -> Array:
        """A random one of the maps."""
        root = self.root.array
        return np.asarray(root @ member(self.group, rng, self.dim) @ np.linalg.inv(root))


def drifting(graph: Graph, theta: Arrays) -> tuple[Symmetry, ...]:
    """The symmetries that move an estimate by as little as one likes: along these its density is flat."""
    return tuple(found for found in linear_symmetries(graph) if _drifts(graph, found, theta))


def _drifts(graph: Graph, symmetry: Symmetry, theta: Arrays) -> bool:
    root, small = symmetry.root.array, near(symmetry.group, np.random.default_rng(0), symmetry.dim, NEAR)
    if small is None:
        return False
    maps = np.broadcast_to(root @ small @ np.linalg.inv(root), (*symmetry.sizes, symmetry.dim, symmetry.dim))
    after = moved(graph, symmetry, theta, maps)
    return any(
        not np.allclose(after[name], theta[name], rtol=0, atol=CLOSE * np.abs(theta[name]).max(initial=0))
        for name in symmetry.parameters
    )


@lru_cache(maxsize=64)
def linear_symmetries(graph: Graph, priors: bool = True) -> tuple[Symmetry, ...]:
    """The largest group of every set of latents that move together; with `priors`, those of the posterior."""
    return tuple(found for block in _blocks(graph) if (found := _of_block(graph, block, priors)))


def moved(graph: Graph, symmetry: Symmetry, theta: Arrays, maps: Array) -> dict[str, Array]:
    """The parameters after the latents were mapped: `maps` is (..., *sizes, dim, dim), `theta` has the same leading axes."""
    found = dict(theta)
    for use in symmetry.uses:
        name = parameter_of(use)
        if name in symmetry.parameters:
            found[name] = _moved(use, np.asarray(theta[name]), maps, symmetry)
    return found


def _of_block(graph: Graph, block: frozenset[str], priors: bool) -> Symmetry | None:
    shapes = {graph.variable(name).domain.event_shape for name in block}
    uses = _uses(graph, block) if len(shapes) == 1 else None
    if uses is None:
        return None
    dim = (shapes.pop() or (1,))[0]
    bare = Symmetry(tuple(sorted(block)), "", dim, _root(graph, uses, dim), (), (), (), tuple(uses))
    for group in GROUPS:
        if group.smallest <= dim:
            found = _changed(graph, replace(bare, group=group.name), priors)
            if found is not None:
                return found if found.parameters else None
    return None


def _root(graph: Graph, uses: list[Use], dim: int) -> Values:
    """A root of the first fixed covariance that the latents are drawn with; 1 without one."""
    for use in uses:
        name = parameter_of(use)
        value = graph.parameter(name).value if name else None
        if use.kind in SPREADS and not isinstance(use.source, VarRef) and (name is None or value is not None):
            spread = as_matrix(use, value.array if value else _read(graph, use, {}, np.random.default_rng(0)))
            if spread.ndim == 2 and np.linalg.eigvalsh(spread)[0] > 0:
                return Values.of(np.linalg.cholesky(spread))
    return Values.of(np.eye(dim))


def _changed(graph: Graph, tried: Symmetry, priors: bool) -> Symmetry | None:
    """The symmetry with what moves under it, or None where something declared does not stay."""
    rng = np.random.default_rng(0)
    parameters: set[str] = set()
    for _ in range(TRIALS):
        theta = random_parameters(graph, rng)
        a = tried.member(rng)
        for use in tried.uses:
            before = _read(graph, use, theta, rng)
            after = moved_value(use, before, *_sides(use, a))
            if after is None:
                return None
            if not np.allclose(after, before, rtol=CLOSE, atol=CLOSE):
                name = parameter_of(use)
                if name is None or not _may_move(graph, use, name, after):
                    return None
                parameters.add(name)
    found = _labelled(graph, replace(tried, parameters=_ordered(graph, parameters)))
    return found if _consistent(graph, found, priors, rng) else None


def _ordered(graph: Graph, names: set[str]) -> tuple[str, ...]:
    return tuple(one.name for one in graph.parameters if one.name in names)


def _sides(use: Use, a: Array) -> tuple[Array | None, Array | None]:
    """What multiplies from the left and from the right: A, and its inverse, where a latent of the block stands."""
    return (a if use.left else None), (np.linalg.inv(a) if use.right else None)


def _may_move(graph: Graph, use: Use, name: str, after: Array) -> bool:
    """Whether a parameter is free, read whole, and still in its domain."""
    parameter = graph.parameter(name)
    inside = not isinstance(parameter.domain, Positive) or bool((after > 0).all())
    return parameter.value is None and inside and len(use.axes) == len(parameter.plates)


def _consistent(graph: Graph, found: Symmetry, priors: bool, rng: np.random.Generator) -> bool:
    """Whether all that reads a parameter moves it alike, and its prior does not mind."""
    theta = random_parameters(graph, rng)
    shape = (*found.sizes, found.dim, found.dim)
    maps = np.stack([found.member(rng) for _ in range(max(1, int(np.prod(found.sizes))))])
    maps = maps.reshape(shape)
    after = moved(graph, found, theta, maps)
    for use in found.uses:
        name = parameter_of(use)
        if name in found.parameters:
            again = _moved(use, theta[name], maps, found)
            if not np.allclose(again, after[name], rtol=CLOSE, atol=CLOSE):
                return False
    if any(name in found.parameters for name in _read_elsewhere(graph, found)):
        return False
    return not priors or bool(np.isclose(log_prior(graph, theta), log_prior(graph, after), rtol=CLOSE))


def _read_elsewhere(graph: Graph, found: Symmetry) -> Iterator[str]:
    """Parameters of distributions and terms that no latent of the block takes part in."""
    for variable in graph.variables:
        for cpd in cpds(variable):
            for slot, argument in cpd.arguments:
                for use in _of_argument(graph, variable, slot, argument, frozenset(found.latents)):
                    name = parameter_of(use)
                    if name is not None and use.left is None and use.right is None:
                        yield name


def _labelled(graph: Graph, found: Symmetry) -> Symmetry:
    """The symmetry with the labels that all its parameters share and that stay the same as long as the latents live."""
    shared: set[str] | None = None
    for use in found.uses:
        if parameter_of(use) in found.parameters:
            shared = set(use.axes) if shared is None else shared & set(use.axes)
    kept = tuple(label for label in sorted(shared or ()) if _stays(graph, found, label))
    return replace(found, labels=kept, sizes=tuple(_size(graph, label) for label in kept))


def _stays(graph: Graph, found: Symmetry, label: str) -> bool:
    """Whether a plate, or a variable that selects, is the same in every place where one member of the latents is read."""
    latents = [graph.variable(name) for name in found.latents]
    if any(plate.name == label for plate in graph.plates):
        return all(label in latent.plates for latent in latents)
    if not any(variable.name == label for variable in graph.variables):
        return False
    outer = set(graph.variable(label).plates)
    chains = {plate.name for plate in graph.plates if plate.chain}
    return all(outer <= set(latent.plates) for latent in latents) and not (
        outer & chains and _reads_back(graph, found.latents)
    )


def _reads_back(graph: Graph, latents: tuple[str, ...]) -> bool:
    """Whether anything reads a latent of an earlier step."""
    arguments = (argument for v in graph.variables for cpd in cpds(v) for _, argument in cpd.arguments)
    terms = (term for one in arguments if isinstance(one, Affine) for term in one.terms)
    return any(term.variable and term.variable.lag and term.variable.name in latents for term in terms)


def _size(graph: Graph, label: str) -> int:
    """How many values a label has: a plate's members, or a variable's states."""
    plate = next((one for one in graph.plates if one.name == label), None)
    size = plate.size if plate is not None else getattr(graph.variable(label).domain, "size", None)
    assert size is not None  # parameters are in plates with sizes, and states are counted
    return size


def _moved(use: Use, value: Array, maps: Array, symmetry: Symmetry) -> Array:
    """One parameter moved by maps that are spread out along its own leading axes."""
    lead = maps.ndim - 2 - len(symmetry.labels)
    order = [symmetry.labels.index(label) for label in use.axes if label in symmetry.labels]
    spread = np.transpose(maps, [*range(lead), *(lead + at for at in order), -2 % maps.ndim, -1 % maps.ndim])
    for at, label in enumerate(use.axes):
        if label not in symmetry.labels:
            spread = np.expand_dims(spread, lead + at)
    after = moved_value(use, value, *_sides(use, spread))
    assert after is not None  # the symmetry was tried
    return after


def _read(graph: Graph, use: Use, theta: Arrays, rng: np.random.Generator) -> Array:
    """What stands at a place: a parameter, a constant, a given variable's arbitrary value, or 1."""
    match use.source:
        case Ref(str() as name):
            return np.asarray(theta[name])
        case Ref(Values() as values):
            return values.array
        case VarRef(name):
            shape = graph.variable(name).domain.event_shape
            return rng.gamma(2.0, size=shape) if use.kind in ("var", "std") else rng.normal(size=shape)
        case _:
            return np.ones(())


def parameter_of(use: Use) -> str | None:
    """The parameter that stands at a place."""
    return use.source.target if isinstance(use.source, Ref) and isinstance(use.source.target, str) else None


def _uses(graph: Graph, block: frozenset[str]) -> list[Use] | None:
    """Every place that a map of these latents touches; None where one of them is read in a way that no map is linear in."""
    found: list[Use] = []
    for variable in graph.variables:
        for cpd in cpds(variable):
            if (variable.name in block and cpd.family != "Normal") or _reads_otherwise(cpd, block):
                return None
            for slot, argument in cpd.arguments:
                found += _of_argument(graph, variable, slot, argument, block)
    return [use for use in found if use.left or use.right]


def _reads_otherwise(cpd: CPD, block: frozenset[str]) -> bool:
    return any(isinstance(argument, VarRef) and argument.name in block for _, argument in cpd.arguments)


def _of_argument(
    graph: Graph, variable: Variable, slot: str, argument: Argument, block: frozenset[str]
) -> Iterator[Use]:
    left = variable.name if variable.name in block else None
    rows = variable.domain.event_shape
    if not isinstance(argument, Affine):
        axes = _axes(graph, argument, variable)
        yield Use(slot, argument, _rank(graph, argument), left, None, rows, rows, axes)
        return
    for term in argument.terms:
        yield _of_term(graph, variable, term, left, block)


def _of_term(graph: Graph, variable: Variable, term: Term, left: str | None, block: frozenset[str]) -> Use:
    rows = variable.domain.event_shape
    axes, event = _axes(graph, term.coefficient, variable), _rank(graph, term.coefficient)
    if term.variable is None:
        return Use("offset", term.coefficient, event, left, None, rows, (), axes)
    right = term.variable.name if term.variable.name in block else None
    columns = graph.variable(term.variable.name).domain.event_shape
    return Use(term.op, term.coefficient, event, left, right, rows, columns, axes)


def _rank(graph: Graph, source: Ref | VarRef | None) -> int:
    match source:
        case Ref(str() as name):
            return len(graph.parameter(name).domain.event_shape)
        case Ref(Values() as values, subscripts):
            return len(values.shape) - len(subscripts)
        case VarRef(name):
            return len(graph.variable(name).domain.event_shape)
        case _:
            return 0


def _axes(graph: Graph, source: Ref | VarRef | None, variable: Variable) -> tuple[str, ...]:
    """Labels of the leading axes of what is read, in order; an axis that a number subscripts has none and is left out."""
    if not isinstance(source, Ref) or not isinstance(source.target, str):
        return ()
    aligned, _ = alignment(graph, source, variable)
    rest = iter(source.subscripts)
    labels = []
    for plate in graph.parameter(source.target).plates:
        one = plate if plate in aligned else next(rest)
        if isinstance(one, VarRef):
            one = one.name if not one.lag else f"{one.name} {one.lag} steps back"  # no variable's name
        if isinstance(one, str):
            labels.append(one)
    return tuple(labels)


def _blocks(graph: Graph) -> list[frozenset[str]]:
    """Latents that must move together: one is read by the other unturned, or both turn one parameter."""
    latents = [one.name for one in graph.in_role("latent") if isinstance(one.domain, Real)]
    blocks = [frozenset([name]) for name in latents]
    for pair in _ties(graph, frozenset(latents)):
        joined = frozenset().union(*(block for block in blocks if block & pair))
        blocks = [*(block for block in blocks if not block & pair), joined]
    return blocks


def _ties(graph: Graph, latents: frozenset[str]) -> Iterable[frozenset[str]]:
    turned: dict[tuple[str, str], str] = {}
    for variable in graph.variables:
        for cpd in cpds(variable):
            for slot, argument in cpd.arguments:
                for use in _of_argument(graph, variable, slot, argument, latents):
                    name = parameter_of(use)
                    free = name is not None and graph.parameter(name).value is None
                    single = free and not graph.parameter(name or "").domain.event_shape
                    kept = not free or (
                        single and use.rows
                    )  # a scalar coefficient of a scalar latent absorbs any map
                    if use.left and use.right and kept and use.rows == use.columns:
                        yield frozenset([use.left, use.right])
                    for side, latent in (("left", use.left), ("right", use.right)):
                        if free and latent:
                            yield frozenset([latent, turned.setdefault((name or "", side), latent)])
