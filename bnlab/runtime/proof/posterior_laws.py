"""The laws of the emitted posterior module: what it says of the latents is what listing all configurations says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bnlab.runtime.proof.deviation import Deviation, difference
from bnlab.runtime.proof.laws import EVIDENCE, MARGINAL, Law
from bnlab.runtime.proof.subject import Subject


def scores_are_brute_force(subject: Subject) -> Iterator[Deviation]:
    """ln p of each member of the outermost plate."""
    found = np.atleast_1d(subject.em.score(subject.parameters(), subject.prepared))
    yield difference("score", found, subject.oracle.scores(subject.theta), EVIDENCE)


def marginals_are_brute_force(subject: Subject) -> Iterator[Deviation]:
    """P(z | x) of each latent: probabilities with the states last, or mean and covariance; rows as in the data."""
    found = subject.em.posterior(subject.parameters(), subject.prepared)
    q = subject.oracle.posterior(subject.theta)
    for name, value in subject.oracle.marginals(q).items():
        yield difference(f"posterior of {name}", found[name], value, MARGINAL)
    for name, moments in subject.oracle.moments(q).items():
        for moment, value in moments.items():
            yield difference(f"posterior {moment} of {name}", found[name][moment], value, MARGINAL)


def prediction_is_the_best(subject: Subject) -> Iterator[Deviation]:
    """No assignment of the discrete latents has a larger p(x, z), Gaussian ones integrated out; which of equals is told is
    free. Gaussian latents are at their means given it."""
    found = subject.em.predict(subject.parameters(), subject.prepared)
    assignment = {name: np.asarray(value) for name, value in found.items()}
    best, value = subject.oracle.most_probable(subject.theta)
    for name, states in best.items():
        shape = assignment[name].shape
        yield Deviation(f"shape {shape} of {name}", 0.0 if shape == states.shape else np.inf, 0.0)
    yield difference("ln p(x, z*)", subject.oracle.log_joint(subject.theta, assignment), value, EVIDENCE)
    for name, moments in subject.oracle.moments(subject.oracle.given(subject.theta, assignment)).items():
        yield difference(f"prediction of {name}", assignment[name], moments["mean"], MARGINAL)


POSTERIOR_LAWS: tuple[Law, ...] = (scores_are_brute_force, marginals_are_brute_force, prediction_is_the_best)
"""The laws of the posterior module."""
