"""Rows that an E-step reads through counts, sums and scatter alone: fewer with the same tell the same."""

import numpy as np
import pytest

import bnlab as bn
from bnlab.cli.models import load_model
from bnlab.inference import em
from bnlab.program.degree import condensable
from bnlab.runtime.load import load_source

CALL = "    data = condensed(data)\n"


def rows_and_groups(seed: int, counts: np.ndarray, dim: int) -> dict[str, np.ndarray]:
    """Rows of members with so many each, in a random order, far from 0 and correlated."""
    rng = np.random.default_rng(seed)
    member = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = rng.normal(size=(len(member), dim)) + 2 * rng.normal(size=(len(counts), dim))[member] + 1e3
    return {"x": x @ rng.normal(size=(dim, dim)), "group": member}


BALANCED, RAGGED = np.full(60, 4), np.random.default_rng(0).integers(1, 8, 40)
CASES = {
    "factor_analysis": (["dim=4"], "", BALANCED),
    "ppca": ([], "", BALANCED),
    "plda": (["dim=4"], "speaker", BALANCED),
    "plda_subspace": (["dim=4"], "speaker", RAGGED),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["plda", "plda_subspace"])
def test_also_where_all_rows_are_taken_together(
    name: str, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bnlab.inference.pooled.MANY", 4)
    monkeypatch.setattr("bnlab.inference.integrate.WIDE", 4)
    assert "rows_x" in bn.emit(load_model(f"models/{name}.py").network, "em")
    test_fewer_rows_give_the_same_statistics(name, weighted)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_fewer_rows_give_the_same_statistics(name: str, weighted: bool) -> None:
    options, outer, counts = CASES[name]
    text = bn.emit(load_model(f"models/{name}.py", options).network, "em")
    assert CALL in text
    whole = load_source(text.replace(CALL, ""), f"{name}_whole")
    module = load_source(text, f"{name}_condensed")
    data = rows_and_groups(1, counts, 4)
    data = {"x": data["x"], **({outer: data["group"]} if outer else {})}
    if weighted:
        members = len(counts) if outer else len(data["x"])
        data["weights"] = np.random.default_rng(2).random(members)
    few, many = module.prepare(data), whole.prepare(data)
    assert few.x.shape[1] < many.x.shape[1] / 2
    theta = whole.init(many, seed=1)
    for _ in range(2):
        found, wanted = (
            one.e_step(one.Parameters(*theta), each) for one, each in ((module, few), (whole, many))
        )
        after = module.m_step(found, module.Parameters(*theta)), whole.m_step(wanted, theta)
        # sums of some hundred numbers of size 1e3 each; their squares in the M-step
        np.testing.assert_allclose(found.log_p, wanted.log_p, rtol=1e-11)
        for new, old in zip(*after, strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-6, atol=1e-8 * np.abs(old).max())
        theta = after[1]


def test_a_few_rows_stay_as_they_are() -> None:
    module = load_source(bn.emit(load_model("models/ppca.py").network, "em"), "ppca_few")
    x = np.random.default_rng(0).normal(size=(9, 4))
    np.testing.assert_array_equal(module.prepare({"x": x}).x[0], x)


def test_starts_are_from_the_mean_and_the_scatter_of_all_rows() -> None:
    text = bn.emit(load_model("models/plda.py", ["dim=4"]).network, "em")
    module = load_source(text, "plda_start")
    x = rows_and_groups(1, BALANCED, 4)
    theta = module.init(module.prepare({"x": x["x"], "speaker": x["group"]}))
    # eigenvalues and back: some digits of the scatter are lost
    np.testing.assert_allclose(theta.mu, x["x"].mean(0), rtol=1e-9)
    np.testing.assert_allclose(theta.Sigma_wc, np.cov(x["x"].T, bias=True), rtol=1e-7)


def with_covariate_slopes() -> bn.Network:
    """The precision of what is hidden depends on each row's covariate."""
    with bn.Network("slopes") as net:
        tau, s = bn.parameter("tau", bn.Positive()), bn.parameter("s", bn.Positive())
        with bn.plate("group"):
            a = bn.latent("a", bn.Normal(0.0, var=tau))
            with bn.plate("row"):
                u = bn.given("u", bn.Real())
                bn.observed("x", bn.Normal(u * a, var=s))
    return net


def with_known_deviations() -> bn.Network:
    return load_model("models/eight_schools.py").network


def with_classes() -> bn.Network:
    return load_model("models/mixture_plda.py").network


@pytest.mark.parametrize("build", [with_covariate_slopes, with_known_deviations, with_classes])
def test_where_rows_tell_more_they_stay(build) -> None:
    net = build()
    assert not condensable(em.em(net.graph))
    assert "condensed" not in bn.emit(net, "em")
