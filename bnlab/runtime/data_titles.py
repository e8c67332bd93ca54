"""Data under the names that a file gave its variables, where these are no names for code (`net.titles`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bnlab.errors import DataError, Fault
from bnlab.network.declare import Network
from bnlab.runtime.data_frames import Columns, is_frame


def by_names(net: Network, data: Any, columns: Columns | None = None) -> tuple[Any, Columns | None]:
    """The data, and what `columns` says of them, with variables under their names in the network. A name that the network
    has goes before a title. Raises DataError for a variable that is given under both."""
    if is_frame(data):
        present = data.column_names if type(data).__module__.startswith("pyarrow") else data.columns
        found = {} if columns is None else renamed(net, columns)
        bound = {one for entry in found.values() for one in ([entry] if isinstance(entry, str) else entry)}
        titles = _names(net, present)
        _twice({name: title for title, name in titles.items() if name in {str(one) for one in present}})
        found |= {name: title for title, name in titles.items() if name not in found and title not in bound}
        return data, found or columns
    named = None if columns is None else renamed(net, columns)
    # With `columns`, a mapping is a table, and its keys are columns, of whatever names.
    return (renamed(net, data) if isinstance(data, Mapping) and columns is None else data), named


def renamed(net: Network, entries: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping by variables, with names of the network for their titles; ids by variable are told in the same way."""
    titles = _names(net, entries)
    _twice({name: title for title, name in titles.items() if name in entries})
    found = {titles.get(key, key): value for key, value in entries.items()}
    if isinstance(ids := found.get("ids"), Mapping):
        found["ids"] = {
            plate: renamed(net, each) if isinstance(each, Mapping) else each for plate, each in ids.items()
        }
    return found


def name_of(net: Network, title: str) -> str:
    """The variable that is called, or titled, like this; the word itself where there is none."""
    return _names(net, (title,)).get(title, title)


def _names(net: Network, words: Any) -> dict[str, str]:
    """The names of the variables of which `words` has the titles."""
    own = {one.name for one in (*net.graph.variables, *net.graph.plates)}
    titles = {title: name for name, title in net.titles.items()}
    return {word: titles[word] for word in map(str, words) if word in titles and word not in own}


def _twice(both: Mapping[str, str]) -> None:
    faults = [
        Fault(f'Data are given both for {name} and for "{title}", which is its title.', "Leave one out.")
        for name, title in both.items()
    ]
    if faults:
        raise DataError(*faults)
