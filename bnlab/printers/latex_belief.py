"""What q(theta) is called in TeX: hyperparameters, offsets and locals of variational EM, and the equations with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from bnlab.network.ir import Graph, Parameter
from bnlab.notation import tex
from bnlab.printers.latex_algebra import Algebra, events
from bnlab.printers.latex_expression import Writer
from bnlab.printers.latex_layout import LIMIT, Line, line
from bnlab.printers.latex_matrices import UnwritableError, signed
from bnlab.printers.latex_names import SPARE_LETTERS, Names, axes_of
from bnlab.printers.latex_products import NotMatricesError
from bnlab.printers.latex_width import width
from bnlab.program.ir import Field, Statement, Variational
from bnlab.program.ops import EVENT, STATE, Axes, Binary, Constant, Count, Expr, Number, Reduce, Symbol
from bnlab.program.walk import parts, transform

LETTERS = {
    "Dirichlet": {"concentration": r"\alpha"},
    "Normal": {"mean": "m", "cov": "V", "var": "v"},
    "InverseWishart": {"df": r"\nu", "scale": r"\Psi"},
    "InverseGamma": {"concentration": "a", "scale": "b"},
    "Gamma": {"concentration": "a", "rate": "b"},
    "Beta": {"concentration1": "a", "concentration0": "b"},
}
"""What hyperparameters are called, by the family of the prior."""
TITLES = {
    "Dirichlet": r"\operatorname{Dirichlet}",
    "Normal": r"\mathcal{N}",
    "InverseWishart": r"\mathcal{W}^{-1}",
    "InverseGamma": r"\operatorname{InverseGamma}",
    "Gamma": r"\operatorname{Gamma}",
    "Beta": r"\operatorname{Beta}",
}
LOCALS = {
    "precision": r"\bar{\Lambda}",
    "cov": r"\hat{V}",
    "moment": r"\hat{h}",
    "mean": r"\hat{m}",
    "origin": "o",
    "both": "s",
}
"""Locals of the M-step by the first word of their names. With Gaussian latents Lambda and h are what data say of them."""
OFFSET = r"\kappa"
NORMAL = (
    r"\mathrm{E}[\ln \mathcal{N}(x; \mu, \Sigma)]",
    r"\ln \mathcal{N}(x; \mathrm{E}[\mu], \mathrm{E}[\Sigma^{-1}]^{-1})",
    r"-\tfrac{1}{2} \left(\mathrm{E}[\ln \left|\Sigma\right|] + \ln \left|\mathrm{E}[\Sigma^{-1}]\right|"
    r" + \operatorname{tr}\left(\mathrm{E}[\Sigma^{-1}] \operatorname{Cov}(\mu)\right)\right)",
)
"""The expected log density of a Normal, whose mean and covariance are independent under q (Bishop 2006, section 10.2)."""
IDENTITIES = {
    "Dirichlet": ((r"\mathrm{E}[\ln \pi_k]", r"\psi(\alpha_k) - \psi\left(\sum_{k'} \alpha_{k'}\right)"),),
    "InverseWishart": (
        (r"\mathrm{E}[\Sigma^{-1}]", r"\nu \Psi^{-1}"),
        (
            r"\mathrm{E}[\ln \left|\Sigma\right|]",
            r"\ln \left|\Psi\right| - D \ln 2 - \sum_{d=1}^{D} \psi\left(\tfrac{\nu - (d - 1)}{2}\right)",
        ),
    ),
    "InverseGamma": (
        (r"\mathrm{E}[1 / \sigma^2]", r"\frac{a}{b}"),
        (r"\mathrm{E}[\ln \sigma^2]", r"\ln b - \psi(a)"),
    ),
    "Gamma": (
        (r"\mathrm{E}[\lambda]", r"\frac{a}{b}"),
        (r"\mathrm{E}[\ln \lambda]", r"\psi(a) - \ln b"),
    ),
    "Beta": (
        (r"\mathrm{E}[\ln p]", r"\psi(a) - \psi(a + b)"),
        (r"\mathrm{E}[\ln (1 - p)]", r"\psi(b) - \psi(a + b)"),
    ),
}
"""What expected logarithms are, by the family of the prior, for a parameter of any name: Bishop 2006, appendix B."""
ROOM = LIMIT - 60.0
"""For the terms of a divergence: beside them stand its name and a sign."""


# -- names


def called_hypers(graph: Graph, found: Variational) -> dict[str, str]:
    """The TeX of hyperparameters of q and of the prior, and of offsets."""
    called = {}
    for parameter, key, field in hypers(graph, found):
        assert parameter.prior is not None
        letter, above = LETTERS[parameter.prior.family][key], tex(parameter.name)
        called[field.name] = f"{letter}^{{({above})}}"
        called[before(field.name)] = f"{{{letter}_0}}^{{({above})}}"
    points = {parameter.name for parameter in graph.parameters}
    offsets = [field for field in found.program.parameters if field.name not in points]
    letter = rf"\tilde{{{OFFSET}}}" if OFFSET in map(tex, points) else OFFSET
    for field in offsets:
        rest = field.name.removeprefix("offset_").replace("_first", ",1").replace("_", r"\_")
        called[field.name] = letter if len(offsets) == 1 else f"{letter}^{{({_word(rest)})}}"
    return called


def called_locals(found: Variational) -> dict[str, str]:
    """The TeX of the locals of the M-step, and of what makes the point."""
    called = {}
    for item in (*found.expectations.body, *found.program.m_step.body):
        assert isinstance(item, Statement)
        head, _, rest = item.target.name.partition("_")
        if head in LOCALS:
            above = ",".join(map(tex, rest.split("_")))
            called[item.target.name] = LOCALS[head] + (f"^{{({above})}}" if rest else "")
    return called


def _word(text: str) -> str:
    head, comma, rest = text.partition(",")
    return (head if len(head) == 1 else rf"\mathrm{{{head}}}") + comma + rest


def hypers(graph: Graph, found: Variational) -> Iterator[tuple[Parameter, str, Field]]:
    """Each hyperparameter with the parameter that it describes."""
    for field in found.posterior:
        yield graph.parameter(field.of), field.name.removeprefix(f"{field.of}_"), field


def before(name: str) -> str:
    """The name of a hyperparameter of the prior: no Python identifier, so nothing else has it."""
    return f"{name} before"


Tree = TypeVar("Tree")


def renamed(tree: Tree, called: Mapping[str, str]) -> Tree:
    """The same with hyperparameters and offsets as arrays of their own."""

    def change(part: object) -> object:
        match part:
            case Symbol(name, axes, "posterior"):
                return Symbol(name, axes)
            case Symbol(name, axes, "prior"):
                return Symbol(before(name), axes)
            case Symbol(name, axes, "theta") if name in called:
                return Symbol(name, axes)
            case Constant(flat, (size,), (axis,)) if size > 1 and flat == tuple(range(size)):
                return Binary("-", Count(part, axis), Number(1.0))
            case _:
                return part

    return transform(tree, change)


def identities(graph: Graph, found: Variational) -> list[Line]:
    """The expectations under q(theta) that the point and the offsets are made of."""
    families = [p.prior.family for one in found.learnt if (p := graph.parameter(one.name)).prior is not None]
    normal = {"Normal", "InverseWishart", "InverseGamma"} & set(families)
    lines = [line(NORMAL[0], NORMAL[1:])] if normal else []
    known = [IDENTITIES[name] for name in dict.fromkeys(families) if name in IDENTITIES]
    return lines + [line(left, right) for pairs in known for left, right in pairs]


# -- equations


Write = Callable[[Expr], str]
"""How one term is written. Raises UnwritableError or NotMatricesError where it cannot be so."""


@dataclass(frozen=True, slots=True)
class Equations:
    """Writes equations of q(theta): without the indices of vectors and matrices where that can be."""

    pen: Algebra
    called: Mapping[str, str]

    def line(self, target: Symbol, value: Expr, relation: str = "=") -> Line:
        """target = value."""
        value = renamed(value, self.called)
        own = replace(self.pen, pen=replace(self.pen.pen, free=target.axes))
        for write, pen in self._ways(own, value, events(target.axes)):
            try:
                return line(pen.lhs(target), tuple(_terms(write, pen, value)), relation=relation)
            except (UnwritableError, NotMatricesError):
                continue
        raise AssertionError("everything can be written with the indices of entries")

    def divergence(self, left: str, value: Expr) -> Line:
        """left = value, a number."""
        value = renamed(value, self.called)
        names = told_apart(self.pen.pen.names, value)
        own = replace(self.pen, pen=replace(self.pen.pen, names=names))

        def write(term: Expr) -> str:
            for way, _ in self._ways(own, term, ()):
                try:
                    return way(term)
                except (UnwritableError, NotMatricesError):
                    continue
            raise AssertionError("everything can be written with the indices of entries")

        return line(left, tuple(_terms(write, own.pen, value)))

    def _ways(self, own: Algebra, value: Expr, axes: Axes) -> Iterator[tuple[Write, Writer]]:
        """How to write it, the best first: as linear algebra where there are matrices, without indices, with them."""
        indexed = replace(own.pen, matrices=False)
        if _has_matrices(value, own.pen.names):
            yield lambda term: own.terms(term, axes)[0], own.pen
        yield lambda term: own.pen.write(term)[0], own.pen
        yield lambda term: indexed.write(term)[0], indexed


def _terms(write: Write, pen: Writer, value: Expr) -> Iterator[str]:
    """The terms of a sum; of a sum over members, or of a product, too where it is too wide for a line."""
    value = pen.bare(value)
    if isinstance(value, Binary) and value.op in "+-":
        yield from _terms(write, pen, value.left)
        for term in _terms(write, pen, value.right):
            yield signed(term, 1 if value.op == "+" else -1)
        return
    found = write(value)
    apart = _apart(pen, value) if width(found) > ROOM else None
    if apart is None:
        yield found
    else:
        yield from _terms(write, pen, apart)


def _apart(pen: Writer, value: Expr) -> Expr | None:
    """A sum over members, or a number times a sum, as the sum of such terms."""
    match value:
        case Reduce("sum", operand):
            inner = pen.bare(operand)
            if isinstance(inner, Binary) and inner.op in "+-":
                return replace(
                    inner, left=replace(value, operand=inner.left), right=replace(value, operand=inner.right)
                )
        case Binary("*", _, whole):
            inner = pen.bare(whole)
            if isinstance(inner, Binary) and inner.op in "+-":
                return replace(
                    inner, left=replace(value, right=inner.left), right=replace(value, right=inner.right)
                )
    return None


def _has_matrices(value: Expr, names: Names) -> bool:
    """Whether there are matrices, and none is written with indices."""
    axes = [axis for axis in axes_of(value) if axis.kind == EVENT]
    arrays = [part for part in parts(value) if isinstance(part, Symbol | Constant)]
    return set(axes) <= names.silent and any(len(events(part.axes)) > 1 for part in arrays)


def told_apart(names: Names, value: Expr) -> Names:
    """The names, with a letter of its own for each axis: rows of a table of transitions are called as its columns are."""
    letters = dict(names.letters)
    seen: set[str] = set()
    for axis in reversed(tuple(dict.fromkeys(axes_of(value)))):
        if letters[axis] in seen:
            states = (other for other in names.letters if other.kind == STATE and other.name.endswith("'"))
            earlier = (names.letters[other] for other in states)
            spare = (*earlier, *(each for each in SPARE_LETTERS if each not in letters.values()))
            letters[axis] = next(letter for letter in spare if letter not in seen)
        seen.add(letters[axis])
    return replace(names, letters=letters)
