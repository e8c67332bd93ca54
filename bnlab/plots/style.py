"""How every figure looks: colours that the colour-blind and a grey print tell apart, few lines, names on all axes.

Figures are made without pyplot: nothing is kept open, and no window system is asked for.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00")
"""Okabe and Ito's colours, the dark ones first; a dark brown for the yellow that paper swallows."""
DASHES = ("-", "--", "-.", ":")
INK, FAINT, DATA = "#222222", "#8a8a8a", "#9a9a9a"

RULES: dict[str, Any] = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.formatter.useoffset": False,
    "figure.dpi": 120,
    "font.family": "sans-serif",
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}


@contextmanager
def styled() -> Iterator[None]:
    """The rules hold for what is drawn inside; the user's own settings are left as they are."""
    with matplotlib.rc_context(RULES):
        yield


class Drawn(Figure):
    """A figure that notebooks show although pyplot knows nothing of it."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=self.dpi)
        return file.getvalue()


def figure(
    rows: int = 1, columns: int = 1, width: float = 6.4, height: float = 3.6, **options: Any
) -> tuple[Figure, NDArray[Any]]:
    """A figure of `width` by `height` inches, and its axes as a matrix."""
    made = Drawn(figsize=(width, height), layout="constrained")
    return made, made.subplots(rows, columns, squeeze=False, **options)


def colours(count: int) -> list[str]:
    """One colour a state: the palette while it lasts, then even steps of a map whose lightness rises."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    steps = matplotlib.colormaps["viridis"]
    return [to_hex(steps(0.92 * i / (count - 1))) for i in range(count)]


def mixed(weights: NDArray[Any]) -> list[str]:
    """One colour a row of `weights` (rows, states): the states' colours in these parts."""
    table = [to_rgb(colour) for colour in colours(weights.shape[-1])]
    return [to_hex(rgb) for rgb in (weights @ table).clip(0, 1)]


def note(axes: Axes, text: str) -> None:
    """A remark inside the plot, in its upper left corner."""
    axes.text(0.02, 0.98, text, transform=axes.transAxes, va="top", fontsize=7.5, color=INK)


def svg(drawn: Figure, title: str, name: str) -> str:
    """The figure as an <svg> element to put into a page: `title` is read aloud, `name` makes its ids its own.

    The same figure gives the same text. Ink takes the colour of the text around it.
    """
    with matplotlib.rc_context({**RULES, "svg.hashsalt": name}):
        buffer = io.StringIO()
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    width = re.search(r'\swidth="([\d.]+)pt"', text)
    text = re.sub(r'\s(width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "currentColor")
    natural = (
        f' style="width: {float(width[1]) / 72:.2f}in"' if width else ""
    )  # letters of one size in all figures
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}"{natural} ', 1)
