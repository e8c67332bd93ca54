"""A comparison as text and as HTML tables. Both are laid out from the same cells."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnlab.comparison.records import Certificate, Comparison, Estimate, Loo, Score

Cells = list[list[str]]
TITLES = {"em": "EM", "viterbi": "Viterbi", "vbem": "VB-EM", "svi": "SVI", "nuts": "NUTS"}
"""How methods are titled; others by their own name."""


def table(one: Comparison) -> str:
    """Scores, estimates, certificates, symmetries, warnings and versions, one after the other."""
    parts = [headline(one)]
    parts += [_aligned(cells) for _, cells in tables(one)]
    parts += ["\n".join(lines) for lines in remarks(one)]
    return "\n\n".join(parts)


def html_table(one: Comparison) -> str:
    """The same, for notebooks."""
    found = f"<p>{html.escape(headline(one))}</p>"
    for caption, (head, *rows) in tables(one):
        top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        found += f"<table><caption>{html.escape(caption)}</caption><tr>{top}</tr>{body}</table>"
    return found + "".join(f"<p>{'<br>'.join(map(html.escape, lines))}</p>" for lines in remarks(one))


def headline(one: Comparison) -> str:
    """What was compared, in one line."""
    names = ", ".join(map(title, one.methods))
    cut = ", interrupted" if one.interrupted else ""
    return f"{one.network.name}: {names} in {one.seconds:.1f} s{cut}; {_certified(one)}"


def _certified(one: Comparison) -> str:
    if not one.certificates:
        return "nothing certified"
    broken = sum(not certificate.passed for certificate in one.certificates)
    return f"{broken} certificates broken" if broken else f"all {len(one.certificates)} certificates hold"


def title(method: str) -> str:
    return TITLES.get(method, method)


def tables(one: Comparison) -> Iterator[tuple[str, Cells]]:
    """Captions and cells, the first row the head."""
    yield "How each method did", scores(one)
    yield f"Estimates, with {one.level:.0%} intervals", estimates(one)
    if one.certificates:
        yield "Certificates", certificates(one.certificates)


def _loo(found: Loo | None) -> str:
    """With its standard error; and for how many members it cannot be trusted, if there are any."""
    if found is None:
        return ""
    doubt = f" ({found.unreliable} unreliable)" if found.unreliable else ""
    return f"{found.elpd:.2f} +- {found.error:.2f}{doubt}"


SCORES: tuple[tuple[str, Callable[[Score], str]], ...] = (
    ("status", lambda s: s.status),
    ("ln p(x|theta)", lambda s: number(s.log_likelihood, 9)),
    ("ln p(x,theta)", lambda s: number(s.log_joint, 9)),
    ("ELBO", lambda s: number(s.elbo, 9)),
    ("held out", lambda s: number(s.held_out, 5)),
    ("LOO", lambda s: _loo(s.loo)),
    ("seconds", lambda s: "" if s.seconds is None else f"{s.seconds:.1f}"),
    ("E-steps", lambda s: _count(s.e_steps)),
    ("gradients", lambda s: _count(s.gradients)),
    ("ESS/s", lambda s: number(s.effective_per_second, 3)),
    ("divergent", lambda s: _count(s.divergences)),
)
"""The columns of the scores; one that no method fills is left out."""


def scores(one: Comparison) -> Cells:
    """A row a method."""
    columns = [(name, [show(score) for score in one.scores.values()]) for name, show in SCORES]
    shown = [(name, cells) for name, cells in columns if any(cells)]
    head = ["method", *(name for name, _ in shown)]
    rows = [[title(m), *(cells[i] for _, cells in shown)] for i, m in enumerate(one.scores)]
    return [head, *rows]


def estimates(one: Comparison) -> Cells:
    """A row an entry of a parameter; for each method its estimate, interval, and distance from the reference."""
    intervals = [m for m in one.methods if any(row.estimates[m].low is not None for row in one.rows)]
    head = [""]
    for method in one.methods:
        head.append(title(method))
        if method in intervals:
            head.append("interval")
        if method != one.reference:
            head.append("apart")
    rows = []
    for row in one.rows:
        cells = [row.name]
        for method in one.methods:
            value, interval, apart = told(row.estimates[method])
            cells.append(value)
            if method in intervals:
                cells.append(interval)
            if method != one.reference:
                cells.append(apart)
        rows.append(cells)
    return [head, *rows]


def told(estimate: Estimate) -> tuple[str, str, str]:
    """The value with its deviation, the interval, and how far it is from the reference; empty where there is none."""
    apart = "" if estimate.apart is None else f"{estimate.apart:+.2f} sd"
    return _value(estimate), _interval(estimate), apart


def _value(estimate: Estimate) -> str:
    if estimate.deviation is None:
        return number(estimate.value, 5)
    return f"{number(estimate.value, 5)} +- {number(estimate.deviation, 2)}"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{number(estimate.low, 4)}, {number(estimate.high, 4)}]"


def certificates(found: Sequence[Certificate]) -> Cells:
    """A row a certificate: what was held against what."""
    head = ["", "claim", "at", "on", "off by", "up to"]
    return [
        head,
        *(
            [
                "ok" if one.passed else "BROKEN",
                f"{one.claim}: {one.names[0]} = {one.names[1]}",
                one.at,
                one.on,
                f"{one.difference:.1e}",
                f"{one.tolerance:.0e}",
            ]
            for one in found
        ),
    ]


def remarks(one: Comparison) -> Iterator[list[str]]:
    """Paragraphs below the tables."""
    if one.proposal is not None and one.proposal.choices:
        yield str(one.proposal).splitlines()
    if one.split is not None:
        split = one.split
        yield [
            f"held out: the mean log predictive density of {split.held_out} of {split.members} {split.plate}, "
            "under fits to the others."
        ]
    if one.symmetries:
        yield list(one.symmetries)
    if one.warnings:
        yield [f"warning: {warning}" for warning in one.warnings]
    versions = ", ".join(f"{name} {version}" for name, version in one.versions.items())
    yield [f"seed {one.seed}; {versions}"]


def number(value: float | None, digits: int) -> str:
    """A number to so many significant digits; nothing for None."""
    return "" if value is None else f"{value:.{digits}g}"


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _aligned(cells: Cells) -> str:
    """Columns of equal width, the first to the left and the others to the right."""
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    lines = []
    for row in cells:
        first, *rest = row
        shown = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
        lines.append("  ".join(shown).rstrip())
    return "\n".join(lines)
