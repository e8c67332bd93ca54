"""The section on the network: its variables and their distributions, its plates and parameters, its joint density."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from bnlab.domains import Covariance, Domain, Positive, Probability, Real, Simplex, Values
from bnlab.network.graph import coefficients, cpds
from bnlab.network.ir import Graph, Parameter, VarRef
from bnlab.printers.latex_families import family, prior_tex
from bnlab.printers.latex_layout import display, line
from bnlab.printers.latex_names import Key, Names, escaped
from bnlab.printers.latex_network import Use, has_named_mean, own_name, sum_tex, uses
from bnlab.printers.latex_text import array

TIMES = r" \times "


def section(names: Names) -> Iterator[str]:
    """The text of the section."""
    graph = names.graph
    yield r"\section{The network}"
    if graph.doc:
        yield escaped(" ".join(graph.doc.split()))
        yield ""
    yield "\\begin{align*}\n" + " \\\\\n".join(_story(names)) + "\n\\end{align*}"
    means = [line(use.hat("story"), sum_tex(use, "story")) for use in uses(names) if has_named_mean(use)]
    if means:
        yield "with the means"
        yield display(*means)
    ranges = "; ".join(_ranges(names))
    if ranges:
        yield f"Here {ranges}."
    if graph.parameters:
        listed = "; ".join(_parameter(names, parameter) for parameter in graph.parameters)
        yield f"The parameters, together ${names.eta}$, are {listed}."
    found = "; ".join(constants_text(names, declared_constants(graph)))
    if found:
        yield f"Constants: {found}."
    yield ""
    yield from _roles(names)
    yield "The joint density is the product of the conditional distributions:"
    yield display(line(rf"p({names.joint} \mid {names.eta})", tuple(_products(names, uses(names), ()))))


def _roles(names: Names) -> Iterator[str]:
    everything, hidden = names.everything
    given, latents, observed = (_listed(names, role) for role in ("given", "latent", "observed"))
    together = f"All observed variables ({observed}) together are ${everything}$"
    yield together + (f", all latent ones ({latents}) are ${hidden}$." if latents else "; nothing is latent.")
    if given:
        yield f"Everything is conditioned on what is given ({given}), which is not written."


def _listed(names: Names, role: str) -> str:
    return ", ".join(f"${names.variable(VarRef(variable.name))}$" for variable in names.graph.in_role(role))


def _story(names: Names) -> Iterator[str]:
    """One row a distribution: what is drawn, from what, and what it is."""
    for parameter in names.graph.parameters:
        if parameter.prior is not None:
            yield rf"{own_name(names, parameter)} &\sim {prior_tex(names, parameter)} && \text{{prior}}"
    for use in uses(names):
        given = ", ".join(names.variable(ref, use.step) for ref in use.parents)
        left = names.variable(VarRef(use.variable.name), use.step) + (rf" \mid {given}" if given else "")
        later = rf", ${names.members((use.chain,))[0]} \ge {use.start + 1}$" if use.steps == "later" else ""
        text = family(use.cpd.family).distribution(use)
        yield rf"{left} &\sim {text} && \text{{{use.variable.role}{later}}}"


def _ranges(names: Names) -> Iterator[str]:
    """`n = 1, \\dots, N` for every plate."""
    for plate in names.graph.plates:
        letter, size = names.members((plate.name,))[0], names.size(plate.name)
        few = size.isdigit() and int(size) <= 3
        spelled = ", ".join(str(place + 1) for place in range(int(size))) if few else rf"1, \dots, {size}"
        yield f"${letter} = {spelled}$"


def _parameter(names: Names, parameter: Parameter) -> str:
    fixed = " (fixed)" if parameter.value is not None else ""
    return f"${own_name(names, parameter)}$, {_domain(parameter.domain)}{fixed}"


def _domain(domain: Domain) -> str:
    match domain:
        case Simplex(size, labels):
            named = f" ({escaped(', '.join(labels))})" if labels else ""
            return f"the probabilities of {size} categories{named}"
        case Covariance(dim):
            return rf"a ${dim} \times {dim}$ covariance matrix"
        case Positive(shape):
            return f"{_times(shape)} positive numbers" if shape else "a positive number"
        case Probability():
            return "a probability"
        case Real(shape) if len(shape) < 2:
            return f"a vector of {shape[0]} numbers" if shape else "a number"
        case _:
            return f"an array of {_times(domain.event_shape)} numbers"


def _times(shape: tuple[int, ...]) -> str:
    return rf"${TIMES.join(map(str, shape))}$"


# -- constants --------------------------------------------------------------------------------------------------------


def declared_constants(graph: Graph) -> list[Key]:
    """The constants that stand in the declaration, those of priors among them."""
    values = [ref.target for v in graph.variables for cpd in cpds(v) for ref in coefficients(cpd)]
    values += [value for p in graph.parameters if p.prior is not None for _, value in p.prior.arguments]
    return [(value.shape, value.flat) for value in values if isinstance(value, Values)]


def constants_in(names: Names, text: str) -> list[Key]:
    """The named constants that occur in a text."""
    return [
        key
        for key, name in names.constants.items()
        if re.search(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z^])", text)
    ]


def constants_text(names: Names, keys: list[Key]) -> Iterator[str]:
    """What named constants are."""
    for shape, flat in dict.fromkeys(key for key in keys if key in names.constants):
        name, made = names.constants[shape, flat], _made_of(names, (shape, flat))
        if made:
            yield f"${name}$ is {made}"
        elif len(shape) <= 2 and max(shape) <= 6:
            yield f"${name} = {_numbers(flat, shape)}$"
        else:
            yield f"${name}$ is a constant array of {_times(shape)} numbers"


def _numbers(flat: tuple[float, ...], shape: tuple[int, ...]) -> str:
    """An array; of a larger diagonal matrix what is not 0."""
    matrix = np.reshape(flat, shape)
    if (
        matrix.ndim == 2
        and len(matrix) == len(matrix.T) > 2
        and np.array_equal(matrix, np.diag(matrix.diagonal()))
    ):
        diagonal = tuple(map(float, matrix.diagonal()))
        return rf"\operatorname{{diag}}{array(diagonal, (len(diagonal),))}"
    return array(flat, shape)


def _made_of(names: Names, key: Key) -> str:
    """What a constant was worked out from: the inverse of another one, or one less."""
    values = np.reshape(key[1], key[0])
    for other in declared_constants(names.graph):
        name = names.constants.get(other)
        if name is None or other == key or other[0] != key[0]:
            continue
        source = np.reshape(other[1], other[0])
        if np.array_equal(source - 1, values):
            return f"${name}$ less 1"
        if (
            source.ndim > 1
            and source.shape[-1] == source.shape[-2]
            and np.linalg.matrix_rank(source).min() == len(source.T)
        ):
            if np.allclose(source @ values, np.eye(len(source.T))):
                return f"the inverse of ${name}$"
    return ""


# -- the joint density ------------------------------------------------------------------------------------------------


def _products(names: Names, members: tuple[Use, ...], around: tuple[str, ...]) -> Iterator[str]:
    """The densities as factors between which a line may end: a product over every plate."""
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
    starts = sorted({use.start for use in members if use.steps == "later"})
    for steps, start in (*(("later", start) for start in starts), ("all", 0)):
        inside = tuple(use for use in members if use.steps == steps and use.start == start)
        if inside:
            first, *rest = _products(names, inside, around)
            yield f"{_prod(names, around[-1], str(start + 1))} {first}"
            yield from rest


def _prod(names: Names, plate: str, start: str) -> str:
    return rf"\prod_{{{names.members((plate,))[0]}={start}}}^{{{names.size(plate)}}}"
