"""Displayed equations that fit the page: long ones are broken before a relation, a term or a factor."""

from __future__ import annotations

from dataclasses import dataclass

from bnlab.printers.latex_width import width

LIMIT = 420.0
"""How wide a line may be, in points: the page that `latex` sets takes 455, and `width` is right to some 7 % only."""
RELATION, INDENT = 14.0, 22.0
"""The width of a relation and of the indentation of what goes on."""
SHORT = 2 * INDENT
"""A row of its own for a left side that is no wider would win nothing."""


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
    rows = [row for each in lines for row in _rows(each)]
    lefts, rights = zip(*(row.split("&", 1) for row in rows), strict=True)
    if len(lines) > 1 and max(map(width, lefts)) + max(map(width, rights)) > LIMIT:
        return "\n".join(display(each) for each in lines)
    return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}"


def _rows(each: Line) -> list[str]:
    whole = [_joined(side) for side in each.sides]
    left = width(each.left)
    if left + sum(width(side) + RELATION for side in whole) <= LIMIT:
        return [f"{each.left} &{each.relation} {' = '.join(whole)}"]
    relations = [each.relation, *["="] * (len(whole) - 1)]
    beside = [_broken(side, LIMIT - left - RELATION) for side in each.sides]
    fits = left + RELATION + max(width(part) for parts in beside for part in parts) <= LIMIT
    if fits or left < SHORT:
        rows = [
            row for sign, parts in zip(relations, beside, strict=True) for row in _side(f"&{sign}", parts)
        ]
        return [f"{each.left} {rows[0]}", *rows[1:]]
    below = [_broken(side, LIMIT - INDENT - RELATION) for side in each.sides]
    rows = [
        row for sign, parts in zip(relations, below, strict=True) for row in _side(rf"&\qquad {sign}", parts)
    ]
    return [f"&{each.left}", *rows]


def _side(start: str, parts: list[str]) -> list[str]:
    """One side of an equation: what goes on in the next row is set further in."""
    further = start.rsplit("&", 1)[1].count(r"\qquad") + 1
    return [f"{start} {parts[0]}", *("&" + r"\qquad" * further + f" {part}" for part in parts[1:])]


def _joined(terms: tuple[str, ...]) -> str:
    return " ".join(_spaced(term) if place else term for place, term in enumerate(terms))


def _spaced(term: str) -> str:
    return f"{term[0]} {term[1:]}" if term[0] in "+-" else term


def _broken(terms: tuple[str, ...], room: float) -> list[str]:
    rows: list[list[str]] = [[]]
    for term in terms:
        indent = INDENT if len(rows) > 1 else 0.0
        if rows[-1] and width(_joined((*rows[-1], term))) > room - indent:
            rows.append([])
        rows[-1].append(term)
    return [
        (f"{{}} {_spaced(row[0])}" if place and row[0][0] in "+-" else row[0])
        + "".join(f" {_spaced(term)}" for term in row[1:])
        for place, row in enumerate(rows)
    ]
