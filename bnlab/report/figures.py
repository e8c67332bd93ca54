"""The figures of a report, each with a title, what to see in it, and words for those who cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from bnlab import plots
from bnlab.comparison.naming import named_alike
from bnlab.comparison.records import Comparison
from bnlab.errors import FitError
from bnlab.plots.model import Frames, frames
from bnlab.plots.style import svg
from bnlab.plots.terms import steepest
from bnlab.plots.view import Labels, view
from bnlab.runtime.replay import again, bound_of, canonical
from bnlab.runtime.result import Fit

STARTS = 6
"""Random starts that are tried for one from which EM takes its time."""
LONG = 40
"""More iterations than that are too many to step through."""


CAPTIONS = {
    "iterations": (
        "The model, iteration by iteration",
        "The number is that of iterations. {drawn} {begun}",
    ),
    "terms": (
        "ln p(X | η) = Q + H + KL",
        "An E-step sets q to the posterior: KL becomes 0, and Q + H reaches ln p. An M-step raises Q, leaves H as it is, and "
        "opens a new KL: ln p rises by at least as much as Q. With priors, ln p(η) is added on both sides.",
    ),
    "bound": (
        "The lower bound over one parameter",
        "Q + H lies below ln p everywhere and touches it at the old value. The M-step goes to the maximum of the bound; ln p "
        "there is at least as high.",
    ),
    "restarts": (
        "All starts",
        "Each line is one start; on the right, how far it still is from the best end.",
    ),
    "responsibilities": (
        "Whose is each observation?",
        "{drawn}",
    ),
    "fit": (
        "The fitted model",
        "The model with the parameters that EM found, over the data. {drawn}",
    ),
    "states": (
        "The chain over time",
        "Below the observations is what they all tell of the latents. Of categories, the smoothed probabilities fill the "
        "height, and the line is the decoded path. Of numbers, the band is two posterior standard deviations to each side.",
    ),
    "estimates": (
        "Every number, by every method",
        "Zero is the reference method's value, and the unit its deviation: methods that agree lie on one vertical line.",
    ),
    "posteriors": ("Posteriors", "Outlines are histograms of draws, dashed lines point estimates."),
}
"""Title and caption of each figure."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure as it stands in the page: an <svg>, its caption, and where its iterations began, if it shows any."""

    name: str
    title: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class Slider:
    """The figure with a slider: a frame an iteration."""

    svg: str
    iterations: tuple[int, ...]
    log_likelihood: tuple[float, ...]
    colours: tuple[tuple[str, ...], ...]
    caption: str


def slow(fit: Fit) -> Fit:
    """The same EM from a random start: of a few, that which reaches the best optimum in the most iterations, but not too
    many. From a good start there is little to see.
    """
    found = [again(fit, "random", seed) for seed in range(STARTS)]
    best = max(float(one.objective[-1]) for one in (fit, *found))
    reach = [one for one in found if best - one.objective[-1] <= 1e-4 * (1 + abs(best)) and one.converged]
    quick = [one for one in reach if one.n_iter <= LONG]
    chosen = max(
        quick, key=lambda one: one.n_iter, default=min(reach, key=lambda one: one.n_iter, default=fit)
    )
    return named_alike(chosen, fit, canonical(bound_of(fit)))[0]


def slider(run: Fit, labels: Labels | None) -> Slider | None:
    """The slider through a run; None for a network without a variable that can be shown."""
    try:
        found: Frames = frames(run, labels)
    except FitError:
        return None
    text = svg(found.figure, "The data and the model after the chosen iteration of EM", "slider")
    caption = f"{_began(run)} {_drawn_words(run)}"
    return Slider(text, found.iterations, found.log_likelihood, found.colours, caption)


def _drawn_words(fit: Fit) -> str:
    """What the model and the data look like in pictures of the observed variable."""
    one = view(fit)
    states, each = one.states > 1, "each component" if one.states > 1 else "the model"
    colours = (
        "Points have the colours of the states, mixed as their posterior probabilities are. "
        if states
        else ""
    )
    match one.kind:
        case "plane":
            return f"{colours}Rings are one and two standard deviations of {each}."
        case "line":
            lines = (
                "Lines are the states, each times its share, and their sum"
                if states
                else "The line is the model"
            )
            return f"Grey is how often values are in the data. {lines}."
        case "bars":
            return f"Grey is how often categories are in the data, coloured how probable they are in {each}."


def _begun_words(fit: Fit) -> str:
    if not any(latent.discrete for latent in fit.network.graph.in_role("latent")):
        return ""
    return "Both methods begin at the same parameters; Viterbi training gives every observation to one state outright."


def _began(run: Fit) -> str:
    how, seed = run.settings["init"], run.settings["seed"]
    return {
        "random": f"It begins at the random start of seed {seed}, on purpose a slow one.",
        "data": f"It begins where the fit did, at clusters of the data (seed {seed}).",
    }.get(how, "It begins at the parameters that were given.")


def of_runs(run: Fit, fit: Fit, labels: Labels | None) -> Iterator[Shown]:
    """Pictures of EM at work: `run` is the one to watch, `fit` that of the comparison."""
    step = cache(lambda: steepest(run))
    pictures: dict[str, Callable[[], Any]] = {
        "iterations": lambda: plots.plot_iterations(run, labels=labels),
        "terms": lambda: plots.plot_terms(run, first=max(0, step() - 1)),
        "bound": lambda: plots.plot_bound(run, iteration=step()),
        "restarts": lambda: plots.plot_restarts(fit),
        "responsibilities" if _has_colours(fit) else "fit": lambda: plots.plot_responsibilities(
            fit, labels=labels
        ),
        "states": lambda: plots.plot_states(fit, labels=labels),
    }
    for name, draw in pictures.items():
        title, caption = CAPTIONS[name]
        if "{" in caption and _has_view(fit):
            caption = caption.format(drawn=_drawn_words(fit), begun=_begun_words(fit)).strip()
        yield from _drawn(name, title, caption, draw)


def _has_view(fit: Fit) -> bool:
    """Whether an observed variable can be drawn at all."""
    try:
        view(fit)
    except FitError:
        return False
    return True


def _has_colours(fit: Fit) -> bool:
    """Whether observations have places that states can colour: categories have none."""
    return _has_view(fit) and view(fit).kind != "bars" and view(fit).states > 1


def of_comparison(one: Comparison) -> Iterator[Shown]:
    """Estimates and posteriors of all methods."""
    pictures: dict[str, Callable[[], Any]] = {
        "estimates": lambda: plots.plot_estimates(one),
        "posteriors": lambda: plots.plot_posteriors(one),
    }
    for name, draw in pictures.items():
        yield from _drawn(name, *CAPTIONS[name], draw)


def _drawn(name: str, title: str, caption: str, draw: Callable[[], Any]) -> Iterator[Shown]:
    """The figure, or nothing where it says nothing about this network."""
    try:
        found = draw()
    except FitError:
        return
    yield Shown(name, title, caption, svg(found, f"{title}. {caption}", name))
