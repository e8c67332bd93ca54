"""Digits of ln p(x) where the data are far from the latents' prior means, or the noise is nearly singular."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bnlab as bn
from bnlab.cli.models import load_model
from bnlab.program.evaluate import expect
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.subject import Subject
from tests import gaussian_networks as networks
from tests import models
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


@pytest.mark.parametrize("doubt", [1e2, 1e7, 1e9])
def test_a_first_state_of_which_nothing_is_known(doubt: float) -> None:
    """Smoothed variances of 1 from prior ones of `doubt`, against the inverse of the precision of all states at once."""
    graph = load_model(
        str(Path(models.__file__).parent / "../models/local_linear_trend.py"), [f"doubt={doubt}"]
    ).network.graph
    eta, zeta, eps, x = 0.7, 0.3, 0.5, np.random.default_rng(0).normal(size=6).cumsum() + 1000.0
    program = bn.derive(graph).program
    theta = {"eta": eta, "zeta": zeta, "eps": eps}
    found = expect(program, {name: np.array(value) for name, value in theta.items()}, {"x": x})
    steps = len(x)
    slopes, levels = np.eye(2 * steps)[:steps], np.eye(2 * steps)[steps:]
    e_slope, e_level = slopes[1:] - slopes[:-1], levels[1:] - levels[:-1] - slopes[:-1]
    precision = e_slope.T @ e_slope / zeta + e_level.T @ e_level / eta + levels.T @ levels / eps
    precision += (np.outer(slopes[0], slopes[0]) + np.outer(levels[0], levels[0])) / doubt
    cov = np.linalg.inv(precision)
    mean = cov @ (levels.T @ (x - 1000.0)) / eps  # from 1000
    for name, rows, gap in (
        ("See_slope", e_slope, 0.0),
        ("See_level", e_level, 0.0),
        ("Sxx", levels, x - 1000.0),
    ):
        residual = gap - rows @ mean
        expected = residual @ residual + np.trace(rows @ cov @ rows.T)
        # the condition of the predicted covariances, doubt / 0.5, times rounding, over some dozen products
        assert found[name] == pytest.approx(expected, rel=1e-15 * doubt * 50), name
