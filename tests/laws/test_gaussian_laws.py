"""The laws themselves, on an EM with a Gaussian latent that was written by hand: they accept it and none of its mutants."""

from __future__ import annotations

import numpy as np
import pytest

from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.laws import LAWS, evidence_is_brute_force, m_step_is_stationary
from bnlab.runtime.proof.posterior_laws import POSTERIOR_LAWS
from bnlab.runtime.proof.scaling import motion
from bnlab.runtime.proof.subject import Subject
from tests import gaussian_networks as networks
from tests.gaussian_networks import GROUPS
from tests.laws import by_hand


def subject(em) -> Subject:
    graph, rng = networks.two_covariances().graph, np.random.default_rng(0)
    return Subject(graph, random_data(graph, rng, GROUPS), random_parameters(graph, rng), em)


def broken(laws, one: Subject) -> list[str]:
    return [str(deviation) for law in laws for deviation in law(one) if not deviation.passed]


def test_what_is_right_is_accepted() -> None:
    one = subject(by_hand.module())
    assert not broken(LAWS + POSTERIOR_LAWS, one)


@pytest.mark.parametrize(
    "wrong", [{"spread": 0.9}, {"lost": 1}], ids=["posterior too narrow", "one group lost"]
)
def test_what_is_wrong_is_not(wrong) -> None:
    assert broken((evidence_is_brute_force, m_step_is_stationary), subject(by_hand.module(**wrong)))


def test_loadings_move_with_the_data_and_standard_factors_do_not() -> None:
    found = motion(networks.factors().graph)
    assert found is not None
    assert found.parameters == {"W": (1, 0), "mu": (1, 1), "psi": (2, 0)}
    assert (found.power["y"], found.shift["y"]) == (0, 0)


def test_a_latent_mean_moves_with_the_data() -> None:
    found = motion(networks.two_covariances().graph)
    assert found is not None and found.parameters["mu"] == (1, 1) and found.power["z"] == 1


def test_a_fixed_start_holds_everything_still() -> None:
    assert motion(networks.local_level().graph) is None
