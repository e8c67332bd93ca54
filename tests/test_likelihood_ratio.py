"""`bn.likelihood_ratio` against dense joint Gaussians, and against scores of members merged by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import bnlab as bn
from bnlab.runtime import likelihood_ratio as module
from tests import gaussian_networks
from tests.models import model

MU, AC, WC = np.array([1.0, -2.0]), np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.3], [-0.3, 0.5]])
THETA = {"mu": MU, "Sigma_ac": AC, "Sigma_wc": WC}
ROUNDING = 1e-10  # differences of log densities of some 10 to 100


def rows(*counts: int, seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.normal(size=(count, 2)) * 2 for count in counts]


def dense(x: np.ndarray, ac: np.ndarray = AC) -> float:
    """ln p of the rows of one member, as one normal vector."""
    n = len(x)
    cov = np.kron(np.ones((n, n)), ac) + np.kron(np.eye(n), WC)
    return float(multivariate_normal.logpdf(x.ravel(), np.tile(MU, n), cov))


def expected(enrol: list[np.ndarray], test: list[np.ndarray]) -> np.ndarray:
    return np.array([[dense(np.concatenate([a, b])) - dense(a) - dense(b) for b in test] for a in enrol])


@pytest.mark.parametrize("at_once", [2**16, 20, 7])
def test_ratios_are_those_of_one_joint_normal(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unequal counts; in one mixed batch, in several, and with one shape at a time whose last batch is filled up."""
    monkeypatch.setattr(module, "ROWS", at_once)
    enrol, test = rows(1, 3, 2, 1), rows(2, 1, 1, seed=1)
    found = bn.likelihood_ratio(
        gaussian_networks.two_covariances(), THETA, {"x": enrol}, {"x": test}, "group"
    )
    np.testing.assert_allclose(found, expected(enrol, test), atol=ROUNDING)


def test_members_with_ids_are_in_order_of_first_appearance() -> None:
    enrol, test = rows(2, 1), rows(1, 1, 1, seed=1)
    ids = {"x": np.stack([enrol[0][0], enrol[1][0], enrol[0][1]]), "group": ["b", "a", "b"]}
    found = bn.likelihood_ratio(
        gaussian_networks.two_covariances(), THETA, ids, {"x": np.stack(test)}, plate="group"
    )
    np.testing.assert_allclose(found, expected(enrol, test), atol=ROUNDING)


def test_nothing_between_members_says_nothing() -> None:
    theta = THETA | {"Sigma_ac": 1e-14 * np.eye(2)}
    data = {"x": rows(2, 1)}
    found = bn.likelihood_ratio(gaussian_networks.two_covariances(), theta, data, data, "group")
    np.testing.assert_allclose(found, 0, atol=1e-9)  # of the order of the covariance left


@pytest.mark.parametrize("name", ["mixture_of_groups", "channel_with_rows", "slopes", "nested_means"])
def test_any_network_with_a_latent_of_the_group(name: str) -> None:
    """Mixtures, nested plates and covariates: the score of members merged by hand, less those of the two."""
    net = getattr(gaussian_networks, name)()
    head = net.graph.in_role("latent")[0].plates[0]
    enrol, test = sides(name, 0), sides(name, 1)
    fit = bn.fit(net, enrol, max_iter=2, n_init=1, progress=False)
    found = bn.likelihood_ratio(net, fit.parameters, enrol, test, plate=head)
    both = {key: [a + b for a in enrol[key] for b in test[key]] for key in enrol}
    wanted = fit.score(both).reshape(found.shape) - fit.score(enrol)[:, None] - fit.score(test)
    np.testing.assert_allclose(found, wanted, atol=1e-9)  # log densities of some 100


def sides(name: str, seed: int) -> dict[str, Any]:
    """Three members of two and three inner members, as nested lists, so that + merges two."""
    draw = np.random.default_rng(seed)
    counts = [2, 3, 2]
    match name:
        case "mixture_of_groups":
            return {"x": [list(draw.normal(size=(n, 2)) * 2) for n in counts]}
        case "slopes":
            return {key: [list(draw.normal(size=n)) for n in counts] for key in ("u", "x")}
        case "nested_means":
            return {"x": [[draw.normal(size=1 + i) for i in range(n)] for n in counts]}
        case _:
            return {"x": [[draw.normal(size=(1 + i, 3)) for i in range(n)] for n in counts]}


def discrete() -> bn.Network:
    with bn.Network("discrete") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("group"):
            z = bn.latent("z", bn.Categorical(pi))
            with bn.plate("row"):
                bn.observed("x", bn.Categorical(B[z]))
    return net


def test_a_discrete_latent_of_the_group() -> None:
    """ln sum_z pi_z B_za B_zb / (p(a) p(b)) by hand."""
    pi, B = np.array([0.3, 0.7]), np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    found = bn.likelihood_ratio(
        discrete(), {"pi": pi, "B": B}, {"x": [[0], [2]]}, {"x": [[0], [1], [2]]}, plate="group"
    )
    alone = pi @ B
    wanted = np.log(np.einsum("z,za,zb->ab", pi, B, B) / np.outer(alone, alone))[[0, 2]]
    np.testing.assert_allclose(found, wanted, atol=1e-14)  # logarithms of about 1


def test_what_is_impossible_alone_has_no_ratio() -> None:
    theta = {"pi": [0.5, 0.5], "B": [[0.5, 0.5, 0], [0.5, 0.5, 0]]}
    with pytest.raises(bn.DataError, match="member 1 of test is -inf"):
        bn.likelihood_ratio(discrete(), theta, {"x": [[0]]}, {"x": [[0], [2]]}, plate="group")


@pytest.mark.parametrize(
    ("name", "plate", "reason"),
    [
        ("two_covariances", "grop", 'no plate "grop".*group'),
        ("two_covariances", "row", "row is not the outermost"),
        ("factors", "n", "x has one value for each member of n"),
        ("nested_effects", "school", "size has one value"),
    ],
)
def test_what_cannot_be_merged_is_refused(name: str, plate: str, reason: str) -> None:
    with pytest.raises(bn.DataError, match=f"(?s){reason}"):
        bn.likelihood_ratio(getattr(gaussian_networks, name)(), {}, {}, {}, plate)


def test_a_chain_is_no_set_of_observations() -> None:
    net = model("hmm").network
    chain = net.graph.in_role("latent")[0].plates
    with pytest.raises(bn.DataError, match="chain"):
        bn.likelihood_ratio(net, {}, {}, {}, plate=chain[0])


def test_without_a_latent_of_the_plate_there_is_nothing_to_compare() -> None:
    with bn.Network("rows") as net:
        mu = bn.parameter("mu", bn.Real())
        with bn.plate("group"), bn.plate("row"):
            bn.observed("x", bn.Normal(mu, var=bn.constant(1.0)))
    with pytest.raises(bn.DataError, match="no latent of its own"):
        bn.likelihood_ratio(net, {"mu": 0.0}, {"x": [[1.0]]}, {"x": [[1.0]]}, plate="group")


def test_faults_say_which_side_they_are_of() -> None:
    net = model("plda", dim=2).network
    at = {"mu": np.zeros(2), "Sigma_ac": np.eye(2), "Sigma_wc": np.eye(2)}
    good, bad = {"x": np.zeros((3, 2, 2))}, {"x": np.zeros((3, 2, 3))}
    for sides, name in (((good, bad), "test"), ((bad, good), "enrol")):
        with pytest.raises(bn.DataError, match=f"{name}: x has the shape"):
            bn.likelihood_ratio(net, at, *sides, plate="speaker")
