"""Every realistic bug is caught by some law. That the objective rises catches few of them: Fisher and stationarity do."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.laws import LAWS, fisher_identity
from bnlab.runtime.proof.subject import Subject
from tests.gaussian_networks import GAUSSIAN
from tests.laws.emitted import load
from tests.mutants.catalogue import MUTANTS, Mutant
from tests.networks import EXAMPLES

# The gradient takes longest to compile, and what it would catch the M-step's stationarity catches first.
CHEAPEST_FIRST = sorted(LAWS, key=lambda law: law is fisher_identity)


@cache
def emitted(mutant: Mutant) -> str:
    return bn.emit(mutant.build(), "em")


def caught(subject: Subject) -> str | None:
    """The first law that the module breaks."""
    for law in CHEAPEST_FIRST:
        if any(not deviation.passed for deviation in law(subject)):
            return law.__name__
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.bug.replace(" ", "-"))
def test_a_law_catches(mutant: Mutant) -> None:
    example = next(example for example in (*EXAMPLES, *GAUSSIAN) if example.build is mutant.build)
    graph, rng = mutant.build().graph, np.random.default_rng(0)
    data = random_data(graph, rng, example.layout)
    module = load(mutant.apply(emitted(mutant)), "mutant")
    assert caught(Subject(graph, data, random_parameters(graph, rng), module)), (
        f"nothing notices: {mutant.bug}"
    )


def test_there_are_enough_of_them() -> None:
    assert len({mutant.bug for mutant in MUTANTS}) == len(MUTANTS) >= 25
