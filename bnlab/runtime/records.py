"""The records that every method of fitting takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.network.ir import Graph
from bnlab.runtime.data_layout import Layout

Status = Literal["converged", "max_iter", "degenerate", "non_monotone", "nan", "interrupted"]

MAX_ITER, TOL = 200, 1e-6
"""The iterations and the rule of stopping of a fit that is told neither."""


@dataclass(frozen=True, slots=True)
class FitWarning:
    """Something to know about a fit: what it `concerns`, what happened, and what to do about it. `kind` is "boundary" where the
    optimum is on the edge of a parameter's domain."""

    concerns: str
    message: str
    advice: str = ""
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.concerns}: {self.message} {self.advice}".rstrip()


class Partial(NamedTuple):
    """The observed variables with missing values, and the latents with evidence: what emitted files must take account of."""

    missing: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """Data that fit a network: canonical arrays (docs/architecture.md), and how to give results back in the user's form."""

    canonical: Mapping[str, NDArray[Any]]
    layout: Layout
    warnings: tuple[FitWarning, ...] = ()
    partial: Partial = Partial()


@dataclass(frozen=True, slots=True)
class Problem:
    """What a method is asked to do. `init` is "data", "random" or arrays by name; `options` are the method's own."""

    network: Any
    graph: Graph
    bound: Bound
    method: str
    init: str | Mapping[str, ArrayLike]
    n_init: int
    max_iter: int
    tol: float
    seed: int
    dtype: str
    progress: bool
    checkpoint: str | None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Start:
    """Where one start of a fit ended. `seed` draws its initial values: with it, the start runs alone as `n_init=1`."""

    seed: int
    objective: float
    status: Status
    n_iter: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method found.

    `log_likelihood` and `objective` have an entry for each of the n_iter + 1 parameters visited, the last at
    `parameters`. `starts` tells where each start ended. `draws` are posterior samples as (chain, draw, ...) for methods
    that draw, `statistics` what the sampler says of each, as (chain, draw). `effort` counts `e_steps` and `gradients`:
    passes over the data. Of EM, `initial` are the parameters where the run that was kept began, and `traces` the
    objectives of every start.
    """

    parameters: Mapping[str, NDArray[Any]]
    log_likelihood: NDArray[np.float64]
    objective: NDArray[np.float64]
    status: Status
    warnings: tuple[FitWarning, ...] = ()
    starts: tuple[Start, ...] = ()
    draws: Mapping[str, NDArray[Any]] | None = None
    statistics: Mapping[str, NDArray[Any]] | None = None
    effort: Mapping[str, float] = field(default_factory=dict)
    initial: Mapping[str, NDArray[Any]] | None = None
    traces: tuple[NDArray[np.float64], ...] = ()
