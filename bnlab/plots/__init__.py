"""The lecture's pictures, in matplotlib: all of them read off the network, the data and a fit."""

from bnlab.plots.detection import plot_det, plot_scores
from bnlab.plots.estimates import plot_estimates, plot_posteriors
from bnlab.plots.model import plot_fit, plot_iterations, plot_responsibilities
from bnlab.plots.states import plot_states
from bnlab.plots.terms import plot_bound, plot_terms
from bnlab.plots.trace import plot_restarts, plot_trace

__all__ = [
    "plot_bound",
    "plot_det",
    "plot_estimates",
    "plot_fit",
    "plot_iterations",
    "plot_posteriors",
    "plot_responsibilities",
    "plot_restarts",
    "plot_scores",
    "plot_states",
    "plot_terms",
    "plot_trace",
]
