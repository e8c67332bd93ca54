"""What the README shows is what is there."""

from __future__ import annotations

import re

import pytest

from tests.models import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("block", "file"), [(0, "models/gmm.py"), (1, "tests/golden/gmm/em.py")])
def test_code_is_that_of_the_file(block: int, file: str) -> None:
    assert BLOCKS[block] in (ROOT / file).read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r'src="([^"]+)"', README)
    assert links and [link for link in links if not (ROOT / link).exists()] == []
