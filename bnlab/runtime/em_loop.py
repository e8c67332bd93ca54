"""The compiled loop around the emitted EM: evaluate, decide whether to stop, step. The mathematics is in the emitted module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
Memory = dict[str, Array]
Scales = dict[str, Array]


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
    memory: Memory  # what an accelerated run remembers beside; empty for others
    objective: Array  # (CHUNK,)
    log_likelihood: Array  # (CHUNK,)
    done: Array  # evaluations made in this call
    reason: Array  # index into STOPS


class Seen(NamedTuple):
    """An evaluation: the statistics, what is maximised, and ln p(x)."""

    statistics: Any
    objective: Array
    log_likelihood: Array

    @property
    def sound(self) -> Array:
        return jnp.isfinite(self.objective) & ~jnp.isnan(self.log_likelihood)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What an iteration is made of: `evaluate(theta, data, evidence data)`, `counted(statistics)`, and
    `stepped(statistics, theta, scales)`, the new parameters and which of them a floor holds."""

    evaluate: Callable[[Theta, Any, Any], Seen]
    counted: Callable[[Any], Flags]
    stepped: Callable[[Any, Theta, Scales], tuple[Theta, Flags]]


Iteration = Callable[[Parts, Carry, Any, Any, Scales, Control], Carry]
"""One evaluation of a run: what the loop repeats."""


def parts(
    step: ModuleType, evidence: ModuleType | None, floors: tuple[Floor, ...], counts: tuple[Count, ...]
) -> Parts:
    """An iteration of the emitted module `step`, with floors; `evidence` as in em.Program."""
    names = vars(step)

    def evaluate(theta: Theta, data: Any, evidence_data: Any) -> Seen:
        statistics = step.e_step(theta, data)
        objective = statistics.log_p + step.log_prior(theta) if "log_prior" in names else statistics.log_p
        if evidence is None:
            return Seen(statistics, objective, statistics.log_p)
        return Seen(statistics, objective, evidence.log_evidence(evidence.Parameters(*theta), evidence_data))

    def counted(statistics: Any) -> Flags:
        found = {}
        for latent, field, axis in counts:
            table = jnp.moveaxis(getattr(statistics, field), axis, 0)
            found[latent] = table.reshape(len(table), -1).sum(axis=1)
        return found

    def stepped(statistics: Any, theta: Theta, scales: Scales) -> tuple[Theta, Flags]:
        return held_all(step.m_step(statistics, theta), floors, scales)

    return Parts(evaluate, counted, stepped)


def held_all(new: Theta, floors: tuple[Floor, ...], scales: Scales) -> tuple[Theta, Flags]:
    """Parameters with every floor applied, and which components each floor holds."""
    low: Flags = {}
    for floor in floors:
        new, low[floor.parameter] = held(new, floor, scales[floor.parameter])
    return new, low


def loop(of: Parts, iteration: Iteration) -> Callable[..., Carry]:
    """The function (theta, before, previous, active, ever, memory, data, evidence data, scales, control) -> Carry, to be
    compiled.

    It ends at theta: with reason 0, theta is yet to be evaluated; otherwise the last entry made is that of theta.
    """

    def run(
        theta: Theta, before: Theta, previous: Array, active: Flags, ever: Flags, memory: Memory,
        data: Any, evidence_data: Any, scales: Scales, control: Control,
    ) -> Carry:  # fmt: skip
        def body(c: Carry) -> Carry:
            return iteration(of, c, data, evidence_data, scales, control)

        shapes = jax.eval_shape(of.evaluate, theta, data, evidence_data).statistics
        zeros = jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), jax.eval_shape(of.counted, shapes))
        trace = jnp.full(CHUNK, jnp.nan, previous.dtype)
        zero = jnp.zeros((), control.steps.dtype)
        first = Carry(theta, before, previous, active, ever, zeros, memory, trace, trace, zero, zero)
        return jax.lax.while_loop(lambda c: (c.done < control.steps) & (c.reason == 0), body, first)

    return run


def plain(of: Parts, c: Carry, data: Any, evidence_data: Any, scales: Scales, control: Control) -> Carry:
    """EM's own iteration: evaluate, decide whether to stop, step."""
    seen = of.evaluate(c.theta, data, evidence_data)
    standing = any_of(c.active)
    reason = verdict(seen.objective, c.previous, seen.sound, standing, control.left <= c.done, control)
    new, low = of.stepped(seen.statistics, c.theta, scales)
    stay = reason > 0
    return Carry(
        theta=select(stay, c.theta, new),
        before=select(stay, c.before, c.theta),
        previous=seen.objective,
        active=select(stay, c.active, low),
        ever={name: c.ever[name] | (low[name] & ~stay) for name in low},
        counts=of.counted(seen.statistics),
        memory=c.memory,
        objective=c.objective.at[c.done].set(seen.objective),
        log_likelihood=c.log_likelihood.at[c.done].set(seen.log_likelihood),
        done=c.done + 1,
        reason=reason,
    )


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
