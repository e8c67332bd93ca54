"""Products of vectors and matrices in TeX, put in the order in which their rows and columns meet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bnlab.domains import Covariance
from bnlab.network.ir import Graph
from bnlab.printers.latex_products import ATOM, BIG, PRODUCT, SUM
from bnlab.printers.latex_text import transposed
from bnlab.program.ops import Axes, Axis


class UnwritableError(Exception):
    """The expression is no sum of products of vectors and matrices."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A formula: how tightly it holds together (see latex_products), and the axes of its rows and columns."""

    tex: str
    level: int
    axes: Axes = ()
    symmetric: bool = False

    def held(self, least: int) -> str:
        """The formula, in parentheses where it holds together less than it must."""
        return self.tex if self.level >= least else rf"\left({self.tex}\right)"

    def turned(self) -> str:
        """The transpose, as a factor."""
        if self.symmetric or self.tex == "I":
            return self.held(PRODUCT)
        plain = self.level == ATOM and not self.tex.startswith("(")
        return transposed(self.tex) if plain else rf"\left({self.tex}\right)^{{\top}}"


Factor = tuple[Matrix, bool]


def symmetric_parameters(graph: Graph) -> set[str]:
    """The parameters that are their own transpose."""
    return {parameter.name for parameter in graph.parameters if isinstance(parameter.domain, Covariance)}


def signed(term: str, sign: int) -> str:
    """A term of a sum with its sign in front, turned round for a negative `sign`."""
    own = -1 if term.startswith("-") else 1
    rest = term.removeprefix("-").removeprefix("+").strip()
    return f"{'+' if own * sign > 0 else '-'}{rest}"


def arranged(found: Matrix, axes: Axes) -> Matrix:
    """The formula with its rows and columns as told."""
    if len(axes) < 2 or found.axes == axes or set(found.axes) != set(axes) or found.symmetric:
        return found
    return Matrix(found.turned(), PRODUCT, axes)


@dataclass(slots=True)
class Chain:
    """The factors of one product while it is put in order; matrices are taken once."""

    matrices: list[Matrix]
    vectors: dict[Axis, list[Factor]]
    wanted: Axes
    ends: dict[Axis, int] = field(default_factory=dict)

    def walk(self, start: Axis) -> tuple[list[str], Axis | None]:
        """The factors from a row axis on; the axis where they end, None where a vector closes them."""
        at, found = start, self.diagonals(start)
        while True:
            after = next((each for each in self.matrices if at in each.axes), None)
            if after is None:
                break
            self.matrices.remove(after)
            row, column = after.axes
            if after.tex != "I":
                found.append(after.held(PRODUCT) if row == at else after.turned())
            at = column if row == at else row
            found += self.diagonals(at)
        closing = self.vectors.get(at, [])
        if closing:
            found.append(closing.pop(0)[0].held(PRODUCT))
            return found, None
        return found, at

    def diagonals(self, axis: Axis) -> list[str]:
        """The vectors at an axis that no side of the product needs: diagonal matrices."""
        here = self.vectors.get(axis, [])
        needed = 2 - self.ends[axis]
        here.sort(key=lambda factor: factor[1])
        if needed < 0 or any(under for _, under in here[:needed]):
            raise UnwritableError
        extra = here[needed:]
        del here[needed:]
        return [
            rf"\operatorname{{diag}}({vector.tex})" + ("^{-1}" if under else "") for vector, under in extra
        ]


def chained(factors: list[Factor], wanted: Axes) -> Matrix:
    """The product over `wanted` rows and columns; everything else is summed over."""
    scalars = [factor for factor in factors if not factor[0].axes]
    matrices = [found for found, _ in factors if len(found.axes) == 2]
    if any(under for found, under in factors if len(found.axes) == 2) or len(wanted) > 2:
        raise UnwritableError
    if any(found.axes[0] == found.axes[1] for found in matrices):
        raise UnwritableError
    vectors: dict[Axis, list[Factor]] = {}
    for factor in factors:
        if len(factor[0].axes) == 1:
            vectors.setdefault(factor[0].axes[0], []).append(factor)
    chain = Chain(matrices, vectors, wanted)
    for axis in {*vectors, *wanted, *(axis for each in matrices for axis in each.axes)}:
        chain.ends[axis] = (axis in wanted) + sum(axis in each.axes for each in matrices)
    if len(factors) == 1 and not factors[0][1]:
        return factors[0][0]
    if not vectors and len(wanted) < 2 and not matrices:
        return _scaled(scalars, [], wanted)
    lone = wanted and len(wanted) == 1 and not matrices and len(vectors.get(wanted[0], [])) == 1
    if lone and vectors[wanted[0]][0][1]:
        return _scaled(scalars, [f"{vectors[wanted[0]][0][0].held(ATOM)}^{{-1}}"], wanted)
    if len(wanted) == 1 and chain.ends[wanted[0]] == 3 and not vectors.get(wanted[0]):
        return _scaled(scalars, [_diagonal_of(factors, wanted[0])], wanted)
    pair = vectors.get(wanted[0], []) if len(wanted) == 1 and not matrices else []
    if len(pair) == 2 and not any(under for _, under in pair):
        (left, _), (right, _) = pair
        return _scaled(scalars, [_diagonal_text(f"{left.held(PRODUCT)} {right.turned()}")], wanted)
    symmetric = len(matrices) == 1 and not vectors and matrices[0].symmetric
    texts: list[str] = []
    if wanted:
        texts, end = chain.walk(wanted[0])
        if len(wanted) == 2 and end is None:
            others, closed = chain.walk(wanted[1])
            if closed is not None:
                raise UnwritableError
            across = " ".join(others)
            plain = len(others) == 1 and not across.startswith("(")
            texts = [*texts, transposed(across) if plain else rf"\left({across}\right)^{{\top}}"]
        elif len(wanted) == 2 and end != wanted[1] or len(wanted) == 1 and end is not None:
            raise UnwritableError
        texts = texts or ["I"]
    for inner in _inner_products(chain):
        scalars.append((inner, False))
    return _scaled(scalars, texts, wanted, symmetric)


def _diagonal_of(factors: list[Factor], axis: Axis) -> str:
    """The diagonal of a product whose rows and columns are both an axis."""
    other = replace(axis, name=f"{axis.name}*")
    seen = False
    parted: list[Factor] = []
    for found, under in factors:
        if found.axes and axis in found.axes and seen:
            found = replace(found, axes=tuple(other if each == axis else each for each in found.axes))
        seen = seen or axis in found.axes
        if found.axes:
            parted.append((found, under))
    return _diagonal_text(chained(parted, (axis, other)).tex)


def _diagonal_text(product: str) -> str:
    return rf"\operatorname{{diag}}({product})"


def _inner_products(chain: Chain) -> list[Matrix]:
    """What is left: products of a row and a column, which are numbers."""
    found = []
    while any(chain.vectors.values()):
        start = next((axis for axis, held in chain.vectors.items() if held), None)
        assert start is not None
        opening = chain.vectors[start]
        opening.sort(key=lambda factor: factor[1])
        first, under = opening.pop(0)
        if under:
            raise UnwritableError
        chain.ends[start] += 1
        rest, end = chain.walk(start)
        if end is not None:
            raise UnwritableError
        left = first.turned()
        found.append(Matrix(" ".join([left, *rest]), PRODUCT))
    return [*found, *_traces(chain)]


def _traces(chain: Chain) -> list[Matrix]:
    """Products of matrices that end where they begin, and are summed over that axis too."""
    found = []
    while chain.matrices:
        start = chain.matrices[0].axes[0]
        factors, end = chain.walk(start)
        if end != start:
            raise UnwritableError
        found.append(Matrix(rf"\operatorname{{tr}}\left({' '.join(factors)}\right)", ATOM))
    return found


def _scaled(scalars: list[Factor], texts: list[str], wanted: Axes, symmetric: bool = False) -> Matrix:
    """Numbers in front of a product, as a fraction where some divide."""
    negative = False
    above: list[str] = []
    below: list[str] = []
    last: list[str] = []
    for found, under in scalars:
        opposite = found.level == SUM and found.tex.startswith("-") and not _is_sum(found.tex)
        negative ^= opposite
        text = found.tex[1:].strip() if opposite else found.held(PRODUCT)
        if text == "1":
            continue
        if found.level == BIG and not under:
            last.append(found.tex)
        else:
            (below if under else above).append(r"\tfrac{1}{2}" if text == "0.5" else text)
    closed = [rf"\left({text}\right)" for text in (last if texts or below else last[:-1])]
    scale = " ".join([*above, *closed, *last[len(closed) :]])
    if below:
        scale = rf"\frac{{{scale or '1'}}}{{{' '.join(below)}}}"
    whole = " ".join(part for part in (scale, *texts) if part) or "1"
    several = len(texts) + len(above) + len(below) + len(last) > 1 or below
    level = SUM if negative else BIG if len(last) > len(closed) else PRODUCT if several else ATOM
    return Matrix(f"-{whole}" if negative else whole, level, wanted, symmetric)


def _is_sum(text: str) -> bool:
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "({[") - (character in ")}]")
        if depth == 0 and place and character in "+-":
            return True
    return False
