"""The driver: the only file that knows the order of the phases."""

from __future__ import annotations

import hashlib
import os
from typing import Literal

from bnlab.drawing import Drawing
from bnlab.drawing import draw as draw_graph
from bnlab.errors import BnlabError, Fault, IntractableError
from bnlab.inference import derivation, em
from bnlab.inference.derivation import Derivation
from bnlab.naming import did_you_mean
from bnlab.network.declare import Network
from bnlab.network.formats import to_json
from bnlab.network.ir import Graph
from bnlab.network.text import story
from bnlab.printers import dot, jax_em, latex, numpyro
from bnlab.version import VERSION

Messages = Literal["scaled", "log"]
TARGETS = ("em", "viterbi", "posterior", "numpyro", "latex", "dot", "tikz", "json", "text")


def emit(net: Network | Graph, target: str, *, messages: Messages = "scaled") -> str:
    """The network written out as source text.

    Targets: "em" (a fitter in JAX), "viterbi" (the same with hard assignments), "posterior" (posteriors and
    predictions in JAX), "numpyro", "latex" (the derivation), "dot" and "tikz" (the picture), "json", "text" (the generative
    story).
    `messages` is how a chain passes them in "em": "scaled" is fast, and gives NaN where it underflows; "log"
    never underflows. Raises IntractableError where a target needs exact inference and there is none.
    """
    graph = graph_of(net)
    match target:
        case "em":
            return jax_em.text(em.em(graph, "em", messages), story(graph), "em", header(graph))
        case "viterbi":
            return jax_em.text(em.em(graph, "viterbi"), story(graph), "viterbi", header(graph))
        case "posterior":
            marginals = em.posterior(graph)
            return jax_em.posterior(marginals, em.posterior(graph, marginals), story(graph), header(graph))
        case "numpyro":
            return numpyro.text(graph, _elimination(graph))
        case "latex":
            return latex.text(graph, em.em(graph))
        case "dot":
            return dot.PRINTER.text(graph)
        case "tikz":
            return draw_graph(graph).tex
        case "json":
            return to_json(graph)
        case "text":
            return story(graph)
        case _:
            reason = f"There is no target {target!r}. {did_you_mean(target, TARGETS)}".strip()
            raise BnlabError(Fault(reason, f"Targets: {', '.join(TARGETS)}."))


def header(graph: Graph) -> str:
    """Where an emitted file comes from: the version, and what tells its network from all others."""
    digest = hashlib.sha256(to_json(graph).encode()).hexdigest()[:8]
    return f"Emitted by bnlab {VERSION} from network {digest}."


def graph_of(net: Network | Graph) -> Graph:
    return net if isinstance(net, Graph) else net.graph


def derive(net: Network | Graph) -> Derivation:
    """What is eliminated in which order, and the E-step and M-step as named statements; it prints as text.

    Raises IntractableError, which names the variables and says why, where exact inference is impossible or not derived.
    """
    return derivation.derive(graph_of(net))


def draw(net: Network | Graph, path: str | os.PathLike[str] | None = None, view: str = "plates") -> Drawing:
    """The picture of a network; with `path` it is written too, in the format of the suffix (.svg .png .pdf
    .dot .tex).
    """
    return draw_graph(graph_of(net), path, view)


def _elimination(graph: Graph) -> str | None:
    """The source that eliminates the latents; None where that cannot be derived."""
    try:
        return jax_em.elimination(em.evidence(graph))
    except IntractableError:
        return None
