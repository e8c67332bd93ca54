"""How families of distributions are written in TeX: what is drawn from them, and their log densities."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from string import Template

from bnlab.domains import Values
from bnlab.errors import InternalError
from bnlab.families.base import registry
from bnlab.network.ir import Parameter
from bnlab.printers.latex_names import Names
from bnlab.printers.latex_network import Mode, Use
from bnlab.printers.latex_posteriors import entry_letter
from bnlab.printers.latex_text import array, number, power


@dataclass(frozen=True, slots=True)
class Family:
    """`distribution` is what follows the tilde; `log` the log density by name, `spelled` its terms (or nothing more)."""

    distribution: Callable[[Use], str]
    log: Callable[[Use], str]
    spelled: Callable[[Use], tuple[str, ...]]


def family(name: str) -> Family:
    """The family's row of the table, else its own spelling. Raises InternalError, naming both places, without either."""
    if name in FAMILIES:
        return FAMILIES[name]
    if registry()[name].tex is None:
        raise InternalError(
            f"{name} is not spelled in TeX: add tex = Tex(...) to the file of the family, "
            "or a row to FAMILIES of printers/latex_families.py."
        )
    return Family(_by_name, _log_by_name, _log_density)


# -- families that bring their own spelling ---------------------------------------------------------------------------


def _by_name(use: Use) -> str:
    arguments = [use.argument(slot, "story") for slot, _ in use.cpd.arguments]
    return rf"\operatorname{{{use.cpd.family}}}{_listed(arguments)}"


def _log_by_name(use: Use) -> str:
    arguments = ", ".join(use.argument(slot) for slot, _ in use.cpd.arguments)
    return rf"\ln \operatorname{{{use.cpd.family}}}({use.value()}; {arguments})"


def _log_density(use: Use) -> tuple[str, ...]:
    tex, entry = registry()[use.cpd.family].tex, entry_letter(use)
    assert tex is not None
    arguments = {
        slot: use.argument(slot, "state", entry if has_entries(use, slot) else "")
        for slot, _ in use.cpd.arguments
    }
    text = Template(tex.log).substitute(arguments, x=use.value("state", entry))
    if entry:
        return (rf"\sum_{{{entry}}} \left({text}\right)",)
    first, *rest = re.split(
        r" (?=[+-] (?![^()]*\)))", text
    )  # a line may end before a term, but not within parentheses
    return (first, *(term[0] + term[2:] for term in rest))


# -- Categorical ------------------------------------------------------------------------------------------------------


def _entry(use: Use) -> str:
    """The entry of the table, at the letters of latent states and the values of data."""
    return rf"\ln {use.argument('probs', 'state', use.value('state'))}"


def _nothing_more(use: Use) -> tuple[str, ...]:
    return ()


# -- Multinomial ------------------------------------------------------------------------------------------------------


def _ways_and_powers(use: Use) -> tuple[str, ...]:
    entry = entry_letter(use)
    value, probs = use.value("state", entry), use.argument("probs", "state", entry)
    ways = rf"\ln \frac{{\left(\sum_{{{entry}}} {value}\right)!}}{{\prod_{{{entry}}} {value}!}}"
    return (ways, rf"+\sum_{{{entry}}} {value} \ln {probs}")


# -- Normal -----------------------------------------------------------------------------------------------------------


def spread_slot(use: Use) -> str:
    """Which of cov, var and std was declared."""
    return next(slot for slot in ("cov", "var", "std") if use.cpd.argument(slot) is not None)


def is_matrix(use: Use) -> bool:
    return spread_slot(use) == "cov" and bool(entry_letter(use))


def has_entries(use: Use, slot: str = "") -> bool:
    """Whether an argument, else the spread, has a number for each entry of a vector."""
    ref = use.reference(slot or spread_slot(use))
    if ref is None:
        return False
    shape = ref.target.shape[len(ref.subscripts) :] if isinstance(ref.target, Values) else None
    if shape is None:
        assert isinstance(ref.target, str)
        shape = use.names.graph.parameter(ref.target).domain.event_shape
    return bool(shape)


def variance(use: Use, mode: str = "state") -> str:
    """The variance: of each entry, if every entry has its own."""
    entry = entry_letter(use) if has_entries(use) and not is_matrix(use) else ""
    text = use.argument(spread_slot(use), "own" if mode == "own" else "state", entry)
    return power(text, 2) if spread_slot(use) == "std" else text


def _normal(use: Use) -> str:
    return rf"\mathcal{{N}}({use.argument('mean', 'story')}, {covariance(use, 'story')})"


def covariance(use: Use, mode: Mode = "state") -> str:
    """The covariance of a vector, or the variance of a scalar."""
    text = use.argument(spread_slot(use), mode)
    squared = power(text, 2) if spread_slot(use) == "std" else text
    if not entry_letter(use) or is_matrix(use):
        return squared
    return rf"\operatorname{{diag}}({squared})" if has_entries(use) else f"{squared} I"


def _log_normal(use: Use) -> str:
    return rf"\ln \mathcal{{N}}({use.value()}; {use.argument('mean')}, {covariance(use)})"


def _spelled_normal(use: Use) -> tuple[str, ...]:
    letter = entry_letter(use)
    half = r"-\tfrac{1}{2}"
    if is_matrix(use):
        residual = difference(use.value(), use.argument("mean"))
        cov = use.argument("cov")
        constant = f"{half} \\ln \\left|2 \\pi {cov}\\right|"
        return (constant, rf"{half} {residual}^{{\top}} {inverse(cov)} {residual}")
    square = power(difference(use.value("state", letter), use.argument("mean", "state", letter)), 2)
    sign = rf"\sum_{{{letter}}} " if letter else ""
    times = r"\cdot " if variance(use)[0].isdigit() else ""
    logarithm = rf"\ln \left(2 \pi {times}{variance(use)}\right)"
    inside = rf"\left({logarithm} + \frac{{{square}}}{{{variance(use)}}}\right)"
    return (f"{half} {sign}{inside}",)


def difference(value: str, mean: str) -> str:
    """What is left of a value, in parentheses if it is a difference."""
    if mean == "0":
        return value
    if len(terms := summands(mean)) > 1:
        flipped = (f"+ {term[1:].strip()}" if term.startswith("-") else f"- {term}" for term in terms)
        return rf"\left({value} {' '.join(flipped)}\right)"
    return (
        rf"\left({value} + {mean[1:]}\right)" if mean.startswith("-") else rf"\left({value} - {mean}\right)"
    )


def summands(text: str) -> list[str]:
    """The terms of a sum, outside of all brackets; those after a minus with their sign."""
    found, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "({[") - (character in ")}]")
        if depth == 0 and text[place : place + 3] in (" + ", " - "):
            found.append(text[start:place].strip())
            start = place + 3 if text[place + 1] == "+" else place + 1
    return [*found, text[start:].strip()]


def inverse(matrix: str) -> str:
    """The inverse of what may have a superscript already."""
    simple = "^" not in matrix and not matrix.endswith(" I")
    return f"{matrix}^{{-1}}" if simple else rf"\left({matrix}\right)^{{-1}}"


# -- Student's t ------------------------------------------------------------------------------------------------------


def _student(use: Use) -> str:
    return rf"\operatorname{{StudentT}}({', '.join(_student_arguments(use, 'story'))})"


def _log_student(use: Use) -> str:
    return rf"\ln \operatorname{{StudentT}}({use.value()}; {', '.join(_student_arguments(use, 'state'))})"


def _student_arguments(use: Use, mode: Mode) -> tuple[str, str, str]:
    return use.argument("df", mode), use.argument("mean", mode), scale_matrix(use, mode)


def scale_matrix(use: Use, mode: Mode = "state") -> str:
    """The scale matrix of a vector, or the squared scale of a scalar."""
    if use.cpd.argument("scale_matrix") is not None:
        return use.argument("scale_matrix", mode)
    squared = power(use.argument("scale", mode), 2)
    if not entry_letter(use):
        return squared
    return rf"\operatorname{{diag}}({squared})" if has_entries(use, "scale") else f"{squared} I"


def _spelled_student(use: Use) -> tuple[str, ...]:
    df, mean, scale = _student_arguments(use, "state")
    size = use.variable.domain.event_shape[0] if entry_letter(use) else 1
    residual = difference(use.value(), mean)
    if size > 1:
        apart, volume = (
            rf"{residual}^{{\top}} {inverse(scale)} {residual}",
            rf"\left|\pi {df} \, {scale}\right|",
        )
        apart = rf"\tfrac{{1}}{{{df}}} {apart}"
    else:
        apart, volume = (
            rf"\frac{{{power(residual, 2)}}}{{{df} \, {scale}}}",
            rf"\left(\pi {df} \, {scale}\right)",
        )
    half, above = halved(df), halved(df, size)
    return (
        rf"\ln \Gamma\left({above}\right)",
        rf"-\ln \Gamma\left({half}\right)",
        rf"-\tfrac{{1}}{{2}} \ln {volume}",
        rf"-{above} \ln \left(1 + {apart}\right)",
    )


def halved(df: str, more: int = 0) -> str:
    """(df + more) / 2; worked out for a number."""
    try:
        return f"{(float(df) + more) / 2:g}"
    except ValueError:
        return rf"\tfrac{{{df} + {more}}}{{2}}" if more else rf"\tfrac{{{df}}}{{2}}"


FAMILIES = {
    "Categorical": Family(_by_name, _entry, _nothing_more),
    "Multinomial": Family(_by_name, _log_by_name, _ways_and_powers),
    "StudentT": Family(_student, _log_student, _spelled_student),
    "Normal": Family(_normal, _log_normal, _spelled_normal),
}

# -- priors -----------------------------------------------------------------------------------------------------------


def prior_tex(names: Names, parameter: Parameter) -> str:
    """The prior of a parameter as a distribution, with its numbers."""
    prior = parameter.prior
    assert prior is not None
    letters = tuple(names.members(parameter.plates))
    rank = len(parameter.domain.event_shape)
    spelled = []
    for name, value in prior.arguments:
        text = hyper(names, value, rank + (name == "cov"), letters)
        text = power(text, 2) if name == "std" else text
        spelled.append(rf"\operatorname{{diag}}{text}" if name in ("var", "std") and value.shape else text)
    if prior.family == "Normal":
        return rf"\mathcal{{N}}({', '.join(spelled)})"
    return rf"\operatorname{{{prior.family}}}{_listed(spelled)}"


def _listed(arguments: list[str]) -> str:
    """The arguments in parentheses; a lone vector has them already."""
    alone = len(arguments) == 1 and arguments[0].startswith("(") and arguments[0].endswith(")")
    return arguments[0] if alone else f"({', '.join(arguments)})"


def hyper(names: Names, values: Values, rank: int, letters: tuple[str, ...], entry: str = "") -> str:
    """A hyper-parameter whose own draw has `rank` axes: with the letters of the plates that it varies with, and an entry."""
    extra = max(0, len(values.shape) - rank)
    index = [*letters[len(letters) - extra :], *([entry] if entry and values.shape else [])]
    text = constant(names, values)
    return f"{text}_{{{','.join(index)}}}" if index else text


def constant(names: Names, values: Values) -> str:
    """The numbers of a prior, or the name of a larger array of them."""
    if (values.shape, values.flat) in names.constants:
        return names.constants[values.shape, values.flat]
    if not values.shape:
        return number(values.flat[0])
    return array(values.flat, values.shape)
