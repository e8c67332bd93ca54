"""What a comparison found, in sentences. All of it is read off numbers: no sentence depends on what a network is called."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bnlab.comparison.records import Comparison, Row
from bnlab.comparison.text import title
from bnlab.domains import Covariance, Positive, Probability, Simplex
from bnlab.network.ir import Graph
from bnlab.runtime.result import Fit

NEAR = 2.0
"""Estimates within so many deviations of one another are said to agree."""
SAME = 5e-4
"""Log-likelihoods so near are not told apart: three decimals are printed."""
MIXED, ENOUGH = 1.01, 400
"""R-hat up to which chains are said to agree, and effective draws from which their means are (Vehtari et al. 2021)."""
BOUNDARY = 0.05
"""A point estimate closer to its boundary than this part of a posterior deviation, and of the posterior mean's distance,
stands on it."""

FLAT = 2.0
"""Nats of likelihood that do not rule a value out: 95 % of a likelihood-ratio test of one number are within 1.92."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was measured; `tone` is "good", "plain" or "watch"."""

    tone: str
    text: str


def findings(one: Comparison) -> list[Finding]:
    """The most important ones, as a reader wants them: how each method ended, where they agree, what to beware of."""
    found = [*_points(one), *_restarts(one), *_agreement(one), *_boundaries(one), *_widths(one)]
    return [*found, *_chains(one), *_held_out(one), *_certificates(one)]


def _points(one: Comparison) -> Iterator[Finding]:
    """How far each point estimate's likelihood is from the best."""
    points = {m: one.scores[m].log_likelihood for m, fit in one.fits.items() if fit.draws is None}
    if not points:
        return
    highest = max(points.values())
    best = next(method for method, value in points.items() if highest - value <= SAME)
    for method, value in points.items():
        fit = one.fits[method]
        text = f"{title(method)} {_ended(fit)}, at ln p(X | η) = {value:.3f}"
        if method != best and points[best] - value > SAME:
            text += f", {_amount(points[best] - value)} nats below {title(best)}"
        yield Finding("plain" if fit.converged else "watch", text + ".")


def _ended(fit: Fit) -> str:
    count = f"{fit.n_iter} iteration{'s' * (fit.n_iter != 1)}"
    match fit.status:
        case "converged":
            return f"converged after {count}"
        case "max_iter":
            return f"used up its {count}"
        case "degenerate":
            return f"ended degenerate after {count}: a spread stands on its floor"
        case "interrupted":
            return f"was interrupted after {count}"
        case "nan":
            return f"met numbers that are none after {count}"
        case "non_monotone":
            return f"stopped after {count} because its objective fell"


def _restarts(one: Comparison) -> Iterator[Finding]:
    for method, fit in one.fits.items():
        starts = sum(times for _, times in fit.optima)
        if starts < 2:
            continue
        times = fit.optima[0][1]
        if times == starts:
            yield Finding("good", f"All {starts} starts of {title(method)} reached the same optimum.")
        else:
            worst = fit.optima[0][0] - fit.optima[-1][0]
            text = f"{times} of {starts} starts of {title(method)} reached the best optimum found"
            yield Finding(
                "watch", f"{text}; the worst ended {_amount(worst)} nats below: EM's optima are local."
            )


def _agreement(one: Comparison) -> Iterator[Finding]:
    reference = one.reference
    for method in one.methods:
        apart = [(row, row.estimates[method].apart) for row in one.rows if method in row.estimates]
        measured = [(row, value) for row, value in apart if value is not None and math.isfinite(value)]
        if method == reference or not measured:
            continue
        row, most = max(measured, key=lambda pair: abs(pair[1]))
        unit = f"deviations of {title(reference)}"
        if abs(most) <= NEAR:
            text = (
                f"{title(method)} agrees with {title(reference)}: every number within {abs(most):.2f} {unit}"
            )
            yield Finding("plain" if _on_edge(one, method) else "good", f"{text}; {row.name} is farthest.")
        else:
            far = sum(abs(value) > NEAR for _, value in measured)
            yield Finding(
                "watch",
                f"{title(method)} and {title(reference)} differ: {far} of {len(measured)} numbers lie more than "
                f"{NEAR:g} {unit} apart, {row.name} by {abs(most):.1f}.",
            )


def _boundaries(one: Comparison) -> Iterator[Finding]:
    """Point estimates on the boundary of their domain, where the posterior is not."""
    if one.fits[one.reference].draws is None:
        return
    for method, fit in one.fits.items():
        found = [(row, edge) for row in one.rows if (edge := _edge(one, row, method)) is not None]
        if fit.draws is not None or not found:
            continue
        row, edge = found[0]
        others = f" (and {len(found) - 1} more such numbers)" if len(found) > 1 else ""
        estimate, posterior = row.estimates[method], row.estimates[one.reference]
        yield Finding(
            "watch",
            f"{title(method)} puts {row.name}{others} on the boundary of its domain, {edge:g}: there what it maximises is "
            f"highest ({estimate.value:.3g} is where it stopped). {title(one.reference)} has it at {posterior.value:.3g} ± "
            f"{posterior.deviation:.2g}{_flat(one, method)}: most of the posterior's mass lies away from the boundary, because "
            "a maximum says where the density is highest and not how much of it there is around. At such a point standard "
            "errors mean nothing.",
        )


def _flat(one: Comparison, method: str) -> str:
    """How little the likelihood tells a point from the reference's means, where that is little."""
    fall = one.scores[method].log_likelihood - one.scores[one.reference].log_likelihood
    if not 0 <= fall <= FLAT:
        return ""
    return f", at whose means ln p(X | η) is only {_amount(fall)} lower"


def _on_edge(one: Comparison, method: str) -> frozenset[str]:
    """What a method's fit itself found on the boundary."""
    return frozenset(each.concerns for each in one.fits[method].warnings if each.kind == "boundary")


def _edge(one: Comparison, row: Row, method: str) -> float | None:
    """The boundary that a method's estimate stands on, while the reference's mean is at least half a deviation inside."""
    value, posterior = row.estimates[method].value, row.estimates[one.reference]
    deviation = posterior.deviation
    if not deviation:
        return None
    for edge in _edges(one.network.graph, row):
        inside = abs(posterior.value - edge)
        near = abs(value - edge) <= BOUNDARY * min(deviation, inside)
        told = row.name in _on_edge(one, method) and abs(value - edge) < inside
        if (near or told) and inside >= deviation / 2:
            return edge
    return None


def _edges(graph: Graph, row: Row) -> tuple[float, ...]:
    """Where the domain of a number ends."""
    match graph.parameter(row.parameter).domain:
        case Positive():
            return (0.0,)
        case Covariance() if row.index[-1] == row.index[-2]:
            return (0.0,)
        case Probability() | Simplex():
            return (0.0, 1.0)
        case _:
            return ()


def _widths(one: Comparison) -> Iterator[Finding]:
    """Whether a method's deviations are those of the reference."""
    for method in one.methods:
        pairs = [
            (row.estimates[method].deviation, row.estimates[one.reference].deviation) for row in one.rows
        ]
        ratios = [ours / theirs for ours, theirs in pairs if ours and theirs]
        if method == one.reference or not ratios or _on_edge(one, method):
            continue
        middle = float(np.median(ratios))
        if 0.8 <= middle <= 1.25:
            tone, said = "good", "about as wide as"
        else:
            tone, said = "watch", "narrower than" if middle < 1 else "wider than"
        text = f"The uncertainties of {title(method)} are {said} those of {title(one.reference)}"
        yield Finding(tone, f"{text}: {middle:.2f} times, in the median.")


def _chains(one: Comparison) -> Iterator[Finding]:
    """What R-hat, effective draws and divergences say of methods that draw in chains."""
    for method in one.methods:
        hats = [value for row in one.rows if (value := row.estimates[method].r_hat) is not None]
        draws = [value for row in one.rows if (value := row.estimates[method].effective) is not None]
        divergences = one.scores[method].divergences
        if not hats or not draws or divergences is None:
            continue
        hat, fewest = max(hats), min(draws)
        sound = hat <= MIXED and fewest >= ENOUGH
        text = f"{title(method)}: R-hat is at most {hat:.3f} and every number has at least {fewest:.0f} effective draws"
        text += "." if sound else ": run it longer before trusting its tails."
        yield Finding("good" if sound else "watch", text)
        if divergences:
            yield Finding(
                "watch",
                f"{divergences} transitions of {title(method)} diverged: it may miss parts of the posterior.",
            )


def _held_out(one: Comparison) -> Iterator[Finding]:
    scored = {m: score.held_out for m, score in one.scores.items() if score.held_out is not None}
    if len(scored) < 2 or one.split is None:
        return
    best, worst = max(scored, key=lambda m: scored[m]), min(scored, key=lambda m: scored[m])
    gap = scored[best] - scored[worst]
    text = f"On {one.split.held_out} members of {one.split.plate} left out, {title(best)} predicts best"
    yield Finding("plain", f"{text}, by {_amount(gap)} nats a member over {title(worst)}.")


def _certificates(one: Comparison) -> Iterator[Finding]:
    if not one.certificates:
        return
    broken = [each for each in one.certificates if not each.passed]
    if broken:
        claims = "; ".join(f"{each.claim} ({each.difference:.1e})" for each in broken)
        yield Finding(
            "watch", f"{len(broken)} of {len(one.certificates)} certificates do not hold: {claims}."
        )
    else:
        worst = max(each.difference for each in one.certificates)
        text = (
            f"All {len(one.certificates)} certificates hold; the largest relative difference is {worst:.0e}."
        )
        yield Finding("good", text)


def _amount(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
