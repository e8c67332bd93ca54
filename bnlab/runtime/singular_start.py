"""Starts at the edge that a smoother cannot leave: steps of a Gaussian chain that add nothing, or nothing in some direction.

Going back, the smoother divides by the covariance of a prediction. Where noise is declared singular the derivation takes that
into account; a noise to be learnt is taken for positive definite, and EM would leave one that is not as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Covariance
from bnlab.errors import Fault, FitError
from bnlab.network.ir import Graph, Parameter
from bnlab.network.text import domain_text
from bnlab.runtime.parameters import SINGULAR, may_be_singular


def refuse_singular_steps(graph: Graph, given: Mapping[str, NDArray[np.float64]]) -> None:
    """Raises FitError for spreads to be learnt that start at 0 or at a singular matrix, and are noise of a chain's steps."""
    low = [
        one
        for one in graph.parameters
        if one.name in given
        and one.value is None
        and one.name in may_be_singular(graph)
        and _is_singular(one, given[one.name])
    ]
    if low:
        from bnlab.compile import carried_noise  # here, as it costs the time of importing all that derives

        noise = carried_noise(graph)
        faults = [_fault(one, noise[one.name]) for one in low if one.name in noise]
        if faults:
            raise FitError(*faults)


def _is_singular(parameter: Parameter, array: NDArray[np.float64]) -> bool:
    if not isinstance(parameter.domain, Covariance):
        return bool((array <= 0).any())
    values = np.linalg.eigvalsh(array)
    return bool((values[..., 0] <= SINGULAR * values[..., -1]).any())


def _fault(parameter: Parameter, whose: str) -> Fault:
    matrix = isinstance(parameter.domain, Covariance)
    edge = "a singular matrix" if matrix else "0"
    reason = f"{parameter.name} starts at {edge}, and EM would leave it so: it is the noise of {whose}."
    declared = f'bn.parameter("{parameter.name}", bn.{domain_text(parameter.domain)}, value=...)'
    return Fault(
        reason, f"Start it inside its domain, or fix it where it is: {declared}.", parameter.location
    )
