"""The update of a table of probabilities: its derivative with a Lagrange multiplier, and its solution."""

from __future__ import annotations

from collections.abc import Iterator

from bnlab.errors import InternalError
from bnlab.printers.latex_layout import display, line
from bnlab.printers.latex_posteriors import entry_letter, own_letters
from bnlab.printers.latex_update import Update
from bnlab.program.ops import Einsum, Expr, Keep


def table(update: Update) -> Iterator[str]:
    """Counts, normalised by a Lagrange multiplier."""
    names, ratio = update.names, _keep(update.value)
    use = update.uses[0]
    letter = entry_letter(use) or use.value("own")
    entry = update.own(letter)
    rows = [each for each in own_letters(use, update.slot) if each != letter]
    multiplier = r"\lambda" + (f"_{{{','.join(rows)}}}" if rows else "")
    counts, terms = update.writer.terms(ratio.total)
    held = counts if len(terms) == 1 else rf"\left({counts}\right)"
    over = ",".join([*rows, letter])
    every = f", for every ${','.join(rows)}$" if rows else ""
    yield f"The entries of ${update.own()}$ sum to 1{every}, which a Lagrange multiplier ${multiplier}$ sees to."
    prior = rf"Q + \ln p({names.eta})" if update.prior is not None else "Q"
    if update.prior is not None:
        yield "The Dirichlet prior adds its concentrations less 1 to the counts."
    yield "As a function of these"
    rest = rf"+\text{{terms without ${update.own()}$}}"
    part = line(prior, (rf"\sum_{{{over}}} {held} \ln {entry}", rest))
    constraint = rf"{multiplier} \Bigl(\sum_{{{letter}}} {entry} - 1\Bigr)"
    yield display(part)
    yield "and the derivative is 0 where"
    yield display(
        line(
            rf"\frac{{\partial}}{{\partial {entry}}} \Bigl[ \sum_{{{letter}}} {held} \ln {entry} - {constraint} \Bigr]",
            (rf"\frac{{{counts}}}{{{entry}}}", f"-{multiplier}"),
            "0",
        ),
    )
    yield f"Hence ${entry}$ is proportional to ${counts}$, and ${multiplier}$ is the sum of these:"
    yield display(*update.emitted())


def _keep(value: Expr) -> Keep:
    """The ratio that a new table is."""
    match value:
        case Keep():
            return value
        case Einsum((operand,)):
            return _keep(operand)
        case _:
            raise InternalError("A new table is a ratio of counts.")
