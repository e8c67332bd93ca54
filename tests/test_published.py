"""Results that others have published, or that were recomputed with other programs, to the digits given.

Log-likelihoods are totals. Every tolerance is half a unit of the last digit given. Starts are fixed by the seed, and the best
of several is taken: all models here have local optima.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bnlab as bn
from tests.models import model

DATA = Path(__file__).parent.parent / "data"
TIGHT = {"tol": 1e-13, "max_iter": 5000, "seed": 0, "progress": False}


@pytest.fixture(scope="module")
def faithful() -> np.ndarray:
    return np.loadtxt(DATA / "faithful.csv", delimiter=",", skiprows=1)


@pytest.fixture(scope="module")
def fedfunds() -> np.ndarray:
    return np.loadtxt(DATA / "fedfunds.csv", skiprows=1)


def tied_diagonal() -> bn.Network:
    """Two components that share one diagonal covariance."""
    with bn.Network("tied_diagonal") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        sigma2 = bn.parameter("sigma2", bn.Positive(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=sigma2))
    return net


@pytest.mark.parametrize(
    ("network", "log_likelihood", "digits"),
    [
        (model("gmm").network, -1130.26396, 5),
        (model("gmm_tied").network, -1140.1868, 4),
        (model("gmm_diagonal").network, -1147.8064, 4),
        (tied_diagonal(), -1157.6800, 4),
        (model("gmm_spherical").network, -1709.5293, 4),
    ],
    ids=lambda value: value.name if isinstance(value, bn.Network) else "",
)
def test_old_faithful_two_components(
    faithful: np.ndarray, network: bn.Network, log_likelihood: float, digits: int
) -> None:
    fit = bn.fit(network, {"x": faithful}, n_init=5, **TIGHT)
    assert fit.status == "converged"
    assert fit.log_likelihood[-1] == pytest.approx(log_likelihood, abs=0.5 * 10**-digits)


def test_old_faithful_three_tied_components(faithful: np.ndarray) -> None:
    """mclust stops at -1126.326; the best of many random starts elsewhere is -1126.3159."""
    network = model("gmm_tied", components=3).network
    fit = bn.fit(network, {"x": faithful}, init="random", n_init=30, **TIGHT)
    assert fit.log_likelihood[-1] == pytest.approx(-1126.3159, abs=5e-5)


def test_old_faithful_three_components(faithful: np.ndarray) -> None:
    """-1119.21 is what most random starts reach; mclust stops below its own tied model."""
    network = model("gmm", components=3).network
    fit = bn.fit(network, {"x": faithful}, init="random", n_init=10, **TIGHT)
    assert fit.log_likelihood[-1] >= -1119.21 - 5e-3


def test_waiting_times_of_equal_variance(faithful: np.ndarray) -> None:
    """mixtools' worked example."""
    fit = bn.fit(model("gmm_univariate_tied").network, {"x": faithful[:, 1]}, **TIGHT)
    assert fit.log_likelihood[-1] == pytest.approx(-1034.00176, abs=5e-6)
    order = np.argsort(fit.parameters["mu"])
    np.testing.assert_allclose(fit.parameters["mu"][order], [54.6136, 80.0903], atol=5e-5)
    np.testing.assert_allclose(np.sqrt(fit.parameters["sigma2"]), 5.8691, atol=5e-5)
    assert fit.parameters["pi"][order[0]] == pytest.approx(0.36085, abs=5e-6)


def test_federal_funds_tied_variance(fedfunds: np.ndarray) -> None:
    fit = bn.fit(model("hmm_tied").network, {"x": fedfunds}, n_init=3, **TIGHT)
    assert fit.log_likelihood[-1] == pytest.approx(-508.30998854, abs=5e-9)
    order = np.argsort(fit.parameters["mu"])
    # the optimum is flat: a likelihood right to 1e-9 leaves parameters right to some 1e-6
    np.testing.assert_allclose(fit.parameters["mu"][order], [3.70777609, 9.55418418], atol=2e-6)
    assert fit.parameters["sigma2"] == pytest.approx(4.4422012, abs=2e-6)
    transitions = fit.parameters["A"][np.ix_(order, order)]
    np.testing.assert_allclose(transitions, [[0.98047, 0.01953], [0.04655, 0.95345]], atol=5e-6)


def test_federal_funds_own_variances(fedfunds: np.ndarray) -> None:
    fit = bn.fit(model("hmm_univariate").network, {"x": fedfunds}, n_init=3, **TIGHT)
    assert fit.log_likelihood[-1] == pytest.approx(-495.79514415, abs=5e-9)
    order = np.argsort(fit.parameters["mu"])
    np.testing.assert_allclose(fit.parameters["mu"][order], [3.634975, 9.345835], atol=2e-6)
    np.testing.assert_allclose(fit.parameters["sigma2"][order], [2.91857, 8.00448], atol=5e-6)
