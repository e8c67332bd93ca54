"""ln p(x) = ln p(x, z) - ln p(z | x), with the Gaussian latents z at their posterior means.

The identity holds at every z. At the posterior means no term is larger than ln p(x) itself, and what rounding moves
the means by changes the sum in second order alone. Along a chain the moments are those given the data up to a step, for which
the filter is enough.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bnlab.errors import Fault, IntractableError
from bnlab.families.base import registry
from bnlab.inference import wording
from bnlab.inference.densities import density_function
from bnlab.inference.factor import Factor
from bnlab.inference.gaussian import contract, forward
from bnlab.inference.moments import At, mean_in
from bnlab.inference.plan import Integrate, IntegrateChain, LeavePlates
from bnlab.inference.pooled import is_pooled
from bnlab.inference.products import named, number_of_steps, summed
from bnlab.network.ir import VarRef
from bnlab.notation import tex as tex_of
from bnlab.program import build
from bnlab.program.ops import Broadcast, Expr, Number, Symbol, Take, Where

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


def log_at_means(run: Elimination, name: str, at: At = "all") -> Expr:
    """The log of a factor or message, with the Gaussian latents in it at their means."""
    if name in run.potentials:
        return run.potentials[name].log
    factors = (*run.plan.factors, *run.plan.seen)
    factor = next((found for found in factors if found.name == name), None)
    if factor is not None:
        return _density(run, factor, at)
    step = next(step for step in run.plan.steps if step.message.name == name)
    match step:
        case LeavePlates():
            value = log_product(run, step.factors, at)
            source, target = step.joint.plates, step.message.plates
            left = ", ".join(plate for plate in source if plate not in target)
            if value == Number(0.0):
                return value
            title, _, tex = words(run, step)
            title = f"{title}_in_{target[-1] if target else 'all'}"
            value = summed(run, value, source, target)
            return run.statement(title, value, "leave plate", f"members of {left} are independent", tex)
        case Integrate():
            title, text, tex = words(run, step)
            value = integrated(run, step, at)
            return value if value == Number(0.0) else run.statement(title, value, "sum out", text, tex)
        case _:
            raise AssertionError("a chain leaves no Gaussian latent")


def words(run: Elimination, step: Integrate | IntegrateChain | LeavePlates) -> wording.Words:
    """What the log of a message is called, and what it is: without the rows, where these are taken together."""
    message = step.message
    if not is_pooled(run):
        told = wording.formula(run.layout, message), wording.formula_tex(run.layout, message)
        return wording.title(message), *told
    names = _latents(run, step)
    listed, data = (
        ", ".join(found) for found in (names, [one.name for one in run.layout.graph.in_role("observed")])
    )
    index = "".join(run.layout.plates[plate].letter + "," for plate in message.plates)[:-1]
    symbol = rf"\ln \rho^{{({','.join(map(tex_of, names))})}}_{{{index}}}"
    text = f"ln p({listed}) - ln p({listed} | {data}) at the posterior means"
    return f"log_ratio_{wording.joined(tuple(names))}", text, symbol


def explained(run: Elimination, step: Integrate | IntegrateChain) -> str:
    """What ln p(data) is computed as, in words."""
    found = ", ".join(_latents(run, step))
    data = ", ".join(variable.name for variable in run.layout.graph.in_role("observed"))
    where = "means given the data so far" if isinstance(step, IntegrateChain) else "posterior means"
    return f"ln p({data}, {found}) - ln p({found} | {data}) at the {where}"


def _latents(run: Elimination, step: Integrate | IntegrateChain | LeavePlates) -> list[str]:
    """The Gaussian latents that have been integrated out when a step is done."""
    inner = [
        found for found in run.plan.steps if found.message.name in step.factors and found.message.continuous
    ]
    names = [step.variable.name] if isinstance(step, Integrate) else []
    names += [*step.beside, *step.variables] if isinstance(step, IntegrateChain) else []
    for found in inner:
        assert isinstance(found, Integrate | LeavePlates)
        names += _latents(run, found)
    return names


def log_product(run: Elimination, names: tuple[str, ...], at: At = "all") -> Expr:
    """The log of a product of factors and messages."""
    logs = (log_at_means(run, name, at) for name in names)
    return build.add(*(log for log in logs if log != Number(0.0)))


def integrated(run: Elimination, step: Integrate, at: At = "all") -> Expr:
    """The log of what is left where a latent y was integrated out: ln p(data, y) - ln p(y | data), at its mean."""
    solved = run.solved[step.message.name]
    rest = log_product(run, step.others, at)
    if step.own in run.offsets:
        rest = build.add(rest, run.offsets[step.own])
    if solved.told is None:
        return rest
    found = run.moved[step.message.name, at]
    energy = contract(run.layout.vector(step.variable, 1), found.left, found.right)
    if rest == Number(0.0):
        left = contract((), Number(-0.5), energy)
    else:
        left = build.subtract(rest, contract((), Number(0.5), energy))
    return build.add(left, contract((), Number(0.5), solved.log_det))


def _density(run: Elimination, factor: Factor, at: At) -> Expr:
    """The density of an observed child, from what it leaves of its mean; 0 where all rows are taken together."""
    residual = residual_at(run, factor, at)
    if is_pooled(run):
        return Number(0.0)
    (piece,) = run.pieces(factor)
    node = run.nodes[piece.label]
    plain = replace(
        node,
        value=residual,
        arguments={**node.arguments, "mean": Number(0.0)},
        slopes=(),
        terms=(),
    )
    given = (plain.value,) if isinstance(plain.value, Symbol) and plain.value.space == "local" else ()
    normal = registry()["Normal"]
    if isinstance(node.seen, Symbol):
        density = normal.density_of_seen(replace(plain, residual=residual))
        given = (*given, node.seen)
    else:
        density = normal.density(plain)
    log = density_function(run, factor, piece, density, given, True)
    return build.add(log, run.offsets[factor.name]) if factor.name in run.offsets else log


def residual_at(run: Elimination, factor: Factor, at: At = "all") -> Symbol:
    """An observed child less its mean, with the latents in it at theirs."""
    (piece,) = run.pieces(factor)
    key = piece.label, at
    if key not in run.left:
        node = run.nodes[piece.label]
        value = run.residuals[factor.variable]
        for slope in node.slopes:
            ref = VarRef(slope.parent, slope.lag)
            mean = mean_in(run, factor.name, ref, factor.plates, at)
            value = build.subtract(value, forward(slope, node.event, mean, run.layout.vector(ref, 3)))
        label = piece.label.replace(".", "_")
        text = f"{factor.variable} less its mean, "
        if isinstance(node.seen, Symbol) and node.slopes:
            value, text = Where(node.seen, value, Number(0.0)), f"what is seen of {text}"
        if at == "all":
            run.left[key] = named(run, value, f"e_{label}", f"{text}at the posterior means")
        else:
            run.left[key] = named(run, value, f"v_{label}", f"{text}at the means given the data so far")
    return run.left[key]


def along(run: Elimination, step: IntegrateChain) -> Expr:
    """ln p of the data of a chain, with the latents of each step at their means given the data up to it."""
    log_ratio = run.arrays[step.message.name, "log_ratio"]
    told = tuple(name for name in step.every if name not in step.variables)
    value = run.sum_steps(build.add(log_product(run, told, "filtered"), log_ratio), step.chain)
    return _with_offsets(run, step, value)


def _steps(run: Elimination, step: IntegrateChain) -> Expr:
    """The number of steps of each sequence."""
    if run.mask(step.chain):
        return number_of_steps(run, step.chain)
    axis = run.layout.plates[step.chain]
    every = Broadcast(Number(1.0), run.arrays[step.message.name, "log_ratio"], (axis,))
    return build.total(every, (axis,))


def _with_offsets(run: Elimination, step: IntegrateChain, value: Expr) -> Expr:
    """ln p of a chain, with the offsets of its latents' own distributions: those of later steps once each."""
    every = tuple(name for name in step.every if name in step.variables)
    own = {
        name: run.offsets[name]
        for name in (*step.beside, *step.first, *step.later, *every)
        if name in run.offsets
    }
    if any(isinstance(offset, Take) or run.plan.factor(name).at > 1 for name, offset in own.items()):
        names = " and ".join(f"`{name}`" for name in step.variables)
        reason = (
            f"The distribution of {names} is not the same at all later steps: not derived for variational EM."
        )
        raise IntractableError(Fault(reason, 'Fit by "em", "svi" or "nuts".'))
    for name, offset in own.items():
        if name in (*step.later, *every):
            before = Number(float(run.plan.factor(name).at))
            offset = build.multiply(build.subtract(_steps(run, step), before), offset)
        value = build.add(value, offset)
    return value
