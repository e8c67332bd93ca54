"""A chain of discrete latents: forward and backward messages (lecture, section 6), scaled or in logarithms.

Scaled: alpha[t] is the distribution of the states given the data up to t, c[t] the probability of the data at t given those before;
log p = sum_t ln c[t]. beta[t] is the probability of the data after t given the states, over that given the data up to t, so that the
posterior is alpha beta, and the sum over t of the posterior of neighbouring states is one contraction of whole arrays.

In logarithms the same forward pass never underflows, and the way back goes by conditionals: the posterior of the states at t-1 and t is
that at t times P(states at t-1 | states at t, data up to t-1). Maximising instead of summing gives the most probable path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bnlab.errors import Fault, IntractableError
from bnlab.inference import wording
from bnlab.inference.elimination import Elimination, Potential, marginal, symbols
from bnlab.inference.plan import Factor, SumChain
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import (
    STEP,
    Axes,
    Axis,
    Binary,
    Broadcast,
    Call,
    Einsum,
    Expr,
    Number,
    OneHot,
    Prepend,
    Reduce,
    Relabel,
    Steps,
    Symbol,
    Take,
    Where,
    union,
)

UNDERFLOW = 1e-100
OVERFLOW = 1e150


@dataclass(frozen=True, slots=True)
class Shape:
    """The axes of one chain: its steps, the states now and one step before, and all else that its messages range over."""

    step: Axis
    now: Axes
    before: Axes
    outer: Axes

    @property
    def message(self) -> Axes:
        return tuple(sorted((*self.outer, *self.now)))

    def earlier(self, axes: Axes) -> Axes:
        """The same axes one step before."""
        swap = dict(zip(self.now, self.before, strict=True))
        return tuple(swap.get(axis, axis) for axis in axes)


def shape_of(run: Elimination, step: SumChain) -> Shape:
    layout = run.layout
    now = tuple(sorted(layout.states[VarRef(name)] for name in step.variables))
    before = tuple(layout.states.get(VarRef(axis.name, 1), axis) for axis in now)
    rest = tuple(layout.states[ref] for ref in step.joint.scope if ref.name not in step.variables)
    members = tuple(axis for axis in layout.members(step.joint.plates) if axis.kind != STEP)
    return Shape(layout.plates[step.chain], now, before, tuple(sorted((*members, *rest))))


def suffix_of(run: Elimination, step: SumChain) -> str:
    chains = [other for other in run.plan.steps if isinstance(other, SumChain)]
    return "" if len(chains) == 1 else "_" + wording.joined(step.variables)


def _check(run: Elimination, step: SumChain) -> None:
    for name in (*step.first, *step.later):
        if run.potentials[name].linear is None:
            variable = run.plan.factor(name).variable
            reason = f"The density of `{variable}` depends on the states of two steps: not derived yet."
            raise IntractableError(Fault(reason, "Let it depend on the states of its own step."))
    if not step.every:
        names = ", ".join(f"`{name}`" for name in step.variables)
        reason = f"Nothing observed depends on the chain of {names}, so its parameters cannot be learnt."
        raise IntractableError(Fault(reason, "Give it an observed child."))


# -- up ---------------------------------------------------------------------------------------------------------------------


def sum_chain(run: Elimination, step: SumChain) -> None:
    """Writes the forward pass, and the message ln p(data of the chain | what it depends on outside)."""
    _check(run, step)
    shape, suffix = shape_of(run, step), suffix_of(run, step)
    log_b = _observation(run, step)
    mask = run.mask(step.chain)
    if run.scaled and not run.maximise:
        message = _scaled(run, step, shape, suffix, log_b, mask)
    else:
        message = _logarithmic(run, step, shape, suffix, log_b, mask)
    run.joints[step.message.name] = log_b
    run.messages[step.message.name] = message
    run.potentials[step.message.name] = Potential(message)


def _observation(run: Elimination, step: SumChain) -> Symbol:
    """ln p(data of one step | states), all steps at once."""
    left = tuple(dict.fromkeys(name for item in step.every for name in run.plan.factor(item).left))
    scope = tuple(dict.fromkeys(ref for item in step.every for ref in run.plan.factor(item).scope))
    joint = Factor("", left, scope, scope, step.joint.plates)
    log_b = build.add(*(run.potentials[name].log for name in step.every))
    return run.statement("log_b" + suffix_of(run, step), log_b, "multiply", wording.formula(run.layout, joint))


def _tables(run: Elimination, names: tuple[str, ...]) -> tuple[Expr, ...]:
    found = []
    for name in names:
        linear = run.potentials[name].linear
        assert linear is not None
        found.append(linear)
    return tuple(found)


def _drivers(run: Elimination, step: SumChain) -> tuple[Symbol, ...]:
    """The data that the transition tables are taken at, one value a step."""
    found = (symbol for table in _tables(run, step.later) for symbol in symbols(table) if symbol.space == "chunk")
    return tuple(dict.fromkeys(found))


def _at_step(expr: Expr, axis: Axis, mapping: dict[Symbol, Symbol]) -> Expr:
    """A table inside a recursion, where its data are those of one step."""
    if not isinstance(expr, Take):
        return expr
    indices = tuple((where, mapping.get(index, index) if isinstance(index, Symbol) else index) for where, index in expr.indices)
    return Take(expr.table, indices)


def _inside(symbol: Symbol, axis: Axis, name: str | None = None) -> Symbol:
    """What a recursion reads of an array at one step."""
    return Symbol(name or f"{symbol.name}_{axis.letter}", tuple(a for a in symbol.axes if a != axis))


def _initial(run: Elimination, step: SumChain, shape: Shape, like: Symbol, log: bool) -> Expr:
    """The distribution of the first states, for every sequence."""
    first = Steps(like, shape.step, "first")
    tables = _tables(run, step.first)
    if log:
        value = build.add(*(run.log(_first_step(table, shape.step)) for table in tables))
    else:
        value = build.multiply(*(_first_step(table, shape.step) for table in tables))
    axes = shape.message
    return value if union(value) == axes and value.axes == axes else Broadcast(value, first, axes)


def _first_step(expr: Expr, axis: Axis) -> Expr:
    """A table at the first step of its data."""
    if not isinstance(expr, Take):
        return expr
    return Take(expr.table, tuple((where, _head(index, axis)) for where, index in expr.indices))


def _head(index: Expr, axis: Axis) -> Expr:
    return Steps(index, axis, "first") if axis in index.axes else index


def _scaled(
    run: Elimination, step: SumChain, shape: Shape, suffix: str, log_b: Symbol, mask: Symbol | None
) -> Symbol:
    axis = shape.step
    states = tuple(a for a in log_b.axes if a in shape.now)
    scale = run.statement(f"scale{suffix}", Reduce("max", log_b, states), "numerics", "so that exp neither over- nor underflows")
    b = run.statement(f"b{suffix}", build.exp(build.subtract(log_b, scale)), "numerics")
    drivers = _drivers(run, step)
    forward = _forward(run, step, shape, suffix, b, mask, drivers)
    run.functions.append(forward)
    alpha = Symbol(run.fresh(f"alpha{suffix}"), (axis, *shape.message))
    c = Symbol(run.fresh(f"c{suffix}"), (axis, *shape.outer))
    run.arrays.update({(step.message.name, role): array for role, array in (("b", b), ("alpha", alpha), ("c", c))})
    arguments = (b, *((mask,) if mask else ()), *drivers)
    call = (Symbol("theta", ()), *arguments)
    run.body.append(Invoke((alpha, c), forward.name, call))
    total = run.sum_steps(build.add(build.log(c), scale), step.chain)
    return run.statement(
        wording.title(step.message) + "_in_chain", total, "recursion", wording.formula(run.layout, step.message),
        wording.formula_tex(run.layout, step.message),
    )


def _forward(
    run: Elimination, step: SumChain, shape: Shape, suffix: str, b: Symbol, mask: Symbol | None, drivers: tuple[Symbol, ...]
) -> Function:
    axis = shape.step
    letter = axis.letter
    predicted = Symbol(f"predicted{suffix}", shape.message)
    joint = Symbol(f"joint{suffix}", shape.message)
    b_t, on = _inside(b, axis), Symbol("on", shape_rows(mask, axis)) if mask else None
    nexts = {driver: _inside(driver, axis, f"{driver.name}_next") for driver in drivers}
    total: Expr = build.total(joint, shape.now)
    c_t, alpha_t = Symbol(f"c_{letter}", shape.outer), Symbol(f"alpha_{letter}", shape.message)
    body = (
        Statement(joint, build.multiply(predicted, b_t), "recursion", "P(states, data at t | data before t)"),
        Statement(c_t, Where(on, total, Number(1.0)) if on else total, "recursion"),
        Statement(alpha_t, build.divide(joint, c_t), "recursion"),
    )
    before = Symbol(alpha_t.name, shape.earlier(shape.message))
    tables = tuple(_at_step(table, axis, nexts) for table in _tables(run, step.later))
    following = Einsum((before, *tables), shape.message)
    inputs = [(b_t, b), *([(on, mask)] if on and mask else []), *((nexts[d], Steps(d, axis, "next")) for d in drivers)]
    alpha, c = Symbol(f"alpha{suffix}", (axis, *shape.message)), Symbol(f"c{suffix}", (axis, *shape.outer))
    scan = Scan(
        ((predicted, _initial(run, step, shape, b, log=False), following),),
        tuple((inner, _local_symbol(outer)) for inner, outer in inputs),
        body,
        ((alpha_t, alpha), (c_t, c)),
        (None,),
    )
    names = ", ".join(extent(a) for a in alpha.axes), ", ".join(extent(a) for a in c.axes)
    end = "; where the mask is False the chain has ended" if mask else ""
    doc = f"alpha as ({names[0]}) and c as ({names[1]}){end}."
    arguments = tuple(_local_symbol(s) for s in (b, *((mask,) if mask else ()), *drivers))
    return Function(run.fresh(f"forward{suffix}"), arguments, ("theta",), (scan,), (alpha, c), doc)


def shape_rows(mask: Symbol, axis: Axis) -> Axes:
    return tuple(a for a in mask.axes if a != axis)


def extent(axis: Axis) -> str:
    return axis.extent or axis.letter.upper()


def _local_symbol(expr: Expr) -> Expr:
    """Inside a function, what it was given is a local name."""
    return Symbol(expr.name, expr.axes) if isinstance(expr, Symbol) else expr


def _logarithmic(
    run: Elimination, step: SumChain, shape: Shape, suffix: str, log_b: Symbol, mask: Symbol | None
) -> Symbol:
    drivers = _drivers(run, step)
    forward = _log_forward(run, step, shape, suffix, log_b, mask, drivers)
    run.functions.append(forward)
    axis = shape.step
    log_alpha = Symbol(run.fresh(f"log_alpha{suffix}"), (axis, *shape.message))
    log_c = Symbol(run.fresh(f"log_c{suffix}"), (axis, *shape.outer))
    run.arrays[step.message.name, "log_alpha"] = log_alpha
    call = (Symbol("theta", ()), log_b, *((mask,) if mask else ()), *drivers)
    run.body.append(Invoke((log_alpha, log_c), forward.name, call))
    return run.statement(
        wording.title(step.message) + "_in_chain", run.sum_steps(log_c, step.chain), "recursion",
        wording.formula(run.layout, step.message), wording.formula_tex(run.layout, step.message),
    )


def _log_forward(
    run: Elimination, step: SumChain, shape: Shape, suffix: str, log_b: Symbol, mask: Symbol | None, drivers: tuple[Symbol, ...]
) -> Function:
    axis, letter = shape.step, shape.step.letter
    reduce: Literal["max", "logsumexp_or_never"] = "max" if run.maximise else "logsumexp_or_never"
    predicted = Symbol(f"log_predicted{suffix}", shape.message)
    joint = Symbol(f"log_joint{suffix}", shape.message)
    b_t, on = _inside(log_b, axis), Symbol("on", shape_rows(mask, axis)) if mask else None
    nexts = {driver: _inside(driver, axis, f"{driver.name}_next") for driver in drivers}
    total = Reduce(reduce, joint, shape.now)
    c_t, alpha_t = Symbol(f"log_c_{letter}", shape.outer), Symbol(f"log_alpha_{letter}", shape.message)
    finite = Where(Binary(">", c_t, Number(float("-inf"))), c_t, Number(0.0))
    body = (
        Statement(joint, build.add(predicted, b_t), "recursion", "ln P(states, data at t | data before t)"),
        Statement(c_t, Where(on, total, Number(0.0)) if on else total, "recursion"),
        Statement(alpha_t, build.subtract(joint, finite), "recursion"),
    )
    before = Symbol(alpha_t.name, shape.earlier(shape.message))
    tables = tuple(run.log(_at_step(table, axis, nexts)) for table in _tables(run, step.later))
    following = Reduce(reduce, build.add(before, *tables), shape.before)
    inputs = [(b_t, log_b), *([(on, mask)] if on and mask else []), *((nexts[d], Steps(d, axis, "next")) for d in drivers)]
    alpha, c = Symbol(f"log_alpha{suffix}", (axis, *shape.message)), Symbol(f"log_c{suffix}", (axis, *shape.outer))
    scan = Scan(
        ((predicted, _initial(run, step, shape, log_b, log=True), following),),
        tuple((inner, _local_symbol(outer)) for inner, outer in inputs),
        body,
        ((alpha_t, alpha), (c_t, c)),
        (None,),
    )
    names = ", ".join(extent(a) for a in alpha.axes), ", ".join(extent(a) for a in c.axes)
    doc = f"ln alpha as ({names[0]}) and ln c as ({names[1]})."
    arguments = tuple(_local_symbol(s) for s in (log_b, *((mask,) if mask else ()), *drivers))
    return Function(run.fresh(f"forward{suffix}"), arguments, ("theta",), (scan,), (alpha, c), doc)  # type: ignore[arg-type]


# -- down -------------------------------------------------------------------------------------------------------------------


def _weight(run: Elimination, step: SumChain) -> Expr | None:
    """The weighted posterior of all that the chain's message ranges over."""
    outer = run.posterior(step.message.name)
    if outer is None:
        return None
    kept = (*run.layout.members(step.message.plates), *run.layout.scope(step.message.scope))
    return marginal(outer, tuple(axis for axis in outer.axes if axis in kept))


def chain_posterior(run: Elimination, step: SumChain) -> Expr:
    """The posterior of the states at every step."""
    shape, suffix = shape_of(run, step), suffix_of(run, step)
    if run.scaled and not run.maximise:
        return _smooth_scaled(run, step, shape, suffix)
    return _smooth_logarithmic(run, step, shape, suffix)


def _state_factor(step: SumChain) -> Factor:
    scope = tuple(ref for ref in step.joint.scope if not ref.lag)
    return Factor("", (), (), scope, step.joint.plates)


def _smooth_scaled(run: Elimination, step: SumChain, shape: Shape, suffix: str) -> Expr:
    axis = shape.step
    mask, drivers = run.mask(step.chain), _drivers(run, step)
    b, alpha, c = (run.arrays[step.message.name, role] for role in ("b", "alpha", "c"))
    function = _backward(run, step, shape, suffix, b, c, mask, drivers)
    run.functions.append(function)
    call = (Symbol("theta", ()), b, c, *((mask,) if mask else ()), *drivers)
    beta = run.statement(f"beta{suffix}", Call(function.name, call, (axis, *shape.message)), "recursion")
    run.arrays[step.message.name, "beta"] = beta
    weight = _weight(run, step)
    value: Expr = build.multiply(alpha, beta, *((weight,) if weight is not None else ()))
    if mask is not None:
        value = Where(mask, value, Number(0.0))
    factor = _state_factor(step)
    return run.statement(
        wording.posterior_title(factor.scope), value, "posterior", wording.posterior_formula(run.layout, factor),
        wording.posterior_tex(run.layout, factor),
    )


def _backward(
    run: Elimination, step: SumChain, shape: Shape, suffix: str, b: Symbol, c: Symbol, mask: Symbol | None,
    drivers: tuple[Symbol, ...],
) -> Function:
    axis, letter = shape.step, shape.step.letter
    beta = Symbol(f"beta_{letter}", shape.message)
    b_t, c_t = _inside(b, axis), _inside(c, axis, f"c_{letter}")
    on = Symbol("on", shape_rows(mask, axis)) if mask else None
    here = {driver: _inside(driver, axis) for driver in drivers}
    onward = Symbol("onward", shape.message)
    before = Symbol(f"beta_before{suffix}", shape.message)
    tables = tuple(_at_step(table, axis, here) for table in _tables(run, step.later))
    previous = _as_now(Einsum((onward, *tables), shape.earlier(shape.message)), shape)
    body = (
        Statement(onward, build.divide(build.multiply(beta, b_t), c_t), "recursion"),
        Statement(before, previous, "recursion", "of step t-1"),
    )
    inputs = [(b_t, b), (c_t, c), *([(on, mask)] if on and mask else []), *((here[d], d) for d in drivers)]
    collected = Symbol(f"beta{suffix}", (axis, *shape.message))
    first = Broadcast(Number(1.0), Steps(_local_symbol(c), axis, "last"), shape.message)
    scan = Scan(
        ((beta, first, Where(on, before, Number(1.0)) if on else before),),
        tuple((inner, _local_symbol(outer)) for inner, outer in inputs),
        body,
        ((beta, collected),),
        (None,),
        reverse=True,
    )
    doc = f"beta as ({', '.join(extent(a) for a in collected.axes)}); 1 at the end of each sequence."
    arguments = tuple(_local_symbol(s) for s in (b, c, *((mask,) if mask else ()), *drivers))
    return Function(run.fresh(f"backward{suffix}"), arguments, ("theta",), (scan,), (collected,), doc)  # type: ignore[arg-type]


def _as_now(expr: Einsum, shape: Shape) -> Expr:
    """An array over the states before, read as one over the states now: the same numbers."""
    return Relabel(expr, shape.message)


def chain_expected(
    run: Elimination, step: SumChain, factor: Factor, operands: tuple[Expr, ...], axes: Axes
) -> Expr:
    """Expected statistics of the first step, or of all pairs of neighbouring steps."""
    shape, suffix = shape_of(run, step), suffix_of(run, step)
    posterior = run.posterior(factor.name)
    assert posterior is not None
    if factor.steps == "first":
        heads = tuple(_cut(operand, shape.step, "first") for operand in operands)
        return build.einsum(axes, Steps(posterior, shape.step, "first"), *heads)
    cut = tuple(_cut(operand, shape.step, "later") for operand in operands)
    if run.scaled and not run.maximise:
        return _pairs_scaled(run, step, shape, suffix, cut, axes)
    return run.arrays[step.message.name, f"pairs {factor.name}"]


def _cut(operand: Expr, axis: Axis, part: str) -> Expr:
    if axis not in operand.axes:
        return operand
    if isinstance(operand, OneHot):
        return OneHot(_cut(operand.index, axis, part), operand.axis)
    return Steps(operand, axis, part)  # type: ignore[arg-type]


def _pairs_scaled(
    run: Elimination, step: SumChain, shape: Shape, suffix: str, operands: tuple[Expr, ...], axes: Axes
) -> Expr:
    axis = shape.step
    onward = _onward(run, step, shape, suffix)
    alpha = run.arrays[step.message.name, "alpha"]
    before = Steps(Symbol(alpha.name, (axis, *shape.earlier(shape.message))), axis, "earlier")
    inside, outside = list(operands), []
    for table in _tables(run, step.later):
        whole = table
        if isinstance(table, Take):
            whole = table.table
            for where, index in table.indices:
                indicator = OneHot(_cut(index, axis, "later"), where)
                if indicator not in inside:
                    inside.append(indicator)
        (outside if set(whole.axes) <= set(axes) else inside).append(whole)
    counts = build.einsum(axes, before, onward, *inside)
    return build.multiply(*outside, counts) if outside else counts


def _onward(run: Elimination, step: SumChain, shape: Shape, suffix: str) -> Symbol:
    """beta b / c of the step that is moved to: with alpha and the tables of the one before, the posterior of the pair."""
    key = (step.message.name, "onward")
    if key in run.arrays:
        return run.arrays[key]
    axis = shape.step
    b, c, beta = (run.arrays[step.message.name, role] for role in ("b", "c", "beta"))
    mask, weight = run.mask(step.chain), _weight(run, step)
    later = [Steps(symbol, axis, "later") for symbol in (beta, b, c)]
    inverse: Expr = build.divide(Number(1.0), later[2])
    if mask is not None:
        inverse = Where(Steps(mask, axis, "later"), inverse, Number(0.0))
    if weight is not None:
        inverse = Binary("*", inverse, weight)
    value = build.multiply(later[0], later[1], inverse)
    run.arrays[key] = run.statement(f"onward{suffix}", value, "posterior", "of the steps moved to")
    return run.arrays[key]


def _smooth_logarithmic(run: Elimination, step: SumChain, shape: Shape, suffix: str) -> Expr:
    axis = shape.step
    log_alpha = run.arrays[step.message.name, "log_alpha"]
    weight, mask, drivers = _weight(run, step), run.mask(step.chain), _drivers(run, step)
    accumulators = _accumulators(run, step, shape)
    function = _log_backward(run, step, shape, suffix, log_alpha, weight, mask, drivers, accumulators)
    run.functions.append(function)
    extra = (weight,) if weight is not None else ()
    data = _operand_data(accumulators, drivers)
    call = (Symbol("theta", ()), log_alpha, *extra, *((mask,) if mask else ()), *drivers, *data)
    factor = _state_factor(step)
    q = Symbol(run.fresh(wording.posterior_title(factor.scope)), (axis, *shape.message))
    names = tuple(Symbol(run.fresh(f"pairs_{name}"), axes) for name, _, axes in accumulators)
    run.arrays.update({(step.message.name, f"pairs {a[0]}"): symbol for a, symbol in zip(accumulators, names, strict=True)})
    run.body.append(Invoke((q, *names), function.name, call, wording.posterior_formula(run.layout, factor)))
    if mask is not None:
        value = Where(mask, q, Number(0.0))
        return run.statement(q.name + "_on", value, "posterior", "nothing past the end of a sequence")
    return q


def _operand_data(accumulators: list[tuple[str, tuple[Expr, ...], Axes]], known: tuple[Symbol, ...]) -> tuple[Symbol, ...]:
    found = dict.fromkeys(
        symbol for _, operands, _ in accumulators for operand in operands for symbol in symbols(operand)
        if symbol.space == "chunk" and symbol not in known
    )
    return tuple(found)


def _accumulators(run: Elimination, step: SumChain, shape: Shape) -> list[tuple[str, tuple[Expr, ...], Axes]]:
    """For each factor of neighbouring steps the statistic that its parameters need: indicators of its data, and the axes."""
    from bnlab.inference.nodes import indicators

    found = []
    for name in step.later:
        factor = run.plan.factor(name)
        variable = run.layout.graph.variable(factor.variable)
        axes = run.nodes[name].own["probs"].axes if run.weighted else ()
        chosen = indicators(run.layout, variable, run.cpd(factor))
        states = set(run.layout.scope(factor.scope))
        if run.weighted:
            found.append((name, tuple(chosen[axis] for axis in axes if axis not in states and axis in chosen), axes))
    return found


def _log_backward(
    run: Elimination, step: SumChain, shape: Shape, suffix: str, log_alpha: Symbol, weight: Expr | None,
    mask: Symbol | None, drivers: tuple[Symbol, ...], accumulators: list[tuple[str, tuple[Expr, ...], Axes]],
) -> Function:
    axis, letter = shape.step, shape.step.letter
    reduce: Literal["max", "logsumexp_or_never"] = "max" if run.maximise else "logsumexp_or_never"
    q = Symbol(f"q_{letter}", shape.message)
    alpha_before = Symbol("log_alpha_before", shape.earlier(shape.message))
    on = Symbol("on", shape_rows(mask, axis)) if mask else None
    data = _operand_data(accumulators, drivers)
    here = {symbol: _inside(symbol, axis) for symbol in (*drivers, *data)}
    pair_axes = tuple(sorted({*shape.message, *shape.before}))
    log_pair = Symbol("log_pair", pair_axes)
    tables = tuple(run.log(_at_step(table, axis, here)) for table in _tables(run, step.later))
    pair = Symbol("q_pair", pair_axes)
    body: list[Statement] = [Statement(log_pair, build.add(alpha_before, *tables), "recursion")]
    if run.maximise:
        conditional = Reduce("hardmax", log_pair, shape.before)
    else:
        top = Symbol("log_total", shape.message)
        body.append(Statement(top, Reduce(reduce, log_pair, shape.before), "recursion"))  # type: ignore[arg-type]
        finite = Where(Binary(">", top, Number(float("-inf"))), top, Number(0.0))
        conditional = build.exp(build.subtract(log_pair, finite))
    moved = build.multiply(conditional, q)
    body.append(Statement(pair, Where(on, moved, Number(0.0)) if on else moved, "recursion", "P(states at t-1 and t | data)"))
    back = _as_now(Einsum((pair,), shape.earlier(shape.message)), shape)
    w = Symbol("weight", weight.axes) if weight is not None else None
    ended = _filtered(run, Symbol(alpha_before.name, shape.message), shape, w)
    carries: list[tuple[Symbol, Expr, Expr]] = [
        (q, _filtered(run, Steps(_local_symbol(log_alpha), axis, "last"), shape, w), Where(on, back, ended) if on else back)
    ]
    lasts: list[Symbol | None] = [Symbol("q_first", shape.message)]
    results: list[Expr] = []
    for place, (_, operands, axes) in enumerate(accumulators):
        total = Symbol(f"pairs_{place}" if place else "pairs", axes)
        added = build.einsum(axes, pair, *(_indicator_at(operand, here) for operand in operands))
        zero = Broadcast(Number(0.0), run.nodes[step.later[place]].own["probs"], axes)
        carries.append((total, zero, build.add(total, added)))
        lasts.append(Symbol(f"{total.name}_all", axes))
        results.append(Symbol(f"{total.name}_all", axes))
    earlier = Steps(Symbol(log_alpha.name, (axis, *shape.earlier(shape.message))), axis, "earlier")
    inputs: list[tuple[Symbol, Expr]] = [(alpha_before, earlier)]
    if on and mask:
        inputs.append((on, Steps(_local_symbol(mask), axis, "later")))
    inputs += [(here[symbol], Steps(_local_symbol(symbol), axis, "later")) for symbol in (*drivers, *data)]
    collected = Symbol("q_later", (axis, *shape.message))
    scan = Scan(tuple(carries), tuple(inputs), tuple(body), ((q, collected),), tuple(lasts), reverse=True)
    whole = Prepend(Symbol("q_first", shape.message), collected, axis)
    doc = f"The posterior of the states as ({', '.join(extent(a) for a in whole.axes)})" + (
        ", and of neighbouring steps, summed." if accumulators else "."
    )
    arguments = [_local_symbol(log_alpha), *([w] if w is not None else []), *([_local_symbol(mask)] if mask else [])]
    arguments += [_local_symbol(symbol) for symbol in (*drivers, *data)]
    title = run.fresh(f"backward{suffix}")
    return Function(title, tuple(arguments), ("theta",), (scan,), (whole, *results), doc)  # type: ignore[arg-type]


def _indicator_at(operand: Expr, here: dict[Symbol, Symbol]) -> Expr:
    if isinstance(operand, OneHot) and isinstance(operand.index, Symbol):
        return OneHot(here.get(operand.index, operand.index), operand.axis)
    return operand


def _filtered(run: Elimination, log_alpha: Expr, shape: Shape, weight: Symbol | None) -> Expr:
    """The posterior at the last step of a sequence."""
    value = Reduce("hardmax", log_alpha, shape.now) if run.maximise else build.exp(log_alpha)
    return Binary("*", value, weight) if weight is not None else value
