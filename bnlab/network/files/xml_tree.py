"""XML from anybody as a tree with line numbers. Entities, external parts and deep nesting are refused; nothing is fetched."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from bnlab.errors import Fault, Location, ModelError
from bnlab.naming import quoted

MOST_ELEMENTS = 300_000
"""The largest network of the usual collections has some 30,000."""

DEEPEST = 32
"""Elements inside one another."""


@dataclass(slots=True)
class Element:
    """An element, its attributes, what is in it, and its text without that of inner elements."""

    tag: str
    attributes: dict[str, str]
    location: Location
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces).strip()

    def all(self, *tags: str) -> Iterator[Element]:
        """The direct children with one of these tags."""
        return (child for child in self.children if child.tag in tags)

    def first(self, tag: str) -> Element | None:
        return next(self.all(tag), None)

    def needed(self, tag: str) -> Element:
        """The first child with the tag. Raises ModelError if there is none."""
        found = self.first(tag)
        return found if found is not None else self.fail(f"<{self.tag}> has no <{tag}>.")

    def attribute(self, name: str) -> str:
        """An attribute. Raises ModelError if it is not there."""
        found = self.attributes.get(name)
        return found if found is not None else self.fail(f"<{self.tag}> has no attribute {name}.")

    def fail(self, reason: str) -> NoReturn:
        raise ModelError(Fault(reason, "", self.location))


def tree(data: bytes, file: str, upper: bool = False) -> Element:
    """The root element of a document; with `upper`, tags and attributes in capitals. Raises ModelError, with the line."""
    parser = expat.ParserCreate()
    open_elements: list[Element] = []
    roots: list[Element] = []
    count = itertools.count()

    def fail(reason: str) -> NoReturn:
        place = Location(file, parser.CurrentLineNumber, parser.CurrentColumnNumber)
        raise ModelError(Fault(reason, "", place))

    def spelled(name: str) -> str:
        return name.upper() if upper else name

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(open_elements) >= DEEPEST:
            fail(f"More than {DEEPEST} elements stand inside one another.")
        if next(count) >= MOST_ELEMENTS:
            fail(f"There are more than {MOST_ELEMENTS:,} elements.")
        line = Location(file, parser.CurrentLineNumber)
        found = Element(spelled(tag), {spelled(key): value for key, value in attributes.items()}, line)
        (open_elements[-1].children if open_elements else roots).append(found)
        open_elements.append(found)

    def end(tag: str) -> None:
        open_elements.pop()

    def characters(text: str) -> None:
        if open_elements:
            open_elements[-1].pieces.append(text)

    def entity(*declaration: object) -> None:
        fail("The file declares entities, which bnlab does not expand: they can make a small file endless.")

    def doctype(name: str, system: str | None, public: str | None, internal: bool) -> None:
        if system or public:
            fail(f"The file asks for another one, {quoted(system or public or '')}; bnlab fetches nothing.")

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.EntityDeclHandler = entity
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        place = Location(file, error.lineno, error.offset)
        raise ModelError(Fault(f"This is not XML: {expat.ErrorString(error.code)}.", "", place)) from None
    except (ValueError, LookupError) as error:  # an encoding that Python does not know
        raise ModelError(Fault(f"This is not XML: {error}.", "", Location(file, 1))) from None
    return roots[0]
