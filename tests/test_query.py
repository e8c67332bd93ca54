"""`bn.query` and `bn.explain` against sums over all configurations."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.oracle import Oracle
from tests import networks
from tests.models import model

ROUNDING = 1e-12  # sums of a few dozen products of probabilities


def family() -> tuple[bn.Network, dict[str, np.ndarray], np.ndarray]:
    """All observed: a, b -> c -> d; with the joint table over (a, b, c, d)."""
    net = networks.observed_family()
    theta = random_parameters(net.graph, np.random.default_rng(0))
    joint = np.einsum("a,b,abc,cd->abcd", *(theta[name] for name in "ABCD"))
    return net, theta, joint


def test_without_data_it_is_the_prior() -> None:
    net, theta, joint = family()
    found = bn.query(net, theta, {}, ["d", ("a", "c"), ("c", "a")])
    assert list(found) == ["d", ("a", "c"), ("c", "a")]
    np.testing.assert_allclose(found["d"][0], joint.sum((0, 1, 2)), rtol=ROUNDING)
    np.testing.assert_allclose(found["a", "c"][0], joint.sum((1, 3)), rtol=ROUNDING)
    np.testing.assert_allclose(found["c", "a"][0], joint.sum((1, 3)).T, rtol=ROUNDING)


def test_given_some_of_the_variables() -> None:
    """Rows with patterns of their own; variables that are far apart in the network, together."""
    net, theta, joint = family()
    data = {"d": [0, 2, -1], "b": [-1, 1, -1]}
    found = bn.query(net, theta, data, ["a", ("a", "d"), "b"])
    for row, (d, b) in enumerate(zip(*data.values(), strict=True)):
        seen = joint * ((np.arange(3) == d) | (d < 0)) * ((np.arange(3) == b) | (b < 0))[:, None, None]
        seen = seen / seen.sum()
        np.testing.assert_allclose(found["a"][row], seen.sum((1, 2, 3)), atol=ROUNDING)
        np.testing.assert_allclose(found["a", "d"][row], seen.sum((1, 2)), atol=ROUNDING)
        np.testing.assert_allclose(found["b"][row], seen.sum((0, 2, 3)), atol=ROUNDING)


def test_the_most_probable_explanation() -> None:
    net, theta, joint = family()
    found = bn.explain(net, theta, {"d": [2, 0, -1], "a": [1, -1, -1]})
    for row, (d, a) in enumerate([(2, 1), (0, -1), (-1, -1)]):
        told = tuple(int(found[name][row]) for name in "abcd")
        rivals = [
            c for c in itertools.product(*map(range, joint.shape)) if d in (-1, c[3]) and a in (-1, c[0])
        ]
        assert joint[told] == max(joint[c] for c in rivals)
        assert told in rivals


def test_latents_and_continuous_variables() -> None:
    """A variable of an outer plate beside one of the rows; a continuous child may be there or not."""
    net = networks.group_and_row()
    graph, rng = net.graph, np.random.default_rng(1)
    data, theta = random_data(graph, rng, {"group": (2, 1, 3)}), random_parameters(graph, rng)
    oracle = Oracle(graph, data)
    expected = oracle.marginals(oracle.posterior(theta))
    given: Any = {"w": data["w"], "x": data["x"], "group": data["group"]}
    found = bn.query(net, theta, given, ["c", "z", ("c", "z")])
    for name in ("c", "z"):
        np.testing.assert_allclose(found[name], expected[name], atol=ROUNDING)
    np.testing.assert_allclose(found["c", "z"].sum(1), expected["z"], atol=ROUNDING)
    np.testing.assert_allclose(found["c", "z"].sum(2), expected["c"][data["group"]], atol=ROUNDING)
    alone = bn.query(net, theta, {"w": data["w"]}, "c")["c"]
    prior = theta["p"] * theta["C"][:, data["w"]].T
    np.testing.assert_allclose(alone, prior / prior.sum(-1, keepdims=True), rtol=ROUNDING)


def test_along_a_chain() -> None:
    """What is asked for may be observed in part, and stand in a chain; evidence counts."""
    net = networks.chain_categorical()
    graph, rng = net.graph, np.random.default_rng(2)
    data, theta = random_data(graph, rng, {"sequence": (4, 2)}), random_parameters(graph, rng)
    data["x"][1] = -1
    sequences = np.split(data["x"], [4])
    oracle = Oracle(graph, data)
    q = oracle.marginals(oracle.posterior(theta))["z"]
    found = bn.query(net, theta, {"x": sequences}, ["z", "x", ("z", "x")])
    np.testing.assert_allclose(np.concatenate(found["z"]), q, atol=ROUNDING)
    np.testing.assert_allclose(found["x"][0][1], q[1] @ theta["B"], atol=ROUNDING)
    np.testing.assert_allclose(found["z", "x"][0][1], q[1][:, None] * theta["B"], atol=ROUNDING)
    final = bn.query(net, theta, {"x": sequences}, "z", evidence={"z": bn.final(2)})["z"]
    assert [z[-1].tolist() for z in final] == [[0, 0, 1]] * 2


@pytest.mark.parametrize(
    ("targets", "part"),
    [
        (["aa"], 'no variable "aa". Did you mean "a"?'),
        ([], "No variable is asked for"),
    ],
)
def test_faults_of_targets(targets: Any, part: str) -> None:
    net, theta, _ = family()
    with pytest.raises(bn.DataError) as caught:
        bn.query(net, theta, {}, targets)
    assert part in re.sub(r"\s+", " ", str(caught.value))


def test_what_is_no_category_has_no_probabilities() -> None:
    net = networks.fixed_parts()
    theta = random_parameters(net.graph, np.random.default_rng(0))
    with pytest.raises(bn.DataError, match="x is continuous"):
        bn.query(net, theta, {"g": [0]}, ["x", "g"])


def by_contraction(net: bn.Network, known: dict[str, int], names: tuple[str, ...]) -> np.ndarray:
    """The joint posterior of some variables: all tables in one sum of products, by NumPy."""
    graph = net.graph
    letter = {variable.name: i for i, variable in enumerate(graph.variables)}
    operands: list[Any] = []
    for variable in graph.variables:
        (argument,) = (part for _, part in variable.cpd.arguments)
        table = net.parameters[argument.target]
        scope = [*(ref.name for ref in argument.subscripts), variable.name]
        for name in scope:
            if name in known:
                size = table.shape[scope.index(name)]
                operands += [np.eye(size)[known[name]], [letter[name]]]
        operands += [table, [letter[name] for name in scope]]
    joint = np.einsum(*operands, [letter[name] for name in names], optimize="greedy")
    return joint / joint.sum()


@pytest.mark.parametrize(
    ("file", "known", "targets"),
    [
        ("asia", {"xray": 0, "smoke": 0}, ("lung", ("lung", "bronc"), ("asia", "dysp"))),
        ("alarm", {"HRBP": 2, "MINVOLSET": 1, "BP": 0}, ("LVFAILURE", ("INTUBATION", "KINKEDTUBE"))),
    ],
)
def test_published_networks(file: str, known: dict[str, int], targets: Any) -> None:
    net = bn.read(Path(__file__).parents[1] / "data" / f"{file}.bif")
    found = bn.query(net, net.parameters, {name: [value] for name, value in known.items()}, list(targets))
    for target in targets:
        names = (target,) if isinstance(target, str) else target
        np.testing.assert_allclose(
            found[target][0], by_contraction(net, known, names), atol=1e-12
        )  # rounding
    if file == "asia":  # Lauritzen and Spiegelhalter (1988): 0.646
        assert found["lung"][0, 0] == pytest.approx(0.646, abs=5e-4)


def _descent(names: list[str]) -> bn.Network:
    """Each binary latent of a member depends on the one before it; x on the last."""
    with bn.Network("descent") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("state", 2):
            P = bn.parameter("P", bn.Simplex(2))
        with bn.plate("n"):
            last = bn.latent(names[0], bn.Categorical(p))
            for name in names[1:]:
                last = bn.latent(name, bn.Categorical(P[last]))
            bn.observed("x", bn.Categorical(P[last]))
    return net


def test_names_that_run_together_are_told_apart() -> None:
    """`a` with `b_c` is not `a_b` with `c`, and a latent may be called like a joint table."""
    theta = {"p": np.array([0.3, 0.7]), "P": np.array([[0.1, 0.9], [0.6, 0.4]])}
    plain = bn.query(_descent(["a", "b", "c", "d"]), theta, {"x": [1]}, [("a", "b"), ("c", "d"), "c"])
    run = bn.query(_descent(["a", "b_c", "a_b", "c"]), theta, {"x": [1]}, [("a", "b_c"), ("a_b", "c"), "a_b"])
    for one, other in zip(plain.values(), run.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    three = bn.query(_descent(["a", "b", "joint_a_b"]), theta, {"x": [1]}, [("a", "b"), "joint_a_b"])
    others = bn.query(_descent(["a", "b", "c"]), theta, {"x": [1]}, [("a", "b"), "c"])
    for one, other in zip(three.values(), others.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_latents_that_nothing_observed_depends_on_keep_their_prior_for_each_member() -> None:
    with bn.Network("apart") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("n"):
            bn.latent("a", bn.Categorical(p))
            bn.latent("b", bn.Categorical(p))
            bn.latent("u", bn.Normal(2.0, var=3.0))
            bn.observed("x", bn.Categorical(p))
    prior = np.array([0.3, 0.7])
    found = bn.query(net, {"p": prior}, {"x": [0, 1, 1]}, ["a", ("a", "b")])
    np.testing.assert_allclose(found["a"], np.tile(prior, (3, 1)), rtol=1e-15)
    np.testing.assert_allclose(found["a", "b"], np.tile(np.outer(prior, prior), (3, 1, 1)), rtol=1e-15)
    fit = bn.fit(net, {"x": [0, 1, 1]}, init={"p": prior}, max_iter=0, progress=False)
    np.testing.assert_array_equal(fit.posterior()["u"]["mean"], np.full(3, 2.0))
    np.testing.assert_array_equal(fit.posterior()["u"]["cov"], np.full(3, 3.0))
    np.testing.assert_allclose(fit.score(), np.log([0.3, 0.7, 0.7]), rtol=1e-15)


def test_without_categorical_variables_there_is_nothing_to_explain() -> None:
    with pytest.raises(bn.DataError, match="no categorical variable"):
        bn.explain(model("ppca").network, {}, {"x": np.zeros((3, 2))})
