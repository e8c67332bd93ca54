"""The loop around the emitted EM: traces, stopping, restarts, floors, interruption, checkpoints, and what is refused."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime import em_resume
from bnlab.runtime.diagnostics import unmixed

FAITHFUL = np.loadtxt(Path(__file__).parents[1] / "data" / "faithful.csv", delimiter=",", skiprows=1)
DATA = {"x": FAITHFUL}
START = {
    "pi": [0.5, 0.5],
    "mu": [[2.0, 50.0], [4.0, 80.0]],
    "Sigma": [[[1.0, 0.0], [0.0, 50.0]], [[1.0, 0.0], [0.0, 50.0]]],
}


def mixture() -> bn.Network:
    with bn.Network("mixture") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
            Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def chain() -> bn.Network:
    with bn.Network("sequences") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            mu = bn.parameter("mu", bn.Real())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v))
    return net


CHAIN = {"pi": [0.5, 0.5], "A": [[0.9, 0.1], [0.2, 0.8]], "mu": [-2.0, 2.0], "v": 1.0}


def fit(data: Any = DATA, method: str = "em", net: bn.Network | None = None, **options: Any) -> Any:
    return bn.fit(net or mixture(), data, method, progress=False, **options)


def same_parameters(one: Any, other: Any) -> None:
    for name, value in one.parameters.items():
        np.testing.assert_array_equal(value, other.parameters[name])


# Traces and stopping


def test_entry_i_of_the_trace_is_at_the_parameters_after_i_iterations() -> None:
    long = fit(init=START, max_iter=5, tol=0)
    assert long.n_iter == 5 and len(long.log_likelihood) == 6 and long.status == "max_iter"
    for i in range(6):
        short = fit(init=START, max_iter=i, tol=0)
        np.testing.assert_array_equal(short.log_likelihood, long.log_likelihood[: i + 1])
        # Two compilations of the same sum of 272 terms: rounding of 1e-16 times the terms' size.
        np.testing.assert_allclose(short.score().sum(), long.log_likelihood[i], rtol=1e-12)
    assert np.diff(long.log_likelihood).min() > 0


def test_no_iterations_give_back_the_initial_parameters() -> None:
    start = fit(init=START, max_iter=0)
    assert start.n_iter == 0 and start.status == "max_iter"
    for name, value in START.items():
        np.testing.assert_array_equal(start.parameters[name], value)


@pytest.mark.parametrize("tol", [1e-3, 1e-6])
def test_it_stops_where_the_rise_is_at_most_tol(tol: float) -> None:
    found = fit(init=START, max_iter=500, tol=tol)
    assert found.converged
    rises = np.diff(found.objective)
    small = rises <= tol * (1 + np.abs(found.objective[1:]))
    assert small[-1] and not small[:-1].any()


def test_without_tolerance_it_makes_exactly_the_iterations_asked_for() -> None:
    found = fit(init=START, max_iter=150, tol=0)
    assert found.n_iter == 150 and found.status == "max_iter"
    assert found.log_likelihood[-1] == pytest.approx(
        -1130.26396, abs=5e-6
    )  # mclust's value, printed to 5 digits


def test_seeds_and_restarts() -> None:
    one, two = (fit(seed=7, n_init=2) for _ in range(2))
    same_parameters(one, two)
    np.testing.assert_array_equal(one.objective, two.objective)
    many = fit(n_init=6, init="random", max_iter=500)
    assert sum(times for _, times in many.optima) == 6
    assert many.objective[-1] == many.optima[0][0] == max(value for value, _ in many.optima)


def test_given_arrays_stay_in_a_partial_init() -> None:
    found = fit(init={"mu": START["mu"]}, max_iter=0, seed=3)
    np.testing.assert_array_equal(found.parameters["mu"], START["mu"])
    assert np.isfinite(found.log_likelihood).all()


def test_float32() -> None:
    single, double = (fit(init=START, dtype=dtype) for dtype in ("float32", "float64"))
    assert single.parameters["mu"].dtype == np.float32
    # Unscaled waiting times lose about 1e-5 of the likelihood in 24 bits.
    assert single.log_likelihood[-1] == pytest.approx(double.log_likelihood[-1], rel=1e-5)


def test_a_row_of_weight_two_is_a_row_twice() -> None:
    twice = fit({"x": np.vstack([FAITHFUL, FAITHFUL[:9]])}, init=START, max_iter=20, tol=0)
    weights = np.where(np.arange(272) < 9, 2.0, 1.0)
    weighted = fit(init=START, max_iter=20, tol=0, weights=weights)
    # The same sums in another order.
    np.testing.assert_allclose(weighted.log_likelihood, twice.log_likelihood, rtol=1e-11)


def test_unscaled_data_give_the_same_fit() -> None:
    for scale in (1e-8, 1e8):
        start = {
            "pi": START["pi"],
            "mu": np.multiply(START["mu"], scale),
            "Sigma": np.multiply(START["Sigma"], scale**2),
        }
        scaled, plain = (
            fit({"x": FAITHFUL * scale}, init=start, tol=0, max_iter=60),
            fit(init=START, tol=0, max_iter=60),
        )
        # 60 iterations of rounding, on covariances of condition 1e3.
        np.testing.assert_allclose(scaled.parameters["mu"] / scale, plain.parameters["mu"], rtol=1e-9)
        np.testing.assert_allclose(
            scaled.parameters["Sigma"] / scale**2, plain.parameters["Sigma"], rtol=1e-9
        )
        shift = FAITHFUL.size * np.log(scale)
        np.testing.assert_allclose(scaled.log_likelihood + shift, plain.log_likelihood, rtol=1e-10)


# Hard EM


def test_hard_em_climbs_its_own_objective() -> None:
    found = fit(method="viterbi", init=START)
    assert found.converged
    assert np.diff(found.objective).min() >= 0
    assert (found.objective < found.log_likelihood).all()
    again = fit(init=found.parameters, max_iter=0)
    np.testing.assert_allclose(
        found.log_likelihood[-1], again.log_likelihood[0], rtol=1e-12
    )  # two compilations


def test_hard_em_is_refused_without_discrete_latents() -> None:
    with bn.Network("cloud") as net:
        mu = bn.parameter("mu", bn.Real(2))
        with bn.plate("n"):
            bn.observed("x", bn.Normal(mu, var=1.0))
    with pytest.raises(bn.FitError, match="no discrete latents"):
        fit(method="viterbi", net=net)


# Trouble on the way


def concerns(found: Any) -> list[str]:
    return [warning.concerns for warning in found.warnings]


def test_a_collapsed_component_is_floored_reported_and_named() -> None:
    outlier = np.vstack([FAITHFUL, [[100.0, 100.0]]])
    start = {"mu": [[100.0, 100.0], [3.5, 70.0]], "Sigma": [0.1 * np.eye(2), np.cov(FAITHFUL.T)]}
    found = fit({"x": outlier}, init=start)
    assert found.status == "degenerate" and "Sigma[0]" in concerns(found)
    assert np.isfinite(found.objective).all()
    scale = np.sqrt(outlier.var(axis=0))
    smallest = np.linalg.eigvalsh(found.parameters["Sigma"][0] / np.outer(scale, scale)).min()
    assert smallest == pytest.approx(1e-10, rel=1e-3)  # rounding of an eigenvalue next to others of 1e-10
    again = fit(
        {"x": outlier * 1e-8},
        init={"mu": np.multiply(start["mu"], 1e-8), "Sigma": np.multiply(start["Sigma"], 1e-16)},
    )
    assert again.status == "degenerate" and again.n_iter == found.n_iter


def test_a_collapsed_run_never_wins_over_a_regular_one() -> None:
    found = fit({"x": np.vstack([FAITHFUL, [[100.0, 100.0]]])}, n_init=8, max_iter=500)
    assert found.status == "converged"


def test_an_empty_state_keeps_its_parameters_and_is_named() -> None:
    far = START | {"mu": [[1e6, 1e6], [3.5, 70.0]], "Sigma": [0.1 * np.eye(2), np.cov(FAITHFUL.T)]}
    found = fit(init=far)
    assert "z = 0" in concerns(found)
    np.testing.assert_array_equal(found.parameters["mu"][0], [1e6, 1e6])
    np.testing.assert_array_equal(found.parameters["Sigma"][0], 0.1 * np.eye(2))
    assert np.isfinite(found.objective).all()


def test_a_state_that_is_never_visited_keeps_its_rows_and_is_named() -> None:
    with bn.Network("symbols") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            rho = bn.parameter("rho", bn.Simplex(3))
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Categorical(rho[z]))
    start = {"pi": [1.0, 0.0], "A": [[1.0, 0.0], [0.3, 0.7]], "rho": [[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]]}
    found = fit({"x": [0, 1, 2, 2, 1, 0, 0]}, net=net, init=start)
    assert concerns(found) == ["z = 1"]
    np.testing.assert_array_equal(found.parameters["A"], start["A"])
    np.testing.assert_array_equal(found.parameters["rho"][1], start["rho"][1])
    np.testing.assert_allclose(found.parameters["rho"][0], [3 / 7, 2 / 7, 2 / 7], rtol=1e-12)  # counting


def test_a_symmetric_start_is_named() -> None:
    found = fit(init=START | {"mu": [[3.5, 70.0]] * 2})
    assert "z" in concerns(found)


def test_underflow_goes_over_to_logarithms() -> None:
    """A jump between states 60 standard deviations apart, against a transition of probability 1e-300."""
    start = CHAIN | {"A": [[1.0 - 1e-300, 1e-300], [0.2, 0.8]], "pi": [1.0, 0.0], "mu": [-30.0, 30.0]}
    data = {"x": [np.array([-30.0, -29.0, 31.0, 29.0, -31.0]), np.array([-30.0, -28.0])]}
    found = fit(data, net=chain(), init=start, max_iter=20)
    assert found.status in ("converged", "max_iter") and np.isfinite(found.objective).all()
    assert "sequences" in concerns(found)
    assert np.diff(found.objective).min() > -1e-10 * abs(found.objective[0])  # rounding


def test_impossible_data_are_named() -> None:
    with bn.Network("symbols") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            rho = bn.parameter("rho", bn.Simplex(3))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Categorical(rho[z]))
    start = {"pi": [0.5, 0.5], "rho": [[0.5, 0.5, 0.0], [0.2, 0.8, 0.0]]}
    with pytest.raises(
        bn.FitError, match="the data of n 1, 3 are impossible: x = 2 at n 1 has probability 0"
    ):
        fit({"x": [0, 2, 1, 2]}, net=net, init=start)


# Layouts


def test_answers_mirror_the_layout_of_the_data() -> None:
    sequences = bn.sample(chain(), CHAIN, {"sequence": 3, "t": [4, 9, 6]}, seed=5)["x"]
    rows, ids = np.concatenate(sequences), np.repeat([10, 20, 30], [4, 9, 6])
    order = np.concatenate([np.flatnonzero(ids == 20), np.flatnonzero(ids != 20)])
    ragged = fit({"x": sequences}, net=chain(), init=CHAIN, max_iter=3, tol=0)
    tidy = fit({"x": rows[order], "sequence": ids[order]}, net=chain(), init=CHAIN, max_iter=3, tol=0)
    # Sequences come in another order: sums are rounded otherwise.
    np.testing.assert_allclose(tidy.log_likelihood, ragged.log_likelihood, rtol=1e-12)
    lists = ragged.posterior()["z"]
    assert [part.shape for part in lists] == [(4, 2), (9, 2), (6, 2)]
    np.testing.assert_allclose(np.concatenate(lists)[order], tidy.posterior()["z"], atol=1e-11)
    assert [part.shape for part in ragged.predict()["z"]] == [(4,), (9,), (6,)]
    assert ragged.score().shape == (3,)
    np.testing.assert_allclose(ragged.score().sum(), ragged.log_likelihood[-1], rtol=1e-12)
    new = ragged.posterior({"x": rows.reshape(1, -1)})["z"]
    assert new.shape == (1, 19, 2)
    np.testing.assert_allclose(new.sum(axis=-1), 1, rtol=1e-12)  # probabilities


def test_numbers_of_a_fit() -> None:
    found = fit(init=START, max_iter=3, tol=0)
    log_likelihood, free = found.log_likelihood[-1], 1 + 4 + 6
    assert found.bic() == pytest.approx(-2 * log_likelihood + free * np.log(272), rel=1e-15)
    assert found.aic() == pytest.approx(-2 * log_likelihood + 2 * free, rel=1e-15)
    assert "max_iter after 3 iterations" in str(found) and "<table>" in found._repr_html_()
    assert found.sample({"n": 4})["x"].shape == (4, 2)


# Interruption and checkpoints


def test_ctrl_c_keeps_the_best_so_far() -> None:
    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    found = fit(init=START, max_iter=10**9, tol=0)
    timer.join()
    assert found.status == "interrupted" and signal.getsignal(signal.SIGINT) is before
    again = fit(init=found.parameters, max_iter=0)
    np.testing.assert_allclose(
        again.log_likelihood[0], found.log_likelihood[-1], rtol=1e-12
    )  # two compilations


def test_a_checkpoint_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "fit.ckpt"
    unbroken = fit(n_init=2, tol=0, max_iter=40)
    fit(n_init=2, tol=0, max_iter=40, checkpoint=tmp_path / "whole")
    fit(n_init=1, tol=0, max_iter=7, checkpoint=path)
    fit(n_init=1, tol=0, max_iter=40, checkpoint=path)
    resumed = fit(n_init=2, tol=0, max_iter=40, checkpoint=path)
    same_parameters(unbroken, resumed)
    np.testing.assert_array_equal(unbroken.objective, resumed.objective)
    same_parameters(unbroken, fit(n_init=2, tol=0, max_iter=40, checkpoint=tmp_path / "whole"))


def test_a_killed_fit_goes_on_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies, so to speak, when it is about to write its third checkpoint."""
    monkeypatch.setattr(em_resume, "SAVE_EVERY", 0.0)
    path, written, write = tmp_path / "fit.ckpt", [0], em_resume.files.save

    def dying(*arguments: Any) -> None:
        written[0] += 1
        if written[0] == 3:
            raise SystemExit
        write(*arguments)

    monkeypatch.setattr(em_resume.files, "save", dying)
    with pytest.raises(SystemExit):
        fit(init=START, tol=0, max_iter=300, checkpoint=path)
    monkeypatch.setattr(em_resume.files, "save", write)
    resumed, unbroken = (
        fit(init=START, tol=0, max_iter=300, checkpoint=path),
        fit(init=START, tol=0, max_iter=300),
    )
    same_parameters(unbroken, resumed)
    np.testing.assert_array_equal(unbroken.objective, resumed.objective)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"data": {"x": FAITHFUL + 1}}, "differs in the data"),
        ({"net": chain(), "data": {"x": [FAITHFUL[:, 0]]}, "init": CHAIN}, "the model, the data"),
        ({"seed": 1}, "differs in seed"),
        ({"dtype": "float32"}, "dtype"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path, change: dict[str, Any], part: str) -> None:
    path = tmp_path / "fit.ckpt"
    fit(init=START, max_iter=2, checkpoint=path)
    with pytest.raises(bn.FitError, match=part):
        fit(**({"init": START, "max_iter": 2, "checkpoint": path} | change))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.ckpt"
    fit(init=START, max_iter=2, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(bn.FitError, match="damaged"):
        fit(init=START, max_iter=2, checkpoint=path)


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        fit(init=START, max_iter=0, checkpoint=tmp_path / "nowhere" / "fit.ckpt")


# What is said, and what is refused


def test_one_line_off_a_terminal_and_nothing_if_not_wanted(capfd: pytest.CaptureFixture[str]) -> None:
    fit(init=START)
    assert capfd.readouterr() == ("", "")
    bn.fit(mixture(), DATA, init=START)
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "converged after" in err


def test_a_setting_misspelt_is_told() -> None:
    with pytest.raises(bn.FitError, match='Did you mean "ids"'):
        fit(idz={})


def test_all_wrong_settings_at_once() -> None:
    with pytest.raises(bn.FitError) as error:
        fit(
            method="vitrebi",
            n_init=0,
            max_iter=-1,
            tol=-1.0,
            dtype="float16",
            init="kmeans",
        )
    for part in (
        'mean "viterbi"',
        "n_init is 0",
        "max_iter is -1",
        "tol is -1",
        "float16",
        "kmeans",
    ):
        assert part in str(error.value)


def test_all_faults_of_an_init_at_once() -> None:
    bad = {"pi": [0.5, 0.6], "mu": [[0.0, 0.0]], "Sigma": [np.eye(2), [[1.0, 2.0], [2.0, 1.0]]], "sigma": 1}
    with pytest.raises(bn.FitError) as error:
        fit(init=bad)
    for part in (
        "pi sums to 1.1",
        "mu has the shape (1, 2); it wants (2, 2)",
        "Sigma has an eigenvalue",
        '"sigma" is no parameter',
    ):
        assert part in str(error.value)


def test_options_that_do_not_exist() -> None:
    with pytest.raises(bn.FitError, match="no option num_samples"):
        fit(num_samples=3)


def test_fewer_rows_than_states_are_refused() -> None:
    with pytest.raises(bn.DataError, match="z has 2 states, but there are only 1 members of n"):
        fit({"x": FAITHFUL[:1]})


def test_variables_with_rows_of_their_own() -> None:
    """A class of each person, with one observation of the person and several of what they say; persons in any order."""
    with bn.Network("classes") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
            rho = bn.parameter("rho", bn.Simplex(3))
        with bn.plate("person"):
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("w", bn.Categorical(rho[c]))
            with bn.plate("utterance"):
                bn.observed("x", bn.Normal(mu[c], var=1.0))
    theta = {"pi": [0.4, 0.6], "mu": [[0.0, 0.0], [3.0, 3.0]], "rho": [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]}
    drawn = bn.sample(net, theta, {"person": 4, "utterance": [3, 1, 4, 2]}, seed=2)
    ragged = fit({"x": drawn["x"], "w": drawn["w"]}, net=net, init=theta, max_iter=2, tol=0)
    order = np.random.default_rng(0).permutation(10)
    ids = np.repeat(np.arange(4), [3, 1, 4, 2])[order]
    persons = np.array(list(dict.fromkeys(ids)))  # in order of first appearance
    rows = {"x": np.concatenate(drawn["x"])[order], "person": ids, "w": drawn["w"][persons]}
    tidy = fit(rows, net=net, init=theta, max_iter=2, tol=0)
    # The same sums in another order.
    np.testing.assert_allclose(tidy.log_likelihood, ragged.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(tidy.posterior()["c"], ragged.posterior()["c"][persons], atol=1e-12)
    np.testing.assert_array_equal(tidy.predict()["c"], ragged.predict()["c"][persons])
    np.testing.assert_allclose(tidy.score(), ragged.score()[persons], rtol=1e-12)


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("svi", "step_size", -1.0),
        ("svi", "step_size", "a"),
        ("svi", "num_samples", 2.5),
        ("svi", "num_particles", 0),
        ("svi", "rank", -1),
        ("svi", "batch", -3),
        ("nuts", "num_samples", 0),
        ("nuts", "num_chains", 0),
        ("nuts", "max_tree_depth", 0),
        ("nuts", "target_accept", 1.5),
        ("vbem", "num_samples", -2),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(method: str, option: str, value: Any) -> None:
    with pytest.raises(bn.FitError, match=f"{option} is {value!r}; it is a"):
        bn.fit(proposed(), {"x": [0.1, 0.5, 2.0, 3.0]}, method, progress=False, **{option: value})


@pytest.mark.parametrize("method", ["svi", "nuts", "vbem"])
def test_methods_without_checkpoints_say_so(method: str, tmp_path: Path) -> None:
    with pytest.raises(bn.FitError, match="keeps no checkpoint"):
        path = tmp_path / "state"
        bn.fit(proposed(), {"x": [0.1, 0.5, 2.0, 3.0]}, method, progress=False, checkpoint=path)


def proposed() -> bn.Network:
    """One normal with priors."""
    with bn.Network("normal") as net:
        m = bn.parameter("m", bn.Real(), prior=bn.Normal(0.0, std=5.0))
        v = bn.parameter("v", bn.Positive(), prior=bn.InverseGamma(2.0, 1.0))
        with bn.plate("n"):
            bn.observed("x", bn.Normal(m, var=v))
    return net


def test_draws_too_few_to_tell_are_no_sign_of_convergence() -> None:
    options = {"num_warmup": 5, "num_samples": 3, "num_chains": 2}
    fit = bn.fit(proposed(), {"x": [0.1, 0.5, 2.0, 3.0]}, "nuts", progress=False, **options)
    assert not fit.converged
    assert any("too few to tell" in str(warning) for warning in fit.warnings)


def test_chains_that_never_moved_are_told() -> None:
    stuck = {"m": np.full((2, 10), 0.3), "pi": np.ones((2, 10, 1))}
    assert [note.concerns for note in unmixed(stuck)] == ["m"]


def test_the_bootstrap_checks_what_it_is_told() -> None:
    fit = bn.fit(proposed(), {"x": [0.1, 0.5, 2.0, 3.0]}, progress=False)
    with pytest.raises(bn.FitError, match="no setting foo"):
        fit.bootstrap(5, progress=False, foo=3)
    with pytest.raises(bn.FitError, match="count is 1"):
        fit.bootstrap(1, progress=False)
