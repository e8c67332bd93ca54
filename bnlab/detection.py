"""How well scores tell targets from non-targets: error rates over all thresholds, and what log ratios cost taken at their word.

`target` are the scores of trials whose two sides are the same, `nontarget` those of trials whose sides differ; arrays of any
shape, the higher the more alike. Definitions: Brummer & du Preez, Computer
Speech and Language 20 (2006), for `cllr` and the convex hull; NIST's evaluation plans for `min_dcf`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnlab.errors import DataError, Fault


class DetectionCurve(NamedTuple):
    """Error rates where scores of `threshold` and above are accepted, from accepting all to accepting nothing.

    Thresholds rise: each score once, and inf at the end, which stands for accepting nothing. `miss` is the part of targets
    that is rejected, from 0 to 1; `false_alarm` the part of non-targets that is accepted, from 1 to 0.
    """

    threshold: NDArray[np.float64]
    miss: NDArray[np.float64]
    false_alarm: NDArray[np.float64]


def det_curve(target: ArrayLike, nontarget: ArrayLike) -> DetectionCurve:
    """Both error rates at every threshold that tells scores apart. Raises DataError for NaN or no scores."""
    same, other = _scores(target, nontarget)
    threshold = np.unique(np.concatenate([same, other]))
    miss = np.searchsorted(np.sort(same), threshold, side="left") / len(same)
    false_alarm = 1 - np.searchsorted(np.sort(other), threshold, side="left") / len(other)
    return DetectionCurve(np.append(threshold, np.inf), np.append(miss, 1.0), np.append(false_alarm, 0.0))


def eer(target: ArrayLike, nontarget: ArrayLike) -> float:
    """The equal error rate: where misses are as frequent as false alarms on the convex hull of the curve.

    The hull is what can be reached by choosing between two thresholds at random. It meets the diagonal in one point, also
    where no threshold has equal rates, and is never above what interpolation between thresholds reads.
    """
    _, miss, false_alarm = det_curve(target, nontarget)
    hull = _hull(false_alarm[::-1], miss[::-1])
    after = int(np.flatnonzero(hull[:, 0] >= hull[:, 1])[0])
    (x0, y0), (x1, y1) = hull[max(after - 1, 0)], hull[after]
    gap = y0 - x0  # how far above the diagonal the side of the hull starts
    share = gap / (gap + x1 - y1) if gap > 0 else 0.0
    return float(x0 + share * (x1 - x0))


def min_dcf(
    target: ArrayLike,
    nontarget: ArrayLike,
    prior: float = 0.01,
    miss: float = 1.0,
    false_alarm: float = 1.0,
) -> float:
    """The least detection cost over all thresholds, as a part of that of the better of accepting all and accepting nothing.

    The cost is miss * prior * P(miss) + false_alarm * (1 - prior) * P(false alarm), `prior` the probability of a target.
    """
    if not 0 < prior < 1 or not miss > 0 or not false_alarm > 0:
        reason = f"The prior is {prior}, the costs are {miss} and {false_alarm}."
        raise DataError(Fault(reason, "A prior is between 0 and 1, and costs are positive."))
    curve = det_curve(target, nontarget)
    rejecting, accepting = miss * prior, false_alarm * (1 - prior)
    cost = rejecting * curve.miss + accepting * curve.false_alarm
    return float(cost.min() / min(rejecting, accepting))


def cllr(target: ArrayLike, nontarget: ArrayLike) -> float:
    """The cost of natural log likelihood ratios in bits a trial, targets and non-targets equally probable.

    0 for perfect ratios, 1 for ratios that say nothing; above 1 they mislead: that is calibration, which neither `eer` nor
    `min_dcf` sees.
    """
    same, other = _scores(target, nontarget)
    nats = np.logaddexp(0, -same).mean() + np.logaddexp(0, other).mean()
    return float(nats / (2 * np.log(2)))


def _scores(target: ArrayLike, nontarget: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    faults, found = [], []
    for name, given in (("target", target), ("nontarget", nontarget)):
        try:
            scores = np.asarray(given, dtype=np.float64).ravel()
        except (TypeError, ValueError):
            faults.append(Fault(f"The {name} scores are no real numbers.", "Give an array of numbers."))
            continue
        found.append(scores)
        if not scores.size:
            faults.append(Fault(f"There are no {name} scores.", "Rates are parts of at least one trial."))
        elif np.isnan(scores).any():
            faults.append(Fault(f"{int(np.isnan(scores).sum())} of the {name} scores are NaN."))
    if faults:
        raise DataError(*faults)
    return found[0], found[1]


def _hull(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lower convex hull of points whose x rises and whose y falls (Andrew 1979)."""
    hull: list[tuple[float, float]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(hull) > 1 and _turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return np.array(hull)


def _turns_right(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b is on the line from a to c or above it."""
    return (b[0] - a[0]) * (c[1] - a[1]) <= (b[1] - a[1]) * (c[0] - a[0])
