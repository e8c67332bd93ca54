"""How names are written in mathematics: one table for pictures, derivations and formulas.

A name is read as a base and subscripts: `Sigma_ac` is Sigma with subscript ac, `m0` is m with subscript 0, but `sigma2` is
a variance, sigma squared. A Greek base is the Greek letter, a single letter stands for itself, a longer word is set upright.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
    "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ",
    "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
"""The letters that TeX has a command for, which is the name with a backslash."""

SPELLED = {"lam": "lambda"}
"""Names that stand for another one: Python keeps `lambda` for itself."""

SQUARED = frozenset(["sigma2", "tau2"])
"""Names of variances, which are written as squares of standard deviations."""

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
"""Characters that TeX has a command for, as a backslash before them would mean something else."""

_NAME = re.compile(r"([A-Za-z]+)([0-9]*)((?:_[A-Za-z0-9]+)*)")


class Parts(NamedTuple):
    """How a name is written: `base`, with subscripts and at most one superscript."""

    base: str
    subscripts: tuple[str, ...] = ()
    superscript: str = ""


def split(name: str) -> Parts:
    """("Sigma", ("ac",), "") for `Sigma_ac`, ("m", ("0",), "") for `m0`, ("sigma", ("c",), "2") for `sigma2_c`."""
    found = _NAME.fullmatch(name)
    if not found:
        return Parts(name)
    base, digits, rest = found.groups()
    squared = base + digits in SQUARED
    below = tuple(_spelled(part) for part in ("" if squared else digits, *rest.split("_")) if part)
    return Parts(_spelled(base), below, digits if squared else "")


def greek(word: str) -> str:
    """`word` as a Greek letter in Unicode; itself if it is none."""
    return GREEK.get(word, word)


def tex(name: str, indices: Iterable[str] = ()) -> str:
    """`name` in TeX's mathematics, with `indices` (already TeX) after its own subscripts: `\\mu_{k}`, `\\Sigma_{ac}`."""
    base, subscripts, superscript = split(name)
    below = ",".join([*(_tex_subscript(part) for part in subscripts), *indices])
    return _tex_word(base) + _attached("_", below) + _attached("^", superscript)


def _attached(sign: str, script: str) -> str:
    return f"{sign}{script if len(script) == 1 else f'{{{script}}}'}" if script else ""


def _tex_word(word: str) -> str:
    if word in GREEK:
        return f"\\{word}"
    plain = word.replace("_", r"\_")
    return plain if len(plain) == 1 or plain.isdigit() else rf"\mathrm{{{plain}}}"


def _tex_subscript(word: str) -> str:
    """Two letters in a subscript are the initials of something, and italic; more are a word."""
    return word if len(word) == 2 and word not in GREEK else _tex_word(word)


def _spelled(word: str) -> str:
    return SPELLED.get(word, word)
