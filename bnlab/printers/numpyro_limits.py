"""What NumPyro cannot do, or gets wrong without a word: such models are refused."""

from __future__ import annotations

from bnlab.errors import Fault
from bnlab.network.graph import cpds
from bnlab.network.spreads import singular
from bnlab.printers.numpyro_layout import Layout, chain
from bnlab.printers.numpyro_steps import crowded, enumerated, true_reads, unheard

ROOM = 25
"""The dimensions that NumPyro's enumeration has for plates and latents together."""


def limits(layout: Layout) -> tuple[Fault, ...]:
    """Why the network cannot be a NumPyro model with its latents as sites; nothing if it can."""
    wrong = (
        fault
        for scanned in layout.scans
        for fault in (*_unheard(layout, scanned), *_crowded(layout, scanned))
    )
    return (*_room(layout), *wrong, *_selected_in_scans(layout), *_without_density(layout))


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


def _selected_in_scans(layout: Layout) -> list[Fault]:
    """Continuous latents of a scan that read discrete ones: their sites would get a dimension for those's states."""
    graph = layout.graph
    pairs = [
        (variable, read.name)
        for variable in graph.in_role("latent")
        if not variable.discrete and chain(layout, variable)
        for read in true_reads(variable)
        if enumerated(graph.variable(read.name))
    ]
    return [
        Fault(
            f"{variable.name} is a continuous latent of the chain {chain(layout, variable)} and reads {selector}, which "
            "NumPyro enumerates: its `scan` takes the states of the one for the steps of the other.",
            f'Observe {selector}, or declare it outside the chain: method="em" fits a class of each sequence.'
            if chain(layout, graph.variable(selector))
            else 'Use `marginal_model` where it is derived, or fit it with method="em".',
            variable.location,
        )
        for variable, selector in dict.fromkeys(pairs)
    ]


def _without_density(layout: Layout) -> list[Fault]:
    """Latents whose spread is fixed to be 0 in some direction: NumPyro samples from densities."""
    graph = layout.graph
    return [
        Fault(
            f"{variable.name} has no density, for its {slot} is singular: NumPyro can neither sample nor score it.",
            f"Write what {variable.name} stands for in the means that read it, or use `marginal_model`.",
            variable.location,
        )
        for variable in graph.in_role("latent")
        for slot in ("cov", "var", "std")
        if any(singular(graph, cpd, slot) for cpd in cpds(variable))
    ]
