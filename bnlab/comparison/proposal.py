"""Weakly informative priors for the parameters of a network that have none, from the scale of the data.

They are proper, conjugate where there is a conjugate one, and say little: probabilities are uniform; a mean lies within some
five standard deviations of the data about theirs; a spread is expected at the data's variance shared among as many states
as select it, with as few degrees of freedom as have a mean (Fraley and Raftery 2007); a rate is expected at the data's mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor, log10, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.comparison.records import Proposal
from bnlab.domains import Covariance, Positive, Probability, Real, Simplex, Values
from bnlab.errors import DataError, Fault, FitError
from bnlab.families.base import registry
from bnlab.network.declare import Network
from bnlab.network.graph import cpds
from bnlab.network.ir import Affine, Argument, Graph, Parameter, Prior, Ref, Variable
from bnlab.network.text import prior_text
from bnlab.runtime.data import bind
from bnlab.runtime.data_frames import Columns
from bnlab.runtime.data_layout import sizes
from bnlab.runtime.data_titles import by_names
from bnlab.runtime.records import Bound

WIDE = 5.0
"""The prior's standard deviation of a mean, in standard deviations of the data."""
UNITLESS = 0.1
"""The rate of the Gamma(2, .) prior of a number without a unit (Juarez and Steel 2010, for degrees of freedom)."""
DIGITS = 2
"""Significant digits of what is chosen: the account is exact, and nobody needs more of a weak prior."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Use:
    """Where a parameter stands: in which slot of which family, of which variable; `regressor` is what multiplies it."""

    variable: Variable
    family: str
    slot: str
    conjugate: str
    regressor: str | None


def weakly_informative(net: Network, data: Any, *, columns: Columns | None = None) -> Proposal:
    """The network with a prior for every parameter, and an account of those that were added: print it.

    Priors that are declared stay. Raises DataError where the data do not fit.
    """
    data, columns = by_names(net, data, columns)
    return propose(net, bind(net.graph, data, columns=columns))


def propose(net: Network, bound: Bound) -> Proposal:
    """The same for bound data."""
    graph = net.graph
    priors: dict[str, Prior] = {}
    choices = []
    for parameter in graph.parameters:
        if parameter.value is None and parameter.prior is None:
            prior, why = _choice(graph, parameter, bound)
            priors[parameter.name] = prior
            choices.append((parameter.name, prior_text(replace(parameter, prior=prior)), why))
    if not priors:
        return Proposal(net, ())
    parameters = tuple(
        replace(one, prior=priors[one.name]) if one.name in priors else one for one in graph.parameters
    )
    return Proposal(Network.of(replace(graph, parameters=parameters)), tuple(choices))


def _choice(graph: Graph, parameter: Parameter, bound: Bound) -> tuple[Prior, str]:
    """A prior for one parameter, and the reason for it."""
    use = _use(graph, parameter)
    match parameter.domain:
        case Simplex():
            return _prior("Dirichlet", concentration=1.0), "all probabilities alike"
        case Probability():
            return _prior("Beta", concentration1=1.0, concentration0=1.0), "all probabilities alike"
        case Real():
            return _location(graph, parameter, use, bound)
        case Covariance(dim=dim):
            variance, what = _share(graph, parameter, use, bound)
            scale = np.diag(np.broadcast_to(variance, (dim,)))
            return _prior("InverseWishart", df=dim + 2.0, scale=scale), f"its mean {what}"
        case Positive():
            return _positive(graph, parameter, use, bound)
        case domain:
            reason = f"No weakly informative prior is known for {parameter.name}, a {type(domain).__name__}."
            raise FitError(Fault(reason, "Declare one: prior=...", parameter.location))


def _prior(family: str, **arguments: Any) -> Prior:
    """Hyper-parameters that are the same for every entry are one number; matrices stay whole."""
    slots = [slot.name for slot in registry()[family].slots]
    short = {name: _shortest(np.asarray(value, float)) for name, value in arguments.items()}
    return Prior(family, tuple((name, Values.of(short[name])) for name in slots if name in short))


def _shortest(array: Array) -> Array:
    return array.ravel()[0] if array.ndim == 1 and np.ptp(array) == 0 and array.size > 0 else array


def _location(graph: Graph, parameter: Parameter, use: Use, bound: Bound) -> tuple[Prior, str]:
    """A mean about the data's, or a coefficient about 0."""
    shape = parameter.domain.event_shape
    mean, deviation = _moments(graph, use.variable, bound)
    if use.regressor is None and mean.shape in ((), shape):
        center, spread = _round(np.broadcast_to(mean, shape), 3), _round(WIDE * deviation)
        wide = np.broadcast_to(spread, shape)
        why = f"about the mean of {_told(graph, use.variable)}, {WIDE:g} standard deviations wide"
        return _same(_prior("Normal", mean=center, std=wide), shape), why
    unit = 1.0
    if use.regressor is not None:
        unit = float(_moments(graph, graph.variable(use.regressor), bound)[1].mean())
    size = float(_round(np.array(WIDE * deviation.mean() / unit)))
    per = "" if use.regressor is None else f" per unit of {use.regressor}"
    why = f"about 0, {WIDE:g} standard deviations of {_told(graph, use.variable)}{per} wide"
    return _prior("Normal", mean=0.0, std=size), why


def _same(prior: Prior, shape: tuple[int, ...]) -> Prior:
    """Both hyper-parameters of the event's shape, unless both are one number."""
    if all(values.shape == () for _, values in prior.arguments):
        return prior
    spread = tuple(
        (name, Values.of(np.broadcast_to(values.array, shape))) for name, values in prior.arguments
    )
    return replace(prior, arguments=spread)


def _positive(graph: Graph, parameter: Parameter, use: Use, bound: Bound) -> tuple[Prior, str]:
    """A variance, a rate, a standard deviation, or a number without a unit, like degrees of freedom."""
    shape = parameter.domain.event_shape
    told = _told(graph, use.variable)
    mean, deviation = (_shaped(each, shape) for each in _moments(graph, use.variable, bound))
    if use.conjugate == "InverseGamma":
        variance, what = _share(graph, parameter, use, bound)
        prior = _prior("InverseGamma", concentration=np.full(shape, 2.0), scale=_shaped(variance, shape))
        return _same(prior, shape), f"its mean {what}"
    if use.slot == "rate":
        reciprocal = use.family != "Poisson"  # whose mean is the rate
        rate = _round(mean if reciprocal else 1 / mean)
        why = f"its mean {'1 / ' if reciprocal else ''}the mean of {told}"
        return _same(_prior("Gamma", concentration=np.ones(shape), rate=rate), shape), why
    twice = np.full(shape, 2.0)
    if use.slot in ("std", "scale"):
        prior, why = (
            _prior("Gamma", concentration=twice, rate=_round(2 / deviation)),
            f"of the size of {told}",
        )
    else:
        prior, why = (
            _prior("Gamma", concentration=twice, rate=np.full(shape, UNITLESS)),
            "of the order of ten",
        )
    if not use.conjugate:
        why += f"; EM has no update of a {use.slot} with a prior" + (
            "" if use.slot != "std" else ": write var="
        )
    return _same(prior, shape), why


def _shaped(values: Array, shape: tuple[int, ...]) -> Array:
    """Of the event's shape: as they are, or their mean."""
    return values if values.shape == shape else np.full(shape, values.mean())


def _share(graph: Graph, parameter: Parameter, use: Use, bound: Bound) -> tuple[Array, str]:
    """The data's variance, of each of K states the K^(2 / D)-th part: what one state has where K of them fill the data."""
    states = prod(sizes(graph, parameter.plates)) if parameter.plates else 1
    deviation = _moments(graph, use.variable, bound)[1]
    dim = max(1, deviation.size)
    share = _round(deviation**2 / states ** (2 / dim))
    of = f"the variance of {_told(graph, use.variable)}"
    return share, of if states == 1 else f"{of} / {states ** (2 / dim):.3g}, for {states} states"


def _moments(graph: Graph, variable: Variable, bound: Bound) -> tuple[Array, Array]:
    """Mean and standard deviation of a variable's data; of a latent, those of the data of its shape, about any mean."""
    shown = _shown(graph, variable)
    if shown is None:
        return np.zeros(variable.domain.event_shape), np.ones(variable.domain.event_shape)
    values = bound.canonical[shown.name].reshape(-1, *shown.domain.event_shape).astype(float)
    if np.isnan(values).all(axis=0).any():
        raise DataError(
            Fault(f"{shown.name} is missing in every row, or a column of it is.", "Leave it out.")
        )
    deviation = np.nanstd(values, axis=0)
    whole = deviation.mean() if deviation.mean() > 0 else 1.0
    return np.nanmean(values, axis=0), np.where(deviation > 0, deviation, whole)


def _shown(graph: Graph, variable: Variable) -> Variable | None:
    """The variable itself if it has data, else the first observed one of its shape."""
    if variable.role != "latent":
        return variable
    shape = variable.domain.event_shape
    alike = (one for one in graph.in_role("observed") if not one.discrete)
    return next((one for one in alike if one.domain.event_shape == shape), None)


def _told(graph: Graph, variable: Variable) -> str:
    shown = _shown(graph, variable)
    return f"{variable.name}, taken for 1" if shown is None else shown.name


def _use(graph: Graph, parameter: Parameter) -> Use:
    """The first place where a parameter is read, one with data before the others."""
    found = [
        Use(variable, cpd.family, slot.name, next(iter(slot.conjugate), ""), regressor)
        for variable in sorted(graph.variables, key=lambda one: one.role == "latent")
        for cpd in cpds(variable)
        for slot in registry()[cpd.family].slots
        for argument in [cpd.argument(slot.name)]
        if argument is not None
        for regressor in _reads(argument, parameter.name)
    ]
    return found[0]  # a checked network reads every parameter


def _reads(argument: Argument, name: str) -> list[str | None]:
    """For each time that an argument reads the parameter, the variable that multiplies it, if any."""
    match argument:
        case Ref():
            return [None] if argument.target == name else []
        case Affine(terms):
            read = (t for t in terms if isinstance(t.coefficient, Ref) and t.coefficient.target == name)
            return [term.variable.name if term.variable else None for term in read]
        case _:
            return []


def _round(values: Array, digits: int = DIGITS) -> Array:
    """To so many significant digits, of every entry."""
    return np.array(
        [round(v, digits - 1 - floor(log10(abs(v)))) if v else 0.0 for v in np.asarray(values).flat]
    ).reshape(np.shape(values))
