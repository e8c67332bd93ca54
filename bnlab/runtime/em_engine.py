"""The emitted EM made ready: texts loaded, data prepared, and where a run starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import NDArray

from bnlab.network.graph import parents
from bnlab.network.ir import Graph
from bnlab.runtime.collapse import collapsed
from bnlab.runtime.em import Feed, Program, program
from bnlab.runtime.em_floor import floors, raised, scales
from bnlab.runtime.em_leap import spaces
from bnlab.runtime.em_loop import Count
from bnlab.runtime.em_names import named_by_evidence
from bnlab.runtime.emitted import emitted
from bnlab.runtime.parameters import checked
from bnlab.runtime.records import Problem
from bnlab.runtime.singular_start import refuse_singular_steps

if TYPE_CHECKING:
    from bnlab.compile import Messages


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A program with its data, ready to run; `origin` are the data that starts are drawn from, row by row."""

    program: Program
    feed: Feed
    text: str
    origin: Any


def engine(problem: Problem, messages: Messages) -> Engine:
    """The emitted text, loaded, and the data prepared for it."""
    graph, canonical = problem.graph, dict(problem.bound.canonical)
    partial = problem.bound.partial
    em = emitted(problem.network, "em", messages, partial)
    hard = emitted(problem.network, "viterbi", partial=partial) if problem.method == "viterbi" else None
    step_text, evidence_text = (em, None) if hard is None else (hard, em)
    ahead = spaces(graph) if accelerated(problem) else None
    one = program(step_text, evidence_text, graph.name, floors(graph), counts(graph), problem.dtype, ahead)
    dtype = np.dtype(problem.dtype)
    few = collapsed(graph, canonical)
    step = jax.device_put(one.step.prepare(few, dtype))
    evidence = None if one.evidence is None else jax.device_put(one.evidence.prepare(few, dtype))
    feed = Feed(step, evidence, scales(graph, canonical, problem.dtype))
    origin = step if few is canonical else one.step.prepare(canonical, dtype)
    return Engine(one, feed, step_text + (evidence_text or ""), origin)


def accelerated(problem: Problem) -> bool:
    """Whether longer steps are tried: the option `accelerate`."""
    return bool(problem.options.get("accelerate", False))


def theta_of_start(problem: Problem, ready: Engine, number: int) -> dict[str, NDArray[Any]]:
    """Where run `number` starts. Given arrays are the same in every run; what they leave out is initialised from data, with
    spreads on their floor where the data about a centre have none: as many centres as rows, say."""
    init = problem.init
    given = {} if isinstance(init, str) else checked(problem.graph, init, complete=False, edge=True)
    refuse_singular_steps(problem.graph, given)
    theta: dict[str, Any] = {
        one.name: one.value.array for one in problem.graph.parameters if one.value is not None
    }
    if any(one.value is None and one.name not in given for one in problem.graph.parameters):
        method = init if isinstance(init, str) else "data"
        drawn = ready.program.step.init(ready.origin, seed_of(problem.seed, number), method)._asdict()
        drawn = named_by_evidence(problem, drawn, given)
        theta = drawn | {
            floor.parameter: raised(floor, drawn[floor.parameter], ready.feed.scales[floor.parameter])
            for floor in floors(problem.graph)
        }
    theta |= given
    return {one.name: np.asarray(theta[one.name], dtype=problem.dtype) for one in problem.graph.parameters}


def counts(graph: Graph) -> tuple[Count, ...]:
    """Which statistic may count the states of a discrete latent z: `N_z`, or `N_zx` with an observed discrete child x.

    Words are joined by an underscore: `N_topic_word`. A program takes those that its module has.
    """
    found = []
    for latent in (one for one in graph.in_role("latent") if one.discrete):
        found.append(Count(latent.name, f"N_{latent.name}", -1))
        for child in (
            one
            for one in graph.in_role("observed")
            if one.discrete and latent.name in parents(graph, one.name)
        ):
            glue = "" if len(latent.name) == len(child.name) == 1 else "_"
            found.append(Count(latent.name, f"N_{latent.name}{glue}{child.name}", -2))
    return tuple(found)


def seed_of(seed: int, number: int) -> int:
    """The seed of run `number`: the user's own for the first, and for the others numbers that look like none of these."""
    return seed if number == 0 else int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
