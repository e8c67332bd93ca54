"""Fits of data with holes: against closed forms, on iris, and from a table with empty cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bnlab as bn
from bnlab.cli import main
from bnlab.cli.models import load_model
from tests.models import ROOT

IRIS = ROOT / "data" / "iris.csv"
PERMUTED = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]


def normal(dim: int) -> bn.Network:
    with bn.Network("normal") as net:
        mu, Sigma = bn.parameter("mu", bn.Real(dim)), bn.parameter("Sigma", bn.Covariance(dim))
        with bn.plate("n"):
            bn.observed("x", bn.Normal(mu, cov=Sigma))
    return net


def tied(components: int) -> bn.Network:
    with bn.Network("tied") as net:
        pi, Sigma = bn.parameter("pi", bn.Simplex(components)), bn.parameter("Sigma", bn.Covariance(4))
        with bn.plate("k", components):
            mu = bn.parameter("mu", bn.Real(4))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma))
    return net


def iris_with_holes() -> np.ndarray:
    """A fifth of all numbers missing, and one flower altogether."""
    x = pd.read_csv(IRIS).select_dtypes("number").to_numpy(float)
    x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    x[7] = np.nan
    return x


def test_a_normal_with_one_column_cut_short_has_a_closed_form() -> None:
    """Anderson (1957): the second column is regressed on the first where both are seen, and follows it elsewhere."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 2)) @ [[1.0, 0.7], [0.0, 0.5]] + [3.0, -2.0]
    x[35:, 1] = np.nan
    fit = bn.fit(normal(2), {"x": x}, tol=0, max_iter=300, progress=False)
    both, first = x[:35], x[:, 0]
    within = np.cov(both.T, bias=True)
    slope = within[0, 1] / within[0, 0]
    mu = [first.mean(), both[:, 1].mean() + slope * (first.mean() - both[:, 0].mean())]
    across = slope * first.var()
    Sigma = [[first.var(), across], [across, within[1, 1] + slope**2 * (first.var() - within[0, 0])]]
    # EM converges at the rate of what is missing, here well below 0.8: 0.8^300 is nothing
    np.testing.assert_allclose(fit.parameters["mu"], mu, rtol=1e-10)
    np.testing.assert_allclose(fit.parameters["Sigma"], Sigma, rtol=1e-9)
    assert (np.diff(fit.log_likelihood) > -1e-9).all()


def test_a_regression_leaves_out_what_has_no_response() -> None:
    with bn.Network("line") as net:
        w, b, v = bn.parameter("w", bn.Real()), bn.parameter("b", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            u = bn.given("u", bn.Real())
            bn.observed("y", bn.Normal(w * u + b, var=v))
    rng = np.random.default_rng(1)
    u = rng.normal(size=50)
    y = 2.0 * u - 1.0 + 0.3 * rng.normal(size=50)
    y[::3] = np.nan
    seen = ~np.isnan(y)
    found = bn.fit(net, {"u": u, "y": y}, tol=0, max_iter=200, progress=False).parameters
    slope, offset = np.polyfit(u[seen], y[seen], 1)
    rest = y[seen] - slope * u[seen] - offset
    np.testing.assert_allclose([found["w"], found["b"]], [slope, offset], rtol=1e-10)
    np.testing.assert_allclose(found["v"], (rest**2).mean(), rtol=1e-10)


def test_counts_that_are_missing_are_not_counted() -> None:
    with bn.Network("counts") as net:
        rate = bn.parameter("rate", bn.Positive(2))
        with bn.plate("n"):
            bn.observed("x", bn.Poisson(rate))
    x = np.array([[3.0, np.nan], [1.0, 4.0], [np.nan, 2.0], [np.nan, np.nan], [2.0, 6.0]])
    fit = bn.fit(net, {"x": x}, max_iter=1, tol=0, progress=False)
    np.testing.assert_allclose(fit.parameters["rate"], np.nanmean(x, axis=0), rtol=1e-15)  # after one step


def test_iris_with_holes() -> None:
    x = iris_with_holes()
    fit = bn.fit(tied(3), {"x": x}, seed=1, max_iter=40, progress=False)
    assert (np.diff(fit.log_likelihood) > -1e-9).all()
    scores, q, z = fit.score({"x": x}), fit.posterior({"x": x})["z"], fit.predict({"x": x})["z"]
    assert scores.sum() == pytest.approx(fit.log_likelihood[-1], rel=1e-12)
    assert abs(scores[7]) < 1e-12  # nothing is known of this flower
    np.testing.assert_allclose(q[7], fit.parameters["pi"], atol=1e-12)
    assert (z == q.argmax(-1)).all() and np.isfinite(q).all()
    truth = pd.read_csv(IRIS).iloc[:, -1].astype("category").cat.codes.to_numpy()
    agree = max(np.mean(np.take(order, z) == truth) for order in PERMUTED)
    assert agree > 0.85  # with nothing missing a tied mixture finds some nine in ten


def test_empty_cells_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.read_csv(ROOT / "data" / "faithful.csv")
    rows.iloc[::7, 0] = np.nan
    rows.iloc[3::11, 1] = np.nan
    path = tmp_path / "holes.csv"
    rows.to_csv(path, index=False)
    assert "\n," in path.read_text() or ",\n" in path.read_text()
    gmm = str(ROOT / "models" / "gmm.py")
    assert main(["fit", gmm, "--data", str(path), "--tol", "1e-10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    net = load_model(gmm).network
    expected = bn.fit(net, {"x": rows.to_numpy(float)}, tol=1e-10, progress=False).log_likelihood[-1]
    assert found["log_likelihood"] == pytest.approx(expected, rel=1e-9)


def test_a_column_without_any_value_is_named() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2))
    x[:, 1] = np.nan
    with pytest.raises(bn.DataError, match="x, column 1, is missing in every row"):
        bn.fit(normal(2), {"x": x}, progress=False)


def test_complete_data_get_the_file_for_complete_data() -> None:
    assert "isnan" not in bn.emit(normal(2), "em")
    assert "jnp.isnan(x)" in bn.emit(normal(2), "em", missing=("x",))


def test_the_derivation_tells_the_conditional_moments() -> None:
    text = bn.emit(normal(2), "latex", missing=("x",))
    assert r"\section{Missing numbers}" in text
    assert r"\Sigma_{mm} - \Sigma_{ms} \Sigma_{ss}^{-1} \Sigma_{sm}" in text
    assert "Missing numbers" not in bn.emit(normal(2), "latex")


def test_covariances_stay_symmetric_where_a_filter_reads_vectors_with_gaps() -> None:
    """An effect of the sequence beside a chain once made rounding grow threefold an iteration, until the objective fell."""
    with bn.Network("levels") as net:
        F, H = bn.parameter("F", bn.Real(2, 2)), bn.parameter("H", bn.Real(2, 2))
        q, t2 = bn.parameter("q", bn.Positive(2)), bn.parameter("t2", bn.Positive())
        d, R = bn.parameter("d", bn.Real(2)), bn.parameter("R", bn.Covariance(2))
        with bn.plate("s"):
            e = bn.latent("e", bn.Normal(bn.zeros(), var=t2))
            with bn.chain("t"):
                first = bn.Normal(bn.zeros(2), cov=bn.eye(2))
                y = bn.latent("y", bn.Normal(F @ bn.previous("y"), var=q), first=first)
                bn.observed("x", bn.Normal(H @ y + d + e * bn.constant([1.0, 1.0]), cov=R))
    rng = np.random.default_rng(7)
    x = [rng.normal(size=(n, 2)) for n in (3, 1, 4)]
    x[0][1] = x[1][0, 1] = x[2][0] = x[2][3, 0] = np.nan
    start = {"F": [[0.8, 0.2], [-0.2, 0.7]], "q": [0.3, 0.4], "H": [[1, 0.2], [0, 1.0]], "d": [0.1, -0.2]}
    start |= {"R": [[0.4, 0.1], [0.1, 0.5]], "t2": 0.6}
    fit = bn.fit(net, {"x": x}, init=start, max_iter=100, tol=0, progress=False)
    assert fit.status == "max_iter"
    assert (np.diff(fit.objective) > 0).all()
    found = fit.parameters["R"]
    np.testing.assert_allclose(found, found.T, rtol=1e-12)
