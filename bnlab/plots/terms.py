"""ln p(X | theta) = Q + H + KL: its terms through E- and M-steps, and the lower bound Q + H over one parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bnlab.domains import Covariance, Positive, Probability, Real, Simplex
from bnlab.errors import Fault, FitError
from bnlab.network.ir import Parameter
from bnlab.plots.excerpt import Excerpt, Theta, excerpt
from bnlab.plots.style import INK, PALETTE, figure, note, styled
from bnlab.runtime.result import Fit

POINTS = 71
"""Of each curve of the bound; the old value and the new one are among them, or nearly."""
TRIED = 40
"""Iterations among which the steepest one is looked for."""
LEVEL = 1e-9
"""Relative: what is left to gain is no more than rounding of a sum over the data."""
Q_COLOUR, H_COLOUR, KL_COLOUR = PALETTE[0], PALETTE[2], PALETTE[1]


def plot_terms(fit: Fit, steps: int = 3, first: int = 0) -> Figure:
    """Q, H and KL as stacks, after each E-step and M-step of `steps` iterations, beginning with parameters `first`.

    Everything is computed by listing all configurations of the latents; on a part of the data (the figure says which)
    where all of them are too many. Where there are priors, EM raises Q + ln p(η), and that is what is drawn.
    """
    part = excerpt(fit)
    found = list(terms(part, first, first + steps))
    if not found:
        raise _too_few(part)
    with styled():
        drawn, axes = figure(width=7.0, height=3.8)
        plot = axes[0, 0]
        first_term = "Q + ln p(η)" if part.has_prior else "Q"
        bottom = min(q for _, q, _, _ in found)
        total = [q + h + kl for _, q, h, kl in found]
        base = bottom - 0.4 * (max(total) - bottom)
        for place, (_, q, h, kl) in enumerate(found):
            kl = max(kl, 0.0)
            plot.bar(place, q - base, 0.62, base, color=Q_COLOUR, label=first_term * (not place))
            plot.bar(
                place, h, 0.62, q, color=H_COLOUR, label="H" * (not place), hatch="//", edgecolor="w", lw=0
            )
            plot.bar(place, kl, 0.62, q + h, color=KL_COLOUR, label="KL" * (not place))
            plot.hlines(q + h + kl, place - 0.4, place + 0.4, color=INK, linewidth=1.4)
            plot.annotate(
                f"{q + h + kl:.1f}", (place, q + h + kl), (0, 3), textcoords="offset points", ha="center", fontsize=7.5
            )  # fmt: skip
        plot.set_xticks(range(len(found)), [name for name, *_ in found])
        plot.set(ylim=(base, max(total) + 0.12 * (max(total) - base)), ylabel="nats (the axis is cut below)")
        plot.legend(loc="upper left", bbox_to_anchor=(1, 1), reverse=True)
        whole = (
            "ln p(X, η), the line, is Q + ln p(η) + H + KL"
            if part.has_prior
            else "ln p(X | η), the line, is Q + H + KL"
        )
        plot.set_title(f"{whole}; {part.words}")
        return drawn


def terms(part: Excerpt, first: int, last: int) -> Iterator[tuple[str, float, float, float]]:
    """Name, Q (with ln p(η), if there are priors), H and KL after each half of the iterations `first` + 1 to `last`.

    They end where one is not a number: EM on few data may run into a probability of 0, or into no spread at all.
    """
    oracle, path = part.oracle, part.path(last)[first:]
    for number, (old, new) in enumerate(zip(path, path[1:], strict=False), start=first + 1):
        q = oracle.posterior(old)
        auxiliary, entropy = oracle.auxiliary_of(q), oracle.entropy(q)
        with np.errstate(all="ignore"):
            heights = [
                (auxiliary(theta) + part.log_prior(theta), oracle.kl(q, theta)) for theta in (old, new)
            ]
        if not np.isfinite([*heights[0], *heights[1], entropy]).all():
            return
        for name, (height, kl) in zip(("E", "M"), heights, strict=True):
            yield f"{name}-step\n{number}", height, entropy, kl


def steepest(fit: Fit) -> int:
    """The iteration, after the first, that raises the objective of what is drawn most: the one to look at."""
    part = excerpt(fit)
    heights = [
        part.log_evidence(theta) + part.log_prior(theta) for theta in part.path(min(fit.n_iter, TRIED))
    ]
    rises = np.nan_to_num(np.diff(heights)[1:], nan=-np.inf)
    return int(np.argmax(rises)) + 1 if len(rises) else 0


def _too_few(part: Excerpt) -> FitError:
    reason = f"EM on {part.words}, of which all configurations can be listed, degenerates at once."
    return FitError(Fault(reason, "Start elsewhere, or with fewer states."))


def plot_bound(
    fit: Fit,
    parameter: str | None = None,
    index: Sequence[int] = (),
    iteration: int = 0,
) -> Figure:
    """The lower bound Q + H as a curve over one parameter, under the curve of ln p(X | theta).

    Old parameters are those after `iteration` iterations. The parameter (`index` says which member of its plates) moves on
    the line from its old to its new value, everything else stays old: at the old value the bound touches. Without a name
    the one is taken that has most to gain, a location if there are any.
    """
    part = excerpt(fit)
    path = part.path(iteration + 1)
    if len(path) < iteration + 2:
        raise _too_few(part)
    *_, old, new = path
    line = _moving(fit, part, old, new, parameter, tuple(index))
    at = np.linspace(*line.room(), POINTS)
    with np.errstate(all="ignore"):
        evidence, bound = _heights(part, line, at)
    touch, best = part.log_evidence(old) + part.log_prior(old), int(np.nanargmax(bound))
    room = np.nanmax(evidence) - touch
    if not room > LEVEL * (1 + abs(touch)):
        reason = (
            f"After {iteration} iterations EM on {part.words} has nothing left to gain along {line.words}."
        )
        raise FitError(Fault(reason, "Write iteration= with an earlier one."))
    names = ("ln p(X, η)", "Q + H + ln p(η)") if part.has_prior else ("ln p(X | η)", "Q + H")
    with styled():
        drawn, axes = figure(width=5.6, height=3.8)
        plot, x = axes[0, 0], line.coordinate(at)
        plot.plot(x, evidence, color=INK, label=names[0])
        plot.plot(x, bound, color=PALETTE[0], linestyle="--", label=f"lower bound {names[1]}")
        start = line.coordinate(np.zeros(1))
        plot.plot(start, touch, "o", color=PALETTE[0], label="old value: they touch", zorder=4)
        plot.plot(x[best], bound[best], "^", color=PALETTE[1], label="the bound's maximum", zorder=4)
        plot.vlines(x[best], bound[best], evidence[best], color=PALETTE[1], linewidth=1, linestyle=":")
        plot.set(ylim=(touch - 1.3 * room, touch + 1.35 * room), xlabel=line.words, ylabel="nats")
        plot.legend(loc="best")
        note(plot, f"iteration {iteration}, {part.words}")
        return drawn


def _heights(
    part: Excerpt, line: _Line, at: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ln p and its lower bound along the line, both with the log prior."""
    oracle = part.oracle
    q = oracle.posterior(line.old)
    entropy = oracle.entropy(q)
    places = [line.at(s) for s in at]
    prior = np.array([part.log_prior(theta) for theta in places])
    evidence = np.array([part.log_evidence(theta) for theta in places])
    auxiliary = np.array(list(map(oracle.auxiliary_of(q), places)))
    return evidence + prior, auxiliary + entropy + prior


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """One member of a parameter on the line from its old value (s = 0) to its new one (s = 1)."""

    parameter: Parameter
    member: tuple[int, ...]
    old: Theta
    new: Theta

    def value(self, s: float) -> NDArray[np.float64]:
        old, new = (np.asarray(theta[self.parameter.name][self.member]) for theta in (self.old, self.new))
        return np.asarray(old + s * (new - old))

    def at(self, s: float) -> Theta:
        moved = np.array(self.old[self.parameter.name])
        moved[self.member] = self.value(s)
        return {**self.old, self.parameter.name: moved}

    def room(self) -> tuple[float, float]:
        """How far the line is shown: as far as the parameter stays what it is."""
        low = next((s for s in (-1.5, -1.0, -0.5, -0.2) if self._inside(s)), 0.0)
        high = next((s for s in (2.5, 2.0, 1.5, 1.2) if self._inside(s)), 1.0)
        return low, high

    def _inside(self, s: float) -> bool:
        value = self.value(s)
        match self.parameter.domain:
            case Covariance():
                return bool(np.linalg.eigvalsh(value).min() > 0)
            case Positive() | Simplex():
                return bool(value.min() > 0)
            case Probability():
                return bool(0 < value.min() and value.max() < 1)
            case _:
                return True

    @property
    def _place(self) -> tuple[int, ...]:
        """The entry that moves most."""
        step = np.abs(self.value(1) - self.value(0))
        return tuple(int(i) for i in np.unravel_index(np.argmax(step), step.shape))

    def coordinate(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        start, end = (float(self.value(t)[self._place]) for t in (0, 1))
        return start + s * (end - start)

    @property
    def words(self) -> str:
        index = ", ".join(map(str, (*self.member, *self._place)))
        name = f"{self.parameter.name}[{index}]" if index else self.parameter.name
        if not self.value(0).ndim:
            return name
        whole = ", ".join(map(str, self.member))
        return f"{name}; the rest of {self.parameter.name}{f'[{whole}]' if whole else ''} moves along"


def _moving(
    fit: Fit, part: Excerpt, old: Theta, new: Theta, name: str | None, member: tuple[int, ...]
) -> _Line:
    graph = fit.network.graph
    free = [one for one in graph.parameters if one.value is None]
    chosen = [one for one in free if name is None or one.name == name]
    if not chosen:
        names = ", ".join(one.name for one in free)
        raise FitError(Fault(f'There is no parameter "{name}" to move; those that are learnt are {names}.'))
    if name is None:
        chosen = [one for one in chosen if isinstance(one.domain, Real)] or chosen
    lines = [
        _Line(one, at, old, new) for one in chosen for at in _members(fit, one) if at[: len(member)] == member
    ]
    if not lines:
        raise FitError(Fault(f"{name} has no member {list(member)}."))
    q = part.oracle.posterior(old)
    auxiliary = part.oracle.auxiliary_of(q)
    return max(lines, key=lambda line: auxiliary(line.at(1.0)) + part.log_prior(line.at(1.0)))


def _members(fit: Fit, parameter: Parameter) -> Iterator[tuple[int, ...]]:
    return product(*(range(fit.network.graph.plate(plate).size or 0) for plate in parameter.plates))
