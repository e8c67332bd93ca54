"""The parameters in the emitted NumPyro model: `numpyro.sample` with a prior, `numpyro.param` without, constants if fixed."""

from __future__ import annotations

from bnlab.domains import Covariance, Domain, Positive, Probability, Real, Simplex
from bnlab.errors import InternalError
from bnlab.network.ir import Parameter, Prior
from bnlab.printers.numpyro_code import bare, constant
from bnlab.printers.numpyro_families import spell
from bnlab.printers.numpyro_layout import Layout
from bnlab.printers.numpyro_parts import part_lines


def parameter_lines(layout: Layout) -> list[str]:
    """Statements that bind every parameter to its name, those in the same plates under one `with`."""
    lines: list[str] = []
    opened: tuple[str, ...] = ()
    for parameter in layout.graph.parameters:
        plates = plates_of(layout, parameter)
        if plates and plates != opened:
            lines.append(f"with {', '.join(_plate(layout, plate) for plate in plates)}:")
        opened = plates
        lines += [("    " if plates else "") + line for line in _statements(layout, parameter, plates)]
    return lines


def plates_of(layout: Layout, parameter: Parameter) -> tuple[str, ...]:
    """The plates that the statement stands in: all of the parameter's, or none.

    The array must have the user's shape, so they must be the last dimensions. In a plate that the model has elsewhere
    (funsor knows a plate by one dimension only) the axes of the parameter are made part of its event instead.
    """
    plates = parameter.plates
    fits = all(layout.dims[plate] == dim for dim, plate in enumerate(plates, -len(plates)))
    return plates if fits and parameter.value is None else ()


def _plate(layout: Layout, plate: str) -> str:
    return f'numpyro.plate("{plate}", {layout.graph.plate(plate).size}, dim={layout.dims[plate]})'


def _statements(layout: Layout, parameter: Parameter, plates: tuple[str, ...]) -> list[str]:
    outer = tuple(layout.graph.plate(plate).size or 0 for plate in parameter.plates)
    if parameter.name in layout.sites:
        return part_lines(layout, parameter, outer, bool(plates))
    return [_statement(parameter, outer, plates)]


def _statement(parameter: Parameter, outer: tuple[int, ...], plates: tuple[str, ...]) -> str:
    if parameter.value is not None:
        return f"{parameter.name} = {bare(constant(parameter.value))}"
    if parameter.prior is not None:
        distribution = _prior(parameter.prior, parameter.domain.event_shape)
        if parameter.plates and not plates:
            distribution += f".expand({list(outer)}).to_event({len(outer)})"
        return f'{parameter.name} = numpyro.sample("{parameter.name}", {distribution})'
    constraint, start = start_of(parameter.domain, outer)
    keywords = [f"constraint={constraint}"] if constraint else []
    if plates:
        keywords.append(f"event_dim={len(parameter.domain.event_shape)}")
    return f"{parameter.name} = numpyro.param({', '.join([repr(parameter.name), start, *keywords])})".replace(
        "'", '"'
    )


def _prior(prior: Prior, shape: tuple[int, ...]) -> str:
    return spell(prior.family, {name: constant(values) for name, values in prior.arguments}, shape)


def start_of(domain: Domain, outer: tuple[int, ...]) -> tuple[str, str]:
    """The constraint of a domain (none for real numbers), and where optimisation starts: at random, to break symmetry."""
    shape = (*outer, *domain.event_shape)
    drawn = f"key, {shape!r}" if shape else "key"
    match domain:
        case Simplex(size):
            more = f", {outer!r}" if outer else ""
            return (
                "dist.constraints.simplex",
                f"lambda key: jax.random.dirichlet(key, jnp.ones({size}){more})",
            )
        case Covariance(dim):
            whole = f"jnp.broadcast_to(jnp.eye({dim}), {shape!r})" if outer else f"jnp.eye({dim})"
            return "dist.constraints.positive_definite", whole
        case Positive():
            return "dist.constraints.positive", f"jnp.ones({shape!r})" if shape else "1.0"
        case Probability():
            return "dist.constraints.unit_interval", f"lambda key: jax.random.uniform({drawn})"
        case Real():
            return "", f"lambda key: jax.random.normal({drawn})"
    raise InternalError(
        f"{type(domain).__name__} has no constraint: add it to bnlab/printers/numpyro_parameters.py."
    )
