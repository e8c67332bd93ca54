"""A chain of one Gaussian latent: the filter, forwards; `smoother` goes back.

At each step the prediction N(p, P) meets what the data of the step say, exp(eta' y - 1/2 y' Lambda y). With
S = (I + P Lambda)^-1 the filtered moments are V = S P and m = p + V (eta - Lambda p): no covariance is inverted. Covariances do
not depend on what the data are, and come first. Where all steps are alike, any k of them are one map of the same form, so that
few must wait for others (`Riccati`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bnlab.families.base import Slope
from bnlab.inference.chain import at_first, extents, local
from bnlab.inference.gaussian import (
    Quadratic,
    called,
    coefficient_matrix,
    contract,
    forward,
    inverse,
    log_det,
    multiplied_matrix,
    turned,
    unit,
)
from bnlab.inference.intractable import refuse_unseen
from bnlab.inference.plan import IntegrateChain
from bnlab.inference.products import multiplied
from bnlab.inference.state_space import System, system
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import Axes, Axis, Broadcast, Expr, Number, Riccati, Steps, Symbol, union
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

    @property
    def coefficients(self) -> tuple[Expr, ...]:
        """What the state is multiplied by from one step to the next."""
        return () if self.slope is None or self.slope.coefficient is None else (self.slope.coefficient,)

    def local(self, name: str, axes: Axes) -> Symbol:
        taken = {variable.name for variable in self.run.layout.graph.variables}
        return Symbol(f"{name}_now" if name in taken else name, axes)

    def array(self, role: str) -> Symbol:
        return self.run.arrays[self.step.message.name, role]

    def at_step(self, expr: Expr) -> Expr:
        """An expression of all steps inside a recursion: its data are those of one step."""
        return transform(expr, lambda part: self.now(part) if isinstance(part, Symbol) else part)

    def now(self, symbol: Symbol) -> Symbol:
        """An array at one step."""
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
        refuse_unseen(step.variables)
    chain = run.filters[step.message.name] = _filter(run, step, found)
    function = _forward(chain)
    run.functions.append(function)
    arrays = tuple(
        Symbol(run.fresh(s.name + chain.suffix), s.axes) for s in function.results if isinstance(s, Symbol)
    )
    for role, symbol in zip(("p", "P", "m", "V", "log_ratio"), arrays, strict=True):
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
    parts = (*_moving(chain), chain.system.start, chain.system.spread.value)
    return tuple(dict.fromkeys((*arrays, *fixed_arrays(chain, *parts), *chain.driven(*parts))))


def _moving(chain: Filter) -> tuple[Expr, ...]:
    """What a step is made of, given the one before."""
    return chain.system.offset, chain.system.noise.value, *chain.coefficients


def fixed_arrays(chain: Filter, *parts: Expr) -> tuple[Symbol, ...]:
    """The arrays made before, and data of sequences, the same at each step, that some expressions read."""
    found = (symbol for part in parts for symbol in symbols(part))
    return tuple(s for s in found if s.space in ("local", "chunk") and chain.axis not in s.axes)


def _forward(chain: Filter) -> Function:
    """The filter as a function of what the data say at each step: covariances first, which no value of the data changes."""
    letter = chain.axis.letter
    P, S, V = (_over_steps(chain, name, chain.matrices) for name in ("P", "S", "V"))
    p, m = (_over_steps(chain, name, chain.vectors) for name in ("p", "m"))
    statements = (_covariances(chain, P, S, V), _means(chain, V, p, m), *_log_ratio(chain, S, p, m))
    head = f"m[{letter}] = E[{chain.title}[{letter}] | data up to {letter}]"
    doc = (
        f"Filter: {head} as {extents(p.axes)}, and\n"
        f"V[{letter}] its covariance; p and P are the moments of the prediction from the data before.\n"
    )
    arguments = tuple(local(symbol) for symbol in _arguments(chain))
    results = (p, P, m, V, statements[-1].target)
    name = chain.run.fresh(f"filter_{chain.title}")
    return Function(name, arguments, ("theta",), statements, results, doc, head=head)


def _over_steps(chain: Filter, name: str, axes: Axes) -> Symbol:
    return chain.local(name, (chain.axis, *axes))


def _next(chain: Filter, *parts: Expr) -> dict[Symbol, Symbol]:
    """The arrays with steps that the way to the next step reads, there."""
    return {
        symbol: Symbol(f"{symbol.name}_next", build.minus(symbol.axes, (chain.axis,)))
        for symbol in chain.driven(*parts)
    }


def _inputs(
    chain: Filter, arrays: tuple[Symbol, ...], nexts: dict[Symbol, Symbol]
) -> tuple[tuple[Symbol, Expr], ...]:
    """What a recursion reads at each step: of some arrays that step, of others the one after."""
    here = [(chain.now(array), local(array)) for array in arrays if chain.axis in array.axes]
    return (*here, *((after, Steps(local(symbol), chain.axis, "next")) for symbol, after in nexts.items()))


def _covariances(chain: Filter, P_all: Symbol, S_all: Symbol, V_all: Symbol) -> Scan:
    """The recursion of the covariances: P -> V = (P^-1 + Lambda)^-1 -> F V F' + Q.

    Where all steps are alike they need not be taken one after the other.
    """
    entries, axis, state = chain.entries, chain.axis, chain.system
    y = f"{chain.title}[{axis.letter}]"
    P, S, V = (chain.local(name, chain.matrices) for name in ("P", "S", "V"))
    texts = (
        "how far the data of the step leave the prediction",
        f"Cov({y} | data up to {axis.letter}) = ({'P^-1' if entries else '1 / P'} + Lambda)^-1",
    )

    def met(P: Symbol, S: Symbol, V: Symbol, Lambda: Expr) -> tuple[Statement, ...]:
        told = build.add(unit(entries), multiplied_matrix(P, Lambda, entries))
        values = inverse(told, entries), multiplied_matrix(S, P, entries)
        made = zip((S, V), values, texts, strict=True)
        return tuple(Statement(target, value, "recursion", text) for target, value, text in made)

    nexts = _next(chain, state.noise.value, *chain.coefficients)
    spread = predicted(chain, V, nexts)
    first, wide = state.spread, at_first(state.spread.value, axis)
    begin = wide if first.full or not entries else contract((), wide, unit(entries))
    like = Steps(local(state.eta), axis, "first")
    carry = (P, _spread_out(begin, like, chain.matrices), _spread_out(spread, V, chain.matrices))
    inputs = _inputs(chain, (state.Lambda,), nexts)
    at_once: tuple[Statement, ...] = ()
    if entries and not inputs and chain.slope is not None:
        F = called(coefficient_matrix(chain.slope, entries, chain.earlier), {chain.earlier[0]: entries[1]})
        Lambda = local(state.Lambda)
        told = Riccati(carry[1], F, _noise(chain), Lambda, local(state.eta), P_all.axes)
        text = f"Cov({y} | data before): each follows from the one before in the same way"
        at_once = (Statement(P_all, told, "recursion", text), *met(P_all, S_all, V_all, Lambda))
    return Scan(
        (carry,),
        inputs,
        met(P, S, V, chain.now(state.Lambda)),
        tuple(zip((P, S, V), (P_all, S_all, V_all), strict=True)),
        (None,),
        like=local(state.eta),
        at_once=at_once,
    )


def _means(chain: Filter, V_all: Symbol, p_all: Symbol, m_all: Symbol) -> Scan:
    """The recursion of the means: p -> m = p + V (eta - Lambda p) -> F m + b."""
    entries, axis, state = chain.entries, chain.axis, chain.system
    p, m, V = chain.local("p", chain.vectors), chain.local("m", chain.vectors), chain.now(V_all)
    gained = multiplied_matrix(V, _surprise(chain, p), entries)
    text = f"E[{chain.title}[{axis.letter}] | data up to {axis.letter}]"
    nexts = _next(chain, state.offset, *chain.coefficients)
    like = Steps(local(state.eta), axis, "first")
    begin = _spread_out(at_first(state.start, axis), like, chain.vectors)
    carry = (p, begin, _spread_out(moved(chain, m, nexts), m, chain.vectors))
    body = (Statement(m, build.add(p, gained), "recursion", text),)
    inputs = _inputs(chain, (state.eta, state.Lambda, V_all), nexts)
    return Scan((carry,), inputs, body, ((p, p_all), (m, m_all)), (None,))


def _surprise(chain: Filter, p: Symbol) -> Expr:
    """eta - Lambda p: what the data say beyond the prediction, at one step or at all."""
    state = chain.system
    eta, Lambda = (
        local(array) if chain.axis in p.axes else chain.now(array) for array in (state.eta, state.Lambda)
    )
    return build.subtract(eta, multiplied_matrix(Lambda, p, chain.entries))


def _log_ratio(chain: Filter, S: Symbol, p: Symbol, m: Symbol) -> tuple[Statement, Statement]:
    """How much lower the prediction is at the filtered mean than what is known there."""
    entries, letter = chain.entries, chain.axis.letter
    y, n = f"{chain.title}[{letter}]", _over_steps(chain, "n", chain.vectors)
    log_ratio = _over_steps(chain, "log_ratio", build.minus(chain.vectors, entries))
    ratio = build.subtract(
        contract((), Number(0.5), log_det(S, entries)),
        contract((), Number(0.5), contract(entries[:1], n, build.subtract(m, p))),
    )
    texts = (
        f"how the data move the mean: m[{letter}] - p[{letter}] = P[{letter}] n[{letter}]",
        f"ln p({y} | data before) - ln p({y} | data up to {letter}) at {y} = m[{letter}]",
    )
    values = turned(S, _surprise(chain, p), entries), ratio
    first, second = (
        Statement(target, build.arranged(value, target.axes), "recursion", text)
        for target, value, text in zip((n, log_ratio), values, texts, strict=True)
    )
    return first, second


def _spread_out(value: Expr, like: Expr, axes: Axes) -> Expr:
    return value if value.axes == axes else Broadcast(value, like, axes)


def _noise(chain: Filter) -> Expr:
    """Q as a matrix, or a number."""
    noise = chain.system.noise
    return noise.value if noise.full or not chain.entries else contract((), noise.value, unit(chain.entries))


def _then(expr: Expr, at: dict[Symbol, Symbol]) -> Expr:
    """An expression with the data of the step that is predicted."""
    return transform(expr, lambda part: at.get(part, part) if isinstance(part, Symbol) else part)


def predicted(chain: Filter, V: Expr, at: dict[Symbol, Symbol]) -> Expr:
    """F V F' + Q."""
    entries, earlier = chain.entries, chain.earlier
    noise = _then(_noise(chain), at)
    if chain.slope is None:
        return noise
    slope = with_coefficient(chain.slope, lambda part: _then(part, at))
    half = forward(slope, entries, called(V, dict(zip(entries, earlier, strict=True))), earlier)
    return build.add(across(half, slope, entries, earlier), noise)


def moved(chain: Filter, m: Expr, at: dict[Symbol, Symbol]) -> Expr:
    """F m + b."""
    entries, earlier, offset = chain.entries, chain.earlier, _then(chain.system.offset, at)
    if chain.slope is None:
        return offset
    slope = with_coefficient(chain.slope, lambda part: _then(part, at))
    mean = forward(slope, entries, called(m, dict(zip(entries, earlier, strict=True))), earlier)
    return build.add(mean, offset) if offset != Number(0.0) else mean


def with_coefficient(slope: Slope, change: Callable[[Expr], Expr]) -> Slope:
    """The slope with its coefficient changed."""
    return slope if slope.coefficient is None else replace(slope, coefficient=change(slope.coefficient))


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
