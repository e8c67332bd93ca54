"""Pages of docs/ that are no notebooks: their code runs, and each number behind an expression is its value."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
PEERS = ["coming_from_scikit_learn.md", "coming_from_hmmlearn.md"]
OURS = ["fitting.md"]


def code(page: str) -> str:
    """The Python blocks of a page, one after another."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))


def shown(line: str) -> str | None:
    """The value in the comment behind an expression."""
    return line.rpartition("  # ")[2] if "  # " in line else None


def half_a_digit(text: str) -> float:
    """Half a unit of the last digit shown."""
    digits = max((len(part) for part in re.findall(r"\.(\d+)", text)), default=0)
    return 0.5 * 10.0**-digits


def run(page: str) -> int:
    """Runs the page; returns how many values were compared."""
    text = code(page)
    lines, names, compared = text.splitlines(), {}, 0
    for node in ast.parse(text).body:
        value_shown = shown(lines[node.end_lineno - 1])
        if not isinstance(node, ast.Expr) or value_shown is None:
            exec(compile(ast.Module([node], []), page, "exec"), names)
            continue
        value: Any = eval(compile(ast.Expression(node.value), page, "eval"), names)
        expected = -np.inf if value_shown == "-inf" else ast.literal_eval(value_shown)
        np.testing.assert_allclose(
            value, expected, rtol=0, atol=half_a_digit(value_shown), err_msg=ast.unparse(node)
        )
        compared += 1
    return compared


@pytest.mark.filterwarnings("ignore:.*did not converge")  # scikit-learn, of a start
@pytest.mark.parametrize("page", [*(pytest.param(page, marks=pytest.mark.peers) for page in PEERS), *OURS])
def test_numbers_on_the_page_are_those_of_its_code(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS)
    assert run(page) >= 8


def test_files_and_structure_run_as_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "data").symlink_to(DOCS.parent / "data")
    monkeypatch.chdir(tmp_path / "docs")
    names: dict[str, Any] = {}
    exec(code("files.md"), names)
    net = names["net"]
    assert (tmp_path / "docs" / "asia.xdsl").is_file() and net.parents("dysp") == {"bronc", "either"}
    assert net.d_separated("asia", "smoke") and not net.d_separated("asia", "smoke", given="dysp")


@pytest.mark.parametrize("page", PEERS + OURS)
def test_the_page_is_in_the_table_of_contents(page: str) -> None:
    assert page.removesuffix(".md") in (DOCS / "index.md").read_text(encoding="utf-8").splitlines()
