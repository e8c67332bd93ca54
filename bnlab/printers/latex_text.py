"""Numbers, arrays, powers and transposes in TeX."""

from __future__ import annotations


def power(text: str, exponent: int) -> str:
    """A power of what may have an index already, but no exponent."""
    return (
        rf"\left({text}\right)^{{{exponent}}}"
        if "^" in text and not text.startswith(r"\left(")
        else f"{text}^{{{exponent}}}"
    )


def transposed(text: str) -> str:
    """The transpose of what may have a superscript already."""
    return rf"{text if '^' not in text or text.startswith('(') else rf'({text})'}^{{\top}}"


def number(value: float) -> str:
    """A number, with at most six digits."""
    text = f"{value:.6g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
    return {"inf": r"\infty", "-inf": r"-\infty"}.get(text, text)


def array(flat: tuple[float, ...], shape: tuple[int, ...], transposed: bool = False) -> str:
    """A vector in parentheses (a column if `transposed`), a small matrix; of a large array the ends."""
    if len(shape) == 1:
        shown = [number(value) for value in flat]
        if len(shown) > 6:
            shown = [*shown[:2], r"\dots", shown[-1]]
        return rf"({', '.join(shown)})" + (r"^{\top}" if transposed else "")
    if len(shape) == 2 and max(shape) <= 6:
        rows = [flat[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]
        inside = r" \\ ".join(" & ".join(number(value) for value in row) for row in rows)
        return rf"\begin{{pmatrix}} {inside} \end{{pmatrix}}"
    return r"\mathrm{const}"
