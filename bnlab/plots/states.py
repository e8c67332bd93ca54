"""Chains over time: the observations, the smoothed states, and the most probable path through them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bnlab.errors import Fault, FitError
from bnlab.network.graph import chain_of
from bnlab.network.ir import Variable
from bnlab.plots.style import DASHES, INK, PALETTE, colours, figure, styled
from bnlab.plots.view import Labels
from bnlab.runtime.data_layout import sizeless
from bnlab.runtime.replay import bound_of, posterior_rows, predicted_rows
from bnlab.runtime.result import Fit

MOST = 4
"""Columns of a variable, or numbers of a continuous latent, that are shown."""


def plot_states(fit: Fit, sequence: int = 0, steps: int = 150, labels: Labels | None = None) -> Figure:
    """The first `steps` steps of one sequence: its observations, and for each latent of the chain what is known of it.

    Discrete states are shares of the height, the decoded path (the most probable joint one) a line over them; of
    continuous ones the mean and two standard deviations. Raises FitError for a network without a chain.
    """
    graph = fit.network.graph
    latents = [one for one in graph.in_role("latent") if chain_of(graph, one) is not None]
    if not latents:
        raise FitError(Fault(f"{graph.name} has no chain with latent states to show over time."))
    plates = sizeless(graph, latents[0].plates)
    inside = [one for one in graph.in_role("observed") if sizeless(graph, one.plates) == plates]
    rows = _rows(fit, latents[0], sequence)[:steps]
    columns = [column for variable in inside for column in _columns(fit, variable, rows, labels or {})]
    smoothed, decoded = posterior_rows(fit, fit.parameters), predicted_rows(fit)
    height = 1.1 * (len(columns) + len(latents)) + 0.7
    with styled():
        drawn, axes = figure(len(columns) + len(latents), width=7.4, height=height, sharex=True)
        panels = iter(axes[:, 0])
        for (name, values, discrete), plot in zip(columns, panels, strict=False):
            plot.plot(values, color=INK, linewidth=0.9, drawstyle="steps-mid" if discrete else "default")
            plot.set_ylabel(name)
        for latent, plot in zip(latents, axes[len(columns) :, 0], strict=True):
            if latent.discrete:
                _shares(plot, latent, smoothed[latent.name][rows], decoded[latent.name][rows])
            else:
                _ribbon(plot, latent, smoothed[latent.name], rows)
        axes[-1, 0].set_xlabel(f"step {plates[-1]}")
        return drawn


def _rows(fit: Fit, latent: Variable, sequence: int) -> NDArray[np.int64]:
    """The canonical rows of one sequence, in order of time."""
    graph, layout = fit.network.graph, bound_of(fit).layout
    *outer, chain = sizeless(graph, latent.plates)
    if not outer:
        return np.arange(layout.count(chain))
    rows = np.flatnonzero(layout.members(chain, outer[-1]) == sequence)
    if not len(rows):
        raise FitError(
            Fault(f"There is no sequence {sequence}; there are {layout.count(outer[-1])}, from 0.")
        )
    return rows


def _columns(
    fit: Fit, variable: Variable, rows: NDArray[np.int64], labels: Labels
) -> list[tuple[str, NDArray[Any], bool]]:
    """Name, values and whether they are categories, for each of the first columns of an observed variable."""
    values = np.asarray(bound_of(fit).canonical[variable.name])[rows].reshape(len(rows), -1)
    plain = (
        [variable.name] if values.shape[1] == 1 else [f"{variable.name}[{i}]" for i in range(values.shape[1])]
    )
    names = labels.get(variable.name, plain)
    return [(name, column, variable.discrete) for name, column in zip(names, values.T, strict=True)][:MOST]


def _shares(axes: Axes, latent: Variable, smoothed: NDArray[Any], decoded: NDArray[Any]) -> None:
    steps, states = np.arange(len(smoothed)), smoothed.shape[-1]
    table = smoothed.reshape(len(smoothed), -1, states)[:, 0]
    path = decoded.reshape(len(decoded), -1)[:, 0]
    axes.stackplot(steps, table.T, colors=colours(states), alpha=0.65, linewidth=0, step="mid")
    axes.step(steps, (path + 0.5) / states, where="mid", color=INK, linewidth=1.1)
    axes.set_yticks((np.arange(states) + 0.5) / states, [f"{latent.name} = {k}" for k in range(states)])
    axes.set(ylim=(0, 1), xlim=(-0.5, len(steps) - 0.5))
    for label, colour in zip(axes.get_yticklabels(), colours(states), strict=True):
        label.set_color(colour)


def _ribbon(axes: Axes, latent: Variable, smoothed: Any, rows: NDArray[np.int64]) -> None:
    mean, cov = np.asarray(smoothed["mean"])[rows], np.asarray(smoothed["cov"])[rows]
    means = mean.reshape(len(rows), -1)
    variances = cov.reshape(len(rows), means.shape[1], -1)
    deviations = np.sqrt(
        np.stack([variances[:, i, min(i, variances.shape[2] - 1)] for i in range(means.shape[1])], 1)
    )
    steps = np.arange(len(rows))
    for number in range(min(means.shape[1], MOST)):
        middle, width = means[:, number], 2 * deviations[:, number]
        axes.fill_between(
            steps, middle - width, middle + width, color=PALETTE[number], alpha=0.25, linewidth=0
        )
        name = f"{latent.name}[{number}]"
        axes.plot(steps, middle, color=PALETTE[number], linewidth=1.2, linestyle=DASHES[number], label=name)
    if means.shape[1] > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set(ylabel=f"{latent.name}, mean\nand 2 sd", xlim=(-0.5, len(steps) - 0.5))
