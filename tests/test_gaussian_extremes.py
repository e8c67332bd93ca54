"""Gaussian latents on data that are hard on numbers: finite, monotone, and what is odd about them is said.

Groups that reach the maximum of the dense joint are in test_published_gaussian, digits of ln p(x) in laws/test_gaussian_numbers
"""

from __future__ import annotations

import numpy as np
import pytest

import bnlab as bn
from tests import gaussian_networks as networks
from tests.models import model

UNEQUAL = [1, 12, 3, 1, 5, 2, 7, 1, 4, 9, 2, 6]
ROUNDING = 1e-10  # of 1 + |objective|: sums of some thousand numbers


def speakers(counts: list[int], dim: int, rank: int, offset: float = 0.0) -> dict[str, np.ndarray]:
    """Rows about the centres of speakers, which span so many directions."""
    rng = np.random.default_rng(5)
    ids, loading = np.repeat(np.arange(len(counts)), counts), np.linalg.qr(rng.normal(size=(dim, rank)))[0]
    centres = 2.0 * rng.normal(size=(len(counts), rank)) @ loading.T
    return {"x": centres[ids] + rng.normal(size=(len(ids), dim)) + offset, "speaker": ids}


def fitted(net: bn.Network, data: object, **options: object) -> bn.Fit:
    """A fit all of whose numbers are finite, and that never fell."""
    found = bn.fit(net, data, progress=False, **options)
    assert all(np.isfinite(value).all() for value in found.parameters.values())
    assert np.isfinite(found.log_likelihood).all()
    rises = np.diff(found.objective) / (1 + np.abs(found.objective[:-1]))
    assert rises.min(initial=0.0) > -ROUNDING
    return found


def told(found: bn.Fit) -> dict[str, str]:
    return {one.concerns: str(one) for one in found.warnings}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plda", speakers([3, 2, 1, 2], 12, 12)),
        (
            "linear_dynamical_system",
            {"x": np.random.default_rng(0).normal(size=(8, 12)), "sequence": np.zeros(8, int)},
        ),
    ],
)
def test_full_covariances_of_fewer_rows_than_columns_are_refused_by_name(name: str, data: dict) -> None:
    with pytest.raises(bn.DataError, match="x has 8 rows of 12 columns.*singular"):
        bn.fit(model(name, dim=12).network, data, progress=False)


def test_factors_of_more_columns_than_rows() -> None:
    """Two factors tell some of a dozen columns without error: that is a boundary, and is called one."""
    x = np.random.default_rng(0).normal(size=(8, 12))
    found = fitted(
        model("factor_analysis", dim=12, factors=2).network, {"x": x}, max_iter=100, accelerate=True
    )
    assert any("Heywood" in text for text in told(found).values())


def test_speakers_of_one_utterance_and_data_far_from_0() -> None:
    net = model("plda", dim=3).network
    alone = fitted(net, speakers([1] * 30, 3, 3))
    assert "Sigma_ac and Sigma_wc together, but not one from the other" in told(alone)["z"]
    near, far = (fitted(net, speakers(UNEQUAL, 3, 3, offset), tol=0.0, max_iter=20) for offset in (0.0, 1e4))
    # twelve digits are left of data at 1e4; sums of some dozen rows
    assert far.log_likelihood == pytest.approx(near.log_likelihood, rel=1e-11)
    np.testing.assert_allclose(far.parameters["Sigma_ac"], near.parameters["Sigma_ac"], atol=1e-9)
    np.testing.assert_allclose(far.parameters["mu"] - 1e4, near.parameters["mu"], atol=1e-9)


@pytest.mark.slow  # 10 s, half of it compilation
@pytest.mark.parametrize(("counts", "dim", "rank"), [([5, 4, 6, 1, 3, 7, 2, 5] * 3, 5, 2), ([20, 30], 4, 1)])
def test_speakers_that_span_few_directions(counts: list[int], dim: int, rank: int) -> None:
    """What differs between speakers has no spread along most directions: that is a boundary, which EM creeps to."""
    found = fitted(
        model("plda", dim=dim).network, speakers(counts, dim, rank), max_iter=5000, accelerate=True
    )
    values = np.linalg.eigvalsh(found.parameters["Sigma_ac"])
    assert "boundary" in told(found)["Sigma_ac"] and "a matrix of rank" in told(found)["Sigma_ac"]
    assert values[0] < 1e-2 * values[-1]


@pytest.mark.slow  # 10 s, mostly compilation
def test_a_chain_far_from_0_climbs_as_one_near_it() -> None:
    net = networks.linear_chain_alone()
    rng = np.random.default_rng(2)
    theta = {
        "F": 0.8 * np.eye(2),
        "f": np.zeros(2),
        "Q": np.eye(2),
        "H": np.eye(2),
        "h": np.zeros(2),
        "R": np.ones(2),
    }
    x = bn.sample(net, theta, {"t": 60}, seed=1)["x"]
    init = {**theta, "H": theta["H"] + 0.1 * rng.normal(size=(2, 2))}
    near, far = (
        fitted(net, {"x": x + offset}, init={**init, "h": init["h"] + offset}, tol=0.0, max_iter=20)
        for offset in (0.0, 1e4)
    )
    # twelve digits are left of data at 1e4; twenty iterations of sums of 60 steps
    assert far.log_likelihood == pytest.approx(near.log_likelihood, rel=1e-9)


@pytest.mark.slow  # 15 to 75 s: matrices of 512 rows
@pytest.mark.parametrize("name", ["plda", "plda_subspace", "factor_analysis"])
def test_embeddings_of_512_dimensions(name: str) -> None:
    counts = [1, 1, 40, 7, 25, 60] * 8
    data = speakers(counts, 512, 20, offset=10.0)
    data = {"x": data["x"]} if name == "factor_analysis" else data
    settings = {"plda_subspace": {"factors": 20}, "factor_analysis": {"factors": 20}}.get(name, {})
    found = fitted(model(name, dim=512, **settings).network, data, max_iter=10)
    assert found.status in ("converged", "max_iter") and found.n_iter >= 3


def test_covariances_stay_symmetric_over_hundreds_of_iterations() -> None:
    """What asymmetry rounding left doubled in each iteration, until the likelihood was that of no model."""
    rng, y, x = np.random.default_rng(0), np.zeros(2), []
    for _ in range(100):
        y = np.array([[0.9, 0.2], [-0.2, 0.9]]) @ y + 0.5 * rng.normal(size=2)
        x.append(y + rng.normal(size=2))
    with bn.Network("free") as net:
        F, H, m = (
            bn.parameter("F", bn.Real(2, 2)),
            bn.parameter("H", bn.Real(2, 2)),
            bn.parameter("m", bn.Real(2)),
        )
        P, Q, R = (bn.parameter(name, bn.Covariance(2)) for name in "PQR")
        with bn.plate("s"), bn.chain("t"):
            z = bn.latent("z", bn.Normal(F @ bn.previous("z"), cov=Q), first=bn.Normal(m, cov=P))
            bn.observed("x", bn.Normal(H @ z, cov=R))
    found = fitted(net, {"x": [np.array(x)]}, max_iter=300, tol=0)
    for name in "PQR":
        np.testing.assert_array_equal(found.parameters[name], found.parameters[name].T)
    again = bn.fit(net, {"x": [np.array(x)]}, init=found.parameters, max_iter=0, progress=False)
    assert again.log_likelihood[0] == pytest.approx(found.log_likelihood[-1], rel=1e-12)


@pytest.mark.parametrize(
    ("build", "start", "said"),
    [
        (networks.linear_chain, {"Q": np.zeros((2, 2))}, "Q starts at a singular matrix"),
        (networks.linear_chain, {"Q": [[0.1, 0.0], [0.0, 0.0]]}, "Q starts at a singular matrix"),
        (networks.local_level, {"eta": 0.0}, "eta starts at 0"),
        (
            networks.mixture_of_linear_chains,
            {"Q": [np.eye(2), np.zeros((2, 2))]},
            "Q starts at a singular matrix",
        ),
    ],
)
def test_chains_whose_noise_starts_at_the_edge_are_refused(build, start: dict, said: str) -> None:
    """They had a posterior of NaN, or variances a little below 0."""
    rng, net = np.random.default_rng(0), build()
    shape = net.graph.variable("x").domain.event_shape
    with pytest.raises(bn.FitError, match=f"(?s){said}, and EM would leave it so.*Start it inside"):
        bn.fit(net, {"x": [rng.normal(size=(9, *shape)) for _ in range(3)]}, init=start, progress=False)


def test_the_first_state_of_a_chain_may_start_known() -> None:
    rng = np.random.default_rng(0)
    found = bn.fit(
        networks.linear_chain(),
        {"x": [rng.normal(size=(9, 3)) for _ in range(3)]},
        init={"P0": np.zeros((2, 2))},
        max_iter=3,
        progress=False,
    )
    assert np.isfinite(found.log_likelihood).all()
    np.testing.assert_array_equal(found.parameters["P0"], np.zeros((2, 2)))


def test_steps_of_one_sequence_have_no_weights() -> None:
    """They changed the criteria and nothing else."""
    with pytest.raises(bn.DataError, match="t is the chain of one sequence"):
        bn.fit(networks.linear_chain_alone(), {"x": np.zeros((9, 2))}, weights=np.ones(9))
