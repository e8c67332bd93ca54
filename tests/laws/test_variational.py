"""Variational EM: the ELBO never falls, it is what a Monte Carlo estimate by brute force says it is, and its steps lead to
where it is stationary."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln, gammaln

import bnlab as bn
from bnlab.errors import IntractableError
from tests.gaussian_networks import GAUSSIAN
from tests.laws.variational import Subject, subject
from tests.networks import EXAMPLES, Example

DERIVED = tuple(
    """mixture_full mixture_diagonal mixture_spherical mixture_tied naive_bayes clinic grouped_rows fixed_parts priors
    prior_of_each_state mixture_times mixture_answers hidden_yes rates_and_chances mixture_unigrams chain_counts
    chain_gaussian chain_categorical second_order chain_of_mixtures driven_chain""".split()
)
"""One of each kind; more are as the others."""
SAMPLED = tuple(
    """mixture_full mixture_diagonal mixture_tied two_causes fixed_parts mixture_counts mixture_answers hidden_yes
    rates_and_chances mixture_trials chain_gaussian driven_chain""".split()
)
REFUSED = {
    "mixture_std": ("std", "Write var= in its place"),
    "regressions": ("`w` and `b`", '"svi"'),
    "known_deviations": ("is data", '"em"'),
    "mixture_durations": ("concentration of Gamma", "value="),
    "mixture_heavy": ("StudentT", '"nuts"'),
    "factors": ("`W` and `mu`", '"em"'),
    "linear_chain": ("`F`", '"em"'),
}
"""What is refused: the words of the reason, and what to write instead."""
DRAWS = 120
"""Of theta, for an estimate: brute force takes milliseconds for each."""


GROUPS = (
    "two_covariances",
    "nested_means",
    "nested_effects",
    "coefficients",
    "items_of_groups",
    "local_level",
)
"""With Gaussian latents alone: offsets do not change their posterior."""


def example(name: str) -> Example:
    return next(one for one in (*EXAMPLES, *GAUSSIAN) if one.name == name)


@pytest.mark.parametrize("name", DERIVED)
def test_elbo_never_falls(name: str) -> None:
    one = subject(example(name))
    trace = [one.elbo(q) for q in one.path(6)]
    assert np.isfinite(trace).all()
    assert (np.diff(trace) > -1e-10 * (1 + np.abs(trace[-1]))).all()  # rounding
    assert trace[-1] > trace[0]


@pytest.mark.parametrize("name", SAMPLED)
def test_elbo_is_its_monte_carlo_estimate(name: str) -> None:
    one = subject(example(name))
    q = one.path(1)[-1]
    estimate, error = one.estimate(q, DRAWS, np.random.default_rng(3))
    assert abs(one.elbo(q) - estimate) < 4 * error  # standard errors


@pytest.mark.parametrize("name", GROUPS)
def test_gaussian_latents(name: str) -> None:
    one = subject(example(name))
    path = one.path(4)
    trace = [one.elbo(q) for q in path]
    assert (np.diff(trace) > -1e-10 * (1 + np.abs(trace[-1]))).all()
    estimate, error = one.estimate_with_gaussians(path[1], 2 * DRAWS, np.random.default_rng(3))
    assert abs(trace[1] - estimate) < 4 * error  # standard errors


@pytest.mark.parametrize("name", ["mixture_of_groups", "tied_groups"])
def test_gaussian_latents_under_discrete_ones(name: str) -> None:
    one = subject(example(name))
    trace = [one.elbo(q) for q in one.path(6)]
    assert (np.diff(trace) > -1e-10 * (1 + np.abs(trace[-1]))).all()


# -- with data missing

HOLES = """mixture_full mixture_diagonal naive_bayes clinic rates_and_chances chain_gaussian two_covariances mixture_of_groups
level_and_slope""".split()


@pytest.mark.parametrize("name", HOLES)
def test_elbo_never_falls_with_holes_in_the_data(name: str) -> None:
    one = subject(example(name), gaps=True)
    trace = [one.elbo(q) for q in one.path(6)]
    assert np.isfinite(trace).all()
    assert (np.diff(trace) > -1e-10 * (1 + np.abs(trace[-1]))).all()  # rounding
    assert trace[-1] > trace[0]


@pytest.mark.parametrize("name", ["mixture_counts", "mixture_times", "mixture_trials"])
def test_elbo_of_what_is_seen_is_its_monte_carlo_estimate(name: str) -> None:
    one = subject(example(name), gaps=True)
    q = one.path(1)[-1]
    estimate, error = one.estimate(q, DRAWS, np.random.default_rng(3))
    assert abs(one.elbo(q) - estimate) < 4 * error  # standard errors


@pytest.mark.parametrize("name", ["two_covariances", "nested_means", "local_level"])
def test_gaussian_latents_with_holes_in_the_data(name: str) -> None:
    one = subject(example(name), gaps=True)
    q = one.path(1)[-1]
    estimate, error = one.estimate_with_gaussians(q, 2 * DRAWS, np.random.default_rng(3))
    assert abs(one.elbo(q) - estimate) < 4 * error  # standard errors


def normal() -> bn.Network:
    with bn.Network("normal") as net:
        mu = bn.parameter("mu", bn.Real(3), prior=bn.Normal(0.0, var=4.0))
        Sigma = bn.parameter("Sigma", bn.Covariance(3), prior=bn.InverseWishart(6.0, np.eye(3)))
        with bn.plate("n"):
            bn.observed("x", bn.Normal(mu, cov=Sigma))
    return net


def test_missing_entries_of_a_vector_are_latent() -> None:
    x = np.random.default_rng(1).normal(size=(8, 3)) + 1
    x[0, 0] = x[1, 1:] = x[3, 2] = x[5, :2] = np.nan
    one = Subject(normal().graph, {"x": x}, {"mu": np.zeros(3), "Sigma": np.eye(3)}, missing=("x",))
    q = one.path(2)[-1]
    estimate, error = one.estimate_with_gaussians(q, 2 * DRAWS, np.random.default_rng(3))
    assert abs(one.elbo(q) - estimate) < 4 * error  # standard errors


def test_a_row_without_any_value_tells_nothing() -> None:
    x = np.random.default_rng(2).normal(size=(6, 3))
    more = np.concatenate([x, np.full((2, 3), np.nan)])
    theta = {"mu": np.zeros(3), "Sigma": np.eye(3)}
    whole = Subject(normal().graph, {"x": x}, theta).path(3)
    longer = Subject(normal().graph, {"x": more}, theta, missing=("x",))
    for q, other in zip(whole, longer.path(3), strict=True):
        for name, value in q.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-12)
        # the same sums, in another order
        assert longer.elbo(q) == pytest.approx(Subject(normal().graph, {"x": x}, theta).elbo(q), rel=1e-12)


def test_missing_counts_and_answers_leave_the_exact_evidence() -> None:
    a, b = np.array([1.7, 0.9]), np.array([0.6, 2.0])
    with bn.Network("calls") as net:
        rate = bn.parameter("rate", bn.Positive(2), prior=bn.Gamma(a, b))
        p = bn.parameter("p", bn.Probability(), prior=bn.Beta(0.7, 1.3))
        with bn.plate("n"):
            bn.observed("x", bn.Poisson(rate))
            bn.observed("y", bn.Bernoulli(p))
    x, y = np.array([[3, np.nan], [0, 1], [np.nan, 4], [np.nan, np.nan]]), np.array([1, -1, 0, 1])
    exact = betaln(0.7 + 2, 1.3 + 1) - betaln(0.7, 1.3)
    for column, shape, scale in zip(x.T, a, b, strict=True):
        seen = column[~np.isnan(column)]
        total, count = seen.sum(), len(seen)
        exact += shape * np.log(scale) - gammaln(shape) + gammaln(shape + total) - gammaln(seen + 1).sum()
        exact -= (shape + total) * np.log(scale + count)
    start = {"rate": np.ones(2), "p": np.array(0.5)}
    one = Subject(net.graph, {"x": x, "y": y}, start, missing=("x", "y"))
    assert one.elbo(one.start) == pytest.approx(exact, abs=1e-11)


def test_a_number_that_others_read_may_not_be_missing() -> None:
    with bn.Network("passed_on") as net:
        m, b = (bn.parameter(name, bn.Real(), prior=bn.Normal(0.0, var=1.0)) for name in "mb")
        with bn.plate("n"):
            x = bn.observed("x", bn.Normal(m, var=1.0))
            bn.observed("y", bn.Normal(x + b, var=1.0))
    with pytest.raises(IntractableError, match="may be missing and others read it, as of `x`"):
        bn.emit(net, "vbem", missing=("x",))
    bn.emit(net, "vbem", missing=("y",))


def test_weights_count_rows() -> None:
    one = subject(example("mixture_tied"))
    twice = {"x": np.concatenate([one.data["x"]] * 2)}
    weighted = Subject(one.graph, {**one.data, "weights": np.full(len(one.data["x"]), 2.0)}, one.theta)
    doubled = Subject(one.graph, twice, one.theta)
    for q in doubled.path(2):
        assert weighted.elbo(q) == pytest.approx(doubled.elbo(q), rel=1e-12)


def between(
    q: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], part: float
) -> dict[str, np.ndarray]:
    """Hyperparameters on the line from one q to another: they form a convex set."""
    return {name: (1 - part) * np.asarray(q[name]) + part * np.asarray(other[name]) for name in q}


@pytest.mark.parametrize(
    "name",
    ["mixture_full", "mixture_diagonal", "mixture_tied", "mixture_counts", "chain_gaussian", "two_causes"],
)
def test_it_ends_where_the_elbo_is_stationary(name: str) -> None:
    one = subject(example(name))
    path = one.path(150)
    q, step = path[-1], 1e-7
    for other in (path[0], one.prior, path[2]):
        up, down = (one.elbo(between(q, other, part)) for part in (step, -step))
        # Rounding of the ELBO over the step, its third derivative times the step squared, and what is left to climb.
        assert abs(up - down) / (2 * step) < 1e-4
        assert one.elbo(between(q, other, 0.01)) < one.elbo(q)


@pytest.mark.parametrize("name", ["chain_gaussian", "two_causes"])
def test_logarithms_and_rescaled_messages_agree(name: str) -> None:
    one = subject(example(name))
    other = Subject(one.graph, one.data, one.theta, "log")
    for q in one.path(2):
        assert other.elbo(q) == pytest.approx(one.elbo(q), rel=1e-12)


# -- where the posterior is in the family of q, the ELBO is ln p(x)


def test_counts_are_exact() -> None:
    """A fully observed categorical variable under a Dirichlet prior: the Polya distribution."""
    alpha, x = np.array([0.3, 1.0, 2.5]), np.array([0, 2, 2, 1, 2, 0, 2])
    with bn.Network("dice") as net:
        p = bn.parameter("p", bn.Simplex(3), prior=bn.Dirichlet(alpha))
        with bn.plate("n"):
            bn.observed("x", bn.Categorical(p))
    counts = np.bincount(x, minlength=3)
    exact = gammaln(alpha.sum()) - gammaln(alpha.sum() + 7) + (gammaln(alpha + counts) - gammaln(alpha)).sum()
    one = Subject(net.graph, {"x": x}, {"p": np.ones(3) / 3})
    assert one.elbo(one.start) == pytest.approx(exact, abs=1e-12)


def test_gaussian_mean_with_known_covariance_is_exact() -> None:
    rng = np.random.default_rng(0)
    prior, noise, m0 = (
        np.array([[4.0, 1.0], [1.0, 2.0]]),
        np.array([[1.0, 0.3], [0.3, 0.5]]),
        np.array([1.0, -2.0]),
    )
    x = rng.normal(size=(5, 2)) + 3
    with bn.Network("known") as net:
        mu = bn.parameter("mu", bn.Real(2), prior=bn.Normal(m0, cov=prior))
        with bn.plate("n"):
            bn.observed("x", bn.Normal(mu, cov=noise))
    joint = np.kron(np.ones((5, 5)), prior) + np.kron(np.eye(5), noise)
    exact = stats.multivariate_normal.logpdf(x.ravel(), np.tile(m0, 5), joint)
    one = Subject(net.graph, {"x": x}, {"mu": np.zeros(2)})
    assert one.elbo(one.start) == pytest.approx(exact, abs=1e-10)


def test_variance_with_known_mean_is_exact() -> None:
    """Under an inverse Gamma prior the data are Student's t together."""
    x, a, b = np.array([0.3, -1.2, 2.0, 0.7]), 2.5, 1.5
    with bn.Network("scatter") as net:
        v = bn.parameter("v", bn.Positive(), prior=bn.InverseGamma(a, b))
        with bn.plate("n"):
            bn.observed("x", bn.Normal(bn.constant(0.5), var=v))
    exact = stats.multivariate_t.logpdf(x, np.full(4, 0.5), np.eye(4) * b / a, df=2 * a)
    one = Subject(net.graph, {"x": x}, {"v": np.array(1.0)})
    assert one.elbo(one.start) == pytest.approx(exact, abs=1e-10)


def test_rate_is_exact() -> None:
    """Poisson counts under a Gamma prior: one negative binomial and a multinomial."""
    x, a, b = np.array([3, 0, 5, 2]), 1.7, 0.6
    with bn.Network("calls") as net:
        rate = bn.parameter("rate", bn.Positive(), prior=bn.Gamma(a, b))
        with bn.plate("n"):
            bn.observed("x", bn.Poisson(rate))
    exact = (
        a * np.log(b)
        - gammaln(a)
        + gammaln(a + x.sum())
        - (a + x.sum()) * np.log(b + 4)
        - gammaln(x + 1).sum()
    )
    one = Subject(net.graph, {"x": x.astype(float)}, {"rate": np.array(1.0)})
    assert one.elbo(one.start) == pytest.approx(exact, abs=1e-11)


# -- what is refused


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    reason, remedy = REFUSED[name]
    with pytest.raises(IntractableError) as found:
        _ = subject(example(name)).derived
    assert reason in str(found.value) and remedy in str(found.value)


def test_a_parameter_without_prior_is_refused() -> None:
    with pytest.raises(IntractableError, match=r"`pi`, `mu`, `v` have no priors(.|\n)*weakly_informative"):
        bn.emit(example("mixture_scalar").build(), "vbem")
