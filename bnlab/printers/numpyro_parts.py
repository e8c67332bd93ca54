"""How NumPyro spells priors that are over parts of a parameter: a statement for each part, then the parameter made of them.

A family with `parts` says what their priors are, and spells how NumPyro makes the parameter: "numpyro root", an array with a
name of its own, and "numpyro", the parameter made of that.
"""

from __future__ import annotations

from bnlab.families.base import registry
from bnlab.network.ir import Parameter
from bnlab.printers.numpyro_code import constant
from bnlab.printers.numpyro_families import spell
from bnlab.printers.numpyro_layout import Layout


def part_lines(layout: Layout, parameter: Parameter, outer: tuple[int, ...], inside: bool) -> list[str]:
    """`outer` are the sizes of the parameter's plates; `inside` is whether the lines stand in their `with`."""
    assert parameter.prior is not None
    family, dim = registry()[parameter.prior.family], parameter.domain.event_shape[0]
    name, names = parameter.name, layout.sites[parameter.name]
    whole = f".expand({list(outer)}).to_event({len(outer)})" if outer and not inside else ""
    lines = []
    for part, (kind, given) in family.priors_of_parts(dict(parameter.prior.arguments), outer, dim).items():
        distribution = spell(kind, {slot: constant(value) for slot, value in given.items()}, (dim,))
        lines.append(f'{names[part]} = numpyro.sample("{names[part]}", {distribution}{whole})')
    root = layout.locals[f"root {name}"]
    made = family.spelling["numpyro"].format(root=root)
    return [
        *lines,
        f"{root} = {family.spelling['numpyro root'].format(**names)}",
        f'{name} = numpyro.deterministic("{name}", {made})',
    ]
