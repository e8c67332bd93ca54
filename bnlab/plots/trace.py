"""How the objective rises: along one run, and along all restarts."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bnlab.errors import Fault, FitError
from bnlab.plots.style import DATA, PALETTE, figure, styled
from bnlab.runtime.replay import initial_of
from bnlab.runtime.result import Fit

OBJECTIVES = {
    "em": "objective",
    "viterbi": "ln p(x, z*)",
    "vbem": "ELBO",
    "svi": "ELBO",
    "nuts": "log joint density",
}


def plot_trace(fit: Fit) -> Figure:
    """What the method maximises, and beside it ln p(X | theta) where that is something else, over the iterations."""
    with styled():
        drawn, axes = figure(width=5.2, height=3.2)
        plot = axes[0, 0]
        same = len(fit.log_likelihood) == len(fit.objective) and np.allclose(
            fit.log_likelihood, fit.objective, rtol=1e-12
        )
        if len(fit.log_likelihood) == len(fit.objective):
            plot.plot(fit.log_likelihood, color=PALETTE[0], label="ln p(X | η)")
        if not same:
            name = OBJECTIVES.get(fit.method, "objective")
            plot.plot(fit.objective, color=PALETTE[1], linestyle="--", label=name)
            plot.legend(loc="lower right")
        plot.set(xlabel="iteration", ylabel="nats" if not same else "ln p(X | η)  (nats)")
        plot.xaxis.get_major_locator().set_params(integer=True)
        return drawn


def plot_restarts(fit: Fit) -> Figure:
    """The objective of every restart: below, its distance from the best, so that small rises are seen too."""
    initial_of(fit)
    if not fit.traces:
        raise FitError(Fault("The fit does not know its restarts: it was loaded from a file.", "Fit again."))
    best = max(float(run[-1]) for run in fit.traces)
    kept = min(range(len(fit.traces)), key=lambda i: abs(float(fit.traces[i][-1] - fit.objective[-1])))
    with styled():
        drawn, axes = figure(1, 2, width=7.4, height=3.2)
        left, right = axes[0]
        for number, run in enumerate(fit.traces):
            of_best = number == kept
            style = {"color": PALETTE[0] if of_best else DATA, "linewidth": 2.0 if of_best else 1.0}
            left.plot(run, zorder=3 if of_best else 1, **style)
            gap = np.maximum(best - run, 1e-9 * (1 + abs(best)))
            right.semilogy(gap, zorder=3 if of_best else 1, **style)
        for each in (left, right):
            each.set_xlabel("iteration")
        left.set_ylabel("objective (nats)")
        right.set_ylabel("distance from the best (nats)")
        reached = fit.optima[0][1] if fit.optima else len(fit.traces)
        right.set_title(f"{reached} of {len(fit.traces)} starts reach the best; blue is the one kept")
        return drawn
