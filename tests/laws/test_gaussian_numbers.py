"""Digits of ln p(x) where the data are far from the latents' prior means, or the noise is nearly singular."""

from __future__ import annotations

import numpy as np
import pytest

from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.subject import Subject
from tests import gaussian_networks as networks
from tests.gaussian_networks import GROUPS, RAGGED
from tests.laws.emitted import module


def posed(build, layout) -> Subject:
    graph, rng = build().graph, np.random.default_rng(0)
    return Subject(graph, random_data(graph, rng, layout), random_parameters(graph, rng), module(graph, "em"))


@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_a_chain_far_from_the_origin(offset: float) -> None:
    one = posed(networks.linear_chain, RAGGED)
    theta = one.theta | {"F": np.eye(2), "m0": one.theta["m0"] + offset}
    x = one.data["x"] + offset * theta["H"].sum(-1)
    far = one.on({**one.data, "x": x}).at(theta)
    # x has lost digits in proportion to the offset; ten times that for sixty numbers
    tolerance = 1e-15 * offset * 10
    assert far.log_evidence() == pytest.approx(far.oracle.log_evidence(theta), rel=tolerance)


def test_noise_that_is_nearly_singular() -> None:
    """One direction has a hundredth of the other's spread, as when EM meets columns that nearly depend on one another."""
    one = posed(networks.two_covariances, GROUPS)
    root = np.array([[1.0, -1.2], [0.01, 0.01]])
    noise = np.random.default_rng(1).normal(size=one.data["x"].shape) @ root
    centres = np.random.default_rng(2).normal(size=(8, 2))
    near = one.on({**one.data, "x": 2.0 * centres[one.data["group"]] + noise})
    near = near.at(one.theta | {"Sigma_wc": root.T @ root})
    # the condition of the covariance, 2e4, times rounding, for some dozen rows
    assert near.log_evidence() == pytest.approx(near.oracle.log_evidence(near.theta), rel=1e-10)
