"""The laws with numbers missing here and there, whole vectors and whole steps too, against the oracle: one joint Gaussian from
which the entries that are not there are left out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import bnlab as bn
from bnlab.compile import emit
from bnlab.inference.em import em
from bnlab.inference.knowledge import Knowledge
from bnlab.network.ir import Graph
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.evaluated import Evaluated, evaluator_is_the_emitted
from bnlab.runtime.proof.laws import HARD_LAWS, LAWS
from bnlab.runtime.proof.numpyro_laws import marginal_is_brute_force
from bnlab.runtime.proof.oracle import Oracle
from bnlab.runtime.proof.posterior_laws import marginals_are_brute_force, scores_are_brute_force
from bnlab.runtime.proof.subject import Subject
from tests.gaussian_networks import GAUSSIAN
from tests.laws.emitted import load
from tests.laws.gaps import with_gaps
from tests.laws.test_laws import AT_ONE_SHAPE, NUMPY_LAWS, hold
from tests.networks import EXAMPLES, Example

ALL = {example.name: example for example in (*EXAMPLES, *GAUSSIAN)}

COMPILED = """mixture_full mixture_diagonal chain_gaussian two_covariances mixture_of_factors linear_chain
rates_and_chances""".split()
"""Everything about these as they were emitted: Fisher's identity needs gradients, which a NaN must not reach."""

IN_NUMPY = """mediator regressions_of_vectors mixture_scalar mixture_spherical mixture_tied naive_bayes group_and_row
regressions_with_diagonal_spread one_slope_for_all coupled_entries known_deviations regression_on_the_group
chain_of_regressions second_order mixture_of_one_number mixture_counts mixture_durations mixture_unigrams chain_heavy
nested_means slopes probabilistic_components factors mixture_of_groups fork local_level chain_with_factors
level_and_slope noisy_steps chains_of_sides steady_chains""".split()

# not chain_alone: brute force has too many configurations of a whole chain with gaps to list
SLOW = """observed_parent mixture_std mixture_wide mixture_wide_diagonal two_causes cascade grouped_rows fully_observed
fixed_parts priors prior_on_mean prior_of_each_state regressions additive_tables two_children_of_a_slope
slopes_with_priors lines_observed members_alike hidden_yes shared_means mixture_trials mixture_heavy heavy_priors
chain_durations driven_pairs chain_of_mixtures subspace group_and_channel channel_with_rows nested_effects
intercept coefficients one_factor mixture_of_tied_factors group_above_classes explaining_away linear_chain_alone
controlled_chain mixture_of_linear_chains fixed_loading eight_schools chain_of_three coupled_chains shared_disturbance
effects_of_sequences group_beside_chain partly_fixed tied_groups shared_parameters unequal_spreads spherical_groups
items_of_groups answers_of_persons""".split()

READ_AT_OTHER_STEPS = "autoregression mixture_of_autoregressions autoregression_observed".split()


def named(names: list[str], slow: bool = False) -> pytest.MarkDecorator:
    marks = [pytest.mark.slow] if slow else []
    return pytest.mark.parametrize("name", [pytest.param(name, marks=marks) for name in names])


def lacking(graph: Graph) -> tuple[str, ...]:
    """What may be missing: all observed variables."""
    return tuple(variable.name for variable in graph.in_role("observed"))


@cache
def emitted(name: str, target: str = "em", messages: str = "scaled"):
    graph = ALL[name].build().graph
    text = emit(graph, target, missing=lacking(graph), messages=messages)
    return load(text, f"{name}_{target}_with_gaps")


def posed(name: str, module: object, hard: bool = False) -> Subject:
    example: Example = ALL[name]
    rng, graph = np.random.default_rng(0), example.build().graph
    data = with_gaps(graph, random_data(graph, rng, example.layout), rng, lacking(graph))
    return Subject(graph, data, random_parameters(graph, rng, example.zeros), module, hard)


def program(name: str):
    graph = ALL[name].build().graph
    return em(graph, known=Knowledge(frozenset(lacking(graph))))


@named(COMPILED)
def test_em(name: str) -> None:
    hold(AT_ONE_SHAPE, posed(name, emitted(name)))


@named(COMPILED)
def test_the_program_in_numpy_is_what_was_emitted(name: str) -> None:
    hold([lambda subject: evaluator_is_the_emitted(subject, program(name))], posed(name, emitted(name)))


@named([*COMPILED, *IN_NUMPY])
def test_em_in_numpy(name: str) -> None:
    hold(NUMPY_LAWS, posed(name, Evaluated(program(name), emitted(name))))


def test_first_steps_with_distributions_of_their_own() -> None:
    with bn.Network("firsts") as net:
        pi, m, S = (
            bn.parameter(n, d)
            for n, d in zip("pmS", (bn.Simplex(2), bn.Real(2), bn.Covariance(2)), strict=True)
        )
        start = bn.parameter("start", bn.Positive())
        with bn.plate("k", 2):
            A, mu, v = (
                bn.parameter("A", bn.Simplex(2)),
                bn.parameter("mu", bn.Real(2)),
                bn.parameter("v", bn.Positive(2)),
            )
            rate = bn.parameter("rate", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]), first=bn.Normal(m, cov=S))
            bn.observed("c", bn.Poisson(rate[z]), first=bn.Poisson(start))
    graph, rng = net.graph, np.random.default_rng(0)
    data = random_data(graph, rng, {"sequence": (4, 3, 1, 5, 2, 4, 4)})
    data = with_gaps(graph, data, rng, lacking(graph))
    known = Knowledge(frozenset(lacking(graph)))
    module = load(emit(graph, "em", missing=lacking(graph)), "firsts")
    subject = Subject(graph, data, random_parameters(graph, rng), Evaluated(em(graph, known=known), module))
    hold(NUMPY_LAWS, subject)


@named(SLOW, slow=True)
def test_em_of_more_networks(name: str) -> None:
    hold(LAWS, posed(name, emitted(name)))


def test_messages_as_logarithms() -> None:
    hold(LAWS[:4], posed("chain_gaussian", emitted("chain_gaussian", messages="log")))


def test_hard_em() -> None:
    """Latents take their most probable value; what is missing is still expected, given that value."""
    hold(HARD_LAWS, posed("mixture_tied", emitted("mixture_tied", "viterbi"), hard=True))


@named(["mixture_full", "linear_chain", "mixture_of_factors"])
def test_posterior(name: str) -> None:
    subject = posed(name, emitted(name, "posterior"))
    hold([scores_are_brute_force], subject)
    if name == "mixture_full":
        hold([marginals_are_brute_force], subject)


@pytest.mark.parametrize(
    "name",
    ["mixture_full", "factors", pytest.param("mixture_heavy", marks=pytest.mark.slow)],  # 25 s
)
def test_numpyro(name: str) -> None:
    module = emitted(name, "numpyro")
    assert "model" not in vars(module), "it would leave out what is missing, without a word"
    hold([lambda s: marginal_is_brute_force(s, module, gradient=True)], posed(name, None))


@named(
    [
        "mixture_full",
        "mixture_diagonal",
        "mixture_heavy",
        "coupled_entries",
        "rates_and_chances",
        "two_covariances",
        "linear_chain",
    ]
)
def test_where_nothing_is_missing_the_step_is_that_of_complete_data(name: str) -> None:
    example, graph = ALL[name], ALL[name].build().graph
    rng = np.random.default_rng(5)
    data, theta = random_data(graph, rng, example.layout), random_parameters(graph, rng)
    gaps = Evaluated(program(name), emitted(name))
    whole = Evaluated(em(graph), load(emit(graph, "em"), name))
    one, other = (Subject(graph, data, theta, module) for module in (gaps, whole))
    assert one.log_evidence() == pytest.approx(
        other.log_evidence(), rel=1e-13
    )  # the same sums in another order
    for parameter, value in other.step().items():
        np.testing.assert_allclose(one.step()[parameter], value, rtol=1e-12, atol=1e-12, err_msg=parameter)


@named(["mixture_full", "mixture_diagonal", "mixture_counts", "mixture_heavy", "factors"])
def test_a_row_without_any_value_says_nothing(name: str) -> None:
    subject = posed(name, Evaluated(program(name), emitted(name)))
    more = {}
    for key, values in subject.data.items():
        discrete = subject.graph.variable(key).discrete
        more[key] = np.concatenate([values, np.full((1, *values.shape[1:]), -1 if discrete else np.nan)])
    longer = replace(subject, data=more)
    assert longer.log_evidence() == pytest.approx(subject.log_evidence(), rel=1e-14)


def test_what_is_not_there_may_be_anything() -> None:
    """A column that is missing everywhere is a network without that column."""

    def net(dim: int) -> bn.Network:
        with bn.Network("columns") as found:
            pi = bn.parameter("pi", bn.Simplex(2))
            with bn.plate("k", 2):
                mu, Sigma = bn.parameter("mu", bn.Real(dim)), bn.parameter("Sigma", bn.Covariance(dim))
            with bn.plate("n"):
                z = bn.latent("z", bn.Categorical(pi))
                bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
        return found

    rng = np.random.default_rng(2)
    theta = random_parameters(net(3).graph, rng)
    x = rng.normal(size=(12, 3))
    x[:, 1] = np.nan
    narrow = {"pi": theta["pi"], "mu": theta["mu"][:, ::2], "Sigma": theta["Sigma"][:, ::2, ::2]}
    found = bn.fit(net(3), {"x": x}, init=theta, max_iter=0, progress=False).log_likelihood[0]
    expected = bn.fit(net(2), {"x": x[:, ::2]}, init=narrow, max_iter=0, progress=False).log_likelihood[0]
    assert found == pytest.approx(expected, rel=1e-13)


def test_no_network_with_gaussian_latents_is_left_out() -> None:
    assert {example.name for example in GAUSSIAN} <= {*COMPILED, *IN_NUMPY, *SLOW, *READ_AT_OTHER_STEPS}


@pytest.mark.slow  # 15 s, mostly compilation
def test_chains_with_holes_as_users_have_them() -> None:
    """Sequences as a list, one of them without a number, one with steps and parts of steps missing: `fit` and its posterior."""
    example = ALL["mixture_of_linear_chains"]
    net, rng = example.build(), np.random.default_rng(3)
    x = [rng.normal(size=(steps, *net.graph.variable("x").domain.event_shape)) for steps in (6, 4, 1, 5)]
    x[1][:], x[0][2:4] = np.nan, np.nan
    if x[0].ndim > 1:
        x[0][5, 0] = x[3][0, -1] = np.nan
    found = bn.fit(net, {"x": x}, max_iter=3, progress=False)
    assert np.isfinite(found.log_likelihood).all() and (np.diff(found.log_likelihood) > -1e-10).all()
    ids = np.repeat(np.arange(4), [len(rows) for rows in x])
    oracle = Oracle(net.graph, {"x": np.concatenate(x), "sequence": ids})
    assert found.log_likelihood[-1] == pytest.approx(oracle.log_evidence(found.parameters), rel=1e-12)
    moments = oracle.moments(oracle.posterior(found.parameters))["y"]
    answer = found.posterior()["y"]
    for kind in ("mean", "cov"):
        np.testing.assert_allclose(
            np.concatenate(answer[kind]), moments[kind], atol=1e-11
        )  # as MARGINAL in the laws


@named(READ_AT_OTHER_STEPS)
def test_what_is_read_at_other_steps_is_refused_by_name(name: str) -> None:
    graph = ALL[name].build().graph
    with pytest.raises(bn.IntractableError, match=r"`[xy]` is read by .*`x` at other steps"):
        emit(graph, "em", missing=lacking(graph))


def test_what_a_filter_would_hand_on_is_refused_by_name() -> None:
    with bn.Network("driven") as net:
        f, w, m = (bn.parameter(name, bn.Real()) for name in "fwm")
        with bn.plate("sequence"), bn.chain("t"):
            u = bn.observed("u", bn.Normal(m, var=1.0))
            y = bn.latent(
                "y", bn.Normal(f * bn.previous("y") + w * u, var=1.0), first=bn.Normal(0.0, var=1.0)
            )
            bn.observed("x", bn.Normal(y, var=1.0))
    with pytest.raises(
        bn.IntractableError, match="What is missing of `u` is handed on by the steps of the chain `t`"
    ):
        bn.emit(net, "em", missing=("u",))
    bn.emit(net, "em", missing=("x",))


def test_what_is_read_must_be_normal_to_be_missing() -> None:
    with bn.Network("times") as net:
        rate, w, v = (
            bn.parameter("rate", bn.Positive()),
            bn.parameter("w", bn.Real()),
            bn.parameter("v", bn.Positive()),
        )
        with bn.plate("n"):
            u = bn.observed("u", bn.Exponential(rate))
            bn.observed("y", bn.Normal(w * u, var=v))
    with pytest.raises(bn.IntractableError, match="`u` is Exponential and read by `y`"):
        bn.emit(net, "em", missing=("u",))
    bn.emit(net, "em", missing=("y",))
