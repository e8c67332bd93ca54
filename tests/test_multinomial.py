"""Vectors of counts given their sums: data, probabilities of 0, a prior, and what cannot be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bnlab as bn


def words(prior: Any = None, topics: int = 1) -> bn.Network:
    """A mixture over three words."""
    with bn.Network("words") as net:
        pi = bn.parameter("pi", bn.Simplex(topics))
        with bn.plate("k", topics):
            word = bn.parameter("word", bn.Simplex(3), prior=prior)
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Multinomial(word[z]))
    return net


def test_the_probabilities_are_shares_of_the_counts() -> None:
    x = np.array([[3, 0, 1], [2, 2, 0]])
    fit = bn.fit(words(), {"x": x}, progress=False)
    np.testing.assert_allclose(fit.parameters["word"], [[5 / 8, 2 / 8, 1 / 8]], rtol=1e-15)  # one division
    # by hand: 4! / (3! 1!) and 4! / (2! 2!) ways
    expected = np.log(4) + np.log(6) + 5 * np.log(5 / 8) + 2 * np.log(2 / 8) + np.log(1 / 8)
    assert fit.log_likelihood[-1] == pytest.approx(expected, rel=1e-14)


def test_em_finds_the_mode_under_a_dirichlet_prior() -> None:
    fit = bn.fit(words(bn.Dirichlet([2.0, 3.0, 1.0])), {"x": [[3, 0, 1]]}, progress=False)
    np.testing.assert_allclose(fit.parameters["word"], [[4 / 7, 2 / 7, 1 / 7]], rtol=1e-15)  # one division


def test_a_row_of_no_words_says_nothing() -> None:
    net = words(topics=2)
    theta = {"pi": [0.3, 0.7], "word": [[0.2, 0.3, 0.5], [0.6, 0.4, 0.0]]}
    fit = bn.fit(net, {"x": [[0, 0, 0]] * 2}, init=theta, max_iter=0, progress=False)
    assert fit.log_likelihood[0] == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(fit.posterior()["z"], [[0.3, 0.7]] * 2, rtol=1e-15)


def test_a_word_that_a_topic_never_uses_rules_it_out() -> None:
    theta = {"pi": [0.3, 0.7], "word": [[0.2, 0.3, 0.5], [0.6, 0.4, 0.0]]}
    fit = bn.fit(
        words(topics=2), {"x": [[5, 5, 1], [5, 5, 0]]}, init=theta, max_iter=5, tol=0.0, progress=False
    )
    assert np.isfinite(fit.log_likelihood).all()
    assert fit.posterior()["z"][0].tolist() == [1, 0]
    assert fit.parameters["word"][1, 2] == 0


def test_a_row_that_no_topic_allows_is_impossible_not_a_number_lost() -> None:
    theta = {"pi": [0.3, 0.7], "word": [[0.5, 0.5, 0.0], [0.6, 0.4, 0.0]]}
    em: dict[str, Any] = {}
    exec(bn.emit(words(topics=2), "em"), em)
    parameters = em["Parameters"](**{name: np.array(value) for name, value in theta.items()})
    assert em["log_evidence"](parameters, em["prepare"]({"x": np.array([[1, 1, 1]])})) == -np.inf


@pytest.mark.parametrize(
    ("x", "part"),
    [
        ([[1, 2, -1]], "x is -1 at n 0, column 2; counts are whole numbers from 0."),
        ([[1, 2.5, 0]], "x is 2.5 at n 0, column 1; counts are whole numbers from 0."),
    ],
)
def test_faults_name_row_and_column(x: Any, part: str) -> None:
    with pytest.raises(bn.DataError) as error:
        bn.fit(words(), {"x": x}, progress=False)
    assert part in str(error.value)


def test_nothing_is_drawn_without_a_sum() -> None:
    with pytest.raises(bn.DataError, match="x is Multinomial, the counts of a row given their sum"):
        bn.sample(words(), {"pi": [1.0], "word": [[0.2, 0.3, 0.5]]}, {"n": 3})


def test_a_constant_table_needs_a_vector() -> None:
    with pytest.raises(bn.ModelError), bn.Network("net"), bn.plate("n"):
        bn.observed("x", bn.Multinomial(bn.constant([[0.5, 0.5], [0.5, 0.5]])))


def test_far_more_topics_are_found_than_one() -> None:
    """Documents of two kinds: the right topics come out of the start from clusters."""
    rng = np.random.default_rng(0)
    truth = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    x = np.stack([rng.multinomial(50, truth[n % 2]) for n in range(200)])
    fit = bn.fit(words(topics=2), {"x": x}, progress=False)
    order = np.argsort(-fit.parameters["word"][:, 0])
    np.testing.assert_allclose(
        fit.parameters["word"][order], truth, atol=0.03
    )  # 5 standard errors of 5000 words
