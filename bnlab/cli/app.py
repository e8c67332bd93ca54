"""The commands. Each loads its arguments, calls one function of the library, and prints; heavy imports wait until then.

Exit codes: 0 all well; 1 a fault of the model or the data, or a failed verification; 2 typed wrong; 130 interrupted.
"""

from __future__ import annotations

import gc
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

if TYPE_CHECKING:
    from bnlab.cli.models import Model

FAULT, USAGE, INTERRUPTED = 1, 2, 130

ModelFile = Annotated[str, Parameter(help="FILE.py, FILE.py:FUNCTION, or FILE.json, .bif, .xml, .xdsl, .uai")]
Settings = Annotated[
    list[str] | None,
    Parameter(
        name="--set", negative="", help="NAME=VALUE, an argument of the model's function; may be repeated"
    ),
]
DataFile = Annotated[
    Path | None, Parameter(help="FILE.csv or FILE.npz; without it the model file's own data() is used")
]
Columns = Annotated[
    list[str] | None,
    Parameter(negative="", help="VARIABLE=COLUMN,COLUMN of the .csv file; may be repeated"),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="print JSON instead of text")]
Seed = Annotated[int, Parameter(help="of random starts and draws")]

Target = Literal[
    "em", "viterbi", "vbem", "posterior", "numpyro", "latex", "latex_vbem", "dot", "tikz", "text", "json"
]
View = Literal["plates", "unrolled", "moral", "cliques"]
Method = Literal["em", "viterbi", "vbem", "svi", "nuts"]

app = App(
    name="bnlab",
    help="Declare a Bayesian network; read, run and compare what inference on it comes to.",
    version_flags=["--version"],
    version=lambda: _version(),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    from bnlab.errors import BnlabError

    # Imports make some 100 000 objects that all stay: to look for garbage among them is a tenth of a small command's time.
    gc.set_threshold(100_000)
    try:
        return app(tokens, exit_on_error=False, print_error=True) or 0
    except CycloptsError:
        return USAGE  # already printed
    except BnlabError as error:
        print(f"{error}", file=sys.stderr)
        return USAGE if type(error).__name__ == "UsageError" else FAULT
    except OSError as error:  # a path that cannot be read or written
        print(f"{error.strerror}: {error.filename}" if error.filename else f"{error}", file=sys.stderr)
        return FAULT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


@app.command
def draw(
    model: ModelFile,
    *,
    out: Annotated[Path | None, Parameter(help=".svg, .png, .pdf, .dot or .tex; NAME.svg without it")] = None,
    view: Annotated[View, Parameter(help="what to draw")] = "plates",
    settings: Settings = None,
    as_json: Json = False,
) -> int:
    """Draw the network."""
    import bnlab as bn

    network = _load(model, settings).network
    path = out or Path(f"{network.graph.name}.svg")
    bn.draw(network, path, view=view)
    return _show({"picture": str(path)}, str(path), as_json)


@app.command
def emit(
    model: ModelFile,
    target: Annotated[Target, Parameter(help="what to write")] = "em",
    *,
    out: Annotated[Path | None, Parameter(help="the file to write; without it the text is printed")] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> int:
    """Write source: an EM fitter, the NumPyro model, the derivation, the picture, the declaration."""
    import bnlab as bn
    from bnlab.atomic import write_bytes

    network = _load(model, settings).network
    text = bn.emit(network, target)
    if out is None:
        return _show({"target": target, "text": text}, text.rstrip("\n"), as_json)
    write_bytes(out, text.encode())
    return _show({"target": target, "file": str(out)}, str(out), as_json)


@app.command
def derive(model: ModelFile, *, settings: Settings = None, as_json: Json = False) -> int:
    """Print the derivation: what is eliminated in which order, the E-step and the M-step."""
    import bnlab as bn

    derivation = bn.derive(_load(model, settings).network)
    return _show({"derivation": str(derivation)}, str(derivation), as_json)


@app.command
def fit(
    model: ModelFile,
    *,
    data: DataFile = None,
    columns: Columns = None,
    method: Annotated[Method, Parameter(help="how to fit")] = "em",
    init: Annotated[
        Literal["data", "random"] | None,
        Parameter(help="how to start; without it, at the model file's tables or data"),
    ] = None,
    n_init: Annotated[int, Parameter(help="number of starts, of which the best is kept")] = 1,
    max_iter: Annotated[int | None, Parameter(help="iterations at most")] = None,
    tol: Annotated[
        float | None, Parameter(help="stop when the objective rises by at most TOL (1 + |objective|)")
    ] = None,
    accelerate: Annotated[
        bool, Parameter(negative="", help="try longer steps than EM's own; method em only")
    ] = False,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="save the fit here, as FILE.nc")] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> int:
    """Fit the network to data, and print the parameters."""
    import bnlab as bn
    from bnlab.atomic import writable
    from bnlab.cli.report import fit_record
    from bnlab.cli.tables import load_data

    if out is not None:
        writable(out)
    _remember_compilations()
    loaded = _load(model, settings)
    table = load_data(data, loaded, columns or ())
    options = _when(
        columns=table.columns, init=init, max_iter=max_iter, tol=tol, accelerate=accelerate or None
    )
    result = bn.fit(
        loaded.network,
        table.values,
        method,
        n_init=n_init,
        seed=seed,
        progress=not as_json,
        **options,
    )
    if out is not None:
        result.save(out)
    _show(fit_record(result), str(result), as_json)
    return INTERRUPTED if result.status == "interrupted" else 0


@app.command
def verify(
    model: ModelFile,
    *,
    data: DataFile = None,
    columns: Columns = None,
    seed: Seed = 0,
    settings: Settings = None,
    as_json: Json = False,
) -> int:
    """Check the identities that prove an EM on this network, with numbers."""
    import bnlab as bn
    from bnlab.cli.report import plain
    from bnlab.cli.tables import load_data

    _remember_compilations()
    loaded = _load(model, settings)
    table = load_data(data, loaded, columns or ()) if data or loaded.example else None
    verification = bn.verify(
        loaded.network, table and table.values, seed=seed, **_when(columns=table and table.columns)
    )
    _show({"passed": verification.passed, **plain(verification)}, str(verification), as_json)
    return 0 if verification.passed else FAULT


@app.command
def compare(
    model: ModelFile,
    *,
    data: DataFile = None,
    columns: Columns = None,
    methods: Annotated[
        list[Method] | None,
        Parameter(negative="", help="what to compare; em viterbi vbem svi nuts without it"),
    ] = None,
    held_out: Annotated[float, Parameter(help="the part of the data that is left out to be predicted")] = 0.2,
    out: Annotated[Path, Parameter(help="the folder of the report, index.html")] = Path("report"),
    seed: Seed = 0,
    settings: Settings = None,
    as_json: Json = False,
) -> int:
    """Fit by several methods, line the results up, and write a report to look at."""
    from bnlab.atomic import writable
    from bnlab.cli.compare import run_compare
    from bnlab.cli.tables import load_data

    out.mkdir(parents=True, exist_ok=True)
    writable(out / "index.html")
    _remember_compilations()
    loaded = _load(model, settings)
    table = load_data(data, loaded, columns or ())
    record, text, interrupted = run_compare(
        loaded, table, out, methods=methods, held_out=held_out, seed=seed, progress=not as_json,
        command=_command(), source="" if data is None else data.name,
    )  # fmt: skip
    _show(record, text, as_json)
    return INTERRUPTED if interrupted else 0


@app.command
def demo(
    model: Annotated[
        str | None, Parameter(help="a model file with data(); models/demo.py without it")
    ] = None,
    *,
    out: Annotated[Path, Parameter(help="the folder to write to")] = Path("out"),
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Draw, derive, emit, fit and compare in one go, write the report, and say where everything is."""
    from bnlab.cli.demo import run_demo

    _remember_compilations()
    record, text = run_demo(model, out, seed, progress=not as_json)
    return _show(record, text, as_json)


def _load(model: str, settings: list[str] | None) -> Model:
    from bnlab.cli.models import load_model

    return load_model(model, settings or ())


def _remember_compilations() -> None:
    """Let JAX, once it is imported, find what earlier commands compiled."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache / "bnlab" / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def _command() -> str:
    """What was typed, as the report shows it."""
    return shlex.join(["bnlab", *sys.argv[1:]])


def _when(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _show(record: Any, text: str, as_json: bool) -> int:
    print(json.dumps(record, indent=2) if as_json else text)
    return 0


def _version() -> str:
    from importlib.metadata import version

    return version("bnlab")
