"""Conditional distributions in TeX: variables, their arguments, and what stands in the subscripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bnlab.domains import Values
from bnlab.naming import label_of
from bnlab.network.graph import alignment, reads, selectors
from bnlab.network.ir import CPD, Affine, Argument, Parameter, Ref, Term, Variable, VarRef
from bnlab.notation import tex
from bnlab.printers.latex_names import Names
from bnlab.printers.latex_text import array, number, transposed

Mode = Literal["story", "state", "own"]
"""What stands in a subscript: the variable itself; the letter of a latent one's state; the letter of every one's state."""


@dataclass(frozen=True, slots=True)
class Use:
    """One conditional distribution: of `variable`, at `steps` of its chain, from step `start` (counted from 0) on."""

    names: Names
    variable: Variable
    cpd: CPD
    steps: Literal["all", "first", "later"]
    start: int = 0

    @property
    def step(self) -> str:
        """The step that the distribution is for, if it is one only."""
        return str(self.start + 1) if self.steps == "first" else ""

    @property
    def chain(self) -> str:
        """The chain that the variable is in; "" if it is in none."""
        return next((plate for plate in self.variable.plates if self.names.graph.plate(plate).chain), "")

    @property
    def parents(self) -> tuple[VarRef, ...]:
        return reads(self.cpd)

    @property
    def scope(self) -> tuple[VarRef, ...]:
        """The latents that the density is a table over: those among its parents, and the variable itself."""
        graph = self.names.graph
        found = [ref for ref in self.parents if graph.variable(ref.name).role == "latent"]
        return (*found, VarRef(self.variable.name)) if self.variable.role == "latent" else tuple(found)

    @property
    def label(self) -> str:
        """What the distribution is called in the plan."""
        return label_of(self.variable.name, self.start if self.steps == "first" else None)

    def value(self, mode: Mode = "state", entry: str = "") -> str:
        """The variable, or the letter of its state."""
        if self.variable.discrete and (mode == "own" or mode == "state" and self.variable.role == "latent"):
            return self.names.state(VarRef(self.variable.name))
        return with_index(self.names.variable(VarRef(self.variable.name), self.step), entry)

    def argument(self, slot: str, mode: Mode = "state", entry: str = "") -> str:
        """An argument of the distribution, or a coefficient of its mean, for the `entry` of a vector."""
        term = self.term(slot)
        argument = self.cpd.argument(slot) if term is None else term.coefficient
        assert argument is not None
        if term is None and has_named_mean(self) and slot == "mean":
            return with_index(self.hat(mode), entry)
        return argument_tex(self, argument, mode, entry)

    def hat(self, mode: Mode) -> str:
        """The variable with a hat: a name for its mean, where that is a sum."""
        states = [] if mode == "story" else [_subscript(self, one, mode) for one in selectors(self.cpd)]
        base, _, index = self.names.variable(VarRef(self.variable.name), self.step).partition("_")
        known = index.strip("{}")
        hidden = [
            each for one, each in zip(selectors(self.cpd), states, strict=False) if self._hidden(one, mode)
        ]
        return rf"\hat{{{base}}}_{{{','.join([*([known] if known else []), *hidden])}}}"

    def _hidden(self, ref: VarRef, mode: Mode) -> bool:
        return mode == "own" or self.names.graph.variable(ref.name).role == "latent"

    def term(self, slot: str) -> Term | None:
        """The term of a sum with the coefficient that `slot` names: `mean W`."""
        argument, _, name = slot.partition(" ")
        found = self.cpd.argument(argument)
        if not name or not isinstance(found, Affine):
            return None
        terms = (t for t in found.terms if isinstance(t.coefficient, Ref) and t.coefficient.target == name)
        return next(terms, None)

    @property
    def slots(self) -> tuple[str, ...]:
        """The arguments by name; of a mean that is a sum its coefficients, as `mean W`."""
        found: list[str] = []
        for slot, argument in self.cpd.arguments:
            if isinstance(argument, Affine) and not argument.alone:
                refs = (term.coefficient for term in argument.terms)
                found += [
                    f"{slot} {ref.target}"
                    for ref in refs
                    if isinstance(ref, Ref) and isinstance(ref.target, str)
                ]
            else:
                found.append(slot)
        return tuple(dict.fromkeys(found))

    def reference(self, slot: str) -> Ref | None:
        """The one parameter or constant that an argument, or a coefficient, is."""
        term = self.term(slot)
        argument = self.cpd.argument(slot) if term is None else term.coefficient
        if isinstance(argument, Affine):
            coefficient = argument.terms[0].coefficient
            return coefficient if isinstance(coefficient, Ref) and argument.alone else None
        return argument if isinstance(argument, Ref) else None

    def parameter(self, slot: str) -> str:
        """The name of the parameter that an argument is; "" for a constant."""
        ref = self.reference(slot)
        return ref.target if ref is not None and isinstance(ref.target, str) else ""

    def density(self) -> str:
        """`p(x_{n} \\mid z_{n})`."""
        return f"p({self.event('story')})"

    def event(self, mode: Mode) -> str:
        """What the density is of, and given what; with states, each latent has the value of its letter."""

        def named(ref: VarRef) -> str:
            text = self.names.variable(ref, self.step)
            variable = self.names.graph.variable(ref.name)
            summed = mode == "state" and variable.role == "latent" and variable.discrete
            return f"{text}={self.names.state(ref)}" if summed else text

        given = ", ".join(named(ref) for ref in self.parents)
        own = named(VarRef(self.variable.name))
        return rf"{own} \mid {given}" if given else own


def uses(names: Names) -> tuple[Use, ...]:
    """All conditional distributions, in order of declaration."""
    found: list[Use] = []
    for variable in names.graph.in_role("latent", "observed"):
        found += [Use(names, variable, cpd, "first", step) for step, cpd in enumerate(variable.first)]
        assert variable.cpd is not None
        steps: Literal["later", "all"] = "later" if variable.first else "all"
        found.append(Use(names, variable, variable.cpd, steps, len(variable.first)))
    return tuple(found)


def with_index(text: str, entry: str) -> str:
    """The formula with one more index."""
    if not entry:
        return text
    if text.endswith("}") and "_{" in text and "^" not in text[text.rindex("_{") :]:
        return f"{text[:-1]},{entry}}}"
    if len(text) > 2 and text[-2] == "_":
        return f"{text[:-1]}{{{text[-1]},{entry}}}"
    return f"{text}_{{{entry}}}"


def argument_tex(use: Use, argument: Argument, mode: Mode, entry: str = "") -> str:
    match argument:
        case VarRef():
            return with_index(use.names.variable(argument, use.step), entry)
        case Ref():
            return ref_tex(use, argument, mode, entry)
        case Affine(terms):
            found = [(term.sign, term_tex(use, term, mode, entry)) for term in terms]
            text = " ".join(f"{'+' if sign > 0 else '-'} {part}" for sign, part in found)
            return text.replace("- ", "-", 1) if text.startswith("- ") else text.removeprefix("+ ")
    raise AssertionError(argument)


def sum_tex(use: Use, mode: Mode) -> tuple[str, ...]:
    """The terms of a mean, each with its sign, between which a line may end."""
    mean = use.cpd.argument("mean")
    assert isinstance(mean, Affine)
    found = [("+" if term.sign > 0 else "-") + term_tex(use, term, mode) for term in mean.terms]
    return (found[0].removeprefix("+"), *found[1:])


def has_named_mean(use: Use) -> bool:
    """Whether the mean is called by a name: it is a sum."""
    mean = use.cpd.argument("mean")
    return isinstance(mean, Affine) and len(mean.terms) > 1


def term_tex(use: Use, term: Term, mode: Mode, entry: str = "") -> str:
    """A term without its sign; for the `entry` of a vector, where it is one."""
    inner = entry if term.op == "scale" else ""
    parts = [
        argument_tex(use, part, mode, inner if _has_entries(use, part) else "")
        for part in (term.coefficient, term.variable)
        if part is not None
    ]
    if term.op == "rmatmul":
        parts = [transposed(parts[1]) if is_vector(use, term.variable) else parts[1], parts[0]]
    elif term.op == "matmul" and is_vector(use, term.coefficient):
        parts[0] = transposed(parts[0])
    text = " ".join(parts)
    return rf"\left({text}\right)_{{{entry}}}" if entry and term.op != "scale" else text


def _rank(use: Use, part: Ref | VarRef | None) -> int:
    match part:
        case VarRef(name):
            return len(use.names.graph.variable(name).domain.event_shape)
        case Ref(Values() as values, subscripts):
            return len(values.shape) - len(subscripts)
        case Ref(name):
            return len(use.names.graph.parameter(str(name)).domain.event_shape)
        case None:
            return 0


def _has_entries(use: Use, part: Ref | VarRef) -> bool:
    return _rank(use, part) > 0


def is_vector(use: Use, part: Ref | VarRef | None) -> bool:
    return _rank(use, part) == 1


def ref_tex(use: Use, ref: Ref, mode: Mode, entry: str = "") -> str:
    """A parameter or constant with its subscripts."""
    names = use.names
    chosen = iter([_subscript(use, each, mode) for each in ref.subscripts])
    if isinstance(ref.target, Values):
        scalar = not ref.target.shape or not any(ref.target.flat)
        index = [*chosen, *([entry] if entry and not scalar else [])]
        text = constant_tex(names, ref.target)
        return f"{text}_{{{','.join(index)}}}" if index else text
    aligned, _ = alignment(names.graph, ref, use.variable)
    plates = names.graph.parameter(ref.target).plates
    index = []
    for plate in plates:
        letter = names.members((plate,))[0]
        subscript = letter if plate in aligned else next(chosen)
        index.append(letter if subscript.isdigit() and mode == "own" else subscript)
    return tex(ref.target, [*index, *([entry] if entry else [])])


def _subscript(use: Use, subscript: VarRef | int, mode: Mode) -> str:
    if isinstance(subscript, int):
        return str(subscript)
    latent = use.names.graph.variable(subscript.name).role == "latent"
    if mode == "own" or mode == "state" and latent:
        return use.names.state(subscript)
    return use.names.variable(subscript, use.step)


def constant_tex(names: Names, values: Values) -> str:
    """A constant: zero, an identity matrix, a short vector, or the name that it was given."""
    if not values.shape:
        return number(values.flat[0])
    if not any(values.flat):
        return "0"
    if (values.shape, values.flat) in names.constants:
        return names.constants[values.shape, values.flat]
    return array(values.flat, values.shape)


def own_name(names: Names, parameter: Parameter) -> str:
    """A parameter with the letters of its own plates."""
    return tex(parameter.name, names.members(parameter.plates))
