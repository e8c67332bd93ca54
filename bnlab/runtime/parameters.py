"""Parameters given by the user: names, shapes and domains are checked, all faults at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.domains import Covariance, Domain, Integer, Positive, Probability, Real, Simplex
from bnlab.errors import Fault, FitError
from bnlab.naming import did_you_mean
from bnlab.network.graph import coefficients, cpds
from bnlab.network.ir import Graph, Parameter, Ref
from bnlab.runtime.data_layout import sizes

SINGULAR = 1e-12
"""How far from 0 rounding may leave an eigenvalue of a singular matrix, as a part of the largest."""

ROUNDING = 1e-6
"""How far given probabilities may be from summing to 1, and matrices from symmetry: float32 rounding passes, typos do not."""


def shape(graph: Graph, parameter: Parameter) -> tuple[int, ...]:
    """The shape of a parameter's array: its plates in nesting order, then its event."""
    return sizes(graph, parameter.plates) + parameter.domain.event_shape


def free(graph: Graph) -> int:
    """How many numbers are learnt: a simplex of K has K - 1, a covariance of D has D (D + 1) / 2."""
    learnt = (parameter for parameter in graph.parameters if parameter.value is None)
    return sum(int(np.prod(sizes(graph, one.plates))) * _degrees(one.domain) for one in learnt)


def _degrees(domain: Domain) -> int:
    match domain:
        case Simplex(size=size):
            return size - 1
        case Covariance(dim=dim):
            return dim * (dim + 1) // 2
        case _:
            return int(np.prod(domain.event_shape))


def may_be_singular(graph: Graph) -> frozenset[str]:
    """The parameters that are spreads of Gaussian latents and nothing else: exact inference holds at 0 and at lower ranks."""
    spreads, others = set(), set()
    for variable in graph.variables:
        for cpd in cpds(variable):
            inner = {} if variable.role != "latent" or variable.discrete else dict(cpd.arguments)
            own = {ref.target for slot in ("cov", "var", "std") if isinstance(ref := inner.get(slot), Ref)}
            spreads |= own
            others |= {ref.target for ref in coefficients(cpd)} - own
    return frozenset(name for name in spreads - others if isinstance(name, str))


def checked(
    graph: Graph, given: Mapping[str, ArrayLike], *, complete: bool, edge: bool = False
) -> dict[str, NDArray[np.float64]]:
    """`given` as arrays, in order of declaration, with the fixed values; `complete` asks for every parameter, `edge` takes
    spreads of Gaussian latents that are 0 or singular.

    Raises FitError with every name that is no parameter, every wrong shape, and every value outside its domain.
    """
    names = [parameter.name for parameter in graph.parameters]
    faults = [
        Fault(
            f'"{name}" is no parameter of {graph.name}; those are {", ".join(names)}.',
            did_you_mean(name, names).strip(),
        )
        for name in given
        if name not in names
    ]
    found: dict[str, NDArray[np.float64]] = {}
    singular = may_be_singular(graph) if edge else frozenset()
    for parameter in graph.parameters:
        if parameter.value is not None:
            found[parameter.name] = parameter.value.array
            if parameter.name in given and not np.array_equal(given[parameter.name], parameter.value.array):
                faults.append(
                    Fault(
                        f"{parameter.name} is fixed by the declaration, at another value than the one given."
                    )
                )
        elif parameter.name in given:
            array, wrong = _array(graph, parameter, given[parameter.name], parameter.name in singular)
            found[parameter.name] = array
            faults.extend(wrong)
        elif complete:
            faults.append(Fault(f"No value is given for the parameter {parameter.name}."))
    if faults:
        raise FitError(*faults)
    return found


def _array(
    graph: Graph, parameter: Parameter, value: ArrayLike, edge: bool
) -> tuple[NDArray[np.float64], list[Fault]]:
    name, wanted = parameter.name, shape(graph, parameter)
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return np.zeros(wanted), [Fault(f"{name} is no array of numbers; it wants the shape {wanted}.")]
    if array.shape != wanted:
        return array, [Fault(f"{name} has the shape {array.shape}; it wants {wanted}: {_axes(parameter)}.")]
    if not np.isfinite(array).all():
        return array, [Fault(f"{name} is not finite at {_index(~np.isfinite(array))}.")]
    reason = _outside(parameter.domain, array, edge)
    return array, [Fault(f"{name} {reason}")] if reason else []


def _axes(parameter: Parameter) -> str:
    event = type(parameter.domain).__name__
    return (
        " x ".join([*parameter.plates, event])
        if parameter.domain.event_shape
        else " x ".join(parameter.plates) or event
    )


def _outside(domain: Domain, array: NDArray[np.float64], edge: bool) -> str:
    """Why `array`, finite and of the right shape, is not in the domain, or with `edge` in its closure; empty if it is."""
    match domain:
        case Simplex():
            sums = array.sum(axis=-1)
            if (array < 0).any():
                return f"is negative at {_index(array < 0)}; probabilities are not."
            wrong = np.abs(sums - 1) > ROUNDING
            return (
                f"sums to {sums[wrong].flat[0]:.9g}{_at(wrong)}; probabilities sum to 1."
                if wrong.any()
                else ""
            )
        case Covariance():
            return _no_covariance(array, edge)
        case Positive():
            low = array < 0 if edge else array <= 0
            return f"is {array[low].flat[0]:g} at {_index(low)}; it is positive." if low.any() else ""
        case Probability():
            wrong = (array < 0) | (array > 1)
            return (
                f"is {array[wrong].flat[0]:g}{_at(wrong)}; a probability is from 0 to 1."
                if wrong.any()
                else ""
            )
        case Real() | Integer() | Domain():
            return ""
        case _:
            assert_never(domain)


def _no_covariance(array: NDArray[np.float64], edge: bool) -> str:
    largest = np.abs(array).max(axis=(-2, -1))
    skew = np.abs(array - np.swapaxes(array, -1, -2)).max(axis=(-2, -1)) > ROUNDING * largest
    if skew.any():
        return f"is not symmetric{_at(skew)}."
    least = np.linalg.eigvalsh(array).min(axis=-1)
    low = least < -SINGULAR * largest if edge else least <= 0
    kind = "is negative" if edge else "is not positive"
    return f"has an eigenvalue that {kind}{_at(low)}; a covariance has none." if low.any() else ""


def _index(where: NDArray[np.bool_]) -> str:
    return "[" + ", ".join(map(str, np.argwhere(where)[0])) + "]" if where.ndim else "its value"


def _at(where: Any) -> str:
    return f" at {_index(where)}" if np.ndim(where) else ""
