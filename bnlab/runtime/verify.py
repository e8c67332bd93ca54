"""`bn.verify`: the laws of bnlab, held against what was emitted for the user's own network, with numbers."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from bnlab.compile import derive
from bnlab.network.declare import Network
from bnlab.runtime.data import bind
from bnlab.runtime.data_frames import Columns
from bnlab.runtime.data_titles import by_names
from bnlab.runtime.em import precision
from bnlab.runtime.emitted import COMPLETE, emitted
from bnlab.runtime.load import load_source
from bnlab.runtime.proof.deviation import Deviation, eased, worst
from bnlab.runtime.proof.draws import random_data, random_parameters, rows_to_list, small_layout
from bnlab.runtime.proof.evaluated import evaluator_is_the_emitted
from bnlab.runtime.proof.laws import DATA_LAWS, LAWS, Law, assignment_is_the_best
from bnlab.runtime.proof.numpyro_laws import enumerated_is_brute_force, marginal_is_brute_force
from bnlab.runtime.proof.posterior_laws import POSTERIOR_LAWS
from bnlab.runtime.proof.subject import Subject
from bnlab.runtime.records import Partial

MOST_CONFIGURATIONS = 3000


@dataclass(frozen=True, slots=True)
class Check:
    """One law, held against `on`: the worst `number` found, and the `tolerance` up to which it is rounding."""

    law: str
    on: str
    worst: str
    number: float
    tolerance: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """What `bn.verify` found. `notes` tell what could not be checked, and why."""

    network: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every law holds, and some were checked."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def __str__(self) -> str:
        width = max((len(check.law) for check in self.checks), default=0)
        verdict = (
            "every law holds" if self.passed else "a law is broken" if self.checks else "nothing was checked"
        )
        lines = [f"{self.network}: {verdict}", ""]
        lines += [f"{'':6}{'law':{width}}  {'off by':>8}  {'rounding':>8}  on"]
        for check in self.checks:
            mark = "ok" if check.passed else "BROKEN"
            numbers = f"{check.number:>8.1e}  {check.tolerance:>8.0e}"
            lines.append(
                f"{mark:6}{check.law:{width}}  {numbers}  {check.on}{'' if check.passed else ': ' + check.worst}"
            )
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        rows = "".join(_html_row(check) for check in self.checks)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        head = "".join(f"<th>{title}</th>" for title in ("", "law", "off by", "rounding", "on"))
        return f"<table><caption>{html.escape(self.network)}</caption><tr>{head}</tr>{rows}</table>{notes}"


def _html_row(check: Check) -> str:
    on = check.on if check.passed else f"{check.on}: {check.worst}"
    cells = ("✓" if check.passed else "✗", check.law, f"{check.number:.1e}", f"{check.tolerance:.0e}", on)
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def verify(
    net: Network,
    data: Any = None,
    *,
    columns: Columns | None = None,
    ids: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Verification:
    """Holds the emitted files of `net` against the laws of exact EM, with numbers.

    Small arbitrary data are drawn for which every configuration of the latents can be listed: that brute force judges the
    evidence, its gradient (Fisher's identity), the M-step (stationary), the posterior and the NumPyro model. On `data`, if
    given, EM is run for some iterations, which must never fall. Raises IntractableError where no EM can be derived, and
    DataError where the data do not fit.
    """
    graph = net.graph
    with precision("float64"):
        em = _module(net, "em")
        checks: list[Check] = []
        notes: list[str] = []
        if rows_to_list(graph, MOST_CONFIGURATIONS) >= 1:
            checks += _on_small_data(net, em, np.random.default_rng(seed))
        else:
            notes.append(
                f"The latents of a single row have more than {MOST_CONFIGURATIONS} configurations: they were not listed, "
                "so that evidence, gradient and posterior are unchecked."
            )
        if data is not None:
            data, columns = by_names(net, data, columns)
            bound = bind(graph, data, columns=columns, ids=ids)
            em = _module(net, "em", bound.partial)
            theta = em.init(em.prepare(bound.canonical), seed)
            start = {name: np.asarray(value) for name, value in theta._asdict().items()}
            checks += _held(DATA_LAWS, Subject(graph, bound.canonical, start, em), "the data given")
    return Verification(graph.name, tuple(checks), tuple(notes))


def _on_small_data(net: Network, em: ModuleType, rng: np.random.Generator) -> Iterator[Check]:
    """All laws, on arbitrary data and parameters for which brute force is possible."""
    graph = net.graph
    small = random_data(graph, rng, small_layout(graph, rng, MOST_CONFIGURATIONS))
    subject = Subject(graph, small, random_parameters(graph, rng), em)
    rounding = subject.rounding
    yield from _held(LAWS, subject, "the emitted EM", rounding)
    found = eased(evaluator_is_the_emitted(subject, derive(net).program), rounding)
    yield _check(evaluator_is_the_emitted, found, "the emitted EM")
    if graph.in_role("latent"):
        yield from _held(
            POSTERIOR_LAWS, replace(subject, em=_module(net, "posterior")), "the emitted posterior", rounding
        )
    if any(variable.discrete for variable in graph.in_role("latent")):
        hard = replace(subject, em=_module(net, "viterbi"), hard=True)
        yield from _held((assignment_is_the_best,), hard, "the emitted hard EM", rounding)
    numpyro = _module(net, "numpyro")
    for law in (enumerated_is_brute_force, marginal_is_brute_force):
        yield _check(law, eased(law(subject, numpyro), rounding), "the emitted NumPyro")


def _held(laws: Iterable[Law], subject: Subject, on: str, rounding: float = 0.0) -> Iterator[Check]:
    """A check for every law that says anything about this network; `rounding` is the least that counts as such."""
    for law in laws:
        found = list(eased(law(subject), rounding))
        if found:
            yield _check(law, found, on)


def _check(law: Callable[..., Any], deviations: Iterable[Deviation], on: str) -> Check:
    found = list(deviations)
    one = worst(law.__name__, found)
    return Check(
        law.__name__.replace("_", " "), on, one.what, one.number, one.tolerance, all(d.passed for d in found)
    )


def _module(net: Network, target: str, partial: Partial = COMPLETE) -> ModuleType:
    return load_source(emitted(net, target, partial=partial), f"{net.graph.name}_{target}")
