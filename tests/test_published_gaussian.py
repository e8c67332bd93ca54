"""Gaussian latents: results that others have published, and maxima that are known in closed form or from a dense joint.

Log-likelihoods are totals. Tolerances of published numbers are half a unit of their last digit.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

import bnlab as bn

DATA = Path(__file__).parent.parent / "data"


def at_the_top(net: bn.Network, data: dict[str, np.ndarray], steps: int, init=None) -> bn.Fit:
    """EM for so many steps that none of them moves anything any more."""
    return bn.fit(net, data, tol=0.0, max_iter=steps, seed=0, init=init, progress=False)


SEED = 3


def intercept() -> bn.Network:
    """Random effects of batches."""
    with bn.Network("intercept") as net:
        mu = bn.parameter("mu", bn.Real())
        between = bn.parameter("between", bn.Positive())
        within = bn.parameter("within", bn.Positive())
        with bn.plate("batch"):
            a = bn.latent("a", bn.Normal(mu, var=between))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(a, var=within))
    return net


def local_level() -> bn.Network:
    """A random walk seen through noise, about whose start nothing is known."""
    with bn.Network("local_level") as net:
        eta = bn.parameter("eta", bn.Positive())
        eps = bn.parameter("eps", bn.Positive())
        with bn.chain("t"):
            y = bn.latent(
                "y", bn.Normal(bn.previous("y"), var=eta), first=bn.Normal(0.0, var=bn.constant(1e7))
            )
            bn.observed("x", bn.Normal(y, var=eps))
    return net


def schools() -> bn.Network:
    """Effects of schools, each estimated with a known standard error."""
    with bn.Network("schools") as net:
        mu = bn.parameter("mu", bn.Real())
        tau = bn.parameter("tau", bn.Positive())
        with bn.plate("school"):
            std = bn.given("std", bn.Positive())
            theta = bn.latent("theta", bn.Normal(mu, std=tau))
            bn.observed("effect", bn.Normal(theta, std=std))
    return net


def components(factors: int, dim: int, spread: str = "spherical") -> bn.Network:
    """Factors with one variance for all entries, or one for each."""
    with bn.Network("components") as net:
        W = bn.parameter("W", bn.Real(dim, factors))
        mu = bn.parameter("mu", bn.Real(dim))
        v = bn.parameter("v", bn.Positive() if spread == "spherical" else bn.Positive(dim))
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(factors), cov=bn.eye(factors)))
            bn.observed("x", bn.Normal(W @ y + mu, var=v))
    return net


def two_covariances(dim: int) -> bn.Network:
    with bn.Network("two_covariances") as net:
        mu = bn.parameter("mu", bn.Real(dim))
        between = bn.parameter("between", bn.Covariance(dim))
        within = bn.parameter("within", bn.Covariance(dim))
        with bn.plate("group"):
            z = bn.latent("z", bn.Normal(mu, cov=between))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(z, cov=within))
    return net


def groups(counts: list[int], root: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of groups that lie well apart, in the tidy form; root' root is the covariance within."""
    rng = np.random.default_rng(SEED)
    ids, dim = np.repeat(np.arange(len(counts)), counts), len(root)
    centres, rows = 2.0 * rng.normal(size=(len(counts), dim)), rng.normal(size=(len(ids), dim))
    return {"x": centres[ids] + rows @ root, "group": ids}


def test_nile() -> None:
    """Durbin and Koopman's local level, its first state N(0, 1e7)."""
    flow = np.loadtxt(DATA / "nile.csv", delimiter=",", skiprows=1, usecols=-1)
    fit = at_the_top(local_level(), {"x": flow}, 2000, {"eta": 1000.0, "eps": 10_000.0})
    assert fit.log_likelihood[-1] == pytest.approx(-641.585578, abs=5e-7)
    assert fit.parameters["eps"] == pytest.approx(15099.69, abs=5e-3)
    assert fit.parameters["eta"] == pytest.approx(1468.50, abs=5e-3)


def test_dyestuff() -> None:
    """Six batches of five samples, by maximum likelihood as lme4 prints it."""
    with open(DATA / "dyestuff.csv") as lines:
        table = list(csv.DictReader(lines))
    yields = np.array([float(row["Yield"]) for row in table]).reshape(6, 5)
    fit = at_the_top(intercept(), {"x": yields}, 200)
    assert fit.log_likelihood[-1] == pytest.approx(-163.66352994, abs=5e-9)
    assert np.sqrt(fit.parameters["between"]) == pytest.approx(37.2603, abs=5e-5)
    assert np.sqrt(fit.parameters["within"]) == pytest.approx(49.5101, abs=5e-5)
    assert fit.parameters["mu"] == pytest.approx(1527.5, abs=1e-9)  # the mean of balanced data, rounded


def test_eight_schools_creep_to_the_boundary() -> None:
    """The likelihood is largest at tau = 0, where it is that of one common effect; EM never gets there, nor turns back."""
    effect, std = np.loadtxt(DATA / "eight_schools.csv", delimiter=",", skiprows=1, usecols=(1, 2)).T
    weights = std**-2 / (std**-2).sum()
    best = stats.norm(weights @ effect, std).logpdf(effect).sum()
    taus, likelihoods = [], []
    for steps in (10, 100, 1000, 5000):
        fit = at_the_top(schools(), {"effect": effect, "std": std}, steps, {"mu": 0.0, "tau": 10.0})
        taus.append(float(fit.parameters["tau"]))
        likelihoods.append(fit.log_likelihood[-1])
    assert taus == sorted(taus, reverse=True) and 0 < taus[-1] < 0.3 < 4 < taus[0]
    assert likelihoods == sorted(likelihoods) and best - 1e-2 < likelihoods[-1] < best
    assert fit.parameters["mu"] == pytest.approx(weights @ effect, abs=1e-2)  # in the limit, equal


def test_probabilistic_components_in_closed_form() -> None:
    """Tipping and Bishop 1999: the leading eigenvectors of the covariance, and the mean of the other eigenvalues."""
    x = np.loadtxt(DATA / "iris.csv", delimiter=",", skiprows=1, usecols=range(4))
    factors, (rows, dim) = 2, x.shape
    covariance = np.cov(x.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    rest = values[: dim - factors].mean()
    leading = vectors[:, dim - factors :]
    loading = leading * (values[dim - factors :] - rest) @ leading.T  # W W', whatever rotation of W
    log_det = np.log(values[dim - factors :]).sum() + (dim - factors) * np.log(rest)
    expected = -0.5 * rows * (dim * np.log(2 * np.pi) + log_det + dim)
    fit = at_the_top(components(factors, dim), {"x": x}, 2000)
    # rounding of a few hundred numbers, and of moments a hundred times the smallest eigenvalue
    assert fit.log_likelihood[-1] == pytest.approx(expected, rel=1e-12)
    assert fit.parameters["v"] == pytest.approx(rest, rel=1e-10)
    np.testing.assert_allclose(fit.parameters["W"] @ fit.parameters["W"].T, loading, atol=1e-9)
    np.testing.assert_allclose(fit.parameters["mu"], x.mean(0), rtol=1e-10)


@pytest.mark.peers
def test_factors_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import FactorAnalysis

    rng = np.random.default_rng(SEED)
    noise = np.array([0.5, 1.0, 1.5, 0.7, 0.9, 1.2])
    x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + noise * rng.normal(size=(300, 6))
    theirs = FactorAnalysis(2, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x)
    fit = at_the_top(components(2, 6, "diagonal"), {"x": x}, 3000)
    # scikit-learn stops where a step gains 1e-12
    assert fit.log_likelihood[-1] == pytest.approx(len(x) * theirs.score(x), abs=1e-6)
    np.testing.assert_allclose(fit.parameters["v"], theirs.noise_variance_, rtol=1e-4)


def test_balanced_groups_are_the_analysis_of_variance() -> None:
    """With equally many rows in each group, the maximum is in closed form: the spread of the groups' means is that between
    groups, and a part of that within."""
    many, rows, root = 12, 4, np.array([[0.5, 0.2], [-0.3, 0.8]])
    data = groups([rows] * many, root)
    x = data["x"].reshape(many, rows, 2)
    means = x.mean(1)
    apart = (x - means[:, None]).reshape(-1, 2)
    within = apart.T @ apart / (many * (rows - 1))
    between = np.cov(means.T, bias=True) - within / rows
    assert np.linalg.eigvalsh(between).min() > 0  # else the maximum is elsewhere
    fit = at_the_top(two_covariances(2), data, 500)
    for name, value in {"mu": means.mean(0), "within": within, "between": between}.items():
        np.testing.assert_allclose(
            fit.parameters[name], value, rtol=1e-9, atol=1e-9, err_msg=name
        )  # rounding


def log_joint(data: dict[str, np.ndarray], mu, between, within) -> float:
    """The log-likelihood from the joint covariance of all rows of each group."""
    total = 0.0
    for group in range(data["group"][-1] + 1):
        x = data["x"][data["group"] == group]
        ones, eye = np.ones((len(x), len(x))), np.eye(len(x))
        cov = np.kron(ones, between) + np.kron(eye, within)
        total += stats.multivariate_normal(np.tile(mu, len(x)), cov).logpdf(x.ravel())
    return total


UNEQUAL = [1, 12, 3, 1, 5, 2, 7, 1, 4, 9, 2, 6]


def test_unequal_groups_reach_the_maximum_of_the_dense_joint() -> None:
    """Groups of one to a dozen rows: from anywhere near, no quasi-Newton step gets higher."""
    data = groups(UNEQUAL, np.array([[0.5, 0.2], [-0.3, 0.8]]))
    fit = at_the_top(two_covariances(2), data, 500)
    found = [fit.parameters[name] for name in ("mu", "between", "within")]
    reached = fit.log_likelihood[-1]
    assert reached == pytest.approx(log_joint(data, *found), rel=1e-12)  # sums of some dozen rows
    lower = np.tril_indices(2)

    def negative(vector: np.ndarray) -> float:
        roots = np.zeros((2, 2, 2))
        roots[:, *lower] = vector[2:].reshape(2, 3)
        return -log_joint(data, vector[:2], *(root @ root.T for root in roots))

    start = np.concatenate([found[0], *(np.linalg.cholesky(cov)[lower] for cov in found[1:])])
    start = start + 0.1 * np.random.default_rng(SEED).normal(size=len(start))
    best = minimize(negative, start, method="BFGS", options={"gtol": 1e-4})
    assert reached == pytest.approx(
        -best.fun, abs=1e-7
    )  # half the square of the slope, over a curvature above 0.1
    assert reached >= -best.fun - 1e-9
