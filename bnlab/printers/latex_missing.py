"""What the article says of numbers that may be missing: their moments given what is seen, which stand for them in Q."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bnlab.network.ir import VarRef
from bnlab.printers.latex_families import is_matrix, variance
from bnlab.printers.latex_layout import display, line
from bnlab.printers.latex_names import Names, escaped
from bnlab.printers.latex_network import Use, uses
from bnlab.printers.latex_posteriors import entry_letter


def section(named: Names, gaps: Collection[str]) -> Iterator[str]:
    """A section, if anything may be missing."""
    found = [use for use in uses(named) if use.variable.name in gaps]
    if not found:
        return
    yield r"\section{Missing numbers}"
    listed = ", ".join(f"${text}$" for text in dict.fromkeys(use.value() for use in found))
    yield (
        f"Numbers of {listed} may be missing, others in every row. They are latent too; but nothing depends on them, so "
        "each is integrated out of its own distribution. In all that follows $p$ is the density of what is seen, which "
        "is 1 where that is nothing."
    )
    for use in found:
        yield from _normal(use) if use.cpd.family == "Normal" else _others(use)


def _normal(use: Use) -> Iterator[str]:
    yield from _of_vector(use) if is_matrix(use) else _by_themselves(use)
    yield (
        f"In $Q$ and in the statistics this expectation stands for ${use.value()}$, which is itself where it is seen; where "
        "two of its entries are multiplied, their covariance is added."
    )
    if any(_is_gaussian(use, ref) for ref in use.parents):
        yield from _with_latents(use)


def _is_gaussian(use: Use, ref: VarRef) -> bool:
    variable = use.names.graph.variable(ref.name)
    return variable.role == "latent" and not variable.discrete


def _with_latents(use: Use) -> Iterator[str]:
    """What changes for the Gaussian latents in the mean."""
    alone = r", with $J$ being 1 over the variance and $B$ being 1 where an entry is seen, and 0 elsewhere"
    yield (
        r"With a Gaussian latent $y$ in the mean, $C y$, what is seen says $C^{\top} J r$ of it, with the precision "
        rf"$C^{{\top}} J C$, for the residual $r$ at its prior mean{'' if is_matrix(use) else alone}: what is missing says "
        r"nothing. The residual has the expectation $B$ times what is left of it at the posterior mean of $y$; with the "
        r"posterior covariance $V$ of $y$ its own is $B C V C^{\top} B^{\top}$ plus the covariance above, and that with $y$ "
        r"is $-B C V$."
    )


def _of_vector(use: Use) -> Iterator[str]:
    """Entries that depend on one another."""

    def mean(entry: str) -> str:
        return use.argument("mean", "state", entry)

    def cov(entries: str) -> str:
        return use.argument("cov", "state", entries)

    value, seen, lacking = use.value(), use.value("state", "s"), use.value("state", "m")
    event = use.event("state").replace(value, seen, 1)
    given, inverse = rf"{lacking} \mid {event.replace(' ' + chr(92) + 'mid', ',', 1)}", rf"{cov('ss')}^{{-1}}"
    left = rf"\left({seen} - {mean('s')}\right)"
    yield f"Of the entries of ${value}$ let $s$ be those that are seen, and $m$ those that are missing:"
    yield display(
        line(rf"\ln p({event})", rf"\ln \mathcal{{N}}({seen}; {mean('s')}, {cov('ss')})"),
        line(rf"\mathrm{{E}}[{given}]", (mean("m"), rf"+{cov('ms')} {inverse} {left}")),
        line(rf"\operatorname{{Cov}}({given})", (cov("mm"), rf"-{cov('ms')} {inverse} {cov('sm')}")),
    )
    whole, about = use.argument("cov", "state"), use.argument("mean")
    yield (
        r"Whole matrices say this for all rows alike: let $J$ be the inverse of the covariance among $s$ and 0 elsewhere, and "
        rf"$B$ the covariance times $J$. Then ${about} + B \left({value} - {about}\right)$, the difference being 0 for "
        rf"what is missing, is the expectation, and ${whole} - B {whole}$ the covariance, which is 0 where either entry is "
        "seen."
    )


def _by_themselves(use: Use) -> Iterator[str]:
    """A scalar, or entries that are independent."""
    entry = entry_letter(use)
    value, mean = use.value("state", entry), use.argument("mean", "state", entry)
    where = r"\quad \text{where it is missing}"
    yield f"What is missing of ${use.value()}$ has the moments of its distribution:"
    yield display(
        line(rf"\mathrm{{E}}[{value}]", mean + where),
        line(rf"\operatorname{{Var}}({value})", variance(use) + where),
    )


def _others(use: Use) -> Iterator[str]:
    """Families of which what is missing is not counted."""
    name = escaped(use.variable.name)
    yield (
        f"What is missing of ${use.value()}$ has the factor 1 in place of its own. It is not counted: the statistics of "
        rf"\texttt{{{name}}}, the number of members among them, are sums over what is seen."
    )
