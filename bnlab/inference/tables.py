"""Discrete variables by products of tables: what is summed out is multiplied and summed as probabilities, not as logarithms.

That is quick, and enough where nothing but tables meets until all of them are summed out: then what underflows
could only matter if p(x) itself were about to. If it is, ln p(x) is NaN, and the same is computed with logarithms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnlab.inference.plan import LeavePlates, SumChain, SumOut
from bnlab.inference.potentials import Potential
from bnlab.program import build
from bnlab.program.ops import Binary, Expr, Keep, Number, Reduce, Symbol, Unary

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def by_tables(run: Elimination) -> frozenset[str]:
    """The messages of the steps that are taken with tables: from tables alone, and to such steps or to nothing left."""
    if run.maximise or not run.scaled or any(isinstance(step, SumChain) for step in run.plan.steps):
        return frozenset()
    tables = {name for name, potential in run.potentials.items() if potential.linear is not None}
    steps: dict[str, SumOut] = {}
    for step in run.plan.steps:
        match step:
            case SumOut() if all(name in tables for name in step.factors):
                steps[step.message.name] = step
                tables.add(step.message.name)
            case SumOut() | LeavePlates() | SumChain():
                pass
    while lost := [name for name, step in steps.items() if not _ends_well(run, step, steps)]:
        for name in lost:
            del steps[name]
        steps = {name: step for name, step in steps.items() if not set(step.factors) & set(lost)}
    return frozenset(steps)


def _ends_well(run: Elimination, step: SumOut, steps: dict[str, SumOut]) -> bool:
    following = run.consumer(step.message.name)
    return not step.message.scope or (following is not None and following.message.name in steps)


def sum_out(run: Elimination, step: SumOut) -> None:
    """Writes the product of the tables that hold the variable, and its sum."""
    found = [run.potentials[name].linear for name in step.factors]
    tables = sorted((table for table in found if table is not None), key=lambda table: len(table.axes))
    joint: Expr = build.multiply(*tables)
    if not (isinstance(joint, Symbol) and joint.space == "local"):
        title, text, tex = run.titles.joint(step, log=False)
        joint = run.statement(title, joint, "multiply", text, tex)
    assert isinstance(joint, Symbol)
    over = (run.layout.states[step.variable],)
    title, text, tex = run.titles.message(step, log=False)
    message = run.statement(title, Reduce("sum", joint, over), "sum out", text, tex)
    log = Unary("log" if step.message.scope else "log_if_reliable", message)
    run.joints[step.message.name], run.messages[step.message.name] = joint, message
    run.potentials[step.message.name] = Potential(log, message)


def conditional(run: Elimination, step: SumOut) -> Expr:
    """The posterior of what was multiplied: its product, times the posterior of what was left over what was left."""
    outer = run.posterior(step.message.name)
    joint, message = run.joints[step.message.name], run.messages[step.message.name]
    if outer is None:
        value: Expr = Keep(joint, message, Number(0.0))
    else:
        outer = run.kept(outer, step.joint.plates, step.message.scope)
        value = Binary("*", joint, Keep(outer, message, Number(0.0)))
    title, text, tex = run.titles.posterior(step)
    return run.statement(title, value, "posterior", text, tex)
