"""Kaldi's tables and archives as data. Archives are written here byte by byte, and by kaldiio where it is installed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from bnlab.cli.tables import load_data
from bnlab.errors import DataError
from bnlab.runtime.data import bind
from bnlab.runtime.kaldi import read_kaldi
from tests.models import model

ROWS = {"a1": [1.0, 2.0, 3.0, 4.0], "a2": [2.0, 1.0, 0.0, 1.0], "b1": [0.5, 0.25, -1.0, 2.0]}


def written(folder: Path, begin: bytes = b"\0BFV ") -> Path:
    """Three vectors of two speakers: an archive, its table and utt2spk."""
    table, body = [], b""
    for name, values in ROWS.items():
        body += name.encode() + b" "
        table.append(f"{name} vectors.ark:{len(body)}\n")
        body += begin + b"\x04" + struct.pack("<i", len(values)) + np.array(values, "<f4").tobytes()
    (folder / "vectors.ark").write_bytes(body)
    (folder / "feats.scp").write_text("".join(table))
    (folder / "utt2spk").write_text("a1 anna\na2 anna\nb1 bert\n")
    return folder / "feats.scp"


def test_vectors_are_rows_and_speakers_their_ids(tmp_path: Path) -> None:
    pytest.importorskip("kaldiio")
    found = load_data(written(tmp_path), model("plda")).values
    np.testing.assert_array_equal(found["x"], list(ROWS.values()))
    assert found["speaker"].tolist() == ["anna", "anna", "bert"]
    assert bind(model("plda").network.graph, found).layout.count("speaker") == 2


def test_matrices_are_the_steps_of_utterances(tmp_path: Path) -> None:
    kaldiio = pytest.importorskip("kaldiio")
    rng = np.random.default_rng(0)
    matrices = {name: rng.normal(size=(3 + len(name), 2)).astype("f4") for name in ("u", "vv")}
    kaldiio.save_ark(str(tmp_path / "m.ark"), matrices, scp=str(tmp_path / "feats.scp"))
    found = load_data(tmp_path / "feats.scp", model("hmm", dim=2)).values
    np.testing.assert_array_equal(found["x"], np.concatenate(list(matrices.values())))
    assert found["sequence"].tolist() == ["u"] * 4 + ["vv"] * 5


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a1 cat vectors.ark |", "runs no commands"),
        ("a1 vectors.ark:0", "no binary vector"),
        ("a1 other.ark:3", "cannot be read"),
        ("a1 vectors.ark:3[0:1]", "not a file and an offset"),
        ("a1", "not an utterance and where it is"),
    ],
)
def test_what_could_run_code_or_is_no_vector_is_refused(tmp_path: Path, line: str, told: str) -> None:
    table = written(tmp_path)
    table.write_text(line + "\n")
    with pytest.raises(DataError, match=told):
        read_kaldi(table)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no binary vector"):
        read_kaldi(written(tmp_path, begin=b"PKL"))


def test_an_utterance_without_a_speaker_is_named(tmp_path: Path) -> None:
    table = written(tmp_path)
    (tmp_path / "utt2spk").write_text("a1 anna\nb1 bert\n")
    with pytest.raises(DataError, match="no speaker for a2"):
        read_kaldi(table, tmp_path / "utt2spk")


def test_speakers_are_read_only_where_a_plate_wants_them(tmp_path: Path) -> None:
    """A table of other utterances lies beside the matrices of a network without speakers."""
    kaldiio = pytest.importorskip("kaldiio")
    matrices = {"u": np.zeros((3, 2), "f4"), "v": np.ones((2, 2), "f4")}
    kaldiio.save_ark(str(tmp_path / "m.ark"), matrices, scp=str(tmp_path / "feats.scp"))
    (tmp_path / "utt2spk").write_text("other someone\n")
    assert (
        load_data(tmp_path / "feats.scp", model("hmm", dim=2)).values["sequence"].tolist()
        == ["u"] * 3 + ["v"] * 2
    )


def test_what_is_listed_in_part_says_so(tmp_path: Path) -> None:
    table = tmp_path / "feats.scp"
    table.write_text("".join(f"u{i} cat {i} |\n" for i in range(8)))
    with pytest.raises(DataError, match="and 3 more"):
        read_kaldi(table)
    written(tmp_path)
    with pytest.raises(DataError, match="Give the table, .scp"):
        read_kaldi(tmp_path / "vectors.ark")


@pytest.mark.parametrize(
    ("cut", "told"), [(4, "numbers, and .* were written"), (3, "cannot be decoded"), (9, "b1")]
)
def test_a_file_cut_short_names_the_utterance(tmp_path: Path, cut: int, told: str) -> None:
    pytest.importorskip("kaldiio")
    table = written(tmp_path)
    whole = (tmp_path / "vectors.ark").read_bytes()
    (tmp_path / "vectors.ark").write_bytes(whole[:-cut])
    with pytest.raises(DataError, match=told) as refused:
        read_kaldi(table)
    assert "b1" in str(refused.value) and "a1" not in str(refused.value)


def test_vectors_of_different_lengths_are_refused(tmp_path: Path) -> None:
    kaldiio = pytest.importorskip("kaldiio")
    vectors = {"u": np.zeros(4, "f4"), "v": np.zeros(3, "f4")}
    kaldiio.save_ark(str(tmp_path / "v.ark"), vectors, scp=str(tmp_path / "feats.scp"))
    with pytest.raises(DataError, match=r"different numbers of entries: 4 \(u\) and 3 \(v\)"):
        load_data(tmp_path / "feats.scp", model("plda"))
