"""Families that bring their own TeX: the templates filled in, and the update of a parameter by its derivative."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template

from bnlab.errors import InternalError
from bnlab.families.base import Tex, registry
from bnlab.printers.latex_families import hyper
from bnlab.printers.latex_layout import display, line
from bnlab.printers.latex_network import Use
from bnlab.printers.latex_posteriors import entry_letter, own_letters
from bnlab.printers.latex_update import Update, bracket, objective


def stationary(update: Update) -> Iterator[str]:
    """The derivative of every use, and of the prior; what solves it stands in the emitted statements."""
    entry = entry_letter(update.uses[0])
    own = update.own(entry)
    zero = (
        *update.sum(lambda use: _parenthesised(_derivative(use, update.slot, entry))),
        *_of_prior(update, own, entry),
    )
    yield f"The derivative of {objective(update)} by ${own}$, set to 0:"
    yield display(line(rf"\frac{{\partial}}{{\partial {own}}} {bracket(update)}", zero, "0"))
    yield f"Solved for ${own}$, in terms of the statistics:"
    yield display(*update.emitted())


def _tex(family: str, wanted: str) -> Tex:
    tex = registry()[family].tex
    if tex is None or wanted not in tex.derivative:
        raise InternalError(
            f"The derivative of {family} by {wanted} is missing: add it to `tex` in the file of the family, "
            "or a row to UPDATES of printers/latex_maximise.py."
        )
    return tex


def _derivative(use: Use, slot: str, entry: str) -> str:
    template = Template(_tex(use.cpd.family, slot).derivative[slot])
    arguments = {name: use.argument(name, "own", entry) for name, _ in use.cpd.arguments}
    return template.substitute(arguments, x=use.value("state", entry))


def _of_prior(update: Update, own: str, entry: str) -> tuple[str, ...]:
    prior = update.prior
    if prior is None:
        return ()
    rank, letters = len(update.parameter.domain.event_shape), own_letters(update.uses[0], update.slot)
    constants = {name: hyper(update.names, values, rank, letters, entry) for name, values in prior.arguments}
    text = Template(_tex(prior.family, "x").derivative["x"]).substitute(constants, x=own)
    return (f"+{_parenthesised(text)}",)


def _parenthesised(text: str) -> str:
    return rf"\left({text}\right)"
