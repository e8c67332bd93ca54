"""The E-step in TeX: every statement that means something as an equation, with its reason in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bnlab.network.ir import VarRef
from bnlab.printers.latex_expression import Writer
from bnlab.printers.latex_families import family
from bnlab.printers.latex_layout import Line, display, line
from bnlab.printers.latex_names import Names, relettered
from bnlab.printers.latex_network import Use, uses
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import ROW, STATE, STEP, Axis, Binary, Call, Constant, Einsum, Expr, Reduce, Steps, Symbol, Take


@dataclass(slots=True)
class Steps_:
    """One walk over the E-step. `inline` and `zero` grow as statements are read; `pairs` are the posteriors of neighbouring steps."""

    names: Names
    inline: dict[str, Expr] = field(default_factory=dict)
    zero: set[str] = field(default_factory=set)
    pairs: list[Symbol] = field(default_factory=list)
    tables: dict[str, tuple[Expr, ...]] = field(default_factory=dict)
    moving: dict[str, str] = field(default_factory=dict)
    alphas: list[Symbol] = field(default_factory=list)

    def writer(self, free: tuple[Axis, ...] = ()) -> Writer:
        return Writer(self.names, self.inline, zero=frozenset(self.zero), free=free)

    def line(self, target: Symbol, value: Expr, *before: str) -> Line:
        """target = before = value."""
        writer = self.writer(target.axes)
        _, terms = writer.terms(value)
        return line(writer.lhs(target), *before, terms)
