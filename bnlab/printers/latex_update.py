"""The M-step in TeX: for every parameter the derivative that is set to zero, its solution, and the statements of the emitted file.

What is differentiated is a family's log density, so each family has its own rows here, by the argument that the parameter is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bnlab.errors import InternalError
from bnlab.network.ir import Parameter, Prior
from bnlab.printers.latex_expression import Writer, power, transposed
from bnlab.printers.latex_families import (
    covariance,
    difference,
    has_entries,
    hyper,
    inverse,
    is_matrix,
    spread_slot,
    variance,
)
from bnlab.printers.latex_layout import Line, display, line
from bnlab.printers.latex_names import Names, symbols_in
from bnlab.printers.latex_network import Use
from bnlab.printers.latex_posteriors import Posteriors, entry_letter, own_letters
from bnlab.program.ir import Statement
from bnlab.program.ops import Constant, Einsum, Expr, Keep, Symbol


@dataclass(frozen=True, slots=True)
class Update:
    """One parameter: where it is used, as which argument, what Q is an expectation under, and its new value in the Program."""

    names: Names
    parameter: Parameter
    slot: str
    uses: tuple[Use, ...]
    posteriors: Posteriors
    value: Expr
    writer: Writer
    statements: tuple[Statement, ...]

    @property
    def free(self) -> frozenset[str]:
        return frozenset(p.name for p in self.names.graph.parameters if p.value is None)

    @property
    def prior(self) -> Prior | None:
        return self.parameter.prior

    def own(self, entry: str = "") -> str:
        """The parameter with its own letters."""
        use = self.uses[0]
        return use.argument(self.slot, "own", entry)

    def sum(self, terms: Callable[[Use], str]) -> tuple[str, ...]:
        """The expectation of a term, over every use."""
        found = [self.posteriors.of(use, self.slot).of(terms(use)) for use in self.uses]
        return (found[0], *(f"+{term}" for term in found[1:]))

    @property
    def count(self) -> tuple[str, ...]:
        found = [self.posteriors.of(use, self.slot).total for use in self.uses]
        return (found[0], *(f"+{term}" for term in found[1:]))

    def emitted(self) -> Iterator[Line]:
        """The statements of the emitted M-step that make the new value."""
        for statement in self.statements:
            left, terms = replace(self.writer, free=statement.target.axes).equation(
                statement.target, statement.expression
            )
            yield line(left, terms)
        axes = self.value.axes
        symbol = Symbol(self.parameter.name, axes, "theta")
        left, terms = replace(self.writer, free=axes).equation(symbol, self.value)
        yield line(left, terms, relation=r"\leftarrow")


def paragraphs(
    names: Names, posteriors: Posteriors, uses: tuple[Use, ...], writer: Writer
) -> Iterator[tuple[str, str]]:
    """For every free parameter its text."""
    program = names.program
    values = {f.name: v for f, v in zip(program.parameters, program.m_step.results, strict=True)}
    body = [item for item in program.m_step.body if isinstance(item, Statement)]
    hidden = {s.target.name: s.expression for s in body if s.target.name not in names.bases or _fixed(s)}
    writer = replace(writer, inline={**writer.inline, **hidden})
    shown: set[str] = set()
    for parameter in sorted(names.graph.parameters, key=lambda parameter: _is_spread(parameter, uses)):
        places = [
            (use, name)
            for use in uses
            for name, _ in use.cpd.arguments
            if use.parameter(name) == parameter.name
        ]
        if parameter.value is not None or not places:
            continue
        needed = _needed(values[parameter.name], body) - {
            s.target.name for s in body if s.because == "numerics"
        }
        statements = tuple(s for s in body if s.target.name in needed - shown and s.target.name not in hidden)
        shown |= {s.target.name for s in statements}
        slot = places[0][1]
        key = (places[0][0].cpd.family, slot)
        if key not in UPDATES:
            raise InternalError(f"{key} has no row in UPDATES of printers/latex_update.py.")
        found = tuple(use for use, _ in places)
        update = Update(names, parameter, slot, found, posteriors, values[parameter.name], writer, statements)
        yield update.own(), "\n".join(UPDATES[key](update))


def _is_spread(parameter: Parameter, uses: tuple[Use, ...]) -> bool:
    """Whether a parameter is a covariance or the like, which is maximised after the means."""
    slots = {name for use in uses for name, _ in use.cpd.arguments if use.parameter(name) == parameter.name}
    return bool(slots & {"cov", "var", "std"})


def _fixed(statement: Statement) -> bool:
    return isinstance(statement.expression, Constant) and not any(statement.expression.flat)


def _needed(value: Expr, body: list[Statement]) -> set[str]:
    """The locals that a value is made of, and what these are made of."""
    names = {symbol.name for symbol in symbols_in(value) if symbol.space == "local"}
    for statement in reversed(body):
        if statement.target.name in names:
            names |= {symbol.name for symbol in symbols_in(statement.expression) if symbol.space == "local"}
    return names


# -- tables -----------------------------------------------------------------------------------------------------------


def _table(update: Update) -> Iterator[str]:
    """Counts, normalised by a Lagrange multiplier."""
    names, ratio = update.names, _keep(update.value)
    use = update.uses[0]
    letter = use.value("own")
    entry = update.own(letter)
    rows = [each for each in own_letters(use, update.slot) if each != letter]
    multiplier = r"\lambda" + (f"_{{{','.join(rows)}}}" if rows else "")
    counts, terms = update.writer.terms(ratio.total)
    held = counts if len(terms) == 1 else rf"\left({counts}\right)"
    over = ",".join([*rows, letter])
    every = f", for every ${','.join(rows)}$" if rows else ""
    yield f"The entries of ${update.own()}$ sum to 1{every}, which a Lagrange multiplier ${multiplier}$ sees to."
    prior = rf"Q + \ln p({names.eta})" if update.prior is not None else "Q"
    if update.prior is not None:
        yield "The Dirichlet prior adds its concentrations less 1 to the counts."
    yield "As a function of these"
    rest = rf"+\text{{terms without ${update.own()}$}}"
    part = line(prior, (rf"\sum_{{{over}}} {held} \ln {entry}", rest))
    constraint = rf"{multiplier} \Bigl(\sum_{{{letter}}} {entry} - 1\Bigr)"
    yield display(part)
    yield "and the derivative is 0 where"
    yield display(
        line(
            rf"\frac{{\partial}}{{\partial {entry}}} \Bigl[ \sum_{{{letter}}} {held} \ln {entry} - {constraint} \Bigr]",
            (rf"\frac{{{counts}}}{{{entry}}}", f"-{multiplier}"),
            "0",
        ),
    )
    yield f"Hence ${entry}$ is proportional to ${counts}$, and ${multiplier}$ is the sum of these:"
    yield display(*update.emitted())


def _keep(value: Expr) -> Keep:
    """The ratio that a new table is."""
    match value:
        case Keep():
            return value
        case Einsum((operand,)):
            return _keep(operand)
        case _:
            raise InternalError("A new table is a ratio of counts.")


# -- means ------------------------------------------------------------------------------------------------------------


def _mean(update: Update) -> Iterator[str]:
    """Weighted means; with a prior, or under unequal variances, weighted by precisions, given the old variances."""
    matrix = is_matrix(update.uses[0]) or _full_prior(update)
    entry = "" if matrix else entry_letter(update.uses[0])
    own = update.own(entry)
    zero = [*update.sum(lambda use: _pull(use, own, matrix)), *_pull_of_prior(update, own, entry)]
    yield f"The derivative of {_objective(update)} by ${own}$, set to 0:"
    yield display(line(rf"\frac{{\partial}}{{\partial {own}}} {_bracket(update)}", tuple(zero), "0"))
    if _common(update):
        yield f"The {'covariance' if matrix else 'variance'} is a common factor, so it cancels:"
        data = update.sum(lambda use: use.value("story", entry))
        yield display(line(own, rf"\frac{{{' '.join(data)}}}{{{' '.join(update.count)}}}"))
    else:
        yield f"Solved for ${own}$, where the {'covariances' if matrix else 'variances'} are " + _which(
            update
        )
        yield display(line(own, _weighted(update, matrix, entry)))
    yield "In terms of the statistics:"
    yield display(*update.emitted())


def _which(update: Update) -> str:
    if any(use.parameter(spread_slot(use)) in update.free for use in update.uses):
        return (
            "the old ones: the mean is maximised given these, and these are then maximised given the new mean "
            f"(expectation conditional maximisation, ECM), so {_objective(update)} still rises:"
        )
    return "fixed:"


def _full_prior(update: Update) -> bool:
    """Whether the prior of a mean couples its entries."""
    found = update.prior.argument("cov") if update.prior is not None else None
    return found is not None and bool(entry_letter(update.uses[0]))


def _pull(use: Use, own: str, matrix: bool) -> str:
    entry = "" if matrix else entry_letter(use)
    residual = f"{use.value('story', entry)} - {own}"
    if matrix:
        return rf"{inverse(covariance(use, 'own'))} \left({residual}\right)"
    return rf"\frac{{{residual}}}{{{variance(use, 'own')}}}"


def _pull_of_prior(update: Update, own: str, entry: str) -> tuple[str, ...]:
    if update.prior is None:
        return ()
    location, spread, full = _prior_moments(update, entry)
    residual = difference(own, location)
    if full:
        return (f"-{inverse(spread)} {residual}",)
    return (rf"-\frac{{{residual.removeprefix(PARENTHESES[0]).removesuffix(PARENTHESES[1])}}}{{{spread}}}",)


def _prior_moments(update: Update, entry: str) -> tuple[str, str, bool]:
    """The prior's mean and variance, and whether that is a matrix."""
    names, prior, letters = update.names, update.prior, own_letters(update.uses[0], update.slot)
    assert prior is not None
    rank = len(update.parameter.domain.event_shape)
    mean = prior.argument("mean")
    slot = next(name for name in ("cov", "var", "std") if prior.argument(name) is not None)
    spread = prior.argument(slot)
    assert mean is not None and spread is not None
    full = slot == "cov" and rank == 1
    location = hyper(names, mean, rank, letters, entry)
    location = transposed(location) if full and location.startswith("(") else location
    text = hyper(names, spread, rank + (slot == "cov"), letters, entry)
    if mean.shape and not any(mean.flat):
        location = "0"
    return location, power(text, 2) if slot == "std" else text, full


def _common(update: Update) -> bool:
    """Whether one variance is a factor of all terms of a mean's equation, so that the equation does not depend on it."""
    first = update.uses[0]
    own = set(own_letters(first, update.slot))
    refs = {(spread_slot(use), use.cpd.argument(spread_slot(use))) for use in update.uses}
    return update.prior is None and len(refs) == 1 and set(own_letters(first, spread_slot(first))) <= own


def _weighted(update: Update, matrix: bool, entry: str) -> tuple[str, ...]:
    if matrix:
        weights = [*update.sum(lambda use: inverse(covariance(use, "own")))]
        moments = [*update.sum(lambda use: f"{inverse(covariance(use, 'own'))} {use.value('story')}")]
    else:
        weights = [*update.sum(lambda use: rf"\frac{{1}}{{{variance(use, 'own')}}}")]
        moments = [
            *update.sum(lambda use: rf"\frac{{{use.value('story', entry)}}}{{{variance(use, 'own')}}}")
        ]
    if update.prior is not None:
        location, spread, full = _prior_moments(update, entry)
        weights.append(f"+{inverse(spread)}" if full else rf"+\frac{{1}}{{{spread}}}")
        if location != "0":
            moments.append(f"+{inverse(spread)} {location}" if full else rf"+\frac{{{location}}}{{{spread}}}")
    if matrix:
        return (rf"\Bigl({_joined(weights)}\Bigr)^{{-1}}", rf"\Bigl({_joined(moments)}\Bigr)")
    return (rf"\Bigl({_joined(moments)}\Bigr)", rf"\Big/ \Bigl({_joined(weights)}\Bigr)")


def _joined(terms: list[str]) -> str:
    return " ".join(terms)


# -- spreads ----------------------------------------------------------------------------------------------------------


def _covariance(update: Update) -> Iterator[str]:
    """The scatter about the new mean, over the count."""
    if not is_matrix(update.uses[0]):
        yield from _variance(update)
        return
    own = update.own()
    terms = [*update.sum(lambda use: rf"\left({own} - {_outer(use)}\right)")]
    scatter, count = [*update.sum(_outer)], [*update.count]
    if update.prior is not None:
        df, scale = (_number(update, name, 2 * (name == "scale"), "") for name in ("df", "scale"))
        pseudo = _scaled(df, 1, update.parameter.domain.event_shape[0] + 1)
        held = rf"\left({pseudo}\right)" if "+" in pseudo else pseudo
        terms += [rf"+{held} \, {own}", f"-{scale}"]
        scatter.append(f"+{scale}")
        count.append(f"+{pseudo}")
    yield f"The derivative of {_objective(update)} by ${inverse(own)}${_new_mean(update)}, set to 0:"
    first, *rest = [term for term in terms]
    terms = [rf"\tfrac{{1}}{{2}} \Bigl[ {first}", *rest]
    terms[-1] += r" \Bigr]"
    left = rf"\frac{{\partial}}{{\partial {inverse(own)}}} {_bracket(update)}"
    yield display(line(left, tuple(terms), "0"))
    yield "and so"
    yield display(line(own, rf"\frac{{{' '.join(scatter)}}}{{{' '.join(count)}}}"))
    yield "In terms of the statistics:"
    yield display(*update.emitted())


def _outer(use: Use) -> str:
    residual = difference(use.value("story"), use.argument("mean", "own"))
    return f"{residual} {transposed(residual)}"


def _variance(update: Update) -> Iterator[str]:
    use = update.uses[0]
    entries, letter = has_entries(use), entry_letter(use)
    own = update.own(letter if entries else "")
    std = update.slot == "std"
    variance_ = power(own, 2) if std else own
    over = rf"\sum_{{{letter}}} " if letter and not entries else ""
    size = use.variable.domain.event_shape[0] if over else 1
    numerator, own_half = (size // 2, "") if not std and size % 2 == 0 else (size, "" if std else "2 ")
    half = "" if std else "2 "
    cube = power(own, 3 if std else 2)

    def term(each: Use) -> str:
        squares = f"{over}{_square(each)}"
        return rf"\left(-\frac{{{numerator}}}{{{own_half}{own}}} + \frac{{{squares}}}{{{half}{cube}}}\right)"

    zero, scatter, count = (
        [*update.sum(term)],
        [*update.sum(lambda each: over + _square(each))],
        [*update.count],
    )
    if update.prior is not None:
        shape, scale = (
            _number(update, name, int(entries), letter if entries else "")
            for name in ("concentration", "scale")
        )
        zero += [rf"-\frac{{{_scaled(shape, 1, 1)}}}{{{own}}}", rf"+\frac{{{scale}}}{{{power(own, 2)}}}"]
        scatter.append(f"+{_scaled(scale, 2, 0)}")
        count.append(f"+{_scaled(shape, 2, 2)}")
    yield f"The derivative of {_objective(update)} by ${own}${_new_mean(update)}, set to 0:"
    yield display(line(rf"\frac{{\partial}}{{\partial {own}}} {_bracket(update)}", tuple(zero), "0"))
    yield "and so"
    bottom = " ".join(count)
    if size > 1:
        bottom = rf"{size} {bottom}" if len(count) == 1 else rf"{size} {count[0]} {' '.join(count[1:])}"
    yield display(line(variance_, rf"\frac{{{' '.join(scatter)}}}{{{bottom}}}"))
    yield "In terms of the statistics:"
    yield display(*update.emitted())


def _square(use: Use) -> str:
    letter = entry_letter(use)
    return power(difference(use.value("story", letter), use.argument("mean", "own", letter)), 2)


def _number(update: Update, name: str, rank: int, letter: str) -> str:
    """A hyper-parameter of a spread."""
    assert update.prior is not None
    values = update.prior.argument(name)
    assert values is not None
    return hyper(update.names, values, rank, own_letters(update.uses[0], update.slot), letter)


def _scaled(text: str, factor: int, added: int) -> str:
    """factor * number + added: worked out for one number, written for an array of them."""
    try:
        return f"{factor * float(text) + added:g}"
    except ValueError:
        product = text if factor == 1 else f"{factor} {text}"
        return f"{product} + {added}" if added else product


def _new_mean(update: Update) -> str:
    found = [use.argument("mean", "own") for use in update.uses if use.parameter("mean") in update.free]
    names = list(dict.fromkeys(found))
    return f", with the new ${'$ and $'.join(names)}$" if names else ""


def _objective(update: Update) -> str:
    return f"$Q + \\ln p({update.names.eta})$" if update.prior is not None else "$Q$"


def _bracket(update: Update) -> str:
    return rf"\bigl[ Q + \ln p({update.names.eta}) \bigr]" if update.prior is not None else "Q"


PARENTHESES = (r"\left(", r"\right)")

UPDATES: dict[tuple[str, str], Callable[[Update], Iterator[str]]] = {
    ("Categorical", "probs"): _table,
    ("Normal", "mean"): _mean,
    ("Normal", "cov"): _covariance,
    ("Normal", "var"): _variance,
    ("Normal", "std"): _variance,
}
