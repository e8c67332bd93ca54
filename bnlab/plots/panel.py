"""One pair of axes with the data and the model at some parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from bnlab.domains import Count, Integer, Positive
from bnlab.plots.components import Component, components, densities, drawn, readable
from bnlab.plots.style import DASHES, DATA, INK, colours
from bnlab.plots.view import View
from bnlab.runtime.result import Fit

Theta = Mapping[str, NDArray[Any]]
POINTS = 3000
"""More rows than that are thinned evenly: the picture would be no clearer."""
ABOVE = 1.15
"""Room above bars and profiles, for what is written there."""


def background(axes: Axes, one: View, colour: list[str] | None = None) -> None:
    """The data: points in a plane, a histogram on a line; bars stand beside those of the model."""
    if one.kind == "plane":
        points = one.points
        keep = thinned(len(points))
        shown = DATA if colour is None else [colour[i] for i in keep]
        size = float(np.clip(2500 / len(keep), 5, 22))
        axes.scatter(*points[keep].T, s=size, c=shown, linewidths=0, alpha=0.75, zorder=1)
        axes.set(xlabel=one.plane_names[0], ylabel=one.plane_names[1])
    elif one.kind == "line":
        if whole(one):
            _frequencies(axes, one)
        else:
            axes.hist(one.values[:, 0], bins="fd", density=True, color=DATA, alpha=0.35, linewidth=0)
        if colour is not None:
            keep = thinned(len(one.values))
            axes.scatter(
                one.values[keep, 0], np.full(len(keep), 0.02), s=28, c=[colour[i] for i in keep],
                marker="|", linewidths=0.9, transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        axes.set(xlabel=one.names[0], ylabel="probability" if whole(one) else "density")


def model(axes: Axes, fit: Fit, one: View, theta: Theta, shares: NDArray[np.float64]) -> None:
    """The model at theta, on top; `shares` (states,) says how much of the data each state explains."""
    match one.kind:
        case "plane":
            for part in components(fit, one, theta):
                ellipses(axes, one, part)
        case "line":
            _curves(axes, fit, one, theta, shares)
        case "bars":
            _bars(axes, fit, one, theta)


def ellipses(axes: Axes, one: View, part: Component) -> None:
    """One and two standard deviations about a component's mean, and the mean."""
    colour = colours(one.states)[part.state]
    dash = DASHES[part.state // 7 % 4] if one.states <= 7 else "-"
    mean, cov = one.projected(part.mean), one.axes.T @ part.cov @ one.axes
    lengths, directions = np.linalg.eigh(cov)
    angle = float(np.degrees(np.arctan2(directions[1, 1], directions[0, 1])))
    for deviations, width in ((1, 1.8), (2, 1.0)):
        size = 2 * deviations * np.sqrt(lengths.clip(0))
        axes.add_patch(
            Ellipse(
                (float(mean[0]), float(mean[1])),
                float(size[1]),
                float(size[0]),
                angle=angle,
                fill=False,
                edgecolor=colour,
                linewidth=width,
                linestyle=dash,
                zorder=3,
            )  # fmt: skip
        )
    axes.plot(*mean, marker="+", markersize=7, markeredgewidth=1.6, color=colour, zorder=4)


def whole(one: View) -> bool:
    """Whether the variable counts, so that its values have probabilities and no density."""
    return isinstance(one.variable.domain, Count)


def thinned(count: int) -> NDArray[np.int64]:
    """Which of so many points are shown."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).astype(int))


def _frequencies(axes: Axes, one: View) -> None:
    values, times = np.unique(one.values[:, 0], return_counts=True)
    axes.bar(values, times / times.sum(), width=0.9, color=DATA, alpha=0.35, linewidth=0)


def _grid(one: View) -> NDArray[np.float64]:
    low, high = one.values.min(), one.values.max()
    if whole(one):
        return np.arange(0, np.ceil(high * 1.1) + 1)
    room = 0.08 * (high - low) or 1.0
    positive = low >= 0 and isinstance(one.variable.domain, Positive)
    return np.linspace(1e-9 if positive else low - room, high + room, 400)


def _curves(axes: Axes, fit: Fit, one: View, theta: Theta, shares: NDArray[np.float64]) -> None:
    """The density of each component times its share, and their sum."""
    graph = fit.network.graph
    if not readable(graph, one):
        rows, states = drawn(fit, one, theta)
        for state in np.unique(states):
            weights = np.full((states == state).sum(), 1 / len(states))
            bins = np.histogram_bin_edges(one.values[:, 0], bins="fd")
            axes.hist(
                rows[states == state, 0], bins=bins, weights=weights / np.diff(bins).mean(),
                histtype="step", color=colours(one.states)[state], linewidth=1.4,
            )  # fmt: skip
        return
    grid = _grid(one)
    parts = densities(graph, one, theta, grid)
    repeated = len(parts) / one.states  # settings of other variables share a state's part evenly
    total = np.zeros(len(grid))
    style: dict[str, Any] = {"marker": ".", "markersize": 4} if whole(one) else {}
    for state, density in parts:
        part = shares[state] / repeated * density[:, 0]
        total += part
        if one.states > 1:
            axes.plot(grid, part, color=colours(one.states)[state], zorder=3, **style)
    axes.plot(grid, total, color=INK, linewidth=1.0, linestyle="--" if one.states > 1 else "-", zorder=4)


def _bars(axes: Axes, fit: Fit, one: View, theta: Theta) -> None:
    """Categories: how often in the data, and how probable in each state. Many two-valued variables: a profile."""
    graph = fit.network.graph
    domain = one.variable.domain
    assert isinstance(domain, Integer), "bars are of categories"
    if not readable(graph, one):
        rows, states = drawn(fit, one, theta)
        tables = [(k, _table(rows[states == k], domain.size)) for k in np.unique(states)]
    else:
        found = densities(graph, one, theta, np.arange(domain.size, dtype=float))
        tables = [(state, values.T) for state, values in found]
    data = _table(one.values, domain.size)
    if len(data) > 1 and domain.size == 2:
        plates = [plate for plate in one.variable.plates if graph.plate(plate).size is not None]
        _profile(axes, one, [(k, table[:, 1]) for k, table in tables], data[:, 1], plates)
        return
    places = np.arange(domain.size)
    width = 0.8 / (len(tables) + 1)
    axes.bar(places - 0.4 + width / 2, data.mean(0), width, color=DATA, label="data")
    for number, (state, table) in enumerate(tables, start=1):
        axes.bar(
            places - 0.4 + (number + 0.5) * width, table.mean(0), width, color=colours(one.states)[state]
        )
    axes.set_xticks(places, list(domain.labels) or [str(place) for place in places])
    axes.set(xlabel=one.variable.name, ylabel="probability", ylim=(0, ABOVE * axes.get_ylim()[1]))


def _profile(
    axes: Axes,
    one: View,
    tables: list[tuple[int, NDArray[Any]]],
    data: NDArray[np.float64],
    plates: list[str],
) -> None:
    """How probable 1 is in each of the cells, in each state, beside how often it is in the data."""
    places = np.arange(len(data))
    axes.plot(places, data, color=DATA, marker="_", markersize=12, linestyle="", label="data")
    for state, chance in tables:
        axes.plot(places, chance, color=colours(one.states)[state], marker="o", markersize=3.5, linewidth=1)
    axes.set_xticks(places, one.names, rotation=90 if len(places) > 6 else 0)
    axes.set(xlabel=", ".join(plates), ylabel=f"P({one.variable.name} = 1)", ylim=(-0.03, ABOVE))


def _table(rows: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """How often each category occurs, a row a column of `rows`."""
    return np.stack([np.bincount(column.astype(int), minlength=size) / len(rows) for column in rows.T])


def same_limits(one: View, axes: NDArray[Any]) -> None:
    """All axes show the data with some room; densities are told by their own heights."""
    if one.kind == "plane":
        low, high = one.points.min(0), one.points.max(0)
        room = 0.12 * np.where(high > low, high - low, 1.0)
        for each in axes.flat:
            each.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))
    elif one.kind == "line":
        top = max(each.get_ylim()[1] for each in axes.flat)
        for each in axes.flat:
            each.set_ylim(0, top)
