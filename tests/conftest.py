"""What all tests share: 64-bit numbers, programs compiled once, and the switch that rewrites the golden files."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Compiling many small programs is most of the work of the tests: LLVM is asked for less, in subprocesses too.
# `make test-all` sets XLA_FLAGS to nothing, and compiles as users do.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import jax  # noqa: E402 - it reads the flags
import pytest  # noqa: E402

jax.config.update("jax_enable_x64", True)

# Processes share what they compile, and find it again when they have let it go. The first one makes the folder, and removes it.
COMPILED = "" if "JAX_COMPILATION_CACHE_DIR" in os.environ else tempfile.mkdtemp(prefix="compiled-")
if COMPILED:
    jax.config.update("jax_compilation_cache_dir", COMPILED)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED
for option, least in (("MIN_COMPILE_TIME_SECS", 0), ("MIN_ENTRY_SIZE_BYTES", -1)):
    os.environ.setdefault(f"JAX_PERSISTENT_CACHE_{option}", str(least))
    jax.config.update(f"jax_persistent_cache_{option.lower()}", least)

MAPS = Path("/proc/self/maps")
MOST_MAPS = 30_000
"""Linux gives a process 65530 mappings of memory, each compiled program takes some, and one too many kills the process."""

finished = itertools.count(1)


@pytest.fixture(autouse=True)
def compiled_programs_are_let_go() -> Iterator[None]:
    """Thousands of small networks are compiled in one process: forget them before there is no room for more."""
    yield
    if next(finished) % 20 == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


def pytest_unconfigure() -> None:
    if COMPILED:
        shutil.rmtree(COMPILED, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is emitted now to tests/golden instead of comparing with it",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
