"""Gaussian latents as users meet them: draws, and posteriors in the layout of the data."""

from __future__ import annotations

import numpy as np
import pytest

from bnlab.runtime.data import bind
from bnlab.runtime.pooling import pooled
from bnlab.runtime.proof.draws import random_parameters
from bnlab.runtime.proof.oracle import Oracle
from bnlab.runtime.queries import mirrored
from bnlab.runtime.sampling import sample
from tests import gaussian_networks as networks
from tests.gaussian_networks import GAUSSIAN
from tests.networks import Example

MANY = 20_000
SIGMAS = 5.5  # of some hundred moments together, one is beyond that in a million runs


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Means and covariances of draws (MANY, n) are the expected ones, to as many standard errors as chance allows."""
    mean, cov = expected
    spread = np.sqrt(np.diag(cov))
    assert np.all(np.abs(found.mean(0) - mean) <= SIGMAS * spread / np.sqrt(MANY) + 1e-12)
    wanted = np.sqrt(
        (np.outer(spread, spread) ** 2 + cov**2) / MANY
    )  # the variance of a normal's second moment
    assert np.all(np.abs(np.cov(found.T, bias=True).reshape(cov.shape) - cov) <= SIGMAS * wanted + 1e-12)


def test_a_chain_is_drawn_from_its_joint() -> None:
    graph = (net := networks.linear_chain()).graph
    theta = random_parameters(graph, np.random.default_rng(0))
    drawn = sample(net, theta, {"sequence": MANY, "t": 3}, seed=1)
    F, Q, H, R, mean, cov = (theta[name] for name in ("F", "Q", "H", "R", "m0", "P0"))
    for step in range(3):
        close(drawn["y"][:, step], (mean, cov))
        close(drawn["x"][:, step], (H @ mean, H @ cov @ H.T + R))
        ahead = np.block([[cov, cov @ F.T], [F @ cov, F @ cov @ F.T + Q]])
        if step < 2:
            pair = np.concatenate([drawn["y"][:, step], drawn["y"][:, step + 1]], -1)
            close(pair, (np.concatenate([mean, F @ mean]), ahead))
        mean, cov = F @ mean, F @ cov @ F.T + Q


def test_two_levels_of_latents_are_drawn_from_their_joint() -> None:
    net = networks.group_and_channel()
    theta = random_parameters(net.graph, np.random.default_rng(0))
    drawn = sample(net, theta, {"group": MANY, "row": 2}, seed=1)
    between, within = theta["B"], theta["C"] + np.diag(theta["v"])
    rows = drawn["x"].reshape(MANY, 4)
    cov = np.kron(np.ones((2, 2)), between) + np.kron(np.eye(2), within)
    close(rows, (np.tile(theta["mu"], 2), cov))
    close(
        np.concatenate([drawn["s"], drawn["c"][:, 1]], -1),
        (
            np.concatenate([theta["mu"], np.zeros(2)]),
            np.block([[between, np.zeros((2, 2))], [np.zeros((2, 2)), theta["C"]]]),
        ),
    )


def test_variances_of_0_draw_what_they_determine() -> None:
    net = networks.smooth_trend()
    drawn = sample(net, {"r": 0.3, "v": 0.5}, {"series": 2, "t": [4, 2]})
    for slope, level in zip(drawn["slope"], drawn["level"], strict=True):
        np.testing.assert_allclose(np.diff(level), slope[:-1], rtol=1e-12, atol=1e-12)  # one sum
    groups = sample(networks.thin_groups(), {"v": [1.0, 2.0]}, {"group": 5, "row": 2})["z"]
    np.testing.assert_allclose(groups[:, 1], 2 * groups[:, 0], rtol=1e-6, atol=1e-7)  # a root of rounding


@pytest.mark.parametrize("example", GAUSSIAN, ids=lambda example: example.name)
def test_what_is_drawn_is_data_with_a_posterior(example: Example) -> None:
    """Draws of every network bind as data, and the truth lies within the oracle's posterior."""
    net = example.build()
    graph = net.graph
    theta = random_parameters(graph, np.random.default_rng(0))
    paths = {plate: size for plate, size in nested_sizes(graph, example.layout)}
    given = {}
    if graph.in_role("given"):
        given = example_given(example)
    drawn = sample(net, theta, paths, seed=2, given=given)
    bound = bind(graph, {name: value for name, value in drawn.items() if name not in latents(graph)})
    oracle = Oracle(graph, bound.canonical)
    assert np.isfinite(oracle.log_evidence(theta))
    answer = mirrored(net, bound, oracle.moments(oracle.posterior(theta)))
    deviations = []
    for name, moments in answer.items():
        event = graph.variable(name).domain.event_shape
        for truth, mean, cov in leaves(drawn[name], moments["mean"], moments["cov"]):
            assert truth.shape == mean.shape and cov.shape == mean.shape + event
            spread = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1)) if event else np.sqrt(cov)
            deviations.append(np.ravel((truth - mean) / spread))
    assert np.abs(np.concatenate(deviations)).max() < SIGMAS


def test_draws_of_parameters_are_a_mixture() -> None:
    """The law of total covariance, over three draws of a scalar's and a vector's moments."""
    rng = np.random.default_rng(0)
    means, roots = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4, 2, 2))
    covs, probs = roots @ roots.swapaxes(-1, -2), rng.dirichlet(np.ones(2), size=(3, 4))
    answers = (
        {"y": {"mean": m, "cov": c}, "a": {"mean": m[:, 0], "cov": c[:, 0, 0]}, "z": p}
        for m, c, p in zip(means, covs, probs, strict=True)
    )
    found = pooled(answers)
    apart = means - means.mean(0)
    total = (covs + apart[..., :, None] * apart[..., None, :]).mean(0)
    # a dozen roundings each
    np.testing.assert_allclose(found["z"], probs.mean(0), rtol=1e-14)
    np.testing.assert_allclose(found["y"]["mean"], means.mean(0), rtol=1e-13)
    np.testing.assert_allclose(found["y"]["cov"], total, rtol=1e-13)
    np.testing.assert_allclose(found["a"]["cov"], total[:, 0, 0], rtol=1e-13)


def latents(graph) -> set[str]:
    return {variable.name for variable in graph.in_role("latent")}


def leaves(truth, mean, cov):
    """The arrays of nested lists, side by side."""
    if isinstance(truth, list):
        assert isinstance(mean, list) and isinstance(cov, list)
        for parts in zip(truth, mean, cov, strict=True):
            yield from leaves(*parts)
    else:
        yield np.asarray(truth), np.asarray(mean), np.asarray(cov)


def nested_sizes(graph, layout):
    """The sizes that `sample` wants, of a layout."""
    for root, size in layout.items():
        path = max((v.plates for v in graph.variables if root in v.plates), key=len)
        path = [plate for plate in path if graph.plate(plate).size is None]
        for plate in path:
            yield plate, count(size) if not path.index(plate) else lengths(size, path.index(plate))


def count(size) -> int:
    return len(size) if isinstance(size, tuple) else size


def lengths(size, depth: int):
    """The numbers of members at a depth, nested as the members around them."""
    return [lengths(inner, depth - 1) for inner in size] if depth > 1 else [count(inner) for inner in size]


def example_given(example: Example) -> dict:
    """Values of the given variables, in nested lists where they are ragged."""
    graph, rng = example.build().graph, np.random.default_rng(3)
    found = {}
    for variable in graph.in_role("given"):
        (size,) = example.layout.values()
        event = variable.domain.event_shape
        draw = rng.gamma if type(variable.domain).__name__ == "Positive" else rng.normal
        found[variable.name] = (
            [draw(2.0, 1.0, size=(rows, *event)) for rows in size]
            if isinstance(size, tuple)
            else draw(2.0, 1.0, size=(size, *event))
        )
    return found
