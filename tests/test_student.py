"""Student's t: draws, robust fits, degrees of freedom, shapes, and bounds that are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import bnlab as bn


def one(df: Any, dim: int = 0) -> bn.Network:
    """One Student t a row."""
    with bn.Network("one") as net:
        mu = bn.parameter("mu", bn.Real(dim) if dim else bn.Real())
        if df == "learnt":
            df = bn.parameter("nu", bn.Positive())
        scale: dict[str, Any] = (
            {"scale_matrix": bn.parameter("Sigma", bn.Covariance(dim))}
            if dim
            else {"scale": bn.parameter("s", bn.Positive())}
        )
        with bn.plate("n"):
            bn.observed("x", bn.StudentT(df, mu, **scale))
    return net


def test_all_three_parameters_are_what_scipy_finds() -> None:
    x = stats.t.rvs(3.5, loc=2.0, scale=0.5, size=2000, random_state=1)
    fit = bn.fit(one("learnt"), {"x": x}, max_iter=2000, tol=1e-12, progress=False)
    df, location, scale = stats.t.fit(x, 4.0, loc=2.0, scale=0.5)
    found = [float(fit.parameters[name]) for name in ("nu", "mu", "s")]
    np.testing.assert_allclose(
        found, [df, location, scale], rtol=1e-3
    )  # SciPy's simplex search is that exact
    # EM's own end is no worse, to the 1e-12 of the objective at which it stops
    assert fit.log_likelihood[-1] >= stats.t.logpdf(x, df, location, scale).sum() - 1e-6


def test_the_density_of_vectors_is_scipys() -> None:
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    x = np.random.default_rng(0).normal(size=(9, 2))
    fit = bn.fit(one(3.0, 2), {"x": x}, init={"mu": [1.0, 2.0], "Sigma": matrix}, max_iter=0, progress=False)
    expected = stats.multivariate_t([1.0, 2.0], matrix, df=3.0).logpdf(x).sum()
    assert fit.log_likelihood[0] == pytest.approx(expected, rel=1e-13)


def test_outliers_weigh_little() -> None:
    x = np.r_[np.linspace(-1, 1, 41), 1000.0, 2000.0]
    fit = bn.fit(one(3.0), {"x": x}, progress=False)
    assert abs(fit.parameters["mu"]) < 0.1 < 60 < abs(x.mean())


def test_draws_have_the_covariance_that_the_scale_matrix_implies() -> None:
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    x = bn.sample(one(8.0, 2), {"mu": [1.0, -1.0], "Sigma": matrix}, {"n": 40_000}, seed=2)["x"]
    np.testing.assert_allclose(x.mean(0), [1.0, -1.0], atol=5 * (8 / 3 / 40_000) ** 0.5)  # 5 standard errors
    # df / (df - 2) times as large; the standard error of a variance is sqrt(kurtosis 4.5 - 1) / 200 of it
    np.testing.assert_allclose(np.cov(x.T), matrix * 8 / 6, atol=5 * 3.5**0.5 / 200 * 8 / 3)


def test_moments_of_scalar_draws() -> None:
    x = bn.sample(one(10.0), {"mu": 3.0, "s": 2.0}, {"n": 40_000}, seed=3)["x"]
    assert abs(x.mean() - 3) < 5 * (5 / 40_000) ** 0.5  # the variance is 4 * 10 / 8
    assert abs(x.var() / 5 - 1) < 5 * (3 / 40_000) ** 0.5  # a kurtosis of 4, less 1


def test_a_collapsed_scale_is_held_and_reported() -> None:
    """More than half of the data are one number: the likelihood has no maximum."""
    x = np.r_[np.full(40, 2.0), np.linspace(-3, 5, 9)]
    fit = bn.fit(one(1.0), {"x": x}, max_iter=500, progress=False)
    assert fit.status == "degenerate" and np.isfinite(fit.log_likelihood).all()
    assert any("s: " in str(warning) for warning in fit.warnings)


@pytest.mark.parametrize(
    ("declare", "part"),
    [
        (lambda: bn.StudentT(3.0, 0.0), "needs one of scale, scale_matrix"),
        (lambda: bn.StudentT(3.0, 0.0, scale=1.0, scale_matrix=np.eye(1)), "takes only one of them"),
        (lambda: bn.StudentT(3.0, np.zeros(2), scale_matrix=np.eye(3)), "must have shape (2, 2)"),
        (lambda: bn.StudentT([1.0, 2.0], np.zeros(2), scale=1.0), "The df of a StudentT is one number"),
        (lambda: bn.StudentT(3.0, np.zeros(2), cov=np.eye(2)), "StudentT takes no cov="),
    ],
)
def test_faults_of_shapes(declare: Any, part: str) -> None:
    with pytest.raises(bn.ModelError) as error, bn.Network("net"), bn.plate("n"):
        bn.observed("x", declare())
    assert part in str(error.value)


# -- vectors of which entries are missing


def with_holes(rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Draws of a t with 4 degrees of freedom; a third of the numbers missing, and one row altogether."""
    matrix = np.array([[2.0, 0.9, 0.3], [0.9, 1.0, -0.2], [0.3, -0.2, 0.5]])
    x = stats.multivariate_t.rvs([1.0, 2.0, -1.0], matrix, df=4.0, size=rows, random_state=3)
    x[np.random.default_rng(4).random(x.shape) < 0.33] = np.nan
    x[5] = np.nan
    return x, matrix


def marginal(x: np.ndarray, mu: np.ndarray, matrix: np.ndarray, df: float) -> float:
    """ln p of what is seen: rows and columns of what is missing are left out of the scale matrix."""
    total = 0.0
    for row in x:
        (seen,) = np.flatnonzero(~np.isnan(row)).reshape(1, -1)
        if len(seen):
            total += stats.multivariate_t.logpdf(row[seen], mu[seen], matrix[np.ix_(seen, seen)], df=df)
    return float(total)


def test_what_is_seen_of_a_vector_is_scipys_marginal() -> None:
    x, matrix = with_holes()
    start = {"mu": [0.5, 1.0, -0.5], "Sigma": matrix, "nu": 2.5}
    fit = bn.fit(one("learnt", 3), {"x": x}, init=start, max_iter=0, progress=False)
    expected = marginal(x, np.array(start["mu"]), matrix, 2.5)
    assert fit.log_likelihood[0] == pytest.approx(expected, rel=1e-12)


def test_the_maximum_with_holes_is_that_of_the_marginal_densities() -> None:
    """No direction leads up from where EM ends, by SciPy's densities and differences of them."""
    x, _ = with_holes()
    fit = bn.fit(one("learnt", 3), {"x": x}, max_iter=5000, tol=1e-13, progress=False)
    assert (np.diff(fit.log_likelihood) > -1e-9).all()  # rounding
    mu, Sigma, nu = (np.asarray(fit.parameters[name]) for name in ("mu", "Sigma", "nu"))
    best = marginal(x, mu, Sigma, float(nu))
    assert fit.log_likelihood[-1] == pytest.approx(best, rel=1e-12)
    rng, step = np.random.default_rng(0), 1e-4
    for _ in range(12):
        away, turn, more = rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal()
        values = [
            marginal(
                x,
                mu + s * away,
                (np.eye(3) + s * turn) @ Sigma @ (np.eye(3) + s * turn.T),
                nu * np.exp(s * more),
            )
            for s in (step, -step)
        ]
        assert (
            abs(values[0] - values[1]) / (2 * step) < 1e-3
        )  # where EM stops, 1e-4; with the weight on Cov(x), up to 2.7
        assert max(values) < best + 1e-8


def test_a_diagonal_scale_takes_no_part_of_what_is_missing() -> None:
    """One weight for the vector: what is seen is still no product of densities."""
    with bn.Network("apart") as net:
        mu, s = bn.parameter("mu", bn.Real(3)), bn.parameter("s", bn.Positive(3))
        with bn.plate("n"):
            bn.observed("x", bn.StudentT(3.0, mu, scale=s))
    x, _ = with_holes()
    centre, scale = np.array([0.5, 1.0, -0.5]), np.array([1.2, 0.7, 0.5])
    fit = bn.fit(net, {"x": x}, init={"mu": centre, "s": scale}, max_iter=30, tol=0, progress=False)
    assert fit.log_likelihood[0] == pytest.approx(marginal(x, centre, np.diag(scale**2), 3.0), rel=1e-12)
    assert (np.diff(fit.log_likelihood) > -1e-9).all()


def test_the_derivation_tells_what_is_seen_of_a_vector() -> None:
    text = bn.emit(one("learnt", 3), "latex", missing=("x",))
    assert r"\mathrm{E}[u \mid x_{n,s}] &= \frac{\nu + D_s}{\nu + \Delta_s}" in text
    assert (
        r"u \operatorname{Cov}(x_{n,m} \mid x_{n,s}, u) &= \Sigma_{mm} - \Sigma_{ms} \Sigma_{ss}^{-1} \Sigma_{sm}"
        in text
    )
