"""`bnlab compare`: methods side by side, as text and as a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import bnlab as bn
from bnlab.cli.models import Model
from bnlab.cli.report import comparison_record
from bnlab.cli.tables import Table, labels
from bnlab.errors import BnlabError
from bnlab.report import Material, write

METHODS = ("em", "viterbi", "vbem", "svi", "nuts")


def run_compare(
    model: Model,
    table: Table,
    out: Path,
    *,
    methods: Sequence[str] | None,
    held_out: float,
    seed: int,
    progress: bool,
    command: str,
    source: str,
) -> tuple[dict[str, Any], str, bool]:
    """The record, the text to print, and whether it was interrupted; what is done by then is in the report.

    Left out of the default methods are Viterbi training where there are no discrete latents to assign, and variational EM
    where it has no closed form.
    """
    chosen = tuple(methods or _possible(model, table))
    options = {"columns": table.columns} if table.columns else {}
    found = bn.compare(
        model.network, table.values, chosen, held_out=held_out, seed=seed, progress=progress, **options
    )
    rows = next(iter(found.fits.values())).rows
    material = Material(
        found,
        declaration=model.declaration,
        language=model.language,
        about=model.about,
        command=command,
        data=f"{rows:g} rows of {source}" if source else f"{rows:g} rows",
        labels=labels(table, model),
    )
    path = write(material, out)
    return {**comparison_record(found), "report": str(path)}, f"{found}\n\n{path}", found.interrupted


def _possible(model: Model, table: Table) -> Iterator[str]:
    """The methods that the network admits, with the priors that `bn.compare` proposes."""
    graph = model.network.graph
    for method in METHODS:
        if method == "viterbi" and not any(latent.discrete for latent in graph.in_role("latent")):
            continue
        if method == "vbem":
            columns = {"columns": table.columns} if table.columns else {}
            try:
                bn.emit(bn.weakly_informative(model.network, table.values, **columns).network, method)
            except BnlabError:
                continue
        yield method
