"""A chain of one Gaussian latent: the smoother, from the last step back (Rauch, Tung and Striebel 1965).

The filter (`filtering`) leaves N(m, V) at each step, and N(p, P) as its prediction from the step before. Once y[t] is known,
later data say no more of y[t-1]: it is m[t-1] + G (y[t] - p[t]) and a rest of covariance C, with G = V[t-1] F' P[t]^-1 and

    C = (I - G F) V[t-1] (I - G F)' + G Q G'.

The smoothed covariance is C + G cov[t] G', and Cov(y[t], y[t-1]) is cov[t] G'. These are sums of squares (Joseph's form):
V - G (P - cov[t]) G' would leave few digits of a variance that the data bring down from 1e7 to 1.

P is no smaller than Q, so it has an inverse, unless a known covariance is singular: then G is the least regression.

What is learnt reads only sums of these covariances over sequences, and the recursion is linear in them. Where G and C are the
same for all sequences, which may end at different steps, it is run once for the weighted sum W[t] instead of for each sequence.
With n[t] sequences that have a step t, of which e[t-1] end at the step before,

    W[t-1] = n[t] C[t] + G[t] W[t] G[t]' + e[t-1] V[t-1].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bnlab.families.base import Slope
from bnlab.inference.chain import cut, local
from bnlab.inference.filtering import Filter, fixed_arrays, with_coefficient
from bnlab.inference.gaussian import (
    called,
    coefficient,
    contract,
    inverse,
    unit,
    zero_free,
)
from bnlab.program import build
from bnlab.program.ir import Function, Scan, Statement
from bnlab.program.ops import (
    EVENT,
    STATE,
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


def arguments_of(chain: Filter, weights: Symbol | None) -> tuple[Symbol, ...]:
    """What the smoother reads beside parameters: filtered moments, predicted ones, the mask, the weights, and what a step is
    made of.
    """
    filtered = tuple(chain.array(role) for role in ("m", "V", "p", "P"))
    moving = (chain.system.noise.value, *chain.coefficients)
    told = tuple(symbol for symbol in (chain.mask, weights) if symbol is not None)
    return tuple(dict.fromkeys((*filtered, *told, *fixed_arrays(chain, *moving), *chain.driven(*moving))))


def smoother(chain: Filter, slope: Slope, weights: Symbol | None) -> Function:
    """The smoother as a function of what the filter found."""
    run, y, letter = chain.run, chain.title, chain.axis.letter
    arguments = tuple(local(symbol) for symbol in arguments_of(chain, weights))
    statements = _regression(chain, slope, set(arguments_of(chain, weights)))
    G, C = statements[0].target, statements[-1].target
    counts = () if weights is None else _counts(chain, weights)
    scans, whole = _recursions(chain, G, C, counts)
    statements = (*statements, *counts)
    doc = (
        f"Smoother (Rauch, Tung and Striebel 1965), from the last {letter} back: E[{y}[{letter}] | all data] and its "
        "covariance.\n"
        f"\nGiven {y}[{letter}], later data say no more of {y}[{letter}-1]: it is m[{letter}-1] + G[{letter}] ({y}[{letter}] - "
        f"p[{letter}]) and a rest\nof covariance C[{letter}].\n"
    )
    if weights is not None:
        doc += "G and C are the same for all sequences, so that only the weighted sum of their covariances is carried: W.\n"
    title = run.fresh(f"smooth_{y}")
    return Function(title, arguments, ("theta",), (*statements, *scans), (*whole, G), doc)


def _regression(chain: Filter, slope: Slope, given: set[Symbol]) -> tuple[Statement, ...]:
    """How a state follows that of the step after, given the data up to its own: G first, the covariance of the rest last."""
    entries, earlier, axis, letter = chain.entries, chain.earlier, chain.axis, chain.axis.letter
    y = chain.title

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
        if noise.value != Number(0.0):
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


@dataclass(frozen=True, slots=True)
class _Spread:
    """What a recursion carries of covariances: its first value, how that of the step before is made, and what that reads."""

    carried: Symbol
    start: Expr
    before: Statement
    following: Expr
    inputs: tuple[tuple[Symbol, Expr], ...] = ()
    collected: tuple[Symbol, ...] = ()


def _recursions(
    chain: Filter, G: Symbol, C: Symbol, counts: tuple[Statement, ...]
) -> tuple[tuple[Scan, Scan], tuple[Expr, ...]]:
    """The recursions of means and of covariances, and these at all steps; with `counts`, sums of covariances over sequences,
    and those of the steps before later ones too.
    """
    axis = chain.axis
    m, V, p = (local(chain.array(role)) for role in ("m", "V", "p"))
    m_before, V_before = chain.local("m_before", chain.vectors), chain.local("V_before", chain.matrices)
    mean, p_now, G_now, C_now = chain.local("mean", chain.vectors), *(chain.now(part) for part in (p, G, C))
    moved = _mean_before(chain, mean, m_before, p_now, G_now)
    following: Expr = moved.target
    of_means = [(m_before, cut(m, axis, "earlier")), (p_now, cut(p, axis, "later")), (G_now, G)]
    of_spreads: list[tuple[Symbol, Expr]] = [(G_now, G), (C_now, C)]
    spread = _sums(chain, G_now, C_now, V_before, counts) if counts else _each(chain, G_now, C_now, V_before)
    if chain.mask:
        on = chain.now(chain.mask)
        of_means.append((on, cut(local(chain.mask), axis, "later")))
        of_spreads.append((V_before, cut(V, axis, "earlier")))
        if not counts:
            of_spreads.append(of_means[-1])
        following = Where(on, moved.target, m_before)
    of_mean = _backwards(chain, (mean, Steps(m, axis, "last"), following), of_means, moved, (mean,))
    of_spread = _backwards(
        chain,
        (spread.carried, spread.start, spread.following),
        [*of_spreads, *spread.inputs],
        spread.before,
        (spread.carried, *spread.collected),
    )
    firsts = (_first(each) for each in (mean, spread.carried))
    collected = (scan.outputs[0][1] for scan in (of_mean, of_spread))
    whole = (Prepend(first, rest, axis) for first, rest in zip(firsts, collected, strict=True))
    return (of_mean, of_spread), (*whole, *(rest for _, rest in of_spread.outputs[1:]))


def _backwards(
    chain: Filter,
    carry: tuple[Symbol, Expr, Expr],
    inputs: list[tuple[Symbol, Expr]],
    made: Statement,
    collected: tuple[Symbol, ...],
) -> Scan:
    """A recursion from the last step back."""
    outputs = tuple((each, Symbol(each.name, (chain.axis, *each.axes))) for each in collected)
    return Scan((carry,), tuple(inputs), (made,), outputs, (_first(carry[0]),), reverse=True)


def _first(carried: Symbol) -> Symbol:
    """What is carried at last: that of the first step."""
    return Symbol(f"first_{carried.name}", carried.axes)


def _each(chain: Filter, G_now: Symbol, C_now: Symbol, V_before: Symbol) -> _Spread:
    """The covariance of each sequence; before its end it is what the filter left."""
    m, V = (Steps(local(chain.array(role)), chain.axis, "last") for role in ("m", "V"))
    rows = build.minus(chain.mask.axes, (chain.axis,)) if chain.mask else ()
    matrices = (*build.minus(union(chain.matrices, rows), chain.entries), *chain.entries[:2])
    cov, target = chain.local("cov", matrices), chain.local("cov_before", matrices)
    value = _in_place(chain, build.add(C_now, _turned(chain, G_now, cov)))
    start = V if V.axes == matrices else Broadcast(V, m, matrices)
    following: Expr = target
    if chain.mask:
        on = chain.now(chain.mask)
        following = Where(on, target, V_before)
    return _Spread(cov, start, Statement(target, value, "recursion", "and its covariance"), following)


def _mean_before(chain: Filter, mean: Symbol, m_before: Symbol, p_now: Symbol, G_now: Symbol) -> Statement:
    """The mean of a step, from that of the step after."""
    entries, letter = chain.entries, chain.axis.letter
    if entries:
        (d, e, _), (g, *_) = entries, chain.earlier
        back = called(contract((e,), G_now, called(build.subtract(mean, p_now), {d: e})), {g: d})
    else:
        back = contract((), G_now, build.subtract(mean, p_now))
    target = chain.local("mean_before", chain.vectors)
    text = f"E[{chain.title}[{letter}-1] | all data]"
    return Statement(target, build.add(m_before, back), "recursion", text)


def _turned(chain: Filter, G_now: Symbol, cov: Symbol) -> Expr:
    """G cov G', over the entries of the step before."""
    if not chain.entries:
        return contract((), build.square(G_now), cov)
    (d, e, f), (g, h, _) = chain.entries, chain.earlier
    half = _product((g, f), G_now, called(cov, {d: e, e: f}))
    return _product((g, h), half, called(G_now, {g: h, e: f}))


def _in_place(chain: Filter, matrix: Expr) -> Expr:
    """A matrix over the entries of the step before as one over those of a step."""
    return called(matrix, dict(zip(chain.earlier[:2], chain.entries[:2], strict=True)))


def sequences(chain: Filter, weights: Expr) -> Axes:
    """The axes that sums over sequences are over: of their weights those that the filter's covariances have not."""
    return tuple(
        axis for axis in weights.axes if axis.kind != STATE and axis not in (chain.axis, *chain.matrices)
    )


def _counts(chain: Filter, weights: Symbol) -> tuple[Statement, Statement]:
    """How many sequences have each step, and how many end at each but the last, by their weights."""
    assert chain.mask is not None
    axis, letter, over = chain.axis, chain.axis.letter, sequences(chain, weights)
    earlier, on = cut(local(weights), axis, "earlier"), cut(local(chain.mask), axis, "later")
    numbers = build.total(local(weights), over), build.total(Where(on, Number(0.0), earlier), over)
    texts = (
        f"sequences that have a step {letter}, by their weights",
        f"those whose last step is {letter}-1",
    )
    first, second = (
        Statement(chain.local(name, value.axes), value, "recursion", text)
        for name, value, text in zip(("count", "ended"), numbers, texts, strict=True)
    )
    return first, second


def _sums(
    chain: Filter, G_now: Symbol, C_now: Symbol, V_before: Symbol, counts: tuple[Statement, ...]
) -> _Spread:
    """The weighted sum of the covariances of all sequences; those that end at a step join there."""
    axis, (count, ended) = chain.axis, (each.target for each in counts)
    count_now, ended_now = chain.now(count), chain.now(ended)
    matrices = (*build.minus(union(chain.matrices, count_now), chain.entries), *chain.entries[:2])
    W, target = chain.local("W", matrices), chain.local("W_before", matrices)
    moved = build.add(contract((), count_now, C_now), _turned(chain, G_now, W))
    text = f"the sum of Cov({chain.title}[{axis.letter}-1] | all data) of those"
    before = Statement(target, build.arranged(_in_place(chain, moved), matrices), "recursion", text)
    following = build.add(target, contract((), ended_now, V_before))
    last = contract((), Steps(count, axis, "last"), Steps(local(chain.array("V")), axis, "last"))
    inputs = ((count_now, cut(count, axis, "later")), (ended_now, ended))
    start, following = build.arranged(last, matrices), build.arranged(following, matrices)
    return _Spread(W, start, before, following, inputs, (target,))
