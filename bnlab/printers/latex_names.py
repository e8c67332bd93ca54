"""How the quantities of a derivation are called in TeX: the lecture's letters, each name one symbol.

Parameters and variables keep the user's names (`notation`). Arrays of the Program get the letters of the lecture:
posteriors are gamma, those of neighbouring steps xi, messages alpha and beta, statistics N and S with what they count
in parentheses. A letter that the user took is written with a tilde.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from bnlab.domains import Values
from bnlab.network.graph import coefficients, cpds
from bnlab.network.ir import Graph, VarRef
from bnlab.network.text import index_letters
from bnlab.notation import SPECIAL, tex
from bnlab.printers.latex_text import array
from bnlab.printers.latex_width import width
from bnlab.program.ir import Function, Program, Statement
from bnlab.program.ops import EVENT, ROW, STATE, Axes, Axis, Constant, Linear, Symbol
from bnlab.program.walk import parts, symbols, transform

LETTERS = {
    "alpha": r"\alpha",
    "beta": r"\beta",
    "c": "c",
    "b": "b",
    "predicted": r"\bar{\alpha}",
    "r": "r",
    "origin": "o",
    "mean": "m",
    "moments": "M",
    "products": "s",
    "change": r"\delta",
    "precision": r"\Lambda",
    "scatter": "V",
    "N": "N",
    "S": "S",
    "logs": "L",
    "sums": "W",
    "gains": "G",
    "weights": r"\bar{u}",
    "distance": r"\delta",
    "q": r"\gamma",
    "xi": r"\xi",
}
"""What the arrays of a Program are called, by the first word of their name."""

FIRST_LETTERS = {"L": "logs", "W": "sums", "G": "gains"}
"""The word of LETTERS for statistics whose name begins so."""

WIDE = 140.0
"""Points that a vector of a prior may take, a third of a line."""
Key = tuple[tuple[int, ...], tuple[float, ...]]
"""The shape and the numbers of a constant array."""

SPARE_LETTERS = "hgvwuqrabcdefijklmnopsxyz"


@dataclass(frozen=True, slots=True)
class Names:
    """`letters` holds the index of every axis; `bases` the TeX of each array, `heads` the word of LETTERS that it has it by;
    `meanings` the arrays that are logs of probabilities.

    `silent` are the axes of vectors and matrices that are written without indices, `later` arrays along a chain that begin
    at a later step than the first.
    """

    graph: Graph
    program: Program
    letters: Mapping[Axis, str]
    bases: Mapping[str, str]
    heads: Mapping[str, str]
    meanings: Mapping[str, str]
    silent: frozenset[Axis]
    eta: str
    everything: tuple[str, str]
    constants: Mapping[Key, str]
    later: Mapping[str, int] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    @property
    def joint(self) -> str:
        """All variables that have a distribution."""
        everything, hidden = self.everything
        return f"{everything}, {hidden}" if self.graph.in_role("latent") else everything

    def members(self, plates: tuple[str, ...]) -> list[str]:
        """The indices of a member of some plates."""
        found = index_letters(self.graph)
        return [found[plate] for plate in plates]

    def index(self, axis: Axis) -> str:
        """The index of an axis: that of a row names the members that it lies in, too."""
        if axis.kind != ROW:
            return self.letters[axis]
        level = next(level for level in self.program.levels if level[-1] == axis.name)
        return ",".join(self.members(level))

    def state(self, ref: VarRef) -> str:
        """The letter for the states of a discrete variable."""
        wanted = ref.name + "'" * ref.lag
        return next(
            letter for axis, letter in self.letters.items() if axis.kind == STATE and axis.name == wanted
        )

    def read(self, axis: Axis) -> VarRef:
        """The variable whose states an axis has, at its own step or at an earlier one."""
        name = axis.name.rstrip("'")
        return VarRef(name, len(axis.name) - len(name))

    def variable(self, ref: VarRef, step: str = "") -> str:
        """A variable with the indices of its plates, `lag` steps back, or at the step given."""
        index = []
        for plate, letter in zip(
            self.graph.variable(ref.name).plates,
            self.members(self.graph.variable(ref.name).plates),
            strict=True,
        ):
            chain = self.graph.plate(plate).chain
            back = f"{letter}-{ref.lag}" if ref.lag else letter
            now = str(int(step) - ref.lag) if step else back
            index.append(now if chain else letter)
        return tex(ref.name, index)

    def size(self, plate: str) -> str:
        """The size of a plate: its number, or a capital with the indices of the members that it varies with."""
        found = self.graph.plate(plate)
        if found.size is not None:
            return str(found.size)
        around = next(v.plates for v in self.graph.variables if plate in v.plates)
        outer = [name for name in around[: around.index(plate)] if self.graph.plate(name).size is None]
        below = "" if plate in self.whole else ",".join(self.members(tuple(outer)))
        capital = index_letters(self.graph)[plate].upper()
        return f"{capital}_{{{below}}}" if below else capital


def names(graph: Graph, program: Program) -> Names:
    """The names for one network and its EM."""
    taken = {tex(name) for name in _declared(graph)}
    axes = tuple(dict.fromkeys(axes_of(program)))
    letters = _letters(graph, axes)
    shapes = [symbol.axes for symbol in symbols_of(program)]
    shapes += [item.axes for item in program.statistics]
    shapes += [constant.axes for constant in constants_of(program.m_step)]
    matrices = (found for found in map(_events, shapes) if len(found) == 2)
    silent = frozenset(axis for pair in matrices for axis in pair)
    eta = _free(r"\eta", taken)
    everything = (_free("X", taken), _free("Z", taken))
    return Names(
        graph,
        program,
        letters,
        *_bases(program, taken),
        _meanings(program, letters),
        silent,
        eta,
        everything,
        _constants(graph, program, taken),
    )


def escaped(text: str) -> str:
    """Free text as TeX: every character that TeX would read as something else is escaped, what it cannot set is spelled out."""
    found = []
    for character in text:
        if character in SPECIAL:
            found.append(SPECIAL[character])
        elif character in "#$%&_{}":
            found.append("\\" + character)
        elif character in '<>|"':
            found.append(f"\\ensuremath{{{character}}}" if character != '"' else "''")
        elif character.isascii() and (character.isprintable() or character.isspace()):
            found.append(character)
        else:
            found.append(f"[U+{ord(character):04X}]")
    return "".join(found)


def part(word: str) -> str:
    """A word of a name as a superscript."""
    return tex(word) if re.fullmatch(r"[A-Za-z]+[0-9]*", word) else word


def _declared(graph: Graph) -> set[str]:
    return {parameter.name for parameter in graph.parameters} | {
        variable.name for variable in graph.variables
    }


def _letters(graph: Graph, axes: Axes) -> dict[Axis, str]:
    """The einsum letters; an axis of states that is called like something in the network gets another one."""
    used = _declared(graph)
    letters = {axis: axis.letter for axis in axes}
    for axis in axes:
        if axis.kind not in (STATE, EVENT) or axis.letter not in used:
            continue
        now = next((other for other in axes if axis.name == f"{other.name}'" and other.kind == STATE), None)
        free = next((spare for spare in SPARE_LETTERS if spare not in used | set(letters.values())), "i")
        letters[axis] = f"{letters[now]}'" if now is not None else free
    return letters


def _bases(program: Program, taken: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """What each array is called, and the word of LETTERS that it is called so for."""
    found: dict[str, str] = {}
    heads: dict[str, str] = {}
    arrays = {symbol.name for symbol in symbols_of(program) if symbol.space in ("local", "statistics")}
    arrays |= {field.name for field in program.statistics}
    arrays |= {"xi" + name.removeprefix("onward") for name in arrays if name.startswith("onward")}
    told_apart = {field.name for field in program.statistics}
    counts = sorted(name for name in arrays if name.startswith("N_"))
    posteriors = [
        item.target.name for item in _statements(program) if item.because == "posterior" and item.tex
    ]
    for name in sorted(arrays):
        head, _, rest = name.partition("_")
        if name[0] == "S" and head not in LETTERS:
            head, rest = "S", name[1:]
        if name[0] in FIRST_LETTERS and name in told_apart:
            head, rest = FIRST_LETTERS[name[0]], name[1:]
        if head == "u" and rest:
            head = "weights"
        if head == "new" and "_" not in tex(rest) and "^" not in tex(rest):
            found[name], heads[name] = rf"\widehat{{{tex(rest)}}}", head
        if head not in LETTERS or (head == "q" and name not in posteriors):
            continue
        if head == "S":
            rest = re.sub(r"_prev([0-9]*)(?=_|$)", lambda lag: "'" * int(lag[1] or 1), rest)
        rest = re.sub(r"(^|_)[0-9]+$|^t$|(^|_)prev(?=_|$)", "", rest)
        alone = (head == "N" and len(counts) == 1) or (head == "q" and len(posteriors) == 1)
        base = _free(LETTERS[head], taken)
        heads[name] = head
        text = base if alone or not rest else f"{base}^{{({_above(head, rest, taken)})}}"
        while text in found.values() and name in told_apart:
            text = f"{text[:-2]},2)}}" if text.endswith(")}") else f"{text}^{{(2)}}"
        found[name] = text
    return found, heads


def _above(head: str, rest: str, declared: set[str]) -> str:
    """The superscript: a name that was declared is a word, other short ones are initials. `declared` is in TeX."""
    rest = rest.replace("_of_", "_").strip("_")
    if head == "S" and len(rest) % 2 == 0 and rest[: len(rest) // 2] == rest[len(rest) // 2 :]:
        return part(rest[: len(rest) // 2]) * 2
    pieces = rest.split("_")
    if len(pieces) == 1 and rest.islower() and len(rest) <= 3 and tex(rest) not in declared:
        return rest
    return ",".join(part(piece) for piece in pieces if piece)


def _meanings(program: Program, letters: Mapping[Axis, str]) -> dict[str, str]:
    """Arrays that are probabilities or their logs, and densities, which the functions of the Program are."""
    found = {
        item.target.name: item.tex
        for item in _statements(program)
        if item.tex.startswith((r"\ln p", r"\ln 1")) or item.because in ("multiply", "sum out")
    }
    found.update({function.name: function.tex for function in program.functions if function.tex})
    return {name: relettered(text, letters) for name, text in found.items()}


def relettered(text: str, letters: Mapping[Axis, str]) -> str:
    """A formula of the Program with the letters of states as they are here."""
    changed = {
        axis.letter: letter
        for axis, letter in letters.items()
        if axis.kind == STATE and axis.letter != letter
    }
    return re.sub(r"=([A-Za-z])(?=[,) ])", lambda found: "=" + changed.get(found[1], found[1]), text)


def _constants(graph: Graph, program: Program, taken: set[str]) -> dict[Key, str]:
    """A name for each constant that is too large to be written where it stands."""
    found = dict.fromkeys(
        (ref.target.shape, ref.target.flat)
        for variable in graph.variables
        for cpd in cpds(variable)
        for ref in coefficients(cpd)
        if isinstance(ref.target, Values) and (len(ref.target.shape) > 1 or len(ref.target.flat) > 6)
    )
    letter = _free("C", taken)
    for parameter in graph.parameters:
        values = [] if parameter.prior is None else [value for _, value in parameter.prior.arguments]
        found.update(dict.fromkeys((value.shape, value.flat) for value in values if _is_wide(value)))
    matrices = (part for part in constants_of(program.m_step) if len(part.shape) > 1 and not part.is_identity)
    found.update(dict.fromkeys((part.shape, part.flat) for part in matrices))
    return {key: letter if len(found) == 1 else f"{letter}^{{({i + 1})}}" for i, key in enumerate(found)}


def _is_wide(values: Values) -> bool:
    """Whether the numbers of a prior have a name: matrices, and vectors that leave no room for the rest of a line."""
    return len(values.shape) > 1 or width(array(values.flat, values.shape)) > WIDE if values.shape else False


def _free(letter: str, taken: set[str]) -> str:
    return rf"\tilde{{{letter}}}" if letter in taken else letter


def _events(axes: Axes) -> Axes:
    return tuple(axis for axis in axes if axis.kind == EVENT)


def _statements(program: Program) -> Iterator[Statement]:
    return (item for item in program.expect.body if isinstance(item, Statement))


def exactly(program: Program) -> Program:
    """The Program without what rounding alone makes necessary: here a covariance is symmetric as it stands."""

    def plain(part: object) -> object:
        return part.operand if isinstance(part, Linear) and part.op == "symmetric" else part

    return replace(program, m_step=transform(program.m_step, plain))


def functions(program: Program) -> tuple[Function, ...]:
    return (*program.functions, program.expect, program.m_step)


def symbols_of(program: Program) -> tuple[Symbol, ...]:
    """All symbols of a program, in the order they stand, each once."""
    return tuple(dict.fromkeys(symbol for function in functions(program) for symbol in symbols(function)))


def constants_of(item: object) -> Iterator[Constant]:
    """The constants in an expression, statement or function."""
    return (part for part in parts(item) if isinstance(part, Constant))


def axes_of(item: object) -> Iterator[Axis]:
    """All axes of a program."""
    return (part for part in parts(item) if isinstance(part, Axis))
