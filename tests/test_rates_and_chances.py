"""Counts, waiting times and answers: draws, data, priors, and what has no closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import bnlab as bn
from bnlab.network.formats import from_json, to_json
from bnlab.runtime.data import bind
from bnlab.runtime.proof.draws import random_data
from tests import networks

NEW = (
    networks.mixture_counts,
    networks.mixture_times,
    networks.mixture_answers,
    networks.hidden_yes,
    networks.rates_and_chances,
    networks.chain_counts,
    networks.chain_of_answers,
    networks.mixture_durations,
    networks.mixture_trials,
    networks.chain_durations,
)


def one(family: str, prior: Any = None) -> bn.Network:
    """One parameter, and one observed variable a row."""
    with bn.Network("one") as net:
        domain = bn.Probability() if family in ("Bernoulli", "Geometric") else bn.Positive()
        theta = bn.parameter("theta", domain, prior=prior)
        with bn.plate("n"):
            bn.observed("x", vars(bn)[family](theta))
    return net


@pytest.mark.parametrize(
    ("family", "theta", "mean", "variance"),
    [
        ("Bernoulli", 0.3, 0.3, 0.21),
        ("Poisson", 2.5, 2.5, 2.5),
        ("Exponential", 0.5, 2.0, 4.0),
        ("Geometric", 0.4, 1.5, 3.75),
    ],
)
def test_moments_of_draws(family: str, theta: float, mean: float, variance: float) -> None:
    x = bn.sample(one(family), {"theta": theta}, {"n": 40_000}, seed=1)["x"]
    # 5 standard errors of a mean; those of a variance are at most sqrt(8.3 / 40000) of it for these four
    assert abs(x.mean() - mean) < 5 * (variance / 40_000) ** 0.5
    assert abs(x.var() / variance - 1) < 5 * (8.3 / 40_000) ** 0.5


@pytest.mark.parametrize("build", NEW, ids=lambda build: build.__name__)
def test_json_keeps_the_network(build: Any) -> None:
    graph = build().graph
    assert from_json(to_json(graph)) == graph


@pytest.mark.parametrize(
    ("family", "values", "part"),
    [
        ("Poisson", [1.0, -1.0], "x is -1 at n 1; counts are whole numbers from 0."),
        ("Poisson", [0.5, 2.0], "x is 0.5 at n 0; counts are whole numbers from 0."),
        ("Geometric", [0.5, 2.0], "x is 0.5 at n 0; counts are whole numbers from 0."),
        ("Exponential", [0.0, 2.0], "x is 0 at n 0; it must be positive."),
        ("Bernoulli", [0, 2], "x is 2 at n 1; it has 2 categories, 0 to 1."),
    ],
)
def test_faults_of_values(family: str, values: list[float], part: str) -> None:
    with pytest.raises(bn.DataError) as error:
        bind(one(family).graph, {"x": values})
    assert part in str(error.value)


def test_faults_of_vectors_name_the_column() -> None:
    with bn.Network("vectors") as net:
        rates = bn.parameter("rates", bn.Positive(2))
        with bn.plate("n"):
            bn.observed("x", bn.Poisson(rates))
    with pytest.raises(bn.DataError, match="x is 0.5 at n 1, column 0"):
        bind(net.graph, {"x": [[1, 2], [0.5, 3]]})


@pytest.mark.parametrize(
    ("family", "prior", "x", "mode"),
    [
        ("Bernoulli", bn.Beta(3.0, 2.0), [1, 1, 0, 1], (3 + 2) / (4 + 3)),
        ("Poisson", bn.Gamma(3.0, 2.0), [4, 0, 5], (9 + 2) / (3 + 2)),
        ("Geometric", bn.Beta(3.0, 2.0), [4, 0, 5], (3 + 2) / (3 + 9 + 3)),
        ("Exponential", bn.Gamma(3.0, 2.0), [0.5, 1.5], (2 + 2) / (2 + 2)),
    ],
)
def test_em_finds_the_mode_under_a_conjugate_prior(family: str, prior: Any, x: Any, mode: float) -> None:
    fit = bn.fit(one(family, prior), {"x": x}, progress=False)
    assert fit.parameters["theta"] == pytest.approx(mode, rel=1e-12)  # one division


@pytest.mark.parametrize(
    ("family", "prior", "x", "mean", "deviation"),
    [
        ("Bernoulli", bn.Beta(2.0, 3.0), [1, 1, 0, 1], 5 / 9, (5 * 4 / (81 * 10)) ** 0.5),
        ("Poisson", bn.Gamma(2.0, 1.0), [4, 0, 5], 11 / 4, 11**0.5 / 4),
        ("Exponential", bn.Gamma(2.0, 1.0), [0.5, 1.5], 4 / 3, 4**0.5 / 3),
    ],
)
def test_nuts_finds_the_conjugate_posterior(
    family: str, prior: Any, x: Any, mean: float, deviation: float
) -> None:
    fit = bn.fit(one(family, prior), {"x": x}, method="nuts", progress=False)
    assert fit.draws is not None
    # at least 1000 of the 4000 draws count as independent: 5 standard errors
    assert abs(fit.draws["theta"].mean() - mean) < 5 * deviation / 1000**0.5


@pytest.mark.parametrize(
    "build", [networks.mixture_counts, networks.chain_of_answers], ids=["mixture", "chain"]
)
def test_svi_runs_and_posteriors_are_probabilities(build: Any) -> None:
    network = build()
    example = next(example for example in networks.EXAMPLES if example.build is build)
    data = random_data(network.graph, np.random.default_rng(0), example.layout)
    fit = bn.fit(network, data, method="svi", max_iter=20, progress=False)
    assert np.isfinite(fit.log_likelihood).all()
    for value in fit.posterior(data).values():
        np.testing.assert_allclose(np.asarray(value).sum(-1), 1, atol=1e-12)


def test_a_state_that_sees_only_zeros_has_rate_zero_and_nothing_is_lost() -> None:
    with bn.Network("zeros") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            rate = bn.parameter("rate", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Poisson(rate[z]))
    x = np.array([0] * 50 + [30, 31, 29, 35, 28] * 10)
    fit = bn.fit(net, {"x": x}, progress=False)
    assert fit.status == "converged" and np.isfinite(fit.log_likelihood).all()
    np.testing.assert_allclose(
        np.sort(fit.parameters["rate"]), [0, 30.6], atol=1e-9
    )  # e^-30 of a count at most
    np.testing.assert_allclose(np.sort(fit.parameters["pi"]), 0.5, atol=1e-9)


def durations(concentration: Any, rate: Any) -> bn.Network:
    """One Gamma a row."""
    with bn.Network("durations") as net, bn.plate("n"):
        bn.observed("x", bn.Gamma(concentration, rate))
    return net


def free() -> bn.Network:
    with bn.Network("free") as net:
        a, b = bn.parameter("a", bn.Positive()), bn.parameter("b", bn.Positive())
        with bn.plate("n"):
            bn.observed("x", bn.Gamma(a, b))
    return net


@pytest.mark.parametrize("shape", [0.03, 0.7, 3.0, 400.0])
def test_a_gamma_is_fitted_at_once(shape: float) -> None:
    """One iteration from anywhere is the maximum that SciPy finds."""
    x = np.random.default_rng(0).gamma(shape, 1.5, size=300) + 1e-300
    fit = bn.fit(free(), {"x": x}, init={"a": 1.0, "b": 9.0}, max_iter=1, progress=False)
    concentration, _, scale = stats.gamma.fit(x, floc=0)
    # SciPy's root is found to 1e-8 or so of the concentration
    assert fit.parameters["a"] == pytest.approx(concentration, rel=1e-6)
    assert fit.parameters["b"] == pytest.approx(1 / scale, rel=1e-6)


def test_moments_of_gamma_draws() -> None:
    x = bn.sample(free(), {"a": 3.0, "b": 2.0}, {"n": 40_000}, seed=1)["x"]
    # 5 standard errors: the variance is 3/4, and its own relative variance (2 + 6/3) / n
    assert abs(x.mean() - 1.5) < 5 * (0.75 / 40_000) ** 0.5
    assert abs(x.var() / 0.75 - 1) < 5 * (4 / 40_000) ** 0.5


def test_a_concentration_that_collapses_is_held_and_reported() -> None:
    """Half of the data are one number, which a state without spread explains best."""
    with bn.Network("collapse") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            a, b = bn.parameter("a", bn.Positive()), bn.parameter("b", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Gamma(a[z], b[z]))
    x = np.r_[np.full(40, 2.0), np.random.default_rng(0).gamma(1.0, 20.0, 40)]
    start = {"pi": [0.5, 0.5], "a": [1e4, 1.0], "b": [5e3, 0.05]}
    fit = bn.fit(net, {"x": x}, init=start, progress=False)
    assert fit.status == "degenerate" and np.isfinite(fit.log_likelihood).all()
    assert fit.parameters["a"][0] == pytest.approx(1e10)  # a relative variance of 1e-10, as for every spread
    assert any("a[0]" in str(warning) for warning in fit.warnings)


def test_shapes_of_a_gamma_fit_one_another() -> None:
    with pytest.raises(bn.ModelError, match="have the same shape, or one is a scalar"):
        durations(bn.constant([1.0, 2.0]), bn.constant([1.0, 2.0, 3.0]))


def test_a_prior_that_is_not_conjugate_is_refused_by_em_only() -> None:
    network = one("Poisson", bn.InverseGamma(2.0, 1.0))
    with pytest.raises(bn.IntractableError, match=r"rate of Poisson has no closed-form update[^$]*bn\.Gamma"):
        bn.emit(network, "em")
    assert "dist.InverseGamma" in bn.emit(network, "numpyro")


def test_a_parameter_of_two_families_is_refused() -> None:
    with bn.Network("shared") as net:
        rate = bn.parameter("rate", bn.Positive())
        with bn.plate("n"):
            bn.observed("x", bn.Poisson(rate))
            bn.observed("y", bn.Exponential(rate))
    with pytest.raises(bn.IntractableError, match="`rate` is shared by Poisson and Exponential"):
        bn.emit(net, "em")


@pytest.mark.parametrize("prior", [bn.Gamma(0.5, 1.0), bn.Beta(0.5, 1.0)], ids=["gamma", "beta"])
def test_a_prior_without_a_mode_inside_is_refused(prior: Any) -> None:
    family = "Poisson" if prior.family == "Gamma" else "Bernoulli"
    with pytest.raises(bn.IntractableError, match="concentration of 0.5 has no mode"):
        bn.emit(one(family, prior), "em")


@pytest.mark.parametrize("build", NEW, ids=lambda build: build.__name__)
def test_all_targets_print(build: Any) -> None:
    network = build()
    tex = bn.emit(network, "latex")
    assert "$rate" not in tex and "$x" not in tex.replace("$x_", "")
    for target in ("viterbi", "posterior", "numpyro", "dot", "tikz", "text"):
        assert bn.emit(network, target)
