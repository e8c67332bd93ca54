"""The derivation of variational EM as an article: what q is, the point of the E-step, the updates of q(theta), and the bound.

Equations are the statements of the emitted file, one for one. The E-step is written as that of EM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bnlab.domains import Simplex
from bnlab.network.ir import Graph, Parameter
from bnlab.notation import tex
from bnlab.printers.base import Printer
from bnlab.printers.latex import PREAMBLE, densities
from bnlab.printers.latex_algebra import Algebra
from bnlab.printers.latex_belief import (
    TITLES,
    Equations,
    before,
    called_hypers,
    called_locals,
    hypers,
    identities,
    renamed,
)
from bnlab.printers.latex_expression import Writer
from bnlab.printers.latex_gaussian import elimination, gaussian_names, is_gaussian
from bnlab.printers.latex_layout import Line, display, line
from bnlab.printers.latex_moments import moments
from bnlab.printers.latex_names import Names, escaped, exactly, names
from bnlab.printers.latex_steps import EStep
from bnlab.printers.latex_story import section
from bnlab.program.ir import Field, Program, Statement, Variational
from bnlab.program.ops import Axes, Expr, Symbol, Unary
from bnlab.program.walk import parts, symbols


def text(graph: Graph, found: Variational) -> str:
    """The article for a network and its variational EM."""
    article = _article(graph, found)
    title = rf"Variational EM for the network \texttt{{{escaped(graph.name)}}}"
    body = [
        PREAMBLE,
        r"\begin{document}",
        rf"\begin{{center}}{{\LARGE {title}}}\end{{center}}",
        *section(article.named),
        *article.family(),
        *article.e_step(),
        *article.m_step(),
        *article.bound(),
        r"\end{document}",
    ]
    return "\n".join(body) + "\n"


def _article(graph: Graph, found: Variational) -> Article:
    """With Gaussian latents, locals of the E-step and of the M-step may have the same name: each has names of its own."""
    found = replace(found, program=exactly(found.program))
    called, local = called_hypers(graph, found), called_locals(found)
    named = densities(names(graph, renamed(_whole(found), called)))
    if is_gaussian(graph):
        named = gaussian_names(named)
    steps = replace(named, program=renamed(found.program, called), bases={**named.bases, **called})
    named = replace(named, bases={**steps.bases, **local})
    walk = EStep(steps if is_gaussian(graph) else replace(steps, bases=named.bases))
    symmetric = frozenset(name for name in called if name.split(" ")[0].endswith(("_cov", "_scale")))
    pen = Algebra(
        Writer(named),
        symmetric=symmetric | {name for name in local if name.startswith(("cov_", "precision_"))},
    )
    return Article(found, named, walk, Equations(pen, called))


def _whole(found: Variational) -> Program:
    """The Program with all that is written, so that every axis and array has a name."""
    return replace(found.program, functions=(*found.program.functions, found.expectations, found.divergence))


@dataclass(frozen=True, slots=True)
class Article:
    """The sections. `walk` writes the E-step, `pen` all that is about q(theta)."""

    found: Variational
    named: Names
    walk: EStep
    pen: Equations

    @property
    def graph(self) -> Graph:
        return self.named.graph

    @property
    def hidden(self) -> bool:
        """Whether anything is latent."""
        return bool(self.graph.in_role("latent"))

    @property
    def gaussian(self) -> bool:
        return is_gaussian(self.graph)

    def family(self) -> Iterator[str]:
        everything, hidden = self.named.everything
        eta = self.named.eta
        yield r"\section{The posterior that is sought}"
        if self.hidden:
            yield (
                rf"The posterior $p({hidden}, {eta} \mid {everything})$ is approximated by a product $q({hidden})\,q({eta})$ "
                rf"that comes near to it in Kullback-Leibler divergence, in which $q({eta})$ is again a product, of one factor "
                "for each parameter. Each has the form of its prior:"
            )
        else:
            yield (
                rf"The posterior $p({eta} \mid {everything})$ is approximated by a product $q({eta})$ of one factor for each "
                "parameter, which comes near to it in Kullback-Leibler divergence. Each has the form of its prior:"
            )
        lines = []
        for parameter in self._learnt():
            assert parameter.prior is not None
            own = self._lhs(Symbol(parameter.name, _plates(parameter, self._axes(parameter)), "theta"))
            for mark, name in (("p", before), ("q", str)):
                inside = ", ".join(
                    self._lhs(Symbol(name(field.name), _plates(parameter, field.axes)))
                    for field in self._hypers(parameter)
                )
                lines.append(line(f"{mark}({own})", f"{TITLES[parameter.prior.family]}({inside})"))
        yield display(*lines)
        wishart = any(p.prior is not None and p.prior.family == "InverseWishart" for p in self._learnt())
        yield (
            r"Here $\mathcal{W}^{-1}(\nu, \Psi)$ is the inverse Wishart distribution; a letter with the index 0 is the prior's."
            if wishart
            else "A letter with the index 0 is the prior's."
        )

    def e_step(self) -> Iterator[str]:
        everything, hidden = self.named.everything
        eta = self.named.eta
        yield r"\section{The E-step}"
        psi = r", with the digamma function $\psi$" if self._has_digamma() else ""
        if self.hidden:
            yield (
                rf"Given $q({eta})$ the best $q({hidden})$ is proportional to $\exp \mathrm{{E}}_{{q({eta})}}"
                rf"[\ln p({everything}, {hidden} \mid {eta})]$. Each expected logarithm is the logarithm at a point, plus an "
                f"offset that knows no data. They follow from these expectations{psi}:"
            )
        else:
            yield (
                "Nothing is latent. Expected logarithms are logarithms at a point, plus offsets that know no data. They "
                f"follow from these expectations{psi}:"
            )
        yield display(*identities(self.graph, self.found))
        more = ", and the offsets" if len(self.found.program.parameters) > len(self.graph.parameters) else ""
        yield f"The point, which stands for the parameters from here on{more}:"
        yield display(*self._point())
        if self.hidden:
            yield "Now comes the E-step of EM at this point; what it calls $p$ is not normalised."
        yield from elimination(self.walk.names, self.walk) if self.gaussian else self.walk.paragraphs()

    def _has_digamma(self) -> bool:
        units = (part for part in parts(self.found.expectations) if isinstance(part, Unary))
        return any(one.op == "digamma" for one in units)

    def _point(self) -> Iterator[Line]:
        for item in self.found.expectations.body:
            assert isinstance(item, Statement)
            yield self.pen.line(item.target, item.expression)
        points = {parameter.name: parameter for parameter in self.graph.parameters}
        for field, value in zip(self.found.program.parameters, self.found.expectations.results, strict=True):
            if field.name in points and points[field.name].value is not None:
                continue
            axes = value.axes if value.axes else field.axes
            target = Symbol(field.name, axes, "theta" if field.name in points else "local")
            yield self.pen.line(target, value, r"\leftarrow")

    def m_step(self) -> Iterator[str]:
        _, hidden = self.named.everything
        yield r"\section{The M-step}"
        yield from self._statistics()
        given = rf"$q({hidden})$ and " if self.hidden else ""
        yield (
            f"Given {given}the other factors, the logarithm of the best factor for a parameter is the expected logarithm of "
            "the joint density, as a function of that parameter. With a conjugate prior it has the prior's form; the "
            "statistics add to its hyperparameters. A factor that is updated later sees the ones before it; the others are at "
            "the point of the E-step."
        )
        groups = sorted(((self._made(p), p) for p in self._learnt()), key=self._place)
        told: list[Statement] = []
        lines: list[Line] = []
        for made, parameter in groups:
            new = [item for item in made if item not in told]
            told += new
            update = [self.pen.line(item.target, item.expression) for item in new]
            update += self._updates(parameter)
            if self.found.program.m_step.body:
                own = self._lhs(Symbol(parameter.name, _plates(parameter, self._axes(parameter)), "theta"))
                yield rf"\subsection*{{The update of $q({own})$}}"
                yield display(*update)
            else:
                lines += update
        if lines:
            yield display(*lines)

    def _place(self, group: tuple[tuple[Statement, ...], Parameter]) -> tuple[int, bool]:
        """After the last statement that is read; a mean before the spread about it."""
        made, parameter = group
        body = self.found.program.m_step.body
        last = max((body.index(item) for item in made), default=-1)
        return last, parameter.prior is None or parameter.prior.family != "Normal"

    def _statistics(self) -> Iterator[str]:
        if self.gaussian:
            yield (
                "Each Gaussian factor is quadratic in what its residual $r$ (the variable less its mean at the point) and its "
                "regressors are, so only their expected products are needed: the product of the posterior means, with the "
                "posterior covariance added. Expected moments, summed over members:"
            )
            yield from moments(self.walk.names, self.walk)
            return
        statistics = [*self.walk.statistics()]
        if statistics:
            yield "What the M-step needs of the data are sums over members, the expected sufficient statistics:"
            yield display(*statistics)

    def _made(self, parameter: Parameter) -> tuple[Statement, ...]:
        """The statements of the M-step that the update of a parameter reads, and those that these read."""
        wanted = {symbol.name for _, value in self._values(parameter) for symbol in symbols(value)}
        found: list[Statement] = []
        for item in reversed(self.found.program.m_step.body):
            assert isinstance(item, Statement)
            if item.target.name in wanted:
                wanted |= {symbol.name for symbol in symbols(item.expression)}
                found.insert(0, item)
        return tuple(found)

    def _updates(self, parameter: Parameter) -> Iterator[Line]:
        for field, value in self._values(parameter):
            axes = value.axes if value.axes else field.axes
            yield self.pen.line(Symbol(field.name, axes), value, r"\leftarrow")

    def _values(self, parameter: Parameter) -> Iterator[tuple[Field, Expr]]:
        own = {field.name for field in self._hypers(parameter)}
        for field, value in zip(self.found.posterior, self.found.program.m_step.results, strict=True):
            if field.name in own:
                yield field, value

    def bound(self) -> Iterator[str]:
        everything, hidden = self.named.everything
        eta = self.named.eta
        normaliser = (
            rf"\ln p({everything} \mid {eta})"
            if self.hidden
            else rf"\mathrm{{E}}_q[\ln p({everything} \mid {eta})]"
        )
        divergence = rf"D_{{\mathrm{{KL}}}}\bigl(q({eta}) \,\|\, p({eta})\bigr)"
        yield r"\section{The bound}"
        where = f"{hidden}, {eta}" if self.hidden else eta
        yield display(
            line(
                rf"\ln p({everything})",
                (
                    rf"\mathrm{{E}}_q[\ln p({everything}, {where})]",
                    rf"-\mathrm{{E}}_q[\ln q({where})]",
                    rf"+D_{{\mathrm{{KL}}}}\bigl(q({where}) \,\|\, p({where} \mid {everything})\bigr)",
                ),
            )
        )
        yield (
            "The divergence is never negative, so the rest is a lower bound, the ELBO. Each factor of $q$ is the best one "
            "given the others when it is updated, so no step lowers it. After an E-step it is"
        )
        yield display(line(r"\mathrm{ELBO}", (normaliser, f"-{divergence}")))
        yield f"where ${normaliser}$ is the last line of the E-step, and the divergence is the sum of"
        for item, field in zip(self.found.divergence.body, self.found.learnt, strict=True):
            assert isinstance(item, Statement)
            yield display(self.pen.divergence(rf"D_{{{tex(field.name)}}}", item.expression))

    # -- names

    def _learnt(self) -> Iterator[Parameter]:
        return (self.graph.parameter(field.name) for field in self.found.learnt)

    def _hypers(self, parameter: Parameter) -> list[Field]:
        return [field for one, _, field in hypers(self.graph, self.found) if one == parameter]

    def _axes(self, parameter: Parameter) -> Axes:
        return next(field.axes for field in self.found.learnt if field.name == parameter.name)

    def _lhs(self, symbol: Symbol) -> str:
        return self.pen.pen.pen.lhs(symbol)


def _plates(parameter: Parameter, axes: Axes) -> Axes:
    """The axes without that of the categories, which one draw has all of."""
    return axes[:-1] if isinstance(parameter.domain, Simplex) else axes


PRINTERS = (Printer("latex_vbem", "_vbem.tex", ("network", "vbem"), text),)
