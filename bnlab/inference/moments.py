"""The posterior moments of Gaussian latents, on the way back: what was integrated out follows what was left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnlab.inference.gaussian import (
    Pair,
    called,
    contract,
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
    """Posterior means (as distances from the prior means) and covariances of Gaussian latents, a member of `plates` each."""

    mean: Mapping[VarRef, Expr]
    cov: Mapping[Pair, Expr]
    plates: tuple[str, ...]


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
    if not step.message.continuous:
        return Moments({ref: solved.mean}, {(ref, ref): solved.cov}, step.joint.plates)
    outer = at_members(run, moments(run, step.message.name), step.joint.plates)
    entries = run.layout.vector(ref, 3)
    gains = {
        other: named(run, gain, f"G_{name}_{other.name}", f"how E[{name}] follows {other.name}")
        for other, gain in solved.gains.items()
    }
    mean = build.add(
        solved.mean, *(_applied(run, gain, other, outer.mean[other]) for other, gain in gains.items())
    )
    if solved.mean == Number(0.0):
        mean = build.add(*(_applied(run, gain, other, outer.mean[other]) for other, gain in gains.items()))
    m = run.statement(
        f"m_{name}", mean, "posterior", f"E[{at_name(run, ref)} | {observed_names(run)}] less its prior mean"
    )
    means, covs = {**outer.mean, ref: m}, dict(outer.cov)
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
        "posterior",
        f"Cov({at_name(run, ref)} | {observed_names(run)})",
    )
    return Moments(means, covs, step.joint.plates)


def _applied(run: Elimination, gain: Expr, other: VarRef, mean: Expr) -> Expr:
    return contract(run.layout.vector(other, 3)[:1], gain, mean)


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
        return Moments(found.mean, found.cov, plates)
    where = plates[-1]
    means = {}
    for ref, value in found.mean.items():
        there = run.brought(value, found.plates, plates)
        if there not in run.members:
            run.members[there] = named(run, there, f"m_{ref.name}_in_{where}")
        means[ref] = run.members[there]
    covs = {key: run.brought(value, found.plates, plates) for key, value in found.cov.items()}
    return Moments(means, covs, plates)
