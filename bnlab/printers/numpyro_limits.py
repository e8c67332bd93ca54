"""What NumPyro cannot enumerate, or gets wrong without a word: such models are refused."""

from __future__ import annotations

from bnlab.errors import Fault
from bnlab.printers.numpyro_layout import Layout, chain
from bnlab.printers.numpyro_steps import crowded, enumerated, unheard

ROOM = 25
"""The dimensions that NumPyro's enumeration has for plates and latents together."""


def limits(layout: Layout) -> tuple[Fault, ...]:
    """Why NumPyro cannot enumerate the discrete latents of the network; nothing if it can."""
    wrong = (
        fault
        for scanned in layout.scans
        for fault in (*_unheard(layout, scanned), *_crowded(layout, scanned))
    )
    return (*_room(layout), *wrong)


def _room(layout: Layout) -> tuple[Fault, ...]:
    latents = [variable for variable in layout.graph.variables if enumerated(variable)]
    steps = sum(chain(layout, variable) is not None for variable in latents)
    needed = (
        len(latents) + steps + 1 - min(layout.dims.values(), default=0)
    )  # a step has the last one's latents too
    if needed <= ROOM or not latents:
        return ()
    reason = f"NumPyro enumerates each discrete latent in a dimension of its own; it has {ROOM}, and {needed} are needed."
    return (Fault(reason, 'Fit it with method="em", or declare fewer of them latent.'),)


def _unheard(layout: Layout, scanned: str) -> list[Fault]:
    """Outer latents that NumPyro would sum out of every step, where no latent of the chain can stand in their plates."""
    graph = layout.graph
    hosted = {read.name for reads in layout.formal.values() for read in reads}
    return [
        Fault(
            f"{name} is outside the chain {scanned} and in plates that no latent of the chain is in: NumPyro would sum it "
            "out of every step by itself, and the density would be wrong.",
            f"Declare the chain's latents inside the plates of {name} ({', '.join(graph.variable(name).plates)}).",
            graph.variable(name).location,
        )
        for name in unheard(graph, scanned)
        if name not in hosted
    ]


def _crowded(layout: Layout, scanned: str) -> list[Fault]:
    """Variables whose steps NumPyro would take for the states of a latent outside the chain."""
    graph = layout.graph
    return [
        Fault(
            f"{name} reads no latent of the chain {scanned}, and there are discrete latents outside it: NumPyro would take "
            "its steps for their states, and the density would be wrong.",
            'Fit it with method="em".',
            graph.variable(name).location,
        )
        for name in crowded(graph, scanned)
    ]
