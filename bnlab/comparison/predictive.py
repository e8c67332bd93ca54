"""How well methods predict: members left out of a second fit, and leave-one-out cross-validation by ArviZ."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from bnlab.comparison.records import Loo, Split
from bnlab.network.ir import Graph
from bnlab.runtime.members import independent, taken
from bnlab.runtime.queries import score, score_over
from bnlab.runtime.records import Bound
from bnlab.runtime.result import Fit
from bnlab.runtime.save import draws_dataset, in_arviz

DRAWS = 1000
"""At most so many draws, evenly spaced, tell the predictive density: its error from them is far below that from the data."""
FEWEST = 10
"""Members below which nothing is left out."""
UNRELIABLE = 0.7
"""The Pareto k above which a leave-one-out density cannot be trusted (Vehtari, Gelman and Gabry 2017)."""


def split_of(graph: Graph, bound: Bound, part: float, seed: int) -> tuple[Split, NDArray[np.int64]] | None:
    """Which members of the outermost plate are left out: at random. None where members are too few or not independent."""
    plate = independent(graph, bound)
    members = 0 if plate is None else bound.layout.count(plate)
    out = round(part * members)
    if plate is None or members < FEWEST or out < 1:
        return None
    left = np.sort(np.random.default_rng(seed).permutation(members)[:out])
    return Split(plate, members, out, seed), left


def training_weights(bound: Bound, members: int, left: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weight 0 for those left out: the arrays keep their shapes, so that nothing is compiled twice."""
    weights = np.array(bound.canonical.get("weights", np.ones(members)), float)
    weights[left] = 0.0
    return weights


def held_out(fit: Fit, bound: Bound, plate: str, left: NDArray[np.int64]) -> float:
    """The mean log predictive density of the members left out: at the point, or averaged over the posterior's draws."""
    graph = fit.network.graph
    part = taken(graph, bound, plate, left)
    dtype = str(fit.settings["dtype"])
    if fit.draws is None:
        return float(score(fit.network, fit.parameters, part, dtype).mean())
    values = score_over(fit.network, thinned(fit.draws), part, dtype)
    count = values.shape[0] * values.shape[1]
    return float((logsumexp(values, axis=(0, 1)) - np.log(count)).mean())


def thinned(draws: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """At most `DRAWS` of the draws, evenly spaced within each chain."""
    chains, length = next(iter(draws.values())).shape[:2]
    kept = np.linspace(0, length - 1, min(length, max(1, DRAWS // chains))).round().astype(int)
    return {name: value[:, kept] for name, value in draws.items()}


def pointwise(fit: Fit, bound: Bound) -> NDArray[Any]:
    """ln p of each member under each of the thinned draws, as (chain, draw, member)."""
    assert fit.draws is not None
    return score_over(fit.network, thinned(fit.draws), bound, str(fit.settings["dtype"]))


def loo(fit: Fit, values: NDArray[Any]) -> Loo:
    """Leave-one-out by importance sampling from the draws of Markov chains."""
    assert fit.draws is not None
    groups = {
        "posterior": draws_dataset(fit.network.graph, thinned(fit.draws)),
        "log_likelihood": xr.Dataset({"log_p": (("chain", "draw", "member"), values)}),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unreliable members are counted, not warned of
        import arviz as az  # takes seconds to import, and reports without draws do not need it

        found = az.loo(in_arviz(xr.DataTree.from_dict(groups)), pointwise=True)
    old = "elpd_loo" in found  # ArviZ 0
    elpd, used = (found["elpd_loo"], found["p_loo"]) if old else (found.elpd, found.p)
    k = np.asarray(found["pareto_k"] if old else found.pareto_k)
    return Loo(
        float(elpd), float(found["se"] if old else found.se), float(used), int((k > UNRELIABLE).sum()), k.size
    )
