"""The data and the model: at the end of a fit, coloured by responsibility, and after iterations of EM."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnlab.plots.panel import background, model, same_limits, thinned
from bnlab.plots.style import DATA, INK, colours, figure, mixed, note, styled
from bnlab.plots.view import Labels, View, responsibilities, view
from bnlab.runtime.replay import Parameters, log_likelihoods, milestones, path
from bnlab.runtime.result import Fit

TITLES = {"em": "EM", "viterbi": "Viterbi training"}


def plot_fit(fit: Fit, variable: str | None = None, labels: Labels | None = None) -> Figure:
    """The data and the fitted model: ellipses at one and two standard deviations of each component, or densities.

    `variable` names the observed variable, `labels` its columns: {"x": ["duration (min)", "wait (min)"]}.
    """
    with styled():
        one = view(fit, variable, labels)
        drawn, axes = figure(width=5.2, height=4.0)
        _panel(axes[0, 0], fit, one, fit.parameters)
        same_limits(one, axes)
        _legend(axes[0, 0], one)
        return drawn


def plot_responsibilities(fit: Fit, variable: str | None = None, labels: Labels | None = None) -> Figure:
    """The data in colours that mix those of the states as their posterior probabilities do.

    Categories have no places of their own, so for them the picture is the fitted model.
    """
    with styled():
        one = view(fit, variable, labels)
        drawn, axes = figure(width=5.2, height=4.0)
        _panel(axes[0, 0], fit, one, fit.parameters, coloured=True)
        same_limits(one, axes)
        _legend(axes[0, 0], one)
        return drawn


def plot_iterations(
    fit: Fit,
    iterations: Iterable[int] | None = None,
    methods: tuple[str, ...] = ("em", "viterbi"),
    variable: str | None = None,
    labels: Labels | None = None,
) -> Figure:
    """The data and the model after 0, 1, 2, 5, ... iterations of EM and of Viterbi training, begun at one point.

    Without discrete latents there is no Viterbi training, and no row for it.
    """
    with styled():
        one = view(fit, variable, labels)
        wanted = tuple(iterations) if iterations is not None else _few(milestones(fit.n_iter))
        discrete = any(latent.discrete for latent in fit.network.graph.in_role("latent"))
        rows = [method for method in methods if method != "viterbi" or discrete]
        drawn, axes = figure(
            len(rows), len(wanted), 1.7 * len(wanted) + 0.4, 1.75 * len(rows) + 0.5, sharex=True, sharey=True
        )
        for row, method in zip(axes, rows, strict=True):
            found = path(fit, wanted, method)
            height = log_likelihoods(fit, max(wanted), method)
            for each, number in zip(row, wanted, strict=True):
                if number not in found:
                    each.set_axis_off()
                    continue
                _panel(each, fit, one, found[number], coloured=True)
                each.set_title(f"{TITLES[method]}, {number}", fontsize=8.5)
                note(each, f"ln p = {height[number]:.1f}")
        same_limits(one, axes)
        drawn.supxlabel(axes[-1, 0].get_xlabel(), fontsize=9)
        drawn.supylabel(axes[-1, 0].get_ylabel(), fontsize=9)
        for each in axes.flat:
            each.set(xlabel="", ylabel="")
            each.label_outer()
        return drawn


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A figure whose artists called `frame-I-J` belong to frame I, to be shown one frame at a time; `points` are the data.

    `iterations` and `log_likelihood` tell what each frame is, `colours` the colour of each point in it.
    """

    figure: Figure
    iterations: tuple[int, ...]
    log_likelihood: tuple[float, ...]
    colours: tuple[tuple[str, ...], ...]


def frames(fit: Fit, labels: Labels | None = None, most: int = 16) -> Frames:
    """The iterations of a fit, drawn over the same data: what a slider shows."""
    with styled():
        one = view(fit, None, labels)
        wanted = _dense(fit.n_iter, most)
        found = path(fit, wanted)
        drawn, axes = figure(width=5.2, height=4.0)
        plot, points = axes[0, 0], []
        shares = {number: responsibilities(fit, one, theta) for number, theta in found.items()}
        last = max(found)
        background(plot, one, mixed(shares[last]))
        for dots in plot.collections:
            dots.set_gid("points")
        for frame, (number, theta) in enumerate(found.items()):
            before = set(plot.get_children())
            model(plot, fit, one, theta, shares[number].mean(0))
            added = [artist for artist in plot.get_children() if artist not in before]
            for place, artist in enumerate(added):
                artist.set_gid(f"frame-{frame}-{place}")
            points.append(tuple(mixed(shares[number][thinned(len(shares[number]))])))
        same_limits(one, axes)
        heights = tuple(float(fit.log_likelihood[number]) for number in found)
        return Frames(drawn, tuple(found), heights, tuple(points))


def _panel(axes: Axes, fit: Fit, one: View, theta: Parameters, coloured: bool = False) -> None:
    found = responsibilities(fit, one, theta)
    background(axes, one, mixed(found) if coloured and one.states > 1 else None)
    model(axes, fit, one, theta, found.mean(0))


def _few(found: tuple[int, ...]) -> tuple[int, ...]:
    """The first, the last, and up to four in between."""
    places = np.unique(np.linspace(0, len(found) - 1, min(6, len(found))).round().astype(int))
    return tuple(found[place] for place in places)


def _dense(last: int, most: int) -> tuple[int, ...]:
    """Every one of the first iterations, then ever fewer, and the last: at most about `most`."""
    steps, step = [0], 1.0
    growth = 1.0 if last < most else (last / 4) ** (1 / (most - 5))
    while steps[-1] < last:
        step = step if len(steps) < 5 else max(step * growth, step)
        steps.append(min(last, steps[-1] + round(step)))
    return tuple(dict.fromkeys(steps))


def _legend(axes: Axes, one: View) -> None:
    if one.state is None:
        return
    names = _state_names(one)
    handles = [Line2D([], [], color=c, label=n) for c, n in zip(colours(one.states), names, strict=True)]
    if one.kind == "line":
        handles.append(Line2D([], [], color=INK, linewidth=1, linestyle="--", label="their sum"))
    marker = "_" if one.kind == "bars" else "o"
    handles.append(Line2D([], [], color=DATA, marker=marker, linestyle="", markersize=5, label="data"))
    if one.states <= 8:
        beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if one.kind == "bars" else {}
        axes.legend(handles=handles, **beside)


def _state_names(one: View) -> list[str]:
    return [f"{one.state} = {k}" for k in range(one.states)]
