"""Standard errors of EM, against textbook formulas, Louis' identity, and draws."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bnlab as bn
from bnlab.errors import FitError
from bnlab.runtime.coordinates import coordinates
from tests.test_samplers import mean_with_prior, mixture, two_groups


def normal() -> bn.Network:
    with bn.Network("normal") as net:
        m = bn.parameter("m", bn.Real())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            bn.observed("x", bn.Normal(m, var=v))
    return net


def overlapping(rows: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {"x": np.concatenate([rng.normal(-1, 1, rows // 2), rng.normal(2, 1, rows - rows // 2)])}


def test_errors_of_a_normal_are_the_textbooks() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, 50)
    errors = bn.fit(normal(), {"x": x}, tol=0, max_iter=2, progress=False).standard_errors()
    # sd / sqrt(n) and var sqrt(2 / n); the rest is rounding of the second derivative
    np.testing.assert_allclose(errors["m"], x.std() / 50**0.5, rtol=1e-9)
    np.testing.assert_allclose(errors["v"], x.var() * (2 / 50) ** 0.5, rtol=1e-9)


def test_errors_of_probabilities_are_the_multinomials() -> None:
    with bn.Network("counts") as net:
        p = bn.parameter("p", bn.Simplex(3))
        with bn.plate("n"):
            bn.observed("x", bn.Categorical(p))
    x = np.repeat(
        [0, 1], [30, 10]
    )  # a category that was never seen has probability 0: structure, with no error
    fit = bn.fit(net, {"x": x}, progress=False)
    np.testing.assert_allclose(fit.standard_errors()["p"], [(0.75 * 0.25 / 40) ** 0.5] * 2 + [0.0], rtol=1e-9)


def test_information_is_louis_identity() -> None:
    """E[-d2 ln p(x, z)] - Cov[d ln p(x, z)] under the posterior, row by row, from formulas written here."""
    data = overlapping()
    fit = bn.fit(mixture(), data, tol=1e-13, max_iter=5000, progress=False)
    found = fit.information()
    chart = coordinates(fit.network.graph, fit.parameters)

    def complete(u: Any, x: Any, k: int) -> Any:
        theta = chart.theta(u)
        mu, v = theta["mu"][k], theta["v"][k]
        return jnp.log(theta["pi"][k]) - 0.5 * (jnp.log(2 * jnp.pi * v) + (x - mu) ** 2 / v)

    zero, q = jnp.zeros(len(chart.names)), fit.posterior()["z"]
    louis = np.zeros((len(zero), len(zero)))
    rows = jnp.asarray(data["x"])
    each = [
        jax.jit(jax.vmap(partial(of(complete), zero, k=k)))
        for k in range(2)
        for of in (jax.grad, jax.hessian)
    ]
    gradients, hessians = (np.stack([one(rows) for one in each[kind::2]], 1) for kind in range(2))
    for slopes, bends, weights in zip(gradients, hessians, q, strict=True):
        mean = weights @ slopes
        spread = np.einsum("k,ki,kj->ij", weights, slopes, slopes) - np.outer(mean, mean)
        louis += -np.einsum("k,kij->ij", weights, bends) - spread
    # the same sums in another order; both are exact second derivatives
    np.testing.assert_allclose(found.matrix, louis, rtol=1e-8, atol=1e-8 * np.abs(louis).max())


def test_coordinates_start_at_the_estimate_and_stay_in_the_domains() -> None:
    with bn.Network("all") as net:
        p = bn.parameter("p", bn.Simplex(3))
        with bn.plate("k", 3):
            mu = bn.parameter("mu", bn.Real(2))
            S = bn.parameter("S", bn.Covariance(2))
            r = bn.parameter("r", bn.Probability())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(p))
            bn.observed("x", bn.Normal(mu[z], cov=S[z]))
            bn.observed("y", bn.Bernoulli(r[z]))
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(3, 2, 2))
    theta = {
        "p": np.array([0.3, 0.0, 0.7]),
        "mu": rng.normal(size=(3, 2)),
        "S": roots @ roots.swapaxes(-1, -2) + np.eye(2),
        "r": np.array([0.2, 0.5, 0.9]),
    }
    chart = coordinates(net.graph, theta)
    assert len(chart.names) == len(set(chart.names)) == 1 + 6 + 9 + 3  # p[1] is 0 and stays so
    for name, value in chart.theta(jnp.zeros(19)).items():
        np.testing.assert_allclose(value, theta[name], rtol=1e-12, atol=1e-12)
    moved = chart.theta(jnp.asarray(rng.normal(size=19)))
    assert moved["p"][1] == 0 and abs(moved["p"].sum() - 1) < 1e-12
    assert np.linalg.eigvalsh(moved["S"]).min() > 0 and 0 < moved["r"].min() and moved["r"].max() < 1


def test_a_direction_without_information_is_named() -> None:
    data = overlapping()
    alike = {"pi": [0.5, 0.5], "mu": [0.5, 0.5], "v": [1.0, 1.0]}
    with pytest.raises(FitError, match=r"pi\[1\]|pi\[0\]") as caught:
        bn.fit(mixture(), data, init=alike, max_iter=0, progress=False).standard_errors()
    assert "n_init" in str(caught.value)


def components(size: int) -> bn.Network:
    with bn.Network("components") as net:
        W = bn.parameter("W", bn.Real(4, size))
        sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(np.zeros(size), cov=np.eye(size)))
            bn.observed("x", bn.Normal(W @ y, var=sigma2))
    return net


def test_loadings_that_can_be_turned_have_no_errors() -> None:
    """Also where EM stopped short of the maximum, so that the curvature along the rotation is not 0."""
    rng = np.random.default_rng(0)
    x = 2 * rng.normal(size=(200, 2)) @ rng.normal(size=(2, 4)) + 0.5 * rng.normal(size=(200, 4))
    with pytest.raises(FitError, match="latent `y` can be turned and mirrored, and `W` with it"):
        bn.fit(components(2), {"x": x}, progress=False).standard_errors()
    one = bn.fit(components(1), {"x": x}, progress=False, tol=1e-10).standard_errors()
    assert all(np.all(np.isfinite(error) & (error > 0)) for error in one.values())  # a sign is no direction


def test_errors_before_the_maximum_come_with_a_warning() -> None:
    early = bn.fit(mixture(), overlapping(), tol=0, max_iter=3, progress=False).information()
    late = bn.fit(mixture(), overlapping(), tol=1e-12, max_iter=3000, progress=False).information()
    assert early.warnings() and not late.warnings()


def test_nothing_is_compiled_for_a_second_fit_of_the_same_shapes(caplog: pytest.LogCaptureFixture) -> None:
    def once(seed: int) -> None:
        x = np.random.default_rng(seed).normal(2.0, 2.0, 30)
        fit = bn.fit(mean_with_prior(), {"x": x}, progress=False)
        fit.standard_errors()
        fit.laplace(10, seed=seed)

    once(0)
    with jax.log_compiles():
        once(1)
        again = [record for record in caplog.records if "Compiling" in record.message]
        jax.jit(lambda x: x + 1)(1.0)  # what is compiled is heard of
    assert not again and any("Compiling" in record.message for record in caplog.records)


def test_bootstrap_agrees_with_the_curvature_where_data_are_many() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, 200)
    fit = bn.fit(normal(), {"x": x}, progress=False)
    found = fit.bootstrap(200, seed=1, progress=False)
    errors, curvature = found.standard_errors(), fit.standard_errors()
    for name in ("m", "v"):  # 5 standard errors of a deviation from 200 draws
        assert abs(errors[name] / curvature[name] - 1) < 5 / 400**0.5
    low, high = found.intervals(0.9)["m"]
    assert low < fit.parameters["m"] < high and found.draws["m"].shape == (1, 200)
    assert found.statuses == {"converged": 200}
    with pytest.raises(FitError, match="Weighted"):
        bn.fit(normal(), {"x": x}, weights=np.ones(200), progress=False).bootstrap(5, progress=False)


def test_hard_em_has_no_errors() -> None:
    fit = bn.fit(mixture(), two_groups(), "viterbi", progress=False)
    with pytest.raises(FitError, match="Hard EM"):
        fit.standard_errors()


def test_a_loaded_fit_wants_its_data(tmp_path: Any) -> None:
    x = {"x": np.arange(10.0)}
    fit = bn.fit(normal(), x, progress=False)
    fit.save(tmp_path / "fit.nc")
    loaded = bn.load(tmp_path / "fit.nc")
    with pytest.raises(FitError, match="does not know its data"):
        loaded.standard_errors()
    np.testing.assert_array_equal(loaded.standard_errors(x)["m"], fit.standard_errors()["m"])


def test_laplace_of_a_normal_posterior_is_exact() -> None:
    x = np.random.default_rng(1).normal(2.0, 2.0, 30)
    fit = bn.fit(mean_with_prior(), {"x": x}, progress=False)
    precision = 1 / 4 + len(x) / 4  # of the prior and of the data
    np.testing.assert_allclose(fit.standard_errors()["m"], precision**-0.5, rtol=1e-10)
    draws = fit.laplace(4000, seed=1)["m"]
    assert draws.shape == (1, 4000)
    # 5 standard errors of a mean and of a deviation from 4000 draws
    assert abs(draws.mean() - fit.parameters["m"]) < 5 * precision**-0.5 / 4000**0.5
    assert abs(draws.std() * precision**0.5 - 1) < 5 / 8000**0.5
