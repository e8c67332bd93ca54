"""The update of a mean: its derivative, and its solution with or without a prior."""

from __future__ import annotations

from collections.abc import Iterator

from bnlab.printers.latex_families import (
    covariance,
    difference,
    hyper,
    inverse,
    is_matrix,
    spread_slot,
    variance,
)
from bnlab.printers.latex_layout import display, line
from bnlab.printers.latex_network import Use
from bnlab.printers.latex_posteriors import entry_letter, own_letters
from bnlab.printers.latex_text import power, transposed
from bnlab.printers.latex_update import Update, bracket, objective

PARENTHESES = (r"\left(", r"\right)")


def mean(update: Update) -> Iterator[str]:
    """Weighted means; with a prior, or under unequal variances, weighted by precisions, given the old variances."""
    matrix = is_matrix(update.uses[0]) or _full_prior(update)
    entry = "" if matrix else entry_letter(update.uses[0])
    own = update.own(entry)
    zero = [*update.sum(lambda use: _pull(use, own, matrix)), *pull_of_prior(update, own, entry)]
    yield f"The derivative of {objective(update)} by ${own}$, set to 0:"
    yield display(line(rf"\frac{{\partial}}{{\partial {own}}} {bracket(update)}", tuple(zero), "0"))
    if _common(update):
        yield f"The {'covariance' if matrix else 'variance'} is a common factor, so it cancels:"
        data = update.sum(lambda use: use.value("story", entry))
        yield display(line(own, rf"\frac{{{' '.join(data)}}}{{{' '.join(update.count)}}}"))
    else:
        yield f"Solved for ${own}$, where the {'covariances' if matrix else 'variances'} are " + _which(
            update
        )
        yield display(line(own, _weighted(update, matrix, entry)))
    yield "In terms of the statistics:"
    yield display(*update.emitted())


def _which(update: Update) -> str:
    if any(use.parameter(spread_slot(use)) in update.free for use in update.uses):
        return (
            "the old ones: the mean is maximised given these, and these are then maximised given the new mean "
            f"(expectation conditional maximisation, ECM), so {objective(update)} still rises:"
        )
    return "fixed:"


def _full_prior(update: Update) -> bool:
    """Whether the prior of a mean couples its entries."""
    found = update.prior.argument("cov") if update.prior is not None else None
    return found is not None and bool(entry_letter(update.uses[0]))


def _pull(use: Use, own: str, matrix: bool) -> str:
    entry = "" if matrix else entry_letter(use)
    residual = f"{use.value('story', entry)} - {own}"
    if matrix:
        return rf"{inverse(covariance(use, 'own'))} \left({residual}\right)"
    return rf"\frac{{{residual}}}{{{variance(use, 'own')}}}"


def pull_of_prior(update: Update, own: str, entry: str) -> tuple[str, ...]:
    """The derivative of a parameter's log prior; nothing without one."""
    if update.prior is None:
        return ()
    location, spread, full = _prior_moments(update, entry)
    residual = difference(own, location)
    if full:
        return (f"-{inverse(spread)} {residual}",)
    return (rf"-\frac{{{residual.removeprefix(PARENTHESES[0]).removesuffix(PARENTHESES[1])}}}{{{spread}}}",)


def _prior_moments(update: Update, entry: str) -> tuple[str, str, bool]:
    """The prior's mean and variance, and whether that is a matrix."""
    names, prior, letters = update.names, update.prior, own_letters(update.uses[0], update.slot)
    assert prior is not None
    rank = len(update.parameter.domain.event_shape)
    mean = prior.argument("mean")
    slot = next(name for name in ("cov", "var", "std") if prior.argument(name) is not None)
    spread = prior.argument(slot)
    assert mean is not None and spread is not None
    full = slot == "cov" and rank == 1
    location = hyper(names, mean, rank, letters, entry)
    location = transposed(location) if full and location.startswith("(") else location
    text = hyper(names, spread, rank + (slot == "cov"), letters, entry)
    if mean.shape and not any(mean.flat):
        location = "0"
    return location, power(text, 2) if slot == "std" else text, full


def _common(update: Update) -> bool:
    """Whether one variance is a factor of all terms of a mean's equation, so that the equation does not depend on it."""
    first = update.uses[0]
    own = set(own_letters(first, update.slot))
    refs = {(spread_slot(use), use.cpd.argument(spread_slot(use))) for use in update.uses}
    return update.prior is None and len(refs) == 1 and set(own_letters(first, spread_slot(first))) <= own


def _weighted(update: Update, matrix: bool, entry: str) -> tuple[str, ...]:
    if matrix:
        weights = [*update.sum(lambda use: inverse(covariance(use, "own")))]
        moments = [*update.sum(lambda use: f"{inverse(covariance(use, 'own'))} {use.value('story')}")]
    else:
        weights = [*update.sum(lambda use: rf"\frac{{1}}{{{variance(use, 'own')}}}")]
        moments = [
            *update.sum(lambda use: rf"\frac{{{use.value('story', entry)}}}{{{variance(use, 'own')}}}")
        ]
    if update.prior is not None:
        location, spread, full = _prior_moments(update, entry)
        weights.append(f"+{inverse(spread)}" if full else rf"+\frac{{1}}{{{spread}}}")
        if location != "0":
            moments.append(f"+{inverse(spread)} {location}" if full else rf"+\frac{{{location}}}{{{spread}}}")
    if matrix:
        return (rf"\Bigl({_joined(weights)}\Bigr)^{{-1}}", rf"\Bigl({_joined(moments)}\Bigr)")
    return (rf"\Bigl({_joined(moments)}\Bigr)", rf"\Big/ \Bigl({_joined(weights)}\Bigr)")


def _joined(terms: list[str]) -> str:
    return " ".join(terms)
