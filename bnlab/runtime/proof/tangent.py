"""Gradients in the free directions of a parameter, so that 0 means stationary and units do not matter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Covariance, Positive, Probability, Simplex
from bnlab.network.ir import Graph


def tangent(
    graph: Graph, theta: Mapping[str, np.ndarray], gradient: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The gradient of each free parameter along its own set.

    Simplex: by logits, theta (g - theta'g), entries that are 0 stay. Positive: by logarithms. Probability: by log odds.
    Covariance: L'(g + g')L / 2, which does not change with the scale of the data.
    """
    found = {}
    for parameter in graph.parameters:
        if parameter.value is not None:
            continue
        value, g = np.asarray(theta[parameter.name]), np.asarray(gradient[parameter.name])
        match parameter.domain:
            case Simplex():
                inside = np.where(value > 0, value * np.where(value > 0, g, 0.0), 0.0)
                found[parameter.name] = inside - value * inside.sum(-1, keepdims=True)
            case Probability():
                inside = value * (1.0 - value)
                found[parameter.name] = np.where(inside > 0, inside * np.where(inside > 0, g, 0.0), 0.0)
            case Positive():
                found[parameter.name] = value * g
            case Covariance():
                root = np.linalg.cholesky(value)
                found[parameter.name] = root.swapaxes(-1, -2) @ (g + g.swapaxes(-1, -2)) @ root / 2
            case _:
                found[parameter.name] = g
    return found
