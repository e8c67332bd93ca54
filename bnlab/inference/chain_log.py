"""A chain in logarithms, which never underflow; and, with maxima for sums, its most probable path.

The way back goes by conditionals: the posterior of the states at t-1 and t is that at t times P(states at t-1 | states at t,
data up to t-1). All its factors are probabilities. Statistics of neighbouring steps are summed on the way.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnlab.inference import wording
from bnlab.inference.chain import Chain, extents, local, states_of, weight_of
from bnlab.inference.nodes import indicators
from bnlab.inference.plan import Factor
from bnlab.program import build
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import (
    Axes,
    Binary,
    Broadcast,
    Constant,
    Expr,
    Number,
    OneHot,
    Prepend,
    Reduce,
    Steps,
    Symbol,
    Where,
    union,
)
from bnlab.program.walk import symbols

NEVER = Number(float("-inf"))


def _reduced(chain: Chain, value: Expr, over: Axes) -> Expr:
    return Reduce("max" if chain.run.maximise else "logsumexp_or_never", value, over)


def _finite(value: Expr) -> Expr:
    """0 for the log of an impossible event, so that it can be subtracted."""
    return Where(Binary(">", value, NEVER), value, Number(0.0))


def forward(chain: Chain, log_b: Symbol) -> Expr:
    """Writes ln alpha and ln c; returns ln p of the data of each chain."""
    run, shape = chain.run, chain.shape
    function = _forward(chain, log_b)
    run.functions.append(function)
    log_alpha = chain.record("log_alpha", Symbol(chain.fresh("log_alpha"), shape.all))
    log_c = Symbol(chain.fresh("log_c"), (shape.step, *shape.outer))
    arguments = (Symbol("theta", ()), *chain.arguments(log_b))
    run.body.append(Invoke((log_alpha, log_c), function.name, arguments))
    return run.sum_steps(log_c, chain.step.chain)


def _forward(chain: Chain, log_b: Symbol) -> Function:
    shape, on = chain.shape, chain.on()
    letter = shape.step.letter
    predicted, joint = (Symbol(chain.local(name), shape.message) for name in ("log_predicted", "log_joint"))
    c_t, alpha_t = Symbol(f"log_c_{letter}", shape.outer), Symbol(f"log_alpha_{letter}", shape.message)
    b_t = chain.inner(log_b, f"log_b_{letter}")
    total = _reduced(chain, joint, shape.now)
    body = (
        Statement(joint, build.add(predicted, b_t), "recursion"),
        Statement(c_t, Where(on, total, Number(0.0)) if on else total, "recursion"),
        Statement(alpha_t, build.subtract(joint, _finite(c_t)), "recursion"),
    )
    nexts = {driver: chain.inner(driver, f"{driver.name}_next") for driver in chain.drivers}
    before = Symbol(alpha_t.name, shape.earlier(shape.message))
    moves, tables = chain.transition(nexts, ahead=1)
    logs = (chain.run.log(table) for table in tables)
    following = chain.spread(_reduced(chain, build.add(before, *logs), shape.forgotten), alpha_t)
    inputs = chain.forward_inputs(b_t, log_b, nexts)
    alpha, c = Symbol("log_alpha", shape.all), Symbol("log_c", (shape.step, *shape.outer))
    carry = (predicted, chain.initial(log_b, log=True), following)
    scan = Scan((carry,), inputs, (*body, *moves), ((alpha_t, alpha), (c_t, c)), (None,))
    doc = f"ln alpha as {extents(alpha.axes)} and ln c as {extents(c.axes)}" + (
        ", with maxima for sums." if chain.run.maximise else "."
    )
    doc += f"\n{chain.beginning}" if chain.beginning else ""
    arguments = tuple(local(symbol) for symbol in chain.arguments(log_b))
    return Function(chain.fresh("forward"), arguments, ("theta",), (scan,), (alpha, c), doc)


@dataclass(frozen=True, slots=True)
class _Total:
    """A statistic of neighbouring steps: of which factor, the indicators of its data, its axes, and an array
    that has those of unknown size.
    """

    factor: Factor
    operands: tuple[Expr, ...]
    axes: Axes
    like: Symbol | Constant


def _totals(chain: Chain) -> tuple[_Total, ...]:
    run = chain.run
    if not run.weighted:
        return ()
    found = []
    for name in (*(first for first in chain.step.first if run.plan.factor(first).at), *chain.step.later):
        factor, node = run.plan.factor(name), run.nodes[name]
        like = next(iter(node.own.values()))  # a table has one argument
        assert node.state is not None
        axes = like.axes if node.state in like.axes else (*like.axes, node.state)
        chosen = indicators(run.layout, run.layout.graph.variable(factor.variable), run.pieces(factor)[0])
        states = run.layout.scope(factor.scope)
        picks = tuple(chosen[axis] for axis in axes if axis not in states and axis in chosen)
        found.append(_Total(factor, picks, axes, like))
    return tuple(found)


def posterior(chain: Chain) -> Expr:
    """Writes the posterior of the states at every step, and the statistics of neighbouring steps."""
    run, shape = chain.run, chain.shape
    totals, weight = _totals(chain), weight_of(chain)
    found = (s for total in totals for operand in total.operands for s in symbols(operand))
    data = tuple(dict.fromkeys(s for s in found if s.space == "chunk" and s not in chain.drivers))
    function = _backward(chain, weight, totals, data)
    run.functions.append(function)
    states = states_of(chain.step)
    q = Symbol(run.fresh(wording.posterior_title(states.scope)), shape.all)
    sums = tuple(
        chain.record(f"pairs {total.factor.name}", Symbol(run.fresh(_title(total)), total.axes))
        for total in totals
    )
    extra = (weight,) if weight is not None else ()
    arguments = (Symbol("theta", ()), chain.array("log_alpha"), *extra, *chain.arguments(), *data)
    formula = wording.posterior_formula(run.layout, states)
    run.body.append(Invoke((q, *sums), function.name, arguments, formula))
    value = build.total(q, shape.past)
    if chain.mask is None:
        return (
            value if value is q else run.statement(f"{q.name}_alone", value, "posterior", "of single steps")
        )
    value = Where(chain.mask, value, Number(0.0))
    return run.statement(f"{q.name}_on", value, "posterior", "nothing past the end of a sequence")


def _title(total: _Total) -> str:
    factor = total.factor
    return f"pairs_{factor.variable}" + (f"_step_{factor.at + 1}" if factor.steps == "first" else "")


def _backward(
    chain: Chain, weight: Expr | None, totals: tuple[_Total, ...], data: tuple[Symbol, ...]
) -> Function:
    run, shape, on = chain.run, chain.shape, chain.on()
    log_alpha = chain.array("log_alpha")
    q = Symbol(f"q_{shape.step.letter}", shape.message)
    alpha_before = Symbol(chain.local("log_alpha_before"), shape.earlier(shape.message))
    here = {symbol: chain.inner(symbol) for symbol in (*chain.drivers, *data)}
    w = Symbol(chain.local("weight"), weight.axes) if weight is not None else None
    body, pair = _pair(chain, q, alpha_before, here, on)
    moved = chain.back((pair,), q)
    ended = _filtered(chain, Symbol(alpha_before.name, shape.message), w)
    last = _filtered(chain, Steps(local(log_alpha), shape.step, "last"), w)
    carries: list[tuple[Symbol, Expr, Expr]] = [(q, last, Where(on, moved, ended) if on else moved)]
    lasts = [Symbol("q_first", shape.message)]
    for total in totals:
        running = Symbol(_title(total), total.axes)
        added = build.einsum(total.axes, pair, *(_indicator(operand, here) for operand in total.operands))
        added = _where_it_stands(chain, total.factor, added)
        zero = Broadcast(Number(0.0), total.like, total.axes)
        carries.append((running, zero, build.arranged(build.add(running, added), total.axes)))
        lasts.append(Symbol(f"all_{_title(total)}", total.axes))
    earlier = Symbol(log_alpha.name, (shape.step, *shape.earlier(shape.message)))
    inputs: list[tuple[Symbol, Expr]] = [(alpha_before, Steps(earlier, shape.step, "earlier"))]
    inputs += [(t, Steps(count, shape.step, "later")) for t, count in chain.number(local(log_alpha))]
    if on and chain.mask:
        inputs.append((on, Steps(local(chain.mask), shape.step, "later")))
    inputs += [
        (here[s], Steps(local(s), shape.step, "later"))
        for s in (*chain.moving, *data)
        if shape.step in s.axes
    ]
    collected = Symbol("q_later", shape.all)
    scan = Scan(tuple(carries), tuple(inputs), body, ((q, collected),), tuple(lasts), reverse=True)
    whole = Prepend(lasts[0], collected, shape.step)
    what = "The most probable states" if run.maximise else "The posterior of the states"
    doc = f"{what} as {extents(shape.all)}" + (", and of neighbouring steps, summed." if totals else ".")
    arguments = (local(log_alpha), *((w,) if w else ()), *(local(s) for s in (*chain.arguments(), *data)))
    return Function(chain.fresh("backward"), arguments, ("theta",), (scan,), (whole, *lasts[1:]), doc)


def _pair(
    chain: Chain, q: Symbol, alpha_before: Symbol, here: dict[Symbol, Symbol], on: Symbol | None
) -> tuple[tuple[Statement, ...], Symbol]:
    """The posterior of the states at t-1 and t, from that at t."""
    shape, letter = chain.shape, chain.shape.step.letter
    axes = union((*shape.message, *shape.before))
    log_pair, pair = Symbol(chain.local("log_pair"), axes), Symbol("q_pair", axes)
    moves, tables = chain.transition(here)
    value = build.add(alpha_before, *(chain.run.log(table) for table in tables))
    if value.axes != axes:  # of states of the step that do not depend on those before
        value = Broadcast(value, q, axes)
    body = [*moves, Statement(log_pair, value, "recursion")]
    if chain.run.maximise:
        conditional: Expr = Reduce("hardmax", log_pair, shape.forgotten)
    else:
        total = Symbol(chain.local("log_total"), shape.message)
        body.append(Statement(total, _reduced(chain, log_pair, shape.forgotten), "recursion"))
        conditional = build.exp(build.subtract(log_pair, _finite(total)))
    moved = build.multiply(conditional, q)
    formula = f"P(states at {letter}-1 and {letter} | data)"
    body.append(Statement(pair, Where(on, moved, Number(0.0)) if on else moved, "recursion", formula))
    return tuple(body), pair


def _where_it_stands(chain: Chain, factor: Factor, added: Expr) -> Expr:
    """What a step adds to the statistic of a factor; nothing where the factor does not stand."""
    if chain.orders == 1 or (factor.steps == "later" and factor.at == 1):
        return added
    ((number, _),) = chain.number(Number(0.0))
    first = factor.steps == "first"
    here = Binary("==" if first else ">", number, Number(float(factor.at if first else factor.at - 1)))
    return Where(here, added, Number(0.0))


def _filtered(chain: Chain, log_alpha: Expr, weight: Symbol | None) -> Expr:
    """The posterior at the last step of a sequence."""
    now = chain.shape.now
    value = Reduce("hardmax", log_alpha, now) if chain.run.maximise else build.exp(log_alpha)
    return Binary("*", value, weight) if weight is not None else value


def _indicator(operand: Expr, here: dict[Symbol, Symbol]) -> Expr:
    if isinstance(operand, OneHot) and isinstance(operand.index, Symbol):
        return OneHot(here.get(operand.index, operand.index), operand.axis)
    return operand
