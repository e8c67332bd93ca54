"""What the README shows is what is there; `--update-golden` puts it there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bnlab as bn
from tests.models import ROOT, model

README = ROOT / "README.md"
EMITTED = ROOT / "tests" / "golden" / "gmm" / "em.py"


def blocks() -> list[str]:
    """The contents of the fenced blocks, in order."""
    return re.findall(
        r"^```\w*\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


def function(path: Path, name: str) -> str:
    """The text of one function of a file, without its decorators."""
    found = re.search(
        rf"^def {name}\(.*?\n(?=\n\n|\Z)", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found[0]


def fitted() -> str:
    """What `bnlab fit models/gmm.py` prints."""
    loaded = model("gmm")
    assert loaded.example is not None
    printed = str(bn.fit(loaded.network, loaded.example(), progress=False))
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


@pytest.mark.parametrize("position", range(4), ids=["declaration", "E-step", "M-step", "result"])
def test_shows_what_is_there(position: int, update_golden: bool) -> None:
    there = [
        lambda: function(ROOT / "models" / "gmm.py", "gmm"),
        lambda: function(EMITTED, "expect"),
        lambda: function(EMITTED, "m_step"),
        fitted,
    ][position]()
    shown = blocks()[position]
    if update_golden:
        text = README.read_text(encoding="utf-8")
        README.write_text(text.replace(f"\n{shown}```", f"\n{there}```", 1), encoding="utf-8")
        shown = blocks()[position]
    assert shown == there


def test_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert links and [link for link in links if not (ROOT / link).exists()] == []
