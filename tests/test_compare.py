"""bn.compare and what it stands on: priors proposed, names of states, certificates, predictions."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import bnlab as bn
from bnlab.comparison import Comparison, run
from bnlab.comparison.certificates import densities_agree
from bnlab.comparison.estimates import rows
from bnlab.comparison.naming import best_naming, symmetries
from bnlab.comparison.predictive import split_of
from bnlab.comparison.proposal import propose
from bnlab.comparison.records import Loo, Score
from bnlab.comparison.run import _with_updates
from bnlab.comparison.text import SCORES
from bnlab.errors import FitError
from bnlab.runtime import em_method
from bnlab.runtime.align import interchangeable
from bnlab.runtime.data import bind
from bnlab.runtime.fit import fit_bound
from bnlab.runtime.members import taken
from bnlab.runtime.records import Bound
from tests.models import NAMES, model
from tests.networks import chain_gaussian, two_causes
from tests.test_samplers import mixture, two_groups

SHORT = {
    "nuts": {"num_warmup": 200, "num_samples": 250, "num_chains": 2},
    "svi": {"max_iter": 100, "num_samples": 400},
}


@pytest.fixture(scope="module")
def compared() -> Comparison:
    methods = ("em", "viterbi", "svi", "nuts")
    return bn.compare(mixture(), two_groups(), methods, options=SHORT, progress=False)


def test_every_method_is_there_in_the_order_asked_for(compared: Comparison) -> None:
    assert compared.methods == ("em", "viterbi", "svi", "nuts") == tuple(compared.scores)
    assert compared.reference == "nuts" and not compared.interrupted
    assert {row.name for row in compared.rows} == {"pi[0]", "pi[1]", "mu[0]", "mu[1]", "v[0]", "v[1]"}
    assert all(tuple(row.estimates) == compared.methods for row in compared.rows)


def test_densities_and_optima_are_certified(compared: Comparison) -> None:
    assert compared.certified, compared.table()
    claims = {one.names for one in compared.certificates}
    assert ("the emitted EM", "NumPyro's marginal_model") in claims
    assert ("the emitted EM", "NumPyro's enumerated model") in claims
    assert ("EM", "SVI with AutoDelta") in claims and ("EM", "BFGS on NumPyro's joint density") in claims


def test_methods_agree_where_the_data_are_plain(compared: Comparison) -> None:
    """Two groups six deviations apart: every posterior is nearly normal about the mode."""
    for row in compared.rows:
        if row.parameter == "v":  # a variance's posterior is skewed, its mean above its mode
            continue
        for method in ("em", "svi"):
            apart = row.estimates[method].apart
            # 250 draws from each of 2 chains, worth 100 at least: 5 errors of the mean are half a deviation
            assert apart is not None and abs(apart) < 0.5, (row.name, method)
        ratio = row.estimates["em"].deviation / row.estimates["nuts"].deviation
        assert 0.7 < ratio < 1.4, row.name  # 5 errors of a deviation from 100 draws


def test_states_are_named_alike_in_all_fits(compared: Comparison) -> None:
    means = np.stack([fit.parameters["mu"] for fit in compared.fits.values()])
    assert (np.sign(means) == np.sign(means[0])).all()
    draws = compared.fits["nuts"].draws["mu"]
    assert (np.sign(draws) == np.sign(means[0])).all()
    assert any("2 ways" in line for line in compared.symmetries)


def test_predictions_of_members_left_out(compared: Comparison) -> None:
    assert compared.split is not None and (compared.split.members, compared.split.held_out) == (80, 16)
    scores = [score.held_out for score in compared.scores.values()]
    # two normals of variance 1, half of the rows each: ln 2 + ln(2 pi e) / 2, up to 5 errors of 16 rows
    np.testing.assert_allclose(scores, -(np.log(2) + 0.5 * np.log(2 * np.pi * np.e)), atol=5 * 0.7 / 4)
    loo = compared.scores["nuts"].loo
    assert (
        loo is not None and loo.members == 80 and abs(loo.elpd - compared.scores["nuts"].log_likelihood) < 20
    )


@pytest.mark.parametrize(
    ("unreliable", "told"), [(0, "-120.50 +- 4.25"), (3, "-120.50 +- 4.25 (3 unreliable)")]
)
def test_members_that_loo_cannot_be_trusted_for_are_told(unreliable: int, told: str) -> None:
    loo = Loo(-120.5, 4.25, 2.0, unreliable, 80)
    score = Score("nuts", "max_iter", 500, -118.0, -121.0, loo=loo)
    assert dict(SCORES)["LOO"](score) == told
    assert dict(SCORES)["LOO"](replace(score, loo=None)) == ""


def test_what_it_cost_is_counted(compared: Comparison) -> None:
    assert compared.scores["em"].e_steps > compared.scores["em"].iterations  # of five starts
    assert compared.scores["svi"].gradients == 1000
    assert compared.scores["nuts"].gradients > 2 * 450  # at least one a transition, of two chains
    assert compared.scores["nuts"].effective_per_second > 0


def test_the_table_tells_all(compared: Comparison) -> None:
    text = compared.table()
    for part in (
        "mu[1]",
        "MAP-EM",
        "Priors proposed",
        "certificates hold",
        "held out",
        "seed 0; bnlab",
        "NUTS",
    ):
        assert part in text
    assert "<table>" in compared._repr_html_() and "&lt;" not in compared._repr_html_().split("<caption>")[1]


def test_arviz_data_hold_every_method(compared: Comparison) -> None:
    found = compared.to_arviz()
    names = {str(group).strip("/") for group in (found.groups() if callable(found.groups) else found.groups)}
    assert {"posterior", "sample_stats", "log_likelihood", "em", "svi", "nuts"} <= names
    assert found["posterior"]["mu"].shape == (2, 250, 2) and found["em"]["mu"].shape == (1, 1, 2)


def test_points_alone_need_no_priors() -> None:
    found = bn.compare(mixture(), two_groups(), ("em", "viterbi"), certify=False, held_out=0, progress=False)
    assert found.proposal is None and found.split is None and found.certificates == ()
    assert not any("MAP" in line for line in found.symmetries)
    assert found.rows[0].estimates["em"].deviation is not None


def test_what_cannot_be_compared_is_said_at_once() -> None:
    with pytest.raises(FitError) as caught:
        bn.compare(mixture(), two_groups(), ("em", "nutz"), options={"svi": {}}, level=90, held_out=1)
    assert len(caught.value.faults) == 4 and "nuts" in str(caught.value)


def test_a_method_that_cannot_run_is_left_out_with_the_reason() -> None:
    with bn.Network("location") as net:
        m = bn.parameter("m", bn.Real())
        with bn.plate("n"):
            bn.observed("x", bn.Normal(m, var=4.0))
    data = {"x": np.arange(20.0)}
    found = bn.compare(net, data, ("em", "viterbi"), certify=False, held_out=0, progress=False)
    assert found.methods == ("em",)
    assert any("viterbi" in str(one) and "no discrete latents" in str(one) for one in found.warnings)


@pytest.mark.parametrize("name", NAMES)
def test_priors_are_proposed_for_every_model_and_can_be_emitted(name: str) -> None:
    one = model(name)
    assert one.example is not None
    found = bn.weakly_informative(one.network, one.example())
    assert all(parameter.prior for parameter in found.network.graph.parameters if parameter.value is None)
    assert bn.emit(found.network, "numpyro")
    if "EM has no update" not in str(found):
        assert bn.emit(found.network, "em")
    assert all(name in str(found) for name, _, _ in found.choices)


def test_proposed_priors_follow_the_units_of_the_data() -> None:
    x = np.random.default_rng(0).normal(50.0, 2.0, 400)
    small = dict((n, text) for n, text, _ in bn.weakly_informative(mixture(), {"x": x}).choices)
    large = dict((n, text) for n, text, _ in bn.weakly_informative(mixture(), {"x": 1000 * x}).choices)
    assert small["mu"] == "Normal(49.9, std=10)" and large["mu"] == "Normal(49900, std=10000)"
    assert small["pi"] == large["pi"] == "Dirichlet(1)"


def test_declared_priors_stay() -> None:
    net = mixture(prior=True)
    found = bn.weakly_informative(net, two_groups())
    assert found.network == net and found.choices == ()


def test_names_follow_the_rows_and_not_the_parameters() -> None:
    rng = np.random.default_rng(0)
    one = rng.dirichlet([0.2, 0.2, 0.2], 50)
    order, agreement = best_naming([one], [one[:, [2, 0, 1]]])
    np.testing.assert_array_equal(one[:, [2, 0, 1]][:, order], one)
    assert 0.5 < agreement <= 1


def test_products_of_namings_and_exchanged_latents_are_reported() -> None:
    lines = list(symmetries(two_causes().graph))
    assert any("3! x 2! = 12" in line for line in lines)
    with bn.Network("sum") as net:
        pa, pb = (bn.parameter(name, bn.Simplex(2)) for name in ("pa", "pb"))
        with bn.plate("k", 2):
            u, w = (bn.parameter(name, bn.Real()) for name in ("u", "w"))
        with bn.plate("n"):
            a, b = bn.latent("a", bn.Categorical(pa)), bn.latent("b", bn.Categorical(pb))
            bn.observed("x", bn.Normal(u[a] + w[b], var=1.0))
    assert interchangeable(net.graph) == [("a", "b")]
    assert interchangeable(two_causes().graph) == []


def test_members_are_taken_with_all_their_rows() -> None:
    graph = chain_gaussian().graph
    rng = np.random.default_rng(0)
    dim = graph.variable("x").domain.event_shape
    rows = [rng.normal(size=(length, *dim)) for length in (3, 1, 4)]
    found = taken(graph, bind(graph, {"x": rows}), "sequence", np.array([2, 0]))
    np.testing.assert_array_equal(found.canonical["x"], np.concatenate([rows[2], rows[0]]))
    np.testing.assert_array_equal(found.canonical["sequence"], [0, 0, 0, 0, 1, 1, 1])


def test_nothing_is_left_out_of_a_single_chain_or_of_few_members() -> None:
    graph = mixture().graph
    assert split_of(graph, bind(graph, {"x": np.arange(9.0)}), 0.2, 0) is None
    assert split_of(graph, bind(graph, {"x": np.arange(10.0)}), 0.2, 0) is not None


def test_em_goes_without_proposed_priors_that_it_has_no_update_for() -> None:
    """The std of a latent: NUTS takes the proposed Gamma prior, EM maximises the likelihood."""
    loaded = model("eight_schools")
    net, bound = loaded.network, bind(loaded.network.graph, loaded.example())
    proposed = propose(net, bound).network
    assert _with_updates(proposed, net) == net
    given = two_causes()
    assert _with_updates(given, given) == given


def test_a_spread_on_its_edge_has_no_standard_error() -> None:
    """Where tau goes to 0, the likelihood is no parabola: the curvature there would make its interval reach 10^9."""
    loaded = model("eight_schools")
    fit = bn.fit(loaded.network, loaded.example(), progress=False)
    found = rows(loaded.network.graph, {"em": fit}, {"em": fit.standard_errors()}, "em", 0.9)
    errors = {row.name: row.estimates["em"].deviation for row in found}
    assert errors["tau"] is None
    # 1 / sqrt(sum of 1 / sigma^2), the error of a mean of all schools
    assert errors["mu"] == pytest.approx(4.07, abs=0.1)


def test_numbers_that_are_latent_are_certified_by_the_joint_density() -> None:
    """NumPyro enumerates categories only; its density of numbers is integrated over them."""
    loaded = model("eight_schools")
    net, bound = loaded.network, bind(loaded.network.graph, loaded.example())
    found = list(densities_agree(net, bound, {"mu": np.array(8.0), "tau": np.array(3.0)}, "a point"))
    others = [one.names[1] for one in found]
    assert others == ["NumPyro's marginal_model", "NumPyro's joint density"]
    assert all(one.passed for one in found)


def test_a_chance_of_0_is_certified_too() -> None:
    """NumPyro has 0 ln 0 there for a Dirichlet(1)."""
    loaded = model("latent_class")
    data = loaded.example()
    net = bn.weakly_informative(loaded.network, data).network
    theta = {"pi": np.array([0.0, 1.0]), "theta": np.full((2, 4), 0.5)}
    found = list(densities_agree(net, bind(net.graph, data), theta, "the edge"))
    assert len(found) == 2 and all(one.passed for one in found)


@pytest.mark.slow
def test_eight_schools_by_em_and_nuts() -> None:
    """tau is most likely 0, and its posterior is far from 0: both are told, and why."""
    loaded = model("eight_schools")
    found = bn.compare(
        loaded.network, loaded.example(), ("em", "nuts"), held_out=0, progress=False,
        options={"em": {"n_init": 1}, "nuts": {"num_samples": 400, "num_warmup": 400}},
    )  # fmt: skip
    assert all(one.passed for one in found.certificates) and found.certificates
    assert any("without the priors" in one for one in found.symmetries)
    (tau,) = [row for row in found.rows if row.name == "tau"]
    assert tau.estimates["em"].deviation is None
    assert tau.estimates["em"].value < 1 < 3 < tau.estimates["nuts"].value
    assert any(one.kind == "boundary" for one in found.fits["em"].warnings)


def test_ctrl_c_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pressed at the first report of the second of three methods, which would not end by itself."""

    @contextmanager
    def pressing(*_: object) -> Iterator[Callable[..., None]]:
        yield lambda *_: os.kill(os.getpid(), signal.SIGINT)

    def second(net: bn.Network, bound: Bound, method: str, **settings: object) -> bn.Fit:
        if method == "viterbi":
            settings |= {"max_iter": 10**9, "tol": 0}
            monkeypatch.setattr(em_method, "reporter", pressing)
        return fit_bound(net, bound, method, **settings)

    monkeypatch.setattr(run, "fit_bound", second)
    found = bn.compare(mixture(prior=True), two_groups(), ("em", "viterbi", "vbem"), progress=False)
    assert found.interrupted and "interrupted" in found.table().splitlines()[0]
    statuses = {method: fit.status for method, fit in found.fits.items()}
    assert statuses == {"em": "converged", "viterbi": "interrupted"}
    assert all(set(row.estimates) == {"em", "viterbi"} for row in found.rows)


def test_a_second_ctrl_c_leaves_the_methods_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(net: bn.Network, bound: Bound, method: str, **settings: object) -> bn.Fit:
        if method == "viterbi":
            raise KeyboardInterrupt
        return fit_bound(net, bound, method, **settings)

    monkeypatch.setattr(run, "fit_bound", stopped)
    found = bn.compare(mixture(), two_groups(), ("em", "viterbi"), progress=False)
    assert found.interrupted and found.methods == ("em",) and len(found.rows) == 6


def test_evidence_is_part_of_what_is_compared() -> None:
    """A mixture of which every third row is labelled: EM's fit is that of bn.fit with the same evidence."""
    random = np.random.default_rng(0)
    z = np.repeat([0, 1], 30)
    data = {"x": np.where(z == 0, -1.0, 1.0) + random.standard_normal(60)}
    labels = {"z": np.where(np.arange(60) % 3 == 0, z, -1)}
    once = {"n_init": 1, "max_iter": 20, "tol": 0.0}
    found = bn.compare(mixture(), data, ("em",), evidence=labels, held_out=0, certify=False, progress=False,
                       options={"em": once})  # fmt: skip
    alone = bn.fit(mixture(), data, evidence=labels, progress=False, **once)
    assert found.fits["em"].log_likelihood.tolist() == alone.log_likelihood.tolist()
    assert found.fits["em"].bound.partial.evidence == ("z",)


def test_a_network_that_learns_nothing_compares() -> None:
    with bn.Network("fixed") as net:
        with bn.plate("n"):
            bn.observed("x", bn.Normal(1.0, var=2.0))
    found = bn.compare(net, {"x": np.arange(5.0)}, ("em",), progress=False)
    assert set(found.scores) == {"em"}


def test_a_variable_without_values_is_named_before_priors_are_proposed() -> None:
    with bn.Network("normal") as net:
        m, v = bn.parameter("m", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            bn.observed("x", bn.Normal(m, var=v))
    with pytest.raises(bn.DataError, match="x is missing in every row"):
        bn.weakly_informative(net, {"x": np.full(5, np.nan)})
