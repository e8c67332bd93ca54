"""Certificates: the same number by ways that share no code after the declaration, on the user's own data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bnlab.comparison.joint import by_numpyro, rows_at_most
from bnlab.comparison.records import Certificate
from bnlab.errors import IntractableError
from bnlab.network.declare import Network
from bnlab.runtime.coordinates import coordinates
from bnlab.runtime.em import precision
from bnlab.runtime.emitted import emitted
from bnlab.runtime.fit import fit_bound
from bnlab.runtime.load import load_source
from bnlab.runtime.marginal import densities, inside, marginal_of, numpyro_module, off_the_edge
from bnlab.runtime.members import independent, taken
from bnlab.runtime.records import Bound, Partial

ROUNDING = 1e-10
"""Relative: different orders of summation in float64."""
OPTIMUM = 1e-6
"""Relative, of the objective at two optima: where an optimiser with first derivatives stops for good."""
SLICE = 2000
"""Rows on which densities are held against one another: NumPyro's enumeration keeps all rows and states in memory. Gaussian
latents leave fewer (`joint.py`)."""
AWAY = 0.05
"""How far from EM's optimum, in free coordinates, optimisers start: they must find the way back."""
STEP = 0.01
"""The optimiser's first step there."""

Arrays = Mapping[str, NDArray[Any]]


def densities_agree(net: Network, bound: Bound, theta: Arrays, at: str) -> Iterator[Certificate]:
    """ln p of data and parameters by the emitted EM, by `marginal_model`, and by `model`, whose latents NumPyro enumerates or
    whose joint density is integrated over them (`joint.py`). A network that EM cannot fit has the last two."""
    part, on = _slice(net, bound)
    theta = {**theta, **off_the_edge(net.graph, theta)}
    with precision("float64"):
        by_em = _by_em(net, part, theta)
        ways = {} if by_em is None else {"the emitted EM": by_em}
        ways["NumPyro's marginal_model"] = _by_marginal(net, part, theta)
        found = by_numpyro(net.graph, numpyro_module(net, part.partial), part, _free(net, theta))
        if found is not None:
            kept = any(not one.discrete for one in net.graph.in_role("latent"))
            ways["NumPyro's joint density" if kept else "NumPyro's enumerated model"] = found
    priors = any(one.prior is not None for one in net.graph.parameters)
    claim = "ln p(x, theta)" if priors else "ln p(x | theta)"
    (first, left), *others = ways.items()
    for name, right in others:
        yield _certificate(claim, (first, name), at, on, left, right, ROUNDING)


def optima_agree(net: Network, bound: Bound, theta: Arrays, seed: int) -> Iterator[Certificate]:
    """EM's optimum, that of SVI with a point for a guide, and that of NumPyro's joint density by BFGS: the latter two start
    a little away from EM's."""
    with precision("float64"):
        ready = marginal_of(net, bound, "float64")
        best = float(ready.log_joint(inside(net.graph, theta)))
        chart = coordinates(net.graph, inside(net.graph, theta))
        if not chart.names:  # nothing is learnt
            return
        away = AWAY * np.random.default_rng(seed).standard_normal(len(chart.names))
        start = {name: np.asarray(value) for name, value in chart.theta(jnp.asarray(away)).items()}
        ways = {
            "BFGS on NumPyro's joint density": _by_bfgs(net, bound.partial, chart, ready.data, away),
            "SVI with AutoDelta": _by_point(net, bound, start, seed),
        }
    priors = any(one.prior is not None for one in net.graph.parameters)
    claim = "the mode of ln p(x, theta)" if priors else "the maximum of ln p(x | theta)"
    for name, right in ways.items():
        yield _certificate(claim, ("EM", name), f"{AWAY:g} away from EM's", "all data", best, right, OPTIMUM)


def _certificate(
    claim: str, names: tuple[str, str], at: str, on: str, left: float, right: float, tolerance: float
) -> Certificate:
    difference = 0.0 if left == right else abs(left - right) / max(abs(left), abs(right), 1.0)
    return Certificate(claim, names, at, on, left, right, difference, tolerance)


def _slice(net: Network, bound: Bound) -> tuple[Bound, str]:
    """All data, or so many of the first members that there are about `SLICE` rows, and words for it."""
    most = rows_at_most(net.graph, SLICE)
    plate = independent(net.graph, bound)
    rows = max(len(np.atleast_1d(bound.canonical[one.name])) for one in net.graph.in_role("observed"))
    if plate is None or rows <= most:
        return bound, "all data"
    members = max(1, most * bound.layout.count(plate) // rows)
    return taken(net.graph, bound, plate, np.arange(members)), f"the first {members} {plate}"


def _by_em(net: Network, bound: Bound, theta: Arrays) -> float | None:
    """None where EM has no update for one of the priors."""
    try:
        source = emitted(net, "em", "log", bound.partial)
    except IntractableError:
        return None
    module = load_source(source, f"{net.graph.name}_em")
    data = module.prepare(dict(bound.canonical), np.float64)
    parameters = module.Parameters(**{name: jnp.asarray(value) for name, value in theta.items()})
    prior = module.log_prior(parameters) if "log_prior" in vars(module) else 0.0
    return float(module.log_evidence(parameters, data) + prior)


def _by_marginal(net: Network, bound: Bound, theta: Arrays) -> float:
    return float(marginal_of(net, bound, "float64").log_joint(_free(net, theta)))


def _free(net: Network, theta: Arrays) -> dict[str, NDArray[Any]]:
    return {one.name: np.asarray(theta[one.name]) for one in net.graph.parameters if one.value is None}


def _by_bfgs(net: Network, partial: Partial, chart: Any, data: Any, away: NDArray[Any]) -> float:
    """The highest joint density that BFGS reaches in free coordinates."""
    joint = densities(net, partial).log_joint
    slope = jax.jit(jax.value_and_grad(lambda u: -joint(chart.theta(u), data)))
    found = minimize(lambda u: tuple(map(np.asarray, slope(jnp.asarray(u)))), away, jac=True, method="BFGS")
    return -float(found.fun)


def _by_point(net: Network, bound: Bound, start: Arrays, seed: int) -> float:
    """The joint density where SVI with AutoDelta (with no guide, where there are no priors) ends."""
    options: dict[str, Any] = {"init": dict(start), "guide": "point", "step_size": STEP, "seed": seed}
    found = fit_bound(net, bound, "svi", progress=False, **options)
    return float(marginal_of(net, bound, "float64").log_joint(_free(net, found.parameters)))
