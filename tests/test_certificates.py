"""NumPyro's joint density integrated over Gaussian latents, as certificates do it, against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from bnlab.comparison.joint import MOST, by_numpyro, rows_at_most
from bnlab.printers import numpyro as printer
from bnlab.runtime.em import precision
from bnlab.runtime.load import load_source
from bnlab.runtime.proof import priors
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.subject import Subject
from bnlab.runtime.records import Bound, Partial
from tests.gaussian_networks import GAUSSIAN
from tests.models import model
from tests.networks import Example

NO_MODEL = ("mixture_of_linear_chains", "steady_chains", "effects_of_sequences")


def held(example: Example) -> tuple[float | None, float]:
    """ln p(x, theta) by NumPyro's joint density and by the oracle, at random parameters."""
    graph, rng = example.build().graph, np.random.default_rng(0)
    module = load_source(printer.text(graph, None), f"{graph.name}_numpyro")
    subject = Subject(graph, random_data(graph, rng, example.layout), random_parameters(graph, rng), None)
    free = {one.name: subject.theta[one.name] for one in graph.parameters if one.value is None}
    expected = subject.oracle.log_evidence(subject.theta) + priors.log_prior(graph, subject.theta)
    bound = Bound(subject.data, None, (), Partial())
    with precision("float64"):
        return by_numpyro(graph, module, bound, free), float(expected)


FEW = ("linear_chain",)
"""A scan; the others take minutes together."""


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(one, marks=[] if one.name in FEW else pytest.mark.slow, id=one.name)
        for one in GAUSSIAN
        if one.name not in NO_MODEL
    ],
)
def test_the_integral_over_gaussian_latents_is_the_oracles(example: Example) -> None:
    found, expected = held(example)
    if any(one.discrete for one in example.build().graph.in_role("latent")):
        assert found is None  # a mixture of Gaussians is not quadratic
    else:
        # small networks: rounding of two Newton steps and a determinant, hardly more than of a sum
        assert found == pytest.approx(expected, rel=1e-11)


def test_rows_are_as_many_as_the_curvature_of_all_latents_allows() -> None:
    assert rows_at_most(model("plda", dim=4).network.graph, 2000) == MOST // 4
    assert rows_at_most(model("gmm").network.graph, 2000) == 2000
    assert rows_at_most(model("mixture_factor_analysers").network.graph, 2000) == 2000
