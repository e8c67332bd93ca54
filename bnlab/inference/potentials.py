"""What is multiplied and summed: factors as expressions."""

from __future__ import annotations

from dataclasses import dataclass

from bnlab.program.ops import Axes, Einsum, Expr


@dataclass(frozen=True, slots=True)
class Potential:
    """The log of a factor; `linear` is the factor itself, where it is a table."""

    log: Expr
    linear: Expr | None = None


def marginal(posterior: Expr, axes: Axes) -> Expr:
    """The posterior summed to some of its axes."""
    return posterior if posterior.axes == axes else Einsum((posterior,), axes)
