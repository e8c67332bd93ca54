"""The updates of Student's t in TeX: those of a Normal with weights, and that of the degrees of freedom."""

from __future__ import annotations

from collections.abc import Iterator

from bnlab.printers.latex_families import difference, halved, has_entries, inverse, scale_matrix
from bnlab.printers.latex_layout import display, line
from bnlab.printers.latex_means import pull_of_prior
from bnlab.printers.latex_network import Use
from bnlab.printers.latex_posteriors import entry_letter
from bnlab.printers.latex_text import power, transposed
from bnlab.printers.latex_update import Update, bracket
from bnlab.program.ir import Statement


def weighted_mean(update: Update) -> Iterator[str]:
    """The derivative of a Normal's log density by its mean, each term weighted."""
    own = update.own()
    yield _story(update)

    def pull(use: Use) -> str:
        residual = difference(use.value(), use.argument("mean", "own"))
        return f"{hidden_weight(update)} {inverse(scale_matrix(use, 'own'))} {residual}"

    yield from _zero(update, own, (*update.sum(pull), *pull_of_prior(update, own, "")))


def weighted_scale(update: Update) -> Iterator[str]:
    """The derivative of a Normal's log density by its spread, each square weighted."""
    use, matrix = update.uses[0], update.slot == "scale_matrix" and bool(entry_letter(update.uses[0]))
    entry = entry_letter(use) if has_entries(use, update.slot) and not matrix else ""
    own = update.own(entry)
    over = rf"\sum_{{{entry_letter(use)}}} " if entry_letter(use) and not entry and not matrix else ""
    size = use.variable.domain.event_shape[0] if over else 1
    yield _story(update)

    def term(each: Use) -> str:
        letter = "" if matrix else entry_letter(each)
        mean = each.argument("mean", "own", letter if has_entries(each, "mean") else "")
        residual, u = difference(each.value("story", letter), mean), hidden_weight(update)
        if matrix:
            return rf"\tfrac{{1}}{{2}} \left({own} - {u} {residual} {transposed(residual)}\right)"
        if update.slot == "scale_matrix":
            return rf"\left(-\frac{{1}}{{2 {own}}} + \frac{{{u} {power(residual, 2)}}}{{2 {power(own, 2)}}}\right)"
        return rf"\left(-\frac{{{size}}}{{{own}}} + \frac{{{over}{u} {power(residual, 2)}}}{{{power(own, 3)}}}\right)"

    by = inverse(own) if matrix else own
    prior = () if update.prior is None else (rf"+\left(\ln p({own})\right)'",)
    yield from _zero(update, by, (*update.sum(term), *prior))


def degrees_of_freedom(update: Update) -> Iterator[str]:
    """The derivative, which is that of a Gamma's concentration."""
    own, u = update.own(), hidden_weight(update)
    half = halved(own)
    hidden = rf"$u \sim \operatorname{{Gamma}}({half}, {half})$"
    term = rf"\tfrac{{1}}{{2}} \left(\ln {half} + 1 - \psi\left({half}\right) + E[\ln u] - {u}\right)"
    yield f"In the density of the hidden weight {hidden}, the derivative by ${own}$, set to 0:"
    left = rf"\frac{{\partial}}{{\partial {own}}} {bracket(update)}"
    yield display(line(left, update.sum(lambda use: term), "0"))
    yield (
        r"With $h(a) = \ln a - \psi(a)$, and $G$ for the sum of $E[\ln u] - E[u]$, this is an equation in "
        f"${own}$ alone, which Newton's method solves:"
    )
    yield display(*update.emitted())


def hidden_weight(update: Update) -> str:
    """E[u] of one member."""
    wanted = f"u_{update.uses[0].variable.name}"
    body = (item for item in update.names.program.expect.body if isinstance(item, Statement))
    return update.writer.lhs(next(item.target for item in body if item.target.name == wanted))


def _story(update: Update) -> str:
    """What a weight is."""
    use = update.uses[0]
    df, mean, scale = halved(use.argument("df", "own")), use.argument("mean", "own"), scale_matrix(use, "own")
    value, u = use.value(), hidden_weight(update)
    return (
        f"${value}$ is normal with mean ${mean}$ and covariance ${scale} / u$, where the hidden "
        rf"$u \sim \operatorname{{Gamma}}({df}, {df})$; so $u$ is averaged over too. Given ${value}$ it is expected to be "
        f"${u}$, which is small for outliers. The derivative, set to 0:"
    )


def _zero(update: Update, by: str, terms: tuple[str, ...]) -> Iterator[str]:
    yield display(line(rf"\frac{{\partial}}{{\partial {by}}} {bracket(update)}", terms, "0"))
    yield "and so, in terms of the statistics,"
    yield display(*update.emitted())
