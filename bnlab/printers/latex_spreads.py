"""The update of a covariance, variances or standard deviations: the derivative, and its solution."""

from __future__ import annotations

from collections.abc import Iterator

from bnlab.printers.latex_families import (
    difference,
    has_entries,
    hyper,
    inverse,
    is_matrix,
)
from bnlab.printers.latex_layout import LIMIT, display, line
from bnlab.printers.latex_network import Use
from bnlab.printers.latex_posteriors import entry_letter, own_letters
from bnlab.printers.latex_text import power, transposed
from bnlab.printers.latex_update import Update, bracket, objective
from bnlab.printers.latex_width import width


def covariance_update(update: Update) -> Iterator[str]:
    """The scatter about the new mean, over the count."""
    if not is_matrix(update.uses[0]):
        yield from variance_update(update)
        return
    own = update.own()
    terms = [*update.sum(lambda use: rf"\left({own} - {_outer(use)}\right)")]
    scatter, count = [*update.sum(_outer)], [*update.count]
    if update.prior is not None:
        df, scale = (_number(update, name, 2 * (name == "scale"), "") for name in ("df", "scale"))
        pseudo = _scaled(df, 1, update.parameter.domain.event_shape[0] + 1)
        held = rf"\left({pseudo}\right)" if "+" in pseudo else pseudo
        terms += [rf"+{held} \, {own}", f"-{scale}"]
        scatter.append(f"+{scale}")
        count.append(f"+{pseudo}")
    yield f"The derivative of {objective(update)} by ${inverse(own)}${_new_mean(update)}, set to 0:"
    first, *rest = terms
    left = rf"\frac{{\partial}}{{\partial {inverse(own)}}} {bracket(update)}"
    if width(left + " ".join(terms)) < LIMIT - 70:
        terms = [rf"\tfrac{{1}}{{2}} \Bigl[ {first}", *rest]
        terms[-1] += r" \Bigr]"
    else:
        half = r"\tfrac{1}{2}"
        terms = [f"{half} {first}", *(f"{term[0]}{half} {term[1:]}" for term in rest)]
    yield display(line(left, tuple(terms), "0"))
    yield "and so"
    yield display(line(own, rf"\frac{{{' '.join(scatter)}}}{{{' '.join(count)}}}"))
    yield "In terms of the statistics:"
    yield display(*update.emitted())


def _outer(use: Use) -> str:
    residual = difference(use.value("story"), use.argument("mean", "own"))
    return f"{residual} {transposed(residual)}"


def variance_update(update: Update) -> Iterator[str]:
    use = update.uses[0]
    entries, letter = has_entries(use), entry_letter(use)
    own = update.own(letter if entries else "")
    std = update.slot == "std"
    variance_ = power(own, 2) if std else own
    over = rf"\sum_{{{letter}}} " if letter and not entries else ""
    size = use.variable.domain.event_shape[0] if over else 1
    numerator, own_half = (size // 2, "") if not std and size % 2 == 0 else (size, "" if std else "2 ")
    half = "" if std else "2 "
    cube = power(own, 3 if std else 2)

    def term(each: Use) -> str:
        squares = f"{over}{_square(each)}"
        return rf"\left(-\frac{{{numerator}}}{{{own_half}{own}}} + \frac{{{squares}}}{{{half}{cube}}}\right)"

    zero, scatter, count = (
        [*update.sum(term)],
        [*update.sum(lambda each: over + _square(each))],
        [*update.count],
    )
    if update.prior is not None:
        shape, scale = (
            _number(update, name, int(entries), letter if entries else "")
            for name in ("concentration", "scale")
        )
        zero += [rf"-\frac{{{_scaled(shape, 1, 1)}}}{{{own}}}", rf"+\frac{{{scale}}}{{{power(own, 2)}}}"]
        scatter.append(f"+{_scaled(scale, 2, 0)}")
        count.append(f"+{_scaled(shape, 2, 2)}")
    yield f"The derivative of {objective(update)} by ${own}${_new_mean(update)}, set to 0:"
    yield display(line(rf"\frac{{\partial}}{{\partial {own}}} {bracket(update)}", tuple(zero), "0"))
    yield "and so"
    bottom = " ".join(count)
    if size > 1:
        bottom = rf"{size} {bottom}" if len(count) == 1 else rf"{size} {count[0]} {' '.join(count[1:])}"
    yield display(line(variance_, rf"\frac{{{' '.join(scatter)}}}{{{bottom}}}"))
    yield "In terms of the statistics:"
    yield display(*update.emitted())


def _square(use: Use) -> str:
    letter = entry_letter(use)
    return power(difference(use.value("story", letter), use.argument("mean", "own", letter)), 2)


def _number(update: Update, name: str, rank: int, letter: str) -> str:
    """A hyper-parameter of a spread."""
    assert update.prior is not None
    values = update.prior.argument(name)
    assert values is not None
    return hyper(update.names, values, rank, own_letters(update.uses[0], update.slot), letter)


def _scaled(text: str, factor: int, added: int) -> str:
    """factor * number + added: worked out for one number, written for an array of them."""
    try:
        return f"{factor * float(text) + added:g}"
    except ValueError:
        product = text if factor == 1 else f"{factor} {text}"
        return f"{product} + {added}" if added else product


def _new_mean(update: Update) -> str:
    found = [use.argument("mean", "own") for use in update.uses if use.parameter("mean") in update.free]
    names = list(dict.fromkeys(found))
    return f", with the new ${'$ and $'.join(names)}$" if names else ""
