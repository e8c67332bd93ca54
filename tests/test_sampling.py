"""Ancestral sampling: layouts, chains, affine means, given values, and the moments of what is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.data import bind
from bnlab.runtime.sampling import sample


def mixture() -> bn.Network:
    with bn.Network("mixture") as net:
        pi = bn.parameter("pi", bn.Simplex(3))
        with bn.plate("k", 3):
            mu = bn.parameter("mu", bn.Real(2))
            Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


MIXTURE = {
    "pi": [0.5, 0.5, 0.0],
    "mu": [[0.0, 0.0], [10.0, -10.0], [99.0, 99.0]],
    "Sigma": [[[2.0, 1.0], [1.0, 1.0]], [[1.0, -0.5], [-0.5, 3.0]], [[1.0, 0.0], [0.0, 1.0]]],
}


def chain() -> bn.Network:
    with bn.Network("steps") as net:
        with bn.plate("k", 3):
            A = bn.parameter("A", bn.Simplex(3))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical([1.0, 0.0, 0.0]))
            bn.observed("x", bn.Categorical(A[z]))
    return net


CYCLE = {"A": [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]}


def test_moments_of_a_mixture() -> None:
    drawn = sample(mixture(), MIXTURE, {"n": 40_000}, seed=1)
    assert drawn["x"].shape == (40_000, 2) and drawn["z"].shape == (40_000,)
    assert set(np.unique(drawn["z"])) == {0, 1}  # probability 0 is never drawn
    for k in (0, 1):
        x = drawn["x"][drawn["z"] == k]
        # The standard error of a mean here is at most sqrt(3 / 20000) = 0.012, that of a covariance at most 0.03; 5 of each.
        np.testing.assert_allclose(x.mean(axis=0), MIXTURE["mu"][k], atol=0.06)
        np.testing.assert_allclose(np.cov(x.T), MIXTURE["Sigma"][k], atol=0.15)


def test_the_seed_decides() -> None:
    one, two, other = (sample(mixture(), MIXTURE, {"n": 20}, seed=seed)["x"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_chains_follow_their_transitions_in_ragged_sequences() -> None:
    drawn = sample(chain(), CYCLE, {"sequence": 3, "t": [4, 1, 6]})
    assert [len(part) for part in drawn["z"]] == [4, 1, 6]
    for z, x in zip(drawn["z"], drawn["x"], strict=True):
        np.testing.assert_array_equal(z, np.arange(len(z)) % 3)
        np.testing.assert_array_equal(x, (z + 1) % 3)


def test_equal_lengths_make_arrays() -> None:
    drawn = sample(chain(), CYCLE, {"sequence": 2, "t": 5})
    np.testing.assert_array_equal(drawn["z"], [[0, 1, 2, 0, 1]] * 2)


def test_what_is_drawn_is_data() -> None:
    drawn = sample(chain(), CYCLE, {"sequence": 3, "t": [4, 1, 6]})
    bound = bind(chain().graph, drawn)
    np.testing.assert_array_equal(bound.canonical["x"], np.concatenate(drawn["x"]))
    assert [warning.concerns for warning in bound.warnings] == ["z"]


def test_lags_and_affine_means() -> None:
    """With variances near 0 the draws are the recursion y[t] = 0.5 y[t-1] - y[t-2] + 1 from 1 and 2."""
    with bn.Network("recursion") as net:
        with bn.chain("t"):
            mean = 0.5 * bn.previous("y") - bn.previous("y", 2) + 1.0
            first = (bn.Normal(1.0, var=1e-18), bn.Normal(bn.previous("y") + 1.0, var=1e-18))
            y = bn.latent("y", bn.Normal(mean, var=1e-18), first=first)
            bn.observed("x", bn.Normal(2.0 * y, std=1e-9))
    drawn = sample(net, {}, {"t": 6})
    expected = [1.0, 2.0]
    for _ in range(4):
        expected.append(0.5 * expected[-1] - expected[-2] + 1)
    # Standard deviations are 1e-9, and six steps add a few of them.
    np.testing.assert_allclose(drawn["y"], expected, atol=1e-7)
    np.testing.assert_allclose(drawn["x"], 2 * np.array(expected), atol=1e-7)


def test_matrices_and_given_values() -> None:
    with bn.Network("regression") as net:
        W = bn.parameter("W", bn.Real(3, 2))
        with bn.plate("k", 2):
            b = bn.parameter("b", bn.Real(3))
        with bn.plate("n"):
            u = bn.given("u", bn.Real(2))
            c = bn.given("c", bn.Integer(2))
            bn.observed("x", bn.Normal(W @ u + b[c], var=1e-18))
    generator = np.random.default_rng(0)
    parameters = {"W": generator.normal(size=(3, 2)), "b": generator.normal(size=(2, 3))}
    given = {"u": generator.normal(size=(7, 2)), "c": [0, 1, 1, 0, 1, 0, 0]}
    drawn = sample(net, parameters, {"n": 7}, given=given)
    # The standard deviation is 1e-9.
    np.testing.assert_allclose(
        drawn["x"], given["u"] @ parameters["W"].T + parameters["b"][given["c"]], atol=1e-7
    )
    with pytest.raises(bn.DataError, match="7 members of n; sizes says 6"):
        sample(net, parameters, {"n": 6}, given=given)


def test_nested_and_sized_plates_align() -> None:
    """x sees the level of its own speaker and the offset of its own item."""
    with bn.Network("items") as net:
        with bn.plate("item", 2):
            offset = bn.parameter("offset", bn.Real())
        with bn.plate("person"):
            level = bn.latent("level", bn.Normal(0.0, var=1.0))
            with bn.plate("item", 2), bn.plate("trial"):
                bn.observed("x", bn.Normal(level + offset, var=1e-18))
    drawn = sample(net, {"offset": [100.0, 200.0]}, {"person": 3, "trial": [1, 4, 2]})
    assert [[len(item) for item in person] for person in drawn["x"]] == [[1, 1], [4, 4], [2, 2]]
    for level, person in zip(drawn["level"], drawn["x"], strict=True):
        for shift, item in zip((100.0, 200.0), person, strict=True):
            np.testing.assert_allclose(item, level + shift, atol=1e-7)  # the standard deviation is 1e-9


@pytest.mark.parametrize(
    ("sizes", "part"),
    [
        ({}, "sizes has no entry for sequence"),
        ({"sequence": 2, "t": 3, "sequnce": 1}, 'Did you mean "sequence"?'),
        ({"sequence": 2, "t": [3, 4, 5]}, "there are 2 whole numbers to give"),
        ({"sequence": 2, "t": [3, 0]}, "must be at least 1"),
    ],
)
def test_faults_of_sizes(sizes: dict[str, Any], part: str) -> None:
    with pytest.raises(bn.DataError) as error:
        sample(chain(), CYCLE, sizes)
    assert part in str(error.value)


def test_faults_of_parameters_come_all_at_once() -> None:
    with pytest.raises(bn.FitError) as error:
        sample(mixture(), MIXTURE | {"pi": [0.5, 0.6, 0.0], "mu": [1.0], "sigma": 3}, {"n": 4})
    for part in ("pi sums to 1.1", "mu has the shape (1,); it wants (3, 2)", 'Did you mean "Sigma"?'):
        assert part in str(error.value)
