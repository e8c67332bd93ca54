"""UAI, the format of the inference competitions: numbers only. Variables become x0, x1 ...; the last index runs fastest."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from math import prod
from typing import NoReturn

from bnlab.errors import Fault, Location, ModelError
from bnlab.naming import quoted
from bnlab.network.files.tables import (
    LARGEST_TABLE,
    MOST_NODES,
    MOST_PARENTS,
    Node,
    Tables,
    filled,
    number,
    refuse,
    shape_of,
    structure_faults,
)


@dataclass(slots=True)
class Reader:
    """The words of a file, from the next one on."""

    text: str
    file: str
    position: int = 0

    def place(self) -> Location:
        starts = [0, *(found.end() for found in re.finditer("\n", self.text))]
        return Location(self.file, bisect_right(starts, min(self.position, len(self.text.rstrip()))))

    def fail(self, reason: str) -> NoReturn:
        raise ModelError(Fault(reason, "", self.place()))

    def word(self) -> str:
        found = WORD.match(self.text, self.position)
        if found is None:
            self.fail("The file ends here, too early.")
        self.position = found.end(1)
        return found[1]

    def whole(self, most: int) -> int:
        word = self.word()
        if not (word.isascii() and word.isdigit() and len(word) < 10 and int(word) <= most):
            self.fail(f"Here should be a whole number of at most {most}, not {quoted(word)}.")
        return int(word)


WORD = re.compile(r"\s*(\S+)")


def read(text: str, file: str) -> Tables:
    """The network in `text`. Raises ModelError, with the line, where it is none."""
    reader = Reader(re.sub(r"(?m)^c .*$|#.*$", "", text), file)
    kind = reader.word()
    if kind != "BAYES":
        reader.fail(f"The file is {quoted(kind)}; bnlab reads BAYES, whose functions are distributions.")
    sizes = [reader.whole(LARGEST_TABLE) for _ in range(reader.whole(MOST_NODES))]
    scopes: dict[int, tuple[int, ...]] = {}
    order = []
    if (count := reader.whole(MOST_NODES)) != len(sizes):
        reader.fail(f"There are {len(sizes)} variables and {count} functions; each has one.")
    for _ in range(count):
        members = reader.whole(MOST_PARENTS + 1)
        scope = tuple(reader.whole(len(sizes) - 1) for _ in range(members))
        if not scope or scope[-1] in scopes:
            reader.fail("A function has its own variable last, and each variable has one function.")
        scopes[scope[-1]] = scope[:-1]
        order.append(scope[-1])
    nodes = [
        Node(f"x{place}", size, tuple(f"x{parent}" for parent in scopes[place]))
        for place, size in enumerate(sizes)
    ]
    refuse(structure_faults(Tables("", tuple(nodes), "", Location(file, 1))))
    known = {node.name: node for node in nodes}
    for place in order:
        nodes[place] = _with_table(reader, nodes[place], known)
    return Tables("", tuple(nodes), "", Location(file, 1))


def _with_table(reader: Reader, node: Node, known: dict[str, Node]) -> Node:
    shape = shape_of(node, known)
    count = reader.whole(LARGEST_TABLE)
    if count != prod(shape):
        reader.fail(f"The table of {node.name} announces {count} entries; it needs {prod(shape)}.")
    words = [reader.word() for _ in range(count)]
    place = reader.place()
    return replace(
        node, table=filled(node, shape, [number(word, place) for word in words], place), location=place
    )


def write(tables: Tables) -> str:
    """The network as UAI. Names and states have no place in it: a variable is its number in the order of declaration."""
    place = {node.name: number for number, node in enumerate(tables.nodes)}
    parts = ["BAYES", str(len(place)), " ".join(str(node.size) for node in tables.nodes), str(len(place))]
    for node in tables.nodes:
        scope = (*(place[parent] for parent in node.parents), place[node.name])
        parts.append(" ".join(map(str, (len(scope), *scope))))
    for node in tables.nodes:
        assert node.table is not None, "tables are complete when they are written"
        rows = [" ".join(map(repr, row)) for row in node.table.reshape(-1, node.size).tolist()]
        parts += ["", str(node.table.size), *rows]
    return "\n".join(parts) + "\n"
