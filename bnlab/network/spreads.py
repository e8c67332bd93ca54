"""What is known of spreads before anything is learnt."""

from __future__ import annotations

import numpy as np

from bnlab.domains import Values
from bnlab.network.ir import Argument, Graph, Ref

ROUNDING = 1e-14
"""Eigenvalues of a covariance below this part of the largest are 0 but for rounding."""


def singular(graph: Graph, spread: Argument | None) -> bool:
    """Whether a constant or fixed covariance, variance or deviation has a direction without any."""
    if not isinstance(spread, Ref):
        return False
    values = spread.target if isinstance(spread.target, Values) else None
    if isinstance(spread.target, str):
        values = graph.parameter(spread.target).value
    if values is None:
        return False
    array = values.array
    if array.ndim >= 2 and array.shape[-1] == array.shape[-2]:
        eigenvalues = np.linalg.eigvalsh(array)
        return bool((eigenvalues[..., 0] <= ROUNDING * eigenvalues[..., -1]).any())
    return bool((array == 0).any())
