"""The laws, with values missing here and there and with evidence on latents, against the oracle that lists configurations."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import bnlab as bn
from bnlab.compile import emit
from bnlab.inference.em import em
from bnlab.inference.knowledge import Knowledge
from bnlab.network.ir import Graph
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.evaluated import Evaluated, evaluator_is_the_emitted
from bnlab.runtime.proof.laws import HARD_LAWS, LAWS, Law
from bnlab.runtime.proof.numpyro_laws import marginal_is_brute_force
from bnlab.runtime.proof.posterior_laws import (
    POSTERIOR_LAWS,
    marginals_are_brute_force,
    scores_are_brute_force,
)
from bnlab.runtime.proof.subject import Subject
from tests import networks
from tests.laws.emitted import load
from tests.laws.test_laws import AT_ONE_SHAPE, NUMPY_LAWS, hold
from tests.networks import Example
from tests.random_networks import random_network

NAMELESS = ("states_have_no_names", "empty_states_keep_their_parameters")
"""Laws that rename or empty states: evidence names them."""


@dataclass(frozen=True)
class Case:
    """An example with values of `missing` taken away here and there, and with evidence on latents, of either form."""

    example: Example
    missing: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    name: str = field(default="", compare=False)

    @property
    def known(self) -> dict[str, tuple[str, ...]]:
        return {"missing": self.missing, "evidence": self.evidence}


def example(build, layout) -> Example:
    return Example(build, layout)


SEQUENCES = {"sequence": (5, 1, 3, 4, 2, 5)}
CASES = (
    Case(example(networks.naive_bayes, {"n": 15}), ("x",)),
    Case(example(networks.naive_bayes, {"n": 15}), ("x",), ("z",)),
    Case(example(networks.mixture_answers, {"n": 13}), ("x",)),
    Case(example(networks.mixture_full, {"n": 24}), (), ("z",)),
    Case(example(networks.shared_table, {"n": 16}), ("x", "y"), ("b",)),
    Case(example(networks.fully_observed, {"n": 14}), ("z",)),
    Case(example(networks.observed_family, {"n": 16}), ("a", "b", "c", "d")),
    Case(example(networks.group_and_row, {"group": (3, 1, 2, 4, 5, 3)}), ("w",), ("c", "z")),
    Case(example(networks.three_levels, {"a": ((2, 1), (3,), (1, 1, 2), (4, 2))}), ("x",), ("z",)),
    Case(example(networks.chain_categorical, SEQUENCES), ("x",), ("z",)),
    Case(example(networks.chain_gaussian, {"sequence": (5, 1, 4, 5, 3, 5, 4, 5)}), (), ("z",)),
    Case(example(networks.chain_alone, {"t": 6}), ("y",), ("z",)),
    Case(example(networks.chain_of_mixtures, SEQUENCES), (), ("z", "m")),
    Case(example(networks.mixture_of_chains, SEQUENCES), ("x",), ("c",)),
    Case(example(networks.second_order, SEQUENCES), (), ("z",)),
    Case(example(networks.autoregressive, {"sequence": (5, 1, 3, 4, 5)}), ("x",)),
)


def gaps(
    graph: Graph, case: Case, data: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The data with a third of the values missing, and evidence that the parameters do not rule out: values drawn of the
    variable's states, or of every second variable tables of at least two states."""
    for name in case.missing:
        data[name] = np.where(rng.random(data[name].shape) < 0.35, -1, data[name])
    shapes = evidence_shapes(graph, data)
    for place, name in enumerate(case.evidence):
        size = graph.variable(name).domain.size
        drawn = rng.integers(size, size=shapes[name])
        if place % 2:
            data[name] = (rng.random((*shapes[name], size)) < 0.6) | (np.arange(size) == drawn[..., None])
        else:
            data[name] = np.where(rng.random(shapes[name]) < 0.4, drawn, -1)
    return data


def evidence_shapes(graph: Graph, data: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """The shape of the values of every latent: rows, then its sized plates."""
    from bnlab.runtime.proof.grounding import Unrolling, sized, sizeless

    unrolling = Unrolling(graph, data)
    found = {}
    for variable in graph.in_role("latent"):
        path = sizeless(graph, variable)
        rows = (len(unrolling.members[path]),) if path else ()
        found[variable.name] = (*rows, *(graph.plate(plate).size or 0 for plate in sized(graph, variable)))
    return found


def posed(case: Case, target: str, hard: bool = False, **options: str) -> Subject:
    rng, graph = np.random.default_rng(3), case.example.build().graph
    data = gaps(graph, case, random_data(graph, rng, case.example.layout), rng)
    module = load(emit(graph, target, **case.known, **options), f"{graph.name}_{target}")
    return Subject(graph, data, random_parameters(graph, rng), module, hard)


def laws(case: Case, of: tuple[Law, ...] = LAWS) -> list[Law]:
    return [law for law in of if not (case.evidence and law.__name__ in NAMELESS)]


QUICK = (
    "naive_bayes-x-z",
    "shared_table-x-y-b",
    "three_levels-x-z",
    "chain_categorical-x-z",
    "second_order-z",
)
"""Compiled in every run; all are evaluated in NumPy there, and compiled by `pytest -m slow`."""


def label(case: Case) -> str:
    return "-".join([case.example.name, *case.missing, *case.evidence])


def cases(chosen: Iterable[Case] = CASES, quick: Collection[str] = QUICK) -> pytest.MarkDecorator:
    """The chosen cases, those that are not quick marked as slow."""
    marked = [
        pytest.param(case, marks=[] if label(case) in quick else [pytest.mark.slow], id=label(case))
        for case in chosen
    ]
    return pytest.mark.parametrize("case", marked)


@cases()
def test_em(case: Case) -> None:
    hold(laws(case, AT_ONE_SHAPE), posed(case, "em"))


@cases(quick=[label(case) for case in CASES])
def test_em_in_numpy(case: Case) -> None:
    subject = posed(case, "em")
    program = em(subject.graph, known=Knowledge(frozenset(case.missing), frozenset(case.evidence)))
    hold(laws(case, NUMPY_LAWS), replace(subject, em=Evaluated(program, subject.em)))


@cases(case for case in CASES if "chain" in case.example.name or case.example.name == "second_order")
def test_em_with_messages_as_logarithms(case: Case) -> None:
    hold(laws(case)[:4], posed(case, "em", messages="log"))


@cases(
    (
        case
        for case in CASES
        if case.evidence and not case.missing and "mixture_full" not in case.example.name
    ),
    quick=("chain_gaussian-z", "second_order-z"),
)
def test_hard_em_with_evidence(case: Case) -> None:
    hold(laws(case, HARD_LAWS), posed(case, "viterbi", hard=True))


@cases(case for case in CASES if case.example.build().graph.in_role("latent"))
def test_posterior(case: Case) -> None:
    """The most probable values of latents leave missing leaves out; the oracle would assign these, too."""
    alone = (scores_are_brute_force, marginals_are_brute_force)
    hold(alone if case.missing else POSTERIOR_LAWS, posed(case, "posterior"))


@cases((CASES[1], CASES[6], CASES[9]), quick=[label(case) for case in CASES])
def test_numpyro(case: Case) -> None:
    subject = posed(case, "numpyro")
    assert "model" not in vars(subject.em), "it would leave out what is known, without a word"
    hold([lambda s: marginal_is_brute_force(s, subject.em)], subject)


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_in_numpy(seed: int) -> None:
    """Messages are logarithms: evidence may rule out all states of a chain given some state outside of it."""
    rng = np.random.default_rng(1000 + seed)
    net, layout = random_network(rng)
    graph = net.graph
    missing = tuple(v.name for v in graph.in_role("observed") if v.discrete and rng.random() < 0.7)
    evidence = tuple(v.name for v in graph.in_role("latent") if rng.random() < 0.6)
    case = Case(Example(lambda: net, layout), missing, evidence)
    data = gaps(graph, case, random_data(graph, rng, layout), rng)
    emitted = load(emit(graph, "em", messages="log", **case.known), "random")
    program = em(graph, messages="log", known=Knowledge(frozenset(missing), frozenset(evidence)))
    subject = Subject(graph, data, random_parameters(graph, rng), Evaluated(program, emitted))
    hold(laws(case, NUMPY_LAWS), subject)
    if seed < 4:
        hold([lambda s: evaluator_is_the_emitted(s, program)], Subject(graph, data, subject.theta, emitted))


def test_what_cannot_be_missing_is_refused_by_name() -> None:
    net = networks.fixed_parts()
    with pytest.raises(bn.IntractableError) as caught:
        bn.emit(net, "em", missing=("g", "nope", "z"), evidence=("y", "zz"))
    text = str(caught.value)
    for part in (
        "`g` is given",
        "`nope`",
        "`z` is latent",
        "`y` is observed",
        "`zz`",
    ):
        assert part in text
