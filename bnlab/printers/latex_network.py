"""The network in TeX: its variables and their distributions, its parameters, its joint density."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bnlab.domains import Values
from bnlab.network.graph import alignment, coefficients, cpds, reads
from bnlab.network.ir import CPD, Affine, Argument, Graph, Parameter, Ref, Variable, VarRef
from bnlab.notation import tex
from bnlab.printers.latex_expression import array, number
from bnlab.printers.latex_names import Names

Mode = Literal["story", "state", "own"]
"""What stands in a subscript: the variable itself; the letter of a latent one's state; the letter of every one's state."""


@dataclass(frozen=True, slots=True)
class Use:
    """One conditional distribution: of `variable`, at `steps` of its chain."""

    names: Names
    variable: Variable
    cpd: CPD
    steps: Literal["all", "first", "later"]

    @property
    def step(self) -> str:
        return "1" if self.steps == "first" else ""

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

    def value(self, mode: Mode = "state", entry: str = "") -> str:
        """The variable, or the letter of its state."""
        if self.variable.discrete and (mode == "own" or mode == "state" and self.variable.role == "latent"):
            return self.names.state(VarRef(self.variable.name))
        return with_index(self.names.variable(VarRef(self.variable.name), self.step), entry)

    def argument(self, slot: str, mode: Mode = "state", entry: str = "") -> str:
        """An argument of the distribution, for the `entry` of a vector."""
        argument = self.cpd.argument(slot)
        assert argument is not None
        return argument_tex(self, argument, mode, entry)

    def reference(self, slot: str) -> Ref | None:
        """The one parameter or constant that an argument is."""
        argument = self.cpd.argument(slot)
        if isinstance(argument, Affine):
            coefficient = argument.terms[0].coefficient
            return coefficient if isinstance(coefficient, Ref) else None
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
            latent = mode == "state" and self.names.graph.variable(ref.name).role == "latent"
            return f"{text}={self.names.state(ref)}" if latent else text

        given = ", ".join(named(ref) for ref in self.parents)
        own = named(VarRef(self.variable.name))
        return rf"{own} \mid {given}" if given else own


def uses(names: Names) -> tuple[Use, ...]:
    """All conditional distributions, in order of declaration."""
    found: list[Use] = []
    for variable in names.graph.in_role("latent", "observed"):
        found += [Use(names, variable, cpd, "first") for cpd in variable.first]
        assert variable.cpd is not None
        found.append(Use(names, variable, variable.cpd, "later" if variable.first else "all"))
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
            coefficient = terms[0].coefficient
            assert coefficient is not None and len(terms) == 1, "only one coefficient is derived"
            return argument_tex(use, coefficient, mode, entry)
    raise AssertionError(argument)


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


# -- the section ------------------------------------------------------------------------------------------------------


def story_rows(names: Names) -> Iterator[str]:
    """One row a distribution: what is drawn, from what, for which members."""
    from bnlab.printers.latex_families import family, prior_tex

    graph = names.graph
    for parameter in graph.parameters:
        if parameter.prior is not None:
            yield rf"{own_name(names, parameter)} &\sim {prior_tex(names, parameter)} && \text{{prior}}"
    for use in uses(names):
        text = family(use.cpd.family).distribution(use)
        given = (
            f" \\mid {', '.join(names.variable(ref, use.step) for ref in use.parents)}" if use.parents else ""
        )
        remark = use.variable.role + (
            r", $t \ge 2$".replace("t", _step(use), 1) if use.steps == "later" else ""
        )
        yield rf"{names.variable(VarRef(use.variable.name), use.step)}{given} &\sim {text} && \text{{{remark}}}"


def _step(use: Use) -> str:
    return use.names.members((use.chain,))[0]


def own_name(names: Names, parameter: Parameter, entry: str = "") -> str:
    """A parameter with the letters of its own plates."""
    return tex(parameter.name, [*names.members(parameter.plates), *([entry] if entry else [])])


def plate_ranges(names: Names) -> Iterator[str]:
    """`n = 1, \\dots, N` for every plate."""
    for plate in names.graph.plates:
        letter = names.members((plate.name,))[0]
        size = names.size(plate.name)
        yield rf"${letter} = {_range(size)}$" if size.isdigit() else rf"${letter} = 1, \dots, {size}$"


def _range(size: str) -> str:
    return ", ".join(str(place + 1) for place in range(int(size))) if int(size) <= 3 else rf"1, \dots, {size}"


def joint(names: Names) -> tuple[str, ...]:
    """The joint density as factors between which a line may end: a product over every plate."""
    return tuple(_products(names, uses(names), ()))


def _products(names: Names, members: tuple[Use, ...], around: tuple[str, ...]) -> Iterator[str]:
    yield from (use.density() for use in members if use.variable.plates == around)
    inner = dict.fromkeys(
        use.variable.plates[len(around)] for use in members if len(use.variable.plates) > len(around)
    )
    for plate in inner:
        inside = tuple(u for u in members if u.variable.plates[: len(around) + 1] == (*around, plate))
        if names.graph.plate(plate).chain:
            yield from _along(names, inside, (*around, plate))
            continue
        parts = list(_products(names, inside, (*around, plate)))
        several = len(parts) > 1 and len(inner) > 1
        sign = _prod(names, plate, "1")
        if several:
            parts[0], parts[-1] = rf"\Bigl[ {parts[0]}", rf"{parts[-1]} \Bigr]"
        yield f"{sign} {parts[0]}"
        yield from parts[1:]


def _along(names: Names, members: tuple[Use, ...], around: tuple[str, ...]) -> Iterator[str]:
    """A chain: its first step, its later steps, and what stands at every step."""
    yield from (use.density() for use in members if use.steps == "first")
    for steps, start in (("later", "2"), ("all", "1")):
        inside = tuple(use for use in members if use.steps == steps)
        if inside:
            first, *rest = _products(names, inside, around)
            yield f"{_prod(names, around[-1], start)} {first}"
            yield from rest


def _prod(names: Names, plate: str, start: str) -> str:
    return rf"\prod_{{{names.members((plate,))[0]}={start}}}^{{{names.size(plate)}}}"


Key = tuple[tuple[int, ...], tuple[float, ...]]
"""The shape and the numbers of a constant array."""


def declared_constants(graph: Graph) -> list[Key]:
    """The constants that stand in the declaration, those of priors among them."""
    values = [ref.target for v in graph.variables for cpd in cpds(v) for ref in coefficients(cpd)]
    values += [value for p in graph.parameters if p.prior is not None for _, value in p.prior.arguments]
    return [(value.shape, value.flat) for value in values if isinstance(value, Values)]


def constants_text(names: Names, keys: list[Key]) -> Iterator[str]:
    """What named constants are."""
    for shape, flat in dict.fromkeys(key for key in keys if key in names.constants):
        name = names.constants[shape, flat]
        if len(shape) <= 2 and max(shape) <= 6:
            yield rf"${name} = {array(flat, shape)}$"
        else:
            yield rf"${name}$, a constant array of ${_sizes(shape)}$ numbers"


def _sizes(shape: tuple[int, ...]) -> str:
    return r" \times ".join(map(str, shape))
