"""The derivation in words: the story, the plan step by step, the E-step and the M-step as named statements."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from bnlab.domains import Integer
from bnlab.inference.axes import Layout, layout
from bnlab.inference.em import em
from bnlab.inference.plan import (
    Factor,
    Integrate,
    IntegrateChain,
    LeavePlates,
    Plan,
    Step,
    SumChain,
    SumOut,
    meetings,
    plan,
)
from bnlab.inference.wording import formula
from bnlab.network.ir import Graph
from bnlab.network.text import story
from bnlab.program.ir import Function, Invoke, Program, Scan, Statement
from bnlab.program.ops import Axes, Symbol
from bnlab.program.plain import indices, plain

COMMENT_COLUMN = 58
"""Where the meaning of a statement stands; after a longer statement it stands on a line of its own."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """How EM for `graph` works: the `plan` of the elimination and the `program` that it becomes. Prints as text."""

    graph: Graph
    plan: Plan
    program: Program

    def __str__(self) -> str:
        sections = [story(self.graph), _section("Plan", _steps(self)), _section("E-step", _e_step(self))]
        sections.append(_section("M-step", _m_step(self.program)))
        return "\n\n".join(sections)

    def __repr__(self) -> str:
        return f"<derivation of {self.graph.name}: {len(self.plan.steps)} steps>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def derive(graph: Graph) -> Derivation:
    """The derivation of EM. Raises IntractableError, by name and with the reason, where there is none."""
    return Derivation(graph, plan(graph), em(graph))


def _section(title: str, lines: Iterator[str]) -> str:
    return "\n".join([title, "-" * len(title), *lines])


# -- plan -------------------------------------------------------------------------------------------------------------


def _steps(derivation: Derivation) -> Iterator[str]:
    axes = layout(derivation.graph, meetings(derivation.plan))
    if not derivation.plan.steps:
        yield "Nothing is latent: EM is counting, and one iteration is enough."
    for number, step in enumerate(derivation.plan.steps, 1):
        head, *rest = _step(derivation, axes, step)
        yield f"{number}. {head}"
        yield from (" " * (len(str(number)) + 2) + line for line in rest)
    found = " + ".join(_factor(derivation, axes, name) for name in derivation.plan.evidence)
    where = f" for each member of {derivation.plan.root}" if derivation.plan.root else ""
    yield f"The evidence{where} is {found}."


def _step(derivation: Derivation, axes: Layout, step: Step) -> Iterator[str]:
    match step:
        case SumOut(variable, factors):
            yield f"{variable.name} is summed out{_where(step.joint)}."
            yield f"Multiply: {_factors(derivation, axes, factors)}."
            yield f"Table:    {_size(derivation.graph, step.joint)}."
        case LeavePlates(factors):
            left = ", ".join(plate for plate in step.joint.plates if plate not in step.message.plates)
            yield f"The members of {left} are independent given what remains, so their factors multiply."
            yield f"Multiply: {_factors(derivation, axes, factors)}."
        case SumChain(chain, variables):
            names = " and ".join(variables)
            yield f"The chain {chain} is summed out forwards; its interface is {names}."
            for title, used in (("First:", step.first), ("Later:", step.later), ("Every:", step.every)):
                if used:
                    yield f"{title:9} {_factors(derivation, axes, used)}."
            yield f"Table:    {_size(derivation.graph, step.joint)}."
        case Integrate(variable, own, others):
            yield f"{variable.name} is integrated out{_where(step.joint)}, by completing the square."
            yield f"Prior:    {_factor(derivation, axes, own)}."
            if others:
                yield f"Multiply: {_factors(derivation, axes, others)}."
        case IntegrateChain(chain, variables, beside):
            names = " and ".join((*variables, *beside))
            yield f"The chain {chain} is integrated out forwards; its interface is {names}: a filter, and a smoother back."
            for title, used in (
                ("Prior:", beside),
                ("First:", step.first),
                ("Later:", step.later),
                ("Every:", step.every),
            ):
                if used:
                    yield f"{title:9} {_factors(derivation, axes, used)}."
    yield f"Leaves:   {formula(axes, step.message)}."


def _where(joint: Factor) -> str:
    return f" for each member of {', '.join(joint.plates)}" if joint.plates else ""


def _factors(derivation: Derivation, axes: Layout, names: tuple[str, ...]) -> str:
    return ", ".join(_factor(derivation, axes, name) for name in names)


def _factor(derivation: Derivation, axes: Layout, name: str) -> str:
    factor = derivation.plan.factor(name)
    text = formula(axes, factor)
    if factor.steps != "first":
        return text
    return f"{text} at step {factor.at + 1}" if factor.at else f"{text} at the first step"


def _size(graph: Graph, joint: Factor) -> str:
    sizes = []
    for ref in joint.scope:
        domain = graph.variable(ref.name).domain
        assert isinstance(domain, Integer), "only discrete variables are in tables"
        steps = f", {ref.lag}" if ref.lag > 1 else ""
        sizes.append((f'previous("{ref.name}"{steps})' if ref.lag else ref.name, domain.size))
    entries = prod(size for _, size in sizes)
    spelled = " x ".join(f"{size} ({name})" for name, size in sizes)
    each = " for each member" if joint.plates else ""
    return f"{spelled} = {entries} entries{each}" if len(sizes) > 1 else f"{spelled} entries{each}"


# -- statements -------------------------------------------------------------------------------------------------------


def _e_step(derivation: Derivation) -> Iterator[str]:
    program = derivation.program
    for function in program.functions:
        yield from _function(function)
        yield ""
    yield f"{program.expect.name}: {program.expect.doc}"
    for item in program.expect.body:
        yield from _indented(_item(item))
    for field, value in zip(program.statistics, program.expect.results, strict=True):
        meaning = field.comment if field.name == "log_p" else ""
        yield from _indented(_line(field.name + indices(value.axes), plain(value), meaning))


def _function(function: Function) -> Iterator[str]:
    yield f"{function.name}: {function.doc}"
    for item in function.body:
        yield from _indented(_item(item))
    if not any(isinstance(item, Scan) for item in function.body):
        for value in function.results:
            yield from _indented(_line(function.name + indices(value.axes), plain(value), ""))


def _m_step(program: Program) -> Iterator[str]:
    for item in program.m_step.body:
        yield from _item(item)
    for field, value in zip(program.parameters, program.m_step.results, strict=True):
        fixed = isinstance(value, Symbol) and value.space == "theta"
        left = field.name + indices(value.axes)
        yield from _line(left, plain(value), "fixed" if fixed else field.comment)


def _item(item: Statement | Scan | Invoke) -> Iterator[str]:
    match item:
        case Statement(target, value, _, meaning):
            yield from _line(target.name + indices(target.axes), plain(value), meaning)
        case Invoke(targets, function, arguments):
            names = ", ".join(target.name + indices(target.axes) for target in targets)
            yield from _line(names, f"{function}({', '.join(map(plain, arguments))})", item.comment)
        case Scan():
            yield from _scan(item)


def _scan(scan: Scan) -> Iterator[str]:
    for symbol, first, _ in scan.carry:
        yield from _line(symbol.name + indices(symbol.axes), plain(first), "to begin with")
    reads = ", ".join(f"{symbol.name} of {plain(whole)}" for symbol, whole in scan.inputs)
    yield f"at each step, {'from the last back' if scan.reverse else 'in order of time'}, with {reads}:"
    for item in scan.body:
        yield from _indented(_item(item))
    for symbol, _, following in scan.carry:
        name = symbol.name + indices(_axes(symbol.axes, following.axes))
        yield from _indented(_line(f"next {name}", plain(following), ""))
    collected = ", ".join(f"{symbol.name} of {plain(value)}" for value, symbol in scan.outputs)
    if collected:
        yield f"collects {collected}"


def _axes(wanted: Axes, found: Axes) -> Axes:
    return found if set(found) == set(wanted) else wanted


def _line(left: str, right: str, meaning: str) -> Iterator[str]:
    line = f"{left} = {right}"
    if not meaning:
        yield line
    elif len(line) <= COMMENT_COLUMN - 2:
        yield f"{line.ljust(COMMENT_COLUMN)}{meaning}"
    else:
        yield line
        yield " " * COMMENT_COLUMN + meaning


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)
