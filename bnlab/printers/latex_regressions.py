"""The update of the coefficients of a sum: the derivative, and the regression that solves all of them together."""

from __future__ import annotations

from collections.abc import Iterator

from bnlab.network.ir import Term
from bnlab.printers.latex_families import covariance, difference, inverse, is_matrix, variance
from bnlab.printers.latex_layout import display, line
from bnlab.printers.latex_means import pull_of_prior
from bnlab.printers.latex_network import Use, argument_tex, is_vector
from bnlab.printers.latex_posteriors import entry_letter
from bnlab.printers.latex_text import transposed
from bnlab.printers.latex_update import Update, bracket, objective


def regression(update: Update) -> Iterator[str]:
    """A residual times a regressor has to vanish on average."""
    own = update.own()
    zero = [*update.sum(lambda use: _pull(use, update.slot))]
    yield f"The derivative of {objective(update)} by ${own}$, set to 0:"
    terms = (*zero, *pull_of_prior(update, own, ""))
    yield display(line(rf"\frac{{\partial}}{{\partial {own}}} {bracket(update)}", terms, "0"))
    yield (
        "This is linear in all coefficients, and they are solved for together. The unknowns are their moves from the "
        "old values, so what is regressed is what the old mean leaves, $r$; where the equations leave something open, "
        "the coefficients stay near the old ones."
    )
    if any(s.target.name.startswith("precision") for s in update.statements):
        yield (
            "The covariances in the equations are the old ones: coefficients are maximised given these, and these are "
            f"then maximised given the new coefficients (ECM), so {objective(update)} still rises."
        )
    yield "In terms of the statistics:"
    yield display(*update.emitted())


def _pull(use: Use, slot: str) -> str:
    term = use.term(slot)
    residual = difference(use.value("story"), use.argument("mean", "own"))
    weight = inverse(covariance(use, "own")) if entry_letter(use) else ""
    right = _regressor(use, term) if term is not None else ""
    if weight or is_matrix(use):
        return " ".join(part for part in (weight, residual, right) if part)
    held = residual.removeprefix(r"\left(").removesuffix(r"\right)") if not right else residual
    return rf"\frac{{{held} {right}}}{{{variance(use, 'own')}}}".replace(" }", "}")


def _regressor(use: Use, term: Term) -> str:
    """What the coefficient multiplies."""
    if term.variable is None:
        return ""
    text = argument_tex(use, term.variable, "story")
    row = term.op == "matmul" and entry_letter(use) and is_vector(use, term.variable)
    return transposed(text) if row else text
