"""`bnlab demo`: one model drawn, derived, emitted and fitted in three ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bnlab as bn
from bnlab.atomic import write_bytes
from bnlab.cli.models import UsageError, load_model
from bnlab.cli.report import fit_record
from bnlab.cli.tables import load_data

SOURCES = {"em": "{}_em.py", "numpyro": "{}_numpyro.py", "latex": "{}.tex"}
PICTURES = ("svg", "png")
METHODS = {
    "em": ("EM", {"n_init": 5}),
    "viterbi": ("Viterbi training", {"n_init": 5}),
    "svi": ("NumPyro, SVI on marginal_model", {}),
}


def run_demo(model: str | None, out: Path, seed: int, progress: bool) -> tuple[dict[str, Any], str]:
    """Write everything about the model to the folder `out`; return the record and the text to print."""
    loaded = load_model(model or default_model())
    network, table = loaded.network, load_data(None, loaded)
    out.mkdir(parents=True, exist_ok=True)
    files = write_files(network, out)
    fits = {
        method: bn.fit(network, table.values, method, seed=seed, progress=progress, **options)
        for method, (_, options) in METHODS.items()
    }
    record = {
        "files": [str(file) for file in files],
        "fits": {key: fit_record(fit) for key, fit in fits.items()},
    }
    return record, demo_text(network, files, fits)


def default_model() -> str:
    """models/demo.py of the repository that bnlab runs from, or of the current folder."""
    for root in (Path(bn.__file__).parents[1], Path()):
        if (path := root / "models" / "demo.py").is_file():
            return str(path)
    raise UsageError("There is no models/demo.py here. Name a model file that has data(): bnlab demo MODEL")


def write_files(network: bn.Network, out: Path) -> list[Path]:
    """The pictures and sources, and where they are."""
    name = network.graph.name
    pictures = [out / f"{name}.{suffix}" for suffix in PICTURES]
    for picture in pictures:
        bn.draw(network, picture)
    sources = {target: out / pattern.format(name) for target, pattern in SOURCES.items()}
    for target, path in sources.items():
        write_bytes(path, bn.emit(network, target).encode())
    return [*pictures, *sources.values()]


def demo_text(network: bn.Network, files: list[Path], fits: dict[str, Any]) -> str:
    lines = [
        "",
        str(network),
        "",
        "Written:",
        *(f"  {file}" for file in files),
        "",
        "Log-likelihoods of the fits:",
    ]
    width = max(len(title) for title, _ in METHODS.values())
    for method, fit in fits.items():
        ended = f"{fit.status} after {fit.n_iter} iterations"
        lines.append(f"  {METHODS[method][0]:<{width}}  {fit.log_likelihood[-1]:>12.3f}   {ended}")
    return "\n".join([*lines, "", str(fits["em"])])
