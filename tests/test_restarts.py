"""Restarts: which optima are reached and how often, one by one and together, interrupted and resumed."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime import em_resume, em_starts
from bnlab.runtime.records import Start
from bnlab.runtime.restarts import gathered
from tests.models import model

MIXTURE = model("gmm", components=3)
DATA = MIXTURE.example()


def fit(**options: Any) -> Any:
    return bn.fit(
        MIXTURE.network, DATA, **({"progress": False, "init": "random", "max_iter": 1000} | options)
    )


def same(one: Any, other: Any) -> None:
    """Bit for bit."""
    for name, value in one.parameters.items():
        np.testing.assert_array_equal(value, other.parameters[name])
    np.testing.assert_array_equal(one.objective, other.objective)
    np.testing.assert_array_equal(one.log_likelihood, other.log_likelihood)
    assert one.status == other.status and one.warnings == other.warnings


def test_the_report_says_where_every_start_ended() -> None:
    found = fit(n_init=8)
    restarts = found.restarts
    assert len(restarts.starts) == 8 and sum(times for _, times in found.optima) == 8
    kept = restarts.starts[restarts.best]
    assert kept.objective == found.objective[-1] == found.optima[0][0]
    assert kept.objective == max(start.objective for start in restarts.starts)
    assert (kept.status, kept.n_iter) == (found.status, found.n_iter)
    # the start alone, from its own seed
    np.testing.assert_array_equal(fit(seed=kept.seed).objective, found.objective)
    text = str(found)
    for objective, times in found.optima:
        assert (
            f"{times} of 8 reached {objective:.6f}" in text
            and f"<td>{objective:.6f}</td>" in found._repr_html_()
        )


def test_one_start_is_not_worth_a_line() -> None:
    assert "reached" not in str(fit()) and fit().optima == ((fit().objective[-1], 1),)


@pytest.mark.parametrize("batch", [3, 8, 100])
def test_starts_that_run_together_find_the_same_bits(batch: int) -> None:
    alone, together = fit(n_init=8), fit(n_init=8, batch=batch)
    same(alone, together)
    for one, other in zip(alone.restarts.starts, together.restarts.starts, strict=True):
        assert (one.seed, one.status) == (other.seed, other.status)
        # Sums in another order, carried through hundreds of iterations that stop on a rise of 1e-6.
        assert one.objective == pytest.approx(other.objective, rel=1e-6)


def test_a_start_that_underflows_is_run_by_itself() -> None:
    """Messages of two states 60 standard deviations apart against a transition of 1e-300: only logarithms hold them."""
    with bn.Network("far") as net:
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real())
            A = bn.parameter("A", bn.Simplex(2))
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical([1.0, 0.0]))
            bn.observed("x", bn.Normal(mu[z], var=1.0))
    start = {"A": [[1.0 - 1e-300, 1e-300], [0.2, 0.8]], "mu": [-30.0, 30.0]}
    data = {"x": np.array([-30.0, -29.0, 31.0, 29.0, -31.0])}
    options = {"init": start, "n_init": 2, "progress": False}
    alone = bn.fit(net, data, **options)
    assert "ran in logarithms" in alone.warnings[0].message
    same(alone, bn.fit(net, data, **options, batch=2))


def test_options_of_starts() -> None:
    with pytest.raises(bn.FitError, match="batch is 0") as error:
        fit(batch=0, batches=2)
    assert "no option batches" in str(error.value)


def start(objective: float, status: Any = "converged") -> Start:
    return Start(0, objective, status, 10)


def test_which_start_is_kept() -> None:
    collapsed = start(50.0, "degenerate")
    restarts = gathered(
        [start(-7.0), collapsed, start(-5.0), start(-5.0 + 1e-12), start(-5.000001), collapsed]
    )
    assert restarts.best == 2  # the first of those that differ by rounding only
    assert restarts.groups == ((2, 3, 4), (0,), (1, 5))
    assert restarts.optima == ((-5.0, 3), (-7.0, 1), (50.0, 2))
    assert "2 of 6 reached 50.000000 (degenerate): starts 1, 5" in str(restarts)
    cut = gathered([start(-7.0), start(-6.0, "interrupted")])
    assert cut.best == 1 and cut.groups == ((0,),) and "1 was cut off at -6.000000" in str(cut)
    lost = start(float("nan"), "nan")
    assert gathered([lost, lost]).best == 0 and gathered([lost, start(-9.0), lost]).best == 1


class Accelerator:
    """What JAX tells of a device with memory of its own."""

    platform = "gpu"

    def __init__(self, free: int) -> None:
        self.free = free

    def memory_stats(self) -> dict[str, int]:
        return {"bytes_limit": 10**9 + self.free, "bytes_in_use": 10**9}


def test_an_accelerator_runs_as_many_together_as_its_memory_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    ended = em_starts._ended

    def noted(problem: Any, ready: Any, states: Any, numbers: range, width: int, visit: Any) -> Any:
        widths.append(len(numbers))
        return ended(problem, ready, states, numbers, width, visit)

    monkeypatch.setattr(em_starts, "_ended", noted)
    monkeypatch.setattr(em_starts, "working_memory", lambda *arguments: 1000)
    for free, expected in ((10**6, [6]), (8000, [3, 3]), (2, [1] * 6)):
        monkeypatch.setattr(em_starts.jax, "devices", lambda free=free: [Accelerator(free)])
        widths.clear()
        fit(n_init=6, max_iter=3)
        assert widths == expected


@pytest.mark.parametrize("batch", [1, 4])
def test_ctrl_c_keeps_the_best_so_far(batch: int) -> None:
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    found = fit(n_init=4, batch=batch, max_iter=10**9, tol=0)
    timer.join()
    assert found.status == "interrupted" and found.restarts.starts[0].status == "interrupted"
    again = fit(init=found.parameters, max_iter=0)
    # two compilations of the same sum
    np.testing.assert_allclose(again.log_likelihood[0], found.log_likelihood[-1], rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_killed_fit_with_restarts_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """The process dies, so to speak, when it is about to write its fourth checkpoint."""
    monkeypatch.setattr(em_resume, "SAVE_EVERY", 0.0)
    options = {"n_init": 4, "batch": batch, "tol": 0, "max_iter": 100, "checkpoint": tmp_path / "fit.ckpt"}
    write, left = em_resume.files.save, [3]

    def dying(*arguments: Any) -> None:
        if not left[0]:
            raise SystemExit
        left[0] -= 1
        write(*arguments)

    monkeypatch.setattr(em_resume.files, "save", dying)
    with pytest.raises(SystemExit):
        fit(**options)
    monkeypatch.setattr(em_resume.files, "save", write)
    same(fit(**options), fit(n_init=4, tol=0, max_iter=100))


def test_a_longer_fit_goes_on_from_all_starts(tmp_path: Path) -> None:
    path = tmp_path / "fit.ckpt"
    fit(n_init=3, tol=0, max_iter=5, checkpoint=path)
    same(fit(n_init=4, tol=0, max_iter=40, checkpoint=path), fit(n_init=4, tol=0, max_iter=40))
