"""What a comparison holds: one record a parameter entry, a method, a certificate; and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from bnlab.comparison import text
from bnlab.network.declare import Network
from bnlab.runtime.records import FitWarning, Status
from bnlab.runtime.result import Fit


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one method says of one number.

    `value` is a point estimate, or a posterior mean; `deviation` its standard error, or the posterior standard deviation;
    `low` to `high` the interval of the comparison's level. `apart` is how far `value` lies from the reference method's, in
    the reference's deviations. `r_hat` and `effective` (draws) tell how well chains sampled the number. None is what a
    method does not say.
    """

    value: float
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    apart: float | None = None
    r_hat: float | None = None
    effective: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of a parameter's array, as every method sees it. `name` is `mu[0, 1]`; `estimates` are by method."""

    parameter: str
    index: tuple[int, ...]
    name: str
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Loo:
    """Leave-one-out cross-validation by Pareto-smoothed importance sampling: the expected log predictive density summed
    over members, its standard error, the effective number of parameters, and for how many members it cannot be trusted."""

    elpd: float
    error: float
    parameters: float
    unreliable: int
    members: int


@dataclass(frozen=True, slots=True)
class Score:
    """How a method did as a whole.

    `log_likelihood` is ln p(X | parameters) and `log_joint` that plus the log prior, both at the fit's parameters;
    `elbo` the lower bound, of methods that have one. `held_out` is the log predictive density of the members left out of
    a second fit, a member. `seconds` include compilation; `e_steps` and `gradients` count passes over the data.
    """

    method: str
    status: Status
    iterations: int
    log_likelihood: float
    log_joint: float
    elbo: float | None = None
    held_out: float | None = None
    loo: Loo | None = None
    seconds: float | None = None
    e_steps: int | None = None
    gradients: int | None = None
    divergences: int | None = None
    effective_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two ways to one number: `left` and `right` agree to `difference` (relative), which passes up to `tolerance`.

    `claim` says of what, `at` which parameters and `on` which data; `names` are the two ways.
    """

    claim: str
    names: tuple[str, str]
    at: str
    on: str
    left: float
    right: float
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance  # False for NaN


@dataclass(frozen=True, slots=True)
class Split:
    """Which members of the outermost plate were left out for the held-out score: `held_out` of `members`."""

    plate: str
    members: int
    held_out: int
    seed: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """Weakly informative priors chosen for a network that lacked some.

    `network` has them all; `choices` are (parameter, prior as typed, why) for those that were added.
    """

    network: Network
    choices: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        if not self.choices:
            return f"{self.network.name}: every parameter has a prior already."
        wide = max(len(f"{name} ~ {prior}") for name, prior, _ in self.choices)
        lines = [f"{f'{name} ~ {prior}':<{wide}}   {why}" for name, prior, why in self.choices]
        return "\n".join([f"Priors proposed for {self.network.name}:", *(f"  {line}" for line in lines)])


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Estimates and posteriors of several methods side by side.

    `network` is what was fitted: the user's, with the `proposal`'s priors where it lacked some. `fits` are by method in
    the order asked for, the states of exchangeable latents named alike in all of them; a method that could not run, or
    that Ctrl-C kept from running, is not among them and `warnings` says why. `reference` is the method that differences
    are measured from. `symmetries` tell in words what the likelihood cannot tell apart, and what was done about it.
    `pointwise` is ln p of each member of the outermost plate under (chain, draw) of methods that draw.
    """

    network: Network
    fits: Mapping[str, Fit]
    reference: str
    level: float
    rows: tuple[Row, ...]
    scores: Mapping[str, Score]
    certificates: tuple[Certificate, ...]
    warnings: tuple[FitWarning, ...]
    symmetries: tuple[str, ...]
    proposal: Proposal | None
    split: Split | None
    seed: int
    versions: Mapping[str, str]
    seconds: float
    interrupted: bool = False
    pointwise: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.fits)

    @property
    def certified(self) -> bool:
        """Whether every certificate passed, and there are some."""
        return bool(self.certificates) and all(one.passed for one in self.certificates)

    def table(self) -> str:
        """Everything as text: scores, estimates, certificates, warnings, versions."""
        return text.table(self)

    def to_arviz(self) -> Any:
        """ArviZ data of either line: a group of posterior draws for each method that draws, one draw for the others."""
        from bnlab.comparison import arviz_data  # takes a second to import, and a table does not need it

        return arviz_data.to_arviz(self)

    def plot_estimates(self, *arguments: Any, **options: Any) -> Any:
        """Every number by every method, in the reference's deviations: `bnlab.plots.plot_estimates`."""
        return self._plot("plot_estimates", *arguments, **options)

    def plot_posteriors(self, *arguments: Any, **options: Any) -> Any:
        """Draws over one another, with the point estimates: `bnlab.plots.plot_posteriors`."""
        return self._plot("plot_posteriors", *arguments, **options)

    def _plot(self, name: str, *arguments: Any, **options: Any) -> Any:
        """A figure of bnlab.plots, which is above this module and imported by name, when it is first asked for."""
        return vars(import_module("bnlab.plots"))[name](self, *arguments, **options)

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        return text.html_table(self)
