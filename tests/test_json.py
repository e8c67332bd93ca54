"""Networks go to JSON and back unchanged; a file from a stranger is a network or a ModelError, never anything else."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnlab as bn
from bnlab.cli.models import load_model
from bnlab.network.formats import from_json, to_json

MODELS = sorted((Path(__file__).parents[1] / "models").glob("*.py"))


def everything() -> bn.Network:
    """One of each thing that a file can hold."""
    with bn.Network("everything", doc='free text: """ \n é') as net:
        pi = bn.parameter("pi", bn.Simplex(["yes", "no\n"]), prior=bn.Dirichlet([1.5, 2.0]))
        F = bn.parameter("F", bn.Real(2, 2), prior=bn.Normal(0.0, std=10.0))
        Q = bn.parameter("Q", bn.Covariance(2), value=[[1.0, 0.1], [0.1, 1 / 3]])
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            b = bn.parameter("b", bn.Real(2))
        with bn.plate("s"), bn.chain("t"):
            u = bn.given("u", bn.Real())
            g = bn.given("g", bn.Integer(2))
            std = bn.given("std", bn.Positive())
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            y = bn.latent(
                "y",
                bn.Normal(F @ bn.previous("y") - b[z] * u, cov=Q),
                first=bn.Normal(bn.zeros(2), cov=bn.eye(2)),
            )
            bn.observed("x", bn.Normal(y @ F + bn.constant([[0.1, 0.2], [3.0, 4.0]])[g] + b[0], std=std))
    return net


TEXT = to_json(everything().graph)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_models_round_trip(path: Path) -> None:
    graph = load_model(str(path)).network.graph
    text = to_json(graph)
    assert from_json(text) == graph
    assert to_json(from_json(text)) == text


def test_everything_round_trips(tmp_path: Path) -> None:
    net = everything()
    bn.write(net, tmp_path / "net.json")
    assert bn.read(tmp_path / "net.json") == net
    assert (tmp_path / "net.json").read_text() == TEXT
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.json"]


def test_text_is_plain_json_in_ascii() -> None:
    assert TEXT.isascii() and json.loads(TEXT)["version"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        ("{}", 'lacks the key "format"'),
        ('{"format": "bnlab.network", "version": 2, "name": "a"}', "version 1"),
        ('{"format": "bnlab.network", "version": 1, "name": "a", "name": "b"}', "stands twice"),
        ('{"format": "bnlab.network", "version": 1, "name": "a", "plats": []}', 'Did you mean "plates"'),
        (
            '{"format": "bnlab.network", "version": 1, "name": "a", "plates": [{"name": "k", "size": NaN}]}',
            "NaN",
        ),
        (
            '{"format": "bnlab.network", "version": 1, "name": "a", "plates": [{"name": "k", "size": 1e400}]}',
            "integer",
        ),
        (
            '{"format": "bnlab.network", "version": 1, "name": "a", "plates": [{"name": "k", "size": true}]}',
            "integer",
        ),
        ('{"format": "bnlab.network", "version": 1, "name": "a\\n"}', "cannot name a network"),
        ('{"format": "bnlab.network", "version": 1, "name": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_what_is_no_network_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(bn.ModelError, match=message):
        from_json(text)


def edit(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> str:
    changed = copy.deepcopy(document)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(changed)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("parameters", 0, "domain"), {"Simplx": 2}, 'Did you mean "Simplex"'),
        (("parameters", 0, "domain"), {"Simplex": ["a", "a"]}, "different categories"),
        (("parameters", 1, "domain"), {"Real": [10**6, 10**6]}, "may have"),
        (("parameters", 2, "value"), [[1.0], [1.0, 2.0]], "different lengths"),
        (("parameters", 2, "value"), [[1.0, 2.0], [2.0, 1.0]], "positive definite"),
        (("parameters", 0, "prior"), {"Normal": {"mean": 0.0, "var": 1.0, "std": 1.0}}, "exactly one of"),
        (("parameters", 0, "plates"), ["nowhere"], "does not exist"),
        (
            ("variables", 3, "distribution"),
            {"Categorical": {"probs": {"parameter": "AA"}}},
            'Did you mean "A"',
        ),
        (
            ("variables", 3, "distribution"),
            {"Categorical": {"probs": {"parameter": "A", "at": [-1]}}},
            "integer from 0",
        ),
        (("variables", 3, "first"), [], "first step"),
        (("variables", 3, "role"), "hidden", "latent"),
        (("variables", 0, "distribution"), {"Categorical": {}}, "given"),
        (("variables", 5, "name"), "import os", "cannot be a name"),
        (("plates", 0, "size"), 10**30, "integer from 1"),
    ],
)
def test_a_wrong_field_is_named(path: tuple[str | int, ...], value: Any, message: str) -> None:
    with pytest.raises(bn.ModelError, match=message):
        from_json(edit(json.loads(TEXT), path, value))


def test_errors_about_a_file_print_no_control_characters() -> None:
    text = TEXT.replace('"u"', '"\\u001b[31m"')
    with pytest.raises(bn.ModelError) as caught:
        from_json(text)
    assert all(character.isprintable() or character == "\n" for character in str(caught.value))


def test_variables_in_a_circle_are_refused() -> None:
    document = json.loads(TEXT)
    mean = {"sum": [{"times": {"variable": "x"}}]}
    with pytest.raises(bn.ModelError, match="in a circle: y -> x -> y|in a circle: x -> y -> x"):
        from_json(edit(document, ("variables", 4, "distribution", "Normal", "mean"), mean))


def places(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


PLACES = list(places(json.loads(TEXT)))
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["x", "y", "z", "A", "b", "k", "t", "u"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sum", "parameter", "at"]), inner)
    ),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None)  # no deadline: the machine's load is not what is tested
@given(st.sampled_from(PLACES), ANYTHING)
def test_a_damaged_file_is_a_network_or_a_model_error(path: tuple[str | int, ...], value: Any) -> None:
    try:
        graph = from_json(edit(json.loads(TEXT), path, value))
    except bn.ModelError:
        return
    assert from_json(to_json(graph)) == graph


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(PLACES))
def test_parts_in_wrong_places_are_a_network_or_a_model_error(
    path: tuple[str | int, ...], source: tuple[str | int, ...]
) -> None:
    document: Any = json.loads(TEXT)
    part: Any = document
    for key in source:
        part = part[key]
    try:
        graph = from_json(edit(document, path, part))
    except bn.ModelError:
        return
    assert from_json(to_json(graph)) == graph


def test_reading_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("raise SystemExit")
    with pytest.raises(bn.ModelError, match="json"):
        bn.read(path)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(b"\x80\x04\x95")
    with pytest.raises(bn.ModelError, match="UTF-8"):
        bn.read(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.json"
    bn.write(everything(), path)

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        bn.write(everything(), path)
    assert path.read_text() == TEXT
    assert list(tmp_path.iterdir()) == [path]
