"""The oracle itself, against SciPy and loops written for one model: what judges others is judged first."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bnlab.runtime import proof
from bnlab.runtime.proof import priors
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.oracle import Oracle
from tests import networks
from tests.networks import EXAMPLES, LATER, Example

ROUNDING = 1e-12  # sums of some hundred numbers of size 1 to 100 in float64, relative


def test_the_proof_shares_nothing_with_what_it_judges() -> None:
    """The oracle reads the declaration alone, with the names of NumPyro's sites; only `evaluated.py`, which is judged itself,
    runs the Program."""
    allowed = re.compile(r"bnlab\.(errors|domains|network\.(ir|sites)|runtime\.proof)")
    for path in Path(proof.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        found = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        foreign = {name for name in found if name.startswith("bnlab") and not allowed.match(name)}
        assert not foreign or path.name == "evaluated.py", f"{path.name} imports {foreign}"


def posed(example: Example, seed: int = 0):
    rng = np.random.default_rng(seed)
    graph = example.build().graph
    return graph, random_data(graph, rng, example.layout), random_parameters(graph, rng, example.zeros)


def test_a_mixture_by_scipy() -> None:
    graph, data, theta = posed(Example(networks.mixture_full, {"n": 9}))
    density = np.stack(
        [stats.multivariate_normal(theta["mu"][k], theta["Sigma"][k]).pdf(data["x"]) for k in range(2)], -1
    )
    joint = theta["pi"] * density
    oracle = Oracle(graph, data)
    np.testing.assert_allclose(oracle.scores(theta), np.log(joint.sum(-1)), rtol=ROUNDING)
    np.testing.assert_allclose(
        oracle.marginals(oracle.posterior(theta))["z"], joint / joint.sum(-1, keepdims=True), atol=ROUNDING
    )


@pytest.mark.parametrize(
    "build", [networks.mixture_diagonal, networks.mixture_spherical, networks.mixture_std]
)
def test_the_structures_of_a_covariance_by_scipy(build) -> None:
    graph, data, theta = posed(Example(build, {"n": 7}))
    dim = data["x"].shape[1]
    std = theta["s"] if "s" in theta else np.sqrt(theta["v"]).reshape(2, -1) * np.ones(dim)
    density = stats.norm(theta["mu"], std).pdf(data["x"][:, None]).prod(-1)
    np.testing.assert_allclose(
        Oracle(graph, data).scores(theta), np.log(density @ theta["pi"]), rtol=ROUNDING
    )


def test_a_chain_by_listing_its_paths() -> None:
    graph, data, theta = posed(Example(networks.chain_categorical, {"sequence": (3, 1)}))
    pi, A, B = theta["pi"], theta["A"], theta["B"]
    expected = []
    for x in (data["x"][:3], data["x"][3:]):
        total = 0.0
        for path in itertools.product(range(3), repeat=len(x)):
            p = pi[path[0]] * np.prod([A[i, j] for i, j in itertools.pairwise(path)])
            total += p * np.prod([B[z, symbol] for z, symbol in zip(path, x, strict=True)])
        expected.append(np.log(total))
    np.testing.assert_allclose(Oracle(graph, data).scores(theta), expected, rtol=ROUNDING)


def test_groups_by_nested_sums() -> None:
    graph, data, theta = posed(Example(networks.group_and_row, {"group": (3, 1, 2)}))
    expected = []
    for group, w in enumerate(data["w"]):
        x = data["x"][data["group"] == group]
        rows = stats.norm(theta["mu"], np.sqrt(theta["v"])).pdf(x[:, None])  # (rows, j)
        inner = (rows @ theta["B"].T).prod(0)  # (i,)
        expected.append(np.log(theta["p"] @ (theta["C"][:, w] * inner)))
    np.testing.assert_allclose(Oracle(graph, data).scores(theta), expected, rtol=ROUNDING)


@pytest.mark.parametrize("example", EXAMPLES + LATER, ids=lambda e: e.name)
def test_evidence_is_energy_plus_entropy_plus_divergence(example: Example) -> None:
    graph, data, theta = posed(example)
    oracle, rng = Oracle(graph, data), np.random.default_rng(1)
    q = oracle.random_posterior(theta, rng)
    total = oracle.auxiliary(theta, q) + oracle.entropy(q) + oracle.kl(q, theta)
    assert oracle.log_evidence(theta) == pytest.approx(total, rel=ROUNDING)
    assert oracle.kl(q, theta) >= 0


def test_a_weight_of_two_is_a_repeated_member() -> None:
    graph, data, theta = posed(Example(networks.mixture_scalar, {"n": 3}))
    twice = {"x": data["x"][[0, 0, 1, 2]]}
    weighted = Oracle(graph, {**data, "weights": [2.0, 1.0, 1.0]})
    assert weighted.log_evidence(theta) == pytest.approx(
        Oracle(graph, twice).log_evidence(theta), rel=ROUNDING
    )


def test_a_missing_category_is_summed_out() -> None:
    graph, data, theta = posed(Example(networks.fully_observed, {"n": 4}))
    mixture = np.stack(
        [stats.multivariate_normal(theta["mu"][k], theta["Sigma"][k]).pdf(data["x"]) for k in range(2)], -1
    )
    hidden = Oracle(graph, {**data, "z": np.full(4, -1)})
    np.testing.assert_allclose(hidden.scores(theta), np.log(mixture @ theta["p"]), rtol=ROUNDING)


def test_the_most_probable_assignment_is_the_best_path() -> None:
    graph, data, theta = posed(Example(networks.chain_categorical, {"sequence": (4,)}))

    def log_p(path: tuple[int, ...]) -> float:
        steps = sum(np.log(theta["A"][i, j]) for i, j in itertools.pairwise(path))
        return (
            np.log(theta["pi"][path[0]])
            + steps
            + sum(np.log(theta["B"][z, s]) for z, s in zip(path, data["x"], strict=True))
        )

    best = max(itertools.product(range(3), repeat=4), key=log_p)
    found, value = Oracle(graph, data).most_probable(theta)
    assert tuple(found["z"]) == best
    assert value == pytest.approx(log_p(best), rel=ROUNDING)


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if e.name in ("two_causes", "chain_gaussian")], ids=lambda e: e.name
)
def test_the_gradient_of_the_auxiliary_function_is_that_of_the_evidence(example: Example) -> None:
    """Fisher's identity, with the evidence differentiated numerically: the oracle's two sides agree with one another."""
    graph, data, theta = posed(example)
    oracle = Oracle(graph, data)
    q = oracle.posterior(theta)
    exact = jax.grad(lambda t: oracle.auxiliary(t, q, jnp))(
        {name: jnp.asarray(v) for name, v in theta.items()}
    )
    step = 1e-5
    for name, value in theta.items():
        direction = np.random.default_rng(2).normal(size=value.shape)
        direction = direction + direction.swapaxes(-1, -2) if name == "Sigma" else direction
        up, down = ({**theta, name: value + sign * step * direction} for sign in (1, -1))
        slope = (oracle.log_evidence(up) - oracle.log_evidence(down)) / (2 * step)
        # central differences: an error of step^2 times third derivatives, and of rounding / step
        assert slope == pytest.approx(float((exact[name] * direction).sum()), rel=1e-5, abs=1e-5)


def test_priors_by_scipy() -> None:
    graph, _, theta = posed(next(e for e in EXAMPLES if e.name == "priors"))
    expected = stats.dirichlet([2.0, 3.0]).logpdf(theta["pi"])
    expected += sum(stats.dirichlet([1.5, 1.0, 2.5]).logpdf(row) for row in theta["B"])
    expected += sum(stats.invwishart(5.0, [[1.0, 0.3], [0.3, 2.0]]).logpdf(cov) for cov in theta["Sigma"])
    expected += stats.invgamma(2.0, scale=1.5).logpdf(theta["v"]).sum()
    expected += stats.norm(0.5, np.sqrt(2.0)).logpdf(theta["m"])
    assert priors.log_prior(graph, theta) == pytest.approx(expected, rel=ROUNDING)


def test_a_normal_prior_by_scipy() -> None:
    graph, _, theta = posed(next(e for e in EXAMPLES if e.name == "prior_on_mean"))
    expected = stats.multivariate_normal([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]]).logpdf(theta["mu"]).sum()
    expected += sum(stats.invwishart(4.0, np.eye(2)).logpdf(cov) for cov in theta["Sigma"])
    assert priors.log_prior(graph, theta) == pytest.approx(expected, rel=ROUNDING)
