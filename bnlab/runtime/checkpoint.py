"""Checkpoints of EM: what a run needs to go on bit for bit. safetensors files hold numbers and text, and execute nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bnlab.atomic import write
from bnlab.errors import Fault, FitError
from bnlab.runtime.em import State
from bnlab.runtime.records import Status

FORMAT = "bnlab checkpoint 1"
GROUPS = ("theta", "before", "active", "ever", "counts", "memory")
STATUSES: tuple[Status | None, ...] = (None, *get_args(Status))


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """All runs so far, the last ones perhaps unfinished. `identity` tells what they are runs of."""

    identity: Mapping[str, str]
    runs: tuple[State, ...]


def save(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Writes the checkpoint: the old file or the new one is there at any moment."""
    arrays: dict[str, NDArray[Any]] = {}
    runs = []
    for number, run in enumerate(checkpoint.runs):
        for group in GROUPS:
            arrays |= {
                f"{number}.{group}.{name}": np.array(a, order="C") for name, a in _group(run, group).items()
            }
        arrays[f"{number}.objective"] = run.objective
        arrays[f"{number}.log_likelihood"] = run.log_likelihood
        runs.append({"stop": run.stop, "logarithms": run.logarithms})
    head = {"format": FORMAT, "identity": json.dumps(dict(checkpoint.identity)), "runs": json.dumps(runs)}
    write(path, lambda temporary: save_file(arrays, temporary, metadata=head))


def load(path: str | os.PathLike[str], identity: Mapping[str, str]) -> Checkpoint | None:
    """The checkpoint at `path`; None if there is no file yet. Raises FitError if it is of another fit, or no checkpoint."""
    if not Path(path).exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            head = file.metadata() or {}
            if head.get("format") != FORMAT:
                raise FitError(
                    Fault(f"{path} is no checkpoint of bnlab.", "Name another file, or remove this one.")
                )
            _same(path, json.loads(head["identity"]), identity)
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            runs = [_state(arrays, number, run) for number, run in enumerate(json.loads(head["runs"]))]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FitError(
            Fault(f"{path} is damaged or no checkpoint: {error}", "Remove it to start anew.")
        ) from error
    return Checkpoint(identity, tuple(runs))


def _same(path: str | os.PathLike[str], found: Mapping[str, str], identity: Mapping[str, str]) -> None:
    other = [name for name in identity if found.get(name) != identity[name]]
    if other:
        reason = f"{path} is the checkpoint of another fit: it differs in {', '.join(other)}."
        raise FitError(Fault(reason, "Name another file, or remove this one to start anew."))


def _group(run: State, group: str) -> Mapping[str, NDArray[Any]]:
    groups = {
        "theta": run.theta,
        "before": run.before,
        "active": run.active,
        "ever": run.ever,
        "counts": run.counts,
        "memory": run.memory,
    }
    return groups[group]


def _state(arrays: Mapping[str, NDArray[Any]], number: int, run: Mapping[str, Any]) -> State:
    groups: dict[str, Any] = {group: {} for group in GROUPS}
    for name, array in arrays.items():
        run_number, group, *rest = name.split(".", 2)
        if int(run_number) == number and rest:
            groups[group][rest[0]] = array
    stop = STATUSES[STATUSES.index(run["stop"])]
    traces: dict[str, Any] = {name: arrays[f"{number}.{name}"] for name in ("objective", "log_likelihood")}
    return State(**groups, **traces, stop=stop, logarithms=int(run["logarithms"]))
