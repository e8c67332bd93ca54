"""How NumPyro spells priors that are over parts of a parameter: a statement for each part, then the parameter made of them."""

from __future__ import annotations

from bnlab.domains import Values
from bnlab.families.lkj import deviations
from bnlab.network.ir import Parameter, Prior
from bnlab.printers.numpyro_code import bare, constant
from bnlab.printers.numpyro_families import spell
from bnlab.printers.numpyro_layout import Layout


def part_lines(layout: Layout, parameter: Parameter, outer: tuple[int, ...], inside: bool) -> list[str]:
    """`outer` are the sizes of the parameter's plates; `inside` is whether the lines stand in their `with`."""
    assert parameter.prior is not None
    names = layout.sites[parameter.name]
    whole = f".expand({list(outer)}).to_event({len(outer)})" if outer and not inside else ""
    lines = [
        f'{names[part]} = numpyro.sample("{names[part]}", {distribution}{whole})'
        for part, distribution in _distributions(parameter.prior, parameter, outer).items()
    ]
    return [*lines, *_made(layout, parameter)]


def _distributions(prior: Prior, parameter: Parameter, outer: tuple[int, ...]) -> dict[str, str]:
    """Of the standard deviations, and of the Cholesky factor of the correlations."""
    arguments, dim = dict(prior.arguments), parameter.domain.event_shape[0]
    scale = constant(Values.of(deviations(arguments["scale"], outer, dim)))
    concentration = bare(constant(arguments["concentration"]))
    return {
        "std": spell("HalfNormal", {"scale": scale}, (dim,)),
        "corr_root": f"dist.LKJCholesky({dim}, {concentration})",
    }


def _made(layout: Layout, parameter: Parameter) -> list[str]:
    name, parts, root = parameter.name, layout.sites[parameter.name], layout.locals[f"root {parameter.name}"]
    return [
        f"{root} = {parts['std']}[..., None] * {parts['corr_root']}",
        f'{name} = numpyro.deterministic("{name}", {root} @ {root}.mT)',
    ]
