"""The covariances of a chain's predictions, many steps at once, against one step after the other."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnlab.printers.jax_tools import PREDICTED_COVARIANCES, PRODUCT
from tests.laws.emitted import load

HELPERS = f"import jax\nimport jax.numpy as jnp\n{PRODUCT}{PREDICTED_COVARIANCES}"
predicted_covariances = load(HELPERS, "predicted_covariances").predicted_covariances


def one_by_one(P: np.ndarray, F: np.ndarray, Q: np.ndarray, Lambda: np.ndarray, steps: int) -> np.ndarray:
    found = [P]
    while len(found) < steps:
        V = np.linalg.solve(np.eye(P.shape[-1]) + found[-1] @ Lambda, found[-1])
        found.append(F @ V @ F.swapaxes(-1, -2) + Q)
    return np.stack(found)


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Covariances."""
    root = rng.normal(size=(*shape, shape[-1]))
    return root @ root.swapaxes(-1, -2)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 15, 16, 17, 300])
def test_any_number_of_steps(steps: int) -> None:
    rng = np.random.default_rng(steps)
    P, Q, Lambda = (drawn(rng, 3) for _ in range(3))
    F = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = predicted_covariances(P, F, Q, Lambda, steps)
    # as many digits as one by one: matrices of condition 1e3 at most, and rounding does not add up where steps forget
    np.testing.assert_allclose(found, one_by_one(P, F, Q, Lambda, steps), rtol=1e-11)


def test_one_for_each_state_and_parameters_that_some_share() -> None:
    rng = np.random.default_rng(0)
    P, Q, Lambda = drawn(rng, 2, 3), drawn(rng, 2, 3), drawn(rng, 3)
    F = 0.9 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = predicted_covariances(P, F, Q, Lambda, 20)
    np.testing.assert_allclose(found, one_by_one(P, F, Q, Lambda, 20), rtol=1e-11)


def test_singular_covariances() -> None:
    """A known start, noise in one direction alone, and data that tell of one entry."""
    P, Q, Lambda = np.zeros((2, 2)), np.diag([0.0, 0.1]), np.diag([2.0, 0.0])
    F = np.array([[1.0, 1.0], [0.0, 1.0]])
    found = predicted_covariances(P, F, Q, Lambda, 100)
    np.testing.assert_allclose(found, one_by_one(P, F, Q, Lambda, 100), rtol=1e-11, atol=1e-15)


def test_a_trend_that_hardly_changes_from_a_wide_start() -> None:
    """k steps together amplify what they start from by k^2: no more digits are lost than by one step after the other,
    which lose nine of them to the first steps (1e7 beside 1)."""
    P, Q, Lambda = 1e7 * np.eye(2), 1e-12 * np.eye(2), np.diag([1.0, 0.0])
    F = np.array([[1.0, 1.0], [0.0, 1.0]])
    found = predicted_covariances(P, F, Q, Lambda, 2000)
    np.testing.assert_allclose(found[2:], one_by_one(P, F, Q, Lambda, 2000)[2:], rtol=1e-7)


def test_gradients() -> None:
    """That of a sum of entries by one entry of F, against a difference."""
    rng = np.random.default_rng(1)
    P, Q, Lambda, F = drawn(rng, 2), drawn(rng, 2), drawn(rng, 2), 0.5 * rng.normal(size=(2, 2))

    def total(F: jax.Array) -> jax.Array:
        return jnp.sum(predicted_covariances(jnp.asarray(P), F, Q, Lambda, 10))

    away = np.zeros((2, 2))
    away[0, 1] = 1e-6
    difference = (total(F + away) - total(F - away)) / 2e-6
    # a central difference: its error is of order 1e-12 beside rounding of 1e-16 / 1e-6
    np.testing.assert_allclose(jax.grad(total)(jnp.asarray(F))[0, 1], difference, rtol=1e-6)


def test_gradients_from_a_wide_start() -> None:
    """Of the later steps, by Q, against those through one step after the other: 1e7 beside 1 costs values seven digits, and
    derivatives of many steps at once would lose as many again."""
    P, Lambda = 1e7 * jnp.eye(2), jnp.diag(jnp.array([1.0, 0.0]))
    F = jnp.array([[1.0, 1.0], [0.0, 1.0]])

    def at_once(q: jax.Array) -> jax.Array:
        return jnp.log(predicted_covariances(P, F, jnp.diag(q), Lambda, 60)[2:, 0, 0]).sum()

    def one_after_the_other(q: jax.Array) -> jax.Array:
        found = [P]
        while len(found) < 60:
            V = jnp.linalg.inv(jnp.eye(2) + found[-1] @ Lambda) @ found[-1]
            found.append(F @ V @ F.T + jnp.diag(q))
        return jnp.log(jnp.stack(found)[2:, 0, 0]).sum()

    q = jnp.array([1.0, 1e-3])
    np.testing.assert_allclose(jax.grad(at_once)(q), jax.grad(one_after_the_other)(q), rtol=1e-7)
