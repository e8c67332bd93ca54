"""The M-step in TeX: for every parameter the derivative that is set to zero, its solution, and the emitted statements.

What is differentiated is a family's log density, so each family has its own rows, by the argument that the parameter is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from bnlab.network.ir import Parameter
from bnlab.printers.latex_derivatives import concentration, stationary
from bnlab.printers.latex_expression import Writer
from bnlab.printers.latex_means import mean
from bnlab.printers.latex_names import Names
from bnlab.printers.latex_network import Use
from bnlab.printers.latex_posteriors import Posteriors, alike
from bnlab.printers.latex_regressions import regression
from bnlab.printers.latex_spreads import covariance_update, variance_update
from bnlab.printers.latex_student import degrees_of_freedom, weighted_mean, weighted_scale
from bnlab.printers.latex_tables import table
from bnlab.printers.latex_update import Update
from bnlab.program.ir import Statement
from bnlab.program.ops import Constant, Expr
from bnlab.program.walk import symbols

UPDATES: dict[tuple[str, str], Callable[[Update], Iterator[str]]] = {
    ("Categorical", "probs"): table,
    ("Gamma", "concentration"): concentration,
    ("Multinomial", "probs"): table,
    ("StudentT", "df"): degrees_of_freedom,
    ("StudentT", "mean"): weighted_mean,
    ("StudentT", "scale"): weighted_scale,
    ("StudentT", "scale_matrix"): weighted_scale,
    ("Normal", "mean"): mean,
    ("Normal", "mean of a sum"): regression,
    ("Normal", "cov"): covariance_update,
    ("Normal", "var"): variance_update,
    ("Normal", "std"): variance_update,
}
"""What is told otherwise than by the derivative that the family's file brings."""


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
        places = [(use, name) for use in uses for name in use.slots if use.parameter(name) == parameter.name]
        if parameter.value is not None or not places:
            continue
        needed = _needed(values[parameter.name], body) - {
            s.target.name for s in body if s.because == "numerics"
        }
        places = _sums_first(places)
        statements = tuple(s for s in body if s.target.name in needed - shown and s.target.name not in hidden)
        shown |= {s.target.name for s in statements}
        slot = places[0][1]
        key = (places[0][0].cpd.family, slot.partition(" ")[0] + (" of a sum" if " " in slot else ""))
        found = tuple(alike(places[0][0], use, slot) for use, _ in places)
        update = Update(names, parameter, slot, found, posteriors, values[parameter.name], writer, statements)
        yield update.own(), "\n".join(UPDATES.get(key, stationary)(update))


def _sums_first(places: list[tuple[Use, str]]) -> list[tuple[Use, str]]:
    """The uses of a parameter; those in sums, which are told by regression, before those as a mean alone."""
    return sorted(places, key=lambda place: " " not in place[1])


def _is_spread(parameter: Parameter, uses: tuple[Use, ...]) -> bool:
    """Whether a parameter is a covariance or the like, which is maximised after the means."""
    slots = {name for use in uses for name in use.slots if use.parameter(name) == parameter.name}
    return bool(slots & {"cov", "var", "std", "scale", "scale_matrix"})


def _fixed(statement: Statement) -> bool:
    return isinstance(statement.expression, Constant) and not any(statement.expression.flat)


def _needed(value: Expr, body: list[Statement]) -> set[str]:
    """The locals that a value is made of, and what these are made of."""
    names = {symbol.name for symbol in symbols(value) if symbol.space == "local"}
    for statement in reversed(body):
        if statement.target.name in names:
            names |= {symbol.name for symbol in symbols(statement.expression) if symbol.space == "local"}
    return names
