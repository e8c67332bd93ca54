"""Which posterior weighs which factor: the sum over members and states, and the weight of each, in TeX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bnlab.network.graph import alignment
from bnlab.network.ir import VarRef
from bnlab.printers.latex_expression import Writer
from bnlab.printers.latex_names import Names
from bnlab.printers.latex_network import Use
from bnlab.program.ir import Statement
from bnlab.program.ops import EVENT, ROW, SIZED, STATE, STEP, Axes, Axis, Symbol


@dataclass(frozen=True, slots=True)
class Expectation:
    """A sum: its sign with what it runs over ("" for none), and the weight of each term ("" for 1)."""

    sign: str
    weight: str

    def of(self, term: str) -> str:
        return " ".join(part for part in (self.sign, self.weight, term) if part)

    @property
    def total(self) -> str:
        """The sum of the weights."""
        return " ".join(part for part in (self.sign, self.weight or "1") if part)


@dataclass(frozen=True, slots=True)
class Posteriors:
    """The posteriors of a derivation; `pairs` are those of neighbouring steps, one a chain."""

    names: Names
    pairs: tuple[Symbol, ...]

    def everywhere(self, use: Use) -> Expectation:
        """The expectation of a factor: over all members, and all states of its latents."""
        return self._sum(use, (), {})

    def of(self, use: Use, slot: str) -> Expectation:
        """The sum that an entry of a parameter sees: what does not select this entry is summed over."""
        return self._sum(use, own_letters(use, slot), _chosen(use, slot))

    def _sum(self, use: Use, own: tuple[str, ...], chosen: Mapping[str, str]) -> Expectation:
        members = member_axes(use)
        found = self.posterior(use)
        states = () if found is None else tuple(a for a in found.axes if a.kind == STATE)
        over = tuple(
            axis
            for axis in (*members, *states)
            if use.names.letters[axis] not in own and not self._fixed(use, axis)
        )
        shifted = tuple(axis for axis in over if axis.kind == STEP and use.steps == "later")
        later = {axis: use.start + 1 for axis in shifted}
        weights = [rf"[{value}={letter}]" for letter, value in chosen.items()]
        if found is not None:
            at = {axis: use.step for axis in found.axes if axis.kind == STEP and use.step}
            weights.insert(0, Writer(use.names, at=at).text(found))
        return Expectation(Writer(use.names).sign(over, later) if over else "", " ".join(weights))

    def _fixed(self, use: Use, axis: Axis) -> bool:
        return axis.kind == STEP and use.steps == "first"

    def posterior(self, use: Use) -> Symbol | None:
        """The posterior over the latents of a factor (and perhaps more); None where it has none."""
        wanted = {ref.name + "'" * ref.lag for ref in use.scope}
        if not wanted:
            return None
        fitting = [
            symbol
            for symbol in (*_posteriors(self.names), *self.pairs)
            if wanted <= {axis.name for axis in symbol.axes if axis.kind == STATE}
        ]
        return min(fitting, key=lambda symbol: len(symbol.axes), default=None)


def _posteriors(names: Names) -> list[Symbol]:
    return [
        item.target
        for item in names.program.expect.body
        if isinstance(item, Statement)
        and item.because == "posterior"
        and item.target.name in names.bases
        and item.tex
    ]


def member_axes(use: Use) -> Axes:
    """The axes that count the members of the variable's plates."""
    graph, letters = use.names.graph, use.names.letters
    rows = [p for p in use.variable.plates if graph.plate(p).size is None and not graph.plate(p).chain][-1:]

    def wanted(plate: str) -> int:
        return STEP if graph.plate(plate).chain else SIZED if graph.plate(plate).size is not None else ROW

    chosen = [p for p in use.variable.plates if wanted(p) != ROW or p in rows]
    return tuple(axis for p in chosen for axis in letters if axis.name == p and axis.kind == wanted(p))


def own_letters(use: Use, slot: str) -> tuple[str, ...]:
    """The letters of the plates and states that select an entry of the parameter behind an argument."""
    ref = use.reference(slot)
    if ref is None or not isinstance(ref.target, str):
        return ()
    aligned, _ = alignment(use.names.graph, ref, use.variable)
    subscripts = iter(ref.subscripts)
    letters = []
    for plate in use.names.graph.parameter(ref.target).plates:
        each = 0 if plate in aligned else next(subscripts)
        letters.append(use.names.state(each) if isinstance(each, VarRef) else use.names.members((plate,))[0])
    if _is_table(use, ref.target):
        letters.append(use.names.state(VarRef(use.variable.name)))
    return tuple(letters)


def alike(first: Use, use: Use, slot: str) -> Use:
    """Another use of the same parameter, its states under the letters that the first use has for them."""
    own = zip(own_letters(use, slot), own_letters(first, slot), strict=True)
    entries = [(entry_letter(use), entry_letter(first))] if entry_letter(first) else []
    changed = {old: new for old, new in [*own, *entries] if old != new}
    swapped = {**{new: old for old, new in changed.items()}, **changed}
    letters = {axis: swapped.get(letter, letter) for axis, letter in use.names.letters.items()}
    return replace(use, names=replace(use.names, letters=letters))


def _chosen(use: Use, slot: str) -> dict[str, str]:
    """The letters that data or constants stand for, each with its value."""
    ref = use.reference(slot)
    found: dict[str, str] = {}
    if ref is None or not isinstance(ref.target, str):
        return found
    _, rest = alignment(use.names.graph, ref, use.variable)
    for plate, each in zip(rest, ref.subscripts, strict=True):
        if isinstance(each, int):
            found[use.names.members((plate,))[0]] = str(each)
        elif use.names.graph.variable(each.name).role != "latent":
            found[use.names.state(each)] = use.names.variable(each, use.step)
    if _is_table(use, ref.target) and use.variable.role != "latent":
        found[use.names.state(VarRef(use.variable.name))] = use.value("story")
    return found


def _is_table(use: Use, parameter: str) -> bool:
    """Whether a parameter has an entry for each state of the variable."""
    return use.variable.discrete and bool(use.names.graph.parameter(parameter).domain.event_shape)


def entry_letter(use: Use) -> str:
    """The index of a vector's entries; "" for a scalar."""
    letters = use.names.letters
    found = [letters[a] for a in letters if a.kind == EVENT and a.name == use.variable.name]
    return found[0] if found and not use.variable.discrete and use.variable.domain.event_shape else ""
