"""What the article says of numbers that may be missing: their moments given what is seen, which stand for them in Q."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from bnlab.printers.latex_families import is_matrix, scale_matrix, variance
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
        if use.cpd.family == "Normal":
            yield from _normal(use)
        elif use.cpd.family == "StudentT" and entry_letter(use):
            yield from _student(use)
        else:
            yield from _others(use)


def _normal(use: Use) -> Iterator[str]:
    yield from _of_vector(use) if is_matrix(use) else _by_themselves(use)
    yield (
        f"In $Q$ and in the statistics this expectation stands for ${use.value()}$, which is itself where it is seen; where "
        "two of its entries are multiplied, their covariance is added."
    )
    if any(use.names.graph.variable(ref.name).continuous_latent for ref in use.parents):
        yield from _with_latents(use)


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


@dataclass(frozen=True, slots=True)
class Parts:
    """What is seen of a vector, s, and what is missing, m. `spread` is the slot of the matrix over its entries."""

    use: Use
    spread: str

    def mean(self, entry: str) -> str:
        return self.use.argument("mean", "state", entry)

    def cov(self, entries: str) -> str:
        return self.use.argument(self.spread, "state", entries)

    @property
    def seen(self) -> str:
        return self.use.value("state", "s")

    @property
    def event(self) -> str:
        """What is seen, given what it depends on."""
        return self.use.event("state").replace(self.use.value(), self.seen, 1)

    @property
    def given(self) -> str:
        """What is missing, given what is seen and what that depends on."""
        event = self.event.replace(r" \mid", ",", 1)
        return rf"{self.use.value('state', 'm')} \mid {event}"

    @property
    def left(self) -> str:
        return rf"\left({self.seen} - {self.mean('s')}\right)"

    @property
    def expected(self) -> tuple[str, ...]:
        return self.mean("m"), rf"+{self.cov('ms')} {self.cov('ss')}^{{-1}} {self.left}"

    @property
    def rest(self) -> tuple[str, ...]:
        """The covariance that is left."""
        return self.cov("mm"), rf"-{self.cov('ms')} {self.cov('ss')}^{{-1}} {self.cov('sm')}"


def _of_vector(use: Use) -> Iterator[str]:
    """Entries that depend on one another."""
    value, parts = use.value(), Parts(use, "cov")
    seen = parts.seen
    yield f"Of the entries of ${value}$ let $s$ be those that are seen, and $m$ those that are missing:"
    yield display(
        line(rf"\ln p({parts.event})", rf"\ln \mathcal{{N}}({seen}; {parts.mean('s')}, {parts.cov('ss')})"),
        line(rf"\mathrm{{E}}[{parts.given}]", parts.expected),
        line(rf"\operatorname{{Cov}}({parts.given})", parts.rest),
    )
    whole, about = use.argument("cov", "state"), use.argument("mean")
    yield (
        r"Whole matrices say this for all rows alike: let $J$ be the inverse of the covariance among $s$ and 0 elsewhere, and "
        rf"$B$ the covariance times $J$. Then ${about} + B \left({value} - {about}\right)$, the difference being 0 for "
        rf"what is missing, is the expectation, and ${whole} - B {whole}$ the covariance, which is 0 where either entry is "
        "seen."
    )


def _student(use: Use) -> Iterator[str]:
    """A vector of Student's t: normal given its hidden weight, of which what is seen tells."""
    matrix = use.cpd.argument("scale_matrix") is not None
    value, df, parts = use.value(), use.argument("df", "state"), Parts(use, "scale_matrix")
    u = parts.given.replace(use.value("state", "m"), "u", 1)
    letter = r"\tilde{S}" if "S" in {each.name for each in use.names.graph.parameters} else "S"
    scale = scale_matrix(use) if matrix else letter
    block = parts.cov("ss") if matrix else f"{letter}_{{ss}}"
    where = "" if matrix else rf", with ${letter} = {scale_matrix(use)}$"
    yield (
        f"Of the entries of ${value}$ let $s$ be those that are seen, $D_s$ how many these are, and $m$ those that are "
        rf"missing. Given its hidden weight $u$ the vector is normal with the covariance ${scale} / u${where}. So what is seen "
        "is Student's t again, and tells $u$ by its own distance:"
    )
    distance = rf"{parts.left}^{{\top}} {block}^{{-1}} {parts.left}"
    above, below = rf"{df} + D_s", rf"{df} + \Delta_s"
    yield display(
        line(r"\Delta_s", distance),
        line(
            rf"\ln p({parts.event})",
            (
                rf"\ln \Gamma\left(\frac{{{above}}}{{2}}\right)",
                rf"-\ln \Gamma\left(\frac{{{df}}}{{2}}\right)",
                rf"-\frac{{D_s}}{{2}} \ln \left(\pi {df}\right)",
                rf"-\tfrac{{1}}{{2}} \ln \left|{block}\right|",
                rf"-\frac{{{above}}}{{2}} \ln \left(1 + \frac{{\Delta_s}}{{{df}}}\right)",
            ),
        ),
        line(rf"\mathrm{{E}}[{u}]", rf"\frac{{{above}}}{{{below}}}"),
        line(
            rf"\mathrm{{E}}[\ln {u}]",
            (rf"\psi\left(\frac{{{above}}}{{2}}\right)", rf"-\ln \frac{{{below}}}{{2}}"),
        ),
    )
    yield "What is missing follows what is seen as that of a normal vector does, whatever $u$ is:"
    yield display(
        line(rf"\mathrm{{E}}[{parts.given}]", parts.expected if matrix else parts.mean("m")),
        line(rf"u \operatorname{{Cov}}({parts.given}, u)", parts.rest if matrix else f"{letter}_{{mm}}"),
    )
    yield (
        f"In $Q$ and in the statistics this expectation stands for ${value}$; where two of its entries are multiplied, the "
        "last line is added, without the weight $u$, which it is divided by and multiplied with. Vectors of which nothing is "
        "seen are not counted."
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
