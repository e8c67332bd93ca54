"""Every family is exported, is held by the laws, and is spelled for every printer."""

from __future__ import annotations

import pytest

import bnlab as bn
from bnlab.families.base import registry
from bnlab.network.graph import cpds
from tests.networks import EXAMPLES, SAMPLED


def used() -> set[str]:
    """The families of the examples that laws run on: of variables, and of priors."""
    graphs = [example.build().graph for example in (*EXAMPLES, *SAMPLED)]
    drawn = {cpd.family for graph in graphs for variable in graph.variables for cpd in cpds(variable)}
    return drawn | {p.prior.family for graph in graphs for p in graph.parameters if p.prior is not None}


@pytest.mark.parametrize("name", sorted(registry()))
def test_has_a_name_for_users_and_a_network_for_the_laws(name: str) -> None:
    assert name in bn.__all__
    assert name in used(), f"no network in tests/networks.py has a {name}"


@pytest.mark.parametrize("name", sorted(registry()))
def test_conjugate_priors_are_priors(name: str) -> None:
    for slot in registry()[name].slots:
        assert all(registry()[prior].is_prior for prior in slot.conjugate)
