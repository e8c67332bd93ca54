"""How well scores tell targets from non-targets: the trade-off of both errors, and the scores themselves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.special import ndtri

from bnlab.detection import det_curve, eer
from bnlab.errors import Fault, FitError
from bnlab.plots.style import DASHES, FAINT, PALETTE, figure, styled

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Where the axes are marked: error rates, as far apart as their normal quantiles."""
BINS = 60
LOWEST = 0.2
"""Non-targets that may be left of the picture of scores."""
FARTHEST = 2.0
"""How far left of the targets the picture goes, beside how far they reach: where both are to be told apart is between them."""

Trials = tuple[ArrayLike, ArrayLike]
"""Scores of target and of non-target trials."""


def plot_det(systems: Mapping[str, Trials]) -> Figure:
    """Misses over false alarms at every threshold, on the scales of normal quantiles: scores that are normal give lines
    (Martin and others, Eurospeech 1997). A dot marks the threshold whose rates are nearest to equal.

    `systems` are (target scores, non-target scores) by name; their equal error rates stand in the legend.
    """
    if not systems:
        raise FitError(
            Fault("There are no scores to draw.", 'Write plot_det({"ours": (target, nontarget)}).')
        )
    with styled():
        drawn, axes = figure(width=4.6, height=4.4)
        plot = axes[0, 0]
        least = 1.0
        for number, (name, (target, nontarget)) in enumerate(systems.items()):
            curve = det_curve(target, nontarget)
            inside = (curve.miss > 0) & (curve.miss < 1) & (curve.false_alarm > 0) & (curve.false_alarm < 1)
            x, y = curve.false_alarm[inside], curve.miss[inside]
            color, dashes = PALETTE[number % len(PALETTE)], DASHES[number % len(DASHES)]
            label = f"{name}, EER {100 * eer(target, nontarget):.1f} %"
            plot.plot(ndtri(x), ndtri(y), color=color, linestyle=dashes, label=label)
            if len(x):
                near = int(np.abs(x - y).argmin())
                plot.plot(ndtri(x[near]), ndtri(y[near]), "o", color=color, markersize=5)
                least = min(least, float(x.min()), float(y.min()))
        marks = [rate for rate in RATES if rate >= min(least, 0.1) / 2]
        ends = ndtri(marks[0] / 1.2), ndtri(marks[-1])
        plot.plot(ends, ends, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
        labels = [f"{100 * rate:g}" for rate in marks]
        for set_ticks, set_limits in ((plot.set_xticks, plot.set_xlim), (plot.set_yticks, plot.set_ylim)):
            set_ticks(ndtri(marks), labels)
            set_limits(*ends)
        plot.set(xlabel="false alarms (%)", ylabel="misses (%)", aspect="equal")
        plot.legend(loc="upper right")
        return drawn


def plot_scores(target: ArrayLike, nontarget: ArrayLike, threshold: float | None = 0.0) -> Figure:
    """How target and non-target scores are distributed, each with an area of 1. The lowest non-targets are left of the picture,
    and the axis says how many: log ratios against a common origin have a tail as long as one likes.

    `threshold` is marked: 0 is where a log ratio calls both sides equally probable. None marks nothing.
    """
    det_curve(target, nontarget)  # refuses NaN and empty scores
    same, other = (np.asarray(one, float).ravel() for one in (target, nontarget))
    tail = max(np.quantile(other, LOWEST), same.min() - FARTHEST * np.ptp(same))
    low, high = min(same.min(), tail), max(same.max(), other.max())
    bins, left = np.linspace(low, high, BINS + 1), (other < low).mean()
    with styled():
        drawn, axes = figure(width=5.2, height=3.2)
        plot = axes[0, 0]
        for scores, name, color in ((other, "non-targets", PALETTE[1]), (same, "targets", PALETTE[0])):
            label = f"{name} ({len(scores):,})"
            share = np.full(len(scores), 1 / (len(scores) * (bins[1] - bins[0])))
            plot.hist(scores, bins, weights=share, histtype="stepfilled", color=color, alpha=0.25)
            plot.hist(scores, bins, weights=share, histtype="step", color=color, linewidth=1.4, label=label)
        if threshold is not None:
            plot.axvline(threshold, color=FAINT, linewidth=1.0, linestyle="--")
        beyond = f"  ({left:.0%} of the non-targets are below {low:.0f})" if left else ""
        plot.set(xlabel=f"score{beyond}", ylabel="density")
        plot.legend(loc="upper left")
        return drawn
