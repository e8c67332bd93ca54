"""A chain of one Gaussian latent: the filter, forwards; `smoother` goes back.

At each step the prediction N(p, P) meets what the data of the step say, exp(eta' y - 1/2 y' Lambda y). With
S = (I + P Lambda)^-1 and n = S' (eta - Lambda p) the filtered moments are V = S P and m = p + P n: no covariance is inverted.
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
from bnlab.program.ops import Axes, Axis, Broadcast, Expr, Number, Steps, Symbol, union
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
    coefficient = chain.slope.coefficient if chain.slope else None
    parts = (chain.system.offset, chain.system.noise.value)
    return parts if coefficient is None else (*parts, coefficient)


def fixed_arrays(chain: Filter, *parts: Expr) -> tuple[Symbol, ...]:
    """The arrays made before, and data of sequences, the same at each step, that some expressions read."""
    found = (symbol for part in parts for symbol in symbols(part))
    return tuple(s for s in found if s.space in ("local", "chunk") and chain.axis not in s.axes)


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
    shrinking = "how far the data of the step leave the prediction"
    letter = axis.letter
    y = f"{chain.title}[{letter}]"
    body = (
        Statement(S, inverse(build.add(unit(entries), covariance), entries), "recursion", shrinking),
        Statement(
            V,
            multiplied_matrix(S, P, entries),
            "recursion",
            f"Cov({y} | data up to {letter}) = ({'P^-1' if entries else '1 / P'} + Lambda)^-1",
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
    begin = _spread_out(at_first(chain.system.start, axis), like, chain.vectors)
    first, wide = chain.system.spread, at_first(chain.system.spread.value, axis)
    start = wide if first.full or not entries else contract((), wide, unit(entries))
    carry = (
        (p, begin, _spread_out(mean, m, chain.vectors)),
        (P, _spread_out(start, like, chain.matrices), _spread_out(spread, V, chain.matrices)),
    )
    outputs = tuple((part, Symbol(part.name, (axis, *part.axes))) for part in (p, P, m, V, log_ratio))
    scan = Scan(carry, tuple(inputs), body, outputs, (None, None))
    head = f"m[{letter}] = E[{y} | data up to {letter}]"
    doc = (
        f"Filter: {head} as {extents(outputs[0][1].axes)}, and\n"
        f"V[{letter}] its covariance; p and P are the moments of the prediction from the data before.\n"
    )
    arguments = tuple(local(symbol) for symbol in _arguments(chain))
    results = tuple(symbol for _, symbol in outputs)
    return Function(
        chain.run.fresh(f"filter_{chain.title}"), arguments, ("theta",), (scan,), results, doc, head=head
    )


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
    slope = with_coefficient(chain.slope, then)
    lag = dict(zip(entries, earlier, strict=True))
    mean = forward(slope, entries, called(m, lag), earlier)
    half = forward(slope, entries, called(V, lag), earlier)
    moved = across(half, slope, entries, earlier)
    return build.add(mean, offset) if offset != Number(0.0) else mean, build.add(moved, noise)


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
