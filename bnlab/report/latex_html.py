"""The derivation, which bnlab writes as a LaTeX document, as HTML whose formulas are left to KaTeX.

Only what `bnlab.printers.latex` writes is understood; anything else is an InternalError, so that nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

from bnlab.errors import InternalError

BODY = re.compile(r"\\begin\{document\}\n(.*)\\end\{document\}", re.DOTALL)
BLOCK = re.compile(
    r"\\begin\{center\}.*?\\end\{center\}"
    r"|(?P<math>\\begin\{align\*\}.*?\\end\{align\*\})"
    r"|\\section\{(?P<section>[^\n]*)\}"
    r"|\\subsection\*\{(?P<subsection>[^\n]*)\}",
    re.DOTALL,
)
QUOTE = re.compile(r"\\(?:begin|end)\{quote\}(?:\\raggedright)?")
"""What is quoted from the emitted file becomes a paragraph."""
INLINE = re.compile(
    r"\$(?P<math>[^$]*)\$|\\texttt\{(?P<code>(?:[^{}\\]|\\.)*)\}|\\(?P<escaped>[_&%#{}$])|\\ensuremath\{(?P<sign>[|<>])\}"
)


def html(document: str) -> Markup:
    """The document's body: sections as <h3>, subsections as <h4>, formulas as elements of the class `tex`."""
    body = BODY.search(document)
    if body is None:
        raise InternalError("The derivation is not a LaTeX document.")
    text = body[1].replace("\\sloppy\n", "")  # it is about lines of a printed page
    return Markup("\n").join(_blocks(QUOTE.sub("\n\n", text)))


def _blocks(body: str) -> Iterator[Markup]:
    end = 0
    for found in BLOCK.finditer(body):
        yield from _paragraphs(body[end : found.start()])
        end = found.end()
        if found["math"]:
            yield Markup('<div class="tex" data-display="true">{}</div>').format(found["math"])
        elif found["section"] is not None:
            yield Markup("<h3>{}</h3>").format(_inline(found["section"]))
        elif found["subsection"] is not None:
            yield Markup("<h4>{}</h4>").format(_inline(found["subsection"]))
    yield from _paragraphs(body[end:])


def _paragraphs(text: str) -> Iterator[Markup]:
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.strip():
            yield Markup("<p>{}</p>").format(_inline(paragraph.strip()))


def _inline(text: str) -> Markup:
    parts: list[Markup] = []
    end = 0
    for found in INLINE.finditer(text):
        parts.append(_plain(text[end : found.start()]))
        end = found.end()
        if found["math"] is not None:
            parts.append(Markup('<span class="tex">{}</span>').format(found["math"]))
        elif found["code"] is not None:
            parts.append(Markup("<code>{}</code>").format(re.sub(r"\\(.)", r"\1", found["code"])))
        else:
            parts.append(escape(found["escaped"] or found["sign"]))
    parts.append(_plain(text[end:]))
    return Markup("").join(parts)


def _plain(text: str) -> Markup:
    if re.search(r"[\\{}$]", text):
        raise InternalError(f"The derivation has LaTeX that reports do not know: {text[:80]!r}.")
    return escape(text.replace("~", "\N{NO-BREAK SPACE}").replace("--", "\N{EN DASH}"))
