"""Families that bring their own TeX: the templates filled in, and the update of a parameter by its derivative."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template

from bnlab.errors import InternalError
from bnlab.families.base import Tex, registry
from bnlab.printers.latex_families import has_entries, hyper
from bnlab.printers.latex_layout import display, line
from bnlab.printers.latex_network import Use
from bnlab.printers.latex_posteriors import entry_letter, own_letters
from bnlab.printers.latex_update import Update, bracket, objective
from bnlab.program.ops import Unary
from bnlab.program.walk import parts


def stationary(update: Update) -> Iterator[str]:
    """The derivative of every use, and of the prior; what solves it stands in the emitted statements."""
    yield from derivative(update)
    yield f"Solved for ${own_entry(update)}$, in terms of the statistics:"
    yield display(*update.emitted())


def concentration(update: Update) -> Iterator[str]:
    """That of a Gamma: together with its rate, or at the old one; what solves it is found by Newton's method."""
    yield from derivative(update)
    own = own_entry(update)
    newton = "which Newton's method solves"
    if any(
        isinstance(part, Unary) and part.op == "gamma_shape" for s in update.statements for part in parts(s)
    ):
        yield (
            rf"The rate is maximised too: it is the concentration over the mean. Put in, with $h(a) = \ln a - \psi(a)$, "
            f"this is an equation in ${own}$ alone, {newton}:"
        )
    elif all(use.parameter("rate") not in update.free for use in update.uses):
        yield f"This is an equation in ${own}$, {newton}:"
    else:
        yield (
            f"This is an equation in ${own}$ at the old rate, {newton}. The rate is then maximised given the new "
            f"${update.own()}$ (expectation conditional maximisation, ECM), so {objective(update)} still rises:"
        )
    yield display(*update.emitted())


def own_entry(update: Update) -> str:
    """The parameter, or an entry of it if it is a vector."""
    return update.own(entry_letter(update.uses[0]) if has_entries(update.uses[0], update.slot) else "")


def derivative(update: Update) -> Iterator[str]:
    """The derivative of every use, and of the prior, set to 0."""
    own = own_entry(update)
    zero = (*update.sum(lambda use: _derivative(use, update.slot)), *_of_prior(update, own))
    yield f"The derivative of {objective(update)} by ${own}$, set to 0:"
    yield display(line(rf"\frac{{\partial}}{{\partial {own}}} {bracket(update)}", zero, "0"))


def _tex(family: str, wanted: str) -> Tex:
    tex = registry()[family].tex
    if tex is None or wanted not in tex.derivative:
        raise InternalError(
            f"The derivative of {family} by {wanted} is missing: add it to `tex` in the file of the family, "
            "or a row to UPDATES of printers/latex_maximise.py."
        )
    return tex


def _derivative(use: Use, slot: str) -> str:
    """That of a number drawn; summed over the entries of a vector where all have the one parameter."""
    template, entry = Template(_tex(use.cpd.family, slot).derivative[slot]), entry_letter(use)
    arguments = {
        name: use.argument(name, "own", entry if has_entries(use, name) else "")
        for name, _ in use.cpd.arguments
    }
    text = _parenthesised(template.substitute(arguments, x=use.value("state", entry)))
    return text if not entry or has_entries(use, slot) else rf"\sum_{{{entry}}} {text}"


def _of_prior(update: Update, own: str) -> tuple[str, ...]:
    prior = update.prior
    if prior is None:
        return ()
    entry = entry_letter(update.uses[0]) if has_entries(update.uses[0], update.slot) else ""
    rank, letters = len(update.parameter.domain.event_shape), own_letters(update.uses[0], update.slot)
    constants = {name: hyper(update.names, values, rank, letters, entry) for name, values in prior.arguments}
    text = Template(_tex(prior.family, "x").derivative["x"]).substitute(constants, x=own)
    return (f"+{_parenthesised(text)}",)


def _parenthesised(text: str) -> str:
    return rf"\left({text}\right)"
