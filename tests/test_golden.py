"""What is printed for each model in models/, held against files that a person has read.

`pytest tests/test_golden.py --update-golden` (or `make golden`) writes what is printed now; read the diff before committing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bnlab as bn
from tests.models import NAMES, model

GOLDEN = Path(__file__).parent / "golden"

PRINTED: dict[str, Callable[[bn.Network], str]] = {
    "network.txt": str,
    "derivation.txt": lambda network: str(bn.derive(network)),
    "em.py": lambda network: bn.emit(network, "em"),
    "viterbi.py": lambda network: bn.emit(network, "viterbi"),
    "numpyro.py": lambda network: bn.emit(network, "numpyro"),
    "derivation.tex": lambda network: bn.emit(network, "latex"),
    "graph.dot": lambda network: bn.emit(network, "dot"),
    "vbem.py": lambda network: bn.emit(network, "vbem"),
    "vbem.tex": lambda network: bn.emit(network, "latex_vbem"),
}

WITH_PRIORS = ("vbem.py", "vbem.tex")
"""What is printed of a network with the priors that are proposed for it and its example data, and of these models only:"""
VARIATIONAL = ("gmm", "hmm_categorical", "plda", "local_level")


def _has(name: str, file: str) -> bool:
    """Hard EM is for networks with discrete latents."""
    if file in WITH_PRIORS:
        return name in VARIATIONAL
    return file != "viterbi.py" or any(v.discrete for v in model(name).network.graph.in_role("latent"))


def _network(name: str, file: str) -> bn.Network:
    found = model(name)
    if file not in WITH_PRIORS:
        return found.network
    assert found.example is not None
    return bn.weakly_informative(found.network, found.example()).network


FILES = [(name, file) for name in NAMES for file in PRINTED if _has(name, file)]


@pytest.mark.parametrize(("name", "file"), FILES)
def test_printed_as_before(name: str, file: str, update_golden: bool) -> None:
    path = GOLDEN / name / file
    printed = PRINTED[file](_network(name, file)).rstrip("\n") + "\n"
    if update_golden:
        path.parent.mkdir(exist_ok=True)
        path.write_text(printed, encoding="utf-8")
    assert path.is_file(), (
        f"there is no {path.relative_to(GOLDEN)}: write it with --update-golden and read it"
    )
    assert printed == path.read_text(encoding="utf-8")


def test_no_golden_without_a_model() -> None:
    kept = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()}
    assert kept == {f"{name}/{file}" for name, file in FILES}


# Runs each file as `python em.py data.npz` does, where importing bnlab fails, and reports what went wrong with which.
ALONE = """
import json, runpy, sys, traceback
sys.modules["bnlab"] = None
faults = {}
for name, file, data in json.load(sys.stdin):
    sys.argv = [file, data]
    try:
        runpy.run_path(file, run_name="__main__")
    except BaseException as error:
        if not (isinstance(error, SystemExit) and not error.code):
            faults[name] = traceback.format_exc()
print("FAULTS " + json.dumps(faults))
"""


def test_emitted_files_run_without_bnlab(tmp_path: Path) -> None:
    jobs = []
    for name in NAMES:
        example = model(name).example
        assert example is not None, f"models/{name}.py has no data()"
        np.savez(tmp_path / f"{name}.npz", **example())
        jobs.append((name, str(GOLDEN / name / "em.py"), str(tmp_path / f"{name}.npz")))
    finished = subprocess.run(
        [sys.executable, "-I", "-c", ALONE],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    faults = json.loads(finished.stdout.rpartition("FAULTS ")[2])
    assert faults == {}
