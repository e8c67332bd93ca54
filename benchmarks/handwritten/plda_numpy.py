"""EM for two-covariance PLDA in NumPy: careful, in groups of speakers with the same number of utterances; and the plain loop
over speakers of toolkits (after Kaldi's, which also inverts one matrix for each speaker).

Both read the same sums: those of each speaker, and the scatter of all utterances about the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Theta = tuple[np.ndarray, np.ndarray, np.ndarray]


class Sums(NamedTuple):
    centre: np.ndarray  # (D,)    all is measured from here
    scatter: np.ndarray  # (D, D)  of all utterances
    groups: list[tuple[int, np.ndarray]]  # number of utterances, and the sums (S, D) of speakers that have it


class Statistics(NamedTuple):
    log_p: float
    speakers: int
    utterances: int
    Sz: np.ndarray  # (D,)    sum of E[z] from the centre
    Szz: np.ndarray  # (D, D)
    Srr: np.ndarray  # (D, D)
    centre: np.ndarray


EStep = Callable[[Theta, Sums], Statistics]


def prepare(x: np.ndarray, speaker: np.ndarray) -> Sums:
    """Speakers are numbered from 0 and stand together."""
    count = np.bincount(speaker)
    centre = x.mean(0)
    r = x - centre
    sums = np.add.reduceat(r, np.cumsum(count) - count)
    return Sums(centre, r.T @ r, [(int(n), sums[count == n]) for n in np.unique(count)])


def log_det(S: np.ndarray) -> float:
    return float(2 * np.log(np.diagonal(np.linalg.cholesky(S))).sum())


def grouped(theta: Theta, data: Sums) -> Statistics:
    mu, across, within = theta
    D, offset = len(mu), mu - data.centre
    J_across, J_within = np.linalg.inv(across), np.linalg.inv(within)
    prior, base = J_across @ offset, D * np.log(2 * np.pi) + log_det(within)
    Szz, Srr, Sz = np.zeros((D, D)), data.scatter.copy(), np.zeros(D)
    log_p, speakers, utterances = -0.5 * np.sum(J_within * data.scatter), 0, 0
    fixed = log_det(across) + offset @ prior
    for n, sums in data.groups:
        V = np.linalg.inv(J_across + n * J_within)
        h = sums @ J_within + prior
        m = h @ V
        zz = m.T @ m + len(sums) * V
        cross = sums.T @ m
        Szz += zz
        Srr += n * zz - cross - cross.T
        Sz += m.sum(0)
        log_p -= 0.5 * (len(sums) * (n * base + fixed - log_det(V)) - np.sum(m * h))
        speakers, utterances = speakers + len(sums), utterances + n * len(sums)
    return Statistics(log_p, speakers, utterances, Sz, Szz, Srr, data.centre)


def loop(theta: Theta, data: Sums) -> Statistics:
    mu, across, within = theta
    D, offset = len(mu), mu - data.centre
    J_across, J_within = np.linalg.inv(across), np.linalg.inv(within)
    Szz, Srr, Sz = np.zeros((D, D)), data.scatter.copy(), np.zeros(D)
    speakers, utterances = 0, 0
    for n, sums in data.groups:
        for total in sums:
            V = np.linalg.inv(J_across + n * J_within)
            m = V @ (J_within @ total + J_across @ offset)
            Szz += V + np.outer(m, m)
            cross = np.outer(total, m)
            Srr += n * (V + np.outer(m, m)) - cross - cross.T
            Sz += m
            speakers, utterances = speakers + 1, utterances + n
    return Statistics(np.nan, speakers, utterances, Sz, Szz, Srr, data.centre)


def m_step(s: Statistics) -> Theta:
    mean = s.Sz / s.speakers
    return mean + s.centre, s.Szz / s.speakers - np.outer(mean, mean), s.Srr / s.utterances
