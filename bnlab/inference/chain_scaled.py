"""A chain by rescaled probabilities.

alpha[t] is the distribution of the states given the data up to t, c[t] the probability of the data at t given
those before: ln p = sum_t ln c[t]. beta[t] is the probability of the data after t given the states, over that
given the data up to t, so that the posterior is alpha beta, and the posterior of neighbouring states, summed
over t, is one contraction of whole arrays.

Rescaled probabilities may lose a state that a later observation would have brought back: its alpha is 0 where
it should be tiny. Whatever is lost is below the smallest float, so it matters only if c is as small, or beta
as large, as its inverse.
"""

from __future__ import annotations

from bnlab.inference import wording
from bnlab.inference.chain import Chain, cut, extents, local, since, states_of, weight_of
from bnlab.inference.plan import Factor
from bnlab.program import build
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import (
    Axes,
    Binary,
    Broadcast,
    Call,
    Expr,
    Number,
    OneHot,
    Reduce,
    Reliable,
    Steps,
    Symbol,
    Take,
    Where,
)
from bnlab.program.walk import parts, transform


def forward(chain: Chain, log_b: Symbol) -> Expr:
    """Writes alpha and c; returns ln p of the data of each chain."""
    run, shape = chain.run, chain.shape
    states = tuple(axis for axis in log_b.axes if axis in shape.now)
    why = "so that exp neither over- nor underflows"
    # It cancels, so no gradient need flow through it; through a maximum found twice, rounded otherwise, it would be NaN.
    largest = build.held(Reduce("max", log_b, states))
    scale = run.statement(f"scale{chain.suffix}", largest, "numerics", why)
    value = build.exp(build.subtract(log_b, scale))
    b = chain.record("b", run.statement(f"b{chain.suffix}", value, "numerics"))
    function = _forward(chain, b)
    run.functions.append(function)
    alpha = chain.record("alpha", Symbol(chain.fresh("alpha"), shape.all))
    c = chain.record("c", Symbol(chain.fresh("c"), (shape.step, *shape.outer)))
    run.body.append(Invoke((alpha, c), function.name, (Symbol("theta", ()), *chain.arguments(b))))
    return run.sum_steps(build.add(build.log(c), scale), chain.step.chain)


def _forward(chain: Chain, b: Symbol) -> Function:
    shape, on = chain.shape, chain.on()
    letter = shape.step.letter
    predicted, joint = (Symbol(chain.local(name), shape.message) for name in ("predicted", "joint"))
    c_t, alpha_t = Symbol(f"c_{letter}", shape.outer), Symbol(f"alpha_{letter}", shape.message)
    b_t = chain.inner(b, f"b_{letter}")
    total = build.total(joint, shape.now)
    body = (
        Statement(joint, build.multiply(predicted, b_t), "recursion", _joint_formula(chain)),
        Statement(c_t, Where(on, total, Number(1.0)) if on else total, "recursion"),
        Statement(alpha_t, build.divide(joint, c_t), "recursion"),
    )
    nexts = {driver: chain.inner(driver, f"{driver.name}_next") for driver in chain.drivers}
    before = Symbol(alpha_t.name, shape.earlier(shape.message))
    moves, tables = chain.transition(nexts, ahead=1)
    following = chain.onward((before, *tables), alpha_t)
    inputs = chain.forward_inputs(b_t, b, nexts)
    alpha, c = Symbol("alpha", shape.all), Symbol("c", (shape.step, *shape.outer))
    carry = (predicted, chain.initial(b, log=False), following)
    scan = Scan((carry,), inputs, (*body, *moves), ((alpha_t, alpha), (c_t, c)), (None,))
    states, past = _states(chain), f"data[1..{letter}]"
    head = f"alpha[{letter}] = P({states} | {past})"
    doc = (
        f"{head} as {extents(alpha.axes)},\n"
        f"and c[{letter}] = p(data[{letter}] | data[1..{letter}-1]) as {extents(c.axes)}"
    ) + ("; where the mask is False the chain has ended.\n" if chain.mask else ".\n")
    doc += chain.beginning
    arguments = tuple(local(symbol) for symbol in chain.arguments(b))
    return Function(chain.fresh("forward"), arguments, ("theta",), (scan,), (alpha, c), doc, head=head)


def _joint_formula(chain: Chain) -> str:
    letter = chain.shape.step.letter
    return f"P({_states(chain)}, data[{letter}] | data[1..{letter}-1])"


def _states(chain: Chain) -> str:
    letter, states = chain.shape.step.letter, chain.run.layout.states
    at = {ref: f"{letter}-{ref.lag}" if ref.lag else letter for ref in chain.step.interface}
    return ", ".join(f"{ref.name}[{index}]={states[ref].letter}" for ref, index in at.items())


def posterior(chain: Chain) -> Expr:
    """Writes beta and the posterior of the states at every step."""
    run, shape = chain.run, chain.shape
    b, alpha, c = (chain.array(role) for role in ("b", "alpha", "c"))
    function = _backward(chain, b, c)
    run.functions.append(function)
    arguments = (Symbol("theta", ()), *chain.arguments(b, c))
    call = Call(function.name, arguments, shape.all)
    beta = chain.record("beta", run.statement(f"beta{chain.suffix}", call, "recursion"))
    weight = weight_of(chain)
    value = build.total(
        build.multiply(alpha, beta, *((weight,) if weight is not None else ())), chain.shape.past
    )
    if chain.mask is not None:
        value = Where(chain.mask, value, Number(0.0))
    states = states_of(chain.step)
    text = wording.posterior_formula(run.layout, states), wording.posterior_tex(run.layout, states)
    return run.statement(wording.posterior_title(states.scope), value, "posterior", *text)


def _backward(chain: Chain, b: Symbol, c: Symbol) -> Function:
    shape, on = chain.shape, chain.on()
    letter = shape.step.letter
    beta_t, onward = Symbol(f"beta_{letter}", shape.message), Symbol(chain.local("onward"), shape.message)
    b_t, c_t = chain.inner(b, f"b_{letter}"), chain.inner(c, f"c_{letter}")
    before = Symbol("beta_before", shape.message)
    here = {driver: chain.inner(driver) for driver in chain.drivers}
    moves, tables = chain.transition(here)
    moved = chain.back((onward, *tables), beta_t)
    body = (
        *moves,
        Statement(onward, build.divide(build.multiply(beta_t, b_t), c_t), "recursion"),
        Statement(before, moved, "recursion", f"of step {letter}-1"),
    )
    inputs: list[tuple[Symbol, Expr]] = [*chain.number(local(b)), (b_t, local(b)), (c_t, local(c))]
    if on and chain.mask:
        inputs.append((on, local(chain.mask)))
    inputs += [(here[driver], local(driver)) for driver in chain.moving]
    beta = Symbol("beta", shape.all)
    last = Broadcast(Number(1.0), Steps(local(c), shape.step, "last"), shape.message)
    carry = (beta_t, last, Where(on, before, Number(1.0)) if on else before)
    scan = Scan((carry,), tuple(inputs), body, ((beta_t, beta),), (None,), reverse=True)
    future = f"data[{letter}+1..]"
    head = f"beta[{letter}] = p({future} | {_states(chain)}) / p({future} | data[1..{letter}])"
    doc = f"{head} as {extents(beta.axes)};\n1 at the end of each sequence.\n"
    arguments = tuple(local(symbol) for symbol in chain.arguments(b, c))
    return Function(chain.fresh("backward"), arguments, ("theta",), (scan,), (beta,), doc, head=head)


def pairs(chain: Chain, factor: Factor, operands: tuple[Expr, ...], axes: Axes) -> Expr:
    """The posterior of neighbouring states, times the operands, summed over the steps where the factor stands."""
    if factor.steps == "first":
        return _pairs(chain, operands, axes, factor.at, only=True)
    early = (_pairs(chain, operands, axes, step, only=True) for step in range(factor.at, chain.orders))
    whole = build.add(*early, _pairs(chain, operands, axes, chain.orders, only=False))
    return build.arranged(whole, axes)


def _pairs(chain: Chain, operands: tuple[Expr, ...], axes: Axes, step: int, only: bool) -> Expr:
    """The same for the moves into one step, or for all from it on; these have the same tables."""
    shape = chain.shape

    def those(operand: Expr) -> Expr:
        return since(cut(operand, shape.step, "later"), shape.step, step, only)

    onward = since(_onward(chain), shape.step, step, only)
    alpha = Symbol(chain.array("alpha").name, (shape.step, *shape.earlier(shape.message)))
    earlier = since(Steps(alpha, shape.step, "earlier"), shape.step, step, only)
    inside: list[Expr] = [those(operand) for operand in operands]
    outside: list[Expr] = []
    names = tuple(chain.standing(name, step) for name in chain.step.later)
    for table in chain.tables(names):
        whole = transform(table, lambda part: part.table if isinstance(part, Take) else part)
        picked = (part for part in parts(table) if isinstance(part, Take))
        for where, index in (pair for part in picked for pair in part.indices):
            indicator = OneHot(those(index), where)
            inside += [] if indicator in inside else [indicator]
        (outside if set(whole.axes) <= set(axes) else inside).append(whole)
    counts = build.einsum(axes, earlier, onward, *inside)
    return build.arranged(build.multiply(*outside, counts), axes) if outside else counts


def _onward(chain: Chain) -> Symbol:
    """beta b / c of the step moved to: with alpha and the tables, the posterior of the pair."""
    if chain.known("onward"):
        return chain.array("onward")
    axis = chain.shape.step
    beta, b, c = (Steps(chain.array(role), axis, "later") for role in ("beta", "b", "c"))
    inverse = build.divide(Number(1.0), c)
    if chain.mask is not None:
        inverse = Where(Steps(chain.mask, axis, "later"), inverse, Number(0.0))
    weight = weight_of(chain)
    if weight is not None:
        inverse = Binary("*", inverse, weight)
    value = build.multiply(beta, b, inverse)
    name = f"onward{chain.suffix}"
    return chain.record("onward", chain.run.statement(name, value, "posterior", "of the steps moved to"))


def guarded(chain: Chain, value: Expr) -> Expr:
    """`value`, or NaN if anything that matters may have been lost to under- or overflow."""
    chain.run.posterior(chain.step.first[0])
    c, beta = chain.array("c"), chain.array("beta")
    text = "no state was lost to underflow"
    safe = chain.run.statement(f"safe{chain.suffix}", Reliable(c, beta), "numerics", text)
    return Where(safe, value, Number(float("nan")))
