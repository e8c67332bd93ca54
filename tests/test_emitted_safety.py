"""Emitted Python imports and calls only what a fitter needs, whatever free text the network carries."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnlab as bn
from tests.models import NAMES, model
from tests.networks import EXAMPLES

TARGETS = ("em", "viterbi", "posterior", "numpyro")
IMPORTED = {"typing", "jax", "numpy", "numpyro"}
NEVER_CALLED = {
    *("eval", "exec", "compile", "open", "input", "breakpoint", "__import__"),
    *("getattr", "setattr", "delattr", "globals", "locals", "vars", "memoryview", "exit", "quit"),
}
FILES = {"load", "loadtxt", "genfromtxt", "fromfile", "memmap", "save", "savez", "savetxt", "tofile", "dump"}
HOSTILE = (
    '"""',
    '"""\nimport os\nos.system("true")\n"""',
    "\\",
    'a\\"""',
    "\\N{BULLET} \\x41 \\u0041 \\",
    "'''\n#\r\n\f\v\x00",
    "# -*- coding: utf-7 -*-",
    "{x} %s ${y} {{",
    "\u2028import os\u2029",
    "\ud7ff\N{RIGHT-TO-LEFT OVERRIDE}\N{GRINNING FACE}",
)
free_text = st.text(max_size=30) | st.text(alphabet="\"'\\\n\r #{}%$u0", max_size=12)


def with_texts(
    doc: str, labels: tuple[str, str] = ("no", "yes"), given_labels: tuple[str, str] = ("a", "b")
) -> bn.Network:
    """A network with free text in every place that takes it."""
    with bn.Network("told", doc) as net:
        pi = bn.parameter("pi", bn.Simplex(list(labels)))
        with bn.plate("i", 2), bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real())
        with bn.plate("n"):
            u = bn.given("u", bn.Integer(list(given_labels)))
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[u, z], var=1.0))
    return net


def is_main(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":`"""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def imports(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield (node.module or "").split(".")[0] if node.level == 0 else "."


def faults(source: str) -> list[str]:
    """All that emitted Python must not do."""
    tree = ast.parse(source)
    main = [node for node in tree.body if is_main(node)]
    library = [node for node in tree.body if not is_main(node)]
    found = [f"imports {name}" for name in imports(library) if name not in IMPORTED]
    found += [f"imports {name}" for name in imports(main) if name not in {"sys"}]
    found += [f"runs when imported: {ast.unparse(node)}" for node in library[1:] if not only_defines(node)]
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in NEVER_CALLED or (name.startswith("__") and name != "__name__"):
                found.append(f"names {name}")
            case ast.Attribute(attr=name) if name.startswith("__"):
                found.append(f"reads .{name}")
            case ast.keyword(arg="allow_pickle"):
                found.append("unpickles")
    for statement in library:
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute) and node.attr in FILES:
                found.append(f"touches files by {node.attr}")
    return found


def only_defines(node: ast.stmt) -> bool:
    """An import, a function, a record, a constant, or the switch to 64 bits."""
    if isinstance(node, ast.Expr):
        return ast.unparse(node) == "jax.config.update('jax_enable_x64', True)"
    if isinstance(node, ast.FunctionDef):
        allowed = {"jax.jit", "jax.custom_jvp", "log_evidence.defjvp"}
        return {ast.unparse(decorator) for decorator in node.decorator_list} <= allowed
    return isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | ast.Assign)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_models_emit_only_what_a_fitter_needs(name: str, target: str) -> None:
    network = model(name).network
    if target == "viterbi" and not any(latent.discrete for latent in network.graph.in_role("latent")):
        with pytest.raises(bn.IntractableError, match="this network has none"):
            bn.emit(network, target)
        return
    assert faults(bn.emit(network, target)) == []


@pytest.mark.parametrize("build", [example.build for example in EXAMPLES], ids=lambda build: build.__name__)
def test_networks_emit_only_what_a_fitter_needs(build: Callable[[], bn.Network]) -> None:
    assert faults(bn.emit(build(), "em")) == []


def bare(source: str) -> str:
    """The tree of a module without its docstring."""
    tree = ast.parse(source)
    assert isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant)
    assert not any(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in tree.body[1:]
    )
    return ast.dump(ast.Module(tree.body[1:], []))


@cache
def without_text(target: str) -> str:
    return bare(bn.emit(with_texts(""), target))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_stays_text(text: str, target: str) -> None:
    emitted = bn.emit(with_texts(text, (text, "b"), (text, "c")), target)
    assert faults(emitted) == []
    assert bare(emitted) == without_text(target)


@settings(max_examples=25, deadline=None)  # each example formats two modules, at some 0.1 s each
@given(doc=free_text, label=free_text.filter(lambda text: text not in ("", "b")))
def test_any_text_stays_text(doc: str, label: str) -> None:
    for target in ("em", "numpyro"):
        emitted = bn.emit(with_texts(doc, (label, "b"), (label, "b")), target)
        assert bare(emitted) == without_text(target)


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "from os import system",
        "from . import x",
        "print(1)",
        "def f():\n    import sys",
        "def f(x):\n    return eval(x)",
        "def f(x):\n    return x.__class__",
        "def f(x):\n    return np.load(x)",
        "@atexit.register\ndef f(): pass",
        "if __name__ == '__main__':\n    import os",
        "if __name__ == '__main__':\n    np.load(x, allow_pickle=True)",
    ],
)
def test_the_check_sees(line: str) -> None:
    assert faults(f'"""What it is."""\n{line}\n')
