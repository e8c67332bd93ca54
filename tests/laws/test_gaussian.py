"""The laws of EM for networks with Gaussian latents, against one big joint Gaussian for each setting of the discrete ones."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.load import load_source
from bnlab.runtime.proof.evaluated import evaluator_is_the_emitted
from bnlab.runtime.proof.laws import RESHAPING, evidence_is_brute_force, fisher_identity
from bnlab.runtime.proof.numpyro_laws import marginal_is_brute_force
from tests.gaussian_networks import GAUSSIAN, LATER, NESTED, REFUSED, SINGULAR
from tests.laws.emitted import module
from tests.laws.test_laws import AT_ONE_SHAPE, NUMPY_LAWS, compiled, evaluated, hold, named, posed
from tests.networks import Example

DERIVED = (*GAUSSIAN, *SINGULAR)
QUICK = frozenset(
    """two_covariances subspace channel_with_rows eight_schools mixture_of_factors mediator linear_chain
    mixture_of_linear_chains chain_with_factors never_apart level_and_slope steady_chains""".split()
)
RESHAPED = frozenset(("two_covariances", "linear_chain"))
NUMPYRO_SAMPLE = ("two_covariances", "mixture_of_factors", "linear_chain", "chain_with_factors")
ROUNDING = 1e-11  # posterior moments by two orders of elimination, on numbers of size 1


@compiled(DERIVED, QUICK)
def test_em(example) -> None:
    hold(AT_ONE_SHAPE, posed(example, module(example.build().graph, "em")))


@compiled(DERIVED, RESHAPED)
def test_em_on_data_of_other_shapes(example) -> None:
    hold(RESHAPING, posed(example, module(example.build().graph, "em")))


@named(DERIVED)
def test_em_in_numpy(example) -> None:
    hold(NUMPY_LAWS, posed(example, evaluated(example.build())))


@compiled(DERIVED, QUICK)
def test_the_program_in_numpy_is_what_was_emitted(example) -> None:
    graph = example.build().graph
    law = partial(evaluator_is_the_emitted, program=bn.derive(graph).program)
    hold((law,), posed(example, module(graph, "em")))


@compiled(DERIVED, QUICK)
def test_posteriors_are_those_of_the_joint_gaussian(example) -> None:
    subject = posed(example, None)
    emitted = module(example.build().graph, "posterior")
    data, theta = emitted.prepare(dict(subject.data)), emitted.Parameters(**subject.theta)
    found, oracle = emitted.posterior(theta, data), subject.oracle
    np.testing.assert_allclose(emitted.score(theta, data), oracle.scores(subject.theta), rtol=ROUNDING)
    q = oracle.posterior(subject.theta)
    for name, moments in oracle.moments(q).items():
        for kind in ("mean", "cov"):
            np.testing.assert_allclose(found[name][kind], moments[kind], atol=ROUNDING, rtol=ROUNDING)
    for name, marginals in oracle.marginals(q).items():
        np.testing.assert_allclose(found[name], marginals, atol=ROUNDING)
    assert set(emitted.predict(theta, data)) == set(found)


@named(example for example in DERIVED if example.name in NUMPYRO_SAMPLE)
def test_numpyro_without_the_latents_has_the_value_and_the_gradient(example) -> None:
    law = partial(marginal_is_brute_force, module=module(example.build().graph, "numpyro"), gradient=True)
    hold((law,), posed(example, None))


@named(REFUSED)
def test_what_is_intractable_is_refused_by_name(example) -> None:
    with pytest.raises(bn.IntractableError) as refusal:
        bn.derive(example.build())
    assert "not derived yet" not in str(refusal.value)
    # NumPyro has no model of a switching system either: what there is instead is another declaration
    assert ("Declare" if example.name == "switching_chain" else "NUTS") in str(refusal.value)


@pytest.mark.parametrize("build", LATER, ids=lambda build: build.__name__)
def test_what_is_not_derived_yet_says_so(build) -> None:
    with pytest.raises(bn.IntractableError, match="not derived yet"):
        bn.derive(build())


@pytest.mark.parametrize(
    "example", [e for e in GAUSSIAN if e.name in ("two_covariances", "mixture_of_groups")]
)
def test_a_basis_that_members_share(example, monkeypatch: pytest.MonkeyPatch) -> None:
    """The formulation for many dimensions, on few."""
    monkeypatch.setattr("bnlab.inference.integrate.WIDE", 1)
    text = bn.emit(example.build(), "em")
    assert "joint_basis(" in text or "basis_by_cholesky(" in text
    hold(AT_ONE_SHAPE, posed(example, load_source(text, f"{example.name}_wide")))


def nested_vectors() -> bn.Network:
    """Vectors of a school, of its rooms, and of the pupils in them."""
    with bn.Network("nested_vectors") as net:
        mu = bn.parameter("mu", bn.Real(2))
        A, B, W = (bn.parameter(name, bn.Covariance(2)) for name in "ABW")
        with bn.plate("school"):
            a = bn.latent("a", bn.Normal(mu, cov=A))
            with bn.plate("room"):
                b = bn.latent("b", bn.Normal(a, cov=B))
                with bn.plate("pupil"):
                    bn.observed("x", bn.Normal(b, cov=W))
    return net


TOGETHER = ("two_covariances", "subspace", "partly_fixed", "shared_parameters", "unequal_spreads")


@pytest.mark.parametrize("basis", [False, True], ids=["inverses", "basis"])
@pytest.mark.parametrize(
    "example",
    [*(e for e in GAUSSIAN if e.name in TOGETHER), Example(nested_vectors, {"school": NESTED})],
    ids=lambda example: example.name,
)
def test_the_log_density_of_all_rows_together(example, basis: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of vectors of many entries; here of few."""
    monkeypatch.setattr("bnlab.inference.pooled.MANY", 1)
    if basis:
        monkeypatch.setattr("bnlab.inference.integrate.WIDE", 1)
    text = bn.emit(example.build(), "em")
    assert "+ log_likelihood_x(theta, rows_x, products_x)" in text
    hold(AT_ONE_SHAPE, posed(example, load_source(text, f"{example.name}_together_{basis}")))


def test_rows_that_are_not_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under discrete latents, along chains, with gaps, and where posteriors are asked for."""
    monkeypatch.setattr("bnlab.inference.pooled.MANY", 1)
    for example in GAUSSIAN:
        if example.name in ("mixture_of_factors", "mixture_of_groups", "linear_chain", "chain_with_factors"):
            assert "rows_x" not in bn.emit(example.build(), "em")
    net = next(e for e in GAUSSIAN if e.name == "two_covariances").build()
    assert "rows_x" not in bn.emit(net, "em", missing="x") + bn.emit(net, "posterior")


def test_derivatives_where_eigenvalues_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared basis has none, so the evidence goes without it."""
    monkeypatch.setattr("bnlab.inference.integrate.WIDE", 1)
    example = next(e for e in GAUSSIAN if e.name == "two_covariances")
    one = posed(example, load_source(bn.emit(example.build(), "em"), "repeated_eigenvalues"))
    alike = one.at(one.theta | {"Sigma_ac": np.eye(2), "Sigma_wc": 0.5 * np.eye(2)})
    hold((evidence_is_brute_force, fisher_identity), alike)
    assert "joint_basis" not in bn.emit(example.build(), "numpyro")
