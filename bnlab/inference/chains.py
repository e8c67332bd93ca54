"""Chains in an elimination: the forward pass, the posterior and the statistics, in the formulation that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnlab.errors import Fault, IntractableError
from bnlab.inference import chain_log, chain_scaled, wording
from bnlab.inference.chain import chain_of, cut
from bnlab.inference.intractable import refuse_unseen
from bnlab.inference.plan import Factor, SumChain
from bnlab.inference.potentials import Potential
from bnlab.program import build
from bnlab.program.ops import Axes, Expr, Number, Steps

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def sum_chain(run: Elimination, step: SumChain) -> None:
    """Writes the forward pass, and the message ln p(data of the chain | what it depends on outside)."""
    _check(run, step)
    chain = chain_of(run, step)
    left = tuple(dict.fromkeys(name for item in step.every for name in run.plan.factor(item).left))
    scope = tuple(dict.fromkeys(ref for item in step.every for ref in run.plan.factor(item).scope))
    given = tuple(ref for ref in scope if ref.lag or ref.name not in left)
    observed = Factor("", left, given, scope, step.joint.plates)
    logs = [run.potentials[name].log for name in step.every]
    value = build.add(*(log for log in logs if log != Number(0.0)))
    words = (write(run.layout, observed) for write in (wording.formula, wording.formula_tex))
    log_b = run.statement("log_b" + chain.suffix, value, "multiply", *words)
    total = chain_scaled.forward(chain, log_b) if chain.scaled else chain_log.forward(chain, log_b)
    text, tex = (write(run.layout, step.message) for write in (wording.formula, wording.formula_tex))
    message = run.statement(wording.title(step.message) + "_in_chain", total, "recursion", text, tex)
    run.joints[step.message.name] = log_b
    run.messages[step.message.name] = message
    run.potentials[step.message.name] = Potential(message)


def chain_posterior(run: Elimination, step: SumChain) -> Expr:
    """The posterior of the states at every step."""
    chain = chain_of(run, step)
    return chain_scaled.posterior(chain) if chain.scaled else chain_log.posterior(chain)


def chain_expected(
    run: Elimination, step: SumChain, factor: Factor, operands: tuple[Expr, ...], axes: Axes
) -> Expr:
    """Expected statistics of the first step, or of all pairs of neighbouring steps."""
    chain = chain_of(run, step)
    posterior = run.posterior(factor.name)
    assert posterior is not None
    if factor.steps == "first" and not factor.at:
        heads = (cut(operand, chain.shape.step, "first") for operand in operands)
        return build.einsum(axes, Steps(posterior, chain.shape.step, "first"), *heads)
    if chain.scaled:
        return chain_scaled.pairs(chain, factor, operands, axes)
    return chain.array(f"pairs {factor.name}")


def _check(run: Elimination, step: SumChain) -> None:
    for name in (*step.first, *step.later):
        if run.potentials[name].linear is None:
            variable = run.plan.factor(name).variable
            reason = f"The density of `{variable}` depends on the states of two steps: not derived yet."
            raise IntractableError(Fault(reason, "Let it depend on the states of its own step."))
    if not step.every:
        refuse_unseen(step.variables)
