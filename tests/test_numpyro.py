"""The emitted NumPyro model against the oracle, which lists every configuration of the discrete latents in NumPy."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import black
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.contrib.funsor import enum, log_density
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

import bnlab as bn
from bnlab.errors import IntractableError, ModelError
from bnlab.families.base import registry
from bnlab.network.ir import Graph
from bnlab.printers import numpyro as printer
from bnlab.printers.numpyro_layout import make_layout
from bnlab.runtime.em import precision
from bnlab.runtime.load import load_source
from bnlab.runtime.proof import priors
from bnlab.runtime.proof.draws import Layout, random_data, random_parameters
from bnlab.runtime.proof.oracle import Oracle
from bnlab.runtime.sites import log_volume, to_sites
from tests import networks
from tests.models import model
from tests.networks import EXAMPLES, LATER, SAMPLED, Example
from tests.random_networks import random_network

AGREE = 1e-10  # relative: sums of some hundred float64 logarithms, each good to 1e-15, in another order

Arrays = Mapping[str, np.ndarray]


def module(graph: Graph, elimination: str | None = None) -> ModuleType:
    return load_source(printer.text(graph, elimination), f"{graph.name}_numpyro")


def enumerated(graph: Graph, data: Arrays) -> Callable[[Arrays], Any]:
    """The enumerated density as a function of the free parameters, compiled: op by op it takes ten times as long."""
    model = enum(
        module(graph).model, first_available_dim=-1 + min(make_layout(graph).dims.values(), default=0)
    )
    return jax.jit(
        lambda free: log_density(model, (), dict(data), to_sites(graph, free))[0] - log_volume(graph, free)
    )


def free(graph: Graph, theta: Arrays) -> dict[str, np.ndarray]:
    return {one.name: theta[one.name] for one in graph.parameters if one.value is None}


def brute_force(graph: Graph, data: Arrays, theta: Arrays) -> float:
    return float(Oracle(graph, data).scores(theta).sum() + priors.log_prior(graph, theta))


def agree(net: bn.Network, layout: Mapping[str, Layout], seed: int = 0) -> None:
    graph, rng = net.graph, np.random.default_rng(seed)
    data, theta = random_data(graph, rng, layout), random_parameters(graph, rng)
    found = enumerated(graph, data)(free(graph, theta))
    np.testing.assert_allclose(found, brute_force(graph, data, theta), rtol=AGREE)


@pytest.mark.parametrize("example", (*EXAMPLES, *LATER, *SAMPLED), ids=lambda example: example.name)
def test_value_is_brute_force_and_gradient_is_finite(example: Example) -> None:
    graph, rng = example.build().graph, np.random.default_rng(1)
    data = random_data(graph, rng, example.layout)
    theta = random_parameters(graph, rng, example.zeros)
    density = jax.jit(jax.value_and_grad(enumerated(graph, data)))
    value, gradient = density({name: jnp.asarray(array) for name, array in free(graph, theta).items()})
    np.testing.assert_allclose(value, brute_force(graph, data, theta), rtol=AGREE)
    if not example.zeros:  # funsor has no gradient where a path is impossible; samplers never stand there
        assert all(np.isfinite(slope).all() for slope in gradient.values())


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed: int) -> None:
    net, layout = random_network(np.random.default_rng(seed))
    agree(net, layout, seed)


@pytest.mark.parametrize(
    ("build", "layout"),
    [
        (networks.mixture_scalar, {"n": 3}),  # as many rows as components
        (networks.mixture_full, {"n": 2}),
        (networks.mixture_full, {"n": 3}),  # as many rows as dimensions
        (networks.mixture_full, {"n": 1}),
        (networks.naive_bayes, {"n": 3}),  # as many rows as items
        (networks.grouped_rows, {"group": (1,)}),
        (networks.grouped_rows, {"group": (2, 2)}),
        (networks.chain_gaussian, {"sequence": (2, 2)}),
        (networks.chain_gaussian, {"sequence": (1, 1)}),
        (networks.chain_categorical, {"sequence": (3, 3, 3)}),
        (networks.chain_categorical, {"sequence": (4,)}),
        (networks.chain_alone, {"t": 1}),
        (networks.chain_alone, {"t": 2}),
    ],
)
def test_sizes_that_coincide_or_are_one(
    build: Callable[[], bn.Network], layout: Mapping[str, Layout]
) -> None:
    agree(build(), layout)


def spreads_that_select_more(mean: str, chained: bool) -> bn.Network:
    """States select the spread of a vector, and not its mean: NumPyro divides by all matrices at once."""
    with bn.Network("spreads") as net:
        p, q = bn.parameter("p", bn.Simplex(2)), bn.parameter("q", bn.Simplex(3))
        m = bn.parameter("m", bn.Real(2))
        with bn.plate("k", 2):
            S, v = bn.parameter("S", bn.Covariance(2)), bn.parameter("v", bn.Positive(2))
            P = bn.parameter("P", bn.Simplex(2)) if chained else p
        with bn.plate("i", 3):
            M = bn.parameter("M", bn.Real(2))
        with bn.plate("s"), bn.chain("t") if chained else bn.plate("row"):
            start = {"first": bn.Categorical(p)} if chained else {}
            z = bn.latent("z", bn.Categorical(P[bn.previous("z")] if chained else p), **start)
            a = bn.latent("a", bn.Categorical(q))
            chosen = {"zero": bn.zeros(2), "tied": m, "other": M[a]}[mean]
            bn.observed("w", bn.Normal(M[a] + m, var=v[z]))
            bn.observed("x", bn.Normal(chosen, cov=S[z]))
            bn.observed("y", bn.StudentT(4.0, chosen, scale_matrix=S[z]))
            bn.observed("u", bn.StudentT(4.0, chosen, scale=v[z]))
    return net


@pytest.mark.parametrize(("mean", "chained"), [("zero", False), ("tied", True), ("other", False)])
def test_spreads_may_have_states_that_means_have_not(mean: str, chained: bool) -> None:
    agree(spreads_that_select_more(mean, chained), {"s": (3, 2)})


def habits(kind: str) -> bn.Network:
    """Chains that NumPyro would sum wrongly without a word, were they written down as they are read."""
    with bn.Network("habits") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            P, M = bn.parameter("P", bn.Simplex(2)), bn.parameter("M", bn.Real())
        with bn.plate("s"):
            c = bn.latent("c", bn.Categorical(p))
            with bn.chain("t"):
                if kind == "the past of a latent that has none itself":
                    z = bn.latent("z", bn.Categorical(P[c]))
                    mean, first = M[bn.previous("z")] + M[z], M[z]
                elif kind == "the past of a latent's child":
                    w = bn.latent("w", bn.Categorical(p))
                    z = bn.latent("z", bn.Categorical(P[w]))
                    mean, first = M[bn.previous("z")] + M[c], M[c]
                elif kind == "an outer latent that the path does not read":
                    z = bn.latent("z", bn.Categorical(P[bn.previous("z")]), first=bn.Categorical(p))
                    mean, first = M[z] + M[c], M[z]
                elif kind == "two steps back only":
                    start = (bn.Categorical(p), bn.Categorical(p))
                    bn.latent("z", bn.Categorical(P[bn.previous("z", 2)]), first=start)
                    mean, first = M[bn.previous("z")], M[c]
                else:  # an observation that reads no latent of the step
                    bn.latent("z", bn.Categorical(P[bn.previous("z")]), first=bn.Categorical(p))
                    mean, first = M[c], M[c]
                bn.observed("x", bn.Normal(mean, var=1.0), first=bn.Normal(first, var=1.0))
    return net


@pytest.mark.parametrize(
    "kind",
    [
        "the past of a latent that has none itself",
        "the past of a latent's child",
        "an outer latent that the path does not read",
        "two steps back only",
        "an observation that reads no latent of the step",
    ],
)
def test_chains_that_numpyro_would_sum_wrongly(kind: str) -> None:
    agree(habits(kind), {"s": (4, 1, 3)})


@pytest.mark.parametrize("example", (*EXAMPLES, *SAMPLED), ids=lambda example: example.name)
def test_marginal_model_has_the_density_of_the_enumerated_one(example: Example) -> None:
    graph, rng = example.build().graph, np.random.default_rng(2)
    data, theta = random_data(graph, rng, example.layout), random_parameters(graph, rng, example.zeros)
    emitted = load_source(bn.emit(example.build(), "numpyro"), f"{graph.name}_numpyro")
    prepared = emitted.prepare(dict(data))

    def density(free: Arrays) -> Any:
        sites = to_sites(graph, free)
        return numpyro.infer.util.log_density(emitted.marginal_model, (prepared,), {}, sites)[0] - log_volume(
            graph, free
        )

    found = jax.jit(density)(free(graph, theta))
    np.testing.assert_allclose(found, brute_force(graph, data, theta), rtol=AGREE)


@pytest.mark.parametrize("example", (*EXAMPLES, *LATER, *SAMPLED), ids=lambda example: example.name)
def test_every_site_has_the_shape_of_its_plates(example: Example) -> None:
    graph, rng = example.build().graph, np.random.default_rng(3)
    data = random_data(graph, rng, example.layout)
    layout, found = make_layout(graph), {}

    def look(key: jax.Array) -> None:
        model = numpyro.handlers.seed(module(graph).model, key)
        for name, site in numpyro.handlers.trace(model).get_trace(**data).items():
            if site["type"] == "sample":
                frames = {frame.dim: frame.size for frame in site["cond_indep_stack"]}
                found[name] = frames, list(site["fn"].batch_shape)

    jax.eval_shape(look, jax.random.key(0))  # the shapes, without a number computed
    assert found
    for name, (frames, shape) in found.items():
        expected = [frames.get(dim, 1) for dim in range(min(frames, default=0), 0)]
        steps = any(
            variable.name == name and set(variable.plates) & set(layout.scans) for variable in graph.variables
        )
        assert shape[steps:] == expected, name


@pytest.mark.parametrize(
    ("build", "layout"),
    [
        (networks.mixture_full, {"n": 5}),
        (networks.naive_bayes, {"n": 5}),
        (networks.grouped_rows, {"group": (3, 1)}),
        (networks.chain_gaussian, {"sequence": (3, 2)}),
        (networks.second_order, {"sequence": (5, 2)}),
    ],
)
def test_without_data_the_model_samples_them(
    build: Callable[[], bn.Network], layout: Mapping[str, Layout]
) -> None:
    graph = build().graph
    data = random_data(graph, np.random.default_rng(0), layout)
    observed = [variable.name for variable in graph.in_role("observed")]
    others: dict[str, Any] = {name: value for name, value in data.items() if name not in observed}
    if not others:
        others = {"num_n": len(data[observed[0]])}
    sites = numpyro.handlers.trace(numpyro.handlers.seed(module(graph).model, 0)).get_trace(**others)
    given = numpyro.handlers.trace(numpyro.handlers.seed(module(graph).model, 0)).get_trace(**data)
    for name in observed:
        assert sites[name]["value"].shape == given[name]["value"].shape
        assert np.isfinite(sites[name]["value"]).all()


def test_a_gaussian_latent_read_through_ids() -> None:
    with bn.Network("pairs") as net:
        m, between, within = (
            bn.parameter("m", bn.Real(2)),
            bn.parameter("between", bn.Covariance(2)),
            bn.parameter("within", bn.Covariance(2)),
        )
        with bn.plate("g"):
            y = bn.latent("y", bn.Normal(m, cov=between))
            with bn.plate("r"):
                bn.observed("x", bn.Normal(y, cov=within))
    rng = np.random.default_rng(0)
    data, theta = random_data(net.graph, rng, {"g": (2, 1, 3)}), random_parameters(net.graph, rng)
    value = rng.normal(size=(3, 2))
    found, _ = numpyro.infer.util.log_density(module(net.graph).model, (), data, {**theta, "y": value})
    expected = multivariate_normal(theta["m"], theta["between"]).logpdf(value).sum()
    expected += multivariate_normal(np.zeros(2), theta["within"]).logpdf(data["x"] - value[data["g"]]).sum()
    np.testing.assert_allclose(found, expected, rtol=AGREE)


def test_a_gaussian_chain_that_starts_with_other_variances() -> None:
    """One sequence shorter than the other: what lies beyond its end is drawn from the chain and not observed."""
    with bn.Network("tracking") as net:
        F, b = bn.parameter("F", bn.Real(2, 2)), bn.parameter("b", bn.Real(2))
        q, r = bn.parameter("q", bn.Positive(2)), bn.parameter("r", bn.Positive())
        Q = bn.parameter("Q", bn.Covariance(2))
        with bn.plate("s"), bn.chain("t"):
            y = bn.latent("y", bn.Normal(F @ bn.previous("y") + b, cov=Q), first=bn.Normal(b, var=q))
            bn.observed("x", bn.Normal(bn.constant([1.0, -2.0]) @ y, var=r))
    rng = np.random.default_rng(0)
    data, theta = random_data(net.graph, rng, {"s": (3, 2)}), random_parameters(net.graph, rng)
    y = rng.normal(size=(3, 2, 2))  # steps, sequences, event
    found, _ = numpyro.infer.util.log_density(
        module(net.graph).model, (), data, {**theta, "y": jnp.asarray(y)}
    )
    expected = norm(theta["b"], np.sqrt(theta["q"])).logpdf(y[0]).sum()
    expected += (
        multivariate_normal(np.zeros(2), theta["Q"]).logpdf(y[1:] - y[:-1] @ theta["F"].T - theta["b"]).sum()
    )
    path = np.concatenate([y[:, 0], y[:2, 1]])
    expected += norm(path @ [1.0, -2.0], np.sqrt(theta["r"])).logpdf(data["x"]).sum()
    np.testing.assert_allclose(found, expected, rtol=AGREE)


def test_a_discrete_and_a_gaussian_latent_and_a_given() -> None:
    with bn.Network("factors") as net:
        pi, a = bn.parameter("pi", bn.Simplex(3)), bn.parameter("a", bn.Real(2))
        with bn.plate("k", 3):
            W, mu, psi = (
                bn.parameter("W", bn.Real(2, 2)),
                bn.parameter("mu", bn.Real(2)),
                bn.parameter("psi", bn.Positive(2)),
            )
        with bn.plate("n"):
            u = bn.given("u", bn.Real())
            c = bn.latent("c", bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            bn.observed("x", bn.Normal(W[c] @ y + mu[c] - a * u, var=psi[c]))
    rng = np.random.default_rng(0)
    data, theta = random_data(net.graph, rng, {"n": 3}), random_parameters(net.graph, rng)
    y = rng.normal(size=(3, 2))
    found = enumerated(net.graph, data)({**theta, "y": y})
    mean = np.einsum("kij,nj->nki", theta["W"], y) + theta["mu"] - (data["u"][:, None] * theta["a"])[:, None]
    density = norm(mean, np.sqrt(theta["psi"])).logpdf(data["x"][:, None]).sum(-1)
    expected = norm().logpdf(y).sum() + np.log(np.exp(density) @ theta["pi"]).sum()
    np.testing.assert_allclose(found, expected, rtol=AGREE)


def test_what_cannot_be_enumerated_is_refused_by_name() -> None:
    with bn.Network("wide") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("n"):
            for number in range(30):
                bn.latent(f"z{number}", bn.Categorical(p))
    with pytest.raises(IntractableError, match="it has 25, and 32 are needed"):
        printer.text(net.graph)
    elimination = "class Parameters: ...\n\ndef log_evidence(theta, data):\n    return 0.0\n"
    names = {
        node.name
        for node in ast.parse(printer.text(net.graph, elimination)).body
        if isinstance(node, ast.FunctionDef)
    }
    assert "marginal_model" in names and "model" not in names


def test_first_steps_of_another_family_are_refused() -> None:
    with bn.Network("mixed") as net:
        m = bn.parameter("m", bn.Real())
        with bn.chain("t"):
            bn.latent("y", bn.Normal(bn.previous("y"), var=1.0), first=bn.Normal(m, var=1.0))
    graph = net.graph
    variable = graph.variables[0]
    first = variable.first[0]
    other = type(first)("InverseGamma", first.arguments)
    broken = Graph(graph.name, graph.plates, graph.parameters, (_with_first(variable, other),))
    with pytest.raises(ModelError, match="starts as InverseGamma and goes on as Normal"):
        printer.text(broken)


def _with_first(variable: Any, first: Any) -> Any:
    return type(variable)(
        variable.name, variable.role, variable.domain, variable.plates, variable.cpd, (first,)
    )


def test_every_family_has_a_spelling() -> None:
    from bnlab.printers.numpyro_families import ELEMENTWISE, WHOLE

    for name, family in registry().items():
        spelled = name in WHOLE or name in ELEMENTWISE or "numpyro" in family.spelling
        assert spelled or family.parts, name


@pytest.mark.parametrize("example", (*EXAMPLES, *LATER, *SAMPLED), ids=lambda example: example.name)
def test_the_text_is_formatted_deterministic_and_alone(example: Example) -> None:
    text = printer.text(example.build().graph)
    assert text == printer.text(example.build().graph)
    assert text == black.format_str(text, mode=black.Mode(line_length=110))
    assert text.splitlines()[0] == "# -*- coding: utf-8 -*-"
    tree = ast.parse(text)
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in modules} <= {"jax", "numpy", "numpyro"}


def test_crossed_plates_read_both_sides_through_ids() -> None:
    with bn.Network("answers") as net:
        v = bn.parameter("v", bn.Positive())
        with bn.plate("student"):
            a = bn.latent("a", bn.Normal(0.0, var=1.0))
        with bn.plate("question"):
            d = bn.latent("d", bn.Normal(0.0, var=4.0))
        with bn.plate("student"), bn.plate("question"):
            bn.observed("x", bn.Normal(a - d, var=v))
    rng = np.random.default_rng(0)
    student, question, x = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 1]), rng.normal(size=5)
    values = {"a": rng.normal(size=3), "d": rng.normal(size=2), "v": np.array(0.7)}
    data = {"student": student, "question": question, "x": x}
    found, _ = numpyro.infer.util.log_density(module(net.graph).model, (), data, values)
    expected = norm().logpdf(values["a"]).sum() + norm(0, 2).logpdf(values["d"]).sum()
    expected += norm(values["a"][student] - values["d"][question], np.sqrt(0.7)).logpdf(x).sum()
    np.testing.assert_allclose(found, expected, rtol=AGREE)


def test_three_nested_levels_of_gaussian_latents() -> None:
    with bn.Network("nested") as net:
        v = bn.parameter("v", bn.Positive())
        with bn.plate("a"):
            y = bn.latent("y", bn.Normal(0.0, var=1.0))
            with bn.plate("b"):
                w = bn.latent("w", bn.Normal(y, var=v))
                with bn.plate("c"), bn.plate("item", 2):
                    bn.observed("x", bn.Normal(w + y, var=v))
    rng = np.random.default_rng(0)
    data = random_data(net.graph, rng, {"a": ((2, 1), (3,))})
    y, w = rng.normal(size=2), rng.normal(size=3)
    # the only plate to the right of the rows is `item`: sites of the rows have an axis of 1 for it
    values = {"v": np.array(0.7), "y": y[:, None], "w": w[:, None]}
    found, _ = numpyro.infer.util.log_density(module(net.graph).model, (), data, values)
    expected = norm().logpdf(y).sum() + norm(y[[0, 0, 1]], np.sqrt(0.7)).logpdf(w).sum()
    expected += norm((w[data["b"]] + y[data["a"]])[:, None], np.sqrt(0.7)).logpdf(data["x"]).sum()
    np.testing.assert_allclose(found, expected, rtol=AGREE)


def test_two_plates_beside_one_another_are_refused() -> None:
    with bn.Network("both") as net, bn.plate("s"):
        y = bn.latent("y", bn.Normal(0.0, var=1.0))
        with bn.plate("u"):
            bn.observed("x", bn.Normal(y, var=1.0))
        with bn.plate("w"):
            bn.observed("z", bn.Normal(y, var=1.0))
    with pytest.raises(ModelError, match="holds u and w beside one another"):
        printer.text(net.graph)


def test_density_that_is_multiplied_out_loses_no_digits_far_from_0() -> None:
    """Five entries: `marginal_model` writes (x - mean)' P (x - mean) as products; the EM's file whitens residuals."""
    net = model("gmm", components=3, dim=5).network
    text = bn.emit(net, "numpyro")
    assert "squared_distances(r, m, precision)" in text
    rng = np.random.default_rng(0)
    x = 1e4 + rng.normal(size=(50, 5)) + 3 * rng.integers(0, 3, (50, 1))
    roots = rng.normal(size=(3, 5, 7))
    theta = {
        "pi": np.array([0.2, 0.3, 0.5]),
        "mu": 1e4 + 3.0 * np.arange(3)[:, None] + rng.normal(size=(3, 5)),
        "Sigma": roots @ roots.swapaxes(-1, -2) / 7 + 0.2 * np.eye(5),
    }
    with precision("float64"):
        found = []
        for kind, name in (("numpyro", "marginal"), ("em", "em")):
            module = load_source(bn.emit(net, kind), f"far_{name}")
            data = module.prepare({"x": x}, np.float64)
            parameters = module.Parameters(**{key: jnp.asarray(value) for key, value in theta.items()})
            found.append(jax.device_get(jax.value_and_grad(module.log_evidence)(parameters, data)))
    joint = np.stack(
        [
            np.log(pi) + multivariate_normal(mu, Sigma).logpdf(x)
            for pi, mu, Sigma in zip(*theta.values(), strict=True)
        ]
    )
    exact = logsumexp(joint, axis=0).sum()
    # means of some 10^4 have rounding errors of 10^-12 in units of the deviations
    np.testing.assert_allclose([found[0][0], found[1][0]], exact, rtol=1e-10)
    for name in theta:
        ours, theirs = (np.asarray(getattr(each[1], name)) for each in found)
        if name == "Sigma":  # of a symmetric matrix only the sum of both halves' derivatives means anything
            ours, theirs = (each + each.swapaxes(-1, -2) for each in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8 * np.abs(theirs).max())


def test_the_slope_that_chunks_give_is_that_of_their_sum() -> None:
    """Of two chunks and of chains side by side: against the derivative that JAX takes of the sum itself."""
    net = model("gmm_univariate").network
    graph, rng = net.graph, np.random.default_rng(0)
    ours = load_source(bn.emit(net, "numpyro"), "gmm_univariate_numpyro")
    data = ours.prepare({"x": rng.normal(size=50)}, rows=25)
    assert len(data.x) == 2
    thetas = [ours.Parameters(**random_parameters(graph, np.random.default_rng(seed))) for seed in (1, 2)]

    def plain(theta: Any) -> Any:
        return jax.lax.map(lambda chunk: ours.expect(theta, chunk), data).sum()

    def bend(density: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda theta: jax.jvp(jax.grad(density), (theta,), (theta,))[1]

    with precision("float64"):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *thetas)
        emitted = jax.jit(
            lambda theta: ours.log_evidence(theta, data)
        )  # as the runtime has it, compiled inside
        for way in (jax.value_and_grad, bend):
            found, expected = (jax.jit(jax.vmap(way(density)))(stacked) for density in (emitted, plain))
            # the same sums in another order
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11), found, expected)
