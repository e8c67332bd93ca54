"""How much memory something takes, where a large array must never be made."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def peak_below(mebibytes: float) -> Iterator[None]:
    """What Python and NumPy allocate inside never comes to more than that (which a clock of a busy machine cannot tell)."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < mebibytes, f"{peak:.0f} MiB"
