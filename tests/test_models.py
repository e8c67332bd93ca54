"""The models of models/ on their own data."""

from __future__ import annotations

import numpy as np
import pytest

import bnlab as bn
from tests.models import NAMES, model


@pytest.mark.parametrize("name", NAMES)
def test_is_documented_and_has_an_example(name: str) -> None:
    loaded = model(name)
    assert loaded.network.name == name
    assert loaded.example is not None
    observed = {variable.name for variable in loaded.network.graph.in_role("observed")}
    assert observed <= loaded.example().keys()


def test_left_to_right_finds_the_change_of_the_nile() -> None:
    """The flow fell after 1898, the 28th year (Cobb 1978)."""
    loaded = model("hmm_left_to_right")
    assert loaded.example is not None
    data = loaded.example()
    fit = bn.fit(loaded.network, data, progress=False)
    path = fit.predict(data)["z"]
    assert path.tolist() == [0] * 28 + [1] * 72
    assert fit.parameters["mu"][0] > 1050 > 900 > fit.parameters["mu"][1]


def test_zero_probabilities_stay_exactly_zero() -> None:
    loaded = model("hmm", states=3)
    assert loaded.example is not None
    transitions = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]])
    start = {"A": transitions, "pi": np.array([1.0, 0.0, 0.0])}
    fit = bn.fit(loaded.network, loaded.example(), init=start, max_iter=20, progress=False)
    assert ((fit.parameters["A"] == 0) == (transitions == 0)).all()
    assert fit.parameters["pi"].tolist() == [1, 0, 0]
    assert fit.log_likelihood[-1] > fit.log_likelihood[0]


def test_asia_finds_how_frequent_the_diseases_are() -> None:
    """From symptoms alone: P(cancer | smoker) = 0.1 and P(bronchitis | smoker) = 0.6, against 0.01 and 0.3 of the others."""
    loaded = model("asia")
    assert loaded.example is not None
    fit = bn.fit(loaded.network, loaded.example(), progress=False, max_iter=2000, tol=1e-9)
    assert fit.converged
    # standard errors with some 1000 cases a row are 0.01 for cancer and 0.02 for bronchitis
    assert fit.parameters["P_bronc"][:, 0] == pytest.approx([0.6, 0.3], abs=0.06)
    assert fit.parameters["P_lung"][0, 0] > 3 * fit.parameters["P_lung"][1, 0]
