"""What weighs the fit of a model against its size. All are lower for better models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.network.declare import Network
from bnlab.network.ir import Graph
from bnlab.runtime.data_layout import sizeless
from bnlab.runtime.em import precision
from bnlab.runtime.emitted import emitted
from bnlab.runtime.load import ready
from bnlab.runtime.records import Bound


def observations(graph: Graph, bound: Bound) -> float:
    """The number of observations: rows of the observed variable that has most, each with the weight of its member.

    Rows of which nothing is observed count too, as the missing steps of a series do in other software.
    """
    most = max(graph.in_role("observed"), key=lambda one: len(np.atleast_1d(bound.canonical[one.name])))
    path = sizeless(graph, most.plates)
    if not path:
        return 1.0
    if "weights" not in bound.canonical:
        return float(bound.layout.count(path[-1]))
    return float(bound.canonical["weights"][bound.layout.members(path[-1], path[0])].sum())


def log_joint(net: Network, parameters: Mapping[str, NDArray[Any]], bound: Bound, dtype: str) -> float:
    """ln p(x, z*), z* being the most probable joint assignment of the discrete latents; ln p(x) where there are none."""
    latents = any(latent.discrete for latent in net.graph.in_role("latent"))
    target = "viterbi" if latents else "em"
    with precision(dtype):
        text = emitted(net, target, partial=bound.partial)
        module, given, data = ready(text, f"{net.graph.name}_{target}", parameters, bound.canonical, dtype)
        return float(module.e_step(given, data).log_p)
