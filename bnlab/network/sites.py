"""What NumPyro samples in place of parameters whose prior is over parts of them: the sites' names, clear of the user's."""

from __future__ import annotations

from bnlab.families.base import registry
from bnlab.naming import DATA_NAMES, MODULE_NAMES, fresh
from bnlab.network.ir import Graph

Sites = dict[str, dict[str, str]]
"""By parameter, the name of the site of each part."""


def sites(graph: Graph) -> Sites:
    """Those of a `Sigma` with an LKJ prior are `Sigma_std` and `Sigma_corr_root`."""
    taken = {one.name for records in (graph.parameters, graph.variables, graph.plates) for one in records} | (
        MODULE_NAMES | DATA_NAMES
    )
    found: Sites = {}
    for one in graph.parameters:
        parts = registry()[one.prior.family].parts if one.prior is not None and one.value is None else ()
        for part in parts:
            name = fresh(f"{one.name}_{part}", taken)
            taken = taken | {name}
            found.setdefault(one.name, {})[part] = name
    return found
