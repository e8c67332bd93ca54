"""The oracle of Gaussian latents, against dense joints and recursions written by hand for one model each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from bnlab.domains import Covariance, Simplex
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.oracle import Oracle
from tests import gaussian_networks as networks
from tests.gaussian_networks import GAUSSIAN, REFUSED, SINGULAR
from tests.networks import Example

ROUNDING = 1e-12  # sums of some hundred numbers of size 1 to 100 in float64, relative


def posed(example: Example, seed: int = 0):
    rng = np.random.default_rng(seed)
    graph = example.build().graph
    return graph, random_data(graph, rng, example.layout), random_parameters(graph, rng)


def test_groups_by_their_dense_covariance() -> None:
    graph, data, theta = posed(Example(networks.two_covariances, {"group": (3, 1, 4)}))
    oracle, start = Oracle(graph, data), 0
    moments = oracle.moments(oracle.posterior(theta))["z"]
    for group, rows in enumerate((3, 1, 4)):
        x = data["x"][start : start + rows]
        start += rows
        cov = np.kron(np.ones((rows, rows)), theta["Sigma_ac"]) + np.kron(np.eye(rows), theta["Sigma_wc"])
        expected = stats.multivariate_normal(np.tile(theta["mu"], rows), cov).logpdf(x.ravel())
        assert oracle.scores(theta)[group] == pytest.approx(expected, rel=ROUNDING)
        between, within = np.linalg.inv(theta["Sigma_ac"]), np.linalg.inv(theta["Sigma_wc"])
        spread = np.linalg.inv(between + rows * within)
        np.testing.assert_allclose(moments["cov"][group], spread, rtol=1e-11)  # two inverses
        np.testing.assert_allclose(
            moments["mean"][group], spread @ (between @ theta["mu"] + within @ x.sum(0)), rtol=1e-11
        )


def test_factors_by_their_marginal() -> None:
    graph, data, theta = posed(Example(networks.mixture_of_factors, {"n": 7}))
    densities = np.stack(
        [
            stats.multivariate_normal(mu, W @ W.T + np.diag(psi)).logpdf(data["x"])
            for mu, W, psi in zip(theta["mu"], theta["W"], theta["psi"], strict=True)
        ],
        -1,
    )
    joint = np.log(theta["pi"]) + densities
    oracle = Oracle(graph, data)
    np.testing.assert_allclose(oracle.scores(theta), logsumexp(joint, -1), rtol=ROUNDING)
    q = oracle.posterior(theta)
    weights = np.exp(joint - logsumexp(joint, -1, keepdims=True))
    np.testing.assert_allclose(oracle.marginals(q)["c"], weights, atol=ROUNDING)
    means, covs = np.zeros((2, 7, 2)), np.zeros((2, 2, 2))
    for k in range(2):
        W, psi = theta["W"][k], theta["psi"][k]
        covs[k] = np.linalg.inv(np.eye(2) + W.T / psi @ W)
        means[k] = (data["x"] - theta["mu"][k]) / psi @ W @ covs[k]
    mean = np.einsum("nk,knl->nl", weights, means)
    second = np.einsum("nk,knlm->nlm", weights, covs[:, None] + means[..., None] * means[..., None, :])
    found = oracle.moments(q)["y"]
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        found["cov"], second - mean[:, :, None] * mean[:, None], rtol=1e-10, atol=1e-12
    )


def filtered(theta, x):
    """ln p(x), and the smoothed means and covariances, by the textbook's recursions."""
    F, Q, H, R = (theta[name] for name in "FQHR")
    m, P, total, kept = theta["m0"], theta["P0"], 0.0, []
    for step, row in enumerate(x):
        if step:
            m, P = F @ m, F @ P @ F.T + Q
        predicted = (m, P)
        S = H @ P @ H.T + R
        total += stats.multivariate_normal(H @ m, S).logpdf(row)
        K = P @ H.T @ np.linalg.inv(S)
        m, P = m + K @ (row - H @ m), P - K @ S @ K.T
        kept.append((*predicted, m, P))
    means, covs = [m], [P]
    for (_, _, m, P), (ahead, spread, _, _) in zip(kept[-2::-1], kept[:0:-1], strict=True):
        J = P @ F.T @ np.linalg.inv(spread)
        means.insert(0, m + J @ (means[0] - ahead))
        covs.insert(0, P + J @ (covs[0] - spread) @ J.T)
    return total, means, covs


def test_a_chain_by_filter_and_smoother() -> None:
    graph, data, theta = posed(Example(networks.linear_chain, {"sequence": (4, 1, 3)}))
    oracle, moments = Oracle(graph, data), {"mean": [], "cov": []}
    for sequence in range(3):
        total, means, covs = filtered(theta, data["x"][data["sequence"] == sequence])
        assert oracle.scores(theta)[sequence] == pytest.approx(total, rel=1e-11)  # a dozen inverses
        moments["mean"] += means
        moments["cov"] += covs
    found = oracle.moments(oracle.posterior(theta))["y"]
    np.testing.assert_allclose(found["mean"], moments["mean"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["cov"], moments["cov"], rtol=1e-9, atol=1e-9)  # P - K S K' cancels


def test_without_spread_between_groups_they_are_one() -> None:
    graph, data, theta = posed(Example(networks.never_apart, {"group": (3, 1, 4)}))
    oracle = Oracle(graph, data)
    mean = theta["mu"] + theta["beta"] * data["u"]
    expected = stats.norm(mean, np.sqrt(theta["v"])).logpdf(data["x"]).sum()
    assert oracle.log_evidence(theta) == pytest.approx(expected, rel=ROUNDING)
    found = oracle.moments(oracle.posterior(theta))["z"]
    np.testing.assert_array_equal(found["mean"], np.full(3, theta["mu"]))
    np.testing.assert_array_equal(found["cov"], np.zeros(3))


def test_a_missing_entry_is_one_that_is_not_there() -> None:
    graph, data, theta = posed(Example(networks.factors, {"n": 5}))
    x = data["x"].copy()
    x[1, 2] = x[3, 0] = x[3, 1] = np.nan
    x[4] = np.nan
    cov = theta["W"] @ theta["W"].T + np.diag(theta["psi"])
    found = Oracle(graph, {"x": x}).scores(theta)
    for row, value in zip(x, found, strict=True):
        there = ~np.isnan(row)
        part = (
            stats.multivariate_normal(theta["mu"][there], cov[np.ix_(there, there)]) if there.any() else None
        )
        assert value == pytest.approx(part.logpdf(row[there]) if part else 0.0, rel=ROUNDING, abs=1e-15)


def test_a_missing_entry_that_others_read() -> None:
    graph, data, theta = posed(Example(networks.observed_parent, {"n": 4}))
    u = data["u"].copy()
    u[2, 1] = np.nan
    joint_mean = np.concatenate([theta["m"], theta["B"] @ theta["m"] + theta["b"] + theta["c"] * theta["m"]])
    slope = theta["B"] + np.diag(theta["c"])
    noise = theta["Y"] + np.diag(theta["v"])
    S = theta["S"]
    cov = np.block([[S, S @ slope.T], [slope @ S, slope @ S @ slope.T + noise]])
    there = np.array([True, False, True, True])
    row = np.concatenate([u[2], data["x"][2]])[there]
    expected = stats.multivariate_normal(joint_mean[there], cov[np.ix_(there, there)]).logpdf(row)
    assert Oracle(graph, {**data, "u": u}).scores(theta)[2] == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize("example", GAUSSIAN + REFUSED, ids=lambda e: e.name)
def test_evidence_is_energy_plus_entropy_plus_divergence(example: Example) -> None:
    graph, data, theta = posed(example)
    oracle = Oracle(graph, data)
    for q in (oracle.posterior(theta), oracle.random_posterior(theta, np.random.default_rng(1))):
        total = oracle.auxiliary(theta, q) + oracle.entropy(q) + oracle.kl(q, theta)
        assert oracle.log_evidence(theta) == pytest.approx(total, rel=ROUNDING)
    assert oracle.kl(q, theta) > 0


@pytest.mark.parametrize(
    "example",
    [
        e
        for e in GAUSSIAN
        if e.name
        in ("group_and_channel", "observed_parent", "mixture_of_linear_chains", "chain_with_factors")
    ],
    ids=lambda e: e.name,
)
def test_the_gradient_of_the_auxiliary_function_is_that_of_the_evidence(example: Example) -> None:
    """Fisher's identity, with the evidence differentiated numerically: the oracle's two sides agree with one another."""
    graph, data, theta = posed(example)
    oracle = Oracle(graph, data)
    q = oracle.posterior(theta)
    exact = jax.grad(lambda t: oracle.auxiliary(t, q, jnp))(
        {name: jnp.asarray(v) for name, v in theta.items()}
    )
    step = 1e-5
    for name, value in theta.items():
        direction = np.random.default_rng(2).normal(size=value.shape)
        match graph.parameter(name).domain:
            case Covariance():
                direction = direction + direction.swapaxes(-1, -2)
            case Simplex():
                direction = direction - direction.mean(-1, keepdims=True)
        up, down = ({**theta, name: value + sign * step * direction} for sign in (1, -1))
        slope = (oracle.log_evidence(up) - oracle.log_evidence(down)) / (2 * step)
        # central differences: an error of step^2 times third derivatives, and of rounding / step
        assert slope == pytest.approx(float((exact[name] * direction).sum()), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("example", SINGULAR, ids=lambda e: e.name)
def test_variances_of_0_leave_all_finite(example: Example) -> None:
    graph, data, theta = posed(example)
    oracle = Oracle(graph, data)
    assert np.isfinite(oracle.log_evidence(theta))
    for found in oracle.moments(oracle.posterior(theta)).values():
        assert np.isfinite(found["mean"]).all() and np.isfinite(found["cov"]).all()
