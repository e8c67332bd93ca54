"""A second process finds what the first one emitted, and does not even import what derives and prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bnlab.compile import emit
from bnlab.runtime import emitted as module
from bnlab.runtime.records import Partial
from tests.models import ROOT, model

HEAVY = (
    "bnlab.compile",
    "bnlab.inference.em",
    "bnlab.printers.jax_em",
    "black",
    "scipy.optimize",
    "rich.progress",
    "pandas",
)
FIT = f"""
import sys
sys.path.append({str(ROOT / "models")!r})
import gmm
import bnlab as bn
found = bn.fit(gmm.gmm(), gmm.data(), progress=False)
print([name for name in {HEAVY!r} if name in sys.modules])
print(found.log_likelihood.tobytes().hex())
"""


def test_a_second_process_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    said = []
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", FIT],
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        said.append(run.stdout.splitlines())
    assert "bnlab.compile" in said[0][0] and said[1][0] == "[]"
    assert said[0][1] == said[1][1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "kept_folder", lambda: tmp_path)
    module.emitted.cache_clear()
    yield tmp_path
    module.emitted.cache_clear()


def test_each_question_has_a_text_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hmm, asia = model("hmm_categorical").network, model("asia").network
    missing = Partial((asia.graph.in_role("observed")[0].name,))
    asked: list[tuple[Any, ...]] = [
        (hmm, "em"),
        (hmm, "em", "log"),
        (hmm, "viterbi"),
        (asia, "em"),
        (asia, "em", "scaled", missing),
    ]
    first = [module.emitted(*one) for one in asked]
    assert len(set(first)) == len(list(folder.iterdir())) == 5
    assert first[1] == emit(hmm, "em", messages="log") and first[4] == emit(
        asia, "em", missing=missing.missing
    )
    module.emitted.cache_clear()
    monkeypatch.setattr(module, "_emit", lambda *_: pytest.fail("it was in the cache"))
    assert [module.emitted(*one) for one in asked] == first


def test_other_files_of_bnlab_make_other_texts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = model("gmm").network
    module.emitted(net, "em")
    monkeypatch.setattr(module, "_stamp", lambda: "another version of some file")
    module.emitted.cache_clear()
    module.emitted(net, "em")
    assert len(list(folder.iterdir())) == 2


def test_a_text_that_cannot_be_read_is_emitted_again(folder: Path) -> None:
    net = model("gmm").network
    text = module.emitted(net, "em")
    (path,) = folder.iterdir()
    path.write_bytes(b"\xff\xfe")
    module.emitted.cache_clear()
    assert module.emitted(net, "em") == text and path.read_text() == text
