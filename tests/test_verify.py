"""`bn.verify`: the laws for a user's own network, with numbers, and what it says when one is broken."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.proof.deviation import Deviation, difference, worst
from bnlab.runtime.verify import Verification
from tests import networks
from tests.models import NAMES, model


@pytest.fixture(scope="module")
def verification() -> Verification:
    rows = np.random.default_rng(0).normal(size=(40, 2))
    return bn.verify(networks.mixture_tied(), {"x": rows})


def test_every_law_holds(verification: Verification) -> None:
    assert verification.passed, str(verification)
    laws = {check.law for check in verification.checks}
    assert {
        "fisher identity",
        "m step is stationary",
        "evaluator is the emitted",
        "marginal is brute force",
    } <= laws
    assert any(check.on == "the data given" for check in verification.checks)


def test_it_prints_numbers(verification: Verification) -> None:
    text = str(verification)
    assert text.startswith("mixture_tied: every law holds")
    assert len(text.splitlines()) == len(verification.checks) + 3
    assert "<table>" in verification._repr_html_()


def test_it_is_the_same_for_the_same_seed() -> None:
    first, second = (bn.verify(networks.fully_observed(), seed=3).checks for _ in range(2))
    assert first == second


def test_a_broken_law_is_told(verification: Verification) -> None:
    broken = dataclasses.replace(verification.checks[0], number=0.5, passed=False, worst="log evidence")
    found = Verification("net", (broken, *verification.checks[1:]))
    assert not found.passed
    assert "a law is broken" in str(found) and "BROKEN" in str(found) and "log evidence" in str(found)


def test_what_cannot_be_listed_is_noted() -> None:
    with bn.Network("wide") as net:
        pi = bn.parameter("pi", bn.Simplex(5000))
        with bn.plate("k", 5000):
            B = bn.parameter("B", bn.Simplex(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Categorical(B[z]))
    found = bn.verify(net)
    assert found.checks == () and "5000" not in found.notes[0] and "3000 configurations" in found.notes[0]
    assert not found.passed, "nothing was checked, so nothing is proven"


def test_a_network_without_em_is_refused() -> None:
    with pytest.raises(bn.IntractableError):
        bn.verify(networks.moves_seen())


def test_nan_is_never_within_tolerance() -> None:
    assert not Deviation("x", float("nan"), 1.0).passed
    assert not difference("x", [np.nan, 0.0], [0.0, 0.0], 1.0).passed
    assert not difference("x", [0.0], [0.0, 0.0], 1.0).passed
    assert difference("x", [-np.inf], [-np.inf], 0.0).passed
    assert worst("law", [Deviation("small", 1e-9, 1e-8), Deviation("nan", float("nan"), 1e-8)]).what == "nan"


QUICK = ("eight_schools", "latent_class")
"""The others take some ten seconds each."""


def row(name: str) -> object:
    """A model; those that take long are slow."""
    return name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [row(name) for name in NAMES])
def test_every_model_is_verified(name: str) -> None:
    """All laws against brute force on small data, ragged and with empty states among them, and the climb on the example."""
    loaded = model(name)
    found = bn.verify(loaded.network, loaded.example())
    assert found.passed and found.checks, str(found)
