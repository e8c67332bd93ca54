"""How wide TeX sets a formula: the sizes of Computer Modern, near enough to know where a line must end."""

from __future__ import annotations

import re

SCALE = 1.095
"""Points of an article set at 11 pt for one of the 10 pt font, whose sizes stand below."""
SCRIPT = 0.78
"""The size of scripts: 0.73, in letters that are made wider. Scripts of scripts are as large here."""
LETTERS = {**dict.fromkeys("ijlt", 3.5), **dict.fromkeys("frscz", 4.5), **dict.fromkeys("mw", 8.2)}
RELATION, BINARY, PUNCTUATION, THIN = 2 * 2.8, 2 * 2.2, 1.7, 1.7
"""The space on both sides, which scripts go without; after a comma; after a word like ln."""
SIGNS = {
    **{sign: 7.8 + RELATION for sign in ("=", "<", ">", r"\sim", r"\ge")},
    **{sign: 7.8 + BINARY for sign in ("+", "-", r"\times")},
    **{sign: 3.9 for sign in "()"},
    **{sign: 2.8 for sign in "[]|."},
    r"\leftarrow": 10.0 + RELATION, r"\mid": 2.8 + RELATION, ",": 2.8 + PUNCTUATION, ";": 2.8 + PUNCTUATION,
    r"\cdot": 2.8 + BINARY, r"\ln": 8.3 + THIN, r"\exp": 14.7 + THIN, r"\max": 16.4 + THIN, r"\dots": 13.3,
    r"\infty": 10.0, r"\partial": 5.6, r"\top": 7.8, r"\|": 5.0, "'": 2.8, r"\quad": 10.0, r"\qquad": 20.0,
    r"\,": 1.7, r"\ ": 3.3, r"\!": -1.7, r"\int": 9.4 + THIN,
}  # fmt: skip
SCRIPTED = {
    **{sign: 7.8 for sign in ("=", "<", ">", "+", "-", r"\ge")},
    ",": 2.8,
    r"\mid": 2.8,
    r"\cdot": 2.8,
}
LIMITS = {r"\sum": 14.4 + THIN, r"\prod": 12.8 + THIN}
"""Signs whose scripts are set above and below where there is room."""
STRETCHED = {r"\left": 2.5, r"\right": 2.5, r"\Bigl": 2.0, r"\Bigr": 2.0, r"\bigl": 0.7, r"\bigr": 0.7}
"""What delimiters are wider for being tall."""
SAME = (r"\hat", r"\widehat", r"\bar", r"\tilde", r"\mathrm", r"\mathcal", r"\text", r"\operatorname")
"""Commands whose argument is as wide as without."""

Tokens = list[str]


def width(tex: str) -> float:
    """About how many points wide a displayed formula is set."""
    return SCALE * _row(re.findall(r"\\[A-Za-z]+|\\.|[^\s]", tex.replace("~", r"\ ")), "display")


def _row(tokens: Tokens, style: str) -> float:
    """The width of what stands in a row; `style` is "display", "text" or "script"."""
    total, place = 0.0, 0
    while place < len(tokens):
        sign = tokens[place]
        own, place = _atom(tokens, place, style)
        scripts: list[float] = []
        while place < len(tokens) and tokens[place] in ("_", "^"):
            script, place = _argument(tokens, place + 1)
            scripts.append(SCRIPT * _row(script, "script"))
        if sign in LIMITS and style == "display":
            total += max(own, *scripts, 0.0)
        else:
            total += own + max(scripts, default=0.0)
    return total


def _atom(tokens: Tokens, place: int, style: str) -> tuple[float, int]:
    """The width of the sign, group or command at `place`, and where it ends."""
    sign = tokens[place]
    smaller = "script" if style == "script" else "text"
    if sign == "{":
        inside, place = _argument(tokens, place)
        return _row(inside, style), place
    if sign in (r"\frac", r"\tfrac"):
        above, place = _argument(tokens, place + 1)
        below, place = _argument(tokens, place)
        size = SCRIPT if sign == r"\tfrac" else 1.0
        return size * max(_row(above, smaller), _row(below, smaller)) + 2.4, place
    if sign == r"\sqrt":
        inside, place = _argument(tokens, place + 1)
        return _row(inside, style) + 8.3, place
    if sign in SAME:
        inside, place = _argument(tokens, place + 1)
        return _row(inside, style) + (THIN if sign == r"\operatorname" else 0.0), place
    if sign == r"\begin":
        return _table(tokens, place)
    if sign in LIMITS:
        return LIMITS[sign] if style == "display" else 10.0, place + 1
    return _sign(sign, style), place + 1


def _sign(sign: str, style: str) -> float:
    if style == "script" and sign in SCRIPTED:
        return SCRIPTED[sign]
    known = SIGNS.get(sign, STRETCHED.get(sign, LETTERS.get(sign)))
    if known is not None:
        return known
    if sign == "&":
        return 0.0
    name = sign.removeprefix("\\")
    return 7.4 if name[0].isupper() else 5.4


def _argument(tokens: Tokens, place: int) -> tuple[Tokens, int]:
    """What a command or script is given: one sign, or what stands in braces; and where it ends."""
    if place >= len(tokens) or tokens[place] != "{":
        return tokens[place : place + 1], place + 1
    depth = 0
    for end in range(place, len(tokens)):
        depth += {"{": 1, "}": -1}.get(tokens[end], 0)
        if not depth:
            return tokens[place + 1 : end], end + 1
    return tokens[place + 1 :], len(tokens)


def _table(tokens: Tokens, place: int) -> tuple[float, int]:
    """A matrix, or cases: the widest entry of each column, with what is between and around them."""
    _, place = _argument(tokens, place + 1)
    rows: list[list[Tokens]] = [[[]]]
    depth = 0
    while place < len(tokens):
        sign = tokens[place]
        depth += {r"\begin": 1, r"\end": -1}.get(sign, 0)
        if depth < 0:
            _, place = _argument(tokens, place + 1)
            break
        if not depth and sign == "&":
            rows[-1].append([])
        elif not depth and sign == r"\\":
            rows.append([[]])
        else:
            rows[-1][-1].append(sign)
        place += 1
    count = max(map(len, rows))
    columns = [max(_row(row[number], "text") for row in rows if number < len(row)) for number in range(count)]
    return sum(columns) + 10.0 * (count - 1) + 14.0, place
