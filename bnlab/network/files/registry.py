"""`bn.read` and `bn.write`: the formats by suffix. What is read is only data: nothing in it is run, fetched or expanded."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from linecache import checkcache
from pathlib import Path

from bnlab.atomic import write_bytes
from bnlab.errors import Fault, ModelError
from bnlab.naming import did_you_mean, quoted
from bnlab.network.declare import Network
from bnlab.network.files import bif, uai, xdsl, xmlbif
from bnlab.network.files.from_network import tables_of
from bnlab.network.files.tables import Tables
from bnlab.network.files.to_network import network_of
from bnlab.network.formats import network_from_json, network_to_json


@dataclass(frozen=True, slots=True)
class Format:
    """How a network is read from the bytes of a file, by the path to name in errors, and written as text."""

    title: str
    read: Callable[[bytes, str], Network]
    write: Callable[[Network], str]
    largest: int = 1 << 23
    """Bytes. The largest network of the usual collections has 5.5 million; what is as long and means nothing takes seconds."""


def read(path: str | os.PathLike[str]) -> Network:
    """The network in a file, by its suffix: .json .bif .xml (XMLBIF) .xdsl .uai.

    The tables of the file come along as `net.parameters`: there EM starts, and nothing is fixed. All variables are
    observed, but for those that a .json file says are not; `net.hide("lung")` makes a variable latent. A name that cannot be
    one in code is changed, and kept in `net.titles`. Raises ModelError, with the line, if the file holds no network.
    """
    file = Path(path)
    kind = _format(file)
    size = file.stat().st_size
    if size > kind.largest:
        raise ModelError(
            f"{quoted(file.name)} has {size} bytes, and a file of {kind.title} at most {kind.largest}."
        )
    checkcache(str(file))  # errors quote the file as it is now
    return kind.read(file.read_bytes(), str(file))


def write(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the network to a file, by its suffix: .json .bif .xml (XMLBIF) .xdsl .uai.

    All but .json hold nothing but tables, and those of the declaration and of `net.parameters` are written:
    `bn.write(net.with_parameters(fit.parameters), "learnt.bif")`. The file is replaced in one step, or stays as it was.
    Raises ModelError for what the format cannot hold.
    """
    file = Path(path)
    write_bytes(file, _format(file).write(network).encode())


def _format(file: Path) -> Format:
    found = FORMATS.get(file.suffix.lower())
    if found is None:
        near = did_you_mean(file.suffix, FORMATS)
        reason = f"{quoted(file.name)} does not end in {', '.join(FORMATS)}: the formats that bnlab reads and writes.{near}"
        raise ModelError(Fault(reason))
    return found


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"{quoted(Path(file).name)} is not text in UTF-8 (byte {error.start}, line {line})."
        raise ModelError(Fault(reason, "Convert the file to UTF-8.")) from None


def _network(tables: Tables, file: str) -> Network:
    """A network without a name is called like its file."""
    return network_of(tables if tables.name else replace(tables, name=Path(file).stem))


def _of_text(reader: Callable[[str, str], Tables]) -> Callable[[bytes, str], Network]:
    return lambda data, file: _network(reader(_text(data, file), file), file)


def _of_bytes(reader: Callable[[bytes, str], Tables]) -> Callable[[bytes, str], Network]:
    return lambda data, file: _network(reader(data, file), file)


def _to_text(writer: Callable[[Tables], str]) -> Callable[[Network], str]:
    return lambda network: writer(tables_of(network))


FORMATS: Mapping[str, Format] = {
    ".json": Format(
        "JSON", lambda data, file: network_from_json(_text(data, file)), network_to_json, 1 << 26
    ),
    ".bif": Format("BIF", _of_text(bif.read), _to_text(bif.write)),
    ".xml": Format("XMLBIF", _of_bytes(xmlbif.read), _to_text(xmlbif.write)),
    ".bifxml": Format("XMLBIF", _of_bytes(xmlbif.read), _to_text(xmlbif.write)),
    ".xmlbif": Format("XMLBIF", _of_bytes(xmlbif.read), _to_text(xmlbif.write)),
    ".xdsl": Format("XDSL", _of_bytes(xdsl.read), _to_text(xdsl.write)),
    ".uai": Format("UAI", _of_text(uai.read), _to_text(uai.write)),
}
