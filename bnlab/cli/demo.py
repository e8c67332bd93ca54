"""`bnlab demo`: one model drawn, derived, emitted, fitted and compared, with a report of all that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bnlab as bn
from bnlab.atomic import write_bytes
from bnlab.cli.compare import run_compare
from bnlab.cli.models import UsageError, load_model
from bnlab.cli.report import fit_record
from bnlab.cli.tables import load_data

SOURCES = {"em": "{}_em.py", "numpyro": "{}_numpyro.py", "latex": "{}.tex"}
PICTURES = ("svg", "png")


def run_demo(model: str | None, out: Path, seed: int, progress: bool) -> tuple[dict[str, Any], str]:
    """Write everything about the model to the folder `out`; return the record and the text to print."""
    name, data = (model, None) if model is not None else default_model()
    loaded = load_model(name)
    network, table = loaded.network, load_data(data, loaded)
    out.mkdir(parents=True, exist_ok=True)
    files = write_files(network, out)
    fit = bn.fit(network, table.values, seed=seed, n_init=5, progress=progress)
    record, text, _ = run_compare(
        loaded, table, out / "report", methods=None, held_out=0.0, seed=seed, progress=progress,
        command="bnlab demo" if model is None else f"bnlab demo {model}", source="" if data is None else data.name,
    )  # fmt: skip
    files.append(Path(record["report"]))
    return (
        {"files": [str(file) for file in files], "fits": {"em": fit_record(fit)}, "comparison": record},
        demo_text(network, files, fit, text),
    )


def default_model() -> tuple[str, Path]:
    """models/demo.py and its data, of the repository that bnlab runs from or of the current folder."""
    for root in (Path(bn.__file__).parents[1], Path()):
        if (path := root / "models" / "demo.py").is_file():
            return str(path), root / "data" / "faithful.csv"
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


def demo_text(network: bn.Network, files: list[Path], fit: Any, compared: str) -> str:
    """The network, EM by itself, the methods side by side, and where everything was written."""
    written = "\n".join(["Written:", *(f"  {file}" for file in files)])
    last = f"Open {files[-1].resolve().as_uri()} to see it all."
    return "\n\n".join(["", str(network), str(fit), compared, written, last])
