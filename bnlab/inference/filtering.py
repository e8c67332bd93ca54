"""A chain of one Gaussian latent: a filter forwards, a smoother back (Rauch, Tung and Striebel 1965).

At each step the prediction N(p, P) meets what the data of the step say, exp(eta' y - 1/2 y' Lambda y). With
S = (I + P Lambda)^-1 and n = S' (eta - Lambda p) the filtered moments are V = S P and m = p + P n. The smoothed ones are
m + V a and V - V A V, where a = F' n_all and A = F' N F come from the step after, n_all = n + S' a and
N = Lambda S + S' A S. That is the smoother with n_all = P^-1 (smoothed mean - p) and N = P^-1 (P - smoothed covariance) P^-1,
so that no covariance is inverted and singular ones are no exception (Bryson and Frazier 1963).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bnlab.errors import Fault, IntractableError
from bnlab.families.base import Node, Slope
from bnlab.inference.chain import cut, extents, local
from bnlab.inference.gaussian import (
    Quadratic,
    back,
    called,
    contract,
    forward,
    inverse,
    log_det,
    multiplied_matrix,
    other_side,
    turned,
    unit,
    zero_free,
)
from bnlab.inference.integrate import at_name, observed_names
from bnlab.inference.linear_nodes import spread_of
from bnlab.inference.moments import At, Moments
from bnlab.inference.plan import IntegrateChain
from bnlab.inference.products import multiplied, named
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import Axes, Axis, Broadcast, Expr, Number, Steps, Symbol, Where, union
from bnlab.program.walk import symbols, transform

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


@dataclass(frozen=True, slots=True)
class Filter:
    """One Gaussian chain in one run: its distributions, what the data say at each step, and the axes of its moments."""

    run: Elimination
    step: IntegrateChain
    later: Node
    first: Node
    slope: Slope | None
    entries: Axes
    axis: Axis
    eta: Symbol
    Lambda: Symbol
    vectors: Axes
    matrices: Axes
    mask: Symbol | None
    suffix: str

    def local(self, name: str, axes: Axes) -> Symbol:
        taken = {variable.name for variable in self.run.layout.graph.variables}
        return Symbol(f"{name}_now" if name in taken else name, axes)

    def array(self, role: str) -> Symbol:
        return self.run.arrays[self.step.message.name, role]

    @property
    def earlier(self) -> Axes:
        """The axes of the latent one step earlier."""
        return self.run.layout.vector(VarRef(self.step.variable, 1), 3)

    def at_step(self, expr: Expr) -> Expr:
        """An expression of all steps inside a recursion: its data are those of one step."""
        return transform(expr, lambda part: self._now(part) if isinstance(part, Symbol) else part)

    def _now(self, symbol: Symbol) -> Symbol:
        if self.axis not in symbol.axes:
            return symbol
        return Symbol(f"{symbol.name}_{self.axis.letter}", build.minus(symbol.axes, (self.axis,)))

    def driven(self, *parts: Expr) -> tuple[Symbol, ...]:
        """The arrays with steps that some expressions read."""
        found = (symbol for part in parts for symbol in symbols(part) if self.axis in symbol.axes)
        return tuple(dict.fromkeys(found))


def integrate_chain(run: Elimination, step: IntegrateChain) -> None:
    """Writes the filter, and the message ln p(data of the chain | what it depends on outside)."""
    ref = VarRef(step.variable)
    found = multiplied(run, step.every)
    if ref not in found.shift:
        reason = (
            f"Nothing observed depends on the chain of `{step.variable}`, so its parameters cannot be learnt."
        )
        raise IntractableError(Fault(reason, "Give it an observed child."))
    text = f"what the data of a step say of {step.variable}"
    eta = named(run, found.shift[ref], f"eta_{step.variable}", text)
    Lambda = named(run, found.precision[ref, ref], f"Lambda_{step.variable}", "and how precisely")
    _name_drive(run, step)
    run.arrays[step.message.name, "eta"], run.arrays[step.message.name, "Lambda"] = eta, Lambda
    chain = _filter(run, step, eta, Lambda)
    function = _forward(chain)
    run.functions.append(function)
    arrays = tuple(
        Symbol(run.fresh(s.name + chain.suffix), s.axes) for s in function.results if isinstance(s, Symbol)
    )
    for role, symbol in zip(("m", "V", "S", "n", "log_ratio"), arrays, strict=True):
        run.arrays[step.message.name, role] = symbol
    inputs = _arguments(chain, eta, Lambda)
    run.body.append(Invoke(arrays, function.name, (Symbol("theta", ()), *inputs)))
    run.pass_on(step, Quadratic())


def _name_drive(run: Elimination, step: IntegrateChain) -> None:
    """What data add to the mean of each step, as an array of its own."""
    for name in step.later or step.every[:1]:
        node = run.nodes[name]
        mean = node.arguments["mean"]
        if run.layout.plates[step.chain] in mean.axes and not isinstance(mean, Symbol):
            text = f"what the data of a step add to the mean of {step.variable}"
            drive = run.statement(f"drive_{step.variable}", mean, "recursion", text)
            run.nodes[name] = replace(node, arguments={**node.arguments, "mean": drive})


def _filter(run: Elimination, step: IntegrateChain, eta: Symbol, Lambda: Symbol) -> Filter:
    layout = run.layout
    later = run.nodes[(step.later or step.every)[0]]
    first = run.nodes[step.first[0]]
    entries = layout.vector(VarRef(step.variable), 3)
    axis = layout.plates[step.chain]
    slope = later.slopes[0] if later.slopes else None
    coefficients = [] if slope is None or slope.coefficient is None else [slope.coefficient]
    spreads = [spread_of(later, entries).value, spread_of(first, entries).value]
    means = [later.arguments["mean"], first.arguments["mean"]]
    outer = (axis, *entries, *layout.vector(VarRef(step.variable, 1), 3))
    matrices = (*build.minus(union(Lambda, *coefficients, *spreads), outer), *entries[:2])
    vectors = (*build.minus(union(eta, *means, matrices), outer), *entries[:1])
    chains = [other for other in run.plan.steps if isinstance(other, IntegrateChain)]
    suffix = "" if len(chains) == 1 else f"_{step.variable}"
    return Filter(
        run,
        step,
        later,
        first,
        slope,
        entries,
        axis,
        eta,
        Lambda,
        vectors,
        matrices,
        run.mask(step.chain),
        suffix,
    )


def _arguments(chain: Filter, *arrays: Symbol) -> tuple[Symbol, ...]:
    return (*arrays, *(s for s in _driven(chain) if s not in arrays))


def _driven(chain: Filter) -> tuple[Symbol, ...]:
    spread = spread_of(chain.later, chain.entries).value
    coefficient = chain.slope.coefficient if chain.slope else None
    parts = [chain.later.arguments["mean"], spread, *([coefficient] if coefficient is not None else [])]
    return chain.driven(*parts)


def _forward(chain: Filter) -> Function:
    """The filter as a function of what the data say at each step."""
    entries, axis = chain.entries, chain.axis
    row = entries[:1]
    p, P = chain.local("p", chain.vectors), chain.local("P", chain.matrices)
    S, V = chain.local("S", chain.matrices), chain.local("V", chain.matrices)
    n, m = chain.local("n", chain.vectors), chain.local("m", chain.vectors)
    log_ratio = chain.local("log_ratio", build.minus(chain.vectors, entries))
    eta, Lambda = chain.at_step(chain.eta), chain.at_step(chain.Lambda)
    surprise = build.subtract(eta, multiplied_matrix(Lambda, p, entries))
    ratio = build.subtract(
        contract((), Number(0.5), log_det(S, entries)),
        contract((), Number(0.5), contract(row, n, build.subtract(m, p))),
    )
    covariance = multiplied_matrix(P, Lambda, entries)
    letter = axis.letter
    y = f"{chain.step.variable}[{letter}]"
    body = (
        Statement(S, inverse(build.add(unit(entries), covariance), entries), "recursion"),
        Statement(
            V,
            multiplied_matrix(S, P, entries),
            "recursion",
            f"Cov({chain.step.variable}[{letter}] | data up to {letter})",
        ),
        Statement(n, turned(S, surprise, entries), "recursion", "what the data say beyond the prediction"),
        Statement(
            m,
            build.add(p, multiplied_matrix(P, n, entries)),
            "recursion",
            f"E[{chain.step.variable}[{letter}] | data up to {letter}]",
        ),
        Statement(
            log_ratio,
            ratio,
            "recursion",
            f"ln p({y} | data before) - ln p({y} | data up to {letter}) at {y} = m[{letter}]",
        ),
    )
    driven = _driven(chain)
    nexts = {symbol: Symbol(f"{symbol.name}_next", build.minus(symbol.axes, (axis,))) for symbol in driven}
    mean, spread = predicted(chain, m, V, nexts)
    inputs: list[tuple[Symbol, Expr]] = []
    for array in (chain.eta, chain.Lambda):
        if axis in array.axes:
            now = chain.at_step(array)
            assert isinstance(now, Symbol)
            inputs.append((now, local(array)))
    inputs += [(after, Steps(local(symbol), axis, "next")) for symbol, after in nexts.items()]
    like = Steps(local(chain.eta), axis, "first")
    begin = _spread_out(zero_free(chain.first.arguments["mean"]), like, chain.vectors)
    first = spread_of(chain.first, entries)
    start = first.value if first.full or not entries else contract((), first.value, unit(entries))
    carry = (
        (p, begin, _spread_out(mean, m, chain.vectors)),
        (P, _spread_out(start, like, chain.matrices), _spread_out(spread, V, chain.matrices)),
    )
    outputs = tuple((part, Symbol(part.name, (axis, *part.axes))) for part in (m, V, S, n, log_ratio))
    scan = Scan(carry, tuple(inputs), body, outputs, (None, None))
    doc = (
        f"Filter: m[{letter}] = E[{y} | data up to {letter}] as {extents(outputs[0][1].axes)}, and\n"
        f"V[{letter}] its covariance; p and P are the moments of the prediction from the data before.\n"
    )
    arguments = tuple(local(symbol) for symbol in _arguments(chain, chain.eta, chain.Lambda))
    results = tuple(symbol for _, symbol in outputs)
    return Function(
        chain.run.fresh(f"filter_{chain.step.variable}"), arguments, ("theta",), (scan,), results, doc
    )


def _spread_out(value: Expr, like: Expr, axes: Axes) -> Expr:
    return value if value.axes == axes else Broadcast(value, like, axes)


def predicted(chain: Filter, m: Expr, V: Expr, at: dict[Symbol, Symbol]) -> tuple[Expr, Expr]:
    """F m + b and F V F' + Q, with the data of the step that is predicted."""

    def then(expr: Expr) -> Expr:
        return transform(expr, lambda part: at.get(part, part) if isinstance(part, Symbol) else part)

    entries, earlier = chain.entries, chain.earlier
    offset = then(zero_free(chain.later.arguments["mean"]))
    spread = spread_of(chain.later, entries)
    noise = then(spread.value if spread.full or not entries else contract((), spread.value, unit(entries)))
    if chain.slope is None:
        return offset, noise
    slope = _with(chain.slope, then)
    lag = dict(zip(entries, earlier, strict=True))
    mean = forward(slope, entries, called(m, lag), earlier)
    half = forward(slope, entries, called(V, lag), earlier)
    moved = across(half, slope, entries, earlier)
    return build.add(mean, offset) if offset != Number(0.0) else mean, build.add(moved, noise)


def _with(slope: Slope, change: object) -> Slope:
    return slope if slope.coefficient is None else replace(slope, coefficient=change(slope.coefficient))  # type: ignore[operator]


def across(matrix: Expr, slope: Slope, entries: Axes, earlier: Axes) -> Expr:
    """B C', for B whose columns are the second axis of the parent's entries: they become those of the child."""
    row, column = entries[:1], entries[1:2]
    ends = earlier[1:2]
    if slope.elementwise:
        scale = (
            Number(1.0)
            if slope.coefficient is None
            else called(slope.coefficient, dict(zip(row, ends, strict=True)))
        )
        return called(
            contract((), Number(float(slope.sign)), matrix, scale), dict(zip(ends, column, strict=True))
        )
    assert slope.coefficient is not None
    turned_coefficient = called(
        slope.coefficient,
        {**dict(zip(row, column, strict=True)), **dict(zip(slope.entries, ends, strict=True))},
    )
    return contract(ends, Number(float(slope.sign)), matrix, turned_coefficient)


# -- back


def chain_means(run: Elimination, step: IntegrateChain, at: At) -> Mapping[VarRef, Expr]:
    """The mean of a chain's latent at all steps, given all data or those up to each step."""
    if at == "filtered":
        return {VarRef(step.variable): run.arrays[step.message.name, "m"]}
    return smoothed(run, step, "").mean


def smoothed(run: Elimination, step: IntegrateChain, name: str) -> Moments:
    """The posterior moments at the steps where a factor stands, those of two neighbouring steps for a transition."""
    chain = _filter(run, step, *(_known(run, step, title) for title in ("eta", "Lambda")))
    if (step.message.name, "mean") not in run.arrays:
        _smooth(chain)
    mean, cov = chain.array("mean"), chain.array("cov")
    ref, before = VarRef(step.variable), VarRef(step.variable, 1)
    plates = step.joint.plates
    factor = next((f for f in run.plan.factors if f.name == name), None)
    if factor is None or factor.steps == "all" or factor.variable != step.variable:
        return Moments({ref: mean}, {(ref, ref): cov}, plates)
    if factor.steps == "first":
        return Moments(
            {ref: Steps(mean, chain.axis, "first")}, {(ref, ref): cut(cov, chain.axis, "first")}, plates
        )
    lag = dict(zip(chain.entries, chain.earlier, strict=True))
    means: dict[VarRef, Expr] = {ref: Steps(mean, chain.axis, "later")}
    covs = {(ref, ref): cut(cov, chain.axis, "later")}
    if chain.slope is not None:
        means[before] = called(Steps(mean, chain.axis, "earlier"), lag)
        covs[before, before] = called(cut(cov, chain.axis, "earlier"), lag)
        covs[ref, before] = _lag_one(chain)
    return Moments(means, covs, plates)


def _known(run: Elimination, step: IntegrateChain, title: str) -> Symbol:
    return run.arrays[step.message.name, title]


def _smooth(chain: Filter) -> None:
    run, step, entries = chain.run, chain.step, chain.entries
    function = _backward(chain)
    run.functions.append(function)
    a, A = (
        Symbol(run.fresh(s.name + chain.suffix), s.axes) for s in function.results if isinstance(s, Symbol)
    )
    arrays = _backward_arguments(chain)
    run.body.append(Invoke((a, A), function.name, (Symbol("theta", ()), *arrays)))
    m, V = chain.array("m"), chain.array("V")
    y = at_name(run, VarRef(step.variable))
    value = build.add(m, multiplied_matrix(V, a, entries))
    mean = run.statement(f"mean_{step.variable}", value, "posterior", f"E[{y} | {observed_names(run)}]")
    half = multiplied_matrix(V, A, entries)
    value = build.subtract(V, multiplied_matrix(half, V, entries))
    cov = run.statement(f"cov_{step.variable}", value, "posterior", f"Cov({y} | {observed_names(run)})")
    for role, symbol in (("A", A), ("mean", mean), ("cov", cov)):
        run.arrays[step.message.name, role] = symbol


def _backward_arguments(chain: Filter) -> tuple[Symbol, ...]:
    names = (chain.array("S"), chain.array("n"), chain.Lambda)
    coefficient = chain.slope.coefficient if chain.slope else None
    driven = chain.driven(*([coefficient] if coefficient is not None else []))
    return (*names, *((chain.mask,) if chain.mask else ()), *(s for s in driven if s.space == "chunk"))


def _backward(chain: Filter) -> Function:
    entries, axis, earlier = chain.entries, chain.axis, chain.earlier
    letter = axis.letter
    ragged = union(chain.matrices, build.minus(chain.mask.axes, (axis,))) if chain.mask else chain.matrices
    matrices = (*build.minus(ragged, entries), *entries[:2])
    a, A = chain.local("a", chain.vectors), chain.local("A", matrices)
    n, N = chain.local("n_all", chain.vectors), chain.local("N", matrices)
    whole = _backward_arguments(chain)
    S, told, Lambda = (chain.at_step(symbol) for symbol in whole[:3])
    on = chain.at_step(chain.mask) if chain.mask else None
    inner = multiplied_matrix(turned(S, A, entries), S, entries)
    body = (
        Statement(
            n,
            build.add(told, turned(S, a, entries)),
            "recursion",
            "the smoothed mean is p + P n_all",
        ),
        Statement(
            N,
            build.add(multiplied_matrix(Lambda, S, entries), inner),
            "recursion",
            "the smoothed covariance is P - P N P",
        ),
    )
    zero = Number(0.0)
    if chain.slope is None:
        following: tuple[Expr, Expr] = (Broadcast(zero, a, a.axes), Broadcast(zero, A, A.axes))
    else:
        slope = _with(chain.slope, chain.at_step)
        names = dict(zip(earlier, entries, strict=True))
        mean = called(back(slope, entries, n, earlier), names)
        half = other_side(N, slope, entries, earlier[1:2])
        matrix = called(back(slope, entries, half, earlier), names)
        following = (mean, matrix)
    if on is not None:
        following = (Where(on, following[0], zero), Where(on, following[1], zero))
    like = Steps(local(whole[1]), axis, "first")
    carry = (
        (a, Broadcast(zero, like, a.axes), following[0]),
        (A, Broadcast(zero, like, A.axes), following[1]),
    )
    inputs = []
    for symbol in whole:
        if axis in symbol.axes:
            now = chain.at_step(symbol)
            assert isinstance(now, Symbol)
            inputs.append((now, local(symbol)))
    outputs = tuple((part, Symbol(part.name, (axis, *part.axes))) for part in (a, A))
    scan = Scan(carry, tuple(inputs), body, outputs, (None, None), reverse=True)
    doc = (
        f"Smoother: what the data after {letter} add. E[{chain.step.variable}[{letter}] | all data] = m + V a, its covariance\n"
        "is V - V A V.\n"
    )
    arguments = tuple(local(symbol) for symbol in whole)
    title = chain.run.fresh(f"smooth_{chain.step.variable}")
    return Function(title, arguments, ("theta",), (scan,), tuple(symbol for _, symbol in outputs), doc)


def _lag_one(chain: Filter) -> Expr:
    """Cov(y[t], y[t-1] | all data) = (V[t-1] F' S[t]' (I - A[t] V[t]))', over all steps but the first."""
    if (chain.step.message.name, "lag") in chain.run.arrays:
        return chain.array("lag")
    entries, earlier, axis = chain.entries, chain.earlier, chain.axis
    assert chain.slope is not None
    V, S, A = (chain.array(role) for role in ("V", "S", "A"))
    later = [cut(array, axis, "later") for array in (V, S, A)]
    rest = build.subtract(unit(entries), multiplied_matrix(later[0], later[2], entries))
    moved = multiplied_matrix(rest, later[1], entries)
    lag = dict(zip(entries, earlier, strict=True))
    slope = _with(chain.slope, lambda part: cut(part, axis, "later"))
    before = called(cut(V, axis, "earlier"), lag)
    carried = forward(slope, entries, before, earlier)
    column = earlier[1:2]
    value = multiplied_matrix(moved, carried, entries)
    value = called(value, dict(zip(column, earlier[:1], strict=True)))
    y, text = chain.step.variable, observed_names(chain.run)
    letter = axis.letter
    symbol = chain.run.statement(
        f"cov_{y}_next", value, "posterior", f"Cov({y}[{letter}], {y}[{letter}-1] | {text})"
    )
    chain.run.arrays[chain.step.message.name, "lag"] = symbol
    return symbol
