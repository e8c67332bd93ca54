"""The posterior moments of Gaussian latents, on the way back: what was integrated out follows what was left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bnlab.inference.gaussian import (
    Pair,
    called,
    contract,
    forward,
    matrix_times,
    pair,
)
from bnlab.inference.integrate import at_name, observed_names
from bnlab.inference.plan import Integrate, IntegrateChain, LeavePlates
from bnlab.inference.products import named
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ops import (
    Axes,
    Expr,
    Number,
)

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


@dataclass(frozen=True, slots=True)
class Moments:
    """Posterior means (as distances from the prior means) and covariances of Gaussian latents, a member of `plates` each.

    With `summed`, the covariances are sums over members, each with that weight.
    """

    mean: Mapping[VarRef, Expr]
    cov: Mapping[Pair, Expr]
    plates: tuple[str, ...]
    summed: Expr | None = None


At = Literal["all", "filtered"]
"""Given all data; or, along a chain, given those up to each step."""


def mean_in(run: Elimination, name: str, ref: VarRef, plates: tuple[str, ...], at: At = "all") -> Expr:
    """The posterior mean of a Gaussian latent in a factor or message, for the members of some plates."""
    mean, source = means(run, name, at)[ref]
    value = run.brought(mean, source, plates)
    if value is mean:
        return mean
    if value not in run.carried:
        text = f"that of each {plates[-1]}'s {source[-1]}" if source else ""
        run.carried[value] = named(run, value, f"m_{ref.name}_in_{plates[-1]}", text)
    return run.carried[value]


def means(run: Elimination, name: str, at: At = "all") -> Mapping[VarRef, tuple[Expr, tuple[str, ...]]]:
    """The posterior means of the Gaussian latents of a factor or message, each with the plates that it has a value in."""
    step = run.consumer(name)
    assert step is not None
    match step:
        case LeavePlates():
            return means(run, step.message.name, at)
        case Integrate():
            key = step.message.name, at
            if key not in run.means:
                run.means[key] = _means(run, step, at)
            return run.means[key]
        case IntegrateChain():
            return {ref: (mean, step.joint.plates) for ref, mean in run.chain_means(step, at).items()}
        case _:
            raise AssertionError("discrete latents are summed out after Gaussian ones")


def _means(run: Elimination, step: Integrate, at: At) -> Mapping[VarRef, tuple[Expr, tuple[str, ...]]]:
    """The mean of a latent that was integrated out, with those of the latents that it depended on."""
    ref, name, message, plates = step.variable, step.variable.name, step.message.name, step.joint.plates
    solved, node, entries = run.solved[message], run.distribution(step.own), run.layout.vector(ref, 3)
    fitted: Expr = Number(0.0)
    for slope in node.slopes:
        parent = VarRef(slope.parent, slope.lag)
        outer = mean_in(run, message, parent, plates, at)
        term = forward(slope, entries, outer, run.layout.vector(parent, 3))
        fitted = term if fitted == Number(0.0) else build.add(fitted, term)
    mean = fitted
    if solved.told is not None:
        told = solved.told
        said = told.eta
        if fitted != Number(0.0):
            pulled = (
                matrix_times(told.Lambda, fitted, entries) if entries else contract((), told.Lambda, fitted)
            )
            said = build.subtract(said, pulled)
        for other, cross in told.across.items():
            outer = mean_in(run, message, other, plates, at)
            said = build.subtract(said, contract(run.layout.vector(other, 1), cross, outer))
        run.moved[message, at] = moved = told.moved(said)
        mean = moved.away if fitted == Number(0.0) else build.add(fitted, moved.away)
    if step.message.continuous and mean != Number(0.0):
        text = f"E[{at_name(run, ref)} | {observed_names(run)}] less its prior mean"
        mean = named(run, mean, f"m_{name}", text)
    outside = means(run, message, at) if step.message.continuous else {}
    return {**outside, ref: (mean, plates)}


def moments(run: Elimination, name: str) -> Moments:
    """The posterior moments of the Gaussian latents of a factor or message, at the plates where they were integrated out."""
    step = run.consumer(name)
    assert step is not None
    match step:
        case LeavePlates():
            return moments(run, step.message.name)
        case Integrate():
            if step.message.name not in run.moments:
                run.moments[step.message.name] = _clique(run, step)
            return run.moments[step.message.name]
        case IntegrateChain():
            return run.smoothed(step, name)
        case _:
            raise AssertionError("discrete latents are summed out after Gaussian ones")


def _clique(run: Elimination, step: Integrate) -> Moments:
    """The moments of a latent that was integrated out, together with those of the latents that it depended on."""
    ref, name = step.variable, step.variable.name
    solved = run.solved[step.message.name]
    mean = {ref: mean_in(run, step.own, ref, step.joint.plates)}
    if not step.message.continuous:
        return Moments(mean, {(ref, ref): solved.cov}, step.joint.plates)
    outer = at_members(run, moments(run, step.message.name), step.joint.plates)
    entries = run.layout.vector(ref, 3)
    gains = {
        other: named(run, gain, f"G_{name}_{other.name}", f"how E[{name}] follows {other.name}")
        for other, gain in solved.gains.items()
    }
    covs = dict(outer.cov)
    for other in outer.mean:
        parts = [_crossed(run, gain, source, other, outer) for source, gain in gains.items()]
        covs[pair(ref, other)] = named(
            run,
            build.add(*parts),
            f"V_{name}_{other.name}",
            f"Cov({name}, {other.name} | {observed_names(run)})",
        )
    spreads = [_crossed_back(run, gain, other, ref, covs, entries) for other, gain in gains.items()]
    covs[ref, ref] = run.statement(
        f"V_{name}_all",
        build.add(solved.cov, *spreads),
        "moments",
        f"Cov({at_name(run, ref)} | {observed_names(run)})",
    )
    return Moments({**outer.mean, **mean}, covs, step.joint.plates)


def _crossed(run: Elimination, gain: Expr, source: VarRef, other: VarRef, outer: Moments) -> Expr:
    """G Cov(source, other), over the entries of the latent and of `other`."""
    rows = run.layout.vector(source, 3)
    cov = outer.cov[pair(source, other)]
    if not rows:
        return contract((), gain, cov)
    if source != other:
        return contract(rows[:1], gain, cov)
    return contract(
        rows[2:3], called(gain, {rows[0]: rows[2]}), called(cov, {rows[0]: rows[2], rows[1]: rows[0]})
    )


def _crossed_back(
    run: Elimination, gain: Expr, other: VarRef, ref: VarRef, covs: Mapping[Pair, Expr], entries: Axes
) -> Expr:
    """Cov(ref, other) G', over the rows and columns of the latent."""
    at = run.layout.vector(other, 3)
    turned_gain = called(gain, dict(zip(entries[:1], entries[1:2], strict=True)))
    return contract(at[:1], covs[pair(ref, other)], turned_gain)


def at_members(run: Elimination, found: Moments, plates: tuple[str, ...]) -> Moments:
    """Moments brought to the members of inner plates."""
    if run.rows(found.plates) == run.rows(plates):
        return replace(found, plates=plates)
    assert found.summed is None, "a sum over members is of none of them"
    means = {ref: run.brought(value, found.plates, plates) for ref, value in found.mean.items()}
    means = {ref: run.carried.get(value, value) for ref, value in means.items()}
    covs = {key: run.brought(value, found.plates, plates) for key, value in found.cov.items()}
    return Moments(means, covs, plates)
