"""`bn.select`: the same data under several networks that one function makes, and the best of them by a criterion."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bnlab.errors import DataError, Fault, FitError
from bnlab.naming import did_you_mean
from bnlab.network.declare import Network
from bnlab.runtime.fit import fit
from bnlab.runtime.parameters import free
from bnlab.runtime.restarts import UNSOUND
from bnlab.runtime.result import Fit

CRITERIA: dict[str, Callable[[Fit], float]] = {"bic": Fit.bic, "aic": Fit.aic, "icl": Fit.icl}


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One network: the `arguments` that made it, its fit and the value of the criterion, or why it was `refused`."""

    arguments: Mapping[str, Any]
    fit: Fit | None
    value: float
    refused: str = ""

    @property
    def sound(self) -> bool:
        """Whether its likelihood means something: it was fitted, and no covariance stands on its floor."""
        return self.fit is not None and self.fit.status not in UNSOUND


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What `bn.select` found: all candidates in the order tried. `best` has the lowest criterion among the sound ones."""

    criterion: str
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Fit:
        """The fit to take. Raises FitError where every candidate was refused or collapsed."""
        return self._chosen.fit

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments that made the best network."""
        return self._chosen.arguments

    @property
    def fits(self) -> tuple[Fit, ...]:
        """The fits of all candidates that were not refused."""
        return tuple(one.fit for one in self.candidates if one.fit is not None)

    @property
    def table(self) -> pd.DataFrame:
        """A row for each candidate, in the order tried."""
        return pd.DataFrame([self._row(one) for one in self.candidates])

    def __str__(self) -> str:
        lines = [self.table.to_string(index=False)]
        lines += [
            f"{_written(one.arguments)} was refused: {one.refused}" for one in self.candidates if one.refused
        ]
        if any(one.sound for one in self.candidates):
            lines.append(f"best by {self.criterion}: {_written(self.arguments)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))

    @property
    def _chosen(self) -> Any:
        sound = [one for one in self.candidates if one.sound]
        if not sound:
            reason = "Every candidate collapsed or was refused, so none is the best."
            raise FitError(Fault(reason, "Try smaller networks, priors, or more starts (n_init)."))
        return min(sound, key=lambda one: one.value)

    def _row(self, one: Candidate) -> dict[str, Any]:
        found = one.fit
        numbers = {
            "free": free(found.network.graph) if found else None,
            "log_likelihood": found.log_likelihood[-1] if found else np.nan,
            self.criterion: one.value,
            "status": found.status if found else "refused",
            "reached": _reached(found) if found else "",
        }
        return {**one.arguments, **numbers}


def select(make: Callable[..., Network], data: Any, criterion: str = "bic", **options: Any) -> Selection:
    """Fits make(...) for each setting of its arguments, and says which is best by "bic", "aic" or "icl".

    Of `options`, those that are arguments of `make` go to it: a range, list or other sequence is tried one by one (all
    combinations, where there are several), anything else is passed as it is. The rest goes to `bn.fit`:
    `bn.select(mixture, data, components=range(1, 8), n_init=10)`. A candidate that the data refuse (more states than rows) is
    listed and left out, and one that collapsed is never the best: its likelihood has no bound.

    Raises FitError for an unknown criterion, or where nothing varies, and DataError where the data fit no candidate.
    """
    known = inspect.signature(make).parameters
    given = {name: options.pop(name) for name in list(options) if name in known}
    varied = {name: list(values) for name, values in given.items() if _several(values)}
    _check(make, criterion, varied, options)
    if criterion == "icl" and options.get("method", "em") not in ("em", "viterbi"):
        raise FitError(Fault("icl is for fits by em or viterbi.", "Write criterion='bic'."))
    candidates = []
    errors: list[DataError | FitError] = []
    for values in product(*varied.values()):
        arguments = dict(zip(varied, values, strict=True))
        try:
            found = fit(make(**given | arguments), data, **options)
        except (DataError, FitError) as error:
            errors.append(error)
            candidates.append(Candidate(arguments, None, np.nan, " ".join(str(error).split())))
        else:
            candidates.append(Candidate(arguments, found, CRITERIA[criterion](found)))
            if found.status == "interrupted":
                break
    if len(errors) == len(candidates):
        raise errors[0]
    return Selection(criterion, tuple(candidates))


def _several(values: Any) -> bool:
    return isinstance(values, range | list | tuple | np.ndarray)


def _check(
    make: Callable[..., Network], criterion: str, varied: Mapping[str, list[Any]], options: Mapping[str, Any]
) -> None:
    faults = []
    if criterion not in CRITERIA:
        remedy = did_you_mean(criterion, CRITERIA).strip()
        faults.append(Fault(f'There is no criterion "{criterion}"; those are {", ".join(CRITERIA)}.', remedy))
    if not varied or not all(varied.values()):
        names = list(inspect.signature(make).parameters)
        empty = [name for name, values in varied.items() if not values]
        strange = set(options) - set(inspect.signature(fit).parameters)
        near = [meant for other in sorted(strange) if (meant := did_you_mean(other, names))]
        reason = f"No argument of {make.__name__} is given several values; its arguments are {', '.join(names) or 'none'}."
        if empty:
            reason = f"{empty[0]} has no values to try."
        advice = f"Write {(empty or names)[0]}=range(1, 8), say." if names else ""
        faults.append(Fault(reason, near[0].strip() if near else advice))
    if faults:
        raise FitError(*faults)


def _written(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _reached(found: Fit) -> str:
    """How many starts reached the optimum that was kept: 7 of 10."""
    return f"{found.optima[0][1]} of {len(found.restarts.starts)}" if found.restarts and found.optima else ""
