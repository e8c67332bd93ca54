"""Prints a network as NumPyro: `model`, as one writes it by hand, and `marginal_model`, without the latents.

`model` takes canonical data (docs/architecture.md) by name. Discrete latents are enumerated, chains are `scan`s. The
second function has the derived elimination in place of the latents; its text is given as `elimination`.
"""

from __future__ import annotations

import ast
import re
from textwrap import wrap

from bnlab.errors import Fault, IntractableError
from bnlab.network.ir import Graph
from bnlab.network.text import story
from bnlab.printers.base import Printer
from bnlab.printers.numpyro_data import data_lines, model_arguments, model_doc
from bnlab.printers.numpyro_layout import Layout, make_layout
from bnlab.printers.numpyro_limits import limits
from bnlab.printers.numpyro_parameters import parameter_lines
from bnlab.printers.numpyro_reading import indexed_plates, subscripted
from bnlab.printers.numpyro_variables import in_many_rows, variable_lines
from bnlab.printers.python_tree import LINE, Define, Statement, Verbatim, render

PADDED = '''
def {name}(ids):
    """Where members stand as (group, member), and which of these exist: the others are padding."""
    sizes = np.bincount(ids)
    member = np.arange(sizes.max())
    exists = member < sizes[:, None]
    first = np.cumsum(sizes) - sizes
    return np.argsort(ids, kind="stable")[np.where(exists, first[:, None] + member, 0)], exists
'''

COUNTS = '''
class {name}(dist.Distribution):
    """Multinomial counts, given the sum of each row. NumPyro's own takes no sums that change along a scan, or under a mask."""

    arg_constraints = {{"probs": dist.constraints.simplex}}
    support = dist.constraints.independent(dist.constraints.nonnegative_integer, 1)
    pytree_data_fields = ("probs",)

    def __init__(self, probs, *, validate_args=None):
        self.probs = probs
        super().__init__(probs.shape[:-1], probs.shape[-1:], validate_args=validate_args)

    def log_prob(self, value):
        ways = jax.scipy.special.gammaln(value.sum(-1) + 1) - jax.scipy.special.gammaln(value + 1).sum(-1)
        return ways + jax.scipy.special.xlogy(value, self.probs).sum(-1)
'''

NUMPYS = "NumPy arrays may have been substituted"

IMPORTS = (
    ("NamedTuple", "from typing import NamedTuple"),
    ("jax", "import jax"),
    ("jnp", "import jax.numpy as jnp"),
    ("np", "import numpy as np"),
    ("numpyro", "import numpyro"),
    ("dist", "import numpyro.distributions as dist"),
    ("scan", "from numpyro.contrib.control_flow import scan"),
)
"""The imports of an emitted file; each stands there only if its name is used."""


def text(graph: Graph, elimination: str | None = None, notes: tuple[str, ...] = (), header: str = "") -> str:
    """The file `<name>_numpyro.py`; `header` is a line on where the file comes from.

    `elimination` is the source of `Parameters`, `Data`, `prepare(data)`, `log_evidence(theta, data)` and what these call;
    without it there is no `marginal_model`. A network that NumPyro cannot enumerate has no `model`: then its
    `marginal_model` is all there is, and without that IntractableError tells why. The same holds where values may be
    missing or latents known, which the `notes` are about.
    """
    layout = make_layout(graph)
    faults = limits(layout) + ((_partial(),) if notes else ())
    if faults and elimination is None:
        raise IntractableError(*faults)
    statements: list[Statement] = []
    imports = body = ""
    if elimination is not None:
        imports, body = split_imports(elimination)
        statements.append(_parameters(layout))
    if not faults:
        statements += _model(layout, elimination is not None)
    if elimination is not None:
        statements += [Verbatim(body), _marginal_model(layout)]
    why = [f"There is no `model`: {fault.reason}" for fault in faults]
    doc = "\n\n".join(
        [
            f"NumPyro models of the network `{graph.name}`; need only JAX, NumPy and NumPyro.",
            story(graph),
            *("\n".join(wrap(note, LINE)) for note in notes),
            *why,
            *([header] if header else []),
        ]
    )
    return render(_docstring(doc) + "\n", _imports(imports, statements), statements)


def _partial() -> Fault:
    """Why there is no model with its latents in it: it would take no notice of what is known."""
    return Fault(
        "missing values and what is known of latents are taken account of where the latents are summed out, in "
        "`marginal_model`.",
        'Use method="em", or observe the variables.',
    )


def split_imports(source: str) -> tuple[str, str]:
    """The imports of a module, and the rest of it from the first class or function on."""
    nodes = ast.parse(source).body
    imports = [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    first = next(node for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Assign))
    decorators = first.decorator_list if isinstance(first, ast.ClassDef | ast.FunctionDef) else []
    line = min([first.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(imports), "\n".join(source.splitlines()[line - 1 :])


def _docstring(doc: str) -> str:
    """Text that can stand in a docstring, whatever it is."""
    return doc.replace("\\", "\\\\").replace('"""', "'''")


def _imports(given: str, statements: list[Statement]) -> str:
    """The imports of the elimination and our own, each once."""
    body = render("x", "", statements)
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    ours = [line for name, line in IMPORTS if name in used]
    lines = dict.fromkeys([*given.splitlines(), *ours])
    standard = [
        line for line in lines if re.match(r"(from|import) (typing|functools|collections|math)\b", line)
    ]
    others = [line for line in lines if line not in standard]
    return "\n".join(
        [*sorted(standard), "", *sorted(others, key=lambda line: (line.startswith("from"), line))]
    )


def _model(layout: Layout, shared: bool) -> list[Statement]:
    graph = layout.graph
    names = [parameter.name for parameter in graph.parameters]
    lines = data_lines(layout)
    if shared:
        target = ", ".join(names) + ("," if len(names) == 1 else "")
        lines += [f"{target} = {layout.locals['parameters']}()"] if names else []
    else:
        lines += [*parameter_lines(layout), *_converted(subscripted(layout))]
    lines += [*_indices(layout), *variable_lines(layout)]
    statements: list[Statement] = []
    if layout.padded:
        statements.append(Verbatim(PADDED.format(name=layout.locals["padded"])))
    if any(in_many_rows(layout, variable) for variable in graph.in_role("observed")):
        statements.append(Verbatim(COUNTS.format(name=layout.locals["counts"])))
    define = Define(
        "model", model_arguments(layout), (Verbatim("\n".join(lines)),), _docstring(model_doc(layout))
    )
    return [*statements, define]


def _converted(names: tuple[str, ...]) -> list[str]:
    """Parameters that are read by their members, as JAX arrays: a traced index cannot index NumPy's."""
    if not names:
        return []
    listed = ", ".join(names)
    value = f"map(jnp.asarray, ({listed}))" if len(names) > 1 else f"jnp.asarray({listed})"
    return [f"{listed} = {value}  # {NUMPYS}"]


def _indices(layout: Layout) -> list[str]:
    """The members of plates by which parameters are read together with other subscripts, in the plates' dimensions."""
    lines = []
    for plate in indexed_plates(layout):
        dim = layout.dims[plate]
        behind = "[:, " + ", ".join(["None"] * (-dim - 1)) + "]" if dim < -1 else ""
        members = f"jnp.arange({layout.graph.plate(plate).size}){behind}"
        lines.append(f"{layout.locals[f'index {plate}']} = {members}")
    return lines


def _parameters(layout: Layout) -> Statement:
    names = [parameter.name for parameter in layout.graph.parameters]
    fields = ", ".join(f"{name}={name}" for name in names)
    arrays = [f"# {NUMPYS}.", f"return jax.tree.map(jnp.asarray, Parameters({fields}))"]
    lines = [*parameter_lines(layout), *arrays]
    doc = "The parameters: sampled where they have a prior, optimised where they have none."
    return Define(layout.locals["parameters"], (), (Verbatim("\n".join(lines)),), doc)


def _marginal_model(layout: Layout) -> Statement:
    observed = ", ".join(variable.name for variable in layout.graph.in_role("observed"))
    what = f"The density of {observed} with the latent variables eliminated, for NUTS and SVI."
    doc = f"{what}\n\ndata: what `prepare` returns.\n"
    line = f'numpyro.factor("{layout.locals["log_p"]}", log_evidence({layout.locals["parameters"]}(), data))'
    return Define("marginal_model", ("data",), (Verbatim(line),), doc)


PRINTERS = (
    Printer("numpyro", "_numpyro.py", ("network", "elimination", "notes", "header"), text, partial=True),
)
