"""Filters and smoothers in TeX: the recursion of a Gaussian chain, step by step as the emitted one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bnlab.printers.latex_algebra import Algebra, events
from bnlab.printers.latex_expression import Inside
from bnlab.printers.latex_layout import Line, display, line
from bnlab.printers.latex_matrices import UnwritableError
from bnlab.printers.latex_names import Names, escaped
from bnlab.program.ir import Function, Invoke, Scan, Statement
from bnlab.program.ops import ROW, STEP, Axis, Expr, Reduce, Steps, Symbol, Where

SHIFTS = {"next": "+1", "earlier": "-1"}
"""The step that a part of the steps has at step t."""


def recursion(names: Names, pen: Algebra, item: Invoke) -> Iterator[str]:
    """The paragraph of a filter or a smoother: its recursions, and what is made before and after them."""
    function = next(found for found in names.program.functions if found.name == item.function)
    scans = [part for part in function.body if isinstance(part, Scan)]
    axis = next(axis for target in item.targets for axis in target.axes if axis.kind == STEP)
    yield _introduction(names, item, scans, axis)
    try:
        equations = [each for part in function.body for each in _equations(names, pen, part, axis)]
        yield display(*equations)
    except UnwritableError:
        yield from quoted(function)


def _equations(names: Names, pen: Algebra, item: Statement | Scan | Invoke, axis: Axis) -> Iterator[Line]:
    """Those of one item of a filter or a smoother."""
    match item:
        case Statement(target, value):
            yield _counted(names, pen, item) or line(*pen.equation(target, value))
        case Scan():
            yield from _lines(names, pen, item, axis)
        case Invoke():
            raise AssertionError("a filter calls no other")


def _counted(names: Names, pen: Algebra, item: Statement) -> Line | None:
    """How many sequences have a step, by the posterior of what they belong to; or end at the step before."""
    if not isinstance(item.expression, Reduce) or not item.expression.over:
        return None
    axis = next(axis for axis in item.target.axes if axis.kind == STEP)
    value, letter = item.expression.operand, names.letters[axis]
    ended = isinstance(value, Where)
    weight = value.no if isinstance(value, Where) else value
    over = ",".join(names.letters[each] for each in item.expression.over)
    ends = f"{names.size(axis.name)} = {letter}-1" if ended else rf"{names.size(axis.name)} \ge {letter}"
    (term,) = pen.terms(weight.operand if isinstance(weight, Steps) else weight, ())
    return line(pen.pen.lhs(item.target), (rf"\sum_{{{over}:\, {ends}}} {term}",))


def _introduction(names: Names, item: Invoke, scans: list[Scan], axis: Axis) -> str:
    letter, chain = names.letters[axis], rf"\texttt{{{escaped(axis.name)}}}"
    found = {
        target.name.split("_")[0]: names.bases[target.name]
        for target in item.targets
        if target.name in names.bases
    }
    carried = {
        symbol.name.partition("_")[0]: names.bases[symbol.name]
        for scan in scans
        for symbol, _, _ in scan.carry
    }
    if scans[0].reverse:
        text = (
            f"Smoother (Rauch, Tung and Striebel 1965), from the last step of {chain} back. Given the state of step "
            f"${letter}$, later data say no more of that of step ${letter}-1$: it follows by the regression "
            f"${found['G']}$, which leaves the covariance ${names.bases['C']}$. "
        )
        if "cov" in found:
            return f"{text}${found['mean']}$ and ${found['cov']}$ are the mean and the covariance given all data:"
        return (
            f"{text}${found['mean']}$ is the mean given all data. ${found['G']}$ and ${names.bases['C']}$ are the same for "
            "all sequences, and only sums of their covariances are needed. The recursion is linear in these: it is run once "
            f"for the sum ${carried['W']}$ over the ${names.bases['count']}$ sequences that have a step; "
            f"${names.bases['ended']}$ more have their last step before it:"
        )
    predicted = f"${carried['p']}$, ${carried['P']}$"
    return (
        f"Filter, along the chain {chain} from its first step. ${found['m']}$ and ${found['V']}$ are the mean and the "
        f"covariance given the data up to step ${letter}$, {predicted} those of the prediction from the steps before, and "
        f"${found['log']}$ is how much lower the log density of the prediction is at ${found['m']}$ than that given the data "
        "too. Completing the square in each step with the prediction as the prior, so that "
        rf"${found['V']}^{{-1}} = {carried['P']}^{{-1}} + \Lambda$:"
    )


def _lines(names: Names, pen: Algebra, scan: Scan, axis: Axis) -> Iterator[Line]:
    letter, last = names.letters[axis], names.size(axis.name)
    inside = _inside(names, scan, letter)
    after = _after(scan, letter)
    here = _at(pen, {**inside, **{c.name: (c.name, letter, False) for c, _, _ in scan.carry}})
    for carried, first, _ in scan.carry:
        if scan.reverse and not any(each.kind == ROW for each in carried.axes):
            together = replace(names, whole=frozenset((axis.name,)))
            own, begin = replace(here, pen=replace(here.pen, names=together)), together.size(axis.name)
        else:
            own, begin = here, last if scan.reverse else "1"
        start = _at(own, {carried.name: (carried.name, begin, False)}).pen.lhs(carried)
        yield line(start, own.terms(first, events(carried.axes)))
    for item in scan.body:
        yield line(here.pen.lhs(item.target), here.terms(item.expression, events(item.target.axes)))
    for carried, _, following in scan.carry:
        if _made(scan, following) is not None:
            continue
        left = _at(pen, {carried.name: (carried.name, after, False)}).pen.lhs(carried)
        yield line(left, here.terms(following, events(carried.axes)))


def _at(pen: Algebra, inside: dict[str, Inside]) -> Algebra:
    return replace(pen, pen=replace(pen.pen, inside=inside))


def _inside(names: Names, scan: Scan, step: str) -> dict[str, Inside]:
    """Whose step each array is that the recursion reads or makes at one step; what is the next carry is the carry's own."""
    data = {variable.name for variable in names.graph.variables if variable.role != "latent"}
    found: dict[str, Inside] = {}
    for symbol, whole in scan.inputs:
        array: Expr = whole.operand if isinstance(whole, Steps) else whole
        if isinstance(array, Symbol):
            moved = SHIFTS.get(whole.part, "") if isinstance(whole, Steps) else ""
            found[symbol.name] = (array.name, f"{step}{moved}", array.name in data)
    for item in scan.body:
        found[item.target.name] = (item.target.name, step, False)
    for carried, _, following in scan.carry:
        if (made := _made(scan, following)) is not None:
            found[made.name] = (carried.name, _after(scan, step), False)
    return found


def _after(scan: Scan, step: str) -> str:
    return f"{step}-1" if scan.reverse else f"{step}+1"


def _made(scan: Scan, following: Expr) -> Symbol | None:
    """The statement of a step that is the next carry, before the end of a sequence."""
    value = following.yes if isinstance(following, Where) else following
    return next((item.target for item in scan.body if item.target == value), None)


def quoted(function: Function) -> Iterator[str]:
    """The words of the emitted file."""
    yield "A recursion, in the words of the emitted file:"
    yield "\\begin{quote}\n" + escaped(" ".join(function.doc.split())) + "\n\\end{quote}"
