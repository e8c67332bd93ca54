"""The laws that make an EM module right. Each yields how far the module is from it.

Fisher's identity proves the E-step, the stationary M-step proves the M-step, both with Q built from the posterior of the
brute-force oracle; the others catch what those two cannot see: weights, chunks, names, the ends of the parameters' domains.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bnlab.domains import Covariance, Positive, Probability, Simplex
from bnlab.runtime.proof import members, priors
from bnlab.runtime.proof.auxiliary import slope_of_auxiliary
from bnlab.runtime.proof.deviation import Deviation, difference, differences
from bnlab.runtime.proof.relabel import empty_last_state, rename, renameable
from bnlab.runtime.proof.roles import given_others
from bnlab.runtime.proof.scaling import motion, moved_data, moved_parameters, units
from bnlab.runtime.proof.subject import Subject
from bnlab.runtime.proof.tangent import tangent

Law = Callable[[Subject], Iterator[Deviation]]

EVIDENCE = 1e-12  # two orders of summing some hundred log densities in float64
MARGINAL = 1e-11  # exponentials of differences of such sums
GRADIENT = 1e-10  # one differentiation more than the evidence
STATIONARY = 1e-9  # of the gradient before the step: the maximiser's own rounding, amplified by the curvature
MONOTONE = 1e-10  # of 1 + |objective|: rounding of the objective itself, at a fixed point
KEPT = 1e-15  # a mean is taken off its shift and put back: one rounding
SCALED = 1e-7  # data a million times smaller than their offset: ten digits of sixteen are left of them


def evidence_is_brute_force(subject: Subject) -> Iterator[Deviation]:
    """ln p(x) by elimination is ln p(x) by listing all configurations."""
    expected = subject.oracle.log_evidence(subject.theta)
    yield difference("log evidence", subject.log_evidence(), expected, EVIDENCE)
    yield difference("log_p of the E-step", subject.statistics()["log_p"], expected, EVIDENCE)


def assignment_is_the_best(subject: Subject) -> Iterator[Deviation]:
    """Hard EM: log_p is ln p(x, z*), the largest of all configurations."""
    best = subject.oracle.most_probable(subject.theta)[1]
    yield difference("log_p of the E-step", subject.statistics()["log_p"], best, EVIDENCE)


def prior_is_the_textbooks(subject: Subject) -> Iterator[Deviation]:
    """`log_prior` is the sum of the normalised log prior densities."""
    if subject.has_prior:
        expected = priors.log_prior(subject.graph, subject.theta)
        yield difference("log prior", subject.em.log_prior(subject.parameters()), expected, EVIDENCE)


def fisher_identity(subject: Subject) -> Iterator[Deviation]:
    """grad ln p(x | theta) = grad Q(theta, theta') at theta' = theta."""
    q = subject.oracle.posterior(subject.theta)
    slope = slope_of_auxiliary(subject, q, prior=False)(subject.theta)
    expected = tangent(subject.graph, subject.theta, slope)
    found = tangent(subject.graph, subject.theta, subject.gradient())
    for name in subject.judged:
        yield difference(f"gradient: {name}", found[name], expected[name], GRADIENT)


def m_step_is_stationary(subject: Subject) -> Iterator[Deviation]:
    """grad Q(theta_new, theta) + grad ln p(theta_new) = 0, with Q from the oracle's posterior at theta.

    Parameters without a joint maximum in closed form are maximised one given the other: the first one is then stationary
    beside the old value of the second, if not beside the new one. A variance that collapses has no maximum at all.
    """
    graph, old, new = subject.graph, subject.theta, subject.step()
    if subject.collapses(new):
        return
    q = subject.oracle.modal(old) if subject.hard else subject.oracle.posterior(old)
    slope = slope_of_auxiliary(subject, q)
    before, after = tangent(graph, old, slope(old)), tangent(graph, new, slope(new))
    slopes: dict[frozenset[str], dict[str, np.ndarray]] = {}
    conditional = given_others(graph)
    for name in subject.judged:
        values = [after[name]]
        if name in conditional:
            others = frozenset(conditional[name])
            if others not in slopes:
                mixed = new | {other: np.asarray(old[other]) for other in others}
                slopes[others] = tangent(graph, mixed, slope(mixed))
            values.append(slopes[others][name])
        value = min(values, key=lambda g: float(np.nan_to_num(np.abs(g).max(), nan=np.inf)))
        scale = 1 + np.abs(before[name]).max()
        yield difference(f"gradient of Q in {name}", value, np.zeros_like(value), STATIONARY, scale)


def evidence_is_energy_plus_entropy(subject: Subject) -> Iterator[Deviation]:
    """ln p = Q + H at the posterior; at any other q, KL(q || p) > 0 is what is missing."""
    oracle, theta = subject.oracle, subject.theta
    if oracle.without_density(theta):
        return
    found, q = subject.log_evidence(), oracle.posterior(theta)
    yield difference(
        "Q + H at the posterior", found, oracle.auxiliary(theta, q) + oracle.entropy(q), EVIDENCE
    )
    other = oracle.random_posterior(theta, np.random.default_rng(0))
    scale = 1 + abs(found)
    gap = found - float(oracle.auxiliary(theta, other)) - oracle.entropy(other)
    yield difference("KL at another q", gap, oracle.kl(other, theta), MARGINAL, scale)
    yield Deviation("bound above the evidence", max(0.0, -gap) / scale, EVIDENCE)


def objective_never_falls(subject: Subject) -> Iterator[Deviation]:
    """Every iteration raises ln p(x) + ln p(theta); hard EM raises ln p(x, z*) + ln p(theta)."""
    trace = [subject.objective(theta) for theta in subject.path]
    for step, (before, after) in enumerate(zip(trace[:-1], trace[1:], strict=True)):
        fall = max(0.0, before - after) if np.isfinite(after) else np.inf
        yield Deviation(f"fall of the objective at step {step}", fall / (1 + abs(before)), MONOTONE)


def later_steps_are_brute_force(subject: Subject) -> Iterator[Deviation]:
    """After some iterations, too, the objective is what listing all configurations gives."""
    last = subject.path[-1]
    expected = subject.oracle.most_probable(last)[1] if subject.hard else subject.oracle.log_evidence(last)
    expected += float(priors.log_prior(subject.graph, last))
    yield difference("objective after some steps", subject.objective(last), expected, MONOTONE)


def fixed_values_stay(subject: Subject) -> Iterator[Deviation]:
    """A parameter with a value is never learnt."""
    new = subject.step()
    for parameter in subject.graph.parameters:
        if parameter.value is not None:
            yield difference(parameter.name, new[parameter.name], parameter.value.array, 0.0)


def domains_are_kept(subject: Subject) -> Iterator[Deviation]:
    """Probabilities sum to 1, variances are positive, covariances symmetric and positive definite."""
    for parameter in subject.graph.parameters:
        value, name = subject.path[-1][parameter.name], parameter.name
        match parameter.domain:
            case Simplex():
                yield difference(
                    f"sum of {name}", value.sum(-1), np.ones(value.shape[:-1]), 1e-14
                )  # one division each
                yield Deviation(f"negative part of {name}", max(0.0, -value.min()), 0.0)
            case Positive():
                yield Deviation(f"smallest of {name} below 0", 0.0 if value.min() > 0 else np.inf, 0.0)
            case Probability():
                beyond = max(0.0, -value.min(), value.max() - 1)
                yield Deviation(f"{name} outside 0 to 1", beyond, 1e-14)  # a part over the whole
            case Covariance():
                yield difference(f"symmetry of {name}", value, value.swapaxes(-1, -2), 1e-14)  # the same sums
                yield Deviation(
                    f"eigenvalues of {name}", 0.0 if np.linalg.eigvalsh(value).min() > 0 else np.inf, 0.0
                )


def statistics_add(subject: Subject) -> Iterator[Deviation]:
    """Statistics of two halves of the members sum to those of the whole, and the order of members is free."""
    if not members.root(subject.graph):
        return
    order = np.random.default_rng(1).permutation(members.count(subject.graph, subject.data))
    if (half := len(order) // 2) == 0:
        return  # a member by itself has no halves
    parts = [
        subject.on(members.select(subject.graph, subject.data, part)) for part in (order[:half], order[half:])
    ]
    one, two = (part.statistics() for part in parts)
    yield from differences(
        "two halves", {name: one[name] + two[name] for name in one}, subject.statistics(), MARGINAL
    )


def chunks_do_not_matter(subject: Subject) -> Iterator[Deviation]:
    """Statistics are the same however the members are dealt out to chunks, and whatever padding that takes."""
    if "rows" in inspect.signature(subject.em.prepare).parameters:
        for rows in (2, 5):  # one of them leaves padding, but for multiples of ten
            dealt = replace(subject, prepared_in=rows).statistics()
            yield from differences(f"chunks of {rows} rows", dealt, subject.statistics(), MARGINAL)


def weights_repeat_members(subject: Subject) -> Iterator[Deviation]:
    """A member of weight 2 counts as the same member twice; one of weight 0 as none."""
    if not members.root(subject.graph):
        return
    number = members.count(subject.graph, subject.data)
    weights = np.random.default_rng(2).permutation(np.arange(1, number + 1) % 3)
    weighted = subject.on({**subject.data, "weights": weights.astype(float)})
    repeated = subject.on(members.select(subject.graph, subject.data, np.repeat(np.arange(number), weights)))
    yield from differences("repeated members", weighted.statistics(), repeated.statistics(), MARGINAL)
    expected = repeated.oracle.log_evidence(subject.theta)
    yield difference("weighted log evidence", weighted.log_evidence(), expected, EVIDENCE)


def states_have_no_names(subject: Subject) -> Iterator[Deviation]:
    """Renaming the states of latents renames the result, and changes nothing else."""
    for _, axes in renameable(subject.graph):
        name, axis = min(axes)
        order = np.roll(np.arange(np.shape(subject.theta[name])[axis]), 1)
        renamed = subject.at(rename(subject.theta, axes, order))
        yield difference("log evidence", renamed.log_evidence(), subject.log_evidence(), EVIDENCE)
        yield from differences("step", renamed.step(), rename(subject.step(), axes, order), MARGINAL)


def zeros_stay(subject: Subject) -> Iterator[Deviation]:
    """A probability that is 0 stays exactly 0, whatever is seen."""
    zeros = {name: np.asarray(value) == 0 for name, value in subject.theta.items()}
    for name, value in subject.path[-1].items():
        if isinstance(subject.graph.parameter(name).domain, Simplex) and zeros[name].any():
            yield Deviation(f"zeros of {name}", float(np.abs(value[zeros[name]]).max()), 0.0)


def empty_states_keep_their_parameters(subject: Subject) -> Iterator[Deviation]:
    """What a state without members alone selects stays as it was, and nothing becomes NaN."""
    for variables, axes in renameable(subject.graph):
        if len(variables) > 1:
            continue
        emptied = empty_last_state(subject.graph, subject.theta, axes)
        new = subject.at(emptied).step()
        for name, value in new.items():
            yield Deviation(f"{name} is finite", 0.0 if np.isfinite(value).all() else np.inf, 0.0)
        for name, axis in axes:
            if axis < len(subject.graph.parameter(name).plates):
                kept = np.take(emptied[name], -1, axis)
                yield difference(f"{name} of an empty state", np.take(new[name], -1, axis), kept, KEPT)


def scale_moves_the_evidence_only(subject: Subject) -> Iterator[Deviation]:
    """x -> c x + a maps means, loadings and spreads accordingly and shifts ln p by -ln c for each number observed."""
    factor, offset = 2.0**-20, 3.0  # a power of two: scaling by itself rounds nothing
    found = motion(subject.graph)
    if found is None:
        return
    data, count = moved_data(found, subject.data, factor, offset)
    mapped = subject.on(data).at(moved_parameters(found, subject.theta, factor, offset))
    shifted = mapped.log_evidence() + count * np.log(factor)
    yield difference("log evidence", shifted, subject.log_evidence(), SCALED)
    expected = moved_parameters(found, subject.step(), factor, offset)
    step, scales = mapped.step(), units(found, factor)
    for name, value in expected.items():
        scale = scales[name] * (1 + np.abs(subject.theta[name]).max())
        yield difference(name, step[name], value, SCALED, float(scale))


def fit_is_its_steps(subject: Subject) -> Iterator[Deviation]:
    """`fit` returns the parameters of the last step, and the objective at each of them, the first one included."""
    path = subject.path
    theta, trace = subject.em.fit(subject.prepared, subject.parameters(), max_iter=len(path) - 1, tol=0.0)
    found = {name: np.asarray(value) for name, value in theta._asdict().items()}
    yield from differences("fitted", found, path[-1], MARGINAL)
    yield difference("trace", trace, [subject.objective(point) for point in path], MONOTONE)


LAWS: tuple[Law, ...] = (
    evidence_is_brute_force,
    prior_is_the_textbooks,
    fisher_identity,
    m_step_is_stationary,
    evidence_is_energy_plus_entropy,
    objective_never_falls,
    later_steps_are_brute_force,
    fixed_values_stay,
    domains_are_kept,
    statistics_add,
    chunks_do_not_matter,
    weights_repeat_members,
    states_have_no_names,
    zeros_stay,
    empty_states_keep_their_parameters,
    scale_moves_the_evidence_only,
    fit_is_its_steps,
)
"""The laws of EM, the ones that prove most first."""

RESHAPING: tuple[Law, ...] = (statistics_add, chunks_do_not_matter, weights_repeat_members)
"""The laws that run a program on data of other shapes: compiled once more for each of them."""

HARD_LAWS: tuple[Law, ...] = (
    assignment_is_the_best,
    m_step_is_stationary,
    objective_never_falls,
    later_steps_are_brute_force,
    fixed_values_stay,
    statistics_add,
    chunks_do_not_matter,
    zeros_stay,
    fit_is_its_steps,
)
"""The laws of hard EM."""

DATA_LAWS: tuple[Law, ...] = (
    objective_never_falls,
    fixed_values_stay,
    domains_are_kept,
    statistics_add,
    states_have_no_names,
)
"""The laws of EM that can be seen on data of any size: no configuration is listed."""
