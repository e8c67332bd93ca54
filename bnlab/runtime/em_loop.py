"""The compiled loop around the emitted EM: evaluate, decide whether to stop, step. The mathematics is in the emitted module."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bnlab.runtime.em_floor import Floor, held
from bnlab.runtime.records import Status

CHUNK = 64
"""The most evaluations in one call."""
STOPS: tuple[Status | None, ...] = (None, "max_iter", "converged", "non_monotone", "nan")
"""Why the loop stopped, by number; a later reason goes before an earlier one."""

Theta = Any
Flags = dict[str, Array]


class Count(NamedTuple):
    """A statistic that counts the states of a latent: its field, and the axis of the states, from the last one back."""

    latent: str
    field: str
    axis: int


class Control(NamedTuple):
    """What the host decides: evaluations in this call, iterations left, and the rule of stopping."""

    steps: Any
    left: Any
    tol: Any
    slack: Any


class Carry(NamedTuple):
    """What passes from one evaluation to the next. `before` are the parameters one iteration earlier."""

    theta: Theta
    before: Theta
    previous: Array  # the objective at `before`; NaN at the start
    active: Flags  # by parameter: which components stand on a floor in theta
    ever: Flags  # which did at some time
    counts: Flags  # expected counts of states at the last parameters evaluated
    objective: Array  # (CHUNK,)
    log_likelihood: Array  # (CHUNK,)
    done: Array  # evaluations made in this call
    reason: Array  # index into STOPS


def loop(
    step: ModuleType, evidence: ModuleType | None, floors: tuple[Floor, ...], counts: tuple[Count, ...]
) -> Callable[..., Carry]:
    """The function (theta, before, previous, active, ever, data, evidence data, scales, control) -> Carry, to be compiled.

    It ends at theta: with reason 0, theta is yet to be evaluated; otherwise the last entry made is that of theta.
    """
    names = vars(step)

    def evaluate(theta: Theta, data: Any, evidence_data: Any) -> tuple[Any, Array, Array]:
        statistics = step.e_step(theta, data)
        objective = statistics.log_p + step.log_prior(theta) if "log_prior" in names else statistics.log_p
        if evidence is None:
            return statistics, objective, statistics.log_p
        return statistics, objective, evidence.log_evidence(evidence.Parameters(*theta), evidence_data)

    def counted(statistics: Any) -> Flags:
        found = {}
        for latent, field, axis in counts:
            table = jnp.moveaxis(getattr(statistics, field), axis, 0)
            found[latent] = table.reshape(len(table), -1).sum(axis=1)
        return found

    def stepped(statistics: Any, theta: Theta, scales: dict[str, Array]) -> tuple[Theta, Flags]:
        new = step.m_step(statistics, theta)
        low: Flags = {}
        for floor in floors:
            new, low[floor.parameter] = held(new, floor, scales[floor.parameter])
        return new, low

    def run(
        theta: Theta, before: Theta, previous: Array, active: Flags, ever: Flags,
        data: Any, evidence_data: Any, scales: dict[str, Array], control: Control,
    ) -> Carry:  # fmt: skip
        def body(c: Carry) -> Carry:
            statistics, objective, log_likelihood = evaluate(c.theta, data, evidence_data)
            standing = any_of(c.active)
            sound = jnp.isfinite(objective) & ~jnp.isnan(log_likelihood)
            reason = verdict(objective, c.previous, sound, standing, control.left <= c.done, control)
            new, low = stepped(statistics, c.theta, scales)
            stay = reason > 0
            return Carry(
                theta=select(stay, c.theta, new),
                before=select(stay, c.before, c.theta),
                previous=objective,
                active=select(stay, c.active, low),
                ever={name: c.ever[name] | (low[name] & ~stay) for name in low},
                counts=counted(statistics),
                objective=c.objective.at[c.done].set(objective),
                log_likelihood=c.log_likelihood.at[c.done].set(log_likelihood),
                done=c.done + 1,
                reason=reason,
            )

        shapes = jax.eval_shape(evaluate, theta, data, evidence_data)[0]
        zeros = jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), jax.eval_shape(counted, shapes))
        trace = jnp.full(CHUNK, jnp.nan, previous.dtype)
        zero = jnp.zeros((), control.steps.dtype)
        first = Carry(theta, before, previous, active, ever, zeros, trace, trace, zero, zero)
        return jax.lax.while_loop(lambda c: (c.done < control.steps) & (c.reason == 0), body, first)

    return run


def verdict(
    objective: Array,
    previous: Array,
    sound: Array,
    standing: Array,
    out_of_iterations: Array,
    control: Control,
) -> Array:
    """Why to stop at these parameters, as an index into STOPS; 0 to go on.

    `previous` is NaN at first, and comparisons with it are false. `standing` says that a covariance stands on its floor:
    it is so ill-conditioned that rounding alone may let the objective fall by more than the slack.
    """
    size = 1 + jnp.abs(objective)
    rise = objective - previous
    settled = (control.tol > 0) & (rise <= control.tol * size)
    fell = (rise < -control.slack * size) & ~standing
    reasons = [out_of_iterations, settled, fell, ~sound]
    found = jnp.zeros((), control.steps.dtype)
    for number, holds in enumerate(reasons, start=1):
        found = jnp.where(holds, jnp.asarray(number, found.dtype), found)
    return found


def any_of(flags: Flags) -> Array:
    """Whether any flag is up."""
    return jnp.array([jnp.any(flag) for flag in flags.values()], dtype=bool).any()


def select(condition: Array, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
