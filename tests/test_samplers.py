"""SVI and NUTS on the emitted marginal model, and how the states of their draws are named."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import bnlab as bn
from bnlab.errors import FitError
from bnlab.runtime.align import aligned, exchangeable
from bnlab.runtime.data import bind
from bnlab.runtime.em import precision
from bnlab.runtime.free_start import free_start
from bnlab.runtime.load import load_source
from bnlab.runtime.marginal import marginal, marginal_of
from bnlab.runtime.nuts_engine import drive, sampler
from bnlab.runtime.records import Partial, Problem


def mixture(prior: bool = False) -> bn.Network:
    """Two scalar components, with weak priors or without."""
    with bn.Network("two") as net:
        pi = bn.parameter("pi", bn.Simplex(2), prior=bn.Dirichlet([2.0, 2.0]) if prior else None)
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(), prior=bn.Normal(0.0, std=10.0) if prior else None)
            v = bn.parameter("v", bn.Positive(), prior=bn.InverseGamma(3.0, 3.0) if prior else None)
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def two_groups(rows: int = 80) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"x": np.concatenate([rng.normal(-3, 1, rows // 2), rng.normal(3, 1, rows // 2)])}


def mean_with_prior() -> bn.Network:
    with bn.Network("location") as net:
        m = bn.parameter("m", bn.Real(), prior=bn.Normal(1.0, std=2.0))
        with bn.plate("n"):
            bn.observed("x", bn.Normal(m, var=4.0))
    return net


def exact_posterior(x: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of m under `mean_with_prior`."""
    precision = 1 / 4 + len(x) / 4
    return (1.0 / 4 + x.sum() / 4) / precision, precision**-0.5


def test_svi_without_priors_finds_the_maximum_that_em_finds() -> None:
    data = two_groups()
    em = bn.fit(mixture(), data, tol=1e-12, progress=False)
    svi = bn.fit(mixture(), data, method="svi", progress=False)
    assert svi.draws is None
    assert len(svi.objective) == len(svi.log_likelihood) == 201
    # the optimiser's last steps have size 5e-4; the likelihood is flat to second order in them
    np.testing.assert_allclose(svi.log_likelihood[-1], em.log_likelihood[-1], atol=1e-4)
    np.testing.assert_allclose(np.sort(svi.parameters["mu"]), np.sort(em.parameters["mu"]), atol=5e-3)


def test_svi_finds_a_normal_posterior() -> None:
    x = np.random.default_rng(1).normal(2.0, 2.0, 30)
    fit = bn.fit(mean_with_prior(), {"x": x}, method="svi", num_particles=10, progress=False)
    mean, deviation = exact_posterior(x)
    draws = fit.draws["m"]
    assert draws.shape == (1, 1000)
    # 1000 draws: 5 standard errors of a mean and of a standard deviation, beside the noise of the optimiser (2 %)
    assert abs(draws.mean() - mean) < (5 / 1000**0.5 + 0.02) * deviation
    assert abs(draws.std() / deviation - 1) < 5 / 2000**0.5 + 0.02


def test_nuts_finds_a_normal_posterior() -> None:
    x = np.random.default_rng(1).normal(2.0, 2.0, 30)
    fit = bn.fit(mean_with_prior(), {"x": x}, method="nuts", progress=False)
    mean, deviation = exact_posterior(x)
    draws = fit.draws["m"]
    assert draws.shape == (4, 1000) and fit.status == "converged"
    # at least 1000 of the 4000 draws count as independent: 5 standard errors
    assert abs(draws.mean() - mean) < 5 * deviation / 1000**0.5
    assert abs(draws.std() / deviation - 1) < 5 / 2000**0.5
    np.testing.assert_allclose(fit.parameters["m"], draws.mean())


def test_nuts_names_the_states_of_all_draws_alike() -> None:
    fit = bn.fit(
        mixture(prior=True), two_groups(), method="nuts", num_samples=300, num_warmup=300, progress=False
    )
    mu = fit.draws["mu"]
    assert (mu[..., 0] < 0).all() != (
        mu[..., 1] < 0
    ).all()  # one component is left in every draw, the other right
    # the groups stand at -3 and 3 with 40 rows of deviation 1 each: 5 standard errors
    np.testing.assert_allclose(np.sort(fit.parameters["mu"]), [-3, 3], atol=5 / 40**0.5)


def test_the_same_seed_gives_the_same_draws() -> None:
    x = {"x": np.arange(5.0)}
    options = {"num_samples": 20, "num_warmup": 20, "num_chains": 1, "progress": False}
    first, again, other = (
        bn.fit(mean_with_prior(), x, method="nuts", seed=seed, **options).draws["m"] for seed in (1, 1, 2)
    )
    assert (first == again).all() and (first != other).any()


def test_nuts_is_refused_without_priors_with_what_to_type() -> None:
    with pytest.raises(FitError) as caught:
        bn.fit(mixture(), two_groups(), method="nuts", progress=False)
    text = str(caught.value)
    assert 'bn.parameter("pi", bn.Simplex(2), prior=bn.Dirichlet([1.0, 1.0]))' in text
    assert 'bn.parameter("mu", bn.Real(), prior=bn.Normal(0.0, std=10.0))' in text
    assert 'bn.parameter("v", bn.Positive(), prior=bn.InverseGamma(1.0, 1.0))' in text


def test_a_point_for_a_guide_finds_the_mode() -> None:
    data, start = two_groups(), {"pi": [0.4, 0.6], "mu": [-2.0, 2.0], "v": [1.5, 1.5]}
    em = bn.fit(mixture(prior=True), data, tol=1e-12, init=start, progress=False)
    svi = bn.fit(mixture(prior=True), data, "svi", guide="point", init=start, progress=False)
    assert svi.draws is None
    # the optimiser's last steps have size 5e-4; the density is flat to second order in them
    np.testing.assert_allclose(svi.objective[-1], em.objective[-1], atol=1e-4)
    np.testing.assert_allclose(svi.parameters["mu"], em.parameters["mu"], atol=5e-3)


@pytest.mark.parametrize(
    "options",
    [{"guide": "full-rank"}, {"guide": "low-rank"}, {"model": "enumerated"}, {"batch": 20}],
    ids=str,
)
def test_every_guide_and_model_finds_a_normal_posterior(options: dict[str, object]) -> None:
    x = np.random.default_rng(1).normal(2.0, 2.0, 60)
    fit = bn.fit(mean_with_prior(), {"x": x}, method="svi", num_particles=5, progress=False, **options)
    mean, deviation = exact_posterior(x)
    draws = fit.draws["m"]
    # as above; parts of the data leave some more noise in the optimiser (10 %)
    assert abs(draws.mean() - mean) < (5 / 1000**0.5 + 0.1) * deviation
    assert abs(draws.std() / deviation - 1) < 5 / 2000**0.5 + 0.1


def test_options_of_svi_that_cannot_be_are_named() -> None:
    with pytest.raises(FitError) as caught:
        bn.fit(mixture(), two_groups(), "svi", guide="banana", model="enumerated", batch=3, progress=False)
    assert len(caught.value.faults) == 2 and '"mean-field"' in str(caught.value)


def test_posteriors_of_latents_are_averaged_over_the_draws() -> None:
    data = two_groups(20)
    fit = bn.fit(
        mixture(prior=True), data, "nuts", num_samples=30, num_warmup=100, num_chains=2, progress=False
    )
    draws = fit.draws
    density = np.exp(-0.5 * (data["x"][:, None] - draws["mu"][:, :, None]) ** 2 / draws["v"][:, :, None])
    joint = draws["pi"][:, :, None] * density / np.sqrt(draws["v"][:, :, None])
    each = joint / joint.sum(-1, keepdims=True)
    np.testing.assert_allclose(
        fit.posterior()["z"], each.mean((0, 1)), rtol=1e-9, atol=1e-12
    )  # the same sums
    assert fit.statistics["diverging"].shape == (2, 30) and fit.effort["gradients"] > 2 * 130


def test_ctrl_c_keeps_the_draws_that_there_are() -> None:
    seen = []

    def visit(done: int, last: object) -> bool:
        seen.append(done)
        return done < 200

    graph_data = {"x": np.arange(5.0)}
    net = mean_with_prior()
    ready = marginal_of(net, bind(net.graph, graph_data), "float64")
    one = sampler(net, Partial(), 100, 0.8, False, 10)
    start = {"m": np.array(0.0)}
    found = drive(one, start, jax.random.key(0), ready.data, (2, 100, 500), visit)
    assert found.interrupted and found.z["m"].shape == (2, 100) and seen == [50, 100, 150, 200]


def test_nuts_has_no_iterations_and_says_so() -> None:
    with pytest.raises(FitError, match="num_samples") as caught:
        bn.fit(mixture(prior=True), two_groups(), "nuts", max_iter=50, tol=1e-3, progress=False)
    assert [fault.reason.split()[0] for fault in caught.value.faults] == ["max_iter", "tol"]


def test_unknown_options_are_named() -> None:
    with pytest.raises(FitError, match=r'method "svi" has no option lr'):
        bn.fit(mixture(), two_groups(), method="svi", lr=0.1, progress=False)


def test_draws_with_shuffled_states_are_put_back() -> None:
    graph, rng = mixture().graph, np.random.default_rng(0)
    truth = {"pi": np.array([0.3, 0.7]), "mu": np.array([-1.0, 1.0]), "v": np.array([1.0, 1.1])}
    draws = {name: value + 0.1 * rng.normal(size=(2, 50, 2)) for name, value in truth.items()}
    orders = np.array([rng.permutation(2) for _ in range(100)]).reshape(2, 50, 2)
    shuffled = {name: np.take_along_axis(value, orders, -1) for name, value in draws.items()}
    found = aligned(graph, shuffled, {name: value[0, 0] for name, value in draws.items()})
    for name, value in draws.items():
        np.testing.assert_array_equal(found[name], value)


def test_states_that_priors_tell_apart_are_not_renamed() -> None:
    with bn.Network("told") as net:
        pi = bn.parameter("pi", bn.Simplex(2), prior=bn.Dirichlet([1.0, 5.0]))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=1.0))
    assert exchangeable(net.graph) == []
    assert exchangeable(mixture(prior=True).graph) == [{("pi", 0), ("mu", 0), ("v", 0)}]


def test_emitted_text_is_a_module_whose_tracebacks_show_it() -> None:
    text = "def fail():\n    raise ValueError('here')  # the line\n"
    module = load_source(text, "failing")
    assert load_source(text, "failing") is module
    with pytest.raises(ValueError, match="here") as caught:
        module.fail()
    assert "# the line" in str(caught.traceback[-1].statement)
    with pytest.raises(SyntaxError):
        load_source("def", "broken")


@pytest.mark.parametrize(
    ("weights", "table", "free"),
    [
        ([0.5, 0.5], [[0.2, 0.8], [0.2, 0.8]], [{("mu", 0)}]),
        ([0.3, 0.7], [[0.2, 0.8], [0.2, 0.8]], []),
        ([0.5, 0.5], [[0.2, 0.8], [0.4, 0.6]], []),
    ],
)
def test_states_that_constants_tell_apart_are_not_renamed(
    weights: list[float], table: list[list[float]], free: list[set[tuple[str, int]]]
) -> None:
    with bn.Network("told") as net:
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(weights))
            bn.observed("x", bn.Normal(mu[z], var=1.0))
            bn.observed("y", bn.Categorical(bn.constant(table)[z]))
    assert exchangeable(net.graph) == free


def shared() -> tuple[bn.Network, dict[str, np.ndarray]]:
    """A rate of two families, which EM has no update for; its posterior is a Gamma."""
    with bn.Network("shared") as net:
        rate = bn.parameter("rate", bn.Positive(), prior=bn.Gamma(2.0, 1.0))
        with bn.plate("n"):
            bn.observed("x", bn.Poisson(rate))
            bn.observed("y", bn.Exponential(rate))
    rng = np.random.default_rng(0)
    return net, {"x": rng.poisson(2.0, 30), "y": rng.exponential(0.5, 30)}


def test_samplers_start_at_a_draw_where_em_has_none() -> None:
    net, data = shared()
    problem = Problem(
        net, net.graph, bind(net.graph, data), "svi", "data", 1, 9, 0, 0, "float64", False, None
    )
    with precision("float64"):
        found = free_start(problem, marginal(problem), 0)["rate"]
    concentration, rate = 32 + data["x"].sum(), 31 + data["y"].sum()
    deviation = concentration**0.5 / rate
    assert (
        abs(found - concentration / rate) < 3 * deviation
    )  # the best of 200 draws, of a prior seven times as wide


@pytest.mark.slow  # 9 s: NUTS compiled
def test_nuts_runs_where_em_has_no_update_at_all() -> None:
    net, data = shared()
    fit = bn.fit(net, data, "nuts", progress=False)
    concentration, rate = 32 + data["x"].sum(), 31 + data["y"].sum()
    deviation = concentration**0.5 / rate
    # 4000 draws are worth some 1000 independent ones
    assert fit.parameters["rate"] == pytest.approx(concentration / rate, abs=5 * deviation / 1000**0.5)


@pytest.mark.slow  # 12 s: two compilations
def test_gaussian_latents_of_the_enumerated_model_are_in_the_guide() -> None:
    """Out of it they were drawn from their prior, and what they share went into the spread of the rows."""
    with bn.Network("groups") as net:
        m = bn.parameter("m", bn.Real(), prior=bn.Normal(0.0, std=10.0))
        b = bn.parameter("b", bn.Positive(), prior=bn.InverseGamma(2.0, 1.0))
        w = bn.parameter("w", bn.Positive(), prior=bn.InverseGamma(2.0, 1.0))
        with bn.plate("group"):
            y = bn.latent("y", bn.Normal(m, var=b))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(y, var=w))
    rng, ids = np.random.default_rng(1), np.repeat(np.arange(20), 6)
    data = {"x": rng.normal(size=20)[ids] + 0.5 * rng.normal(size=120) + 3, "group": ids}
    without, with_them = (
        bn.fit(net, data, "svi", model=model, progress=False) for model in ("marginal", "enumerated")
    )
    for name in ("m", "b", "w"):
        deviation = without.draws[name].std()
        # 1000 draws are good to 0.03 deviations, the last steps of the optimiser to some tenths
        assert with_them.parameters[name] == pytest.approx(without.parameters[name], abs=0.3 * deviation)
