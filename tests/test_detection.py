"""Error rates of scores, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

import bnlab as bn

EXACT = 1e-12  # a few sums and quotients of small numbers


def test_the_curve_has_both_rates_at_every_threshold() -> None:
    curve = bn.det_curve([2, 3, 3], [1, 2])
    np.testing.assert_array_equal(curve.threshold, [1, 2, 3, np.inf])
    np.testing.assert_allclose(curve.miss, [0, 0, 1 / 3, 1], atol=EXACT)
    np.testing.assert_allclose(curve.false_alarm, [1, 1 / 2, 0, 0], atol=EXACT)


@pytest.mark.parametrize(
    ("target", "nontarget", "rate"),
    [
        ([2, 3], [0, 1], 0),  # told apart
        ([0, 1], [2, 3], 1 / 2),  # the wrong way round: the hull is the line from (0, 1) to (1, 0)
        ([1], [1], 1 / 2),  # ties tell nothing
        ([1, 3], [0, 2], 1 / 4),  # hull (0, 1/2) (1/2, 0), on the diagonal at 1/4
        ([2, 3, 3], [1, 2], 1 / 5),  # hull (0, 1/3) (1/2, 0): 1/3 - 2x/3 = x at 1/5
    ],
)
def test_equal_error_rate_of_the_hull(target: list[float], nontarget: list[float], rate: float) -> None:
    assert bn.eer(target, nontarget) == pytest.approx(rate, abs=EXACT)


def test_least_cost_is_a_part_of_that_of_saying_always_the_same() -> None:
    target, nontarget = [1, 3], [0, 2]
    # thresholds 0 1 2 3 inf: miss 0 0 1/2 1/2 1, false alarms 1 1/2 1/2 0 0
    assert bn.min_dcf(target, nontarget, prior=0.5) == pytest.approx(1 / 2, abs=EXACT)
    assert bn.min_dcf(target, nontarget) == pytest.approx(1 / 2, abs=EXACT)  # 3 rejects half, no false alarm
    # 0.1 * miss * 1 + 0.9 * 0.05 * false alarms: at threshold 1 it is 0.0225, of 0.045
    assert bn.min_dcf(target, nontarget, 0.1, 1, 0.05) == pytest.approx(1 / 2, abs=EXACT)
    assert bn.min_dcf([0], [1], prior=0.5) == 1


def test_cost_of_log_ratios_in_bits() -> None:
    assert bn.cllr([0, 0], [0]) == pytest.approx(1, abs=EXACT)
    # targets at odds of 3: log2(4/3); non-targets at odds of 1: 1 bit
    assert bn.cllr([np.log(3)], [0]) == pytest.approx((np.log2(4 / 3) + 1) / 2, abs=EXACT)
    assert bn.cllr([np.inf], [-np.inf]) == 0
    assert bn.cllr([-1000.0], [1000.0]) == pytest.approx(1000 / np.log(2))  # no overflow


@pytest.mark.parametrize("measure", [bn.eer, bn.min_dcf, bn.cllr, bn.det_curve])
def test_no_scores_and_no_numbers_are_refused_together(measure: object) -> None:
    with pytest.raises(bn.DataError, match="(?s)no target scores.*1 of the nontarget scores are NaN"):
        measure([], [0, np.nan])  # type: ignore[operator]


@pytest.mark.parametrize("scores", [["a"], [1 + 2j]])
def test_scores_are_real_numbers(scores: list) -> None:
    with pytest.raises(bn.DataError, match="target scores are no real numbers"):
        bn.eer(scores, [1.0])


def test_a_prior_is_a_probability() -> None:
    with pytest.raises(bn.DataError, match="prior is 2"):
        bn.min_dcf([1], [0], prior=2)
