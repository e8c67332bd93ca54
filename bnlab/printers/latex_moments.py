"""The M-step where Gaussian latents are integrated out: expected moments, regressions on them, and the updates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bnlab.printers.latex_algebra import Algebra
from bnlab.printers.latex_families import family
from bnlab.printers.latex_gaussian import algebra, equation, quoted
from bnlab.printers.latex_layout import display, line
from bnlab.printers.latex_matrices import UnwritableError
from bnlab.printers.latex_names import Names, escaped
from bnlab.printers.latex_network import uses
from bnlab.printers.latex_steps import EStep
from bnlab.program.ir import Statement
from bnlab.program.ops import Symbol


def auxiliary(names: Names, walk: EStep) -> Iterator[str]:
    """The function that the M-step maximises, and the moments that it needs."""
    yield r"\section{The auxiliary function}"
    terms = [family(use.cpd.family).log(use) for use in uses(names)]
    log_joint = rf"\ln p({names.joint} \mid {names.eta})"
    yield (
        rf"$Q(q, {names.eta}) = \mathrm{{E}}_q\left[{log_joint}\right]$ is the expectation of a sum over the factors, for "
        "each member:"
    )
    yield display(*(line(rf"\ln {use.density()}", terms[place]) for place, use in enumerate(uses(names))))
    yield (
        "Each Gaussian factor is quadratic in what its residual $r$ (the variable less its mean under the old parameters) and "
        "its regressors are, so $Q$ needs only their expected products: the product of the posterior means, with the posterior "
        "covariance added. Expected moments, summed over members:"
    )
    yield from moments(names, walk)


def moments(names: Names, walk: EStep) -> Iterator[str]:
    """The statistics, as equations."""
    pen, program = algebra(names), names.program
    found = [
        Statement(Symbol(statistic.name, value.axes, "statistics"), walk.paired(value), "expect")
        for statistic, value in zip(program.statistics[1:], program.expect.results[1:], strict=True)
    ]
    yield from together(pen, found)


def m_step(names: Names) -> Iterator[str]:
    """The regressions on expected moments, and the updates."""
    pen, program = algebra(names), names.program
    yield r"\section{The M-step}"
    yield (
        r"With regressors $v$ of expected moments $M = \sum \mathrm{E}[v v^{\top}]$ and $s = \sum \mathrm{E}[r v^{\top}]$, "
        r"coefficients that change by $\delta$ leave $\sum \mathrm{E}[(r - \delta v)(r - \delta v)^{\top}]$. The derivative "
        r"of $Q$ by $\delta$ is 0 where $\delta M = s$: the regression of $r$ on $v$, by expected moments. What it leaves, "
        r"divided by the number of members, is the covariance "
        r"($\operatorname{diag}$ of a matrix is its diagonal). Where a count is 0, the old value is kept."
    )
    solved = []
    for item in program.m_step.body:
        assert isinstance(item, Statement)
        if item.target.name in names.bases:
            solved.append(item)
        else:
            pen = replace(pen, inline={**pen.inline, item.target.name: (item.target.axes, item.expression)})
    yield from together(pen, solved)
    updates = [
        Statement(Symbol(parameter.name, parameter.axes, "theta"), value, "maximise")
        for parameter, value in zip(program.parameters, program.m_step.results, strict=True)
        if names.graph.parameter(parameter.name).value is None
    ]
    for update in updates:
        yield rf"\subsection*{{The update of ${pen.pen.lhs(update.target)}$}}"
        yield from together(pen, [update], r"\leftarrow")


def together(pen: Algebra, items: list[Statement], relation: str = "=") -> Iterator[str]:
    """Statements as equations below each other; what is no linear algebra after them, in words."""
    lines, rest = [], []
    for item in items:
        try:
            lines.append(replace(equation(pen, item.target, item.expression), relation=relation))
        except UnwritableError:
            rest.append(quoted(item))
    if lines:
        yield display(*lines)
    yield from rest


def dictionary(names: Names, above: str) -> Iterator[str]:
    """Which symbol of the text above is called how in the emitted file."""
    pen, program = algebra(names), names.program
    targets = [s.target for s in (*program.expect.body, *program.m_step.body) if isinstance(s, Statement)]
    targets += [
        Symbol(field.name, value.axes, "statistics")
        for field, value in zip(program.statistics[1:], program.expect.results[1:], strict=True)
    ]
    known = [target for target in targets if target.name in names.bases and target.name not in pen.inline]
    rows = {pen.pen.lhs(target): target.name for target in known if pen.pen.lhs(target) in above}
    yield r"\section{Names in the emitted file}"
    yield r"\sloppy"
    listed = ", ".join(rf"${symbol}$ is \texttt{{{escaped(code)}}}" for symbol, code in rows.items())
    yield f"In the emitted EM, {listed}. Parameters and variables have their own names."
