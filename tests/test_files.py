"""Discrete networks go through every format and back; a hostile file is refused, with its line, at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnlab as bn
from bnlab.network.files import bif
from bnlab.network.files.tables import Node, Tables
from bnlab.network.files.to_network import network_of
from tests.memory import peak_below

DATA = Path(__file__).parents[1] / "data"
NETWORKS = ("asia", "alarm", "insurance")
NAMED = (".json", ".bif", ".xml", ".xdsl")

SMALL = """network small { property free text; }
// a comment, and a name that is no identifier
variable "lung cancer" { type discrete [ 2 ] { yes, no }; }
variable x-ray { type discrete [ 3 ] { clear, "not clear", 5-6 }; }
probability ( "lung cancer" ) { table 0.25, 0.75; }
probability ( x-ray | "lung cancer" ) { (yes) 0.125 0.5 0.375; (no) 0.5, 0.25, 0.25; }
"""


def file(tmp_path: Path, text: str, name: str = "hostile.bif") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", NAMED)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_come_back_as_they_went(name: str, suffix: str, tmp_path: Path) -> None:
    net = bn.read(DATA / f"{name}.bif")
    bn.write(net, tmp_path / f"{name}{suffix}")
    assert bn.read(tmp_path / f"{name}{suffix}") == net


@pytest.mark.parametrize("name", NETWORKS)
def test_uai_keeps_the_tables(name: str, tmp_path: Path) -> None:
    """It has no names; what is left is equal, and the second time everything is."""
    net = bn.read(DATA / f"{name}.bif")
    bn.write(net, tmp_path / f"{name}.uai")
    bare = bn.read(tmp_path / f"{name}.uai")
    assert all(
        np.array_equal(a, b) for a, b in zip(net.parameters.values(), bare.parameters.values(), strict=True)
    )
    (tmp_path / "again").mkdir()
    bn.write(bare, tmp_path / "again" / f"{name}.uai")
    assert bn.read(tmp_path / "again" / f"{name}.uai") == bare


def test_a_file_becomes_a_network() -> None:
    net = bn.read(DATA / "asia.bif")
    assert net.name == "asia"
    assert net.parents("dysp") == {"bronc", "either"}
    assert net.graph.variable("lung").domain.labels == ("yes", "no")
    # as the file has it: P(dysp = yes | bronc = yes, either = no) = 0.8
    assert net.parameters["P_dysp"].shape == (2, 2, 2)
    assert net.parameters["P_dysp"][0, 1].tolist() == [0.8, 0.2]


def test_axes_are_parents_in_the_order_of_the_variables(tmp_path: Path) -> None:
    """alarm lists parents in any order; the array has one order, and the file's numbers are found at the file's states."""
    net = bn.read(DATA / "alarm.bif")
    text = (DATA / "alarm.bif").read_text(encoding="utf-8")
    assert "probability ( CATECHOL | ARTCO2, INSUFFANESTH, SAO2, TPR )" in text
    row = next(line for line in text.splitlines() if line.strip().startswith("(HIGH, TRUE, LOW, NORMAL)"))
    order = [name for name in net.topological_order() if name in ("ARTCO2", "INSUFFANESTH", "SAO2", "TPR")]
    states = {"ARTCO2": "HIGH", "INSUFFANESTH": "TRUE", "SAO2": "LOW", "TPR": "NORMAL"}
    index = tuple(net.graph.variable(name).domain.labels.index(states[name]) for name in order)
    written = [float(part) for part in row.rstrip(";").split(")")[1].split(",")]
    assert net.parameters["P_CATECHOL"][index].tolist() == pytest.approx(
        written, abs=1e-6
    )  # the file's digits


@pytest.mark.parametrize("suffix", NAMED)
def test_names_that_are_no_identifiers_are_mapped_and_kept(suffix: str, tmp_path: Path) -> None:
    net = bn.read(file(tmp_path, SMALL, "small.bif"))
    assert [variable.name for variable in net.graph.variables] == ["lung_cancer", "x_ray"]
    assert dict(net.titles) == {"lung_cancer": "lung cancer", "x_ray": "x-ray"}
    assert net.graph.variable("x_ray").domain.labels == ("clear", "not clear", "5-6")
    bn.write(net, tmp_path / f"small{suffix}")
    assert bn.read(tmp_path / f"small{suffix}") == net
    assert "lung cancer" in bn.draw(net).svg


def test_titles_cannot_be_code_in_pictures() -> None:
    net = network_of(Tables("t", (Node(r"<script>&\input{x}", 2, table=np.array([0.5, 0.5])),)))
    drawing = bn.draw(net)
    assert "<script" not in drawing.svg
    assert r"\input" not in drawing.tex


def test_numbers_for_states_are_no_names(tmp_path: Path) -> None:
    with bn.Network("coins") as net:
        p = bn.parameter("P_x", bn.Simplex(3), value=[0.2, 0.3, 0.5])
        with bn.plate("n"):
            bn.observed("x", bn.Categorical(p))
    bn.write(net, tmp_path / "coins.bif")
    again = bn.read(tmp_path / "coins.bif")
    assert again.graph.variable("x").domain.labels == ()
    assert again.parameters["P_x"].tolist() == [0.2, 0.3, 0.5]


def test_table_and_default_rows(tmp_path: Path) -> None:
    """A `table` with parents runs over the node's own states slowest (light-on and family-out in JavaBayes)."""
    text = """variable f { type discrete [ 2 ] { t, f }; }
variable l { type discrete [ 2 ] { t, f }; }
variable d { type discrete [ 2 ] { t, f }; }
probability ( f ) { table 0.15 0.85; }
probability ( l | f ) { table 0.6 0.05 0.4 0.95; }
probability ( d | f l ) { default 0.5 0.5; (t f) 1 0; }
"""
    net = bn.read(file(tmp_path, text))
    assert net.parameters["P_l"].tolist() == [[0.6, 0.4], [0.05, 0.95]]
    assert net.parameters["P_d"].tolist() == [[[0.5, 0.5], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]]


def test_deterministic_nodes_of_genie(tmp_path: Path) -> None:
    text = """<?xml version="1.0"?><smile version="1.0" id="Net"><nodes>
<cpt id="a"><state id="u"/><state id="v"/><probabilities>0.5 0.5</probabilities></cpt>
<deterministic id="b"><state id="p"/><state id="q"/><parents>a</parents><resultingstates>q p</resultingstates></deterministic>
</nodes><extensions><genie><node id="b"><name>What follows</name></node></genie></extensions></smile>"""
    net = bn.read(file(tmp_path, text, "net.xdsl"))
    assert net.parameters["P_b"].tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert dict(net.titles) == {"b": "What follows"}


HEAD = "variable a { type discrete [ 2 ] { y, n }; }\n"
HOSTILE = {
    "truncated": (SMALL[: SMALL.index("(no)")], "line 6", "ends here"),
    "no quote": (SMALL.replace('"not clear"', '"not clear'), "line 4", "not closed"),
    "no comment end": ("/* " * 1000, "line 1", "not closed"),
    "negative": (SMALL.replace("0.25, 0.75", "-0.25, 1.25"), "line 5", "not negative"),
    "sum": (SMALL.replace("0.25, 0.75", "0.25, 0.65"), "line 5", "sum to 0.9"),
    "row sum": (SMALL.replace("0.5, 0.25, 0.25", "0.5, 0.5, 0.25"), "line 6", "sum to 1.25"),
    "nan": (SMALL.replace("0.25, 0.75", "nan, 1"), "line 5", "no number"),
    "overflow": (SMALL.replace("0.25, 0.75", "1e999, 1"), "line 5", "no number"),
    "too few": (SMALL.replace("0.25, 0.75", "1"), "line 5", "1 entries"),
    "row missing": (SMALL.replace("(no) 0.5, 0.25, 0.25;", ""), "line 6", "lacks 1 of 2 rows"),
    "row twice": (SMALL.replace("(no)", "(yes)"), "line 6", "twice"),
    "state": (SMALL.replace("(no)", "(maybe)"), "line 6", "no state"),
    "states": (SMALL.replace("[ 3 ]", "[ 1000000000 ]"), "line 4", "announced"),
    "parent": (SMALL.replace('| "lung cancer"', "| lung"), "line 6", "not declared"),
    "own parent": (SMALL.replace('| "lung cancer"', "| x-ray"), "line 6", "its own"),
    "twice": (HEAD + HEAD + "probability ( a ) { table 1 0; }", "line 2", "twice"),
    "no table": (HEAD, "line 1", "no probability block"),
    "continuous": ("variable a { type continuous; }", "line 1", "discrete"),
    "control": (
        'variable "a\x1b[2J" { type discrete [ 1 ] { y }; }\nprobability ( "a\x1b[2J" ) { table 1; }',
        "",
        "control",
    ),
    "empty": ("", "line 1", "no variable"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bif(name: str, tmp_path: Path) -> None:
    text, line, reason = HOSTILE[name]
    with pytest.raises(bn.ModelError) as caught:
        bn.read(file(tmp_path, text))
    assert line in str(caught.value)
    assert reason in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_many_parents_are_refused_before_a_table_is_built(tmp_path: Path) -> None:
    """3 kB of BIF with 34 parents of one node would be a table of 2^35 entries."""
    names = [f"x{i}" for i in range(35)]
    text = "".join(f"variable {name} {{ type discrete [ 2 ] {{ a, b }}; }}\n" for name in names)
    text += "".join(f"probability ( {name} ) {{ table 0.5 0.5; }}\n" for name in names[1:])
    text += f"probability ( x0 | {', '.join(names[1:])} ) {{ default 0.5 0.5; }}\n"
    with peak_below(64), pytest.raises(bn.ModelError, match="34 parents"):
        bn.read(file(tmp_path, text))  # the table would take 256 GiB


def test_circles_are_named(tmp_path: Path) -> None:
    text = "".join(f"variable {name} {{ type discrete [ 2 ] {{ a, b }}; }}\n" for name in "xy")
    text += "probability ( x | y ) { default 0.5 0.5; }\nprobability ( y | x ) { default 0.5 0.5; }\n"
    with pytest.raises(bn.ModelError, match="x.*y"):
        bn.read(file(tmp_path, text))


XML = {
    "bomb": (
        '<!DOCTYPE BIF [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><BIF><NETWORK><NAME>&b;</NAME></NETWORK></BIF>',
        "entities",
    ),
    "external": ('<!DOCTYPE BIF SYSTEM "file:///etc/passwd"><BIF/>', "fetches nothing"),
    "deep": ("<BIF>" * 10_000, "inside one another"),
    "truncated": ("<BIF><NETWORK><NAME>a</NAME>", "not XML"),
    "other": ("<html/>", "not <BIF>"),
    "no table": (
        "<BIF><NETWORK><VARIABLE><NAME>a</NAME><OUTCOME>y</OUTCOME></VARIABLE></NETWORK></BIF>",
        "no definition",
    ),
    "utility": (
        '<BIF><NETWORK>\n<VARIABLE TYPE="utility"><NAME>a</NAME></VARIABLE></NETWORK></BIF>',
        "chance",
    ),
}


@pytest.mark.parametrize("name", XML)
def test_hostile_xml(name: str, tmp_path: Path) -> None:
    text, reason = XML[name]
    with pytest.raises(bn.ModelError, match=reason):
        bn.read(file(tmp_path, text, "hostile.xml"))


UAI = {
    "MARKOV 1 2 1 1 0 2 1 1": "reads BAYES",
    "BAYES 1 2 1 1 0 2 0.5": "ends here",
    "BAYES 1 2 1 1 0 4 1 1 1 1": "announces 4",
    "BAYES 999999999": "at most",
    "BAYES 2 2 2 2 1 0 1 0": "function",
    "BAYES 1 -2": "whole number",
}


@pytest.mark.parametrize("text", UAI)
def test_hostile_uai(text: str, tmp_path: Path) -> None:
    with pytest.raises(bn.ModelError, match=UAI[text]):
        bn.read(file(tmp_path, text, "hostile.uai"))


def test_what_tables_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    with bn.Network("mixture") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=1.0))
    with pytest.raises(bn.ModelError, match='"x" is not discrete'):
        bn.write(net, tmp_path / "mixture.bif")
    hollow = bn.from_networkx(bn.to_networkx(bn.read(DATA / "asia.bif")))
    bare = bn.Network.of(hollow.graph)
    with pytest.raises(bn.ModelError, match="no values for P_asia"):
        bn.write(bare, tmp_path / "asia.bif")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_network_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for suffix in (".bif", ".xml", ".xdsl", ".uai", ".json"):
        path = folder / f"any{suffix}"
        path.write_bytes(content)
        with pytest.raises(bn.ModelError):
            bn.read(path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SMALL) - 1), st.sampled_from(list('{}()[];|,"/x0-. \n\x00é')))
def test_a_file_with_one_wrong_character_is_a_network_or_an_error(place: int, sign: str) -> None:
    try:
        network_of(bif.read(SMALL[:place] + sign + SMALL[place + 1 :], "small.bif"))
    except bn.ModelError:
        pass


def test_a_long_line_is_quoted_in_part(tmp_path: Path) -> None:
    text = SMALL.replace("0.25, 0.75", "0.25, " + "0 " * 100_000 + "-1")
    with pytest.raises(bn.ModelError, match="not negative") as caught:
        bn.read(file(tmp_path, text))
    assert len(str(caught.value)) < 1000
    assert "-1" in str(caught.value)


def test_what_is_long_and_means_nothing_ends(tmp_path: Path) -> None:
    """The time is that of reading the file, whatever stands in it (a quadratic reader takes hours); messages stay short."""
    blocks = "".join(f"variable a{i} {{ type discrete [ 1 ] {{ b }}; }}\n" for i in range(5000))
    for name, text in {
        "words.bif": "a " * 200_000,
        "comments.bif": "/*" * 200_000,
        "variables.bif": blocks,
        "elements.xml": f"<BIF>{'<a/>' * 310_000}</BIF>",
    }.items():
        with pytest.raises(bn.ModelError) as caught:
            bn.read(file(tmp_path, text, name))
        assert len(str(caught.value)) < 10_000
    with pytest.raises(bn.ModelError, match="at most"):
        bn.read(file(tmp_path, " " * (1 << 23) + " ", "large.bif"))


def test_data_under_the_names_of_the_file(tmp_path: Path) -> None:
    """Data, columns of frames, evidence and targets may use the names that the file has; states are as the file names them."""
    net = bn.read(file(tmp_path, SMALL, "small.bif"))
    states = [net.graph.variable(name).domain.labels for name in ("lung_cancer", "x_ray")]
    lung = np.array([states[0][0], states[0][1], states[0][0]], object)
    ray = np.array([states[1][2], None, states[1][0]], object)
    ours, theirs = {"lung_cancer": lung, "x_ray": ray}, {"lung cancer": lung, "x-ray": ray}
    fits = [bn.fit(net, data, progress=False) for data in (ours, theirs, pd.DataFrame(theirs))]
    other = bn.fit(net, pd.DataFrame({"a": lung, "x-ray": ray}), columns={"lung cancer": "a"}, progress=False)
    for found in (*fits, other):
        assert found.objective.tolist() == fits[0].objective.tolist()
    assert fits[0].score(theirs).tolist() == fits[0].score(ours).tolist()
    asked = bn.query(net, fits[0].parameters, {"x-ray": ray}, ["lung cancer", ("lung cancer", "x-ray")])
    same = bn.query(net, fits[0].parameters, {"x_ray": ray}, ["lung_cancer", ("lung_cancer", "x_ray")])
    for (title, one), (_, two) in zip(asked.items(), same.items(), strict=True):
        assert "lung cancer" in title and np.array_equal(one, two)
    hidden = net.hide("lung_cancer")
    labels = {"lung cancer": lung}
    known = bn.fit(hidden, {"x-ray": ray}, evidence=labels, init=net.parameters, max_iter=0, progress=False)
    assert known.log_likelihood[0] == pytest.approx(
        bn.fit(net, ours, init=net.parameters, max_iter=0, progress=False).log_likelihood[0], rel=1e-12
    )
    with pytest.raises(bn.DataError, match='both for x_ray and for "x-ray"'):
        bn.fit(net, {**ours, "x-ray": ray}, progress=False)
