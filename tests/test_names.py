"""Names are plain identifiers or refused; suggestions are legal; nothing hostile gets through."""

from __future__ import annotations

import ast
import keyword
import unicodedata

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import bnlab as bn
from bnlab import naming
from bnlab.runtime.proof.draws import random_parameters
from tests.laws.emitted import load

HOSTILE = [
    "",
    "_",
    "__class__",
    "a__b",
    "_x",
    "x_",
    "1x",
    "a b",
    "a-b",
    "a.b",
    "a\nb",
    "a\rb",
    "x\n",
    "x\x00",
    'x"',
    "x'",
    '"""',
    "x\\",
    "<b>x</b>",
    "${x}",
    "{x}",
    "../x",
    "a/b",
    "\N{LATIN SMALL LIGATURE FI}x",
    "\N{CYRILLIC SMALL LETTER A}",
    "\N{GREEK SMALL LETTER MU}",
    "\N{MATHEMATICAL ITALIC SMALL X}",
    "x\N{ZERO WIDTH SPACE}",
    "x\N{LINE SEPARATOR}y",
    "x\N{RIGHT-TO-LEFT OVERRIDE}",
    "lambda",
    "None",
    "match",
    "type",
    "len",
    "jnp",
    "Parameters",
    "e_step",
    "a" * 65,
]

near_names = st.text(alphabet="ab_1 é\n\"'\\", max_size=6)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(name: str) -> None:
    assert naming.fault(name)


@pytest.mark.parametrize("name", ["x", "mu", "Sigma_ac", "z2", "theta", "pi", "A", "a" * 64, "count", "rate"])
def test_ordinary_names_are_legal(name: str) -> None:
    assert naming.fault(name) == ""


@settings(max_examples=2000)
@given(st.text(max_size=8) | near_names)
@example("\N{KELVIN SIGN}")
def test_a_legal_name_stays_itself_in_python(name: str) -> None:
    if naming.fault(name):
        return
    assert name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    assert unicodedata.normalize("NFKC", name) == name
    tree = ast.parse(f"{name} = 1")
    assert [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)] == [name]


@settings(max_examples=1000)
@given(st.text(max_size=80) | near_names, st.sets(near_names, max_size=3))
def test_suggestions_are_legal_and_free(name: str, taken: set[str]) -> None:
    found = naming.suggestion(name, taken)
    assert naming.fault(found) == "" and found not in taken


@settings(max_examples=500)
@given(st.text(max_size=20) | near_names)
def test_an_illegal_name_is_a_model_error_in_every_place(name: str) -> None:
    for declare in (_parameter, _variable, _plate, _network):
        if naming.identifier_fault(name) or (declare is not _network and naming.fault(name)):
            with pytest.raises(bn.ModelError) as caught:
                declare(name)
            assert str(caught.value).isprintable() or "\n" in str(caught.value)
            assert naming.quoted(name) in str(caught.value)


def _parameter(name: str) -> None:
    with bn.Network("net"), bn.plate("rows"):
        bn.observed("value", bn.Normal(0.0, var=bn.parameter(name, bn.Positive())))


def _variable(name: str) -> None:
    with bn.Network("net"), bn.plate("rows"):
        bn.observed(name, bn.Normal(0.0, var=1.0))


def _plate(name: str) -> None:
    with bn.Network("net"), bn.plate(name):
        bn.observed("value", bn.Normal(0.0, var=1.0))


def _network(name: str) -> None:
    with bn.Network(name), bn.plate("rows"):
        bn.observed("value", bn.Normal(0.0, var=1.0))


def test_weights_names_a_parameter_but_no_variable() -> None:
    with bn.Network("net"), bn.plate("n"):
        bn.observed("z", bn.Categorical(bn.constant([0.5, 0.5])))
    with pytest.raises(bn.ModelError, match="weights"):
        _variable("weights")


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("state", "staet", 2), ("mu", "mu", 0)],
)
def test_edits(left: str, right: str, distance: int) -> None:
    assert naming.edits(left, right) == naming.edits(right, left) == distance


@pytest.mark.parametrize(
    ("written", "meant"),
    [("staet", "state"), ("Sgima", "Sigma"), ("sigma", "Sigma"), ("zz", "z"), ("omega", None), ("q", None)],
)
def test_did_you_mean(written: str, meant: str | None) -> None:
    assert naming.nearest(written, ["state", "Sigma", "z", "x"]) == meant


def test_fresh_names_read_well() -> None:
    assert naming.fresh("r", set()) == "r"
    assert naming.fresh("r", {"r", "r_2"}) == "r_3"
    assert naming.fresh("lambda", set()) == "lambda_2"


def _chain(names: list[str]) -> bn.Network:
    """A chain with a latent state, and observations of these names."""
    with bn.Network("chain") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("state", 2):
            A = bn.parameter("A", bn.Simplex(2))
            levels = [bn.parameter(f"level{i}", bn.Simplex(3)) for i, _ in enumerate(names)]
            spread = bn.parameter("spread", bn.Covariance(2))
        with bn.plate("line"), bn.chain("t"):
            hidden = bn.latent("hidden", bn.Categorical(A[bn.previous("hidden")]), first=bn.Categorical(pi))
            bn.observed("vector", bn.Normal(bn.zeros(2), cov=spread[hidden]))
            for name, level in zip(names, levels, strict=True):
                bn.observed(name, bn.Categorical(level[hidden]))
    return net


def test_variables_may_be_called_like_anything_inside_the_emitted_file() -> None:
    """A user's `reliable`, `counts` or `alpha` is not the emitted file's: all names that it uses for itself are tried."""
    plain = [f"x{i}" for i in range(25)]
    data = {name: np.array([0, 2, 1, 1]) for name in plain}
    data |= {"vector": np.arange(8.0).reshape(4, 2) % 3, "line": np.array([0, 0, 0, 1])}
    net = _chain(plain)
    theta = random_parameters(net.graph, np.random.default_rng(0))
    expected, used = _log_p(net, data, theta)
    assert {"reliable", "counts", "alpha", "product", "position"} <= used
    illegal = {name for name in used if naming.fault(name) or name in naming.DATA_NAMES} | {"theta", "chunk"}
    mine = {*theta, *plain, "hidden", "vector", "line", "t", "state"}
    names = sorted(name for name in used - illegal - mine if not any(old in name for old in plain))
    for first in range(0, len(names), len(plain)):
        called = [*names[first : first + len(plain)], *plain][: len(plain)]
        renamed = {new: data[old] for old, new in zip(plain, called, strict=True)}
        others = {key: data[key] for key in ("vector", "line")}
        assert _log_p(_chain(called), {**renamed, **others}, theta)[0] == pytest.approx(expected, rel=1e-14)


def _log_p(
    net: bn.Network, data: dict[str, np.ndarray], theta: dict[str, np.ndarray]
) -> tuple[float, set[str]]:
    """ln p(x) as the emitted file computes it, and the names that it gives to anything."""
    text = bn.emit(net, "em")
    nodes = list(ast.walk(ast.parse(text)))
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    used |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    used |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    module = load(text, "names")
    with jax.disable_jit():
        found = module.log_evidence(module.Parameters(**theta), module.prepare(data))
    return float(found), used


@pytest.mark.parametrize("name", ["theta", "chunk"])
def test_data_called_like_the_arguments_of_functions_are_refused(name: str) -> None:
    with pytest.raises(bn.IntractableError, match=rf"`{name}` has data.*\n.*otherwise"):
        bn.emit(_chain([name]), "em")


def test_data_may_be_called_like_the_fields_that_say_where_rows_went() -> None:
    rows = {"vector": np.arange(8.0).reshape(4, 2) % 3, "line": np.array([0, 0, 0, 1])}
    theta = random_parameters(_chain(["x0", "x1"]).graph, np.random.default_rng(0))
    found = []
    for names in (["x0", "x1"], ["rows_line", "rows_t"]):
        data = rows | {name: np.array([0, 2, 1, 1]) for name in names}
        module = load(bn.emit(_chain(names), "posterior"), "names")
        found.append(module.posterior(module.Parameters(**theta), module.prepare(data))["hidden"])
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("name", ["mean_of_z", "cov_of_z", "log_p"])
def test_a_latent_may_be_called_like_what_is_found_of_another(name: str) -> None:
    found = []
    for called in ("c", name):
        with bn.Network("mixture") as net:
            with bn.plate("k", 2):
                b = bn.parameter("b", bn.Real())
            with bn.plate("n"):
                c = bn.latent(called, bn.Categorical(bn.constant([0.4, 0.6])))
                z = bn.latent("z", bn.Normal(b[c], var=1.0))
                bn.observed("x", bn.Normal(z, var=0.5))
        fit = bn.fit(net, {"x": [0.3, 1.0, 2.0]}, init={"b": [0.0, 2.0]}, max_iter=0, progress=False)
        parts = (fit.posterior(), fit.predict())
        found.append([fit.score(), *(part[key] for part in parts for key in (called, "z"))])
    for plain, other in zip(*found, strict=True):
        np.testing.assert_equal(plain, other)


@pytest.mark.parametrize("name", ["u", "b", "S", "known"])
def test_a_known_deviation_may_be_called_like_an_array_of_the_derivation(name: str) -> None:
    texts = {}
    for called in (name, "deviation"):
        with bn.Network("schools") as net:
            tau = bn.parameter("tau", bn.Positive())
            with bn.plate("school"):
                s = bn.given(called, bn.Positive())
                z = bn.latent("z", bn.Normal(0.0, std=tau))
                bn.observed("x", bn.Normal(z, std=s))
        texts[called] = bn.emit(net, "latex")
    assert texts[name].count(r"\mathcal{N}") == texts["deviation"].count(r"\mathcal{N}") > 0


def test_evidence_makes_data_of_a_latent() -> None:
    with bn.Network("schools") as net:
        tau = bn.parameter("tau", bn.Positive())
        with bn.plate("school"):
            theta = bn.latent("theta", bn.Normal(0.0, std=tau))
            bn.observed("x", bn.Normal(theta, std=1.0))
    assert "def e_step" in bn.emit(net, "em")
    with pytest.raises(bn.IntractableError, match=r"`theta` has data"):
        bn.emit(net, "em", evidence=["theta"])


@pytest.mark.parametrize("plate", ["rows", "weight", "mask", "allowed", "index", "step"])
def test_a_plate_may_be_called_like_what_prepare_makes(plate: str) -> None:
    found = []
    for called in ("group", plate):
        with bn.Network("nested") as net:
            p = bn.parameter("p", bn.Simplex(2))
            with bn.plate("k", 2):
                mu = bn.parameter("mu", bn.Real())
            with bn.plate(called):
                z = bn.latent("z", bn.Categorical(p))
                with bn.plate("n"):
                    bn.observed("x", bn.Normal(mu[z], var=1.0))
        data = {"x": np.array([0.0, 1.0, 2.0, 5.0]), called: np.array([0, 0, 1, 1])}
        fit = bn.fit(net, data, max_iter=3, progress=False)
        found.append([fit.log_likelihood, fit.posterior()["z"]])
    for plain, other in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, other)
