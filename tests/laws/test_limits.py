"""What is known without any oracle: closed-form limits, networks that are one another, fixed points, and small numbers."""

from __future__ import annotations

import numpy as np
import pytest

from bnlab.runtime.proof.auxiliary import slope_of_auxiliary
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.subject import Subject
from bnlab.runtime.proof.tangent import tangent
from tests import networks
from tests.laws.emitted import module

ROUNDING = 1e-12  # relative, of sums of some dozen log densities
SEED = 5


def subject(build, layout, **changed) -> Subject:
    graph, rng = build().graph, np.random.default_rng(SEED)
    data, theta = random_data(graph, rng, layout), random_parameters(graph, rng)
    return Subject(graph, data, theta | changed, module(graph, "em"))


def test_observed_everything_is_counting() -> None:
    one = subject(networks.fully_observed, {"n": 14})
    z, x, new = one.data["z"], one.data["x"], one.step()
    np.testing.assert_allclose(new["p"], np.bincount(z, minlength=2) / len(z), rtol=ROUNDING)
    for k in range(2):
        np.testing.assert_allclose(new["mu"][k], x[z == k].mean(0), rtol=1e-11)  # moments about a shift
        np.testing.assert_allclose(new["Sigma"][k], np.cov(x[z == k].T, bias=True), rtol=1e-11)


def test_a_chain_with_equal_rows_is_a_mixture() -> None:
    chain = subject(networks.chain_gaussian, {"sequence": (6, 4)})
    pi, mu, Sigma = (chain.theta[name] for name in ("pi", "mu", "Sigma"))
    chain = chain.at(chain.theta | {"A": np.tile(pi, (3, 1))})
    density = np.stack(
        [
            np.exp(-0.5 * np.einsum("nd,de,ne->n", r := chain.data["x"] - mu[k], np.linalg.inv(Sigma[k]), r))
            / np.sqrt(np.linalg.det(2 * np.pi * Sigma[k]))
            for k in range(3)
        ],
        -1,
    )
    assert chain.log_evidence() == pytest.approx(np.log(density @ pi).sum(), rel=ROUNDING)


def test_sequences_of_one_step_leave_the_transitions_alone() -> None:
    one = subject(networks.chain_categorical, {"sequence": (1, 1, 1, 1, 1)})
    np.testing.assert_array_equal(one.step()["A"], one.theta["A"])


def test_two_chains_are_one_chain_on_pairs() -> None:
    layout = {"sequence": (4, 3)}
    two = subject(networks.two_chains, layout)
    p, r, A, B, mu, v = (two.theta[name] for name in ("p", "r", "A", "B", "mu", "v"))
    pairs = np.einsum("ab,cd->acbd", A, B).reshape(6, 6)
    start, means = np.outer(p, r).ravel(), mu.ravel()
    total = 0.0
    for member in range(2):
        x = two.data["x"][two.data["sequence"] == member]
        density = np.exp(-0.5 * (x[:, None] - means) ** 2 / v) / np.sqrt(2 * np.pi * v)
        alpha = start * density[0]
        for row in density[1:]:
            alpha = (alpha @ pairs) * row
        total += np.log(alpha.sum())
    assert two.log_evidence() == pytest.approx(total, rel=ROUNDING)


def test_at_the_end_nothing_moves() -> None:
    """Where EM stands still the evidence is flat: the gradient is 0."""
    graph, rng = networks.mixture_tied().graph, np.random.default_rng(SEED)
    x = rng.normal(size=(40, 2)) + 4.0 * (np.arange(40) % 2)[:, None]  # apart, so that EM is quick
    theta = random_parameters(graph, rng) | {"mu": np.array([[0.0, 0.0], [4.0, 4.0]])}
    one = Subject(graph, {"x": x}, theta, module(graph, "em"))
    theta, _ = one.em.fit(one.prepared, one.parameters(), max_iter=200, tol=0.0)
    end = one.at({name: np.asarray(value) for name, value in theta._asdict().items()})
    for name, value in end.step().items():
        np.testing.assert_allclose(value, end.theta[name], rtol=1e-12, atol=1e-12)  # rounding only
    slope = slope_of_auxiliary(end, end.oracle.posterior(end.theta))(end.theta)
    for name, value in tangent(end.graph, end.theta, slope).items():
        np.testing.assert_allclose(value, 0, atol=1e-10, err_msg=name)  # the same, times forty rows


@pytest.mark.parametrize("messages", ["scaled", "log"])
def test_a_long_chain_does_not_underflow(messages: str) -> None:
    """p(x) of 3000 steps is far below the smallest number; brute force on a chain whose states do not matter."""
    graph, steps = networks.chain_gaussian().graph, 3000
    rng = np.random.default_rng(SEED)
    theta = random_parameters(graph, rng)
    theta |= {"mu": np.zeros((3, 2)), "Sigma": np.tile(np.eye(2), (3, 1, 1))}
    x = 3.0 * rng.normal(size=(steps, 2))
    one = Subject(graph, {"x": x, "sequence": np.zeros(steps, int)}, theta, module(graph, "em", messages))
    expected = -0.5 * (x**2).sum() - steps * np.log(2 * np.pi)
    assert one.log_evidence() == pytest.approx(expected, rel=ROUNDING)


def test_single_precision_follows_double() -> None:
    one = subject(networks.mixture_full, {"n": 24})
    single = one.em.Parameters(**{name: np.asarray(value, np.float32) for name, value in one.theta.items()})
    data = one.em.prepare(one.data, np.float32)
    new = one.em.m_step(one.em.e_step(single, data), single)
    for name, value in one.step().items():
        found = np.asarray(new._asdict()[name])
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found, value, rtol=0, atol=1e-5 * (1 + np.abs(value).max())
        )  # float32 has 7 digits
