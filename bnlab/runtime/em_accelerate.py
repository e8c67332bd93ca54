"""EM with longer steps, checked: the objective never falls, and it stops where EM itself would.

A cycle evaluates theta0, then theta1 = EM(theta0), from which EM gives theta2; the three lead to a point further on
(`em_leap.py`). If the objective there is at least that of theta1, the point begins the next cycle; if not, it leaves no trace
but an E-step, and theta2 begins it. Only EM's own steps decide whether the run has converged, so the rule of stopping means
what it means without acceleration. Steps reach further as long as those that reach furthest succeed.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from bnlab.runtime.em_floor import Floor
from bnlab.runtime.em_leap import Space, extrapolated
from bnlab.runtime.em_loop import (
    Carry,
    Control,
    Flags,
    Iteration,
    Memory,
    Parts,
    Scales,
    Theta,
    any_of,
    held_all,
    select,
    verdict,
)

FIRST, GROWTH = 4.0, 4.0
"""The longest first step, and by how much the longest one grows and shrinks (Varadhan and Roland's implementation)."""
NONE = 1.0
"""The reach at which a step is EM's own, and stays so."""
BEGIN, SECOND, TRIED = 0, 1, 2
"""What is evaluated next: the first point of a cycle, EM's step from it, or the point extrapolated."""


def fresh(theta: Any, reach: float = FIRST) -> dict[str, NDArray[Any]]:
    """What a run remembers before its first evaluation: where its cycle began, EM's own step instead of what is tried, the
    phase of the cycle, how far a step may reach, whether what is tried reaches as far, and how many points were rejected."""
    dtype = next(iter(theta.values())).dtype if theta else np.float64
    return {
        **{f"origin.{name}": np.asarray(value) for name, value in theta.items()},
        **{f"own.{name}": np.asarray(value) for name, value in theta.items()},
        "phase": np.int32(BEGIN),
        "reach": np.asarray(reach, dtype),
        "furthest": np.asarray(False),
        "rejected": np.int32(0),
    }


def iteration(step: ModuleType, floors: tuple[Floor, ...], spaces: tuple[Space, ...]) -> Iteration:
    """The iteration of accelerated EM over the parameters of the emitted module `step`."""

    def body(of: Parts, c: Carry, data: Any, evidence_data: Any, scales: Scales, control: Control) -> Carry:
        seen = of.evaluate(c.theta, data, evidence_data)
        tried = c.memory["phase"] == TRIED
        rejected = tried & ~(seen.sound & (seen.objective >= c.previous))
        over = control.left <= c.done
        reason = verdict(seen.objective, c.previous, seen.sound, any_of(c.active), over, control)
        one = jnp.ones((), reason.dtype)
        reason = jnp.where(rejected, 0 * one, jnp.where(tried, jnp.where(over, one, 0 * one), reason))
        stay = reason > 0

        own, low = of.stepped(seen.statistics, c.theta, scales)
        far, far_low, length = _ahead(floors, spaces, c, own, scales)
        leap = (c.memory["phase"] == SECOND) & (length > 1)
        new, new_low = select(leap, far, own), select(leap, far_low, low)
        back = step.Parameters(*(c.memory[f"own.{name}"] for name in step.Parameters._fields))
        back, back_low = held_all(back, floors, scales)
        new, new_low = select(rejected, back, new), select(rejected, back_low, new_low)
        memory = _remembered(c, own, leap, length, tried, rejected)
        entry = jnp.where(rejected, len(c.objective), c.done)  # beyond the end: nothing is written
        return Carry(
            theta=select(stay, c.theta, new),
            before=select(stay | rejected, c.before, c.theta),
            previous=select(rejected, c.previous, seen.objective),
            active=select(stay, c.active, new_low),
            ever={name: c.ever[name] | (c.active[name] & ~rejected) for name in low},
            counts=of.counted(seen.statistics),  # the last evaluation of a call is never a rejected one
            memory=select(stay, c.memory, memory),
            objective=c.objective.at[entry].set(seen.objective, mode="drop"),
            log_likelihood=c.log_likelihood.at[entry].set(seen.log_likelihood, mode="drop"),
            done=c.done + jnp.where(rejected, 0, 1),
            reason=reason,
        )

    return body


def _ahead(
    floors: tuple[Floor, ...],
    spaces: tuple[Space, ...],
    c: Carry,
    own: Theta,
    scales: Scales,
) -> tuple[Theta, Flags, Array]:
    """Where the cycle leads if theta is its second point: parameters on their floors, and the longest step of any. Where
    that is no number, EM's own step, of length 1."""
    moved, lengths = {}, [jnp.ones_like(c.memory["reach"])]
    for parameter, kind in spaces:
        at = (c.memory[f"origin.{parameter}"], getattr(c.theta, parameter), getattr(own, parameter))
        moved[parameter], length = extrapolated(kind, at, c.memory["reach"])
        lengths.append(length)
    far, low = held_all(own._replace(**moved), floors, scales)
    sound = jnp.stack([jnp.isfinite(getattr(far, name)).all() for name in moved] or [jnp.array(False)]).all()
    return far, low, jnp.where(sound, jnp.stack(lengths).max(), 1)


def _remembered(c: Carry, own: Theta, leap: Array, length: Array, tried: Array, rejected: Array) -> Memory:
    """The memory after an evaluation that did not end the run."""
    old = c.memory
    begins = (old["phase"] == BEGIN) | (tried & ~rejected)  # theta is the first point of a cycle
    reach, furthest = old["reach"], old["furthest"]
    longer = tried & ~rejected & furthest
    shorter = rejected & furthest
    grown = jnp.where(longer, reach * GROWTH, reach)
    phase = jnp.where(begins, SECOND, jnp.where(leap, TRIED, BEGIN)).astype(old["phase"].dtype)
    return {
        **{
            f"origin.{name}": jnp.where(begins, value, old[f"origin.{name}"])
            for name, value in c.theta._asdict().items()
        },
        **{
            f"own.{name}": jnp.where(leap, value, old[f"own.{name}"]) for name, value in own._asdict().items()
        },
        "phase": phase,
        "reach": jnp.where(shorter, jnp.maximum(reach / GROWTH, FIRST), grown),
        "furthest": leap & (length >= reach),
        "rejected": old["rejected"] + rejected.astype(old["rejected"].dtype),
    }
