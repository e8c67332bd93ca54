"""Accelerated EM: it reaches the same optimum in fewer E-steps, never falls, and goes on from a file to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

import bnlab as bn
from bnlab.runtime import em
from bnlab.runtime.em_leap import LEAP, extrapolated
from tests.models import model


def creeping(limit: Any, start: Any, rate: float) -> tuple[Any, Any, Any]:
    """Three iterates that approach a limit at a rate, as EM does in the end."""
    return tuple(jnp.asarray(limit + rate**n * (np.asarray(start) - limit)) for n in range(3))  # type: ignore


def leap(kind: Any, at: tuple[Any, Any, Any], reach: float = 1e6) -> tuple[np.ndarray, float]:
    with jax.enable_x64(True):
        value, length = extrapolated(
            kind, tuple(jnp.asarray(np.asarray(one)) for one in at), jnp.asarray(reach)
        )
        return np.asarray(value), float(length)


# Where three iterates lead


def test_three_iterates_on_a_line_lead_to_their_limit() -> None:
    """The limit in each kind's own coordinates, where the iterates approach it at a rate of 0.99."""
    with jax.enable_x64(True):
        line = creeping(np.array([1.0, -2.0]), [1.3, -1.9], 0.99)
        value, length = leap("real", line)
        np.testing.assert_allclose(value, [1.0, -2.0], atol=1e-9)  # r / (1 - rate)^2 of rounding
        assert length == pytest.approx(100)
        value, _ = leap("positive", tuple(np.exp(one) for one in line))
        np.testing.assert_allclose(value, np.exp([1.0, -2.0]), rtol=1e-9)
        value, _ = leap("probability", tuple(1 / (1 + np.exp(-one)) for one in line))
        np.testing.assert_allclose(value, 1 / (1 + np.exp([-1.0, 2.0])), rtol=1e-9)
        (chances,) = ([np.exp(one) / np.exp(one).sum() for one in line],)
        value, _ = leap("simplex", tuple(chances))
        # The normaliser bends the way a little, so the limit is met to the second order of the distance, 0.3.
        np.testing.assert_allclose(value, np.exp([1, -2]) / np.exp([1, -2]).sum(), atol=0.01)
        scales = tuple(np.exp(one)[:, None, None] * np.array([[2.0, 0.5], [0.5, 1.0]]) for one in line)
        value, _ = leap("cov", scales)
        np.testing.assert_allclose(value, np.exp([1, -2])[:, None, None] * [[2, 0.5], [0.5, 1]], rtol=1e-9)


def test_what_is_0_or_1_stays_and_the_rest_stays_inside() -> None:
    rows = [np.array([[0.0, 0.5 - d, 0.5 + d], [1.0, 0.0, 0.0]]) for d in (0.1, 0.2, 0.25)]
    value, length = leap("simplex", tuple(rows))
    assert length > 1 and (value[0, 1:] > 0).all()
    np.testing.assert_array_equal(value == 0, rows[2] == 0)
    np.testing.assert_allclose(value.sum(-1), 1, rtol=1e-15)
    value, _ = leap("probability", tuple(np.array([0.0, 1.0, p]) for p in (0.1, 0.05, 0.03)))
    np.testing.assert_array_equal(value[:2], [0.0, 1.0])
    assert 0 < value[2] < 0.03


def test_no_logarithm_is_moved_far_beyond_what_em_has_seen() -> None:
    """A chance that halves each time looks as if it went to 0: it has to be seen to."""
    value, _ = leap("positive", tuple(np.array([0.5**n, 1.0]) for n in range(3)))
    assert np.log(0.25 / value[0]) == pytest.approx(LEAP) and value[1] == 1.0


def test_at_rest_and_within_a_reach_of_1_it_is_the_last_iterate() -> None:
    rest = np.array([1.0, 2.0])
    value, length = leap("real", (rest, rest, rest))
    np.testing.assert_array_equal(value, rest)
    assert length == 1
    moving = creeping(np.zeros(2), [1.0, 2.0], 0.9)
    value, length = leap("real", moving, reach=1.0)
    np.testing.assert_array_equal(value, moving[2])
    assert length == 1


# Fits


def both(name: str, tol: float, **options: Any) -> tuple[Any, Any]:
    loaded = model(name)
    given = {"tol": tol, "max_iter": 100_000, "progress": False} | options
    plain, quick = (bn.fit(loaded.network, loaded.example(), accelerate=a, **given) for a in (False, True))
    assert plain.effort["e_steps"] == plain.n_iter + 1
    assert quick.effort["e_steps"] >= quick.n_iter + 1
    assert (np.diff(quick.objective) >= -1e-10 * (1 + abs(quick.objective[-1]))).all()  # rounding
    return plain, quick


def test_eight_schools_where_em_creeps_to_a_variance_of_0() -> None:
    """At tau = 0 all schools are equal and mu is their weighted mean: the maximum in closed form."""
    data = model("eight_schools").example()
    mean = np.average(data["effect"], weights=data["std"] ** -2)
    highest = norm.logpdf(data["effect"], mean, data["std"]).sum()
    plain, quick = both("eight_schools", 1e-8)
    assert quick.converged and quick.effort["e_steps"] < plain.effort["e_steps"] / 20
    assert highest - quick.log_likelihood[-1] < highest - plain.log_likelihood[-1] < 0.01
    # Near the edge what is missing is about the square root of a step's rise, and a rise of 1e-8 (1 + 30) stops it.
    assert highest - quick.log_likelihood[-1] < 1e-3


def test_dyestuff_whose_variances_are_inside() -> None:
    plain, quick = both("random_intercept", 1e-10)
    for found in (plain, quick):
        assert found.log_likelihood[-1] == pytest.approx(-163.66352994, abs=1e-7)  # lme4
    assert quick.effort["e_steps"] < plain.effort["e_steps"]
    assert quick.parameters["between"] == pytest.approx(37.2603**2, rel=1e-4)


def test_weak_loadings_against_an_optimiser() -> None:
    """Six measurements that have a fifth of their variance in common."""
    random = np.random.default_rng(0)
    loadings = np.array([0.5, 0.45, 0.4, 0.4, 0.35, 0.5])
    x = random.standard_normal((400, 1)) * loadings + random.standard_normal((400, 6)) * 0.9
    given = {"init": {"W": np.full((6, 1), 0.1)}, "tol": 1e-10, "max_iter": 100_000, "progress": False}
    net = model("factor_analysis", dim=6).network
    plain, quick = (bn.fit(net, {"x": x}, accelerate=a, **given) for a in (False, True))
    assert quick.converged and quick.effort["e_steps"] < plain.effort["e_steps"]

    def minus(u: np.ndarray) -> float:
        cov = np.outer(u[:6], u[:6]) + np.diag(np.exp(u[6:]))
        centred = x - x.mean(0)
        size = np.linalg.slogdet(2 * np.pi * cov)[1]
        return 0.5 * len(x) * (size + np.trace(np.linalg.solve(cov, centred.T @ centred)) / len(x))

    best = minimize(minus, np.append(loadings, np.zeros(6)), method="BFGS", options={"gtol": 1e-6})
    for found in (plain, quick):
        assert found.log_likelihood[-1] == pytest.approx(-best.fun, abs=1e-5)  # rises of 1e-10 (1 + 3300)


def test_zeros_are_kept_and_entries_are_those_of_the_parameters() -> None:
    loaded = model("hmm_categorical")
    net, data = loaded.network, loaded.example()
    start = dict(bn.fit(net, data, init="random", max_iter=0, progress=False).parameters)
    start |= {
        "pi": np.eye(len(start["pi"]))[0],
        "A": np.triu(start["A"]) / np.triu(start["A"]).sum(1)[:, None],
    }
    whole = bn.fit(net, data, init=start, accelerate=True, tol=0, max_iter=6, progress=False)
    for name, value in whole.parameters.items():
        np.testing.assert_array_equal(np.asarray(value) == 0, start[name] == 0)
    assert whole.n_iter == 6 and whole.status == "max_iter"
    for stop in (0, 1, 2, 3, 6):
        found = bn.fit(net, data, init=start, accelerate=True, tol=0, max_iter=stop, progress=False)
        np.testing.assert_array_equal(found.log_likelihood, whole.log_likelihood[: stop + 1])
        # The same parameters by another program: sums in another order.
        assert found.score().sum() == pytest.approx(found.log_likelihood[-1], rel=1e-10)


def test_it_goes_on_from_a_file_and_in_any_portions_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = model("eight_schools")

    def fit(**options: Any) -> Any:
        given = {
            "accelerate": True,
            "tol": 0,
            "max_iter": 40,
            "progress": False,
            "n_init": 2,
            "init": "random",
        }
        return bn.fit(loaded.network, loaded.example(), **(given | options))

    unbroken = fit()
    path = tmp_path / "fit.ckpt"
    for reached in (1, 2, 6, 40):  # in the middle of a cycle and at its end
        resumed = fit(checkpoint=path, max_iter=reached)
    with pytest.raises(bn.FitError, match="method"):
        fit(checkpoint=path, accelerate=False)
    monkeypatch.setattr(em, "CHUNK", 1)
    for other in (resumed, fit(), fit(batch=2)):
        np.testing.assert_array_equal(other.objective, unbroken.objective)
        for name, value in unbroken.parameters.items():
            np.testing.assert_array_equal(other.parameters[name], value)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("viterbi", {"accelerate": True}, 'method "viterbi" has no option accelerate.'),
        ("em", {"accelerate": "yes"}, "accelerate is 'yes'; it is True or False."),
    ],
)
def test_what_cannot_be_accelerated_is_refused(method: str, options: dict[str, Any], said: str) -> None:
    loaded = model("gmm")
    with pytest.raises(bn.FitError, match=said):
        bn.fit(loaded.network, loaded.example(), method, progress=False, **options)
