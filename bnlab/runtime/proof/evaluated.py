"""A Program run in NumPy, with the functions of the emitted module: a second run of the same derivation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from bnlab.program import evaluate
from bnlab.program.degree import weighted
from bnlab.program.ir import Program
from bnlab.runtime.proof.deviation import Deviation, differences
from bnlab.runtime.proof.laws import GRADIENT, MARGINAL
from bnlab.runtime.proof.subject import Subject


class Evaluated:
    """The E-step and the M-step of `program` by the evaluator; data are prepared by the `emitted` module."""

    def __init__(self, program: Program, emitted: ModuleType) -> None:
        self.program, self.emitted = weighted(program) if program.condensed else program, emitted
        self.Parameters, self.prepare = emitted.Parameters, emitted.prepare

    def e_step(self, theta: Any, data: Any) -> Any:
        whole = _arrays(data)
        chunks = [whole]
        if self.program.root:
            count = len(next(iter(whole.values())))
            chunks = [{name: array[n] for name, array in whole.items()} for n in range(count)]
        parts = [evaluate.expect(self.program, _arrays(theta), chunk) for chunk in chunks]
        return self.emitted.Statistics(**{name: sum(part[name] for part in parts) for name in parts[0]})

    def log_evidence(self, theta: Any, data: Any) -> float:
        return float(self.e_step(theta, data).log_p)

    def log_prior(self, theta: Any) -> Any:
        return self.emitted.log_prior(theta)

    def m_step(self, statistics: Any, theta: Any) -> Any:
        return self.Parameters(**evaluate.maximise(self.program, _arrays(statistics), _arrays(theta)))


def _arrays(record: Any) -> Mapping[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in record._asdict().items()}


def evaluator_is_the_emitted(subject: Subject, program: Program) -> Iterator[Deviation]:
    """The Program in NumPy gives the statistics and the parameters that the emitted text gives."""
    evaluated = replace(subject, em=Evaluated(program, subject.em))
    yield from differences("statistics", evaluated.statistics(), subject.statistics(), MARGINAL)
    yield from differences("step", evaluated.step(), subject.step(), GRADIENT)
