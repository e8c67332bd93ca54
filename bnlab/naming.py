"""Names: what may be one, what was probably meant, and readable fresh ones for emitted files.

A name goes from the user's declaration unchanged into emitted Python, TeX, DOT and JSON. So only plain identifiers are names,
and anything else is refused with a suggestion, never silently changed.
"""

from __future__ import annotations

import builtins
import json
import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator

IDENTIFIER = re.compile(r"[A-Za-z](?:[A-Za-z0-9_]{0,62}[A-Za-z0-9])?")

MODULE_NAMES = frozenset(
    """
    Array Data Found NamedTuple Parameters Posterior Statistics annotations argparse backward data digamma dist e_step
    expect fit forward functools gammaln handlers infer init jax jnp json lax linalg log_det log_evidence log_joint
    log_likelihood log_prior logsumexp m_step main marginal_model math model np numpy numpyro polygamma posterior
    predict prepare random scan scipy score solve_triangular statistics sys typing
    """.split()
)
"""Names at module level in emitted files. Locals are not here: those are renamed out of the user's way with `fresh`."""

DATA_NAMES = frozenset(["weights"])
"""What data have beside variables and plates, so that neither can be called that."""

PYTHON_NAMES = frozenset([*keyword.kwlist, *keyword.softkwlist, *dir(builtins)]) - {"display", "get_ipython"}
"""A notebook adds the two last ones to the builtins; what is legal must not depend on where one is."""


def fault(name: str) -> str:
    """Why `name` cannot be the name of a parameter, variable or plate, as a sentence; empty if it can."""
    reason = identifier_fault(name)
    if not reason and name in PYTHON_NAMES:
        return "Python has that word for itself."
    return (
        "The emitted files use that name for themselves." if not reason and name in MODULE_NAMES else reason
    )


def identifier_fault(name: str) -> str:
    """Why `name` is no plain identifier, and so cannot name a network either; empty if it is."""
    if not IDENTIFIER.fullmatch(name):
        return (
            "A name is a letter and then letters, digits or inner underscores (ASCII, at most 64 characters)."
        )
    return (
        "A name has no two underscores in a row: NumPyro uses them for names of its own."
        if "__" in name
        else ""
    )


def suggestion(name: str, taken: Collection[str] = ()) -> str:
    """A legal name like `name`, not among `taken`."""
    spelt = "".join(map(_in_ascii, name))
    plain = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]+", "_", spelt))[:40].strip("_")
    if not plain or not plain[0].isalpha():
        plain = f"v_{plain}".strip("_")
    candidates = (
        candidate for candidate in _variants(plain) if not fault(candidate) and candidate not in taken
    )
    return next(candidates)


def _in_ascii(letter: str) -> str:
    """A letter as one spells it in ASCII: Greek ones by their names, others without accents; a blank for what is no letter."""
    spoken = unicodedata.name(letter, "").replace("LAMDA", "LAMBDA")
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", spoken)
    if greek:
        return greek[2].lower() if greek[1] == "SMALL" else greek[2].capitalize()
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or " "


def fresh(name: str, taken: Collection[str]) -> str:
    """`name`, or a readable name like it that is neither taken nor reserved: `r`, then `r_2`, `r_3` ..."""
    free = (
        candidate for candidate in _numbered(name) if candidate not in taken and candidate not in PYTHON_NAMES
    )
    return next(free)


def label_of(name: str, step: int | None) -> str:
    """What a distribution of a variable is called: `x`, and at the initial steps of a chain `x.first`, `x.first1` ..."""
    return name if step is None else f"{name}.first" + (str(step) if step else "")


def step_of(label: str) -> str:
    """The end of a name for what belongs to the initial step that a label tells: `_first`, `_first1`; else empty."""
    _, first, step = label.partition(".first")
    return f"_first{step}" if first else ""


def lagged_name(name: str, lag: int) -> str:
    """What a variable is called so many steps before: `x_prev`, `x_prev2`."""
    return name + ("_prev" if lag else "") + (str(lag) if lag > 1 else "")


def quoted(text: str) -> str:
    """Any text, in double quotes and ASCII, cut to a length that an error message can bear."""
    return json.dumps(text if len(text) <= 64 else f"{text[:61]}...")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be: at most min(len / 2, 5) edits away."""
    limit = min(len(name) // 2, 5)
    distances = [(edits(name.lower(), other.lower()), other) for other in known]
    close = [pair for pair in distances if pair[0] <= limit and pair[0] < max(len(pair[1]), 2)]
    return min(close, key=lambda pair: pair[0])[1] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence to add to an error, with a leading space; empty if nothing is near."""
    other = nearest(name, known)
    return f' Did you mean "{other}"?' if other else ""


def edits(left: str, right: str) -> int:
    """The Levenshtein distance."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def _variants(plain: str) -> Iterator[str]:
    yield plain
    yield f"{plain}_value"
    yield from _numbered(plain)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1
