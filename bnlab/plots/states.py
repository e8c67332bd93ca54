"""Chains over time: the observations, the smoothed states, and the most probable path through them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bnlab.errors import Fault, FitError
from bnlab.network.graph import chain_of
from bnlab.network.ir import Graph, Variable
from bnlab.plots.style import DASHES, DATA, INK, PALETTE, colours, figure, styled
from bnlab.runtime.data_layout import sizeless
from bnlab.runtime.replay import bound_of, posterior_rows, predicted_rows
from bnlab.runtime.result import Fit


def plot_states(fit: Fit, sequence: int = 0) -> Figure:
    """One sequence: its observations, and below them for each latent of the chain what is known of it at each step.

    Discrete states are shares of the height, the decoded path (the most probable joint one) a line over them; of
    continuous ones the mean and two standard deviations. Raises FitError for a network without a chain.
    """
    graph = fit.network.graph
    latents = [one for one in graph.in_role("latent") if chain_of(graph, one) is not None]
    if not latents:
        raise FitError(Fault(f"{graph.name} has no chain with latent states to show over time."))
    inside = [
        one
        for one in graph.in_role("observed")
        if sizeless(graph, one.plates) == sizeless(graph, latents[0].plates)
    ]
    rows = _rows(fit, latents[0], sequence)
    smoothed, decoded = posterior_rows(fit, fit.parameters), predicted_rows(fit)
    heights = [1.3] * len(inside) + [1.0] * len(latents)
    with styled():
        drawn, axes = figure(
            len(heights), width=7.4, height=1.3 * len(heights) + 0.9, sharex=True, height_ratios=heights
        )
        panels = iter(axes[:, 0])
        for variable in inside:
            _observations(next(panels), fit, variable, rows)
        for latent in latents:
            plot = next(panels)
            if latent.discrete:
                _shares(
                    plot,
                    latent,
                    np.asarray(smoothed[latent.name])[rows],
                    np.asarray(decoded[latent.name])[rows],
                )
            else:
                _ribbon(plot, latent, smoothed[latent.name], rows)
        axes[-1, 0].set_xlabel(f"step {sizeless(graph, latents[0].plates)[-1]}")
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


def _observations(axes: Axes, fit: Fit, variable: Variable, rows: NDArray[np.int64]) -> None:
    values = np.asarray(bound_of(fit).canonical[variable.name])[rows]
    columns = values.reshape(len(rows), -1)
    marker = {"drawstyle": "steps-mid"} if variable.discrete else {}
    for number, column in enumerate(columns.T[:4]):
        name = variable.name if columns.shape[1] == 1 else f"{variable.name}[{number}]"
        axes.plot(
            column,
            color=INK if not number else DATA,
            linewidth=0.9,
            linestyle=DASHES[number],
            label=name,
            **marker,
        )
    if columns.shape[1] > 1:
        axes.legend(loc="upper right", ncols=4)
    axes.set_ylabel(variable.name)


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
    for number in range(min(means.shape[1], 4)):
        middle, width = means[:, number], 2 * deviations[:, number]
        axes.fill_between(
            steps, middle - width, middle + width, color=PALETTE[number], alpha=0.25, linewidth=0
        )
        axes.plot(steps, middle, color=PALETTE[number], linewidth=1.2, linestyle=DASHES[number])
    axes.set(ylabel=f"{latent.name}, mean\nand 2 sd", xlim=(-0.5, len(steps) - 0.5))


def has_chain(graph: Graph) -> bool:
    """Whether there is anything to show over time."""
    return any(chain_of(graph, one) is not None for one in graph.in_role("latent"))
