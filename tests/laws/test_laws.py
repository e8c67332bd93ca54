"""Every law of bnlab/runtime/proof (docs/architecture.md, Proof), for every example, of the code that was emitted."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.evaluated import Evaluated, evaluator_is_the_emitted
from bnlab.runtime.proof.laws import (
    HARD_LAWS,
    LAWS,
    RESHAPING,
    Law,
    evidence_is_brute_force,
    fisher_identity,
    m_step_is_stationary,
)
from bnlab.runtime.proof.numpyro_laws import enumerated_is_brute_force, marginal_is_brute_force
from bnlab.runtime.proof.posterior_laws import POSTERIOR_LAWS
from bnlab.runtime.proof.subject import Subject
from tests.laws.emitted import module
from tests.networks import EXAMPLES, LATER, Example
from tests.random_networks import random_network

HARD_SAMPLE = (  # where hard assignments leave enough members for every covariance
    "mixture_tied",
    "naive_bayes",
    "two_causes",
    "grouped_rows",
    "group_and_row",
    "fixed_parts",
    "priors",
    "hidden_yes",
    "chain_counts",
    "chain_categorical",
    "chain_categorical_with_zeros",
    "mixture_of_chains",
    "regression_through_zero",
    "autoregression",
    "second_order",
    "long_memory",
)
NUMPYRO_SAMPLE = frozenset(("naive_bayes", "chain_categorical"))
MORE_OF_NUMPYRO = frozenset(("autoregression", "chain_of_answers", "rates_and_chances"))
"""Half a minute each."""
LATENT = [example for example in EXAMPLES if example.build().graph.in_role("latent")]
CHAINS = [example for example in LATENT if any(plate.chain for plate in example.build().graph.plates)]
HARD = [example for example in LATENT if example.name in HARD_SAMPLE]
QUICK = frozenset(
    """mixture_full mixture_wide mixture_wide_diagonal naive_bayes clinic group_and_row three_levels fixed_parts priors
    regressions one_slope_for_all additive_tables autoregression rates_and_chances mixture_heavy hidden_yes chain_gaussian
    chain_categorical_with_zeros second_order mixture_of_chains driven_chain""".split()
)
"""Compiled in every run; the others are evaluated in NumPy there, and compiled by `pytest -m slow`."""
RESHAPED = frozenset(("mixture_full", "clinic", "chain_gaussian"))
"""Compiled in every run for data of several shapes, too."""
AT_ONE_SHAPE = tuple(law for law in LAWS if law not in RESHAPING)
NUMPY_LAWS = tuple(
    law
    for law in LAWS
    if law.__name__ not in ("fisher_identity", "fit_is_its_steps", "prior_is_the_textbooks")
)


def named(examples: Iterable[Example]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", tuple(examples), ids=lambda example: example.name)


def compiled(examples: Iterable[Example], quick: frozenset[str] = QUICK) -> pytest.MarkDecorator:
    """The examples, those that are not quick marked as slow."""
    marked = [
        pytest.param(example, marks=[] if example.name in quick else [pytest.mark.slow], id=example.name)
        for example in examples
    ]
    return pytest.mark.parametrize("example", marked)


def posed(example: Example, em: object, hard: bool = False) -> Subject:
    rng, graph = np.random.default_rng(0), example.build().graph
    data = random_data(graph, rng, example.layout)
    return Subject(graph, data, random_parameters(graph, rng, example.zeros), em, hard)


def hold(laws: Iterable[Law], subject: Subject) -> None:
    """Fails with every deviation that is more than rounding."""
    broken = [str(one) for law in laws for one in law(subject) if not one.passed]
    assert not broken, "\n" + "\n".join(broken)


def evaluated(net: bn.Network) -> Evaluated:
    return Evaluated(bn.derive(net).program, module(net.graph, "em"))


@compiled(EXAMPLES)
def test_em(example: Example) -> None:
    hold(AT_ONE_SHAPE, posed(example, module(example.build().graph, "em")))


@compiled(EXAMPLES, RESHAPED)
def test_em_on_data_of_other_shapes(example: Example) -> None:
    hold(RESHAPING, posed(example, module(example.build().graph, "em")))


@named(EXAMPLES)
def test_em_in_numpy(example: Example) -> None:
    hold(NUMPY_LAWS, posed(example, evaluated(example.build())))


@compiled(CHAINS)
def test_em_with_messages_as_logarithms(example: Example) -> None:
    em = module(example.build().graph, "em", "log")
    hold((evidence_is_brute_force, fisher_identity, m_step_is_stationary), posed(example, em))


@compiled(HARD)
def test_hard_em(example: Example) -> None:
    hold(HARD_LAWS, posed(example, module(example.build().graph, "viterbi"), hard=True))


@compiled(LATENT)
def test_posterior(example: Example) -> None:
    hold(POSTERIOR_LAWS, posed(example, module(example.build().graph, "posterior")))


@compiled(EXAMPLES)
def test_the_program_in_numpy_is_what_was_emitted(example: Example) -> None:
    graph = example.build().graph
    law = partial(evaluator_is_the_emitted, program=bn.derive(graph).program)
    hold((law,), posed(example, module(graph, "em")))


@compiled([one for one in EXAMPLES if one.name in NUMPYRO_SAMPLE | MORE_OF_NUMPYRO], NUMPYRO_SAMPLE)
def test_numpyro_has_the_value_and_the_gradient(example: Example) -> None:
    subject, emitted = posed(example, None), module(example.build().graph, "numpyro")
    laws = (enumerated_is_brute_force, marginal_is_brute_force)
    hold((partial(law, module=emitted, gradient=True) for law in laws), subject)


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_in_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, layout = random_network(rng)
    data = random_data(net.graph, rng, layout)
    hold(NUMPY_LAWS, Subject(net.graph, data, random_parameters(net.graph, rng), evaluated(net)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 100))
def test_more_random_networks_in_numpy(seed: int) -> None:
    test_random_networks_in_numpy(seed)


@pytest.mark.slow
def test_networks_that_nobody_has_seen() -> None:
    """Five random networks of a fresh seed, as emitted; a failure prints the seed."""
    start = int(np.random.SeedSequence().generate_state(1)[0])
    for seed in range(start, start + 5):
        print(f"random_network(np.random.default_rng({seed}))")
        test_random_networks_as_emitted(seed)


@pytest.mark.parametrize("seed", [1, 4, 9])
def test_random_networks_as_emitted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, layout = random_network(rng)
    data = random_data(net.graph, rng, layout)
    hold(LAWS, Subject(net.graph, data, random_parameters(net.graph, rng), module(net.graph, "em")))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_a_hundred_random_networks_run_as_emitted(seed: int) -> None:
    """That the emitted text is the program; `test_random_networks_in_numpy` proves the program."""
    rng = np.random.default_rng(seed)
    net, layout = random_network(rng)
    data = random_data(net.graph, rng, layout)
    law = partial(evaluator_is_the_emitted, program=bn.derive(net).program)
    subject = Subject(net.graph, data, random_parameters(net.graph, rng), module(net.graph, "em"))
    hold((evidence_is_brute_force, law), subject)


@named(LATER)
def test_what_is_not_derived_yet_is_refused(example: Example) -> None:
    with pytest.raises(bn.IntractableError, match="not derived yet"):
        bn.emit(example.build(), "em")
