"""The Program as an EM fitter in JAX: one file that runs alone.

What is mathematics comes from the Program; what is the same in every fitter (chunks, the loop, the command line) stands here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from textwrap import wrap
from typing import Literal

from bnlab.network.ir import Graph
from bnlab.network.text import story
from bnlab.printers import jax_data, jax_start
from bnlab.printers.base import Printer
from bnlab.printers.jax_expression import expression
from bnlab.printers.jax_functions import function
from bnlab.printers.jax_tools import tools
from bnlab.printers.python_tree import LINE, Assign, Record, Statement, Verbatim, lines, name, render
from bnlab.program.degree import weighted
from bnlab.program.ir import Field, Function, Invoke, Program
from bnlab.program.ir import Statement as Line
from bnlab.program.ops import ROW, STEP, Axes, Axis, Constant, Symbol
from bnlab.program.plain import indices
from bnlab.program.stacked import stacked
from bnlab.program.walk import transform

STATISTICS = "Expected sufficient statistics. They add: over members, chunks, devices."
LISTED = 8
"""Constants of at most so many numbers stand where they are used."""

X64 = 'jax.config.update("jax_enable_x64", True)'


E_STEP_CHUNKS = '''
@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data, chunk by chunk: memory is that of one chunk."""
    zero = jax.eval_shape(expect, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, expect(theta, chunk)), None

    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]
'''

E_STEP_WHOLE = '''
@jax.jit
def e_step(theta: Parameters, data: Data) -> Statistics:
    """Statistics of all data."""
    return expect(theta, data)
'''

LOG_EVIDENCE = '''
def log_evidence(theta: Parameters, data: Data) -> Array:
    """{what}"""
    return e_step(theta, data).log_p
'''

EVIDENCE = '''
@jax.jit
def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x | theta)."""
    return jax.lax.map(lambda chunk: evidence(theta, chunk), data).sum()
'''

FIT = '''
def fit(data: Data, theta: Parameters, max_iter=200, tol=1e-6):
    """{what} from theta; the trace holds {objective} at the start and after every iteration."""
    trace = []
    for iteration in range(max_iter + 1):
        s = e_step(theta, data)
        trace.append(float(s.log_p{prior}))
        if iteration == max_iter or (tol and iteration and trace[-1] - trace[-2] <= tol * (1 + abs(trace[-1]))):
            break
        theta = m_step(s, theta)
    return theta, np.array(trace)
'''

MAIN = """
if __name__ == "__main__":
    import sys

    data = prepare(np.load(sys.argv[1]))
    theta, trace = fit(data, init(data))
    print(f"{objective} = {{trace[-1]:.6f}} after {{len(trace) - 1}} iterations")
    for name, value in theta._asdict().items():
        print(name, "=", np.array2string(np.asarray(value), precision=4, suppress_small=True))
"""


def text(program: Program, generative: str, kind: Literal["em", "viterbi"] = "em", header: str = "") -> str:
    """The file for EM, or for hard EM. `generative` is the story, `header` a line on where the file comes from."""
    program, constants = hoisted(stacked(weighted(program) if program.condensed else program))
    prior = program.log_prior is not None
    functions = [function(item) for item in program.functions]
    expect = function(
        program.expect, unpack(program, program.expect), "Statistics", field_names(program.statistics)
    )
    update = replace(
        function(program.m_step, (), "Parameters", field_names(program.parameters)), decorator="jax.jit"
    )
    evidence = []
    if program.evidence is not None:
        evidence = [function(program.evidence, unpack(program, program.evidence))]
    objective = _objective(kind, prior)
    what = "ln p(x | theta)." if kind == "em" else "ln p(x, z* | theta) at the most probable z*."
    plus = " + log_prior(theta)" if prior else ""
    body: list[Statement] = [
        Verbatim(X64),
        Record("Parameters", record_fields(program.parameters)),
        Record("Data", record_fields(program.chunk), data_doc(program)),
        Record("Statistics", record_fields(program.statistics), STATISTICS),
        *constants,
        *tools((*functions, expect, *evidence, update)),
        *functions,
        expect,
        Verbatim(E_STEP_CHUNKS if program.root else E_STEP_WHOLE),
        *(evidence if evidence else []),
        Verbatim(EVIDENCE if evidence else LOG_EVIDENCE.format(what=what)),
        *([function(program.log_prior)] if program.log_prior else []),
        update,
        *(Verbatim(part) for part in (*jax_data.helpers(program), jax_data.prepare(program))),
        *(Verbatim(part) for part in (*jax_start.helpers(program), jax_start.init(program))),
        Verbatim(FIT.format(what="EM" if kind == "em" else "Hard EM", objective=objective, prior=plus)),
        Verbatim(MAIN.format(objective=objective)),
    ]
    return render(_doc(program, generative, kind, header), imports(body), body)


def elimination(program: Program) -> str:
    """Parameters, Data, prepare, and log_evidence with the latents eliminated: what a NumPyro file builds on."""
    program, constants = hoisted(program)
    functions = [function(item) for item in program.functions]
    expect = function(program.expect, unpack(program, program.expect))
    body: list[Statement] = [
        Record("Parameters", record_fields(program.parameters)),
        Record("Data", record_fields(program.chunk), data_doc(program)),
        *constants,
        *tools((*functions, expect)),
        *functions,
        expect,
        Verbatim(EVIDENCE_CHUNKS if program.root else EVIDENCE_WHOLE),
        *(Verbatim(part) for part in (*jax_data.helpers(program), jax_data.prepare(program))),
    ]
    return render(f"ln p(x) of the network `{program.name}`.", imports(body), body)


def posterior(marginals: Program, best: Program, generative: str, header: str = "") -> str:
    """The file for the posterior of the latents, and for their most probable joint value."""
    marginals, constants = hoisted(marginals)
    best = hoisted(best)[0]
    names = {item.name for item in marginals.functions}
    programs = (marginals, best)
    functions = [function(item) for item in marginals.functions]
    functions += [function(item) for item in best.functions if item.name not in names]
    fields = field_names(marginals.statistics)
    bodies = [
        function(program.expect, unpack(program, program.expect, alone=False), "Found", fields)
        for program in programs
    ]
    homes = (
        tuple(dict.fromkeys(_home(marginals, field) for field in marginals.statistics))
        if marginals.root
        else ()
    )
    rows = tuple((jax_data.rows_field(marginals, home), "where each row of the data went") for home in homes)
    data = (*record_fields(marginals.chunk), *rows)
    body: list[Statement] = [
        Verbatim(X64),
        Record("Parameters", record_fields(marginals.parameters)),
        Record("Data", data, data_doc(marginals)),
        Record(
            "Found",
            record_fields(marginals.statistics),
            "ln p of each member, and each latent's states, as probabilities.",
        ),
        *constants,
        *tools((*functions, *bodies)),
        *functions,
        *bodies,
        *(Verbatim(part) for part in (*jax_data.helpers(marginals), jax_data.prepare(marginals, homes))),
        *([Verbatim(COLLECT)] if marginals.root else []),
        *(Verbatim(part) for part in _queries(marginals)),
    ]
    head = f"Posteriors for the network `{marginals.name}`; needs only JAX and NumPy."
    doc = "\n".join([head, "", generative, *notes_of(marginals)])
    return render(doc + (f"\n\n{header}" if header else ""), imports(body), body)


COLLECT = """
def collect(values, rows):
    \"\"\"What was dealt out to chunks, in the order of the data.\"\"\"
    values, rows = np.asarray(values), np.asarray(rows)
    out = np.empty((rows.max() + 1, *values.shape[rows.ndim :]), values.dtype)
    out[rows[rows >= 0]] = values[rows >= 0]
    return out
"""

EVIDENCE_CHUNKS = '''
@jax.custom_jvp
def log_evidence(theta: Parameters, data: Data) -> Array:
    """ln p(x | theta), to be differentiated in theta: the data are constants."""
    return jax.lax.map(lambda chunk: expect(theta, chunk), data).sum()


@log_evidence.defjvp
def _(at, direction):
    """ln p(x | theta) and its slope: each chunk gives its gradient at once, and nothing of it is kept."""
    theta, data = at
    share = jax.value_and_grad(expect)
    zero = jax.eval_shape(share, theta, jax.tree.map(lambda a: a[0], data))

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, share(theta, chunk)), None

    log_p, gradient = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, zero), data)[0]
    return log_p, sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction[0])))
'''

EVIDENCE_WHOLE = """
def log_evidence(theta: Parameters, data: Data) -> Array:
    \"\"\"ln p(x | theta).\"\"\"
    return expect(theta, data)
"""


def _home(program: Program, field: Field) -> str:
    """The plate whose members a result has one of each."""
    axes = [axis for axis in field.axes if axis.kind in (STEP, ROW)]
    return axes[0].name if axes else program.root


def _queries(program: Program) -> list[str]:
    """The functions `score`, `posterior` and `predict`."""
    latents = list(program.statistics[1:])  # the first one is ln p

    def where(field: Field) -> str:
        return f"data.{jax_data.rows_field(program, _home(program, field))}"

    def run(name: str) -> str:
        return (
            f"jax.lax.map(lambda chunk: {name}(theta, chunk), data)"
            if program.root
            else f"{name}(theta, data)"
        )

    def back(value: str, field: Field) -> str:
        return f"collect({value}, {where(field)})" if program.root else f"np.asarray({value})"

    score = f"collect(found, {where(program.statistics[0])})" if program.root else "np.asarray(found)[None]"
    marginals = ", ".join(_entry(name, fields, back) for name, fields in _by_latent(latents))
    single = [field for field in latents if field.made != "joint"]
    best = ", ".join(_best(name, fields[0], back) for name, fields in _by_latent(single))
    return [
        f"@jax.jit\ndef _expect(theta, data):\n    return {run('expect')}",
        f"@jax.jit\ndef _maximise(theta, data):\n    return {run('maximise')}",
        'def score(theta: Parameters, data: Data):\n    """ln p(x | theta) of each member of the outermost plate."""\n'
        f"    found = _expect(theta, data).log_p\n    return {score}",
        f'def posterior(theta: Parameters, data: Data):\n    """{_doc_of_posterior(latents)}"""\n'
        f"    found = _expect(theta, data)\n    return {{{marginals}}}",
        'def predict(theta: Parameters, data: Data):\n    """The most probable joint value of the latents."""\n'
        f"    found = _maximise(theta, data)\n    return {{{best}}}",
    ]


Back = Callable[[str, Field], str]


def _by_latent(fields: list[Field]) -> list[tuple[str, list[Field]]]:
    """The results of each latent: its probabilities, or its mean and covariance."""
    names = dict.fromkeys(field.of or field.name for field in fields)
    return [(name, [field for field in fields if (field.of or field.name) == name]) for name in names]


def _entry(name: str, fields: list[Field], back: Back) -> str:
    values = [back(f"found.{field.name}", field) for field in fields]
    if fields[0].made in ("", "joint"):
        return f'"{name}": {values[0]}'
    parts = ", ".join(f'"{field.made}": {value}' for field, value in zip(fields, values, strict=True))
    return f'"{name}": {{{parts}}}'


def _best(name: str, field: Field, back: Back) -> str:
    value = back(f"found.{field.name}", field)
    return f'"{name}": {value}' if field.made else f'"{name}": {value}.argmax(-1)'


def _doc_of_posterior(fields: list[Field]) -> str:
    gaussian = any(field.made in ("mean", "cov") for field in fields)
    discrete = any(not field.made for field in fields)
    words = ["the probabilities of each discrete latent, states last"] if discrete else []
    words += ["the mean and covariance of each Gaussian one"] if gaussian else []
    text = "; ".join(words)
    return text[:1].upper() + text[1:] + "."


def field_names(fields: tuple[Field, ...]) -> tuple[str, ...]:
    return tuple(field.name for field in fields)


def hoisted(program: Program) -> tuple[Program, list[Statement]]:
    """The program with its larger constants by name, and these."""
    names: dict[tuple[tuple[float, ...], tuple[int, ...]], str] = {}

    def named(part: object) -> object:
        if not isinstance(part, Constant) or len(part.flat) <= LISTED:
            return part
        key = (part.flat, part.shape)
        title = names.setdefault(key, "CONSTANT" if not names else f"CONSTANT_{len(names) + 1}")
        return Symbol(title, part.axes)

    changed = replace(
        program,
        functions=transform(program.functions, named),
        expect=transform(program.expect, named),
        evidence=transform(program.evidence, named),
        m_step=transform(program.m_step, named),
        log_prior=transform(program.log_prior, named),
    )
    found: list[Statement] = []
    for (flat, shape_), title in names.items():
        value = expression(Constant(flat, shape_, ()))
        found.append(Assign(name(title), value))
    return changed, found


def _objective(kind: str, prior: bool) -> str:
    joint = "ln p(x, z*" if kind == "viterbi" else "ln p(x"
    return f"{joint}, theta)" if prior else f"{joint} | theta)"


def _doc(program: Program, generative: str, kind: str, header: str) -> str:
    name = "EM" if kind == "em" else "Hard EM"
    names = ", ".join(start.parameter for start in program.starts if start.kind != "fixed")
    under = "Q = E[ln p(x, z)] under q" if kind == "em" else "ln p(x, z*)"
    under += " + ln p(theta)" if program.log_prior is not None else ""
    lines = [
        f"{name} for the network `{program.name}`, derived from its declaration; needs only JAX and NumPy.",
        "",
        generative,
        *notes_of(program),
        "",
    ]
    lines += e_step_lines(program, kind)
    lines += wrap(f"M-step   {names} maximise {under}", LINE, subsequent_indent=" " * 9)
    return "\n".join([*lines, *(["", header] if header else [])])


def notes_of(program: Program) -> list[str]:
    """What is to be known of missing values and of evidence."""
    lines = [line for note in program.notes for line in wrap(note, LINE)]
    return ["", *lines] if lines else []


def e_step_lines(program: Program, kind: str) -> list[str]:
    """One line for each message of a chain and each posterior."""
    heads = [function.head for function in program.functions if function.head]
    for item in program.expect.body:
        if isinstance(item, Invoke) and item.meanings:
            meanings = zip(item.targets, item.meanings, strict=False)
            heads += [f"{target.name}{indices(target.axes)} = {text}" for target, text in meanings]
        elif isinstance(item, Invoke) and item.formula:
            heads.append(_posterior_line(item.targets[0], item.formula, kind))
        elif isinstance(item, Line) and item.because == "posterior" and item.tex:
            heads.append(_posterior_line(item.target, item.formula, kind))
        elif isinstance(item, Line) and item.because == "moments":
            heads.append(f"{item.target.name}{indices(item.target.axes)} = {item.formula}")
    lines = [("E-step   " if place == 0 else " " * 9) + head for place, head in enumerate(heads)]
    return [part for line in lines for part in wrap(line, LINE, subsequent_indent=" " * 13)]


def _posterior_line(target: Symbol, formula: str, kind: str) -> str:
    meaning = formula if kind == "em" else "1 at the most probable value, else 0"
    return f"{target.name}{indices(target.axes)} = {meaning}"


def shape(axes: Axes) -> str:
    """`(N, K, D)` as a comment."""
    return f"({', '.join(extent(axis) for axis in axes)}{',' if len(axes) == 1 else ''})"


def extent(axis: Axis) -> str:
    return axis.extent or axis.letter.upper()


def data_doc(program: Program) -> str:
    if not program.root:
        return "The data."
    return "The data in chunks: every array has one more axis in front, that of the chunks."


def record_fields(fields: tuple[Field, ...]) -> tuple[tuple[str, str], ...]:
    width = max((len(shape(field.axes)) for field in fields), default=0)
    return tuple((field.name, f"{shape(field.axes):<{width}}  {field.comment}".rstrip()) for field in fields)


def unpack(program: Program, item: Function, alone: bool = True) -> tuple[Statement, ...]:
    """The fields of a chunk that a function reads, as locals; `alone`: a chunk has no fields but the program's."""
    text = "\n".join(lines(function(item)))
    used = [field.name for field in program.chunk if re.search(rf"(?<![.\w]){field.name}\b", text)]
    if alone and used == list(field_names(program.chunk)) and len(used) > 1:
        return (Verbatim(f"{', '.join(used)} = chunk"),)
    return tuple(Verbatim(f"{name} = chunk.{name}") for name in used)


def imports(body: list[Statement]) -> str:
    """The imports that the file needs, and no others."""
    text = "\n".join(line for part in body for line in lines(part))
    found = ["from typing import NamedTuple", "", "import jax", "import jax.numpy as jnp"]
    found += ["import numpy as np"] if "np." in text.replace("jnp.", "") else []
    found.append("from jax import Array")
    if "solve_triangular(" in text:
        found.append("from jax.scipy.linalg import solve_triangular")
    known = ("digamma", "gammaln", "logsumexp", "polygamma")
    special = [name for name in known if re.search(rf"(?<![.\w]){name}\(", text)]
    if special:
        found.append(f"from jax.scipy.special import {', '.join(special)}")
    return "\n".join(found)


def _em(graph: Graph, program: Program, header: str) -> str:
    return text(program, story(graph), "em", header)


def _viterbi(graph: Graph, program: Program, header: str) -> str:
    return text(program, story(graph), "viterbi", header)


def _posterior(graph: Graph, marginals: Program, best: Program, header: str) -> str:
    return posterior(marginals, best, story(graph), header)


PRINTERS = (
    Printer("em", "_em.py", ("network", "em", "header"), _em, partial=True),
    Printer("viterbi", "_viterbi.py", ("network", "viterbi", "header"), _viterbi, partial=True),
    Printer(
        "posterior", "_posterior.py", ("network", "marginals", "best", "header"), _posterior, partial=True
    ),
)
