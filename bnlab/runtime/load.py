"""Emitted text as a module: written to a real file, so that tracebacks show its source, and imported from there."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from bnlab.atomic import write_bytes
from bnlab.errors import InternalError


@cache
def load_source(text: str, name: str) -> ModuleType:
    """The module that `text` is, imported once a process under a name made of `name` and the text's hash.

    `text` is what bnlab has just emitted, never a file that somebody else wrote: importing it runs it. JAX computes in 64
    bits from here on; arrays that are given as float32 stay so.
    """
    jax.config.update("jax_enable_x64", True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = _folder() / f"{name}_{digest}.py"
    _write(path, text)
    title = f"bnlab_emitted.{path.stem}"
    specification = importlib.util.spec_from_file_location(title, path)
    if specification is None or specification.loader is None:
        raise InternalError(f"Python cannot import {path}.")
    module = importlib.util.module_from_spec(specification)
    sys.modules[title] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[title]
        raise
    return module


def ready(
    text: str, name: str, theta: Mapping[str, Any], canonical: Mapping[str, Any], dtype: str
) -> tuple[ModuleType, Any, Any]:
    """The module that `text` is, and what its functions are asked about: the parameters, and the canonical data, prepared."""
    module = load_source(text, name)
    data = module.prepare(dict(canonical), np.dtype(dtype))
    given = {each: np.asarray(value, dtype=dtype) for each, value in theta.items()}
    return module, module.Parameters(**given), data


def _folder() -> Path:
    """The user's own cache, or a private folder for this process where there is none to write in."""
    return kept_folder() or _passing_folder()


@cache
def _passing_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="bnlab-"))


@cache
def kept_folder() -> Path | None:
    """The user's own cache of emitted texts; None where there is none that only the user writes to."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "bnlab" / "emitted"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = not os.stat(folder).st_mode & 0o022  # what others may write to is not imported
        if private and os.access(folder, os.W_OK | os.X_OK):
            return folder
    except OSError:
        pass
    return None


def _write(path: Path, text: str) -> None:
    """The whole text or nothing, also when several processes write the same file at once."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    write_bytes(path, text.encode())
