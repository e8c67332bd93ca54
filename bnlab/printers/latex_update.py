"""One parameter on its way to its update: where it is used, what sums it sees, and what the emitted M-step does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bnlab.network.ir import Parameter, Prior
from bnlab.printers.latex_expression import Writer
from bnlab.printers.latex_layout import Line, line
from bnlab.printers.latex_names import Names
from bnlab.printers.latex_network import Use
from bnlab.printers.latex_posteriors import Posteriors
from bnlab.program.ir import Statement
from bnlab.program.ops import Expr, Symbol


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


def objective(update: Update) -> str:
    """What is maximised, in a sentence."""
    return f"$Q + \\ln p({update.names.eta})$" if update.prior is not None else "$Q$"


def bracket(update: Update) -> str:
    """What is maximised, behind a derivative."""
    return rf"\bigl[ Q + \ln p({update.names.eta}) \bigr]" if update.prior is not None else "Q"
