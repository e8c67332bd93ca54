"""Networks with Gaussian latents that are one model declared in two ways have one likelihood."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.subject import Subject
from tests import gaussian_networks as networks
from tests.gaussian_networks import GROUPS, RAGGED
from tests.laws.test_laws import evaluated

ROUNDING = 1e-11  # some dozen inverses of numbers of size 1


def likelihood(net: bn.Network, data: Mapping[str, np.ndarray], theta: Mapping[str, np.ndarray]) -> float:
    return Subject(net.graph, data, theta, evaluated(net)).log_evidence()


def drawn(net: bn.Network, layout) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return random_data(net.graph, rng, layout), random_parameters(net.graph, rng)


def chain_of_vectors(plate: str, F, Q, m, P, h) -> bn.Network:
    """A chain of which all but the data is known."""
    constant = bn.constant
    with bn.Network("chain_of_vectors") as net:
        scale = bn.parameter("scale", bn.Positive())
        with bn.plate(plate), bn.chain("t"):
            y = bn.latent(
                "y",
                bn.Normal(constant(F) @ bn.previous("y"), cov=constant(Q)),
                first=bn.Normal(constant(m), cov=constant(P)),
            )
            bn.observed("x", bn.Normal(constant(h) @ y, var=scale))
    return net


def test_level_and_slope_are_one_vector() -> None:
    net = networks.level_and_slope()
    data, theta = drawn(net, {"series": (5, 1, 4, 3)})
    q, r, m, p = (float(theta[name]) for name in "qrmp")
    stacked = chain_of_vectors(
        "series",
        [[1.0, 1.0], [0.0, 1.0]],
        np.diag([q, r]),
        [m, 0.0],
        np.diag([p, 1.0]),
        [1.0, 0.0],
    )
    found = likelihood(stacked, data, {"scale": theta["v"]})
    assert likelihood(net, data, theta) == pytest.approx(found, rel=ROUNDING)


def test_an_effect_of_the_sequence_is_an_entry_that_stays() -> None:
    net = networks.group_beside_chain()
    data, theta = drawn(net, RAGGED)
    f, q, a2 = (float(theta[name]) for name in ("f", "q", "a2"))
    stacked = chain_of_vectors(
        "sequence",
        np.diag([f, 1.0]),
        np.diag([q, 0.0]),
        [0.0, 0.0],
        np.diag([1.0, a2]),
        [1.0, 1.0],
    )
    found = likelihood(stacked, data, {"scale": theta["v"]})
    assert likelihood(net, data, theta) == pytest.approx(found, rel=ROUNDING)


def test_the_mean_may_stand_above_or_below() -> None:
    net = networks.two_covariances()
    data, theta = drawn(net, GROUPS)
    with bn.Network("mean_below") as below:
        mu = bn.parameter("mu", bn.Real(2))
        between = bn.parameter("Sigma_ac", bn.Covariance(2))
        within = bn.parameter("Sigma_wc", bn.Covariance(2))
        with bn.plate("group"):
            z = bn.latent("z", bn.Normal(bn.zeros(2), cov=between))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(z + mu, cov=within))
    assert likelihood(net, data, theta) == pytest.approx(likelihood(below, data, theta), rel=ROUNDING)


def test_factors_may_be_rotated() -> None:
    net = networks.factors()
    data, theta = drawn(net, {"n": 12})
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    turned = likelihood(net, data, {**theta, "W": theta["W"] @ turn})
    assert likelihood(net, data, theta) == pytest.approx(turned, rel=ROUNDING)
