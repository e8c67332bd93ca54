"""The pages on extending bnlab: what they show is what is there, and it runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bnlab as bn
import bnlab.printers
from bnlab.printers import base
from bnlab.runtime.fit import METHODS
from tests.models import ROOT, model


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language in a page of docs/."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def example(name: str) -> tuple[bn.Network, dict[str, np.ndarray]]:
    loaded = model(name)
    assert loaded.example is not None
    return loaded.network, loaded.example()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a module among the printers, as a file in bnlab/printers/ would be."""

    def put(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.setattr(bnlab.printers, "__path__", [*bnlab.printers.__path__, str(tmp_path)])
        base.registry.cache_clear()

    yield put
    monkeypatch.undo()
    base.registry.cache_clear()


@pytest.mark.parametrize(
    ("place", "target", "name"), [(0, "mermaid", "gmm"), (1, "updates", "gmm_univariate")]
)
def test_printers_print_what_the_page_says(
    place: int, target: str, name: str, install: Callable[[str, str], None]
) -> None:
    install(target, blocks("adding_a_printer", "python")[place])
    printed = bn.emit(model(name).network, target).rstrip("\n") + "\n"
    assert printed == blocks("adding_a_printer", "text")[place]


def test_every_need_is_explained() -> None:
    page = (ROOT / "docs" / "adding_a_printer.md").read_text(encoding="utf-8")
    assert all(f'`"{need}"`' in page for need in base.Need.__args__)


def test_the_algorithm_of_the_page_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, call = blocks("adding_an_algorithm", "python")
    (tmp_path / "stepwise.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(METHODS, "stepwise", "stepwise")
    net, data = example("gmm")
    names = {"bn": bn, "net": net, "data": data}
    exec(call.replace("max_iter=10", "max_iter=10, progress=False"), names)
    fit, best = names["fit"], bn.fit(net, data, progress=False)
    assert len(fit.log_likelihood) == 11
    # a chunk of 32 rows moves the parameters by less than their standard errors, which cost half a unit each, 11 in all
    assert best.log_likelihood[-1] - fit.log_likelihood[-1] < 5.5
    assert fit.posterior(data)["z"].shape == (272, 2)


PLACES = (
    "bnlab/families/geometric.py",
    "bnlab/network/distributions.py",
    "bnlab/__init__.py",
    "bnlab/runtime/proof/densities.py",
    "tests/networks.py",
)


def test_the_distribution_of_the_page_is_what_is_there() -> None:
    """The whole diff of one family: its file, and the lines that it has elsewhere."""
    page = (ROOT / "docs" / "adding_a_distribution.md").read_text(encoding="utf-8")
    shown = re.findall(r"^`([\w/]+\.py)`[^\n]*\n\n```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert tuple(path for path, _ in shown) == PLACES
    for path, block in shown:
        text = (ROOT / path).read_text(encoding="utf-8")
        parts = re.split(r"^ *\.\.\.\n", block, flags=re.MULTILINE)  # `...` stands for what is left out
        assert all(part in text for part in parts), path
    assert shown[0][1] == (ROOT / PLACES[0]).read_text(encoding="utf-8")
