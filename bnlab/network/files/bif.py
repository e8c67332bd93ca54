"""BIF, the interchange format of the bnlearn repository, JavaBayes and most other tools.

    variable lung { type discrete [ 2 ] { yes, no }; }
    probability ( lung | smoke ) { (yes) 0.1, 0.9; (no) 0.01, 0.99; }

Commas and bars only separate; `property` and anything between blocks is skipped; a `table` of a node with parents runs over
the node's own states slowest, then over the parents in order (Cozman's description of version 0.15).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import NoReturn

import numpy as np

from bnlab.errors import Fault, Location, ModelError
from bnlab.naming import did_you_mean, quoted
from bnlab.network.files.tables import (
    Node,
    Table,
    Tables,
    filled,
    labels,
    named,
    normalised,
    number,
    refuse,
    repeated,
    shape_of,
    structure_faults,
)

TOKEN = re.compile(
    r"""(?P<gap>[\s,|]+|//[^\n]*) | (?P<comment>/\*) | "(?P<quoted>[^"\n]*)"
    | (?P<mark>[{}()\[\];]) | (?P<word>[^\s{}()\[\];,|"]+)""",
    re.VERBOSE,
)
PLAIN = re.compile(r"[^\s{}()\[\];,|\"/]+")
"""A word that needs no quotes."""


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is a word, a quoted text or a mark; only a mark can be punctuation."""

    text: str
    mark: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a probability block: `kind` is "table", "default" or "row", which holds for the parents' `states`."""

    kind: str
    states: tuple[str, ...]
    values: list[float]
    location: Location


@dataclass(slots=True)
class Reader:
    """The tokens of a file, from the next one on."""

    text: str
    file: str
    starts: list[int]
    tokens: Iterator[Token] = field(init=False)
    token: Token | None = None

    def __post_init__(self) -> None:
        self.tokens = self._tokens()
        self.token = next(self.tokens, None)

    def _tokens(self) -> Iterator[Token]:
        position = 0
        while position < len(self.text):
            found = TOKEN.match(self.text, position)
            if found is None:  # only an opening quote without a closing one on its line
                self.fail("This quotation is not closed.", Token('"', False, position, position + 1))
            position = found.end()
            if found.lastgroup == "comment":
                position = self.text.find("*/", position) + 2
                if position == 1:
                    self.fail("This comment is not closed.", Token("/*", True, found.start(), found.end()))
            elif found.lastgroup == "quoted":
                yield Token(found["quoted"], False, found.start(), found.end())
            elif found.lastgroup != "gap":
                yield Token(found[0], found.lastgroup == "mark", found.start(), found.end())

    def place(self, token: Token | None) -> Location:
        start = token.start if token else max(len(self.text.rstrip()) - 1, 0)
        line = bisect_right(self.starts, start)
        column = start - self.starts[line - 1]
        return Location(self.file, line, column, column + (token.end - token.start if token else 1))

    def fail(self, reason: str, token: Token | None) -> NoReturn:
        raise ModelError(Fault(reason, "", self.place(token)))

    def take(self) -> Token:
        """The next token. Raises ModelError at the end of the file."""
        token = self.token
        if token is None:
            self.fail("The file ends here, in the middle of a block.", None)
        self.token = next(self.tokens, None)
        return token

    def word(self, what: str) -> Token:
        token = self.take()
        if token.mark:
            self.fail(f"Here should be {what}, not {quoted(token.text)}.", token)
        return token

    def expect(self, mark: str) -> Token:
        token = self.take()
        if not token.mark or token.text != mark:
            self.fail(f"Here should be {quoted(mark)}, not {quoted(token.text)}.", token)
        return token

    def at(self, mark: str) -> bool:
        return self.token is not None and self.token.mark and self.token.text == mark

    def until(self, mark: str) -> Iterator[Token]:
        """The words before the mark, which is taken too."""
        while not self.at(mark):
            yield self.word(f"a word or {quoted(mark)}")
        self.take()


def read(text: str, file: str) -> Tables:
    """The network in `text`, which stands in `file`. Raises ModelError, with the line, where it is none."""
    reader = Reader(text, file, [0, *(found.end() for found in re.finditer("\n", text))])
    name, nodes, blocks = "", [], []
    while reader.token is not None:
        token = reader.take()
        match "" if token.mark else token.text:
            case "network":
                name = reader.word("the network's name").text if not reader.at("{") else ""
                reader.expect("{")
                _skip_block(reader)
            case "variable":
                nodes.append(_variable(reader))
            case "probability":
                blocks.append(_probability(reader))
            case _ if token.text == "{" and token.mark:
                _skip_block(reader)
    return _assembled(Tables("" if name == "unknown" else name, tuple(nodes), "", Location(file, 1)), blocks)


def _skip_block(reader: Reader) -> None:
    depth = 1
    while depth:
        token = reader.take()
        if token.mark:
            depth += {"{": 1, "}": -1}.get(token.text, 0)


def _skip_statement(reader: Reader) -> None:
    """To the semicolon; a property is free text."""
    while not (token := reader.take()).mark or token.text != ";":
        pass


def _variable(reader: Reader) -> Node:
    name = reader.word("the variable's name")
    reader.expect("{")
    states: list[str] = []
    while not reader.at("}"):
        keyword = reader.word('"type" or "property"')
        if keyword.text != "type":
            _skip_statement(reader)
            continue
        kind = reader.word('"discrete"')
        if kind.text != "discrete":
            reader.fail(
                f"{quoted(name.text)} is {quoted(kind.text)}; only discrete variables have tables.", kind
            )
        reader.expect("[")
        size = reader.word("the number of states")
        reader.expect("]")
        reader.expect("{")
        states = [token.text for token in reader.until("}")]
        reader.expect(";")
        if size.text != str(len(states)):
            reader.fail(f"{quoted(size.text)} states are announced, and {len(states)} follow.", size)
    reader.take()
    return Node(name.text, named(states), location=reader.place(name))


def _probability(reader: Reader) -> tuple[Token, tuple[str, ...], tuple[Row, ...], Location]:
    reader.expect("(")
    name, *parents = reader.until(")")
    reader.expect("{")
    rows = []
    while not reader.at("}"):
        row = _row(reader)
        rows += [row] if row else []
    reader.take()
    return name, tuple(parent.text for parent in parents), tuple(rows), reader.place(name)


def _row(reader: Reader) -> Row | None:
    first = reader.take()
    if not first.mark and first.text == "property":
        _skip_statement(reader)
        return None
    states: tuple[str, ...] = ()
    kind = first.text if first.text in ("table", "default") and not first.mark else "row"
    if kind == "row":
        if not (first.mark and first.text == "("):
            reader.fail(f'Here should be "table", "default" or "(", not {quoted(first.text)}.', first)
        states = tuple(token.text for token in reader.until(")"))
    values = [number(token.text, reader.place(token)) for token in reader.until(";")]
    return Row(kind, states, values, reader.place(first))


def _assembled(
    tables: Tables, blocks: list[tuple[Token, tuple[str, ...], tuple[Row, ...], Location]]
) -> Tables:
    """Parents first, for every node, and only when these are right the tables."""
    refuse(repeated(tables.nodes))
    known = {node.name: node for node in tables.nodes}
    faults = []
    found: dict[str, tuple[tuple[Row, ...], Location]] = {}
    for name, parents, rows, place in blocks:
        if name.text not in known:
            reason = f"{quoted(name.text)} is not declared.{did_you_mean(name.text, known)}"
            faults.append(Fault(reason, "", place))
        elif name.text in found:
            faults.append(Fault(f"{quoted(name.text)} has two probability blocks.", "", place))
        else:
            found[name.text] = rows, place
            known[name.text] = replace(known[name.text], parents=parents, location=place)
    faults += [
        Fault(f"{quoted(name)} has no probability block.", "", node.location)
        for name, node in known.items()
        if name not in found
    ]
    tables = replace(tables, nodes=tuple(known[node.name] for node in tables.nodes))
    refuse((*structure_faults(tables), *faults))
    nodes = [replace(node, table=_table(node, known, *found[node.name])) for node in tables.nodes]
    return replace(tables, nodes=tuple(nodes))


def _table(node: Node, known: dict[str, Node], rows: tuple[Row, ...], place: Location) -> Table | None:
    shape = shape_of(node, known)
    if not rows:
        return None
    if rows[0].kind == "table":
        if len(rows) > 1:
            raise ModelError(Fault(f"{quoted(node.name)} has more than its table.", "", rows[1].location))
        whole = filled(node, (shape[-1], *shape[:-1]), rows[0].values, rows[0].location)
        return np.moveaxis(whole, 0, -1)
    table = np.full(shape, np.nan)
    given: set[tuple[int, ...] | str] = set()
    for row in sorted(rows, key=lambda row: row.kind != "default"):
        index = () if row.kind == "default" else _index(node, known, row)
        key = index if row.kind == "row" else row.kind
        if key in given:
            raise ModelError(Fault(f"This row of {quoted(node.name)} is given twice.", "", row.location))
        given.add(key)
        values = filled(node, shape[-1:], row.values, row.location)
        table[index] = normalised(node.name, values, row.location)
    if np.isnan(table).any():
        absent = np.argwhere(np.isnan(table[..., 0]))
        pairs = zip(node.parents, absent[0], strict=True)
        spelled = ", ".join(labels(known[parent])[at] for parent, at in pairs)
        reason = f"The table of {quoted(node.name)} lacks {len(absent)} of {prod(shape[:-1])} rows, as ({spelled})."
        raise ModelError(Fault(reason, "", place))
    return table


def _index(node: Node, known: dict[str, Node], row: Row) -> tuple[int, ...]:
    if len(row.states) != len(node.parents):
        reason = f"{quoted(node.name)} has {len(node.parents)} parents, and this row names {len(row.states)} states."
        raise ModelError(Fault(reason, "", row.location))
    found = []
    for parent, state in zip(node.parents, row.states, strict=True):
        states = labels(known[parent])
        if state not in states:
            reason = f"{quoted(parent)} has no state {quoted(state)}.{did_you_mean(state, states)}"
            raise ModelError(Fault(reason, f"It has {', '.join(map(quoted, states))}.", row.location))
        found.append(states.index(state))
    return tuple(found)


def write(tables: Tables) -> str:
    """The network as BIF: rows one by one, numbers to the last bit."""
    known = {node.name: node for node in tables.nodes}
    parts = [f"network {_word(tables.name)} {{\n}}"]
    for node in tables.nodes:
        states = ", ".join(_word(state) for state in labels(node))
        parts.append(f"variable {_word(node.name)} {{\n  type discrete [ {node.size} ] {{ {states} }};\n}}")
    for node in tables.nodes:
        parents = f" | {', '.join(map(_word, node.parents))}" if node.parents else ""
        rows = "\n".join(_rows(node, known))
        parts.append(f"probability ( {_word(node.name)}{parents} ) {{\n{rows}\n}}")
    return "\n".join(parts) + "\n"


def _rows(node: Node, known: dict[str, Node]) -> Iterator[str]:
    assert node.table is not None, "tables are complete when they are written"
    for index in np.ndindex(node.table.shape[:-1]):
        states = (_word(labels(known[parent])[at]) for parent, at in zip(node.parents, index, strict=True))
        head = f"({', '.join(states)})" if node.parents else "table"
        yield f"  {head} {', '.join(repr(float(value)) for value in node.table[index])};"


def _word(text: str) -> str:
    if '"' in text:
        raise ModelError(
            Fault(f"{quoted(text)} has a quotation mark, which BIF cannot hold.", "Write .xml or .json.")
        )
    return text if PLAIN.fullmatch(text) else f'"{text}"'
