"""Results as records for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def fit_record(fit: Any) -> dict[str, Any]:
    """What `--json` prints of a fit."""
    return {
        "status": fit.status,
        "n_iter": fit.n_iter,
        "log_likelihood": plain(fit.log_likelihood[-1]),
        "objective": plain(fit.objective[-1]),
        "optima": plain(fit.optima),
        "parameters": plain(fit.parameters),
        "warnings": [str(warning) for warning in fit.warnings],
    }


def comparison_record(one: Any) -> dict[str, Any]:
    """What `--json` prints of a comparison."""
    return {
        "reference": one.reference,
        "interrupted": one.interrupted,
        "scores": plain(one.scores),
        "rows": [{"name": row.name, "estimates": plain(row.estimates)} for row in one.rows],
        "certificates": [{**plain(each), "passed": each.passed} for each in one.certificates],
        "warnings": [str(warning) for warning in one.warnings],
    }


def plain(value: Any) -> Any:
    """The value in JSON's types: arrays as lists, records as objects, numbers that are not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
