"""The driver: the only file that knows the order of the phases."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from math import prod
from typing import TYPE_CHECKING, Literal, assert_never

from bnlab.errors import BnlabError, Fault, IntractableError
from bnlab.inference import closed_form, derivation, em
from bnlab.inference.cliques import junction_tree
from bnlab.inference.derivation import Derivation
from bnlab.inference.knowledge import Knowledge, analysed, gaps, notes
from bnlab.inference.plan import IntegrateChain, SumChain, plan
from bnlab.inference.vbem import vbem
from bnlab.naming import did_you_mean
from bnlab.network.declare import Network
from bnlab.network.formats import to_json
from bnlab.network.ir import Graph, Ref
from bnlab.printers import jax_em
from bnlab.printers.base import Need, printer, registry
from bnlab.version import VERSION

if TYPE_CHECKING:
    from bnlab.drawing import Drawing

Messages = Literal["scaled", "log"]


def emit(
    net: Network | Graph,
    target: str,
    *,
    messages: Messages = "scaled",
    missing: Collection[str] = (),
    evidence: Collection[str] = (),
    joint: Collection[tuple[str, ...]] = (),
) -> str:
    """The network written out as source text.

    Targets: "em" (a fitter in JAX), "viterbi" (the same with hard assignments), "vbem" (variational EM
    in JAX: a posterior of the parameters), "posterior" (posteriors and
    predictions in JAX), "numpyro", "latex" (the derivation), "dot" and "tikz" (the picture), "json", "text" (the
    generative story), and whatever other printer is installed.

    `messages` is how a chain passes them in "em": "scaled" is fast, and gives NaN where it underflows; "log" never
    underflows. `missing` names the observed variables that may be missing, `evidence` the latents of which something may be
    known: these are data then. `joint` names sets of latents whose joint probabilities "posterior" gives too. Raises
    IntractableError where a target needs exact inference and there is none, BnlabError for a target that there is not.
    """
    graph = graph_of(net)
    found = printer(target)
    if found is None:
        printers = registry()
        reason = f'There is no target "{target}".{did_you_mean(target, printers)}'
        raise BnlabError(Fault(reason, f"Targets: {', '.join(sorted(printers))}."))
    known = Knowledge(frozenset(missing), frozenset(evidence), tuple(joint))
    if known and not found.partial:
        printers = registry()
        able = ", ".join(name for name in sorted(printers) if printers[name].partial)
        reason = f'The target "{target}" takes no account of missing values or of evidence.'
        raise BnlabError(Fault(reason, f"Leave them out; these do: {able}."))
    given = (_handed(need, graph, messages, known) for need in found.needs)
    return found.text(*given)


def _handed(need: Need, graph: Graph, messages: Messages, known: Knowledge) -> object:
    """What a printer needs."""
    match need:
        case "network":
            return graph
        case "em":
            return em.em(graph, "em", messages, known)
        case "complete":
            return em.em(graph, "em", messages)
        case "gaps":
            return gaps(graph, known)
        case "viterbi":
            return em.em(graph, "viterbi", messages, known)
        case "vbem":
            return vbem(graph, messages, known)
        case "marginals":
            return em.posterior(graph, known=known)
        case "best":
            return em.posterior(graph, em.posterior(graph, known=known), known)
        case "elimination":
            return _elimination(graph, known)
        case "notes":
            return notes(analysed(graph, known))
        case "header":
            return header(graph)
        case "picture":
            return draw(graph).picture
        case "places":
            from bnlab.drawing import places

            return places(draw(graph).picture)
    assert_never(need)


def evidence_source(net: Network | Graph, missing: Collection[str], evidence: Collection[str]) -> str:
    """`prepare(data)` and `log_evidence(theta, data)` alone, in logarithms: the part of a NumPyro file that has no NumPyro."""
    known = Knowledge(frozenset(missing), frozenset(evidence))
    return jax_em.elimination(em.evidence(graph_of(net), known))


def header(graph: Graph) -> str:
    """Where an emitted file comes from: the version, and what tells its network from all others."""
    digest = hashlib.sha256(to_json(graph).encode()).hexdigest()[:8]
    return f"Emitted by bnlab {VERSION} from network {digest}."


def conjugate_only(graph: Graph) -> Graph:
    """The network without the priors that EM has no update for."""
    return closed_form.conjugate_only(graph)


def graph_of(net: Network | Graph) -> Graph:
    return net if isinstance(net, Graph) else net.graph


def derive(net: Network | Graph) -> Derivation:
    """What is eliminated in which order, and the E-step and M-step as named statements; it prints as text.

    Raises IntractableError, which names the variables and says why, where exact inference is impossible or not derived.
    """
    return derivation.derive(graph_of(net))


def carried_noise(graph: Graph) -> dict[str, str]:
    """The parameters that are spreads of what a filter carries from step to step, each with that latent and its chain."""
    steps, noise = plan(graph), {}
    for step in steps.steps:
        if not isinstance(step, IntegrateChain):
            continue
        moving = any(ref.lag for label in step.later for ref in steps.factor(label).continuous)
        for name in (*step.variables, *step.beside) if moving else ():
            cpd = graph.variable(name).cpd
            for slot, ref in cpd.arguments if cpd is not None else ():
                if slot in ("cov", "var", "std") and isinstance(ref, Ref) and isinstance(ref.target, str):
                    noise[ref.target] = f"{name} in the chain {step.chain}"
    return noise


def chain_tables(
    graph: Graph, missing: Collection[str] = (), evidence: Collection[str] = ()
) -> tuple[tuple[str, tuple[str, ...], int], ...]:
    """Of each chain of categories: its plate, the variables that a step hands on, and the entries of that table."""
    found = analysed(graph, Knowledge(frozenset(missing), frozenset(evidence)))
    steps = (
        step
        for step in plan(found.graph, found.tables, seen=found.regressors).steps
        if isinstance(step, SumChain)
    )
    return tuple(
        (
            step.chain,
            tuple(dict.fromkeys(ref.name for ref in step.kept)),
            prod(getattr(found.graph.variable(ref.name).domain, "size", 1) for ref in step.kept),
        )
        for step in steps
    )


def draw(
    net: Network | Graph,
    path: str | os.PathLike[str] | None = None,
    view: str = "plates",
    highlight: str | Collection[str] = (),
) -> Drawing:
    """The picture of a network; with `path` it is written too, in the format of the suffix (.svg .png .pdf
    .dot .tex).

    Views: "plates", "unrolled" (a few members and steps), "moral" (who meets whom in a distribution), "cliques" (the
    junction tree of the categories: the tables of exact elimination and what they have in common). `highlight` names
    what is to stand out: `bn.draw(net, highlight=net.markov_blanket("lung"))`. Raises IntractableError where a table of
    the junction tree would be too large, BnlabError for names that there are not.
    """
    from bnlab.drawing import draw as draw_graph  # what fits a network does not draw it

    graph = graph_of(net)
    names = [each.name for each in graph.parameters] + [each.name for each in graph.variables]
    marked = (highlight,) if isinstance(highlight, str) else tuple(highlight)
    unknown = [
        Fault(f"{ascii(name)} is not in the network, so it cannot stand out.{did_you_mean(name, names)}")
        for name in marked
        if name not in names
    ]
    if unknown:
        raise BnlabError(*unknown)
    titles = net.titles if isinstance(net, Network) else {}
    tree = junction_tree(graph) if view == "cliques" else ()
    return draw_graph(graph, path, view, titles, tree, marked)


def _elimination(graph: Graph, known: Knowledge) -> str | None:
    """The source that eliminates the latents; None where that cannot be derived."""
    try:
        return jax_em.elimination(em.evidence(graph, known))
    except IntractableError:
        return None
