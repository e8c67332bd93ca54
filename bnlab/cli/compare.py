"""`bnlab compare`: methods side by side, as text and as a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bnlab as bn
from bnlab.cli.models import Model
from bnlab.cli.report import comparison_record
from bnlab.cli.tables import Table, labels
from bnlab.report import Material, write

METHODS = ("em", "viterbi", "svi", "nuts")


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

    Viterbi training is left out of the default methods where there are no discrete latents to assign.
    """
    graph = model.network.graph
    discrete = any(latent.discrete for latent in graph.in_role("latent"))
    chosen = tuple(methods or (m for m in METHODS if m != "viterbi" or discrete))
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
