"""The derivation as an article: the network and its joint density, the E-step, Q, the M-step, and why the likelihood never falls.

All of it follows from the Graph and the Program: the equations of the E-step and of the updates are the statements of the emitted EM,
one for one, under the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bnlab.domains import Covariance, Domain, Positive, Probability, Real, Simplex
from bnlab.network.ir import Graph, Parameter
from bnlab.printers.base import Printer
from bnlab.printers.latex_families import family
from bnlab.printers.latex_layout import Line, display, line
from bnlab.printers.latex_names import Names, escaped, names
from bnlab.printers.latex_network import (
    Use,
    constants_text,
    declared_constants,
    joint,
    own_name,
    plate_ranges,
    story_rows,
    uses,
)
from bnlab.printers.latex_posteriors import Posteriors
from bnlab.printers.latex_steps import EStep
from bnlab.printers.latex_update import paragraphs
from bnlab.program.ir import Program

PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage{amsmath}
\setlength{\oddsidemargin}{0pt}
\setlength{\textwidth}{16cm}
\setlength{\topmargin}{-1cm}
\setlength{\textheight}{23cm}
\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt}
\allowdisplaybreaks"""


def text(graph: Graph, program: Program) -> str:
    """The article for a network and the Program of its EM."""
    named = _densities(names(graph, program))
    walk = EStep(named)
    e_step = [*walk.paragraphs()]
    posteriors = Posteriors(named, tuple(walk.pairs))
    title = rf"EM for the network \texttt{{{escaped(graph.name)}}}"
    body = [
        PREAMBLE,
        r"\begin{document}",
        rf"\begin{{center}}{{\LARGE {title}}}\end{{center}}",
        *_network(named),
        *_e_step(named, e_step),
        *_auxiliary(named, posteriors),
        *_m_step(named, posteriors, walk),
        *_bound(named),
    ]
    body += [*_dictionary(named, walk, "\n".join(body)), r"\end{document}"]
    return "\n".join(body) + "\n"


def _densities(named: Names) -> Names:
    """The names, with the density of each variable given all that it reads, observed variables too."""
    wanted = {use.variable.name + (".first" if use.steps == "first" else ""): use for use in uses(named)}
    found = {
        function.name: rf"\ln p({wanted[factor].event('state')})"
        for factor, function in named.program.densities.items()
        if factor in wanted
    }
    return replace(named, meanings={**named.meanings, **found})


# -- the network ------------------------------------------------------------------------------------------------------


def _network(named: Names) -> Iterator[str]:
    graph = named.graph
    everything, hidden = named.everything
    yield r"\section{The network}"
    if graph.doc:
        yield escaped(" ".join(graph.doc.split()))
        yield ""
    yield "\\begin{align*}\n" + " \\\\\n".join(story_rows(named)) + "\n\\end{align*}"
    ranges = "; ".join(plate_ranges(named))
    yield f"Here {ranges}." if ranges else ""
    listed = "; ".join(_parameter(named, parameter) for parameter in graph.parameters)
    yield f"The parameters, together ${named.eta}$, are {listed}." if listed else ""
    found = "; ".join(constants_text(named, declared_constants(graph)))
    yield f"Constants: {found}." if found else ""
    latents = ", ".join(f"${named.variable(_ref(v.name))}$" for v in graph.in_role("latent"))
    observed = ", ".join(f"${named.variable(_ref(v.name))}$" for v in graph.in_role("observed"))
    inputs = ", ".join(f"${named.variable(_ref(v.name))}$" for v in graph.in_role("given"))
    yield f"All is conditioned on what is given ({inputs}), which is not written." if inputs else ""
    yield ""
    yield (
        rf"All observed variables ({observed}) together are ${everything}$"
        + (rf", all latent ones ({latents}) are ${hidden}$." if latents else "; nothing is latent.")
    )
    yield "The joint density is the product of the conditional distributions:"
    yield display(line(rf"p({_both(named)} \mid {named.eta})", joint(named)))


def _ref(name: str):  # type: ignore[no-untyped-def]
    from bnlab.network.ir import VarRef

    return VarRef(name)


def _both(named: Names) -> str:
    everything, hidden = named.everything
    return f"{everything}, {hidden}" if named.graph.in_role("latent") else everything


def _parameter(named: Names, parameter: Parameter) -> str:
    fixed = " (fixed)" if parameter.value is not None else ""
    return f"${own_name(named, parameter)}$, {_domain(parameter.domain)}{fixed}"


def _domain(domain: Domain) -> str:
    match domain:
        case Simplex(size, labels):
            named = f" ({escaped(', '.join(labels))})" if labels else ""
            return f"the probabilities of {size} categories{named}"
        case Covariance(dim):
            return rf"a ${dim} \times {dim}$ covariance matrix"
        case Positive(shape):
            return f"{shape[0]} positive numbers" if shape else "a positive number"
        case Probability():
            return "a probability"
        case Real(shape) if len(shape) < 2:
            return f"a vector of {shape[0]} numbers" if shape else "a number"
        case _:
            return rf"a matrix of ${' times '.join(map(str, domain.event_shape))}$".replace(
                "times", r"\times"
            )


# -- the E-step -------------------------------------------------------------------------------------------------------


def _e_step(named: Names, steps: list[str]) -> Iterator[str]:
    everything, hidden = named.everything
    yield r"\section{The E-step}"
    if named.graph.in_role("latent"):
        yield (
            rf"The E-step sets $q({hidden}) = P({hidden} \mid {everything}, {named.eta}_{{\mathrm{{old}}}})$. All quantities of this section "
            rf"are taken at the old parameters ${named.eta}_{{\mathrm{{old}}}}$; the summations follow the structure of the network, from the "
            "innermost plates outwards."
        )
    else:
        yield "Nothing is latent, so there is nothing to infer: the E-step only collects statistics, and one iteration is enough."
    densities = [_density(use) for use in uses(named) if family(use.cpd.family).spelled(use)]
    if densities:
        yield "The densities:"
        yield display(*densities)
    yield from steps


def _density(use: Use) -> Line:
    spelling = family(use.cpd.family)
    return line(rf"\ln p({use.event('state')})", spelling.log(use), spelling.spelled(use))


# -- Q ----------------------------------------------------------------------------------------------------------------


def _auxiliary(named: Names, posteriors: Posteriors) -> Iterator[str]:
    everything, hidden = named.everything
    yield r"\section{The auxiliary function}"
    under = (
        ""
        if named.graph.in_role("latent")
        else " (nothing is latent, so the expectation is the value itself)"
    )
    yield (
        f"The logarithm of the joint density is a sum over its factors, so its expectation{under} needs only the posterior "
        "probabilities of each factor's own variables:"
    )
    terms = [posteriors.everywhere(use).of(family(use.cpd.family).log(use)) for use in uses(named)]
    left = rf"Q(q, {named.eta})"
    expected = rf"\mathrm{{E}}_q\left[\ln p({everything}, {hidden} \mid {named.eta})\right]"
    first = [expected] if named.graph.in_role("latent") else [rf"\ln p({everything} \mid {named.eta})"]
    yield display(line(left, *first, (terms[0], *(f"+{term}" for term in terms[1:]))))
    if any(parameter.prior is not None for parameter in named.graph.parameters):
        yield (
            rf"Some parameters have priors, so the M-step maximises $Q + \ln p({named.eta})$: the result is the mode of the "
            "posterior density of the parameters."
        )


# -- the M-step -------------------------------------------------------------------------------------------------------


def _m_step(named: Names, posteriors: Posteriors, walk: EStep) -> Iterator[str]:
    yield r"\section{The M-step}"
    yield "What the M-step needs of the data are sums over members, the expected sufficient statistics:"
    yield display(*walk.statistics())
    remarks = []
    if walk.moments:
        remarks.append(
            "Moments are taken about an origin near the data, made of the old means, so that data far from 0 lose no digits; it cancels "
            "in the updates."
        )
    remarks.append("Where a count is 0, the old value is kept.")
    yield " ".join(remarks)
    known = set(declared_constants(named.graph))
    for parameter, found in paragraphs(named, posteriors, uses(named), walk.writer()):
        yield rf"\subsection*{{The update of ${parameter}$}}"
        yield found
        made = [
            key for key, name in named.constants.items() if key not in known and f"{name} " in f"{found} "
        ]
        known |= set(made)
        if made:
            yield f"Here {'; '.join(constants_text(named, made))}."


# -- why it works -----------------------------------------------------------------------------------------------------


def _bound(named: Names) -> Iterator[str]:
    everything, hidden = named.everything
    eta = named.eta
    yield r"\section{Why the likelihood never falls}"
    yield f"For any distribution $q({hidden})$"
    divergence = rf"D_{{\mathrm{{KL}}}}\bigl(q({hidden}) \,\|\, P({hidden} \mid {everything}, {eta})\bigr)"
    yield display(line(rf"\ln p({everything} \mid {eta})", (f"Q(q, {eta})", "+H(q)", f"+{divergence}")))
    yield (
        rf"where $H(q)$ is the entropy of $q$. The divergence is never negative, so $L(q, {eta}) = Q(q, {eta}) + H(q)$ is a lower bound. The "
        rf"E-step makes the divergence 0: the bound touches $\ln p({everything} \mid {eta}_{{\mathrm{{old}}}})$. The M-step raises $Q$; $H(q)$ "
        rf"does not depend on ${eta}$, and the divergence can only grow from 0. So $\ln p({everything} \mid {eta})$ rises by at least "
        "as much as $Q$ does, in every iteration, to a local maximum."
    )


def _dictionary(named: Names, walk: EStep, above: str) -> Iterator[str]:
    """Which symbol of the text above is called how in the emitted file."""
    program = named.program
    rows: dict[str, str] = {}
    arrays = [item.target for item in _assigned(program) if item.target.name in named.bases]
    arrays += [target for item in program.expect.body for target in _targets(item)]
    for symbol in arrays:
        rows[walk.writer().lhs(symbol)] = symbol.name
    for statistic, value in zip(program.statistics[1:], program.expect.results[1:], strict=True):
        from bnlab.program.ops import Symbol

        rows[walk.writer().lhs(Symbol(statistic.name, value.axes, "statistics"))] = statistic.name
    if rows:
        spelled = ", ".join(
            rf"${symbol}$ is \texttt{{{escaped(code)}}}" for symbol, code in rows.items() if symbol in above
        )
        yield r"\section{Names in the emitted file}"
        yield f"In the emitted EM, {spelled}. Parameters and variables have their own names."


def _assigned(program: Program):  # type: ignore[no-untyped-def]
    from bnlab.program.ir import Statement

    return [item for item in (*program.expect.body, *program.m_step.body) if isinstance(item, Statement)]


def _targets(item: object):  # type: ignore[no-untyped-def]
    from bnlab.program.ir import Invoke

    return item.targets if isinstance(item, Invoke) else ()


PRINTERS = (Printer("latex", ".tex", ("network", "em"), text),)
