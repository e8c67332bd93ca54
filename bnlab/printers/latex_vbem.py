"""The derivation of variational EM as an article: what q is, the point of the E-step, the updates of q(theta), and the bound.

Equations are the statements of the emitted file, one for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from bnlab.domains import Simplex
from bnlab.errors import Fault, IntractableError
from bnlab.network.ir import Graph, Parameter
from bnlab.notation import tex
from bnlab.printers.base import Printer
from bnlab.printers.latex import PREAMBLE, densities
from bnlab.printers.latex_expression import Writer
from bnlab.printers.latex_gaussian import is_gaussian
from bnlab.printers.latex_layout import Line, display, line
from bnlab.printers.latex_names import Names, escaped, names
from bnlab.printers.latex_products import Ready
from bnlab.printers.latex_steps import EStep
from bnlab.printers.latex_story import section
from bnlab.program.ir import Field, Program, Statement, Variational
from bnlab.program.ops import Axes, Constant, Expr, Symbol
from bnlab.program.walk import transform

LETTERS = {
    "Dirichlet": {"concentration": r"\alpha"},
    "Normal": {"mean": "m", "cov": "V", "var": "v"},
    "InverseWishart": {"df": r"\nu", "scale": r"\Psi"},
    "InverseGamma": {"concentration": "a", "scale": "b"},
    "Gamma": {"concentration": "a", "rate": "b"},
    "Beta": {"concentration1": "a", "concentration0": "b"},
}
"""What hyperparameters are called, by the family of the prior."""
TITLES = {
    "Dirichlet": r"\operatorname{Dirichlet}",
    "Normal": r"\mathcal{N}",
    "InverseWishart": r"\mathcal{W}^{-1}",
    "InverseGamma": r"\operatorname{InverseGamma}",
    "Gamma": r"\operatorname{Gamma}",
    "Beta": r"\operatorname{Beta}",
}
LOCALS = {
    "precision": r"\Lambda",
    "cov": r"\hat{V}",
    "moment": "h",
    "mean": r"\hat{m}",
    "origin": "o",
    "both": "s",
}
"""Locals of the M-step by the first word of their names."""


def text(graph: Graph, found: Variational) -> str:
    """The article for a network and its variational EM. Raises IntractableError where latents are Gaussian: not written yet."""
    if is_gaussian(graph):
        reason = "The derivation of variational EM with Gaussian latents is not written in TeX yet."
        raise IntractableError(Fault(reason, 'bn.emit(net, "vbem") has its equations.'))
    called = _called(graph, found)
    program = _renamed(_whole(found), called)
    named = densities(names(graph, program))
    named = replace(named, bases={**named.bases, **called})
    walk = EStep(replace(named, program=_renamed(found.program, called)))
    steps = [*walk.paragraphs()]
    pen = walk.writer()
    title = rf"Variational EM for the network \texttt{{{escaped(graph.name)}}}"
    body = [
        PREAMBLE,
        r"\begin{document}",
        rf"\begin{{center}}{{\LARGE {title}}}\end{{center}}",
        *section(named),
        *_family(named, found, pen, called),
        *_e_step(named, found, pen, called, steps),
        *_m_step(named, found, pen, called, [*walk.statistics()]),
        *_bound(named, found, pen, called),
        r"\end{document}",
    ]
    return "\n".join(body) + "\n"


# -- names


def _whole(found: Variational) -> Program:
    """The Program with all that is written, so that every axis and array has a name."""
    return replace(found.program, functions=(*found.program.functions, found.expectations, found.divergence))


def _called(graph: Graph, found: Variational) -> dict[str, str]:
    """The TeX of hyperparameters of q and of the prior, of offsets, and of locals."""
    called = {}
    for parameter, key, field in _hypers(graph, found):
        assert parameter.prior is not None
        letter, above = LETTERS[parameter.prior.family][key], tex(parameter.name)
        called[field.name] = f"{letter}^{{({above})}}"
        called[_before(field.name)] = f"{{{letter}_0}}^{{({above})}}"
    points = {parameter.name for parameter in graph.parameters}
    offsets = [field for field in found.program.parameters if field.name not in points]
    for field in offsets:
        rest = field.name.removeprefix("offset_").replace("_first", ",1")
        called[field.name] = "c" if len(offsets) == 1 else f"c^{{({rest})}}".replace("_", r"\_")
    for item in (*found.expectations.body, *found.program.m_step.body):
        assert isinstance(item, Statement)
        head, _, rest = item.target.name.partition("_")
        if head in LOCALS:
            called[item.target.name] = LOCALS[head] + (
                "^{(" + ",".join(map(tex, rest.split("_"))) + ")}" if rest else ""
            )
    return called


def _hypers(graph: Graph, found: Variational) -> Iterator[tuple[Parameter, str, Field]]:
    """Each hyperparameter with the parameter that it describes."""
    fields = iter(found.posterior)
    for one in found.learnt:
        parameter = graph.parameter(one.name)
        assert parameter.prior is not None
        for field in fields:
            key = field.name.removeprefix(f"{one.name}_")
            yield parameter, key, field
            if key in ("concentration0", "cov", "var") or key == _last(parameter.prior.family):
                break


def _last(family: str) -> str:
    return list(LETTERS[family])[-1]


def _before(name: str) -> str:
    """The name of a hyperparameter of the prior: no Python identifier, so nothing else has it."""
    return f"{name} before"


Tree = TypeVar("Tree")


def _renamed(tree: Tree, called: Mapping[str, str]) -> Tree:
    def change(part: object) -> object:
        match part:
            case Symbol(name, axes, "posterior"):
                return Symbol(name, axes)
            case Symbol(name, axes, "prior"):
                return Symbol(_before(name), axes)
            case Symbol(name, axes, "theta") if name in called:
                return Symbol(name, axes)
            case Constant(flat, (size,), (axis,)) if size > 1 and flat == tuple(range(size)):
                return Ready(f"({axis.letter} - 1)", (axis,))
            case _:
                return part

    return transform(tree, change)


def _line(pen: Writer, target: Symbol, value: Expr, called: Mapping[str, str], relation: str = "=") -> Line:
    left, terms = replace(pen, free=target.axes).equation(target, _renamed(value, called))
    return line(left, terms, relation=relation)


# -- sections


def _family(named: Names, found: Variational, pen: Writer, called: Mapping[str, str]) -> Iterator[str]:
    everything, hidden = named.everything
    eta = named.eta
    yield r"\section{The posterior that is sought}"
    yield (
        rf"The posterior $p({hidden}, {eta} \mid {everything})$ is approximated by a product $q({hidden})\,q({eta})$ that "
        rf"comes near to it in Kullback-Leibler divergence, in which $q({eta})$ is again a product, of one factor for each "
        "parameter. Each has the form of its prior:"
    )
    lines = []
    for parameter in (named.graph.parameter(field.name) for field in found.learnt):
        assert parameter.prior is not None
        fields = [field for one, _, field in _hypers(named.graph, found) if one == parameter]
        own = pen.lhs(Symbol(parameter.name, _plates(parameter, _own(found, parameter.name)), "theta"))
        for mark, name in (("p", _before), ("q", str)):
            inside = ", ".join(
                pen.lhs(Symbol(name(field.name), _plates(parameter, field.axes))) for field in fields
            )
            lines.append(line(f"{mark}({own})", f"{TITLES[parameter.prior.family]}({inside})"))
    yield display(*lines)
    yield (
        r"Here $\mathcal{W}^{-1}(\nu, \Psi)$ is the inverse Wishart distribution; a letter with the index 0 is the prior's."
        if any(named.graph.parameter(f.name).prior.family == "InverseWishart" for f in found.learnt)  # type: ignore[union-attr]
        else "A letter with the index 0 is the prior's."
    )


def _own(found: Variational, name: str) -> Axes:
    return next(field.axes for field in found.learnt if field.name == name)


def _plates(parameter: Parameter, axes: Axes) -> Axes:
    """The axes without that of the categories, which one draw has all of."""
    return axes[:-1] if isinstance(parameter.domain, Simplex) else axes


def _e_step(
    named: Names, found: Variational, pen: Writer, called: Mapping[str, str], steps: list[str]
) -> Iterator[str]:
    everything, hidden = named.everything
    yield r"\section{The E-step}"
    if named.graph.in_role("latent"):
        yield (
            rf"Given $q({named.eta})$ the best $q({hidden})$ is proportional to $\exp \mathrm{{E}}_{{q({named.eta})}}"
            rf"[\ln p({everything}, {hidden} \mid {named.eta})]$. Each expected logarithm is the logarithm at a point, plus an "
            "offset that knows no data. The point and the offsets, with the digamma function $\\psi$:"
        )
    else:
        yield "Nothing is latent. Expected logarithms are logarithms at a point, plus offsets that know no data:"
    lines = [
        _line(pen, item.target, item.expression, called)
        for item in found.expectations.body
        if isinstance(item, Statement)
    ]
    points = {parameter.name: parameter for parameter in named.graph.parameters}
    for field, value in zip(found.program.parameters, found.expectations.results, strict=True):
        if field.name in points and points[field.name].value is not None:
            continue
        axes = value.axes if value.axes else field.axes
        space = "theta" if field.name in points else "local"
        lines.append(_line(pen, Symbol(field.name, axes, space), value, called, r"\leftarrow"))  # type: ignore[arg-type]
    yield display(*lines)
    if named.graph.in_role("latent"):
        yield (
            "These stand for the parameters in all of this section. The summations are those of EM; what is called $p$ here "
            "need not sum to 1."
        )
    yield from steps


def _m_step(
    named: Names, found: Variational, pen: Writer, called: Mapping[str, str], statistics: list[Line]
) -> Iterator[str]:
    _, hidden = named.everything
    yield r"\section{The M-step}"
    if statistics:
        yield "What the M-step needs of the data are sums over members, the expected sufficient statistics:"
        yield display(*statistics)
    given = rf"$q({hidden})$ and " if named.graph.in_role("latent") else ""
    yield (
        f"Given {given}the other factors, the logarithm of the best factor for a parameter is the expected logarithm of the "
        "joint density, as a function of that parameter. With a conjugate prior it has the prior's form; the statistics add to "
        "its hyperparameters. A factor that is updated later sees the ones before it."
    )
    body = [item for item in found.program.m_step.body if isinstance(item, Statement)]
    lines = [_line(pen, item.target, item.expression, called) for item in body]
    for field, value in zip(found.posterior, found.program.m_step.results, strict=True):
        axes = value.axes if value.axes else field.axes
        lines.append(_line(pen, Symbol(field.name, axes), value, called, r"\leftarrow"))
    yield display(*lines)


def _bound(named: Names, found: Variational, pen: Writer, called: Mapping[str, str]) -> Iterator[str]:
    everything, hidden = named.everything
    eta = named.eta
    normaliser = (
        rf"\ln p({everything} \mid {eta})"
        if named.graph.in_role("latent")
        else rf"\mathrm{{E}}_q[\ln p({everything} \mid {eta})]"
    )
    divergence = rf"D_{{\mathrm{{KL}}}}\bigl(q({eta}) \,\|\, p({eta})\bigr)"
    yield r"\section{The bound}"
    where = f"{hidden}, {eta}" if named.graph.in_role("latent") else eta
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
        "The divergence is never negative, so the rest is a lower bound, the ELBO. Each factor of $q$ is the best one given "
        "the others when it is updated, so no step lowers it. After an E-step it is"
    )
    yield display(line(r"\mathrm{ELBO}", (normaliser, f"-{divergence}")))
    yield f"where ${normaliser}$ is the last line of the E-step, and the divergence is the sum of"
    lines = []
    for item, field in zip(found.divergence.body, found.learnt, strict=True):
        assert isinstance(item, Statement)
        terms = pen.terms(_renamed(item.expression, called))[1]
        lines.append(line(rf"D_{{{tex(field.name)}}}", terms))
    yield display(*lines)


PRINTERS = (Printer("latex_vbem", "_vbem.tex", ("network", "vbem"), text),)
