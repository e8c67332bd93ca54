"""Vectors and matrices in Kaldi's files, as data: an .scp table that says where in binary .ark files each utterance is.

What these files may say beyond that can run code (commands that end in "|", pickled arrays) and is refused before the package
kaldiio, which decodes the numbers, sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnlab.errors import DataError, Fault
from bnlab.network.ir import Graph
from bnlab.runtime.data_layout import sizeless

BINARY = re.compile(rb"\0B(?:[FD][MV]|CM[23]?) ")
"""How a vector or a matrix of numbers begins, compressed or not."""
CUT = "The file is damaged, or was not written to its end. Write it again."
LISTED = 5
"""Faults named one by one."""


def read_kaldi(scp: str | Path, utt2spk: str | Path | None = None) -> dict[str, Any]:
    """What an .scp file points to: "utterance", names in the file's order, "values", an array (dim,) or (frames, dim) for
    each, and with `utt2spk` "speaker", one name each.

    Paths in the table are as Kaldi takes them, from the working folder, else from that of the table. Needs the package
    kaldiio: pip install "bnlab[speech]". Raises DataError for anything but vectors or matrices of numbers in binary files,
    for files that are damaged or cut short, and for utterances without a speaker.
    """
    table = Path(scp)
    entries = _lines(table, "an utterance and where it is")
    faults = [fault for name, place in entries.items() for fault in _faults(table, name, place)]
    speakers, wrong = ([], []) if utt2spk is None else _speakers(entries, Path(utt2spk))
    faults += wrong
    if not entries:
        faults.append(Fault(f"{table} lists no utterances."))
    _refuse(faults)
    try:
        kaldiio = import_module("kaldiio")
    except ImportError:
        raise DataError(
            Fault("Kaldi's files want the package kaldiio.", 'pip install "bnlab[speech]"')
        ) from None
    values = _values(kaldiio.load_mat, table, entries)
    found: dict[str, Any] = {"utterance": np.array(list(entries)), "values": values}
    return found if utt2spk is None else found | {"speaker": np.array(speakers)}


def _refuse(faults: list[Fault]) -> None:
    """Raises DataError for the faults, if there are any: the first of them, and how many more."""
    if faults:
        more = [Fault(f"... and {len(faults) - LISTED} more.")] if len(faults) > LISTED else []
        raise DataError(*faults[:LISTED], *more)


def _values(load: Callable[[str], Any], table: Path, entries: Mapping[str, str]) -> list[NDArray[Any]]:
    """The numbers of each utterance. Raises DataError for those that are damaged or cut short."""
    values, faults = [], []
    for name, place in entries.items():
        where = f"{table.name}, {name}: {place[:80]!r}"
        try:
            value = np.asarray(load(f"{_file(table, place)}:{_offset(place)}"), float)
        except Exception as error:  # whatever its decoder stumbles over
            faults.append(Fault(f"{where} cannot be decoded: {error}.", CUT))
            continue
        promised = _promised(_file(table, place), _offset(place))
        if promised is not None and promised != value.size:
            faults.append(Fault(f"{where} has {value.size} numbers, and {promised} were written.", CUT))
        values.append(value)
    _refuse(faults)
    return values


def _promised(path: Path, offset: int) -> int | None:
    """How many numbers the head of a vector says it has: mark, kind, a byte 4, and a number of four bytes."""
    with path.open("rb") as opened:
        opened.seek(offset)
        head = opened.read(10)
    return int.from_bytes(head[6:10], "little", signed=True) if head[3:4] == b"V" else None


def _speakers(entries: Iterable[str], utt2spk: Path) -> tuple[list[str], list[Fault]]:
    """The speaker of each utterance."""
    known = _lines(utt2spk, "an utterance and its speaker")
    missing = [name for name in entries if name not in known]
    if not missing:
        return [known[name] for name in entries], []
    more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
    return [], [Fault(f"{utt2spk} has no speaker for {', '.join(missing[:LISTED])}{more}.")]


def kaldi_data(graph: Graph, scp: Path) -> dict[str, Any]:
    """The data of a network with one observed vector: a vector is a row of it, a matrix the steps of one member.

    The members around are the utterances, if these are matrices, and the speakers in `utt2spk` beside the table. Raises
    DataError where plates are not these.
    """
    vectors = [one for one in graph.in_role("observed") if len(one.domain.event_shape) == 1]
    if len(vectors) != 1 or len(graph.in_role("observed", "given")) != 1:
        raise DataError(
            Fault(f"{scp.name} holds values of one vector, and {graph.name} wants other data too.")
        )
    read = read_kaldi(scp)
    values: list[NDArray[Any]] = read["values"]
    frames = values[0].ndim == 2
    if any(value.ndim != values[0].ndim for value in values):
        raise DataError(Fault(f"{scp.name} holds both vectors and matrices.", "Put them into two tables."))
    sizes = {value.shape[-1]: name for name, value in zip(read["utterance"], values, strict=True)}
    if len(sizes) > 1:
        listed = " and ".join(f"{size} ({name})" for size, name in list(sizes.items())[:LISTED])
        raise DataError(Fault(f"The vectors in {scp.name} have different numbers of entries: {listed}."))
    rows = np.concatenate(values) if frames else np.stack(values)
    each = np.repeat(np.arange(len(values)), [len(value) if frames else 1 for value in values])
    plates = sizeless(graph, vectors[0].plates)[:-1]
    names, beside = ["utterance"] if frames else [], scp.parent / "utt2spk"
    if len(plates) > len(names) and beside.is_file():
        speakers, faults = _speakers(read["utterance"], beside)
        if faults:
            raise DataError(*faults)
        read, names = read | {"speaker": np.array(speakers)}, ["speaker", *names]
    if len(plates) > len(names):
        reason = f"The rows of {vectors[0].name} lie in {', '.join(plates)}; {scp.name} tells {', '.join(names) or 'no ids'}."
        raise DataError(Fault(reason, "Speakers are read from a file utt2spk beside it."))
    chosen = names[len(names) - len(plates) :]
    return {vectors[0].name: rows} | {
        plate: read[name][each] for plate, name in zip(plates, chosen, strict=True)
    }


def _lines(path: Path, what: str) -> Mapping[str, str]:
    """The first word of each line, and the rest."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = (
            "Give the table, .scp, that says where in it each utterance is." if path.suffix == ".ark" else ""
        )
        raise DataError(Fault(f"{path} cannot be read: {error}.", remedy)) from None
    found: dict[str, str] = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        name, *rest = line.split(maxsplit=1)
        if not rest or name in found:
            why = "is there twice" if rest else f"is not {what}"
            raise DataError(Fault(f"{path}, line {number}: {line[:80]!r} {why}."))
        found[name] = rest[0].strip()
    return found


def _faults(table: Path, name: str, place: str) -> list[Fault]:
    """What is wrong with one entry of the table."""
    where = f"{table.name}, {name}: {place[:80]!r}"
    if "|" in place or place.startswith("-"):
        return [
            Fault(
                f"{where} is a command or a pipe.",
                "bnlab runs no commands: copy the vectors to an .ark file.",
            )
        ]
    if not re.fullmatch(r".+:\d+|[^:\[\]]+", place):
        return [Fault(f"{where} is not a file and an offset, like vectors.ark:15.")]
    try:
        with _file(table, place).open("rb") as opened:
            opened.seek(_offset(place))
            begins = opened.read(8)
    except OSError as error:
        return [Fault(f"{where} cannot be read: {error}.")]
    if BINARY.match(begins):
        return []
    return [
        Fault(
            f"{where} is no binary vector or matrix of Kaldi's.", "Write them with copy-vector or copy-feats."
        )
    ]


def _file(table: Path, place: str) -> Path:
    path = Path(re.sub(r":\d+$", "", place))
    return path if path.is_file() else table.parent / path


def _offset(place: str) -> int:
    found = re.search(r":(\d+)$", place)
    return int(found[1]) if found else 0
