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
from bnlab.families.base import Slope
from bnlab.inference.chain import cut, extents, local
from bnlab.inference.gaussian import (
    Pair,
    Quadratic,
    back,
    called,
    contract,
    forward,
    inverse,
    log_det,
    multiplied_matrix,
    other_side,
    pair,
    turned,
    unit,
)
from bnlab.inference.integrate import at_name, observed_names, plain_origin
from bnlab.inference.moments import At, Moments
from bnlab.inference.plan import IntegrateChain
from bnlab.inference.products import multiplied
from bnlab.inference.state_space import System, part_of, system
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import Axes, Axis, Broadcast, Expr, Number, Steps, Symbol, Where, union
from bnlab.program.walk import symbols, transform

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


@dataclass(frozen=True, slots=True)
class Filter:
    """One Gaussian chain in one run: its state, what the data say at each step, and the axes of its moments."""

    run: Elimination
    step: IntegrateChain
    system: System
    axis: Axis
    vectors: Axes
    matrices: Axes
    mask: Symbol | None
    suffix: str

    @property
    def entries(self) -> Axes:
        return self.system.entries

    @property
    def earlier(self) -> Axes:
        """The axes of the state one step earlier."""
        return self.system.earlier

    @property
    def slope(self) -> Slope | None:
        return self.system.slope

    @property
    def title(self) -> str:
        return self.system.title

    def local(self, name: str, axes: Axes) -> Symbol:
        taken = {variable.name for variable in self.run.layout.graph.variables}
        return Symbol(f"{name}_now" if name in taken else name, axes)

    def array(self, role: str) -> Symbol:
        return self.run.arrays[self.step.message.name, role]

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
    found = multiplied(run, step.every)
    told = [name for name in (*step.variables, *step.beside) if VarRef(name) in found.shift]
    if not told:
        names = " and ".join(f"`{name}`" for name in step.variables)
        reason = f"Nothing observed depends on the chain of {names}, so its parameters cannot be learnt."
        raise IntractableError(Fault(reason, "Give it an observed child."))
    chain = run.filters[step.message.name] = _filter(run, step, found)
    function = _forward(chain)
    run.functions.append(function)
    arrays = tuple(
        Symbol(run.fresh(s.name + chain.suffix), s.axes) for s in function.results if isinstance(s, Symbol)
    )
    for role, symbol in zip(("m", "V", "S", "n", "log_ratio"), arrays, strict=True):
        run.arrays[step.message.name, role] = symbol
    run.body.append(Invoke(arrays, function.name, (Symbol("theta", ()), *_arguments(chain))))
    run.pass_on(step, Quadratic())


def _filter(run: Elimination, step: IntegrateChain, found: Quadratic) -> Filter:
    layout = run.layout
    state = system(run, step, found)
    axis = layout.plates[step.chain]
    slope = state.slope
    coefficients = [] if slope is None or slope.coefficient is None else [slope.coefficient]
    outer = (axis, *state.entries, *state.earlier)
    parts = (state.Lambda, *coefficients, state.noise.value, state.spread.value)
    matrices = (*build.minus(union(*parts), outer), *state.entries[:2])
    means = (state.eta, state.offset, state.start)
    vectors = (*build.minus(union(*means, matrices), outer), *state.entries[:1])
    chains = [other for other in run.plan.steps if isinstance(other, IntegrateChain)]
    suffix = "" if len(chains) == 1 else f"_{state.title}"
    return Filter(run, step, state, axis, vectors, matrices, run.mask(step.chain), suffix)


def _arguments(chain: Filter) -> tuple[Symbol, ...]:
    """What the filter reads beside parameters."""
    arrays = (chain.system.eta, chain.system.Lambda)
    fixed = _locals(chain, *_moving(chain), chain.system.start, chain.system.spread.value)
    return tuple(dict.fromkeys((*arrays, *fixed, *chain.driven(*_moving(chain)))))


def _moving(chain: Filter) -> tuple[Expr, ...]:
    """What a step is made of, given the one before."""
    coefficient = chain.slope.coefficient if chain.slope else None
    parts = (chain.system.offset, chain.system.noise.value)
    return parts if coefficient is None else (*parts, coefficient)


def _locals(chain: Filter, *parts: Expr) -> tuple[Symbol, ...]:
    """The arrays made before, the same at each step, that some expressions read."""
    found = (symbol for part in parts for symbol in symbols(part))
    return tuple(s for s in found if s.space == "local" and chain.axis not in s.axes and s.name != "jnp.pi")


def _forward(chain: Filter) -> Function:
    """The filter as a function of what the data say at each step."""
    entries, axis = chain.entries, chain.axis
    row = entries[:1]
    p, P = chain.local("p", chain.vectors), chain.local("P", chain.matrices)
    S, V = chain.local("S", chain.matrices), chain.local("V", chain.matrices)
    n, m = chain.local("n", chain.vectors), chain.local("m", chain.vectors)
    log_ratio = chain.local("log_ratio", build.minus(chain.vectors, entries))
    eta, Lambda = chain.at_step(chain.system.eta), chain.at_step(chain.system.Lambda)
    surprise = build.subtract(eta, multiplied_matrix(Lambda, p, entries))
    ratio = build.subtract(
        contract((), Number(0.5), log_det(S, entries)),
        contract((), Number(0.5), contract(row, n, build.subtract(m, p))),
    )
    covariance = multiplied_matrix(P, Lambda, entries)
    letter = axis.letter
    y = f"{chain.title}[{letter}]"
    body = (
        Statement(S, inverse(build.add(unit(entries), covariance), entries), "recursion"),
        Statement(
            V,
            multiplied_matrix(S, P, entries),
            "recursion",
            f"Cov({y} | data up to {letter})",
        ),
        Statement(n, turned(S, surprise, entries), "recursion", "what the data say beyond the prediction"),
        Statement(
            m,
            build.add(p, multiplied_matrix(P, n, entries)),
            "recursion",
            f"E[{y} | data up to {letter}]",
        ),
        Statement(
            log_ratio,
            ratio,
            "recursion",
            f"ln p({y} | data before) - ln p({y} | data up to {letter}) at {y} = m[{letter}]",
        ),
    )
    driven = chain.driven(*_moving(chain))
    nexts = {symbol: Symbol(f"{symbol.name}_next", build.minus(symbol.axes, (axis,))) for symbol in driven}
    mean, spread = predicted(chain, m, V, nexts)
    inputs: list[tuple[Symbol, Expr]] = []
    for array in (chain.system.eta, chain.system.Lambda):
        if axis in array.axes:
            now = chain.at_step(array)
            assert isinstance(now, Symbol)
            inputs.append((now, local(array)))
    inputs += [(after, Steps(local(symbol), axis, "next")) for symbol, after in nexts.items()]
    like = Steps(local(chain.system.eta), axis, "first")
    begin = _spread_out(chain.system.start, like, chain.vectors)
    first = chain.system.spread
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
    arguments = tuple(local(symbol) for symbol in _arguments(chain))
    results = tuple(symbol for _, symbol in outputs)
    return Function(chain.run.fresh(f"filter_{chain.title}"), arguments, ("theta",), (scan,), results, doc)


def _spread_out(value: Expr, like: Expr, axes: Axes) -> Expr:
    return value if value.axes == axes else Broadcast(value, like, axes)


def predicted(chain: Filter, m: Expr, V: Expr, at: dict[Symbol, Symbol]) -> tuple[Expr, Expr]:
    """F m + b and F V F' + Q, with the data of the step that is predicted."""

    def then(expr: Expr) -> Expr:
        return transform(expr, lambda part: at.get(part, part) if isinstance(part, Symbol) else part)

    entries, earlier = chain.entries, chain.earlier
    offset, spread = then(chain.system.offset), chain.system.noise
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
    """The means of a chain's latents at all steps, given all data or those up to each step."""
    chain = run.filters[step.message.name]
    if at == "filtered":
        return {VarRef(name): _filtered_mean(chain, name) for name in (*step.variables, *step.beside)}
    _smooth(chain)
    return {VarRef(name): _smoothed_mean(chain, name) for name in (*step.variables, *step.beside)}


def _filtered_mean(chain: Filter, name: str) -> Expr:
    text = f"E[{at_name(chain.run, VarRef(name))} | data so far]{plain_origin(chain.run, VarRef(name))}"
    return part_of(
        chain.run, chain.system, chain.array("m"), (name,), (_rows(chain, name),), f"m_{name}", text
    )


def _smoothed_mean(chain: Filter, name: str) -> Expr:
    y = at_name(chain.run, VarRef(name))
    text = f"E[{y} | {observed_names(chain.run)}]{plain_origin(chain.run, VarRef(name))}"
    return part_of(
        chain.run, chain.system, chain.array("mean"), (name,), (_rows(chain, name),), f"mean_{name}", text
    )


def smoothed(run: Elimination, step: IntegrateChain, name: str) -> Moments:
    """The posterior moments at the steps where a factor stands, those of two neighbouring steps for a transition."""
    chain = run.filters[step.message.name]
    _smooth(chain)
    factor = next((f for f in run.plan.factors if f.name == name), None)
    if factor is None or (factor.steps == "all" and name not in step.beside):
        names = (*step.variables, *step.beside)
        refs = tuple(map(VarRef, names)) if factor is None or factor.variable in names else factor.continuous
        return _moments(chain, refs, "")
    if name in step.beside:
        found = _moments(chain, (VarRef(name),), "first")
        return replace(found, plates=run.plan.factor(name).plates)
    return _moments(chain, factor.continuous, "first" if factor.steps == "first" else "later")


def _moments(chain: Filter, refs: tuple[VarRef, ...], steps: str) -> Moments:
    """The moments of some latents at some steps; those one step earlier among them."""
    means: dict[VarRef, Expr] = {}
    covs: dict[Pair, Expr] = {}
    for place, a in enumerate(refs):
        means[a] = _lagged(
            chain, a, _at(chain, _smoothed_mean(chain, a.name), "earlier" if a.lag else steps), 1
        )
        for b in refs[place:]:
            covs[pair(a, b)] = _cov(chain, *pair(a, b), steps)
    return Moments(means, covs, chain.step.joint.plates)


def _at(chain: Filter, value: Expr, steps: str) -> Expr:
    return cut(value, chain.axis, steps) if steps else value


def _lagged(chain: Filter, ref: VarRef, value: Expr, rank: int) -> Expr:
    """An array of a latent with the axes of its entries as they are read, that many times."""
    if not ref.lag:
        return value
    now, before = (chain.run.layout.vector(VarRef(ref.name, lag), 3)[:rank] for lag in (0, 1))
    return called(value, dict(zip(now, before, strict=True)))


def _cov(chain: Filter, a: VarRef, b: VarRef, steps: str) -> Expr:
    """The posterior covariance of two latents, each at its own step."""
    run, step = chain.run, chain.step
    beside = [ref.name in step.beside for ref in (a, b)]
    if a.lag == b.lag or any(beside):
        names = (a.name, b.name)
        title = f"cov_{a.name}" if a.name == b.name else f"cov_{a.name}_{b.name}"
        both = ", ".join(dict.fromkeys(at_name(run, VarRef(name)) for name in names))
        text = f"Cov({both} | {observed_names(run)})"
        column = run.layout.vector(VarRef(b.name), 3)[1:2] if a.name == b.name else _rows(chain, b.name)
        ends = (_rows(chain, a.name), column)
        value = part_of(run, chain.system, chain.array("cov"), names, ends, title, text)
        value = _at(chain, value, "earlier" if a.lag or b.lag else steps)
        if a == b:
            return _lagged(chain, a, value, 2)
        return _lagged(chain, b, _lagged(chain, a, value, 1), 1)
    now, before = (a, b) if b.lag else (b, a)
    lag = _lag_one(chain)
    if not chain.system.places:
        return lag
    letter = chain.axis.letter
    text = f"Cov({now.name}[{letter}], {before.name}[{letter}-1] | {observed_names(run)})"
    title = f"cov_{now.name}_{before.name}_before"
    ends = (_rows(chain, now.name), run.layout.vector(before, 1))
    return part_of(run, chain.system, lag, (now.name, before.name), ends, title, text)


def _rows(chain: Filter, name: str) -> Axes:
    return chain.run.layout.vector(VarRef(name), 1)


def _smooth(chain: Filter) -> None:
    run, step, entries = chain.run, chain.step, chain.entries
    if (step.message.name, "mean") in run.arrays:
        return
    function = _backward(chain)
    run.functions.append(function)
    a, A = (
        Symbol(run.fresh(s.name + chain.suffix), s.axes) for s in function.results if isinstance(s, Symbol)
    )
    arrays = _backward_arguments(chain)
    run.body.append(Invoke((a, A), function.name, (Symbol("theta", ()), *arrays)))
    m, V = chain.array("m"), chain.array("V")
    y = chain.title if chain.system.places else at_name(run, VarRef(chain.title))
    value = build.add(m, multiplied_matrix(V, a, entries))
    mean = run.statement(f"mean_{chain.title}", value, "posterior", f"E[{y} | {observed_names(run)}]")
    half = multiplied_matrix(V, A, entries)
    value = build.subtract(V, multiplied_matrix(half, V, entries))
    cov = run.statement(f"cov_{chain.title}", value, "posterior", f"Cov({y} | {observed_names(run)})")
    for role, symbol in (("A", A), ("mean", mean), ("cov", cov)):
        run.arrays[step.message.name, role] = symbol


def _backward_arguments(chain: Filter) -> tuple[Symbol, ...]:
    names = (chain.array("S"), chain.array("n"), chain.system.Lambda)
    coefficient = chain.slope.coefficient if chain.slope else None
    read = () if coefficient is None else (*_locals(chain, coefficient), *chain.driven(coefficient))
    return (*names, *((chain.mask,) if chain.mask else ()), *read)


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
        f"Smoother: what the data after {letter} add. E[{chain.title}[{letter}] | all data] = m + V a, its covariance\n"
        "is V - V A V.\n"
    )
    arguments = tuple(local(symbol) for symbol in whole)
    title = chain.run.fresh(f"smooth_{chain.title}")
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
    y, text = chain.title, observed_names(chain.run)
    letter = axis.letter
    symbol = chain.run.statement(
        f"cov_{y}_next", value, "posterior", f"Cov({y}[{letter}], {y}[{letter}-1] | {text})"
    )
    chain.run.arrays[chain.step.message.name, "lag"] = symbol
    return symbol
