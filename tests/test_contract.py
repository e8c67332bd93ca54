"""The names, signatures and forms that users and other programs rely on: those of docs/language.md and docs/architecture.md."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bnlab as bn
from bnlab.naming import suggestion
from tests.models import NAMES

EMITTED = {
    "prepare": ["data"],
    "init": ["data", "seed"],
    "log_evidence": ["theta", "data"],
    "e_step": ["theta", "data"],
    "m_step": ["statistics", "theta"],
    "fit": ["data", "theta", "max_iter", "tol"],
}
GOLDEN = Path(__file__).parent / "golden"


def source(name: str, target: str) -> ast.Module:
    return ast.parse((GOLDEN / name / f"{target}.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_every_emitted_fitter_has_the_same_public_functions(name: str) -> None:
    functions = {node.name: node for node in source(name, "em").body if isinstance(node, ast.FunctionDef)}
    for function, arguments in EMITTED.items():
        assert [arg.arg for arg in functions[function].args.args][: len(arguments)] == arguments


@pytest.mark.parametrize("target", ["em", "numpyro"])
@pytest.mark.parametrize("name", NAMES)
def test_every_emitted_file_says_where_it_comes_from(name: str, target: str) -> None:
    assert "\nEmitted by bnlab " in (ast.get_docstring(source(name, target)) or "")


def test_fit_takes_what_the_contract_names() -> None:
    parameters = inspect.signature(bn.fit).parameters
    defaults = {name: one.default for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
    promised = {"init": None, "n_init": 1, "max_iter": 200, "tol": 1e-6, "seed": 0, "evidence": None}
    promised |= {"dtype": "float64", "progress": True, "checkpoint": None}
    assert promised.items() <= defaults.items()
    assert list(parameters)[:3] == ["net", "data", "method"] and parameters["method"].default == "em"


def groups() -> bn.Network:
    with bn.Network("groups") as net:
        m, v = bn.parameter("m", bn.Real()), bn.parameter("v", bn.Positive(2))
        with bn.plate("speaker"):
            s = bn.latent("s", bn.Normal(m, var=bn.constant(1.0)))
            bn.observed("w", bn.Normal(s, var=1.0))
            with bn.plate("utterance"):
                bn.observed("x", bn.Normal(s * np.ones(2), var=v))
    return net


def test_ids_by_variable_where_row_counts_differ() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(6, 2)), np.array([0.0, 1.0, 2.0])
    ids = {"speaker": {"x": ["a", "b", "a", "c", "b", "c"], "w": ["c", "a", "b"]}}
    options = {"max_iter": 2, "progress": False}
    fit = bn.fit(groups(), {"x": x, "w": w}, ids=ids, **options)
    inside = bn.fit(groups(), {"x": x, "w": w, "ids": ids}, **options)
    np.testing.assert_array_equal(fit.objective, inside.objective)
    ragged = {"x": [x[[0, 2]], x[[1, 4]], x[[3, 5]]], "w": w[[1, 2, 0]]}
    np.testing.assert_allclose(fit.objective, bn.fit(groups(), ragged, **options).objective, rtol=1e-13)
    np.testing.assert_array_equal(fit.score({"x": x, "w": w}, ids=ids), fit.score())


def test_roles_stand_in_one_column() -> None:
    with bn.Network("wide") as net:
        slope, spread = bn.parameter("slope", bn.Real(2)), bn.parameter("spread", bn.Positive())
        with bn.plate("n"):
            u = bn.given("covariate", bn.Real(2))
            bn.observed("response", bn.Normal(slope @ u + 12.5, var=spread))
    _, given, observed = str(net).splitlines()
    assert given.index("given") == observed.index("observed")


def test_members_of_crossed_plates_are_counted_once() -> None:
    with bn.Network("crossed") as net:
        v = bn.parameter("v", bn.Positive())
        with bn.plate("student"):
            a = bn.latent("a", bn.Normal(0.0, var=v))
        with bn.plate("question"):
            b = bn.latent("b", bn.Normal(0.0, var=v))
        with bn.plate("student"), bn.plate("question"):
            bn.observed("x", bn.Normal(a + b, var=1.0))
    assert "1..Q[s]" not in str(net) and str(net).count("for q in 1..Q:") == 2
    assert "def model(" in bn.emit(net, "numpyro")
    with pytest.raises(bn.IntractableError, match="student.*question"):
        bn.emit(net, "em")


@pytest.mark.parametrize(
    ("name", "instead"),
    [("μ", "mu"), ("Σ_ac", "Sigma_ac"), ("σ²", "sigma2"), ("x₁", "x1"), ("é", "e"), ("λ", "lambda_value")],
)
def test_suggestions_spell_letters_out(name: str, instead: str) -> None:
    assert suggestion(name) == instead


def test_the_package_runs_as_a_module() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bnlab", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        bn.draw(groups(), tmp_path / "nowhere" / "net.svg")


def known(tables: bool) -> bn.Network:
    """All that there is to know is known: as constants, or as the values of parameters."""
    with bn.Network("known") as net:
        pi, table = np.array([0.5, 0.5]), np.array([[0.5, 0.5], [0.2, 0.8]])
        if tables:
            pi = bn.parameter("pi", bn.Simplex(2), value=pi)
            with bn.plate("k", 2):
                table = bn.parameter("B", bn.Simplex(2), value=table)
        with bn.plate("n"):
            b = bn.latent("b", bn.Categorical(pi))
            bn.observed("c", bn.Categorical((table if tables else bn.constant(table))[b]))
    return net


@pytest.mark.parametrize("tables", [False, True])
def test_nothing_to_learn(tables: bool) -> None:
    net = known(tables)
    for target in ("em", "viterbi", "posterior", "numpyro", "latex", "text", "json", "dot"):
        assert bn.emit(net, target)
    assert "nothing to maximise" in bn.emit(net, "latex")
    fit = bn.fit(net, {"c": [0, 1, 1]}, progress=False)
    assert abs(fit.log_likelihood[-1] - np.log(0.35 * 0.65 * 0.65)) < 1e-12 and fit.converged
    np.testing.assert_allclose(fit.posterior()["b"][0], [0.25 / 0.35, 0.1 / 0.35], rtol=1e-12)


def test_what_cannot_be_has_no_posterior() -> None:
    with bn.Network("sure") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("n"):
            a = bn.observed("a", bn.Categorical(pi))
            bn.latent("b", bn.Categorical(bn.constant(np.eye(2))[a]))
    theta = {"pi": [0.5, 0.5]}
    assert bn.query(net, theta, {"a": [0, 1]}, "b", evidence={"b": [0, -1]})["b"][1, 1] == 1
    with pytest.raises(bn.DataError, match="at n 1 is impossible"):
        bn.query(net, theta, {"a": [0, 1]}, "b", evidence={"b": [0, 0]})


def pairs() -> bn.Network:
    with bn.Network("pairs") as net:
        m = bn.parameter("m", bn.Real())
        between, within = bn.parameter("between", bn.Positive()), bn.parameter("within", bn.Positive())
        with bn.plate("speaker"):
            s = bn.latent("s", bn.Normal(m, var=between))
            with bn.plate("utterance"):
                bn.observed("x", bn.Normal(s, var=within))
    return net


def test_spreads_that_the_data_cannot_tell_apart_are_named() -> None:
    x = np.random.default_rng(0).normal(size=8)
    alone = bn.fit(pairs(), {"x": x, "speaker": np.arange(8)}, max_iter=1, progress=False)
    assert any("between and within together" in warning.message for warning in alone.warnings)
    two = bn.fit(pairs(), {"x": x, "speaker": np.arange(8) // 2}, max_iter=1, progress=False)
    assert not any("together" in warning.message for warning in two.warnings)


def test_plates_beside_one_another_are_refused_by_name() -> None:
    with bn.Network("beside") as net:
        m, v = bn.parameter("m", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("speaker"):
            s = bn.latent("s", bn.Normal(m, var=1.0))
            with bn.plate("u"):
                bn.observed("x", bn.Normal(s, var=v))
            with bn.plate("w"):
                bn.observed("y", bn.Normal(s, var=v))
    with pytest.raises(bn.IntractableError, match="`speaker` holds the plates `u` and `w` beside"):
        bn.emit(net, "em")


def test_a_misspelt_setting_is_no_option() -> None:
    with pytest.raises(bn.FitError, match='"maxiter".*\n.*"max_iter"'):
        bn.fit(pairs(), {"x": np.arange(4.0), "speaker": [0, 0, 1, 1]}, maxiter=3)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_covariances_of_very_large_and_small_data(scale: float) -> None:
    with bn.Network("plain") as net:
        mu, Sigma = bn.parameter("mu", bn.Real(2)), bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("n"):
            bn.observed("x", bn.Normal(mu, cov=Sigma))
    x = np.random.default_rng(0).normal(size=(20, 2))
    fit = bn.fit(net, {"x": x * scale}, progress=False)
    np.testing.assert_allclose(fit.parameters["Sigma"] / scale**2, np.cov(x.T, bias=True), rtol=1e-10)
    assert not fit.warnings


def alone(gaussian: bool) -> bn.Network:
    """A network of single variables, in no plate at all."""
    with bn.Network("alone") as net:
        if gaussian:
            m = bn.parameter("m", bn.Real())
            y = bn.latent("y", bn.Normal(m, var=1.0))
            bn.observed("x", bn.Normal(y, var=2.0))
        else:
            p = bn.parameter("p", bn.Simplex(2))
            z = bn.latent("z", bn.Categorical(p))
            bn.observed("x", bn.Categorical(bn.constant([[0.5, 0.5], [0.1, 0.9]])[z]))
    return net


def test_a_network_without_plates() -> None:
    fit = bn.fit(alone(gaussian=False), {"x": 0}, init={"p": [0.3, 0.7]}, max_iter=1, tol=0, progress=False)
    np.testing.assert_allclose(np.exp(fit.log_likelihood[0]), 0.3 * 0.5 + 0.7 * 0.1, rtol=1e-12)
    np.testing.assert_allclose(fit.parameters["p"], [0.15 / 0.22, 0.07 / 0.22], rtol=1e-12)
    fit = bn.fit(alone(gaussian=True), {"x": 1.5}, progress=False)
    np.testing.assert_allclose(fit.parameters["m"], 1.5, rtol=1e-12)
    np.testing.assert_allclose(fit.posterior()["y"]["cov"], 2 / 3, rtol=1e-12)


def test_given_values_are_in_their_domain() -> None:
    with bn.Network("known") as net:
        m = bn.parameter("m", bn.Real())
        with bn.plate("n"):
            s = bn.given("s", bn.Positive())
            bn.observed("x", bn.Normal(m, std=s))
    with pytest.raises(bn.DataError, match="s is -2 at n 1; it must be positive"):
        bn.fit(net, {"x": [1.0, 2.0], "s": [1.0, -2.0]}, progress=False)
