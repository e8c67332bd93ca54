"""Posteriors of latents averaged over draws of the parameters, one draw in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pooled(answers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The mixture of all answers: averages of probabilities; of Gaussian latents the mean, and the covariance within draws
    plus that of the means between them."""
    found: dict[str, Any] = {}
    for count, answer in enumerate(answers, start=1):
        for name, value in answer.items():
            if isinstance(value, Mapping):
                moments = found.setdefault(name, {"mean": 0.0, "within": 0.0, "between": 0.0})
                _take_in(moments, np.asarray(value["mean"]), np.asarray(value["cov"]), count)
            else:
                before = found.get(name, 0.0)
                found[name] = before + (np.asarray(value) - before) / count
    return {name: _told(value) if isinstance(value, dict) else value for name, value in found.items()}


def _take_in(moments: dict[str, Any], mean: NDArray[Any], cov: NDArray[Any], count: int) -> None:
    """One draw more, the `count`-th, by Welford's recursion."""
    before = mean - moments["mean"]
    moments["mean"] = moments["mean"] + before / count
    after = mean - moments["mean"]
    square = before * after if cov.ndim == mean.ndim else before[..., :, None] * after[..., None, :]
    moments["within"] = moments["within"] + (cov - moments["within"]) / count
    moments["between"] = moments["between"] + (square - moments["between"]) / count


def _told(moments: Mapping[str, Any]) -> dict[str, Any]:
    return {"mean": moments["mean"], "cov": moments["within"] + moments["between"]}
