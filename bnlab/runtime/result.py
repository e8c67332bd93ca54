"""`Fit`: what a method found, and what one can ask of it."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import Fault, FitError
from bnlab.network.declare import Network
from bnlab.runtime import queries
from bnlab.runtime.criteria import log_joint
from bnlab.runtime.data import bind
from bnlab.runtime.data_frames import Columns
from bnlab.runtime.data_titles import by_names, renamed
from bnlab.runtime.evidence import no_evidence_alone
from bnlab.runtime.parameters import free
from bnlab.runtime.records import Bound, FitWarning, Status
from bnlab.runtime.restarts import Restarts
from bnlab.runtime.sampling import sample

if TYPE_CHECKING:
    import pandas as pd

    from bnlab.runtime.bootstrap import Bootstrap
    from bnlab.runtime.uncertainty import Information

Evidence = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Fitted parameters and how they were found.

    `parameters` are arrays by name, plates first, then the event. `log_likelihood[i]` is ln p(X | theta_i), entry 0 at the
    initial parameters and the last at the returned ones; `objective` is what the method maximises. `restarts` tells which
    optima the starts reached and how often (None for a method without starts). `rows` is the number of observations, the
    sum of their weights; `draws` are posterior samples (chain, draw, ...) of methods that draw, `statistics` what the
    sampler says of each. `effort` counts `e_steps` and `gradients`, passes over the data, and the `seconds` that all took,
    compilation included. `initial` are the parameters where EM began, `traces` the objectives of all its starts. A fit
    that was loaded from a file knows neither these nor its data.
    """

    network: Network
    method: str
    parameters: Mapping[str, NDArray[Any]]
    log_likelihood: NDArray[np.float64]
    objective: NDArray[np.float64]
    status: Status
    warnings: tuple[FitWarning, ...]
    restarts: Restarts | None
    settings: Mapping[str, Any]
    rows: float
    draws: Mapping[str, NDArray[Any]] | None = field(default=None, repr=False)
    statistics: Mapping[str, NDArray[Any]] | None = field(default=None, repr=False)
    effort: Mapping[str, float] = field(default_factory=dict)
    initial: Mapping[str, NDArray[Any]] | None = field(default=None, repr=False)
    traces: tuple[NDArray[np.float64], ...] = field(default=(), repr=False)
    bound: Bound | None = field(default=None, repr=False)

    @property
    def n_iter(self) -> int:
        """Iterations made: one less than the traces have entries."""
        return len(self.objective) - 1

    @property
    def optima(self) -> tuple[tuple[float, int], ...]:
        """The different optima that starts reached, as (objective, how often), the best first."""
        return self.restarts.optima if self.restarts else ()

    @property
    def converged(self) -> bool:
        return self.status == "converged"

    def posterior(
        self,
        data: Any = None,
        *,
        columns: Columns | None = None,
        evidence: Evidence | None = None,
        ids: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """For each discrete latent the probabilities of its states given the data (those fitted to, if None), states
        last; for each Gaussian one its "mean" and "cov", a scalar's variance. In the layout of the data. Of a fit
        with draws they are those of the mixture over the draws, an E-step each. `evidence` is what is known of latents, as
        in `bn.fit`."""
        bound = self._bound(data, columns, evidence, ids)
        if self.draws is not None:
            return queries.posterior_over(self.network, self.draws, bound, self._dtype)
        return queries.posterior(self.network, self.parameters, bound, self._dtype)

    def predict(
        self,
        data: Any = None,
        *,
        columns: Columns | None = None,
        evidence: Evidence | None = None,
        ids: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The most probable joint assignment of the discrete latents given the data, and the means of Gaussian ones given it,
        in the layout of the data."""
        return queries.predict(
            self.network, self.parameters, self._bound(data, columns, evidence, ids), self._dtype
        )

    def score(
        self,
        data: Any = None,
        *,
        columns: Columns | None = None,
        evidence: Evidence | None = None,
        ids: Mapping[str, Any] | None = None,
    ) -> NDArray[Any]:
        """ln p of each member of the outermost plate; a chain is not a member axis."""
        bound = self._bound(data, columns, evidence, ids)
        return queries.score(self.network, self.parameters, bound, self._dtype)

    def sample(
        self,
        sizes: Mapping[str, Any],
        seed: int = 0,
        *,
        given: Mapping[str, Any] | None = None,
        evidence: Evidence | None = None,
    ) -> dict[str, Any]:
        """Data and latents drawn from the network at these parameters: see `bn.sample`."""
        return sample(self.network, self.parameters, sizes, seed, given=given, evidence=evidence)

    def bic(self) -> float:
        """Schwarz's criterion, -2 ln p(X) + (free parameters) ln(rows); lower is better. A weighted row counts as often as
        its weight says."""
        return -2 * float(self.log_likelihood[-1]) + self._penalty

    def aic(self) -> float:
        """Akaike's criterion, -2 ln p(X) + 2 (free parameters); lower is better."""
        return -2 * float(self.log_likelihood[-1]) + 2 * free(self.network.graph)

    def icl(self) -> float:
        """The integrated complete likelihood of Biernacki, Celeux and Govaert (2000), -2 ln p(X, z*) + (free parameters)
        ln(rows), where z* is the most probable joint assignment of the discrete latents; lower is better. It is bic with a
        penalty for states that overlap. Raises FitError for a fit loaded from a file, which does not know its data."""
        if not any(latent.discrete for latent in self.network.graph.in_role("latent")):
            return self.bic()
        bound = self._bound(None, None, None)
        return -2 * log_joint(self.network, self.parameters, bound, self._dtype) + self._penalty

    def table(self, name: str | None = None) -> pd.DataFrame:
        """A parameter as a pandas table: plates down, its last axis across, states under their names. Without a name, all
        parameters, one number a row. A variable that reads just one parameter stands for it, and its parents name the
        rows. Raises FitError for any other name.
        """
        from bnlab.runtime import tables  # pandas takes a second to import

        graph = self.network.graph
        if name is None:
            return tables.overview(graph, self.parameters, self.draws)
        return tables.table(graph, self.parameters, name)

    def standard_errors(self, data: Any = None, *, columns: Columns | None = None) -> dict[str, NDArray[Any]]:
        """The standard error of every learnt number, in the shape of the parameters.

        Of EM, from the curvature of the log-likelihood (with priors: of the log joint density) where it ended; of methods
        that draw, the standard deviation of the draws. Raises FitError where the data do not determine the parameters,
        with the directions, and for methods that do not end at a maximum of it.
        """
        if self.draws is not None:
            return {name: value.std((0, 1)) for name, value in self.draws.items()}
        from bnlab.runtime import uncertainty  # needs NumPyro, which takes seconds to import

        return uncertainty.standard_errors(self.information(data, columns=columns))

    def laplace(
        self, count: int = 1000, seed: int = 0, data: Any = None, *, columns: Columns | None = None
    ) -> dict[str, NDArray[Any]]:
        """Draws (1, count, ...) of the parameters from the normal that has the log density's curvature at the estimate."""
        from bnlab.runtime import uncertainty  # as above

        return uncertainty.laplace(self.information(data, columns=columns), count, seed)

    def bootstrap(
        self,
        count: int = 200,
        seed: int = 0,
        data: Any = None,
        *,
        columns: Columns | None = None,
        progress: bool = True,
        **settings: Any,
    ) -> Bootstrap:
        """Parametric bootstrap: `count` data sets drawn at these parameters, as large as the data, and fitted by EM from
        here; `settings` are those of `bn.fit` (max_iter, tol). For where curvature tells too little: few data, estimates
        near the edge of their domain."""
        from bnlab.runtime import bootstrap  # imports this module

        bound = self._bound(data, columns, None)
        return bootstrap.bootstrap(self.network, self.parameters, bound, count, seed, progress, **settings)

    def information(self, data: Any = None, *, columns: Columns | None = None) -> Information:
        """The observed information at the estimate, its inverse, and the coordinates both are in. Raises FitError as
        `standard_errors` does."""
        from bnlab.runtime import uncertainty  # as above

        if self.method == "viterbi":
            reason = (
                "Hard EM does not end at a maximum of the likelihood, so its curvature there tells no errors."
            )
            raise FitError(Fault(reason, "Fit with method='em', starting from these parameters (init=)."))
        return uncertainty.information(self.network, self.parameters, self._bound(data, columns, None))

    def headline(self) -> str:
        """How it ended, in one line."""
        count = f", {len(self.warnings)} warning{'s' * (len(self.warnings) > 1)}" if self.warnings else ""
        value = f"log-likelihood {self.log_likelihood[-1]:.6f}"
        effort = f"{self.n_iter} iteration{'s' * (self.n_iter != 1)}"
        return f"{self.method}, {self.status} after {effort}, {value}{count}"

    def summary(self) -> str:
        """The headline, the parameters, the optima of restarts and the warnings, as text."""
        width = max((len(name) for name in self.parameters), default=0)
        lines = [self.headline()]
        for name, value in self.parameters.items():
            text = np.array2string(np.asarray(value), precision=6, threshold=200)
            lines.append(f"  {name:<{width}} = " + text.replace("\n", "\n" + " " * (width + 5)))
        if self.restarts and len(self.restarts.starts) > 1:
            lines += [f"  starts: {line}" for line in self.restarts.lines()]
        return "\n".join(lines + [f"  warning: {warning}" for warning in self.warnings])

    def to_arviz(self) -> Any:
        """ArviZ data: the draws, or for a method that finds a point one chain of one draw, with a group of the traces."""
        from bnlab.runtime import save

        return save.to_arviz(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a netCDF file, which `bn.load` reads. An older file at `path` stays whole until the new one is."""
        from bnlab.runtime import save

        save.save(self, path)

    def plot_fit(self, *arguments: Any, **options: Any) -> Any:
        """The data and the fitted model: `bnlab.plots.plot_fit`. Every plot returns a matplotlib Figure."""
        return self._plot("plot_fit", *arguments, **options)

    def plot_iterations(self, *arguments: Any, **options: Any) -> Any:
        """The model after 0, 1, 2, 5, ... iterations of EM and of Viterbi training: `bnlab.plots.plot_iterations`."""
        return self._plot("plot_iterations", *arguments, **options)

    def plot_responsibilities(self, *arguments: Any, **options: Any) -> Any:
        """The data in the colours of their states' probabilities: `bnlab.plots.plot_responsibilities`."""
        return self._plot("plot_responsibilities", *arguments, **options)

    def plot_terms(self, *arguments: Any, **options: Any) -> Any:
        """Q, H and KL through E- and M-steps: `bnlab.plots.plot_terms`."""
        return self._plot("plot_terms", *arguments, **options)

    def plot_bound(self, *arguments: Any, **options: Any) -> Any:
        """The lower bound over one parameter, touching ln p: `bnlab.plots.plot_bound`."""
        return self._plot("plot_bound", *arguments, **options)

    def plot_trace(self, *arguments: Any, **options: Any) -> Any:
        """The objective over the iterations: `bnlab.plots.plot_trace`."""
        return self._plot("plot_trace", *arguments, **options)

    def plot_restarts(self, *arguments: Any, **options: Any) -> Any:
        """The objectives of all restarts: `bnlab.plots.plot_restarts`."""
        return self._plot("plot_restarts", *arguments, **options)

    def plot_states(self, *arguments: Any, **options: Any) -> Any:
        """The smoothed states of a chain and its decoded path: `bnlab.plots.plot_states`."""
        return self._plot("plot_states", *arguments, **options)

    def _plot(self, name: str, *arguments: Any, **options: Any) -> Any:
        """A figure of bnlab.plots, which is above this module and imported by name, when it is first asked for."""
        return vars(import_module("bnlab.plots"))[name](self, *arguments, **options)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        shown = {
            name: np.array2string(np.asarray(value), precision=4) for name, value in self.parameters.items()
        }
        cells = ((html.escape(name), html.escape(text)) for name, text in shown.items())
        rows = "".join(f"<tr><th>{name}</th><td><pre>{text}</pre></td></tr>" for name, text in cells)
        notes = "".join(f"<li>{html.escape(str(warning))}</li>" for warning in self.warnings)
        starts = self.restarts._repr_html_() if self.restarts and len(self.restarts.starts) > 1 else ""
        return f"<p>{html.escape(self.headline())}</p><table>{rows}</table>{starts}" + (
            f"<ul>{notes}</ul>" if notes else ""
        )

    @property
    def _penalty(self) -> float:
        return free(self.network.graph) * float(np.log(self.rows))

    @property
    def _dtype(self) -> str:
        return str(self.settings["dtype"])

    def _bound(
        self,
        data: Any,
        columns: Columns | None,
        evidence: Evidence | None,
        ids: Mapping[str, Any] | None = None,
    ) -> Bound:
        if data is not None:
            graph = self.network.graph
            data, columns = by_names(self.network, data, columns)
            known = renamed(self.network, evidence or {})
            return bind(graph, data, columns=columns, dtype=self._dtype, evidence=known, ids=ids)
        no_evidence_alone(evidence)
        if self.bound is None:
            raise FitError(
                Fault("A fit loaded from a file does not know its data.", "Give them: fit.posterior(data).")
            )
        return self.bound


def load(path: str | os.PathLike[str]) -> Fit:
    """The fit in a file that `Fit.save` wrote; nothing in the file is run. Raises FitError if it holds none."""
    from bnlab.runtime import save  # reading and writing files takes a second to import

    return save.load(path)
