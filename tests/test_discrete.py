"""Networks of tables as people have them: likelihoods and posteriors against a plain contraction, sizes, refusals."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from string import ascii_letters

import networkx as nx
import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.collapse import collapsed, rounded_up
from tests.memory import peak_below
from tests.models import model

DATA = Path(__file__).parents[1] / "data"
HIDDEN = {
    "asia": ("tub", "lung", "either", "bronc"),
    "alarm": (
        "HYPOVOLEMIA",
        "LVFAILURE",
        "CATECHOL",
        "VENTLUNG",
        "VENTALV",
        "INTUBATION",
        "SAO2",
        "HR",
        "CO",
    ),
    "insurance": ("RiskAversion", "DrivingSkill", "Accident", "ThisCarDam", "CarValue", "DrivQuality"),
}
files = pytest.mark.parametrize("name", ["asia", "alarm", pytest.param("insurance", marks=pytest.mark.slow)])


def contraction(net: bn.Network, evidence: dict[str, int], target: str = "") -> np.ndarray:
    """p(evidence), or p(evidence, target), by one einsum over all tables: it shares nothing with bnlab's elimination."""
    letters = dict(zip(net.topological_order(), ascii_letters, strict=False))
    operands: list[np.ndarray] = []
    spelled: list[str] = []
    for name, attributes in bn.to_networkx(net).nodes(data=True):
        members = (*attributes["parents"], name)
        index = tuple(evidence.get(member, slice(None)) for member in members)
        operands.append(attributes["table"][index])
        spelled.append("".join(letters[member] for member in members if member not in evidence))
    return np.einsum(f"{','.join(spelled)}->{letters.get(target, '')}", *operands, optimize="greedy")


@files
def test_likelihood_and_posteriors_are_those_of_a_plain_contraction(name: str) -> None:
    net = bn.read(DATA / f"{name}.bif")
    hidden = net.hide(*HIDDEN[name])
    cases = bn.sample(net, net.parameters, sizes={"n": 12}, seed=3)
    data = {key: values for key, values in cases.items() if key not in HIDDEN[name]}
    fit = bn.fit(hidden, data, max_iter=0, progress=False)
    rows = [{key: int(values[row]) for key, values in data.items()} for row in range(12)]
    chances = np.array([contraction(net, row) for row in rows])
    assert fit.log_likelihood[0] == pytest.approx(np.log(chances).sum(), rel=1e-12)  # rounding of sums
    assert fit.score(data) == pytest.approx(np.log(chances), rel=1e-12)
    found = fit.posterior(data)
    for key in HIDDEN[name]:
        expected = np.stack([contraction(net, row, key) for row in rows]) / chances[:, None]
        assert found[key] == pytest.approx(expected, abs=1e-12)


@files
def test_missing_cells_of_any_pattern_are_summed_out(name: str) -> None:
    """A fifth of all cells: likelihoods are those of a plain contraction, and the rise of EM is that of fitting noise."""
    net = bn.read(DATA / f"{name}.bif")
    cases = bn.sample(net, net.parameters, sizes={"n": 400}, seed=7)
    rng = np.random.default_rng(8)
    data = {key: np.where(rng.random(400) < 0.2, -1, values) for key, values in cases.items()}
    fit = bn.fit(net, data, max_iter=3, tol=0, progress=False)
    assert (np.diff(fit.log_likelihood) > 0).all()
    rows = [{key: int(values[row]) for key, values in data.items() if values[row] >= 0} for row in range(6)]
    expected = [np.log(contraction(net, row)) for row in rows]
    start = bn.fit(net, data, max_iter=0, progress=False)
    assert start.score(data)[:6] == pytest.approx(expected, rel=1e-12)  # rounding of sums
    assert start.score(data).sum() == pytest.approx(fit.log_likelihood[0], rel=1e-12)


def test_rows_that_repeat_are_counted() -> None:
    """Asia has 64 different rows with two variables hidden: the order of rows makes no difference, to the bit."""
    net = bn.read(DATA / "asia.bif").hide("lung", "either")
    cases = bn.sample(net, net.parameters, sizes={"n": 500}, seed=9)
    data = {key: values for key, values in cases.items() if key not in ("lung", "either")}
    order = np.random.default_rng(10).permutation(500)
    options = {"max_iter": 10, "tol": 0, "progress": False}
    fit = bn.fit(net, data, **options)
    again = bn.fit(net, {key: values[order] for key, values in data.items()}, **options)
    assert (fit.log_likelihood == again.log_likelihood).all()
    assert all((fit.parameters[key] == table).all() for key, table in again.parameters.items())
    heavy = bn.fit(net, {key: np.tile(values, 2) for key, values in data.items()}, **options)
    assert heavy.log_likelihood == pytest.approx(2 * fit.log_likelihood, rel=1e-12)
    halves = bn.fit(net, data, weights=np.full(500, 0.5), **options)
    assert halves.log_likelihood == pytest.approx(fit.log_likelihood / 2, rel=1e-12)
    assert fit.score(data).shape == (500,)


def test_rows_that_repeat_are_rounded_up_to_few_shapes() -> None:
    """A loop over data of one size compiles for a few shapes; what fills up weighs nothing and is possible."""
    graph = model("latent_class").network.graph
    names = [one.name for one in graph.in_role("observed")]
    patterns = np.array(list(itertools.product([0, 1], repeat=graph.plate("item").size)))
    shapes = set()
    for different in range(9, 17):
        rows = np.repeat(patterns[:different], 3, axis=0)
        found = collapsed(graph, {names[0]: rows})
        shapes.add(found[names[0]].shape)
        assert found["weights"].sum() == len(rows)
        told = {tuple(row) for row in found[names[0]]}
        assert told == set(map(tuple, rows)) and (found["weights"][different:] == 0).all()
    assert shapes == {(16, 4)}
    assert {rounded_up(rows) for rows in range(64, 128)} == set(range(64, 129, 8))


def test_tables_have_names() -> None:
    net = bn.read(DATA / "asia.bif")
    data = bn.sample(net, net.parameters, sizes={"n": 50}, seed=1)
    table = bn.fit(net, data, max_iter=0, progress=False).table("lung")
    assert table.to_numpy().tolist() == [[0.1, 0.9], [0.01, 0.99]]
    assert list(table.columns) == ["yes", "no"] and list(table.index) == ["yes", "no"]
    assert table.index.name == "smoke"


@pytest.mark.parametrize("name", HIDDEN)
def test_em_rises_and_keeps_zeros(name: str) -> None:
    net = bn.read(DATA / f"{name}.bif")
    cases = bn.sample(net, net.parameters, sizes={"n": 200}, seed=4)
    data = {key: values for key, values in cases.items() if key not in HIDDEN[name]}
    fit = bn.fit(net.hide(*HIDDEN[name]), data, max_iter=20, tol=0, progress=False)
    assert (np.diff(fit.log_likelihood) > -1e-9).all()  # rounding of sums of some hundreds
    assert all((fit.parameters[key][table == 0] == 0).all() for key, table in net.parameters.items())


def test_products_that_underflow_are_told_and_computed_with_logarithms() -> None:
    """One row has a probability of 1e-300: its products of tables lose all their digits on the way."""
    graph = nx.DiGraph()
    graph.add_node("z", states=2, table=[0.5, 0.5])
    for number in range(60):
        graph.add_node(f"x{number}", states=2, parents=["z"], table=[[1e-5, 1 - 1e-5], [2e-6, 1 - 2e-6]])
        graph.add_edge("z", f"x{number}")
    net = bn.from_networkx(graph).hide("z")
    data = {f"x{number}": np.array([0, 1]) for number in range(60)}
    fit = bn.fit(net, data, max_iter=0, progress=False)
    rare = np.logaddexp(60 * np.log(1e-5), 60 * np.log(2e-6)) - np.log(2)
    common = np.logaddexp(60 * np.log1p(-1e-5), 60 * np.log1p(-2e-6)) - np.log(2)
    assert fit.log_likelihood[0] == pytest.approx(rare + common, rel=1e-12)


def test_too_large_a_table_is_refused_by_name_at_once() -> None:
    """26 binary latents, each two with a common child: one table of 2^26 entries."""
    graph = nx.DiGraph()
    for i, j in itertools.combinations(range(26), 2):
        graph.add_edges_from([(f"z{i}", f"x{i}and{j}"), (f"z{j}", f"x{i}and{j}")])
    net = bn.from_networkx(graph, states=2).hide(*(f"z{i}" for i in range(26)))
    with peak_below(256), pytest.raises(bn.IntractableError, match=r"`z0`.* and 14 more: 67,108,864 entries"):
        bn.emit(net, "em")  # the table alone would take 512 MiB


def test_too_many_tables_are_refused_with_the_largest_named() -> None:
    """Five pairs, each table just within the limit for one."""
    with bn.Network("pairs") as net:
        ps = [bn.parameter(f"p{i}", bn.Simplex(4000)) for i in range(5)]
        with bn.plate("k", 4000):
            ts = [bn.parameter(f"T{i}", bn.Simplex(4000)) for i in range(5)]
            vs = [bn.parameter(f"B{i}", bn.Simplex(2)) for i in range(5)]
        with bn.plate("n"):
            for i, (p, t, v) in enumerate(zip(ps, ts, vs, strict=True)):
                a = bn.latent(f"a{i}", bn.Categorical(p))
                b = bn.latent(f"b{i}", bn.Categorical(t[a]))
                bn.observed(f"x{i}", bn.Categorical(v[b]))
    with peak_below(256), pytest.raises(bn.IntractableError) as raised:
        bn.derive(net)  # the tables would take 610 MiB
    assert "80,020,000 entries in all for each member of `n`; the limit is 67,108,864." in str(raised.value)
    assert "The largest is over `a4`, `b4`: 16,000,000 entries." in str(raised.value)


def test_messages_of_a_chain_that_do_not_fit_are_refused_before_anything_is_built() -> None:
    with bn.Network("long") as net:
        with bn.plate("k", 2000):
            A, B = bn.parameter("A", bn.Simplex(2000)), bn.parameter("B", bn.Simplex(2))
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(A[0]))
            bn.observed("x", bn.Categorical(B[z]))
    with peak_below(1024), pytest.raises(bn.DataError) as raised:
        bn.fit(net, {"x": np.zeros(1_000_000, int)}, progress=False)  # the messages would take 15 GiB
    assert "The chain t keeps a table over `z` of 2,000 entries for each of 1,000,000 steps" in str(
        raised.value
    )
    assert "Cut the sequences" in str(raised.value)


def test_alarm_is_orderly_and_runs_alone(tmp_path: Path) -> None:
    net = bn.read(DATA / "alarm.bif")
    unseen = [name for name in net.topological_order() if net.children(name)]
    text = bn.emit(net.hide(*unseen), "em")
    assert max(map(len, text.splitlines())) < 160  # the story's longest line; code is formatted to 110
    for name in unseen:
        assert f"message_{name} = " in text  # one table, one message for each of them
    cases = bn.sample(net, net.parameters, sizes={"n": 100}, seed=5)
    (tmp_path / "alarm_em.py").write_text(text, encoding="utf-8")
    np.savez(tmp_path / "data.npz", **{key: value for key, value in cases.items() if key not in unseen})
    command = [sys.executable, "alarm_em.py", "data.npz"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert "ln p(x | theta) = " in finished.stdout


@pytest.mark.peers
@pytest.mark.parametrize("name", HIDDEN)
def test_posteriors_are_those_of_peers(name: str) -> None:
    gum = pytest.importorskip("pyagrum")
    inference = pytest.importorskip("pgmpy.inference")
    net = bn.read(DATA / f"{name}.bif")
    cases = bn.sample(net, net.parameters, sizes={"n": 2}, seed=6)
    data = {key: values for key, values in cases.items() if key not in HIDDEN[name]}
    found = bn.fit(net.hide(*HIDDEN[name]), data, max_iter=0, progress=False).posterior(data)
    labels = {variable.name: variable.domain.labels for variable in net.graph.variables}
    eliminate = inference.VariableElimination(bn.to_pgmpy(net))
    propagate = gum.LazyPropagation(bn.to_pyagrum(net))
    for row in range(2):
        seen = {key: labels[key][values[row]] for key, values in data.items()}
        propagate.setEvidence(seen)
        propagate.makeInference()
        for key in HIDDEN[name]:
            theirs = eliminate.query([key], evidence=seen, show_progress=False)
            order = [theirs.state_names[key].index(label) for label in labels[key]]
            assert found[key][row] == pytest.approx(theirs.values[order], abs=1e-10)
            assert found[key][row] == pytest.approx(propagate.posterior(key).toarray(), abs=1e-10)


def test_the_emitted_text_of_many_variables_keeps_its_width() -> None:
    """Who may be missing is told in several lines, and what is counted of a variable stands in one."""
    net = bn.read(Path(__file__).parents[1] / "data" / "alarm.bif").hide("CATECHOL", "VENTLUNG")
    text = bn.emit(net, "em", missing=[one.name for one in net.graph.in_role("observed")])
    doc = text.split('"""')[1].splitlines()
    assert max(map(len, doc)) <= 110
    assert "P_CVP=jnp.asarray(near(frequencies(data.CVP, data.weight, 3), (3, 3), rng, method))," in text
