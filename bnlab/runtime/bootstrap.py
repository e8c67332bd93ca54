"""Parametric bootstrap: data drawn at the estimate, as many as there are, and fitted again; how the estimates scatter.

Every replicate starts at the estimate: the states keep their names, and EM takes few iterations. The arrays have the shapes
of the data, so nothing is compiled twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import BnlabError, Fault, FitError
from bnlab.network.declare import Network
from bnlab.network.ir import Graph
from bnlab.runtime.fit import fit_bound
from bnlab.runtime.interrupt import interruptible
from bnlab.runtime.progress import reporter
from bnlab.runtime.records import Bound
from bnlab.runtime.sampling import drawn

FEWEST = 2
"""Replicates without which nothing scatters."""
SETTINGS = frozenset(("n_init", "max_iter", "tol", "dtype", "accelerate", "batch"))
"""What the fits of replicates may be told."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """Estimates of replicates as (1, replicate, ...), and how many fits ended in which status; "failed" ones could not be
    fitted and are left out."""

    draws: Arrays
    statuses: Mapping[str, int]

    def standard_errors(self) -> dict[str, NDArray[np.float64]]:
        """The standard deviation of the estimates."""
        return {name: value.std((0, 1), ddof=0) for name, value in self.draws.items()}

    def intervals(self, level: float = 0.9) -> dict[str, NDArray[np.float64]]:
        """Percentile intervals, as (2, ...): the low ends and the high ends."""
        tail = (1 - level) / 2
        return {name: np.quantile(value[0], [tail, 1 - tail], axis=0) for name, value in self.draws.items()}


def bootstrap(
    network: Network, theta: Arrays, bound: Bound, count: int, seed: int, progress: bool, **settings: Any
) -> Bootstrap:
    """`count` replicates at `theta`, fitted by EM with these settings. Ctrl-C keeps those that are done.

    Raises FitError for weighted data, of which it is not known what one more draw would be, and where fewer than two
    replicates can be fitted.
    """
    if "weights" in bound.canonical:
        reason = "Weighted data cannot be drawn again: a weight does not say how many rows a row stands for."
        raise FitError(Fault(reason, "Use standard_errors(), or repeat the rows."))
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < FEWEST:
        raise FitError(Fault(f"count is {count!r}; it is a whole number of at least {FEWEST}."))
    if unknown := sorted(set(settings) - SETTINGS):
        reason = f"The bootstrap has no setting {', '.join(unknown)}."
        raise FitError(Fault(reason, f"Those of the fits by EM are {', '.join(sorted(SETTINGS))}."))
    graph = network.graph
    generator = np.random.default_rng(seed)
    found: list[Arrays] = []
    statuses: Counter[str] = Counter()
    with interruptible() as pressed, reporter(progress, "bootstrap", count) as report:
        for number in range(count):
            replicate = _replicate(graph, theta, bound, generator)
            try:
                fit = fit_bound(
                    network, replicate, "em", init=dict(theta), seed=seed, progress=False, **settings
                )
                found.append(fit.parameters)
                statuses[fit.status] += 1
            except BnlabError:
                statuses["failed"] += 1
            report(number + 1, float(len(found)), "")
            if pressed():
                break
    if len(found) < FEWEST:
        raise FitError(Fault(f"Only {len(found)} of the replicates could be fitted: {dict(statuses)}."))
    names = [one.name for one in graph.parameters if one.value is None]
    draws = {name: np.stack([one[name] for one in found])[None] for name in names}
    return Bootstrap(draws, dict(statuses))


def _replicate(graph: Graph, theta: Arrays, bound: Bound, generator: np.random.Generator) -> Bound:
    """Observed variables drawn anew, what is missing still missing; given ones and the layout stay."""
    given = {one.name: bound.canonical[one.name] for one in graph.in_role("given")}
    values = drawn(graph, bound.layout, theta, given, generator)
    canonical = dict(bound.canonical)
    for variable in graph.in_role("observed"):
        before = np.asarray(bound.canonical[variable.name])
        missing = before < 0 if variable.discrete else np.isnan(before)
        canonical[variable.name] = np.where(missing, before, values[variable.name].astype(before.dtype))
    return Bound(canonical, bound.layout, (), bound.partial)
