"""The page: what it shows is gathered here, how it looks is in templates/."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import JsonLexer, PythonLexer

from bnlab.atomic import write_bytes
from bnlab.comparison.records import Comparison
from bnlab.comparison.text import tables, title, told
from bnlab.compile import draw, emit
from bnlab.errors import IntractableError
from bnlab.network.declare import Network
from bnlab.report import figures, latex_html
from bnlab.report.words import findings
from bnlab.version import VERSION

HERE = files("bnlab.report")


MEANINGS = {
    "em": "expectation-maximisation: a point, the maximum of the likelihood (with priors, of the posterior density), found by "
    "averaging over what is hidden",
    "viterbi": "hard EM, or Viterbi training: what is hidden is set to its most probable value instead of averaged",
    "vbem": "variational EM: a distribution over the parameters, independent of what is hidden; mean-field, in closed form",
    "svi": "stochastic variational inference by NumPyro: a normal distribution over the parameters, fitted by gradients",
    "nuts": "the no-U-turn sampler by NumPyro: draws from the exact posterior, up to Monte Carlo error",
}
"""What the methods are, in a line each."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a report is made of.

    `declaration` is the text in which the network was declared ("" if it was not declared in text) and `language` what it
    is written in; `about` says in a sentence what the network is, `command` is the command that made the report, and
    `data` words for the data. `labels` name the columns of observed variables.
    """

    comparison: Comparison
    declaration: str = ""
    language: str = "python"
    about: str = ""
    command: str = ""
    data: str = ""
    labels: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A text to read and copy."""

    name: str
    words: str
    text: str
    html: Markup


def write(material: Material, folder: str | os.PathLike[str]) -> Path:
    """The report as `folder`/index.html, whole or not at all; the folder is made if it is not there."""
    target = Path(folder) / "index.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, page(material).encode())
    return target


def page(material: Material) -> str:
    """The report as one HTML text that needs nothing else: no network, no other file."""
    one = material.comparison
    graph = one.network.graph
    iterated = next(
        (one.fits[m] for m in ("em", "vbem", "viterbi") if m in one.fits and one.fits[m].initial), None
    )
    run = None if iterated is None else figures.slow(iterated)
    return _environment().get_template("page.html").render(
        name=graph.name,
        about=material.about or graph.doc,
        one=one,
        methods=[title(method) for method in one.methods],
        meanings=[(title(method), MEANINGS[method]) for method in one.methods if method in MEANINGS],
        findings=findings(one),
        picture=_picture(one),
        story=emit(one.network, "text").rstrip(),
        declaration=_source("declaration", "", material.declaration, material.language),
        derivation=_derivation(derived(one)),
        without_priors=derived(one).graph != one.network.graph,
        sources=_sources(one),
        slider=None if run is None else figures.slider(run, material.labels),
        learning=[] if run is None or iterated is None else list(figures.of_runs(run, iterated, material.labels)),
        comparing=list(figures.of_comparison(one)),
        tables=_tables(one),
        estimates=[
            (row.name, [[_pretty(cell) for cell in told(row.estimates[method])] for method in one.methods])
            for row in one.rows
        ],
        command=material.command,
        data=material.data,
        version=VERSION,
        katex_css=_katex_css(),
        katex_js=_safe_script(_text("vendor/katex/katex.min.js")),
        style=Markup(_text("templates/page.css")),
        script=_safe_script(_text("templates/page.js")),
    )  # fmt: skip


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: _text(f"templates/{name}")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["pretty"] = _pretty
    return found


def _picture(one: Comparison) -> Markup:
    text = draw(one.network).svg
    text = text[text.index("<svg") :]
    text = re.sub(r"<title>.*?</title>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', 'id="network-', text)
    label = f"The network {one.network.graph.name} in plate notation"
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{label}" aria-describedby="story" ', 1))


def derived(one: Comparison) -> Network:
    """The network that EM ran on: without the priors where it has no update for one of them."""
    return next((one.fits[method].network for method in ("em", "viterbi") if method in one.fits), one.network)


def _derivation(net: Network) -> Markup:
    """The derivation of EM; why there is none, where there is none."""
    try:
        return latex_html.html(emit(net, "latex"))
    except IntractableError as error:
        return Markup("<p>{}</p>").format(str(error))


def _sources(one: Comparison) -> list[Source]:
    """The emitted files, as far as they can be written."""
    name = one.network.graph.name
    drawing = [title(method) for method in ("svi", "nuts") if method in one.fits]
    ran = (
        f"The NumPyro model that {' and '.join(drawing)} ran on"
        if drawing
        else "The NumPyro model, for SVI and NUTS"
    )
    wanted = (
        ("em", derived(one), f"{name}_em.py", "EM; it needs only JAX and NumPy."),
        ("numpyro", one.network, f"{name}_numpyro.py", f"{ran}; it needs NumPyro too."),
    )
    found = []
    for target, net, file, words in wanted:
        try:
            found.append(_source(file, words, emit(net, target), "python"))
        except IntractableError:
            continue
    return found


def _source(name: str, words: str, text: str, language: str) -> Source:
    lexer = JsonLexer() if language == "json" else PythonLexer()
    coloured = highlight(text, lexer, HtmlFormatter(nowrap=True))
    return Source(name, words, text, Markup(coloured))


def _tables(one: Comparison) -> list[tuple[str, list[str], list[list[str]]]]:
    """Caption, head and rows of each table."""
    return [(caption, [_pretty(cell) for cell in head], [[_pretty(cell) for cell in row] for row in rows])
            for caption, (head, *rows) in tables(one)]  # fmt: skip


def _pretty(cell: str) -> str:
    """A cell as it is set in print."""
    text = re.sub(r"p\(x ?\| ?theta\)", "p(X | η)", cell.replace("+-", "±"))
    text = re.sub(r"p\(x, ?theta\)", "p(X, η)", text)
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text)


@cache
def _katex_css() -> Markup:
    """KaTeX's rules with its fonts inside; those of fonts that are not kept are dropped."""

    def face(found: re.Match[str]) -> str:
        name = re.search(r"url\(fonts/(\w+-\w+\.woff2)\)", found[0])
        path = HERE / "vendor/katex/fonts" / (name[1] if name else "none")
        if not path.is_file():
            return ""
        data = base64.b64encode(path.read_bytes()).decode()
        return re.sub(r"src:[^}]*", f'src:url(data:font/woff2;base64,{data}) format("woff2")', found[0])

    return Markup(re.sub(r"@font-face\{[^}]*\}", face, _text("vendor/katex/katex.min.css")))


def _safe_script(text: str) -> Markup:
    """A script that cannot end its own element."""
    return Markup(text.replace("</", "<\\/"))


@cache
def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
