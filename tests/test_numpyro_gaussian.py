"""The emitted NumPyro model with Gaussian latents as sites, against the oracle's joint density at arbitrary values of them."""

from __future__ import annotations

import numpy as np
import pytest

from bnlab.errors import IntractableError
from bnlab.printers import numpyro as printer
from bnlab.runtime.load import load_source
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.numpyro_laws import enumerated_is_brute_force
from bnlab.runtime.proof.subject import Subject
from tests import gaussian_networks as networks
from tests.gaussian_networks import GAUSSIAN, SINGULAR
from tests.networks import Example

NO_MODEL = ("mixture_of_linear_chains", "steady_chains", "effects_of_sequences")
MODELS = [example for example in GAUSSIAN if example.name not in NO_MODEL]
SEEN_ELSEWHERE = frozenset(
    """controlled_chain chain_with_factors subspace nested_means intercept coefficients one_factor probabilistic_components
    mixture_of_tied_factors fork explaining_away linear_chain_alone level_and_slope shared_disturbance chains_of_sides
    partly_fixed tied_groups shared_parameters spherical_groups items_of_groups""".split()
)
"""Compiled by `pytest -m slow`: the first two take longest, and of each other one some part of a quick one is the like."""
SLOPES = ("two_covariances", "nested_effects", "mixture_of_groups", "controlled_chain", "chain_with_factors")


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(one, marks=[pytest.mark.slow] if one.name in SEEN_ELSEWHERE else [], id=one.name)
        for one in MODELS
    ],
)
def test_the_joint_density_is_the_oracles(example: Example) -> None:
    graph, rng = example.build().graph, np.random.default_rng(0)
    module = load_source(printer.text(graph, None), f"{graph.name}_numpyro")
    data = random_data(graph, rng, example.layout)
    subject = Subject(graph, data, random_parameters(graph, rng), None)
    law = enumerated_is_brute_force(subject, module, gradient=example.name in SLOPES)
    broken = [str(deviation) for deviation in law if not deviation.passed]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("example", SINGULAR, ids=lambda example: example.name)
def test_a_latent_without_density_is_refused(example: Example) -> None:
    with pytest.raises(IntractableError, match="has no density, for its (var|cov) is singular"):
        printer.text(example.build().graph, None)


@pytest.mark.parametrize(
    "build", [networks.mixture_of_linear_chains, networks.effects_of_sequences, networks.switching_chain]
)
def test_a_continuous_latent_of_a_scan_that_reads_a_discrete_one_is_refused(build) -> None:
    with pytest.raises(IntractableError, match="y is a continuous latent of the chain t and reads"):
        printer.text(build().graph, None)
