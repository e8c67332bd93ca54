"""The golden EM files where importing bnlab fails: ragged rows, an empty state, fixed values, and the way brute force goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnlab.network.ir import Graph
from bnlab.runtime.proof.draws import random_data, random_parameters, small_layout
from bnlab.runtime.proof.oracle import Oracle
from bnlab.runtime.proof.relabel import empty_last_state, renameable
from bnlab.runtime.proof.subject import COLLAPSED, narrowest
from tests.models import NAMES, model

GOLDEN = Path(__file__).parent / "golden"
STEPS = 3
EXACT = 1e-9
"""Relative: sums in another order, after a few iterations that carry them on."""

# Runs a golden file's own functions from given parameters on given data, and writes down every step.
ALONE = """
import runpy, sys
sys.modules["bnlab"] = None
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
for name, file, given, steps in zip(*[iter(sys.argv[1:])] * 4):
    em = runpy.run_path(file)
    arrays = np.load(given)
    data = {key[5:]: arrays[key] for key in arrays if key.startswith("data.")}
    theta = em["Parameters"](**{key[6:]: arrays[key] for key in arrays if key.startswith("theta.")})
    prepared = em["prepare"](data)
    iterate = jax.jit(lambda theta: (em["e_step"](theta, prepared).log_p, em["m_step"](em["e_step"](theta, prepared), theta)))
    found = {}
    for step in range(int(steps) + 1):
        log_p, new = iterate(theta)
        found |= {f"{step}.{key}": value for key, value in theta._asdict().items()} | {f"{step} log_p": log_p}
        theta = new
    np.savez(given.replace(".npz", ".out.npz"), **found)
"""

QUICK = ("asia", "hmm_categorical")
"""Fixed values; ragged sequences and a state that is never entered."""


def emptied(graph: Graph, theta: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters with one state empty, where the states of a latent by itself have no meaning."""
    for variables, axes in renameable(graph):
        if len(variables) == 1:
            return empty_last_state(graph, theta, axes)
    return theta


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_its_way_without_bnlab_is_that_of_brute_force(name: str, tmp_path: Path) -> None:
    graph = model(name).network.graph
    rng = np.random.default_rng(0)
    data = random_data(graph, rng, small_layout(graph, rng))
    cases = {"inside": random_parameters(graph, rng)}
    cases["empty"] = emptied(graph, cases["inside"])
    arguments: list[str] = []
    for case, theta in cases.items():
        arrays = {f"data.{key}": value for key, value in data.items()}
        arrays |= {f"theta.{key}": value for key, value in theta.items()}
        np.savez(tmp_path / f"{case}.npz", **arrays)
        arguments += [name, str(GOLDEN / name / "em.py"), str(tmp_path / f"{case}.npz"), str(STEPS)]
    finished = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    oracle, compared = Oracle(graph, data), 0
    for case, start in cases.items():
        found = np.load(tmp_path / f"{case}.out.npz")
        for step in range(STEPS + 1):
            theta = {one.name: found[f"{step}.{one.name}"] for one in graph.parameters}
            if narrowest(graph, theta) < COLLAPSED * narrowest(graph, start):
                break  # the likelihood has no maximum there
            expected = oracle.log_evidence(theta)
            assert float(found[f"{step} log_p"]) == pytest.approx(expected, rel=EXACT), f"{case}, step {step}"
            for one in graph.parameters:
                if one.value is not None:
                    np.testing.assert_array_equal(theta[one.name], one.value.array)
            compared += 1
    assert compared > STEPS
