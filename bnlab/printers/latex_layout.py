"""Displayed equations that fit the page: long ones are broken before a relation, a term or a factor."""

from __future__ import annotations

import re
from dataclasses import dataclass

LIMIT = 75.0
"""How wide a line may be, in letters; the page that `latex` sets takes about 90."""


@dataclass(frozen=True, slots=True)
class Line:
    """left = side = side ...; every side is a tuple of terms, or factors, between which a line may end."""

    left: str
    sides: tuple[tuple[str, ...], ...]
    relation: str = "="


def line(left: str, *sides: str | tuple[str, ...], relation: str = "=") -> Line:
    return Line(left, tuple((side,) if isinstance(side, str) else side for side in sides), relation)


def display(*lines: Line) -> str:
    """The equations one below the other, aligned at their relations unless that makes them too wide."""
    lefts = [width(each.left) for each in lines]
    rights = [width(row.split("&", 1)[1]) for each in lines for row in _rows(each)]
    if len(lines) > 1 and max(lefts) + max(rights) > LIMIT + 6:
        return "\n".join(display(each) for each in lines)
    rows = [row for each in lines for row in _rows(each)]
    return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}"


def _rows(each: Line) -> list[str]:
    whole = [_joined(side) for side in each.sides]
    if width(each.left) + sum(width(side) + 3 for side in whole) <= LIMIT:
        return [f"{each.left} &{each.relation} {' = '.join(whole)}"]
    rows = []
    room = LIMIT - min(width(each.left), LIMIT / 2) - 3
    for place, side in enumerate(each.sides):
        first, *rest = _broken(side, room)
        rows.append(f"{'' if place else each.left} &{'=' if place else each.relation} {first}".strip())
        rows += [rf"&\qquad {part}" for part in rest]
    return rows


def _joined(terms: tuple[str, ...]) -> str:
    return " ".join(_spaced(term) if place else term for place, term in enumerate(terms))


def _spaced(term: str) -> str:
    return f"{term[0]} {term[1:]}" if term[0] in "+-" else term


def _broken(terms: tuple[str, ...], room: float) -> list[str]:
    rows: list[list[str]] = [[]]
    for term in terms:
        if rows[-1] and width(_joined((*rows[-1], term))) > room:
            rows.append([])
        rows[-1].append(term)
    return [
        (f"{{}} {_spaced(row[0])}" if place and row[0][0] in "+-" else row[0])
        + "".join(f" {_spaced(term)}" for term in row[1:])
        for place, row in enumerate(rows)
    ]


def width(tex: str) -> float:
    """About how wide a formula is set, in letters: of a fraction the wider part, of scripts a good half."""
    text = re.sub(r"\\begin\{cases\}(.*?)\\end\{cases\}", lambda found: _widest(found[1]), tex)
    text = re.sub(r"\\(begin|end)\{pmatrix\}", "", text)
    if "&" in text:
        text = max(re.split(r"\\\\", text), key=len)
    while (found := text.find(r"\frac{")) >= 0:
        top, end = _group(text, found + 5)
        bottom, end = _group(text, end)
        text = text[:found] + max(top, bottom, key=width) + text[end:]
    scripts = sum(_script(text, place) for place, sign in enumerate(text) if sign in "_^")
    flat = re.sub(
        r"\\(left|right|Bigl|Bigr|bigl|bigr|tfrac|mathrm|operatorname|mathcal|text|bar|tilde|top|limits|,|!)",
        "",
        text,
    )
    flat = re.sub(r"\\hat(?![a-z])", "xxxx", flat)
    flat = re.sub(r"\\(ln|sum|prod|qquad|quad|leftarrow)(?![a-z])", "xx", flat)
    flat = re.sub(r"\\[A-Za-z]+|\\.", "x", flat)
    spaces = 0.5 * len(re.findall("[=+<>~-]", flat)) + 0.6 * tex.count(r"\left")
    return len(re.sub(r"[{}_^\s]", "", flat)) + spaces - 0.4 * scripts


def _widest(rows: str) -> str:
    """The widest row of several cases, with letters for the brace and the gap."""
    return "xx" + max(rows.split(r"\\"), key=len).replace("&", "xxx")


def _script(text: str, place: int) -> int:
    if place + 1 < len(text) and text[place + 1] == "{":
        inside, _ = _group(text, place + 1)
        return len(re.sub(r"\\[A-Za-z]+", "x", inside).replace(" ", "").replace("{", "").replace("}", ""))
    return 1


def _group(text: str, start: int) -> tuple[str, int]:
    """What stands in the braces that open at `start`, and where they are closed."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start + 1 : place], place + 1
    return text[start + 1 :], len(text)
