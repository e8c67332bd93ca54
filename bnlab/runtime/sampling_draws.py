"""Draws of one variable, for many of its cells at once. A cell is one scalar or vector: a row and a place in sized plates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Values
from bnlab.errors import InternalError
from bnlab.families.base import Numbers, registry, widened
from bnlab.network.graph import alignment
from bnlab.network.ir import CPD, Affine, Argument, Graph, Ref, Term, Variable, VarRef
from bnlab.runtime.data_layout import Layout, sizeless, sizes


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Everything that a draw reads: parameters, and the canonical rows of the variables drawn so far."""

    graph: Graph
    layout: Layout
    theta: Mapping[str, Numbers]
    values: dict[str, NDArray[Any]]

    def rows(self, variable: Variable) -> NDArray[np.int64]:
        """All rows of a variable; one if it is in no sizeless plate."""
        path = sizeless(self.graph, variable.plates)
        return np.arange(self.layout.count(path[-1]) if path else 1)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where cells of `variable` are: for each cell its row, and its member of each sized plate."""

    cells: Cells
    variable: Variable
    row: NDArray[np.int64]
    sized: Mapping[str, NDArray[np.int64]]

    def read(self, reference: VarRef) -> NDArray[Any]:
        """The values of another variable, `lag` steps earlier, that these cells see: (cells, event)."""
        graph, layout = self.cells.graph, self.cells.layout
        other = graph.variable(reference.name)
        path = sizeless(graph, other.plates)
        index: list[NDArray[np.int64]] = []
        if path:
            inner = sizeless(graph, self.variable.plates)[-1]
            index.append(layout.members(inner, path[-1])[self.row] - reference.lag)
        index += [self.sized[plate] for plate in other.plates if graph.plate(plate).size is not None]
        values = self.cells.values[reference.name]
        return values[tuple(index)] if index else np.broadcast_to(values, (len(self.row), *values.shape))

    def value(self, argument: Argument) -> Numbers:
        """An argument of the distribution, for each cell: (cells, event)."""
        match argument:
            case Affine(terms=terms):
                found = [self.term(term) for term in terms]
                width = max(part.ndim for part in found)
                return sum((widened(part, width) for part in found), start=np.zeros(()))
            case Ref():
                return self.reference(argument)
            case VarRef():
                return np.asarray(self.read(argument), dtype=float)

    def reference(self, ref: Ref) -> Numbers:
        """A parameter or constant at its subscripts, for each cell."""
        aligned, _ = alignment(self.cells.graph, ref, self.variable)
        subscripts = [
            self.read(s) if isinstance(s, VarRef) else np.full(len(self.row), s) for s in ref.subscripts
        ]
        if isinstance(ref.target, Values):
            array, index = ref.target.array, subscripts
        else:
            array, rest = self.cells.theta[ref.target], iter(subscripts)
            plates = self.cells.graph.parameter(ref.target).plates
            index = [self.sized[plate] if plate in aligned else next(rest) for plate in plates]
        return array[tuple(index)] if index else np.broadcast_to(array, (len(self.row), *array.shape))

    def term(self, term: Term) -> Numbers:
        """sign * coefficient * variable, for each cell."""
        parts = [self.value(part) for part in (term.coefficient, term.variable) if part is not None]
        if len(parts) == 1:
            return term.sign * parts[0]
        coefficient, variable = parts
        match term.op:
            case "scale":
                width = max(coefficient.ndim, variable.ndim)
                return term.sign * widened(coefficient, width) * widened(variable, width)
            case "matmul":
                return term.sign * _matmul(coefficient, variable)
            case "rmatmul":
                return term.sign * _matmul(variable, coefficient)
            case _:
                raise InternalError(f"A term multiplies by {term.op}.")


def draw(
    cells: Cells, variable: Variable, cpd: CPD, rows: NDArray[np.int64], generator: np.random.Generator
) -> None:
    """Draws the cells of `variable` in `rows` from `cpd`, into `cells.values`."""
    shape = sizes(cells.graph, variable.plates)
    row, *members = (axis.ravel() for axis in np.indices((len(rows), *shape)))
    sized = [plate for plate in variable.plates if cells.graph.plate(plate).size is not None]
    place = Place(cells, variable, rows[row], dict(zip(sized, members, strict=True)))
    arguments = {name: place.value(argument) for name, argument in cpd.arguments}
    drawn = registry()[cpd.family].draw(generator, arguments, variable.domain.event_shape)
    index = (rows[row], *members) if sizeless(cells.graph, variable.plates) else tuple(members)
    cells.values[variable.name][index] = drawn if index else drawn[0]


def _matmul(left: Numbers, right: Numbers) -> Numbers:
    """left @ right for each cell, vectors as in NumPy's own matmul."""
    columns = right if right.ndim == 3 else right[..., None]
    product = (left if left.ndim == 3 else left[:, None, :]) @ columns
    product = product if right.ndim == 3 else product[..., 0]
    return product if left.ndim == 3 else product[:, 0]
