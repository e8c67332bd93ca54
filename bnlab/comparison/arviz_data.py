"""A comparison as ArviZ data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bnlab.runtime.save import draws_dataset, in_arviz, statistics_dataset

if TYPE_CHECKING:
    from bnlab.comparison.records import Comparison


def to_arviz(one: Comparison) -> Any:
    """InferenceData of ArviZ 0, DataTree of ArviZ 1.

    The best posterior there is stands in the groups ArviZ knows (`posterior`, `sample_stats`, `log_likelihood`); every
    method has a group of its own name too, a point estimate as one chain of one draw.
    """
    graph = one.network.graph
    groups: dict[str, xr.Dataset] = {}
    for method, fit in one.fits.items():
        point = {name: np.asarray(value)[None, None] for name, value in fit.parameters.items()}
        groups[method] = draws_dataset(graph, fit.draws if fit.draws is not None else point)
    best = one.reference
    if one.fits and one.fits[best].draws is not None:
        groups["posterior"] = groups[best]
        statistics = one.fits[best].statistics
        if statistics is not None:
            groups["sample_stats"] = statistics_dataset(statistics)
    if best in one.pointwise:
        values = (("chain", "draw", "member"), one.pointwise[best])
        groups["log_likelihood"] = xr.Dataset({"log_p": values})
    return in_arviz(xr.DataTree.from_dict(groups))
