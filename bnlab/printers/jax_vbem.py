"""Variational EM in JAX: one file that runs alone. The E-step is that of an EM fitter, at expectations of the parameters."""

from __future__ import annotations

import ast
from dataclasses import replace
from textwrap import wrap

import numpy as np

from bnlab.domains import Values
from bnlab.families.base import Numbers
from bnlab.network.ir import Graph
from bnlab.network.text import story
from bnlab.printers import jax_data, jax_start
from bnlab.printers.base import Printer
from bnlab.printers.jax_em import (
    E_STEP_CHUNKS,
    E_STEP_WHOLE,
    STATISTICS,
    X64,
    data_doc,
    e_step_lines,
    field_names,
    hoisted,
    imports,
    notes_of,
    record_fields,
    unpack,
)
from bnlab.printers.jax_functions import function
from bnlab.printers.jax_tools import tools
from bnlab.printers.python_tree import LINE, Assign, Record, Statement, Verbatim, call, literal, render
from bnlab.printers.python_tree import name as named
from bnlab.program.ir import Field, Program, Variational
from bnlab.program.stacked import stacked

POSTERIOR = "The hyperparameters of q(theta), a product of one factor for each parameter."
POINT = "What the E-step reads of q(theta): a point, and what E[ln p] is more than ln p there."

ELBO = '''
def elbo(q: Posterior, data: Data) -> Array:
    """The lower bound of ln p(x): E[ln p(x, z, theta)] - E[ln q(z)] - E[ln q(theta)], at the best q(z)."""
    return e_step(expectations(q), data).log_p - divergence(q)
'''

INIT = '''
def init(data, seed=0, method="data") -> Posterior:
    """q(theta) after an M-step from clusters of the data (method "data") or from random rows ("random")."""
    theta = start(data, seed, method)
    return m_step(e_step(theta, data), theta)
'''

FIT = '''
def fit(data: Data, q: Posterior, max_iter=200, tol=1e-6):
    """Variational EM from q; the trace holds the ELBO at the start and after every iteration."""
    trace = []
    for iteration in range(max_iter + 1):
        theta = expectations(q)
        s = e_step(theta, data)
        trace.append(float(s.log_p - divergence(q)))
        if iteration == max_iter or (tol and iteration and trace[-1] - trace[-2] <= tol * (1 + abs(trace[-1]))):
            break
        q = m_step(s, theta)
    return q, np.array(trace)
'''

MAIN = """
if __name__ == "__main__":
    import sys

    data = prepare(np.load(sys.argv[1]))
    q, trace = fit(data, init(data))
    print(f"ELBO = {trace[-1]:.6f} after {len(trace) - 1} iterations; posterior means:")
    for name, value in means(q).items():
        print(name, "=", np.array2string(np.asarray(value), precision=4, suppress_small=True))
"""


def text(found: Variational, generative: str, header: str = "") -> str:
    """The file. `generative` is the story, `header` a line on where the file comes from."""
    own = (found.expectations, found.divergence, found.means)
    program, constants = hoisted(stacked(replace(found.program, functions=(*found.program.functions, *own))))
    densities, (expectations, divergence, means) = program.functions[:-3], program.functions[-3:]
    functions = [function(item) for item in densities]
    expect = function(
        program.expect, unpack(program, program.expect), "Statistics", field_names(program.statistics)
    )
    point = function(expectations, (), "Parameters", field_names(program.parameters))
    update = function(program.m_step, (), "Posterior", field_names(found.posterior))
    average = function(means, (), "dict", field_names(found.learnt))
    kl = replace(function(divergence), decorator="jax.jit")
    priors = {field.name: _array(values) for field, values in zip(found.posterior, found.prior, strict=True)}
    start = jax_start.init(program, "start", "A point that q(theta) starts from.", _offsets(program))
    body: list[Statement] = [
        Verbatim(X64),
        Record("Posterior", record_fields(found.posterior), POSTERIOR),
        Assign(named("PRIOR"), call("Posterior", **priors), "p(theta), in the same form"),
        Record("Parameters", record_fields(program.parameters), POINT),
        Record("Data", record_fields(program.chunk), data_doc(program)),
        Record("Statistics", record_fields(program.statistics), STATISTICS),
        *constants,
        *tools((*functions, expect, point, update, average, kl)),
        replace(point, decorator="jax.jit"),
        *functions,
        expect,
        Verbatim(E_STEP_CHUNKS if program.root else E_STEP_WHOLE),
        kl,
        Verbatim(ELBO),
        replace(update, decorator="jax.jit"),
        average,
        *(Verbatim(part) for part in (*jax_data.helpers(program), jax_data.prepare(program))),
        *(Verbatim(part) for part in (*jax_start.helpers(program), start)),
        Verbatim(INIT),
        Verbatim(FIT),
        Verbatim(MAIN),
    ]
    return render(_doc(found, generative, header), imports(body), body)


def _array(values: Values) -> ast.expr:
    """Numbers as NumPy writes them; what repeats is written once."""
    array, shape = values.array, values.shape
    if not shape:
        return ast.Constant(float(array))
    if np.all(array == array.flat[0]):
        one, size = float(array.flat[0]), literal(shape if len(shape) > 1 else shape[0])
        simple = {0.0: "np.zeros", 1.0: "np.ones"}.get(one)
        return call(simple, size) if simple else call("np.full", size, ast.Constant(one))
    inner = array
    while inner.ndim > 2 and np.all(inner == inner[:1]):
        inner = inner[0]
    tree = _matrix(inner)
    return tree if inner.shape == shape else call("np.broadcast_to", tree, literal(shape))


def _matrix(array: Numbers) -> ast.expr:
    if (
        array.ndim == 2
        and len(array) == len(array.T)
        and np.array_equal(array, array[0, 0] * np.eye(len(array)))
    ):
        eye = call("np.eye", literal(len(array)))
        return eye if array[0, 0] == 1 else ast.BinOp(literal(float(array[0, 0])), ast.Mult(), eye)
    return call("np.array", literal(_nested(array.tolist())), named("float"))


def _nested(value: object) -> object:
    return tuple(map(_nested, value)) if isinstance(value, list) else value


def _offsets(program: Program) -> tuple[Field, ...]:
    started = {start.parameter for start in program.starts}
    return tuple(field for field in program.parameters if field.name not in started)


def _doc(found: Variational, generative: str, header: str) -> str:
    program = found.program
    names = ", ".join(f"q({field.name})" for field in found.learnt)
    lines = [
        f"Variational EM for the network `{program.name}`, derived from its declaration; needs only JAX and NumPy.",
        "",
        generative,
        *notes_of(program),
        "",
        "The posterior of latents z and parameters theta is approximated by q(z) q(theta), as near as can be in KL divergence.",
        *e_step_lines(program, "em"),
        *wrap(f"M-step   {names} in turn, each the best given the others", LINE, subsequent_indent=" " * 9),
    ]
    return "\n".join([*lines, *(["", header] if header else [])])


def _vbem(graph: Graph, found: Variational, header: str) -> str:
    return text(found, story(graph), header)


PRINTERS = (Printer("vbem", "_vbem.py", ("network", "vbem", "header"), _vbem, partial=True),)
