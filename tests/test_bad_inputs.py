"""Bad inputs: what a user sees. One row for each way in which data, starts or settings go wrong.

The rows follow the faults that other libraries were seen to have: a silent NaN, a covariance of rounding errors, a
"converged" that is none. Here each is refused with its name and place, or fitted rightly and reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.em_loop import STOPS, Control, verdict
from bnlab.runtime.untold import untold
from tests import gaussian_networks as networks
from tests.models import NAMES, model

FAITHFUL = model("gmm").example()["x"]
RNG = np.random.default_rng(11)
NORMAL = RNG.normal(size=(60, 2))


def mixture(components: int = 2, dim: int = 2, **settings: int) -> bn.Network:
    return model("gmm", components=components, dim=dim, **settings).network


def tied(components: int = 2) -> bn.Network:
    return model("gmm_tied", components=components).network


def symbols(states: int = 2, size: int = 3) -> bn.Network:
    """Sequences of symbols."""
    with bn.Network("symbols") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            rho = bn.parameter("rho", bn.Simplex(size))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Categorical(rho[z]))
    return net


def steps(states: int = 2) -> bn.Network:
    """Sequences of numbers."""
    with bn.Network("steps") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            mu = bn.parameter("mu", bn.Real())
            v = bn.parameter("v", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def votes() -> bn.Network:
    """A hidden class for each group, and answers of yes or no to be explained by it."""
    with bn.Network("votes") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            theta = bn.parameter("theta", bn.Simplex(2))
        with bn.plate("group"):
            c = bn.latent("c", bn.Categorical(pi))
            with bn.plate("n"):
                bn.observed("x", bn.Categorical(theta[c]))
    return net


def levels(distribution: Any, **parameters: Any) -> bn.Network:
    """A mixture of two of any distribution: its parameters by slot, each with its domain."""
    with bn.Network("levels") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            own = {slot: bn.parameter(f"{slot}_k", domain) for slot, domain in parameters.items()}
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", distribution(**{slot: one[z] for slot, one in own.items()}))
    return net


def causes(hidden: int, states: int) -> bn.Network:
    """Hidden causes that all act on one effect."""
    with bn.Network("causes") as net:
        chance = bn.parameter("chance", bn.Simplex(states))
        with ExitStack() as plates:
            for i in range(hidden):
                plates.enter_context(bn.plate(f"k{i}", states))
            P = bn.parameter("P", bn.Simplex(2))
        with bn.plate("n"):
            found = [bn.latent(f"h{i}", bn.Categorical(chance)) for i in range(hidden)]
            bn.observed("x", bn.Categorical(P[tuple(found)]))
    return net


def fit(net: bn.Network, x: Any, **options: Any) -> Any:
    data = x if isinstance(x, dict) else {"x": x}
    return bn.fit(net, data, progress=False, **options)


def with_cell(row: int, column: int, value: float) -> np.ndarray:
    changed = NORMAL.copy()
    changed[row, column] = value
    return changed


GOOD = {"pi": [0.5, 0.5], "A": [[0.9, 0.1], [0.2, 0.8]], "rho": [[0.6, 0.4, 0.0], [0.3, 0.7, 0.0]]}

REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "all points identical": (
        lambda: fit(mixture(), np.ones((20, 2))),
        ["x, column 0, has the same value in every row", "x, column 1,", "declare a prior"],
    ),
    "a constant column": (
        lambda: fit(mixture(), NORMAL * [1, 0] + 3),
        ["x, column 1, has the same value in every row", "Leave it out"],
    ),
    "a duplicated column": (
        lambda: fit(mixture(), NORMAL[:, [0, 0]]),
        ["x: the columns 0, 1 depend on one another", "Leave out one of them"],
    ),
    "more states than members": (
        lambda: fit(mixture(9), NORMAL[:8]),
        ["z has 9 states, but there are only 8 members of n", "Declare fewer states"],
    ),
    "more columns than rows": (
        lambda: fit(mixture(2, 5), RNG.normal(size=(4, 5))),
        ["x has 4 rows of 5 columns: a full covariance of them is singular", "Declare var="],
    ),
    "scale 1e200": (
        lambda: fit(mixture(), NORMAL * 1e200),
        ["values overflow float64 when squared, at n 0, column 0", "Rescale"],
    ),
    "an outlier of 1e300": (
        lambda: fit(mixture(), with_cell(7, 1, 1e300)),
        ["values overflow float64 when squared, at n 7, column 1"],
    ),
    "infinity": (lambda: fit(mixture(), with_cell(5, 0, np.inf)), ["x is infinite at n 5, column 0"]),
    "a symbol out of range": (
        lambda: fit(symbols(), [[0, 1, 7], [2, 3, 0]]),
        ["x is 7 at sequence 0, t 2; sequence 1, t 1", "it has 3 categories, 0 to 2"],
    ),
    "an empty sequence": (
        lambda: fit(symbols(), [np.array([0, 1]), np.array([], dtype=int)]),
        ["x[1] is empty: it has no member of t"],
    ),
    "ids that do not cover the rows": (
        lambda: fit(symbols(), {"x": [0, 1, 2, 1], "sequence": [0, 0, 0]}),
        ["x has 4 rows, but there are 3 ids of sequence"],
    ),
    "an observation of probability 0": (
        lambda: fit(symbols(), [[0, 1], [1, 0, 0, 2, 1]], init=GOOD),
        ["the data of sequence 1 are impossible: x = 2 at sequence 1, t 3 has probability 0"],
    ),
    "a step of probability 0": (
        lambda: fit(
            symbols(),
            [[0, 0, 1, 1, 0]],
            init={"pi": [1, 0], "A": [[0.5, 0.5], [0, 1]], "rho": [[1, 0, 0], [0, 1, 0]]},
        ),
        ["x = 0 at sequence 0, t 4 has probability 0 given the steps before it"],
    ),
    "a count below 0": (
        lambda: fit(levels(bn.Poisson, rate=bn.Positive()), [1, -1, 2]),
        ["x is -1 at n 1; counts are whole numbers from 0"],
    ),
    "half a count": (
        lambda: fit(levels(bn.Multinomial, probs=bn.Simplex(3)), [[1, 0.5, 3], [1, 1, 1]]),
        ["x is 0.5 at n 0, column 1; counts are whole numbers from 0"],
    ),
    "a time of 0": (
        lambda: fit(levels(bn.Exponential, rate=bn.Positive()), [0.0, 1.0, 2.0]),
        ["x is 0 at n 0; it must be positive"],
    ),
    "the same time in every row": (
        lambda: fit(levels(bn.Gamma, concentration=bn.Positive(), rate=bn.Positive()), np.full(9, 2.0)),
        ["x has the same value in every row"],
    ),
    "a table that no machine holds": (
        lambda: fit(causes(16, 3), [0, 1, 1]),
        ["43,046,721"],
    ),
    "a table that does not sum to 1": (
        lambda: fit(symbols(), [[0, 1]], init=GOOD | {"pi": [0.5, 0.6]}),
        ["pi sums to 1.1; probabilities sum to 1"],
    ),
    "a negative probability": (
        lambda: fit(symbols(), [[0, 1]], init=GOOD | {"A": [[1.5, -0.5], [0.2, 0.8]]}),
        ["A is negative at [0, 1]; probabilities are not"],
    ),
    "a start whose covariance is none": (
        lambda: fit(mixture(), NORMAL, init={"Sigma": [np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]}),
        ["Sigma has an eigenvalue that is not positive at [1]"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_name_place_and_advice(case: str) -> None:
    attempt, parts = REFUSED[case]
    with pytest.raises(bn.BnlabError) as error:
        attempt()
    for part in parts:
        assert part in str(error.value)


def told(found: Any) -> dict[str, str]:
    """What each warning concerns, and all that it says."""
    return {warning.concerns: f"{warning.message} {warning.advice}" for warning in found.warnings}


# Components that collapse, or explain nothing


def test_one_point_as_a_component_is_degenerate() -> None:
    lone = np.vstack([FAITHFUL, [[100.0, 100.0]]])
    start = {"mu": [[100.0, 100.0], [3.5, 70.0]], "Sigma": [0.1 * np.eye(2), np.cov(FAITHFUL.T)]}
    found = fit(mixture(), lone, init=start)
    assert found.status == "degenerate" and not found.converged
    assert "collapsed onto few points" in told(found)["Sigma[0]"] and "a prior" in told(found)["Sigma[0]"]
    assert all(np.isfinite(value).all() for value in found.parameters.values())


def test_as_many_components_as_points_are_degenerate() -> None:
    found = fit(mixture(8), NORMAL[:8])
    assert found.status == "degenerate" and told(found).keys() == {f"Sigma[{k}]" for k in range(8)}
    assert np.isfinite(found.objective).all()


def test_components_of_fewer_points_than_columns_are_degenerate() -> None:
    found = fit(mixture(3, 8), RNG.normal(size=(20, 8)))
    assert found.status == "degenerate" and any("Sigma" in concerned for concerned in told(found))


def test_a_component_that_starts_far_away_is_empty_and_keeps_its_values() -> None:
    start = {"mu": [[1e6, 1e6], [3.5, 70.0]], "Sigma": [0.1 * np.eye(2), np.cov(FAITHFUL.T)]}
    found = fit(mixture(), FAITHFUL, init=start)
    assert "explains none of the data" in told(found)["z = 0"]
    np.testing.assert_array_equal(found.parameters["mu"][0], [1e6, 1e6])
    np.testing.assert_array_equal(found.parameters["Sigma"][0], 0.1 * np.eye(2))


def test_a_state_that_is_never_visited_keeps_its_values() -> None:
    start = {"pi": [1.0, 0.0], "A": [[1.0, 0.0], [0.3, 0.7]], "mu": [3.0, 4.0], "v": [1.0, 2.0]}
    found = fit(steps(), [FAITHFUL[:20, 0], FAITHFUL[20:40, 0]], init=start)
    assert told(found).keys() == {"z = 1"}
    np.testing.assert_array_equal(found.parameters["A"], start["A"])
    assert (found.parameters["mu"][1], found.parameters["v"][1]) == (4.0, 2.0)
    np.testing.assert_allclose(found.parameters["mu"][0], FAITHFUL[:40, 0].mean(), rtol=1e-12)  # rounding
    assert np.isfinite(found.score({"x": [FAITHFUL[:9, 0]]})).all()


def test_sequences_of_one_step_leave_transitions_alone() -> None:
    found = fit(steps(), [[value] for value in FAITHFUL[:50, 0]], init={"A": GOOD["A"]})
    np.testing.assert_array_equal(found.parameters["A"], GOOD["A"])
    assert "no sequence has a second step" in told(found)["t"] and np.isfinite(found.objective).all()
    mixed = fit(steps(), [[1.8], [4.5], [1.9, 4.4, 2.0, 4.6, 1.7, 4.1, 4.0]], init={"A": GOOD["A"]})
    assert "t" not in told(mixed) and not np.array_equal(mixed.parameters["A"], GOOD["A"])


def test_rows_of_a_table_that_the_data_never_select_keep_their_values() -> None:
    with bn.Network("answers") as net:
        with bn.plate("k", 3):
            P = bn.parameter("P", bn.Simplex(2))
        with bn.plate("n"):
            question = bn.given("question", bn.Integer(3))
            bn.observed("x", bn.Categorical(P[question]))
    start = {"P": [[0.5, 0.5], [0.4, 0.6], [0.5, 0.5]]}
    found = fit(net, {"question": [0, 0, 2], "x": [0, 1, 1]}, init=start)
    np.testing.assert_array_equal(found.parameters["P"], [[0.5, 0.5], [0.4, 0.6], [0.0, 1.0]])  # counting
    assert "question is never 1 in the data; P keeps its initial values there" in told(found)["P"]


def test_times_that_hardly_vary_are_degenerate_and_keep_their_mean() -> None:
    x = np.repeat([1.0, 5.0], 10)
    found = fit(levels(bn.Gamma, concentration=bn.Positive(), rate=bn.Positive()), x)
    assert found.status == "degenerate" and "collapsed" in told(found)["concentration_k[0]"]
    means = found.parameters["concentration_k"] / found.parameters["rate_k"]
    np.testing.assert_allclose(np.sort(means), [1, 5], rtol=1e-9)  # rounding of a ratio of 1e10
    assert np.diff(found.objective).min() > -1e-5  # terms of 1e10 cancel in float64


def test_nothing_but_zeros_as_counts() -> None:
    found = fit(levels(bn.Poisson, rate=bn.Positive()), np.zeros(10, int))
    assert found.log_likelihood[-1] == pytest.approx(0, abs=1e-12) and "z" in told(found)
    np.testing.assert_array_equal(found.parameters["rate_k"], 0)


# Saddles: starts without a difference to begin with

MEAN, COV = FAITHFUL.mean(0), np.cov(FAITHFUL.T, bias=True)
K1 = -1289.79674505  # one normal for all of Old Faithful: its closed-form maximum


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("covariance", ["own", "tied"])
@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.3, 0.7]])
def test_the_solution_for_one_component_is_a_saddle(
    offset: float, covariance: str, weights: list[float]
) -> None:
    start = {"pi": weights, "mu": [MEAN + offset] * 2, "Sigma": COV if covariance == "tied" else [COV] * 2}
    found = fit(tied() if covariance == "tied" else mixture(), FAITHFUL + offset, init=start)
    # at 1e8 a minute's last digits are 1e-8 of it: 544 numbers' squares of that, over variances above 1
    assert found.log_likelihood[-1] == pytest.approx(K1, rel=1e-11 if not offset else 1e-9)
    assert "all its states are alike" in told(found)["z"] and "saddle" in told(found)["z"]
    assert "n_init=10" in told(found)["z"]


@pytest.mark.parametrize("difference", [1e-9, 1e-6, 1e-3, 1e-2, 1e-1])
def test_a_start_near_the_saddle_that_stops_there_is_reported(difference: float) -> None:
    """With a tied covariance EM leaves so slowly that the rule of stopping is met at once."""
    apart = difference * np.array([[1.0, 1.0], [-1.0, -1.0]])
    found = fit(tied(), FAITHFUL, init={"pi": [0.5, 0.5], "mu": MEAN + apart, "Sigma": COV})
    assert found.converged and found.log_likelihood[-1] < -1285
    assert ("saddle" in told(found).get("z", "")) or (
        "rise more and more" in told(found).get("objective", "")
    )


def test_two_of_three_states_alike() -> None:
    start = {"pi": [0.4, 0.3, 0.3], "mu": [[2.0, 55.0], [4.3, 80.0], [4.3, 80.0]], "Sigma": [COV] * 3}
    found = fit(mixture(3), FAITHFUL, init=start)
    assert "its states 1, 2 are alike" in told(found)["z"]


def test_tables_that_start_equal() -> None:
    """A hidden cause of two symptoms, from tables of nothing but halves."""
    with bn.Network("causes") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("state", 2):
            cough, fever = bn.parameter("cough", bn.Simplex(2)), bn.parameter("fever", bn.Simplex(2))
        with bn.plate("n"):
            ill = bn.latent("ill", bn.Categorical(pi))
            bn.observed("a", bn.Categorical(cough[ill]))
            bn.observed("b", bn.Categorical(fever[ill]))
    data = {"a": [0, 0, 1, 1, 0, 1, 0, 1, 1, 1], "b": [0, 0, 1, 1, 0, 1, 1, 0, 1, 1]}
    half = [[0.5, 0.5], [0.5, 0.5]]
    found = fit(net, data, init={"pi": [0.5, 0.5], "cough": half, "fever": half})
    assert "saddle" in told(found)["ill"]
    assert "ill" not in told(fit(net, data))


def test_states_that_differ_only_in_what_follows_them_are_no_saddle() -> None:
    """Two states that emit alike make the time in them less like a geometric one; EM moves them apart."""
    start = {
        "pi": [0.6, 0.2, 0.2],
        "A": [[0.8, 0.1, 0.1], [0.0, 0.5, 0.5], [0.6, 0.0, 0.4]],
        "mu": [2.0, 4.3, 4.3],
        "v": [0.1, 0.2, 0.2],
    }
    found = fit(steps(3), [FAITHFUL[:, 0]], init=start, max_iter=1)
    assert "z" not in told(found)


@pytest.mark.parametrize("name", ["gmm", "gmm_tied", "hmm", "latent_class"])
def test_ordinary_fits_say_nothing(name: str) -> None:
    loaded = model(name)
    found = bn.fit(loaded.network, loaded.example(), progress=False, max_iter=2000)
    assert found.converged and found.warnings == ()


@pytest.mark.parametrize(("name", "table"), [("hmm_categorical", "B"), ("hmm_poisson", "A")])
def test_ordinary_fits_with_a_probability_of_0_say_only_that(name: str, table: str) -> None:
    loaded = model(name)
    found = bn.fit(loaded.network, loaded.example(), progress=False, max_iter=2000)
    assert found.converged and [warning.concerns for warning in found.warnings] == [table]
    assert "boundary" in found.warnings[0].message


def test_a_latent_of_more_entries_than_anything_reads_is_reported() -> None:
    loaded = model("factor_analysis", factors=6)
    found = bn.fit(loaded.network, loaded.example(), max_iter=2, progress=False)
    assert "nothing of 2 directions" in told(found)["y"] and "4 or fewer" in told(found)["y"]
    enough = [build().graph for build in (networks.factors, networks.coefficients, networks.linear_chain)]
    enough += [model(name).network.graph for name in NAMES]
    assert not [warning for graph in enough for warning in untold(graph)]


# Size and place of the numbers


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_any_unit_gives_the_same_fit(scale: float) -> None:
    plain, scaled = (fit(mixture(), x, tol=0, max_iter=30) for x in (FAITHFUL, FAITHFUL * scale))
    # k-means and 30 iterations in other units: rounding, on covariances of condition 1e3
    np.testing.assert_allclose(scaled.parameters["mu"] / scale, plain.parameters["mu"], rtol=1e-9)
    shift = FAITHFUL.size * np.log(scale)
    np.testing.assert_allclose(scaled.log_likelihood + shift, plain.log_likelihood, rtol=1e-10)


def test_far_from_the_origin_it_fits_and_says_so() -> None:
    found = fit(mixture(), FAITHFUL + 1e8)
    assert found.log_likelihood[-1] == pytest.approx(-1130.26396, abs=1e-4)  # tol leaves 1e-3 open
    assert "8.8e+07 standard deviations from 0" in told(found)["x"] and "Subtract" in told(found)["x"]


def test_float32_that_cannot_tell_a_variance_says_so() -> None:
    generator = np.random.default_rng(0)
    x = np.concatenate([9999 + 0.3 * generator.normal(size=200), 0.3 * generator.normal(size=200)])
    net = model("gmm_univariate").network
    single, double = fit(net, x, dtype="float32"), fit(net, x)
    assert single.status == "degenerate" and "dtype='float64'" in told(single)["sigma2[0]"]
    assert double.converged and double.warnings == ()
    # the variance of 200 numbers about 0.09, sampling error of a tenth of it three times
    np.testing.assert_allclose(double.parameters["sigma2"], 0.09, rtol=0.3)


def test_a_long_chain() -> None:
    x = np.concatenate([RNG.normal(size=50_000), 5 + RNG.normal(size=50_000)])
    found = fit(steps(), [x], max_iter=20, tol=0)
    assert np.diff(found.objective).min() > -1e-10 * abs(found.objective[0])  # rounding of 1e5 terms
    np.testing.assert_allclose(np.sort(found.parameters["mu"]), [0, 5], atol=0.03)  # five standard errors


def test_a_thousand_children_of_one_latent() -> None:
    """Products of 1200 probabilities underflow; the posterior must not become a half."""
    answers = np.stack([RNG.random(1200) < chance for chance in (0.3, 0.3, 0.7, 0.7)]).astype(int)
    posterior = fit(votes(), answers).posterior()["c"]
    np.testing.assert_allclose(np.sort(posterior, axis=1), [[0, 1]] * 4, atol=1e-12)  # odds of e^400
    assert (posterior.argmax(1)[:2] != posterior.argmax(1)[2:]).all()


# Impossible data and fitted parameters


def test_new_data_that_the_fit_makes_impossible() -> None:
    found = fit(symbols(), [[0, 1, 0, 1], [0, 0, 1]])
    new = {"x": [[0, 1], [1, 0, 2, 1]]}
    assert found.score(new)[1] == -np.inf and np.isfinite(found.score(new)[0])
    for question in (found.posterior, found.predict):
        with pytest.raises(bn.DataError, match="x = 2 at sequence 1, t 2 has probability 0"):
            question(new)


def test_zeros_that_are_constants_make_data_impossible_too() -> None:
    with bn.Network("onward") as net:
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            mu = bn.parameter("mu", bn.Real())
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical([1.0, 0.0]))
            bn.observed("y", bn.Categorical(bn.constant([[1.0, 0.0], [0.0, 1.0]])[z]))
            bn.observed("x", bn.Normal(mu[z], var=1.0))
    found = fit(net, {"x": [0.1, 2.0, 0.2, 1.9], "y": [0, 1, 0, 1]}, init={"A": [[0.5, 0.5]] * 2}, max_iter=1)
    np.testing.assert_array_equal(found.posterior()["z"].argmax(-1), [0, 1, 0, 1])
    with pytest.raises(bn.DataError, match="at t 0 has probability 0"):
        found.posterior({"x": [0.1, 2.0], "y": [1, 1]})


# Stopping


def test_out_of_iterations_is_not_converged() -> None:
    found = fit(mixture(), FAITHFUL, init="random", max_iter=1)
    assert found.status == "max_iter" and "Raise max_iter" in told(found)["objective"]


def test_the_last_entry_is_that_of_the_parameters_returned() -> None:
    found = fit(mixture(), FAITHFUL)
    again = fit(mixture(), FAITHFUL, init=found.parameters, max_iter=0)
    assert again.log_likelihood[0] == pytest.approx(found.log_likelihood[-1], rel=1e-12)  # two compilations


@pytest.mark.parametrize(
    ("previous", "objective", "standing", "status"),
    [
        (-100.0, -100.5, False, "non_monotone"),
        (-100.0, -100.5, True, "converged"),  # beside a floor, rounding may do that
        (-100.0, -100.0 - 1e-12, False, "converged"),
        (-100.0, np.nan, False, "nan"),
        (-100.0, -90.0, False, None),
        (np.nan, -90.0, False, None),
    ],
)
def test_a_falling_objective_is_never_called_converged(
    previous: float, objective: float, standing: bool, status: str | None
) -> None:
    control = Control(steps=np.int32(1), left=np.int32(9), tol=1e-6, slack=1e-10)
    sound = np.isfinite(objective)
    numbers = (np.asarray(value) for value in (objective, previous, sound, standing, False))
    assert STOPS[int(verdict(*numbers, control))] == status


def test_without_a_seed_it_is_the_same_each_time() -> None:
    one, two = (fit(mixture(3), FAITHFUL) for _ in range(2))
    np.testing.assert_array_equal(one.objective, two.objective)
    assert one.settings["seed"] == 0 and one.restarts.starts[0].seed == 0


def test_nothing_is_printed_as_a_warning_of_python() -> None:
    """What went wrong is in `warnings`, for the program to read; standard error is for the one line of progress."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(mixture(8), NORMAL[:8])
