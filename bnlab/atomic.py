"""Files that are either the old one or the new one, whatever happens while they are written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def writable(path: str | os.PathLike[str]) -> Path:
    """The path, if a file can be written there: asked before long work, not after it.
    Raises FileNotFoundError where its folder does not exist, IsADirectoryError where it is a folder itself, PermissionError
    where the folder takes no new files."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: give the name of a file in it.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {target.parent} to write {target.name} into.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"The folder {target.parent} cannot be written to.")
    return target


def write(path: str | os.PathLike[str], fill: Callable[[Path], object]) -> None:
    """Lets `fill` write a temporary file beside `path`, brings it to the disk, and puts it in the place of `path`.
    Raises what `writable` raises."""
    target = writable(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        fill(temporary)
        _to_disk(temporary, os.O_RDWR)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _to_disk(target.parent, os.O_RDONLY)  # the new name itself


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Puts a file with this content in the place of `path`."""
    write(path, lambda temporary: temporary.write_bytes(content))


def _to_disk(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """The process's mask for new files; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
