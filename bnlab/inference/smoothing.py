"""A chain of one Gaussian latent: the smoother, from the last step back (Rauch, Tung and Striebel 1965).

The filter (`filtering`) leaves N(m, V) at each step, and N(p, P) as its prediction from the step before. Once y[t] is known,
later data say no more of y[t-1]: it is m[t-1] + G (y[t] - p[t]) and a rest of covariance C, with G = V[t-1] F' P[t]^-1 and

    C = (I - G F) V[t-1] (I - G F)' + G Q G'.

The smoothed covariance is C + G cov[t] G', and Cov(y[t], y[t-1]) is cov[t] G'. These are sums of squares (Joseph's form):
V - G (P - cov[t]) G' would leave few digits of a variance that the data bring down from 1e7 to 1.

P is no smaller than Q, so it has an inverse, unless a known covariance is singular: then G is the least regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bnlab.families.base import Slope
from bnlab.inference.chain import cut, local
from bnlab.inference.filtering import Filter, fixed_arrays, with_coefficient
from bnlab.inference.gaussian import (
    Pair,
    called,
    coefficient,
    contract,
    inverse,
    pair,
    unit,
    zero_free,
)
from bnlab.inference.integrate import at_name, observed_names, plain_origin
from bnlab.inference.moments import At, Moments
from bnlab.inference.plan import IntegrateChain
from bnlab.inference.state_space import part_of
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import (
    EVENT,
    Axes,
    Broadcast,
    Expr,
    Keep,
    Number,
    Prepend,
    Solve,
    Steps,
    Symbol,
    Where,
    union,
)
from bnlab.program.walk import transform

if TYPE_CHECKING:
    from bnlab.inference.elimination import Elimination


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
    text = f"E[{y} | {_given(chain)}]{plain_origin(chain.run, VarRef(name))}"
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
        text = f"Cov({both} | {_given(chain)})"
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
    text = f"Cov({now.name}[{letter}], {before.name}[{letter}-1] | {_given(chain)})"
    title = f"cov_{now.name}_{before.name}_before"
    ends = (_rows(chain, now.name), run.layout.vector(before, 1))
    return part_of(run, chain.system, lag, (now.name, before.name), ends, title, text)


def _given(chain: Filter) -> str:
    """What the posterior is given: the data, and discrete latents that are summed out later."""
    return ", ".join([observed_names(chain.run), *(ref.name for ref in chain.step.message.scope)])


def _rows(chain: Filter, name: str) -> Axes:
    return chain.run.layout.vector(VarRef(name), 1)


def _smooth(chain: Filter) -> None:
    """Writes the smoother: the moments given all data, and the regression of each step on the next."""
    run, message = chain.run, chain.step.message.name
    if (message, "mean") in run.arrays:
        return
    if chain.slope is None:
        run.arrays[message, "mean"], run.arrays[message, "cov"] = chain.array("m"), chain.array("V")
        return
    function = _backward(chain, chain.slope)
    run.functions.append(function)
    names = f"mean_{chain.title}", f"cov_{chain.title}", f"G{chain.suffix}"
    targets = tuple(Symbol(run.fresh(n), r.axes) for n, r in zip(names, function.results, strict=True))
    y = chain.title if chain.system.places else at_name(run, VarRef(chain.title))
    told = f"E[{y} | {_given(chain)}] and Cov({y} | {_given(chain)})"
    arguments = (Symbol("theta", ()), *_arguments(chain, chain.slope))
    run.body.append(Invoke(targets, function.name, arguments, told))
    for role, symbol in zip(("mean", "cov", "G"), targets, strict=True):
        run.arrays[message, role] = symbol


def _arguments(chain: Filter, slope: Slope) -> tuple[Symbol, ...]:
    """What the smoother reads beside parameters: filtered moments, predicted ones, the mask, and what a step is made of."""
    filtered = tuple(chain.array(role) for role in ("m", "V", "p", "P"))
    moving = (chain.system.noise.value,) + ((slope.coefficient,) if slope.coefficient is not None else ())
    mask = (chain.mask,) if chain.mask else ()
    return tuple(dict.fromkeys((*filtered, *mask, *fixed_arrays(chain, *moving), *chain.driven(*moving))))


def _backward(chain: Filter, slope: Slope) -> Function:
    """The smoother as a function of what the filter found."""
    run, y, letter = chain.run, chain.title, chain.axis.letter
    arguments = tuple(local(symbol) for symbol in _arguments(chain, slope))
    statements = _regression(chain, slope)
    G, C = statements[0].target, statements[-1].target
    scan, whole = _recursion(chain, G, C)
    doc = (
        f"Smoother (Rauch, Tung and Striebel 1965), from the last {letter} back: E[{y}[{letter}] | all data] and its "
        "covariance.\n"
        f"\nGiven {y}[{letter}], later data say no more of {y}[{letter}-1]: it is m[{letter}-1] + G[{letter}] ({y}[{letter}] - "
        f"p[{letter}]) and a rest\nof covariance C[{letter}].\n"
    )
    title = run.fresh(f"smooth_{y}")
    return Function(title, arguments, ("theta",), (*statements, scan), (*whole, G), doc)


def _regression(chain: Filter, slope: Slope) -> tuple[Statement, ...]:
    """How a state follows that of the step after, given the data up to its own: G first, the covariance of the rest last."""
    entries, earlier, axis, letter = chain.entries, chain.earlier, chain.axis, chain.axis.letter
    y, given = chain.title, set(_arguments(chain, slope))

    def now(expr: Expr) -> Expr:
        """What a step is made of, at all steps but the first."""
        inside = transform(expr, lambda part: local(part) if part in given else part)
        return cut(inside, axis, "later")

    V, P = (local(chain.array(role)) for role in ("V", "P"))
    slope, noise = (
        with_coefficient(slope, now),
        replace(chain.system.noise, value=zero_free(now(chain.system.noise.value))),
    )
    before, ahead = cut(V, axis, "earlier"), cut(P, axis, "later")
    if not entries:
        sign = Number(float(slope.sign))
        half = contract((), sign, before, coefficient(slope, (), (), ()))
        gain = build.divide(half, ahead) if chain.system.definite else Keep(half, ahead, Number(0.0))
        G = _statement(chain, "G", gain)
        B = _statement(
            chain,
            "B",
            build.subtract(Number(1.0), contract((), sign, G.target, coefficient(slope, (), (), ()))),
        )
        squares = [(B.target, before), (G.target, noise.value)]
        parts = [contract((), build.square(left), inner) for left, inner in squares]
    else:
        (d, e, f), (g, h, i) = entries, earlier
        half = _times_transition(called(before, {d: g, e: h}), slope, entries, earlier)
        if chain.system.definite:
            gain = _product((g, e), half, inverse(ahead, entries))
        else:
            half = build.arranged(half, (*build.minus(half.axes, (g, d)), g, d))
            gain = called(Solve(ahead, half, half.axes), {d: e})
        G = _statement(chain, "G", gain)
        B = _statement(chain, "B", build.subtract(unit(earlier), _through(G.target, slope, entries, earlier)))
        moved = _product((g, i), B.target, called(before, {d: h, e: i}))
        parts = [_product((g, h), moved, called(B.target, {g: h, h: i}))]
        added = (
            _product((g, f), G.target, called(noise.value, {d: e, e: f}))
            if noise.full
            else called(contract((), G.target, called(noise.value, {d: e})), {e: f})
        )
        parts.append(_product((g, h), added, called(G.target, {g: h, e: f})))
    C = _statement(chain, "C", build.add(*(part for part in parts if part != Number(0.0))))
    comments = (
        f"the regression of {y}[{letter}-1] on {y}[{letter}], given the data up to {letter}-1",
        f"what it leaves of {y}[{letter}-1] itself",
        f"Cov({y}[{letter}-1] | {y}[{letter}], data up to {letter}-1), a sum of squares: no digits cancel",
    )
    return tuple(replace(each, formula=text) for each, text in zip((G, B, C), comments, strict=True))


def _times_transition(V: Expr, slope: Slope, entries: Axes, earlier: Axes) -> Expr:
    """V F', from the entries of the step before to those of the step."""
    (first, end), row, sign = earlier[:2], entries[:1], Number(float(slope.sign))
    if slope.elementwise:
        return called(contract((), sign, V, coefficient(slope, entries, (end,), ())), {end: row[0]})
    return contract((), sign, _product((first, *row), V, coefficient(slope, entries, row, (end,))))


def _through(G: Symbol, slope: Slope, entries: Axes, earlier: Axes) -> Expr:
    """G F, back to the entries of the step before."""
    (first, end), column, sign = earlier[:2], entries[1:2], Number(float(slope.sign))
    if slope.elementwise:
        return contract((), sign, called(G, {column[0]: end}), coefficient(slope, entries, (end,), ()))
    return contract((), sign, _product((first, end), G, coefficient(slope, entries, column, (end,))))


def _product(ends: Axes, left: Expr, right: Expr) -> Expr:
    """The product of two matrices, with these rows and columns."""
    batch = build.minus(union(left, right), tuple(axis for axis in union(left, right) if axis.kind == EVENT))
    return build.einsum((*batch, *ends), left, right)


def _statement(chain: Filter, name: str, value: Expr) -> Statement:
    """A statement of the smoother over all steps, the axes of its array in the order of the others."""
    ends = (*chain.earlier[:2], *chain.entries[:2])
    batch = build.minus(value.axes, (chain.axis, *ends))
    order = (chain.axis, *(a for a in chain.vectors if a in batch), *(a for a in ends if a in value.axes))
    return Statement(chain.local(name, order), build.arranged(value, order), "recursion")


def _recursion(chain: Filter, G: Symbol, C: Symbol) -> tuple[Scan, tuple[Expr, Expr]]:
    """The recursion, and the means and covariances of all steps."""
    entries, earlier, axis, letter = chain.entries, chain.earlier, chain.axis, chain.axis.letter
    m, V, p = (local(chain.array(role)) for role in ("m", "V", "p"))
    ragged = union(chain.matrices, build.minus(chain.mask.axes, (axis,))) if chain.mask else chain.matrices
    matrices = (*build.minus(ragged, entries), *entries[:2])
    mean, cov = chain.local("mean", chain.vectors), chain.local("cov", matrices)
    m_before, V_before = chain.local("m_before", chain.vectors), chain.local("V_before", chain.matrices)
    p_now, G_now, C_now = (
        Symbol(f"{symbol.name}_{letter}", build.minus(symbol.axes, (axis,))) for symbol in (p, G, C)
    )
    if entries:
        (d, e, f), (g, h, _) = entries, earlier
        back = called(contract((e,), G_now, called(build.subtract(mean, p_now), {d: e})), {g: d})
        half = _product((g, f), G_now, called(cov, {d: e, e: f}))
        spread = called(build.add(C_now, _product((g, h), half, called(G_now, {g: h, e: f}))), {g: d, h: e})
    else:
        back = contract((), G_now, build.subtract(mean, p_now))
        spread = build.add(C_now, contract((), build.square(G_now), cov))
    y = chain.title
    moved = Statement(
        chain.local("mean_before", chain.vectors),
        build.add(m_before, back),
        "recursion",
        f"E[{y}[{letter}-1] | all data]",
    )
    spread_ = Statement(chain.local("cov_before", matrices), spread, "recursion", "and its covariance")
    following: tuple[Expr, Expr] = moved.target, spread_.target
    inputs = [(m_before, cut(m, axis, "earlier")), (p_now, cut(p, axis, "later")), (G_now, G), (C_now, C)]
    if chain.mask:
        on = chain.at_step(chain.mask)
        assert isinstance(on, Symbol)
        inputs += [(V_before, cut(V, axis, "earlier")), (on, cut(local(chain.mask), axis, "later"))]
        following = Where(on, moved.target, m_before), Where(on, spread_.target, V_before)
    last_mean, last_cov = Steps(m, axis, "last"), Steps(V, axis, "last")
    start = last_cov if last_cov.axes == matrices else Broadcast(last_cov, last_mean, matrices)
    carry = ((mean, last_mean, following[0]), (cov, start, following[1]))
    firsts = tuple(Symbol(f"first_{each.name}", each.axes) for each in (mean, cov))
    later = tuple(Symbol(f"{each.name}", (axis, *each.axes)) for each in (mean, cov))
    outputs = tuple(zip((mean, cov), later, strict=True))
    scan = Scan(carry, tuple(inputs), (moved, spread_), outputs, firsts, reverse=True)
    whole = tuple(Prepend(first, rest, axis) for first, rest in zip(firsts, later, strict=True))
    return scan, (whole[0], whole[1])


def _lag_one(chain: Filter) -> Expr:
    """Cov(y[t], y[t-1] | all data) = Cov(y[t] | all data) G[t]', over all steps but the first."""
    message = chain.step.message.name
    if (message, "lag") in chain.run.arrays:
        return chain.array("lag")
    entries, axis = chain.entries, chain.axis
    G, cov = chain.array("G"), cut(chain.array("cov"), axis, "later")
    value = contract(entries[1:2], cov, G)
    y, letter = chain.title, axis.letter
    text = f"Cov({y}[{letter}], {y}[{letter}-1] | {_given(chain)})"
    symbol = chain.run.statement(f"cov_{y}_next", value, "posterior", text)
    chain.run.arrays[message, "lag"] = symbol
    return symbol
