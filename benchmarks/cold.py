"""From the start of a process to a fitted model: Old Faithful, two components, wall seconds.

    python -m benchmarks.cold [--rounds 5]

What bnlab emits, `bn.fit` and the command line run with an empty compilation cache, and with the one that a first run left.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import ONE_CORE

ROOT = Path(__file__).parent.parent

SCIKIT_LEARN = """
import numpy as np
from sklearn.mixture import GaussianMixture
x = np.load("data.npz")["x"]
mixture = GaussianMixture(2, random_state=0).fit(x)
print(mixture.score(x) * len(x))
"""

FIT = """
import numpy as np
import bnlab as bn
bn.fit(bn.read("gmm.json"), {"x": np.load("data.npz")["x"]}, progress=False)
"""

COMMAND = "from bnlab.cli import main; main(['fit', 'gmm.json', '--data', 'data.npz'])"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; medians are shown")
    rounds = parser.parse_args().rounds

    import bnlab as bn
    from bnlab.cli.models import load_model

    model = load_model(str(ROOT / "models" / "gmm.py"))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "gmm_em.py").write_text(bn.emit(model.network, "em"), encoding="utf-8")
        bn.write(model.network, Path(folder, "gmm.json"))
        assert model.example is not None
        np.savez(Path(folder, "data.npz"), **model.example())
        cache = {
            "JAX_COMPILATION_CACHE_DIR": str(Path(folder, "cache")),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        emitted = [sys.executable, "gmm_em.py", "data.npz"]
        own = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": folder}
        fit = [sys.executable, "-c", FIT]
        command = [sys.executable, "-c", COMMAND]
        contestants = {
            "emitted": (emitted, {}),
            "emitted, cached": (emitted, cache),
            "bn.fit": (fit, own),
            "bn.fit, cached": (fit, own | cache),
            "command line": (command, own),  # it keeps what it compiled by itself
            "scikit-learn": ([sys.executable, "-c", SCIKIT_LEARN], {}),
        }
        for first, settings in ((emitted, cache), (fit, own | cache), (command, own)):
            seconds(first, settings, folder)  # fills the caches
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, (command, settings) in contestants.items():
                times[name].append(seconds(command, settings, folder))
    for name, values in times.items():
        print(
            json.dumps(
                {"case": "cold", "library": name, "seconds": statistics.median(values), "rounds": rounds}
            )
        )


def seconds(command: list[str], settings: dict[str, str], folder: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=os.environ | ONE_CORE | settings, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
