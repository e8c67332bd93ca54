"""Imports go one way, the compiler half never meets JAX, and nothing in bnlab/ knows a model by name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bnlab"
FILES = sorted(PACKAGE.rglob("*.py"))

# The table of docs/architecture.md: what each module may import besides itself.
BASE = {"atomic", "errors", "naming", "domains", "notation"}
LANGUAGE = BASE | {"program", "families", "network"}
MAY_IMPORT = {
    "atomic": set[str](),
    "errors": set[str](),
    "naming": {"errors"},
    "domains": {"errors"},
    "notation": set[str](),
    "render": {"errors"},
    "version": set[str](),
    "detection": {"errors"},
    "program": BASE,
    "families": BASE | {"program"},
    "network": BASE | {"families"},
    "inference": LANGUAGE,
    "printers": LANGUAGE,
    "drawing": LANGUAGE | {"printers", "render"},
    "compile": LANGUAGE | {"inference", "printers", "drawing", "version"},
    "runtime": LANGUAGE | {"compile"},
    "comparison": LANGUAGE | {"compile", "runtime", "version"},
    "plots": LANGUAGE | {"compile", "runtime", "comparison", "detection"},
    "report": LANGUAGE | {"compile", "drawing", "version", "runtime", "comparison", "plots"},
}
HEAVY = {"jax", "jaxlib", "numpyro", "funsor", "arviz", "xarray", "matplotlib", "pandas", "scipy", "h5netcdf"}
MAY_BE_HEAVY = {"runtime", "comparison", "plots", "report", "cli"}
MODEL_WORDS = re.compile(r"\b(gmm|hmm|plda|baum|welch|kalman|lgssm|speaker)\b", re.IGNORECASE)
WORDS_OF_FORMATS = {"runtime/kaldi.py": {"speaker"}}  # a file utt2spk tells the speaker of each utterance
LONGEST = 500
# NumPyro enumerates with funsor, xarray writes files with h5netcdf, ArviZ plots with matplotlib.
WANTED_BY_OTHERS = {"funsor", "h5netcdf", "matplotlib"}


def module_of(path: Path) -> str:
    """The part of bnlab that a file belongs to: `network` for bnlab/network/graph.py, `` for bnlab/__init__.py."""
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, those inside functions included, all absolute."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "bnlab":
                yield from (f"bnlab.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_one_way(path: Path) -> None:
    module = module_of(path)
    if module in {"", "cli", "__main__"}:
        return  # the front and the command line may import everything
    assert module in MAY_IMPORT, f"{module} has no row in the table of docs/architecture.md"
    used = {imported.split(".")[1] for imported in imports(path) if imported.startswith("bnlab.")}
    assert used - {module} <= MAY_IMPORT[module]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_runtime_imports_heavy_libraries(path: Path) -> None:
    if module_of(path) in MAY_BE_HEAVY:
        return
    assert not {imported.split(".")[0] for imported in imports(path)} & HEAVY


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_special_to_a_model(path: Path) -> None:
    known = WORDS_OF_FORMATS.get(path.relative_to(PACKAGE).as_posix(), set())
    assert {word.lower() for word in MODEL_WORDS.findall(path.read_text(encoding="utf-8"))} <= known


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_import_and_compiler_stay_clear_of_heavy_libraries() -> None:
    """`import bnlab` and all of the compiler, in a fresh process."""
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if module_of(path) not in MAY_BE_HEAVY
    )
    program = f"import sys, {', '.join(modules)}\nprint(*sorted({HEAVY!r} & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == []


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w-]+", entry)[0] for entry in project["dependencies"]}
    imported = {used.split(".")[0] for path in FILES for used in imports(path)}
    foreign = imported - set(sys.stdlib_module_names) - {"bnlab"}
    assert foreign <= declared
    assert declared - foreign <= WANTED_BY_OTHERS


def test_table_matches_the_architecture_page() -> None:
    """The page's rows and this file's table name the same modules."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| (.+?) \|", page, flags=re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
    assert named == MAY_IMPORT.keys() | {"cli"}
