"""An optimum on the edge of a domain is told, with the likelihood there; one inside is not, and a collapse is another thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

import bnlab as bn
from tests.models import model


def edges(found: Any) -> dict[str, str]:
    """What is said of the boundary, by what it concerns."""
    return {one.concerns: one.message for one in found.warnings if "on the boundary" in one.message}


@pytest.mark.parametrize("options", [{}, {"accelerate": True}])
def test_a_deviation_that_goes_to_0(options: dict[str, Any]) -> None:
    """Eight schools: at tau = 0 the likelihood is known in closed form."""
    loaded = model("eight_schools")
    data = loaded.example()
    found = bn.fit(loaded.network, data, progress=False, max_iter=5000, **options)
    assert found.status == "converged"
    (warning,) = found.warnings
    assert warning.concerns == "tau" and "nuts" in warning.advice and "prior" in warning.advice
    there = norm.logpdf(data["effect"], found.parameters["mu"], data["std"]).sum()
    assert f"{there:.6f} there" in warning.message
    assert f"{found.log_likelihood[-1]:.6f} where EM stopped" in warning.message


@pytest.mark.parametrize("name", ["random_intercept", "plda", "gmm"])
def test_variances_inside_say_nothing(name: str) -> None:
    loaded = model(name)
    assert not edges(bn.fit(loaded.network, loaded.example(), progress=False, tol=1e-9))


def test_a_variance_of_observations_whose_likelihood_is_bounded() -> None:
    """One factor for four measurements of irises: petal length is told by it without error (Heywood 1931)."""
    loaded = model("factor_analysis")
    found = bn.fit(loaded.network, loaded.example(), progress=False, accelerate=True)
    assert found.status == "converged" and list(edges(found)) == ["psi[2]"]


def test_a_variance_on_its_floor_is_no_collapse_where_the_likelihood_is_bounded() -> None:
    """The same, where EM starts at the floor; with two dependent columns more the likelihood has no bound, which is said."""
    loaded = model("factor_analysis")
    x = loaded.example()["x"]
    near = bn.fit(loaded.network, {"x": x}, progress=False, accelerate=True).parameters
    init = {**near, "psi": np.where(np.arange(4) == 2, 1e-12, near["psi"])}
    found = bn.fit(loaded.network, {"x": x}, init=init, max_iter=3, progress=False)
    assert found.parameters["psi"][2] == pytest.approx(1e-10 * x[:, 2].var(), rel=1e-6)
    assert list(edges(found)) == ["psi[2]"] and "Heywood" in edges(found)["psi[2]"]
    assert not any("collapsed" in one.message for one in found.warnings)

    told = np.column_stack([x[:, :3], x[:, :2] @ [2.0, 1.0]])
    two = model("factor_analysis", factors=2)
    found = bn.fit(two.network, {"x": told}, max_iter=1000, accelerate=True, progress=False)
    (warning,) = found.warnings
    assert found.status == "degenerate" and "no bound" in warning.message and "component" not in str(warning)


def test_a_collapse_is_not_called_a_boundary() -> None:
    """A component on one point: its variance goes to 0 too, but the likelihood has no bound there."""
    x = np.append(np.random.default_rng(0).standard_normal(50), 9.0)
    loaded = model("gmm_univariate")
    init = {"pi": [0.9, 0.1], "mu": [0.0, 9.0], "sigma2": [1.0, 1.0]}
    short = bn.fit(loaded.network, {"x": x}, init=init, max_iter=3, progress=False)
    whole = bn.fit(loaded.network, {"x": x}, init=init, max_iter=500, progress=False)
    assert not edges(short) and not edges(whole) and whole.status == "degenerate"


@pytest.mark.parametrize("rank", [1, 2])
def test_a_covariance_that_loses_its_rank(rank: int) -> None:
    """Means on a line vary less across it than rounding of means alone would, so what differs between groups has one direction;
    means that vary a little more than that have two, though EM stops where one would do as well.
    """
    with bn.Network("groups") as net:
        B = bn.parameter("B", bn.Covariance(2))
        W = bn.parameter("W", bn.Covariance(2))
        with bn.plate("s"):
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=B))
            with bn.plate("n"):
                bn.observed("x", bn.Normal(y, cov=W))
    random = np.random.default_rng(0)
    noise = [random.standard_normal((40, 2)) for _ in range(3)]
    if rank == 1:
        noise = [part - part.mean(0) for part in noise]
    x = [part + centre for part, centre in zip(noise, ([3.0, 3.0], [-3.0, -3.1], [2.0, 2.0]), strict=True)]
    found = bn.fit(net, {"x": x}, progress=False, max_iter=5000, accelerate=True)
    assert found.status == "converged"
    if rank == 1:
        assert "rank 1 of 2" in edges(found)["B"]
    else:
        (warning,) = found.warnings
        assert warning.concerns == "B" and "EM stopped before the maximum" in warning.message
        options = {"tol": 1e-13, "accelerate": True, "max_iter": 5000, "progress": False}
        onward = bn.fit(net, {"x": x}, init=found.parameters, **options)
        told = float(warning.message.split("log-likelihood is ")[1].split(";")[0])
        assert onward.log_likelihood[-1] > told > found.log_likelihood[-1]


def test_an_optimum_near_the_edge_is_not_called_one_on_it() -> None:
    """A local level whose steps are small: the edge is higher than where EM stopped, and the way there is higher still."""
    rng = np.random.default_rng(4)
    rng.normal(size=60)
    with bn.Network("level") as net:
        q, r = bn.parameter("q", bn.Positive()), bn.parameter("r", bn.Positive())
        with bn.chain("t"):
            y = bn.latent("y", bn.Normal(bn.previous("y"), var=q), first=bn.Normal(0.0, var=1e7))
            bn.observed("x", bn.Normal(y, var=r))
    found = bn.fit(net, {"x": rng.normal(size=80) + 5}, max_iter=2000, progress=False)
    assert found.status == "converged" and not edges(found)
    assert [one.concerns for one in found.warnings] == ["q"]
    assert "EM stopped before the maximum" in found.warnings[0].message


def test_chances_at_0_and_1_are_named_and_structure_is_not() -> None:
    with bn.Network("answers") as net:
        with bn.plate("k", 2):
            p = bn.parameter("p", bn.Probability())
        pi = bn.parameter("pi", bn.Simplex(3))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical([0.5, 0.5]))
            bn.observed("x", bn.Bernoulli(p[z]))
            bn.observed("w", bn.Categorical(pi))
    data = {"x": np.ones(20, int), "w": np.arange(20) % 2}
    found = bn.fit(net, data, init={"p": [0.6, 0.7], "pi": [0.4, 0.4, 0.2]}, progress=False)
    said = edges(found)
    assert (
        "its entries [0], [1] are or go to 1" in said["p"] and "its entry [2] is or goes to 0" in said["pi"]
    )
    zero = bn.fit(net, data, init={"p": [1.0, 1.0], "pi": [0.5, 0.5, 0.0]}, progress=False)
    assert not edges(zero)


def test_the_start_of_a_single_chain_is_not_worth_a_word() -> None:
    loaded = model("hmm")
    found = bn.fit(loaded.network, loaded.example(), progress=False, tol=1e-10)
    assert found.parameters["pi"].min() < 1e-12 and not edges(found)


def test_a_prior_keeps_it_inside() -> None:
    with bn.Network("schools") as net:
        tau2 = bn.parameter("tau2", bn.Positive(), prior=bn.InverseGamma(2.0, 20.0))
        with bn.plate("school"):
            theta = bn.latent("theta", bn.Normal(8.0, var=tau2))
            bn.observed("effect", bn.Normal(theta, var=100.0))
    effect = model("eight_schools").example()["effect"]
    assert not edges(bn.fit(net, {"effect": effect}, progress=False, tol=1e-10, accelerate=True))


def test_the_prior_of_a_covariance_keeps_it_inside() -> None:
    """Of a matrix that is singular up to rounding the density of the prior would be any number: 1e16, here."""
    loaded = model("gmm")
    data = loaded.example()
    net = bn.weakly_informative(loaded.network, data).network
    assert not edges(bn.fit(net, data, "viterbi", progress=False))


def test_what_lies_on_the_edge_can_be_looked_at_there() -> None:
    """Spreads of latents alone may be 0 or singular where they are given; those of what is observed may not."""
    with bn.Network("schools") as net:
        mu, tau = bn.parameter("mu", bn.Real()), bn.parameter("tau", bn.Positive())
        with bn.plate("school"):
            sd = bn.given("sd", bn.Positive())
            bn.observed("y", bn.Normal(bn.latent("theta", bn.Normal(mu, std=tau)), std=sd))
    y, s = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    theta = {"mu": np.array(8.0), "tau": np.array(0.0)}
    found = bn.fit(net, {"y": y, "sd": s}, init=theta, max_iter=0, progress=False)
    assert found.log_likelihood[0] == pytest.approx(norm(8.0, s).logpdf(y).sum(), rel=1e-12)
    np.testing.assert_allclose(found.posterior()["theta"]["mean"], np.full(8, 8.0))
    with bn.Network("groups") as net:
        B, W = bn.parameter("B", bn.Covariance(2)), bn.parameter("W", bn.Covariance(2))
        with bn.plate("s"):
            z = bn.latent("z", bn.Normal(bn.zeros(2), cov=B))
            with bn.plate("n"):
                bn.observed("x", bn.Normal(z, cov=W))
    at = {"B": np.ones((2, 2)), "W": np.eye(2)}
    one, other = np.array([0.3, -1.0]), np.array([1.0, 0.5])
    apart = sum(
        multivariate_normal(np.zeros(2), np.ones((2, 2)) + np.eye(2)).logpdf(each) for each in (one, other)
    )
    same = multivariate_normal(np.zeros(4), np.ones((4, 4)) + np.eye(4)).logpdf([*one, *other])
    ratio = bn.likelihood_ratio(net, at, {"x": one[None, None]}, {"x": other[None, None]}, plate="s")
    np.testing.assert_allclose(ratio, [[same - apart]], rtol=1e-11)
    np.testing.assert_allclose(
        np.diff(bn.sample(net, at, sizes={"s": 3, "n": 1})["z"], axis=1), 0, atol=1e-12
    )
    with pytest.raises(bn.FitError, match="W has an eigenvalue that is not positive"):
        bn.fit(net, {"x": np.zeros((2, 2, 2))}, init={"B": at["W"], "W": at["B"]}, progress=False)
    with pytest.raises(bn.FitError, match="B has an eigenvalue that is negative"):
        bn.sample(net, at | {"B": -np.eye(2)}, sizes={"s": 3, "n": 1})
    with pytest.raises(bn.FitError, match="B has an eigenvalue that is not positive"):
        bn.fit(net, {"x": np.zeros((2, 2, 2))}, "svi", init=at, progress=False)


@pytest.mark.parametrize("mean", ["learnt", "fixed"])
def test_the_spread_of_one_first_state_goes_to_0(mean: str) -> None:
    """About a mean that is learnt too. About a fixed one it has an estimate."""
    with bn.Network("one") as net:
        q, r, P = (bn.parameter(name, bn.Positive()) for name in ("q", "r", "P"))
        m = bn.parameter("m", bn.Real()) if mean == "learnt" else 3.0
        with bn.chain("t"):
            y = bn.latent("y", bn.Normal(bn.previous("y"), var=q), first=bn.Normal(m, var=P))
            bn.observed("x", bn.Normal(y, var=r))
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=60)) + rng.normal(size=60)
    found = bn.fit(net, {"x": x}, progress=False)
    told = [one for one in found.warnings if one.concerns == "P" and "a single draw" in one.message]
    assert len(told) == (mean == "learnt")
    if told:
        assert "Give it a value or a prior" in str(told[0])
