"""`prepare` of emitted files: ids of any kind, and rows that do not have the shape of their variable."""

from __future__ import annotations

import numpy as np
import pytest

import bnlab as bn
from bnlab.runtime.load import load_source
from bnlab.runtime.proof.draws import random_parameters
from tests.gaussian_networks import linear_chain, nested_effects, nested_means, two_covariances

RNG = np.random.default_rng(0)
PAIRS, NUMBERS = RNG.normal(size=(12, 2)), RNG.normal(size=12)
GROUP = np.repeat([0, 1, 2], [5, 3, 4])
SCHOOL, ROOM = np.repeat([0, 1], [7, 5]), np.repeat([0, 1, 2, 3], [4, 3, 2, 3])


def log_p(net: bn.Network, data: dict[str, object]) -> float:
    """ln p of the data as the emitted file finds it, at parameters of the network's own."""
    module = load_source(bn.emit(net, "em"), net.graph.name)
    theta = module.Parameters(**random_parameters(net.graph, np.random.default_rng(1)))
    return float(module.log_evidence(theta, module.prepare(data)))


@pytest.mark.parametrize(
    "ids",
    [
        np.array([7, 3, 5])[GROUP],
        np.array(["b", "a", "c"])[GROUP],
        np.array([-1, 0, 1])[GROUP],
        np.array([2, 0, 1])[GROUP],
        GROUP.astype(float),
    ],
    ids=["gaps", "text", "negative", "another order", "floats"],
)
def test_ids_may_be_anything(ids: np.ndarray) -> None:
    net = two_covariances()
    expected = log_p(net, {"x": PAIRS, "group": GROUP})
    assert log_p(net, {"x": PAIRS, "group": ids}) == pytest.approx(expected, rel=1e-13)
    chain = linear_chain()
    sequence = next(plate.name for plate in chain.graph.plates if plate.size is None and not plate.chain)
    seen = next(v for v in chain.graph.in_role("observed"))
    rows = RNG.normal(size=(12, *seen.domain.shape))
    expected = log_p(chain, {seen.name: rows, sequence: GROUP})
    assert log_p(chain, {seen.name: rows, sequence: ids}) == pytest.approx(expected, rel=1e-13)


def test_members_without_rows_keep_their_numbers_where_something_tells_of_them() -> None:
    """Member 1 has a weight, or a value of its own, and no rows."""
    ids = np.array([0, 2, 3])[GROUP]
    module = load_source(bn.emit(two_covariances(), "em"), "two_covariances")
    data = module.prepare({"x": PAIRS, "group": ids, "weights": np.ones(4)})
    assert data.weight.sum() == 4
    net = nested_effects()
    rows = {"x": NUMBERS, "room": ROOM, "size": np.array([1.0, 2.0, 3.0])}
    whole = log_p(net, {**rows, "school": np.array([0, 2])[SCHOOL]})
    swapped = log_p(net, {**rows, "size": np.array([1.0, 3.0, 2.0]), "school": SCHOOL})
    assert whole == pytest.approx(swapped, rel=1e-13)


def test_ids_of_inner_members_may_begin_anew_in_each_outer_one() -> None:
    net = nested_means()
    expected = log_p(net, {"x": NUMBERS, "school": SCHOOL, "room": ROOM})
    anew = np.array([0, 1, 0, 1])[ROOM]
    assert log_p(net, {"x": NUMBERS, "school": SCHOOL, "room": anew}) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("x", [PAIRS.reshape(2, 6, 2), PAIRS[:, :1], NUMBERS])
def test_rows_of_another_shape_are_refused_by_name(x: np.ndarray) -> None:
    module = load_source(bn.emit(two_covariances(), "em"), "two_covariances")
    with pytest.raises(ValueError, match=r"x has the shape .*; it takes rows of the shape \(2,\)"):
        module.prepare({"x": x, "group": GROUP})


def observed(cpd: str) -> bn.Network:
    with bn.Network("plain") as net:
        p, mu = bn.parameter("p", bn.Simplex(3)), bn.parameter("mu", bn.Real())
        with bn.plate("n"):
            if cpd == "Categorical":
                bn.observed("x", bn.Categorical(p))
                bn.observed("y", bn.Normal(mu, var=1.0))
            else:
                bn.observed("x", bn.Normal(mu, var=1.0))
                bn.observed("y", bn.Categorical(p))
    return net


@pytest.mark.parametrize(
    ("cpd", "values", "part"),
    [
        ("Normal", [0.5, np.nan], "x has numbers that are missing or infinite"),
        ("Normal", [0.5, np.inf], "x has numbers that are missing or infinite"),
        ("Categorical", [0, 3], "x has values other than 0 to 2"),
        ("Categorical", [0, -1], "x has values other than 0 to 2"),
        ("Categorical", [0, 1.7], "x has values other than 0 to 2"),
    ],
)
def test_what_would_be_nan_or_another_state_is_refused(cpd: str, values: list[float], part: str) -> None:
    """Files that are derived for missing values take them; those alone."""
    net = observed(cpd)
    data = {"x": np.array(values), "y": np.array([1, 0])}
    with pytest.raises(ValueError, match=part):
        load_source(bn.emit(net, "em"), "plain").prepare(data)
    if values[1] == -1 or np.isnan(values[1]):
        load_source(bn.emit(net, "em", missing=("x",)), "plain").prepare(data)


def test_float32_that_overflows_is_refused() -> None:
    module = load_source(bn.emit(observed("Normal"), "em"), "plain")
    with (
        pytest.raises(ValueError, match="x has numbers that are missing or infinite"),
        np.errstate(over="ignore"),
    ):
        module.prepare({"x": np.array([1e300, 0.0]), "y": np.array([0, 1])}, np.float32)


def test_one_chain_alone_is_looked_at_too() -> None:
    """Its rows are steps."""
    with bn.Network("level") as net:
        q, r = bn.parameter("q", bn.Positive()), bn.parameter("r", bn.Positive())
        with bn.chain("t"):
            y = bn.latent("y", bn.Normal(bn.previous("y"), var=q), first=bn.Normal(0.0, var=1.0))
            bn.observed("x", bn.Normal(y, var=r))
    values = {"x": np.array([0.5, np.nan])}
    with pytest.raises(ValueError, match="x has numbers that are missing or infinite"):
        load_source(bn.emit(net, "em"), "level").prepare(values)
    load_source(bn.emit(net, "em", missing=("x",)), "level").prepare(values)
