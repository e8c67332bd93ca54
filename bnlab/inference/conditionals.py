"""The posterior on the way back through a sum: that of the message, times the conditional of what was summed out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnlab.inference.plan import SumOut
from bnlab.inference.tables import conditional
from bnlab.program import build
from bnlab.program.ops import Binary, Expr, Number, Reduce, Where

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def conditional_of(run: Elimination, step: SumOut) -> Expr:
    """The posterior of all that meets a variable that was summed out."""
    if step.message.name in run.tables:
        return conditional(run, step)
    outer = run.posterior(step.message.name)
    joint, message = run.joints[step.message.name], run.messages[step.message.name]
    if run.maximise:
        value: Expr = Reduce("hardmax", joint, (run.layout.states[step.variable],))
    else:
        possible: Expr = message
        if step.message.scope and not run.scaled:  # a table may say that its parents' states never meet
            possible = Where(Binary(">", message, Number(float("-inf"))), message, Number(0.0))
        value = build.exp(build.subtract(joint, possible))
    if outer is not None:
        outer = run.kept(outer, step.joint.plates, step.message.scope)
        value = Binary("*", value, outer)
    title, text, tex = run.titles.posterior(step)
    return run.statement(title, value, "posterior", text, tex)
