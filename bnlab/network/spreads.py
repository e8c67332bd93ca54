"""What is known of spreads before anything is learnt."""

from __future__ import annotations

import numpy as np

from bnlab.domains import Values
from bnlab.network.ir import CPD, Graph, Ref

ROUNDING = 1e-14
"""Eigenvalues of a covariance below this part of the largest are 0 but for rounding."""

MATRICES = ("cov", "scale_matrix")
"""The arguments that are matrices; of others, also of a square table of them, each number is a spread."""


def singular(graph: Graph, cpd: CPD, slot: str) -> bool:
    """Whether an argument is a constant or fixed covariance, variance or deviation that leaves a direction without any."""
    spread = cpd.argument(slot)
    if not isinstance(spread, Ref):
        return False
    values = spread.target if isinstance(spread.target, Values) else None
    if isinstance(spread.target, str):
        values = graph.parameter(spread.target).value
    if values is None:
        return False
    array = values.array
    if slot in MATRICES:
        eigenvalues = np.linalg.eigvalsh(array)
        return bool((eigenvalues[..., 0] <= ROUNDING * eigenvalues[..., -1]).any())
    return bool((array == 0).any())
