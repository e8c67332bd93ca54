"""The models of models/ on their own data."""

from __future__ import annotations

import ast

import numpy as np
import pytest

import bnlab as bn
from tests.models import NAMES, ROOT, model


def test_the_list_of_models_is_complete(update_golden: bool) -> None:
    """docs/models.md has a row for each, with the first line of its docstring; `--update-golden` writes them."""
    rows = []
    for name in NAMES:
        tree = ast.parse((ROOT / "models" / f"{name}.py").read_text(encoding="utf-8"))
        rows.append(f"| `{name}` | {(ast.get_docstring(tree) or '').splitlines()[0]} |")
    page = ROOT / "docs" / "models.md"
    head = page.read_text(encoding="utf-8").partition("|---|---|\n")[:2]
    there = "".join(head) + "\n".join(rows) + "\n"
    if update_golden:
        page.write_text(there, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == there


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


@pytest.mark.parametrize(
    "name", ["mixture_unigrams", pytest.param("mixture_student", marks=pytest.mark.slow)]
)
def test_every_law_holds(name: str) -> None:
    """As a user asks for it; the structures of the other models are among tests/networks.py."""
    loaded = model(name)
    assert loaded.example is not None
    found = bn.verify(loaded.network, loaded.example())
    assert found.passed, str(found)


def test_centres_do_not_follow_outliers() -> None:
    """Old Faithful with typing errors: Student's t finds the clusters of the data without them, a Gaussian mixture does not."""
    clean, damaged = model("gmm"), model("mixture_student")
    assert clean.example is not None and damaged.example is not None
    truth = np.sort(bn.fit(clean.network, clean.example(), progress=False).parameters["mu"][:, 1])
    normal = np.sort(bn.fit(clean.network, damaged.example(), progress=False).parameters["mu"][:, 1])
    heavy = np.sort(bn.fit(damaged.network, damaged.example(), progress=False).parameters["mu"][:, 1])
    # waits of 54 and 80 minutes; the standard error of such a centre is half a minute
    np.testing.assert_allclose(heavy, truth, atol=1.5)
    assert np.abs(normal - truth).max() > 2


def test_the_factors_of_a_line_of_machines_add() -> None:
    """The best of a few starts finds the four levels that the two machines make."""
    loaded = model("factorial_hmm")
    assert loaded.example is not None
    fit = bn.fit(loaded.network, loaded.example(), n_init=5, progress=False)
    # 0.5 of noise and at least 60 steps in each state: 4 standard errors
    np.testing.assert_allclose(np.sort(fit.parameters["mu"].ravel()), [0, 3, 5, 8], atol=0.26)


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
