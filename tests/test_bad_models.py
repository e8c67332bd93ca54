"""Every wrong model in tests/bad_models is refused, with the message that stands beside it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from bnlab.errors import ModelError

FOLDER = Path(__file__).parent / "bad_models"
FILES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_wrong_model_is_refused_with_its_message(path: Path, update_golden: bool) -> None:
    with pytest.raises(ModelError) as caught:
        runpy.run_path(str(path))
    message = str(caught.value).replace(f"{FOLDER}/", "") + "\n"
    golden = path.with_suffix(".txt")
    if update_golden:
        golden.write_text(message, encoding="utf-8")
    assert message == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_fault_says_where(path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        runpy.run_path(str(path))
    places = [fault.location for fault in caught.value.faults]
    assert all(place is not None and place.file == str(path) for place in places)


def test_each_message_has_a_model() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {path.stem for path in FILES}
