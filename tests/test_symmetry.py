"""What can be turned in a network with no change of the likelihood: found from its structure, held against brute force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import bnlab as bn
from bnlab.comparison.naming import symmetries, turned
from bnlab.runtime import nuts
from bnlab.runtime.align import aligned
from bnlab.runtime.diagnostics import MIXED, r_hat
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.oracle import Oracle
from bnlab.runtime.symmetry import linear_symmetries, moved
from bnlab.runtime.turn import maps_to
from tests.gaussian_networks import GAUSSIAN, factors, mixture_of_factors, subspace
from tests.models import model
from tests.networks import Example

FOUND = {
    "subspace": [("y", "rotations", "V", "")],
    "channel_with_rows": [("s", "rotations", "V", ""), ("c", "sign", "U", "")],
    "probabilistic_components": [("y", "rotations", "W", "")],
    "factors": [("y", "rotations", "W", "")],
    "one_factor": [("y", "sign", "w", "")],
    "mixture_of_factors": [("y", "rotations", "W", "c")],
    "mixture_of_tied_factors": [("y", "linear", "W m S", "")],
    "group_above_classes": [("y", "sign", "W", "c")],
    "chain_of_three": [("a", "linear", "a0 A G", ""), ("b", "scaled permutations", "G g b2 h", "")],
    "fork": [("a", "scale", "a2 m w d", "")],
    "explaining_away": [("a", "linear", "A F", "")],
    "linear_chain": [("y", "linear", "F Q H m0 P0", "")],
    "linear_chain_alone": [("y", "rotations", "F f Q H", "")],
    "controlled_chain": [("y", "scaled permutations", "F B Q H m0 P0", "")],
    "mixture_of_linear_chains": [("y", "linear", "F Q m0 H P0", "")],
    "coupled_chains": [("y", "rotations", "F g Q h H m", "")],
    "shared_disturbance": [("y", "sign", "g h", "")],
    "effects_of_sequences": [("y", "sign", "b h", "")],
    "steady_chains": [("y", "scale", "H P0 Q", "")],
    "chain_with_factors": [("y", "sign", "W", "z")],
    "partly_fixed": [("y", "rotations", "W", "")],
    "unequal_spreads": [("y", "rotations", "W", "")],
    "answers_of_persons": [("y", "sign", "a", "")],
}
"""Worked out by hand: (latent, group, what moves along, what each value of has a map of its own). Others have none."""


def listed(net: bn.Network, priors: bool = True) -> list[tuple[str, str, str, str]]:
    return [
        (" ".join(one.latents), one.group, " ".join(one.parameters), " ".join(one.labels))
        for one in linear_symmetries(net.graph, priors)
    ]


@pytest.mark.parametrize("example", GAUSSIAN, ids=lambda one: one.build.__name__)
def test_maps_found_leave_the_likelihood_and_can_be_undone(example: Example) -> None:
    graph, rng = example.build().graph, np.random.default_rng(1)
    expected = FOUND.get(example.build.__name__, [])
    names = [(one[0], one[1], sorted(one[2].split()), one[3]) for one in listed(example.build())]
    assert names == [(one[0], one[1], sorted(one[2].split()), one[3]) for one in expected]
    data, theta = random_data(graph, rng, example.layout), random_parameters(graph, rng)
    for one in linear_symmetries(graph):
        maps = np.stack([one.member(rng) for _ in range(int(np.prod(one.sizes)))])
        away = moved(graph, one, theta, maps.reshape(*one.sizes, one.dim, one.dim))
        assert all(np.abs(away[name] - theta[name]).max() > 1e-3 for name in one.parameters)
        # dense Gaussians of all rows: inverses of matrices of condition 1e3
        np.testing.assert_allclose(
            Oracle(graph, data).scores(away), Oracle(graph, data).scores(theta), rtol=1e-10, atol=1e-10
        )
        back = moved(graph, one, away, maps_to(one, away, theta))
        for name in one.parameters:
            np.testing.assert_allclose(back[name], theta[name], rtol=1e-9, atol=1e-10)


def loadings(
    prior: object = None, value: object = None, seen: bool = False, each: bool = False
) -> bn.Network:
    """Factors whose loading may have a prior, be fixed, be seen directly too, or be one number a coordinate."""
    with bn.Network("loadings") as net:
        W = bn.parameter("W", bn.Real(2) if each else bn.Real(3, 2), prior=prior, value=value)
        psi = bn.parameter("psi", bn.Positive())
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            bn.observed("x", bn.Normal(W * y if each else W @ y, var=psi))
            if seen:
                bn.observed("u", bn.Normal(y, var=psi))
    return net


def items(prior: object) -> bn.Network:
    """Each item reads the factors by a row of its own."""
    with bn.Network("items") as net:
        psi = bn.parameter("psi", bn.Positive())
        with bn.plate("item", 3):
            W = bn.parameter("W", bn.Real(2), prior=prior)
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            with bn.plate("item"):
                bn.observed("x", bn.Normal(W @ y, var=psi))
    return net


BROKEN: dict[str, tuple[Callable[[], bn.Network], list[str]]] = {
    "free": (lambda: loadings(), ["rotations"]),
    "fixed": (lambda: loadings(value=np.ones((3, 2))), []),
    "seen directly": (lambda: loadings(seen=True), []),
    "one a coordinate": (lambda: loadings(each=True), ["signs"]),
    "prior of one size": (lambda: loadings(bn.Normal(0.0, std=2.0)), ["rotations"]),
    "prior about 1": (lambda: loadings(bn.Normal(1.0, std=2.0)), ["permutations"]),
    "rows": (lambda: items(bn.Normal(bn.zeros(2), std=[2.0, 2.0])), ["rotations"]),
    "columns of their own size": (lambda: items(bn.Normal(bn.zeros(2), std=[1.0, 2.0])), ["signs"]),
    "columns of their own mean": (lambda: items(bn.Normal(np.array([1.0, 2.0]), std=[1.0, 1.0])), []),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rotation_is_seen(name: str) -> None:
    build, groups = BROKEN[name]
    found = [one.group for one in linear_symmetries(build().graph)]
    assert found == groups


def test_a_fixed_loading_is_not_turned() -> None:
    graph, rng = loadings(value=np.ones((3, 2))).graph, np.random.default_rng(0)
    draws = {"psi": rng.gamma(2.0, size=(2, 20))}
    np.testing.assert_array_equal(aligned(graph, draws, {"psi": draws["psi"][0, 0]})["psi"], draws["psi"])


def test_draws_that_turned_are_put_back() -> None:
    graph, rng = factors().graph, np.random.default_rng(0)
    W = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, -1.5]])
    still = W + 0.1 * rng.normal(size=(2, 100, 3, 2))
    turns = np.linalg.qr(rng.normal(size=(2, 100, 2, 2)))[0]
    rest = {"mu": rng.normal(size=(2, 100, 3)), "psi": rng.gamma(2.0, size=(2, 100, 3))}
    draws = {"W": still @ turns, **rest}
    found = aligned(graph, draws, {name: value[0, 0] for name, value in draws.items()})
    assert r_hat(draws["W"]).max() < 2 and found["W"].std((0, 1)).max() < 0.15 < draws["W"].std((0, 1)).min()
    # a rotation of W leaves W W' as it is, draw by draw
    np.testing.assert_allclose(
        found["W"] @ found["W"].swapaxes(-1, -2), still @ still.swapaxes(-1, -2), rtol=1e-10, atol=1e-12
    )
    for name, value in rest.items():
        np.testing.assert_array_equal(found[name], value)


def test_states_are_matched_and_each_is_turned_by_itself() -> None:
    graph, rng = mixture_of_factors().graph, np.random.default_rng(0)
    truth = random_parameters(graph, rng) | {"mu": np.array([[5.0] * 3, [-5.0] * 3])}
    still = {name: value + 0.01 * rng.normal(size=(1, 40, *value.shape)) for name, value in truth.items()}
    turns = np.linalg.qr(rng.normal(size=(1, 40, 2, 2, 2)))[0]
    order = np.array([rng.permutation(2) for _ in range(40)])[None]
    draws = {
        name: np.stack([value[0, i][order[0, i]] for i in range(40)])[None] for name, value in still.items()
    }
    draws["W"] = draws["W"] @ turns
    found = aligned(graph, draws, truth)
    for name in truth:
        np.testing.assert_allclose(
            found[name].mean((0, 1)), truth[name], atol=0.02
        )  # noise of 0.01 / sqrt(40)


def test_fits_are_turned_to_the_first_with_their_draws() -> None:
    net = subspace()
    rng, x = np.random.default_rng(0), np.random.default_rng(1).normal(size=(30, 3))
    data = {"x": x, "group": np.repeat(np.arange(6), 5)}
    theta = random_parameters(net.graph, rng)
    first = bn.fit(net, data, init=theta, max_iter=0, progress=False)
    one = linear_symmetries(net.graph)[0]
    away = moved(net.graph, one, theta, one.member(rng))
    other = turned(replace(first, parameters=away, initial=away), first)
    np.testing.assert_allclose(other.parameters["V"], first.parameters["V"], atol=1e-12)
    np.testing.assert_allclose(other.initial["V"], first.parameters["V"], atol=1e-12)


def test_what_can_be_turned_is_said() -> None:
    (line,) = symmetries(factors().graph)
    assert line == (
        "y can be turned and mirrored, W along, with no change of the likelihood. "
        "Draws and fits are brought to agree (orthogonal Procrustes)."
    )
    (line,) = symmetries(items(bn.Normal(bn.zeros(2), std=[1.0, 2.0])).graph)
    assert "Under the priors it can change the signs of its coordinates. Draws" in line
    (line,) = symmetries(items(bn.Normal(np.array([1.0, 2.0]), std=[1.0, 1.0])).graph)
    assert "the priors tell these apart" in line
    assert any("by itself for each c" in line for line in symmetries(mixture_of_factors().graph))


def test_r_hat_is_of_draws_that_were_put_back() -> None:
    """Two chains, each at a rotation of its own."""
    graph, rng = subspace().graph, np.random.default_rng(0)
    theta = random_parameters(graph, rng)
    draws = {name: value + 0.1 * rng.normal(size=(2, 100, *value.shape)) for name, value in theta.items()}
    draws["V"] = draws["V"] @ np.linalg.qr(rng.normal(size=(2, 1, 2, 2)))[0]
    found = aligned(graph, draws, {name: value[1, 0] for name, value in draws.items()})
    assert r_hat(found["V"]).max() < MIXED < r_hat(draws["V"]).max()


@pytest.mark.slow
def test_draws_of_a_chain_that_turns_have_means_after_they_were_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {}

    def spy(graph, raw, reference):
        seen.update(raw)
        return aligned(graph, raw, reference)

    monkeypatch.setattr(nuts, "aligned", spy)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2)) @ [[2.0, 1.0, 0.0], [0.0, 1.0, -1.5]] + 0.5 * rng.normal(size=(100, 3))
    net = bn.weakly_informative(model("ppca", dim=3, factors=2).network, {"x": x}).network
    fit = bn.fit(net, {"x": x}, "nuts", num_warmup=300, num_samples=300, num_chains=2, progress=False)
    before, after = seen["W"], fit.draws["W"]
    assert r_hat(after).max() < MIXED
    # W goes round a circle: as far out as it is long; what is left is the spread of W W', some tenth of that
    assert before.std((0, 1)).min() > 3 * after.std((0, 1)).max()
    second = (after @ after.swapaxes(-1, -2)).mean((0, 1))
    np.testing.assert_allclose(fit.parameters["W"] @ fit.parameters["W"].T, second, atol=0.1 * second.max())
