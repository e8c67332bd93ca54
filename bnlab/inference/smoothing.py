"""The posterior moments of a chain of Gaussian latents, as what is learnt reads them; `smoother` writes how they are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bnlab.inference.chain import cut
from bnlab.inference.filtering import Filter
from bnlab.inference.gaussian import (
    Pair,
    called,
    contract,
    pair,
)
from bnlab.inference.integrate import at_name, observed_names, plain_origin
from bnlab.inference.moments import At, Moments
from bnlab.inference.plan import Integrate, IntegrateChain, LeavePlates, Step
from bnlab.inference.products import named
from bnlab.inference.smoother import arguments_of, sequences, smoother
from bnlab.inference.state_space import part_of
from bnlab.network.ir import VarRef
from bnlab.program import build
from bnlab.program.ir import Invoke
from bnlab.program.ops import (
    Axes,
    Expr,
    Symbol,
)

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
    return Moments(means, covs, chain.step.joint.plates, _weights(chain))


def _weights(chain: Filter) -> Expr | None:
    """The weights that the covariances of a chain are summed over sequences with; None if each sequence keeps its own."""
    return chain.run.posterior(chain.step.factors[-1]) if _is_summed(chain) else None


def _is_summed(chain: Filter) -> bool:
    """Whether sums of the covariances over sequences are all that is read: no posterior is asked for, the covariances are the
    same for all sequences but for their ends, and no latent that was integrated out before depends on the chain. The
    covariance of such a one has a part of its own, and is no multiple of the chain's.
    """
    run, mask = chain.run, chain.mask
    if not run.weighted or mask is None or chain.slope is None:
        return False
    rows = build.minus(mask.axes, (chain.axis,))
    if not rows or any(axis in chain.matrices for axis in rows):
        return False
    return not any(isinstance(one, Integrate) and _follows(run, one, chain.step) for one in run.plan.steps)


def _follows(run: Elimination, below: Integrate, step: IntegrateChain) -> bool:
    """Whether the moments of a latent are made of those of the chain."""
    above: Step | None = below
    while isinstance(above, Integrate | LeavePlates):
        above = run.consumer(above.message.name)
    return above is step


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
        title = "_".join((_head(chain), *dict.fromkeys(names)))
        both = ", ".join(dict.fromkeys(at_name(run, VarRef(name)) for name in names))
        text = f"{_summed_over(chain)}Cov({both} | {_given(chain)})"
        column = run.layout.vector(VarRef(b.name), 3)[1:2] if a.name == b.name else _rows(chain, b.name)
        ends = (_rows(chain, a.name), column)
        lagged = bool(a.lag or b.lag)
        if lagged and _is_summed(chain):
            title, text = f"{title}_before", f"{text}, of the step before"
            value = part_of(run, chain.system, chain.array("before"), names, ends, title, text)
        else:
            value = part_of(run, chain.system, chain.array("cov"), names, ends, title, text)
            value = _at(chain, value, "earlier" if lagged else steps)
        if a == b:
            return _lagged(chain, a, value, 2)
        return _lagged(chain, b, _lagged(chain, a, value, 1), 1)
    now, before = (a, b) if b.lag else (b, a)
    lag = _lag_one(chain)
    if not chain.system.places:
        return lag
    letter = chain.axis.letter
    text = f"{_summed_over(chain)}Cov({now.name}[{letter}], {before.name}[{letter}-1] | {_given(chain)})"
    title = f"{_head(chain)}_{now.name}_{before.name}_before"
    ends = (_rows(chain, now.name), run.layout.vector(before, 1))
    return part_of(run, chain.system, lag, (now.name, before.name), ends, title, text)


def _given(chain: Filter) -> str:
    """What the posterior is given: the data, and discrete latents that are summed out later."""
    return ", ".join([observed_names(chain.run), *(ref.name for ref in chain.step.message.scope)])


def _head(chain: Filter) -> str:
    return "W" if _is_summed(chain) else "cov"


def _summed_over(chain: Filter) -> str:
    """The sum over sequences, in words."""
    weights = _weights(chain)
    return "" if weights is None else "".join(f"sum_{axis.letter} " for axis in sequences(chain, weights))


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
    weights = _weights(chain)
    if weights is not None and not isinstance(weights, Symbol):
        weights = named(run, weights, f"weight_of_{chain.title}", "of each step")
    function = smoother(chain, chain.slope, weights)
    run.functions.append(function)
    head, y = _head(chain), chain.title
    wanted = {
        "mean": f"mean_{y}",
        "cov": f"{head}_{y}",
        "before": f"{head}_{y}_before",
        "G": f"G{chain.suffix}",
    }
    if weights is None:
        del wanted["before"]
    targets = tuple(
        Symbol(run.fresh(n), r.axes) for n, r in zip(wanted.values(), function.results, strict=True)
    )
    y = y if chain.system.places else at_name(run, VarRef(y))
    meanings = f"E[{y} | {_given(chain)}]", f"{_summed_over(chain)}Cov({y} | {_given(chain)})"
    arguments = (Symbol("theta", ()), *arguments_of(chain, weights))
    run.body.append(Invoke(targets, function.name, arguments, meanings=meanings))
    for role, symbol in zip(wanted, targets, strict=True):
        run.arrays[message, role] = symbol


def _lag_one(chain: Filter) -> Expr:
    """Cov(y[t], y[t-1] | all data) = Cov(y[t] | all data) G[t]', over all steps but the first."""
    message = chain.step.message.name
    if (message, "lag") in chain.run.arrays:
        return chain.array("lag")
    entries, axis = chain.entries, chain.axis
    G, cov = chain.array("G"), cut(chain.array("cov"), axis, "later")
    value = contract(entries[1:2], cov, G)
    y, letter = chain.title, axis.letter
    text = f"{_summed_over(chain)}Cov({y}[{letter}], {y}[{letter}-1] | {_given(chain)})"
    symbol = chain.run.statement(f"{_head(chain)}_{y}_next", value, "posterior", text)
    chain.run.arrays[message, "lag"] = symbol
    return symbol
