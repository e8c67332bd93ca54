"""A comparison in pictures: every estimate with its interval, and posteriors drawn over one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnlab.comparison.records import Comparison
from bnlab.comparison.text import title
from bnlab.errors import Fault, FitError
from bnlab.plots.style import FAINT, INK, PALETTE, figure, styled

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MOST_ROWS, MOST_PANELS = 36, 12
FARTHEST = 12.0
"""Deviations at which the axis is cut: an estimate on its boundary may have next to none."""


def plot_estimates(one: Comparison, rows: Sequence[str] | None = None) -> Figure:
    """Every number as every method estimates it, in deviations of the reference method from its value.

    `rows` names those to show (`"mu[0, 1]"`), all that have a scale without it, at most 36. Lines are the intervals.
    Raises FitError where the reference gives no deviations: then there is no scale to share.
    """
    shown = [row for row in one.rows if rows is None or row.name in rows]
    scaled = [(row, unit) for row in shown if (unit := row.estimates[one.reference].deviation)][:MOST_ROWS]
    if not scaled:
        raise FitError(Fault(f"{title(one.reference)} gives no deviations to measure differences in."))
    with styled():
        drawn, axes = figure(width=6.6, height=0.9 + 0.34 * len(scaled))
        plot = axes[0, 0]
        plot.axvline(0, color=FAINT, linewidth=0.8)
        spread = np.linspace(-0.28, 0.28, len(one.methods)) if len(one.methods) > 1 else [0.0]
        for place, (row, unit) in enumerate(scaled):
            centre = row.estimates[one.reference].value
            for number, method in enumerate(one.methods):
                estimate, height = row.estimates[method], place + spread[number]
                style = {"color": PALETTE[number % len(PALETTE)], "zorder": 3}
                if estimate.low is not None and estimate.high is not None:
                    ends = (np.array([estimate.low, estimate.high]) - centre) / unit
                    plot.plot(ends, [height, height], linewidth=1.3, **style)
                marker = MARKERS[number % len(MARKERS)]
                plot.plot((estimate.value - centre) / unit, height, marker, markersize=4, **style)
        plot.set_yticks(range(len(scaled)), [row.name for row, _ in scaled])
        low, high = plot.get_xlim()
        plot.set(ylim=(len(scaled) - 0.4, -0.6), xlim=(max(low, -FARTHEST), min(high, FARTHEST)))
        plot.set_xlabel(
            f"deviations of {title(one.reference)} from its value; lines are {one.level:.0%} intervals"
        )
        _legend(drawn, one)
        return drawn


def plot_posteriors(one: Comparison, rows: Sequence[str] | None = None) -> Figure:
    """The draws of methods that draw, and the point estimates of the others as lines.

    `rows` names what to show; without it, the first twelve numbers. Raises FitError where no method draws.
    """
    draws = {method: fit.draws for method, fit in one.fits.items() if fit.draws is not None}
    if not draws:
        raise FitError(Fault("No method here draws from the posterior.", "Compare with svi or nuts too."))
    shown = [row for row in one.rows if rows is None or row.name in rows][:MOST_PANELS]
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    with styled():
        drawn, axes = figure(lines, columns, width=1.95 * columns + 0.2, height=1.55 * lines + 0.5)
        for plot, row in zip(axes.flat, shown, strict=False):
            for number, method in enumerate(one.methods):
                colour = PALETTE[number % len(PALETTE)]
                if method in draws:
                    values = draws[method][row.parameter][(..., *row.index)].ravel()
                    edges = np.histogram_bin_edges(values, bins=30)
                    plot.hist(values, bins=edges, density=True, histtype="step", color=colour, linewidth=1.3)
                else:
                    plot.axvline(row.estimates[method].value, color=colour, linewidth=1.2, linestyle="--")
            plot.set_title(row.name)
            plot.set_yticks([])
            plot.spines["left"].set_visible(False)
            plot.locator_params(axis="x", nbins=4)
        for plot in axes.flat[len(shown) :]:
            plot.set_axis_off()
        _legend(drawn, one)
        return drawn


def _legend(drawn: Figure, one: Comparison) -> None:
    handles = [
        Line2D([], [], color=PALETTE[i % len(PALETTE)], marker=MARKERS[i % len(MARKERS)], markersize=4, label=title(m))
        for i, m in enumerate(one.methods)
    ]  # fmt: skip
    drawn.legend(handles=handles, loc="outside upper center", ncols=len(handles), labelcolor=INK)
