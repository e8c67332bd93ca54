"""Gaussian latents: results that others have published, and maxima that are known in closed form or from a dense joint.

Log-likelihoods are totals. Tolerances of published numbers are half a unit of their last digit.
"""

from __future__ import annotations

import csv
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

import bnlab as bn

DATA = Path(__file__).parent.parent / "data"
TO_THE_TOP = {"tol": 1e-14, "max_iter": 20_000, "seed": 0, "progress": False}
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


def groups(counts: list[int], dim: int) -> dict[str, np.ndarray]:
    """Rows of groups that lie well apart, in the tidy form."""
    rng = np.random.default_rng(SEED)
    ids = np.repeat(np.arange(len(counts)), counts)
    turn = rng.normal(size=(dim, dim))
    return {
        "x": 2.0 * rng.normal(size=(len(counts), dim))[ids] + rng.normal(size=(len(ids), dim)) @ turn / 2,
        "group": ids,
    }


def test_nile() -> None:
    """Durbin and Koopman's local level, its first state N(0, 1e7)."""
    flow = np.loadtxt(DATA / "nile.csv", delimiter=",", skiprows=1, usecols=-1)
    fit = bn.fit(local_level(), {"x": flow}, init={"eta": 1000.0, "eps": 10_000.0}, **TO_THE_TOP)
    assert fit.log_likelihood[-1] == pytest.approx(-641.585578, abs=5e-7)
    assert fit.parameters["eps"] == pytest.approx(15099.69, abs=5e-3)
    assert fit.parameters["eta"] == pytest.approx(1468.50, abs=5e-3)


def test_dyestuff() -> None:
    """Six batches of five samples, by maximum likelihood as lme4 prints it."""
    with open(DATA / "dyestuff.csv") as lines:
        table = list(csv.DictReader(lines))
    yields = np.array([float(row["Yield"]) for row in table]).reshape(6, 5)
    fit = bn.fit(intercept(), {"x": yields}, **TO_THE_TOP)
    assert fit.status == "converged"
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
        fit = bn.fit(
            schools(),
            {"effect": effect, "std": std},
            init={"mu": 0.0, "tau": 10.0},
            tol=0.0,
            max_iter=steps,
            progress=False,
        )
        taus.append(float(fit.parameters["tau"]))
        likelihoods.append(fit.log_likelihood[-1])
    assert taus == sorted(taus, reverse=True) and 0 < taus[-1] < 0.5 < 5 < taus[0]
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
    fit = bn.fit(components(factors, dim), {"x": x}, **TO_THE_TOP)
    # EM stops where an iteration gains 1e-14 of the objective: parameters are within about its square root
    assert fit.log_likelihood[-1] == pytest.approx(expected, rel=1e-11)
    assert fit.parameters["v"] == pytest.approx(rest, rel=1e-6)
    np.testing.assert_allclose(fit.parameters["W"] @ fit.parameters["W"].T, loading, atol=1e-6)
    np.testing.assert_allclose(fit.parameters["mu"], x.mean(0), rtol=1e-10)


@pytest.mark.peers
def test_factors_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import FactorAnalysis

    x = np.loadtxt(DATA / "iris.csv", delimiter=",", skiprows=1, usecols=range(3))
    theirs = FactorAnalysis(1, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x)
    fit = bn.fit(components(1, 3, "diagonal"), {"x": x}, **TO_THE_TOP)
    # one factor of three variables fits any covariance, or stops at a variance of 0, which both approach
    assert fit.log_likelihood[-1] == pytest.approx(len(x) * theirs.score(x), rel=1e-6)


def test_balanced_groups_are_the_analysis_of_variance() -> None:
    """With equally many rows in each group the maximum is in closed form: within from deviations, between from means."""
    dim, many, rows = 2, 12, 4
    data = groups([rows] * many, dim)
    x = data["x"].reshape(many, rows, dim)
    means = x.mean(1)
    apart = (x - means[:, None]).reshape(-1, dim)
    within = apart.T @ apart / (many * (rows - 1))
    between = np.cov(means.T, bias=True) - within / rows
    assert np.linalg.eigvalsh(between).min() > 0  # else the maximum is elsewhere
    fit = bn.fit(two_covariances(dim), data, **TO_THE_TOP)
    np.testing.assert_allclose(fit.parameters["mu"], means.mean(0), rtol=1e-7)
    np.testing.assert_allclose(fit.parameters["within"], within, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fit.parameters["between"], between, rtol=1e-6, atol=1e-6)


def dense(data: dict[str, np.ndarray], dim: int):
    """The log-likelihood of two covariances from the joint covariance of all rows of each group."""
    parts = [data["x"][data["group"] == group] for group in range(data["group"][-1] + 1)]

    def log_p(mu, between, within):
        total = 0.0
        for part in parts:
            rows = len(part)
            cov = jnp.kron(jnp.ones((rows, rows)), between) + jnp.kron(jnp.eye(rows), within)
            residual = (part - mu).ravel()
            log_det = jnp.linalg.slogdet(2 * jnp.pi * cov)[1]
            total += -0.5 * (log_det + residual @ jnp.linalg.solve(cov, residual))
        return total

    return log_p


def test_unequal_groups_reach_the_maximum_of_the_dense_joint() -> None:
    """Groups of one to a dozen rows: no direction is uphill, and no quasi-Newton step gains anything."""
    dim = 2
    data = groups([1, 12, 3, 1, 5, 2, 7, 1, 4, 9, 2, 6], dim)
    fit = bn.fit(two_covariances(dim), data, **TO_THE_TOP)
    log_p = dense(data, dim)
    found = [np.asarray(fit.parameters[name]) for name in ("mu", "between", "within")]
    reached = fit.log_likelihood[-1]
    assert reached == pytest.approx(float(log_p(*found)), rel=1e-12)  # sums of a few dozen rows
    for slope in jax.grad(log_p, (0, 1, 2))(*found):
        np.testing.assert_allclose(
            slope, 0, atol=1e-4
        )  # the square root of what EM stops at, times the curvature
    lower = np.tril_indices(dim)

    def unpack(vector):
        roots = [jnp.zeros((dim, dim)).at[lower].set(part) for part in (vector[2:5], vector[5:])]
        return vector[:dim], *(root @ root.T for root in roots)

    start = np.concatenate([found[0], *(np.linalg.cholesky(cov)[lower] for cov in found[1:])])
    start = start + 0.1 * np.random.default_rng(SEED).normal(size=len(start))
    objective = jax.jit(jax.value_and_grad(lambda vector: -log_p(*unpack(vector))))
    best = minimize(lambda v: [np.asarray(part, float) for part in objective(v)], start, jac=True)
    assert reached == pytest.approx(-best.fun, abs=1e-8)  # where BFGS stops, at a slope of 1e-5
