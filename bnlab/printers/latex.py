"""The derivation as an article: the network and its joint density, the E-step, Q, the M-step, and why the likelihood
never falls.

All of it follows from the Graph and the Program: the equations of the E-step and of the updates are the statements of
the emitted EM, one for one, under the same names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from bnlab.network.ir import Graph
from bnlab.printers import latex_missing as missing
from bnlab.printers.base import Printer
from bnlab.printers.latex_families import family
from bnlab.printers.latex_gaussian import e_step, gaussian_names, is_gaussian
from bnlab.printers.latex_layout import Line, display, line
from bnlab.printers.latex_maximise import paragraphs
from bnlab.printers.latex_moments import auxiliary, dictionary, m_step
from bnlab.printers.latex_names import Names, escaped, exactly, names
from bnlab.printers.latex_network import Use, has_named_mean, sum_tex, uses
from bnlab.printers.latex_posteriors import Posteriors
from bnlab.printers.latex_steps import EStep
from bnlab.printers.latex_story import constants_in, constants_text, declared_constants, section
from bnlab.program.ir import Invoke, Program, Statement
from bnlab.program.ops import Symbol

PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage{amsmath}
\setlength{\oddsidemargin}{0pt}
\setlength{\textwidth}{16cm}
\setlength{\topmargin}{-1cm}
\setlength{\textheight}{23cm}
\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt}
\allowdisplaybreaks"""


UNBROKEN = 11
"""Letters of a name that TeX, which does not break it, may not find room for: it is let stretch the line."""
NOTHING = (r"\section{The M-step}", "All parameters are known, so there is nothing to maximise.")


def text(graph: Graph, program: Program, gaps: Collection[str] = ()) -> str:
    """The article for a network and the Program of its EM on complete data; numbers of `gaps` may be missing."""
    program = exactly(program)
    if is_gaussian(graph):
        return _gaussian(graph, program, gaps)
    named = densities(names(graph, program))
    walk = EStep(named)
    e_step = [*walk.paragraphs()]
    posteriors = Posteriors(named, tuple(walk.pairs))
    body = [
        *_opening(graph),
        *section(named),
        *missing.section(named, gaps),
        *_e_step(named, e_step),
        *(
            (*_auxiliary(named, posteriors), *_m_step(named, posteriors, walk), *_bound(named))
            if _learnt(graph)
            else NOTHING
        ),
    ]
    body += [*_dictionary(named, walk, "\n".join(body)), r"\end{document}"]
    return "\n".join(body) + "\n"


def _learnt(graph: Graph) -> bool:
    """Whether there is anything to maximise over."""
    return any(parameter.value is None for parameter in graph.parameters)


def _opening(graph: Graph) -> tuple[str, ...]:
    title = rf"EM for the network \texttt{{{escaped(graph.name)}}}"
    return PREAMBLE, r"\begin{document}", rf"\begin{{center}}{{\LARGE {title}}}\end{{center}}"


def _gaussian(graph: Graph, program: Program, gaps: Collection[str]) -> str:
    """The article where Gaussian latents are integrated out."""
    named = gaussian_names(densities(names(graph, program)))
    walk = EStep(named)
    body = [
        *_opening(graph),
        *section(named),
        *missing.section(named, gaps),
        *e_step(named, walk),
        *((*auxiliary(named, walk), *m_step(named), *_bound(named)) if _learnt(graph) else NOTHING),
    ]
    body += [*dictionary(named, "\n".join(body)), r"\end{document}"]
    return "\n".join(body) + "\n"


def densities(named: Names) -> Names:
    """The names, with the density of each variable given all that it reads, observed variables too."""
    wanted = {use.label: use for use in uses(named)}
    found = {
        function.name: rf"\ln p({wanted[factor].event('state')})"
        for factor, function in named.program.densities.items()
        if factor in wanted
    }
    return replace(named, meanings={**named.meanings, **found})


def _e_step(named: Names, steps: list[str]) -> Iterator[str]:
    everything, hidden = named.everything
    old = rf"{named.eta}_{{\mathrm{{old}}}}"
    yield r"\section{The E-step}"
    if named.graph.in_role("latent"):
        yield (
            rf"The E-step sets $q({hidden}) = P({hidden} \mid {everything}, {old})$. All quantities of this section are "
            f"taken at the old parameters ${old}$; the summations follow the structure of the network, from the "
            "innermost plates outwards."
        )
    else:
        yield (
            "Nothing is latent, so there is nothing to infer: the E-step only collects statistics, and one iteration "
            "is enough."
        )
    densities = [
        each
        for use in uses(named)
        if family(use.cpd.family).spelled(use)
        for each in (*([_mean(use)] if has_named_mean(use) else []), _density(use))
    ]
    if densities:
        yield "The densities:"
        yield display(*densities)
    yield from steps


def _mean(use: Use) -> Line:
    return line(use.hat("state"), sum_tex(use, "state"))


def _density(use: Use) -> Line:
    spelling = family(use.cpd.family)
    return line(rf"\ln p({use.event('state')})", spelling.log(use), spelling.spelled(use))


def _auxiliary(named: Names, posteriors: Posteriors) -> Iterator[str]:
    yield r"\section{The auxiliary function}"
    log_joint = rf"\ln p({named.joint} \mid {named.eta})"
    if named.graph.in_role("latent"):
        yield (
            "The logarithm of the joint density is a sum over its factors, so its expectation needs only the posterior "
            "probabilities of each factor's own variables:"
        )
        first = rf"\mathrm{{E}}_q\left[{log_joint}\right]"
    else:
        yield "Nothing is latent, so $Q$ is the logarithm of the joint density, a sum over its factors:"
        first = log_joint
    terms = [posteriors.everywhere(use).of(family(use.cpd.family).log(use)) for use in uses(named)]
    yield display(line(rf"Q(q, {named.eta})", first, (terms[0], *(f"+{term}" for term in terms[1:]))))
    if named.program.log_prior is not None:
        yield (
            rf"Some parameters have priors, so the M-step maximises $Q + \ln p({named.eta})$: the result is the mode of "
            "the posterior density of the parameters."
        )


def _m_step(named: Names, posteriors: Posteriors, walk: EStep) -> Iterator[str]:
    yield r"\section{The M-step}"
    statistics = [*walk.statistics()]
    if statistics:
        yield "What the M-step needs of the data are sums over members, the expected sufficient statistics:"
        yield display(*statistics)
    left = any("old coefficients" in item.formula for item in walk.moments)
    if left:
        yield (
            "Moments of a regression are of $r$, what the old mean leaves: data far from 0 lose no digits, and "
            "coefficients move by what $r$ still tells of them."
        )
    if any("old coefficients" not in item.formula for item in walk.moments):
        yield (
            "Moments are taken about an origin near the data, made of the old means, so that data far from 0 lose no "
            "digits; it cancels in the updates."
        )
    yield "Where a count is 0, the old value is kept."
    known = set(declared_constants(named.graph))
    for parameter, found in paragraphs(named, posteriors, uses(named), walk.writer()):
        yield rf"\subsection*{{The update of ${parameter}$}}"
        yield found
        made = [key for key in constants_in(named, found) if key not in known]
        known |= set(made)
        if made:
            yield f"Here {'; '.join(constants_text(named, made))}."


def _bound(named: Names) -> Iterator[str]:
    everything, hidden = named.everything
    eta = named.eta
    evidence = rf"\ln p({everything} \mid {eta})"
    yield r"\section{Why the likelihood never falls}"
    yield f"For any distribution $q({hidden})$"
    divergence = rf"D_{{\mathrm{{KL}}}}\bigl(q({hidden}) \,\|\, P({hidden} \mid {everything}, {eta})\bigr)"
    yield display(line(evidence, (f"Q(q, {eta})", "+H(q)", f"+{divergence}")))
    yield (
        rf"where $H(q)$ is the entropy of $q$. The divergence is never negative, so $L(q, {eta}) = Q(q, {eta}) + H(q)$ is "
        rf"a lower bound. The E-step makes the divergence 0: the bound touches $\ln p({everything} \mid "
        rf"{eta}_{{\mathrm{{old}}}})$. The M-step raises $Q$; $H(q)$ does not depend on ${eta}$, and the divergence can "
        f"only grow from 0. So ${evidence}$ rises by at least as much as $Q$ does, in every iteration, to a local maximum."
    )
    if named.program.log_prior is not None:
        yield rf"With priors, all this holds for ${evidence} + \ln p({eta})$ and $Q + \ln p({eta})$."


def _dictionary(named: Names, walk: EStep, above: str) -> Iterator[str]:
    """Which symbol of the text above is called how in the emitted file."""
    program = named.program
    arrays = [
        target
        for item in (*program.expect.body, *program.m_step.body)
        for target in _targets(item)
        if target.name in named.bases
    ]
    arrays += [
        Symbol(field.name, value.axes, "statistics")
        for field, value in zip(program.statistics[1:], program.expect.results[1:], strict=True)
    ]
    pens = (walk.writer(), replace(walk.writer(), matrices=False))
    rows: dict[str, str] = {}
    for array in arrays:
        written = [symbol for symbol in (pen.lhs(array) for pen in pens) if symbol in above]
        if written:
            rows[written[0]] = array.name
    spelled = [rf"${symbol}$ is \texttt{{{escaped(code)}}}" for symbol, code in rows.items()]
    if spelled:
        yield r"\section{Names in the emitted file}"
        if max(map(len, rows.values())) > UNBROKEN:
            yield r"\sloppy"
        yield f"In the emitted EM, {', '.join(spelled)}. Parameters and variables have their own names."


def _targets(item: object) -> tuple[Symbol, ...]:
    match item:
        case Statement(target):
            return (target,)
        case Invoke(targets):
            return targets
        case _:
            return ()


PRINTERS = (Printer("latex", ".tex", ("network", "complete", "gaps"), text, partial=True),)
