"""Points that stand for a Gaussian: the mean of a quadratic function over them is its expectation, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bnlab.network.ir import VarRef
from bnlab.runtime.proof.gaussians import Gaussian
from bnlab.runtime.proof.grounding import Batch


@dataclass(frozen=True, slots=True)
class Points:
    """The first two moments: `mean` (n,) and a square `root` (n, n) of the covariance."""

    mean: np.ndarray
    root: np.ndarray


def pooled(weights: np.ndarray, gaussian: Gaussian, index: np.ndarray) -> Points:
    """The moments of some coordinates of a mixture of configurations with these weights, which need not sum to 1."""
    share = weights / weights.sum()
    mean = share @ gaussian.means[:, index]
    apart = (gaussian.means[:, index] - mean)[..., None]
    parts = np.sqrt(share)[:, None, None] * np.concatenate([gaussian.roots[:, index], apart], -1)
    wide = np.concatenate(list(parts), -1)  # wide @ wide' is the covariance; so is its R' R
    wide = np.concatenate([wide, np.zeros((len(index), len(index)))], -1)
    return Points(mean, np.linalg.qr(wide.T, mode="r").T)


def points(moments: Points) -> np.ndarray:
    """2 n points, all of equal weight, with these moments: the mean plus and minus sqrt(n) times each column of the root."""
    steps = np.sqrt(len(moments.mean)) * moments.root.T
    return moments.mean + np.concatenate([steps, -steps])


def taken(batch: Batch, rows: np.ndarray) -> Batch:
    """Some rows of a batch, for their densities."""
    values = {ref: array[rows] for ref, array in batch.values.items()}
    cells = {plate: members[rows] for plate, members in batch.cells.items()}
    return Batch(batch.variable, batch.cpd, (), values, cells)


def replaced(batch: Batch, values: Mapping[VarRef, np.ndarray]) -> Batch:
    """A batch with other values of some references, given as flat vectors."""
    shaped = {ref: flat.reshape(batch.values[ref].shape) for ref, flat in values.items()}
    return replace(batch, values=batch.values | shaped)
