"""Fits as files: everything comes back, nothing in a file is run, and a write that is cut off leaves the old file."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import arviz as az
import h5py
import numpy as np
import pytest
import xarray as xr

import bnlab as bn
from bnlab import atomic
from bnlab.runtime.records import FitWarning, Start
from bnlab.runtime.restarts import gathered
from bnlab.runtime.result import Fit

ROOT = Path(__file__).parents[1]


def network() -> bn.Network:
    with bn.Network("mixture") as net:
        pi = bn.parameter("pi", bn.Simplex(["few", "many"]))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(3))
            Sigma = bn.parameter("Sigma", bn.Covariance(3))
        sigma = bn.parameter("sigma", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
            bn.observed("y", bn.Normal(0.0, std=sigma))
    return net


def made(seed: int = 0, draws: bool = False) -> Fit:
    """A fit as a method would have found it."""
    generator = np.random.default_rng(seed)
    parameters = {
        "pi": np.array([0.25, 0.75]),
        "mu": generator.normal(size=(2, 3)),
        "Sigma": np.stack([np.eye(3), 2 * np.eye(3)]),
        "sigma": np.array(1.5),
    }
    return Fit(
        network=network(),
        method="em",
        parameters=parameters,
        log_likelihood=np.array([-3.0, -2.5, np.pi]),
        objective=np.array([-4.0, -3.5, 2.0]),
        status="degenerate",
        warnings=(FitWarning("Sigma[0]", "collapsed.", "Try <b>fewer</b>."),),
        restarts=gathered([Start(seed, 2.0, "converged", 7), Start(99, 1.0, "max_iter", 200)]),
        settings={"dtype": "float64", "seed": seed},
        rows=272,
        draws={name: generator.normal(size=(2, 5, *value.shape)) for name, value in parameters.items()}
        if draws
        else None,
    )


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other)


@pytest.mark.parametrize("draws", [False, True])
def test_everything_comes_back(tmp_path: Path, draws: bool) -> None:
    fit = made(draws=draws)
    fit.save(tmp_path / "fit.nc")
    back = bn.load(tmp_path / "fit.nc")
    for field in dataclasses.fields(Fit):
        assert equal(getattr(back, field.name), getattr(fit, field.name)), field.name
    assert back.summary() == fit.summary()
    with pytest.raises(bn.FitError, match="does not know its data"):
        back.posterior()


def test_a_large_network_is_saved(tmp_path: Path) -> None:
    """Its JSON is longer than the 64 kB that HDF5 takes for an attribute."""
    fit = dataclasses.replace(
        made(), network=bn.Network.of(dataclasses.replace(network().graph, doc="word " * 40_000))
    )
    fit.save(tmp_path / "fit.nc")
    assert bn.load(tmp_path / "fit.nc").network == fit.network


def test_arviz(tmp_path: Path) -> None:
    for draws, shape in ((False, (1, 1, 2, 3)), (True, (2, 5, 2, 3))):
        data = made(draws=draws).to_arviz()
        assert data["posterior"]["mu"].shape == shape
        assert data["posterior"]["mu"].dims == ("chain", "draw", "k", "mu_dim_0")
        np.testing.assert_array_equal(data["em"]["log_likelihood"], [-3.0, -2.5, np.pi])


@pytest.mark.parametrize("version", ["0.23.4", "1.3.0"])
def test_arviz_of_both_lines(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ArviZ 1 works on the DataTree itself, ArviZ 0 on its own container: each gets what it takes."""
    if version.startswith("0") and not az.__version__.startswith("0"):
        pytest.skip("ArviZ 1 is installed, which cannot make the container of ArviZ 0")
    monkeypatch.setattr(az, "__version__", version)
    data = made(draws=True).to_arviz()
    assert isinstance(data, xr.DataTree) == version.startswith("1")
    assert data["posterior"]["pi"].shape == (2, 5, 2)


def test_the_installed_arviz_takes_it() -> None:
    summary = az.summary(made(draws=True).to_arviz(), round_to="none")
    assert "mu[many, 2]" in summary.index and "pi[few]" in summary.index
    assert np.isfinite(summary["mean"].astype(float)).all()


def broken(path: Path, change: str) -> None:
    """Spoils a saved fit in one way."""
    if change == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif change == "text":
        path.write_text("no netCDF")
    elif change == "pickle":
        path.write_bytes(
            b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."
        )
    else:
        with h5py.File(path, "r+") as file:
            if change == "bomb":
                file.create_dataset(
                    "bomb", shape=(1 << 40,), dtype="f8", chunks=(1 << 20,), compression="gzip"
                )
            elif change == "shape":
                del file["parameters/sigma"]
                file["parameters"].create_dataset("sigma", data=np.zeros(7))
            elif change == "network":
                del file["network"]
                file.create_dataset("network", data='{"format": "something else"}')
            elif change == "missing":
                del file["parameters/mu"]


@pytest.mark.parametrize("change", ["cut", "text", "pickle", "bomb", "shape", "network", "missing"])
def test_what_is_no_fit_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "fit.nc"
    made().save(path)
    broken(path, change)
    with pytest.raises(bn.FitError) as error:
        bn.load(path)
    assert "fit.nc" in str(error.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(bn.FitError, match="There is no file"):
        bn.load("nowhere.nc")


@pytest.mark.parametrize("stage", ["fsync", "replace", "chmod"])
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    path = tmp_path / "fit.nc"
    made(1).save(path)

    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, stage, fail)
    with pytest.raises(OSError, match="No space"):
        made(2).save(path)
    monkeypatch.undo()
    assert bn.load(path).settings["seed"] == 1
    assert os.listdir(tmp_path) == ["fit.nc"]


SAVING = """
import sys
import bnlab as bn
one, two = bn.load(sys.argv[1]), bn.load(sys.argv[2])
print("ready", flush=True)
while True:
    one.save(sys.argv[3])
    two.save(sys.argv[3])
"""


def test_a_process_killed_while_it_saves_leaves_a_whole_file(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.nc", "two.nc", "fit.nc")]
    for seed, path in enumerate(paths):
        made(seed).save(path)
    generator = np.random.default_rng(0)
    for _ in range(3):
        command = [sys.executable, "-c", SAVING, *map(str, paths)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            time.sleep(generator.uniform(0.0, 0.3))
            process.send_signal(signal.SIGKILL)
        assert bn.load(paths[2]).settings["seed"] in (0, 1, 2)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    old, new = tmp_path / "fit.nc", tmp_path / "other.nc"
    made(1).save(old)
    made(2).save(new)
    program = """
import resource, signal, sys
import bnlab as bn
fit = bn.load(sys.argv[2])
print("loaded")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
fit.save(sys.argv[1])
"""
    finished = subprocess.run(
        [sys.executable, "-c", program, old, new], cwd=ROOT, capture_output=True, text=True
    )
    assert finished.returncode != 0 and finished.stdout == "loaded\n"
    assert bn.load(old).settings["seed"] == 1
