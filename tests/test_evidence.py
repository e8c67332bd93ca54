"""Missing values and evidence as users give them: the documentation runs, in every form of data, and faults are named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import bnlab as bn
from tests import networks

PAGE = Path(__file__).parents[1] / "docs" / "evidence.md"
ROUNDING = 1e-12  # sums of a few dozen logarithms


def test_the_page_runs() -> None:
    """Its blocks are one program, and its asserts hold."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 7
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {})


def chain(labels: bool = False) -> bn.Network:
    with bn.Network("chain") as net:
        pi = bn.parameter("pi", bn.Simplex(["rest", "run"] if labels else 2))
        with bn.plate("k", 2):
            A, B = bn.parameter("A", bn.Simplex(2)), bn.parameter("B", bn.Simplex(3))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Categorical(B[z]))
    return net


X = [np.array([0, 1, 2, 0]), np.array([2, 2]), np.array([1])]
INIT = {"pi": [0.3, 0.7], "A": [[0.8, 0.2], [0.4, 0.6]], "B": [[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]}


def fitted(data: Any = None, **options: Any) -> Any:
    return bn.fit(
        chain(), {"x": X} if data is None else data, init=INIT, max_iter=0, progress=False, **options
    )


def alphas(sequence: np.ndarray) -> np.ndarray:
    pi, A, B = (np.array(INIT[name]) for name in ("pi", "A", "B"))
    alpha = pi * B[:, sequence[0]]
    for symbol in sequence[1:]:
        alpha = B[:, symbol] * (alpha @ A)
    return alpha


@pytest.mark.parametrize("states", [[0], [1], [0, 1]])
def test_final_states_are_the_lectures(states: list[int]) -> None:
    """P(X) = the sum over final states of alpha(T, s): lecture, section 6."""
    found = fitted(evidence={"z": bn.final(states)})
    expected = [np.log(alphas(x)[states].sum()) for x in X]
    np.testing.assert_allclose(found.score(), expected, rtol=ROUNDING)
    assert found.log_likelihood[0] == pytest.approx(sum(expected), rel=ROUNDING)
    tidy = {
        "x": np.concatenate(X)[::-1],
        "sequence": np.repeat([0, 1, 2], [4, 2, 1])[::-1],
    }  # rows may come in any order
    backwards = {"x": [x[::-1] for x in X]}
    one, other = (fitted().score(d, evidence={"z": bn.final(states)}) for d in (tidy, backwards))
    np.testing.assert_allclose(one, other[::-1], rtol=ROUNDING)


def test_evidence_in_every_form_of_data() -> None:
    labels = [np.array([-1, 1, -1, 0]), np.array([0, -1]), np.array([-1])]
    tables = [(z[:, None] == np.arange(2)) | (z[:, None] < 0) for z in labels]
    ids = np.repeat([0, 1, 2], [4, 2, 1])
    one = fitted(evidence={"z": labels})
    forms = [
        fitted(evidence={"z": tables}),
        fitted(evidence={"z": [np.where(z < 0, np.nan, z) for z in labels]}),
        fitted({"x": np.concatenate(X), "sequence": ids}, evidence={"z": np.concatenate(labels)}),
        fitted({"x": np.concatenate(X), "sequence": ids}, evidence={"z": np.concatenate(tables)}),
    ]
    for other in forms:
        np.testing.assert_array_equal(other.log_likelihood, one.log_likelihood)
    q = np.concatenate(one.posterior()["z"])
    known = np.concatenate(labels) >= 0
    np.testing.assert_array_equal(q[known], np.eye(2)[np.concatenate(labels)[known]])
    assert (np.concatenate(one.predict()["z"])[known] == np.concatenate(labels)[known]).all()


def test_states_by_name() -> None:
    net = chain(labels=True)
    options: Any = {"init": INIT, "max_iter": 0, "progress": False}
    by_name = bn.fit(net, {"x": X}, evidence={"z": bn.final("run")}, **options)
    np.testing.assert_array_equal(by_name.score(), fitted(evidence={"z": bn.final(1)}).score())
    named = [np.array(["run", None, None, "rest"], dtype=object), np.array([None, None]), np.array([None])]
    numbered = [np.array([1, -1, -1, 0]), np.array([-1, -1]), np.array([-1])]
    found = bn.fit(net, {"x": X}, evidence={"z": named}, **options)
    np.testing.assert_array_equal(found.score(), fitted(evidence={"z": numbered}).score())


@pytest.mark.parametrize(
    ("evidence", "part"),
    [
        ({"zz": [0]}, 'Did you mean "z"?'),
        ({"x": [0]}, "x is observed"),
        ({"z": bn.final(2)}, "bn.final names the state 2 of z; its states are 0 to 1."),
        ({"z": bn.final([])}, "no states"),
        ({"z": [np.zeros((4, 2), bool), np.ones((2, 2), bool), np.ones((1, 2), bool)]}, "allows no state of z at row 0"),
        ({"z": [np.array([0, 5, 0, 0]), np.array([0, 0]), np.array([0])]}, "z is 5 at sequence 0, t 1"),
        ({"z": [np.array([0, 0]), np.array([0, 0]), np.array([0])]}, "x has 4 members of t"),
    ],
)  # fmt: skip
def test_faults_of_evidence(evidence: Any, part: str) -> None:
    with pytest.raises(bn.DataError, match=re.escape(part)):
        fitted(evidence=evidence)


def test_evidence_without_its_data_is_refused() -> None:
    with pytest.raises(bn.DataError, match="Give the data too"):
        fitted().score(evidence={"z": bn.final(1)})


def test_a_chain_that_cannot_end_is_named() -> None:
    stuck = {"pi": [1.0, 0.0], "A": [[1.0, 0.0], [0.0, 1.0]], "B": INIT["B"]}
    with pytest.raises(bn.FitError, match="the data of sequence 0, 1, 2 are impossible"):
        bn.fit(chain(), {"x": X}, init=stuck, evidence={"z": bn.final(1)}, progress=False)


def test_what_is_missing_everywhere_says_nothing() -> None:
    """ln p of what is left is that of the network without it."""
    data = {"x": [np.array([0, -1, -1, -1]), np.array([2, 2]), np.array([-1])]}
    found = fitted(data).score()
    np.testing.assert_allclose(found[:2], [np.log(alphas(x).sum()) for x in (X[0][:1], X[1])], rtol=ROUNDING)
    assert found[2] == pytest.approx(0, abs=ROUNDING)


def test_nothing_missing_is_the_same_fit() -> None:
    """The file for missing values does on complete data what the other one does, to rounding."""
    net, data = networks.naive_bayes(), {"w": np.arange(8.0) % 3, "x": np.arange(24).reshape(8, 3) % 4}
    start = bn.fit(net, data, max_iter=2, progress=False).parameters
    complete = bn.fit(net, data, init=start, max_iter=5, tol=0, progress=False)
    every = {"z": np.full(8, -1)}
    other = bn.fit(net, data, init=start, max_iter=5, tol=0, progress=False, evidence=every)
    np.testing.assert_allclose(other.log_likelihood, complete.log_likelihood, rtol=ROUNDING)


def test_given_values_may_not_be_missing() -> None:
    data = {"g": [0, -1, 1], "x": np.zeros((3, 2)), "y": np.arange(3.0)}
    with pytest.raises(bn.DataError, match="g is given, and missing at n 1"):
        bn.fit(networks.fixed_parts(), data, progress=False)


def test_other_texts_do_not_leave_it_out_in_silence() -> None:
    with pytest.raises(bn.BnlabError, match="takes no account"):
        bn.emit(networks.naive_bayes(), "json", missing=("x",))
    with pytest.raises(bn.IntractableError, match="of x it cannot tell yet"):
        bn.emit(networks.naive_bayes(), "latex", missing=("x", "w"))


# Draws given evidence


def test_draws_given_final_states_are_those_of_the_chain_conditioned() -> None:
    """Against all paths of three steps, listed: P(z) of those that end in state 1, over their sum."""
    count, steps = 4000, 3
    drawn = bn.sample(chain(), INIT, {"sequence": count, "t": steps}, evidence={"z": bn.final(1)})
    pi, A, B = (np.array(INIT[name]) for name in ("pi", "A", "B"))
    path = {z: pi[z[0]] * A[z[0], z[1]] * A[z[1], z[2]] for z in np.ndindex(2, 2, 2) if z[2] == 1}
    z = np.stack(drawn["z"])
    assert (z[:, -1] == 1).all()
    for states, chance in path.items():
        expected = chance / sum(path.values())
        # five standard errors of a share
        assert abs((z == states).all(1).mean() - expected) < 5 * np.sqrt(expected * (1 - expected) / count)
    seen = np.bincount(np.stack(drawn["x"])[z == 0], minlength=3) / (z == 0).sum()
    assert np.abs(seen - B[0]).max() < 5 * np.sqrt(0.25 / (z == 0).sum())


def test_draws_of_causes_given_what_they_share() -> None:
    """Two causes of one effect, drawn one after the other, depend on one another once the effect is known."""
    with bn.Network("causes") as net:
        p, q = bn.parameter("p", bn.Simplex(2)), bn.parameter("q", bn.Simplex(2))
        with bn.plate("i", 2), bn.plate("j", 2):
            r = bn.parameter("r", bn.Simplex(3))
        with bn.plate("k", 3):
            mu = bn.parameter("mu", bn.Real())
        with bn.plate("n"):
            a, b = bn.latent("a", bn.Categorical(p)), bn.latent("b", bn.Categorical(q))
            c = bn.latent("c", bn.Categorical(r[a, b]))
            bn.observed("x", bn.Normal(mu[c], var=1e-6))
    table = np.array([[[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]], [[0.1, 0.2, 0.7], [0.3, 0.6, 0.1]]])
    theta = {"p": [0.3, 0.7], "q": [0.6, 0.4], "r": table, "mu": [0.0, 1.0, 2.0]}
    count = 6000
    allowed = np.tile([True, False, True], (count, 1))
    allowed[: count // 2] = [False, True, False]
    found = bn.sample(net, theta, {"n": count}, seed=1, evidence={"c": allowed, "b": np.full(count, -1)})
    assert set(found["c"][: count // 2]) == {1} and set(found["c"][count // 2 :]) == {0, 2}
    np.testing.assert_allclose(found["x"], found["c"], atol=0.01)  # ten standard deviations
    joint = np.array(theta["p"])[:, None, None] * np.array(theta["q"])[:, None] * table
    for rows, states in ((slice(None, count // 2), [1]), (slice(count // 2, None), [0, 2])):
        expected = joint[:, :, states].sum(-1) / joint[:, :, states].sum()
        shares = np.array(
            [[np.mean((found["a"][rows] == i) & (found["b"][rows] == j)) for j in (0, 1)] for i in (0, 1)]
        )
        assert np.abs(shares - expected).max() < 5 * np.sqrt(0.25 / (count // 2))  # five standard errors


def test_draws_given_evidence_that_cannot_be() -> None:
    theta = {**INIT, "A": [[1.0, 0.0], [0.0, 1.0]], "pi": [1.0, 0.0]}
    with pytest.raises(bn.DataError, match="The evidence is impossible"):
        bn.sample(chain(), theta, {"sequence": 2, "t": 3}, evidence={"z": bn.final(1)})
    with pytest.raises(bn.DataError, match="The evidence has 2 members of t"):
        bn.sample(chain(), INIT, {"sequence": 2, "t": 3}, evidence={"z": [np.array([0]), np.array([1])]})
    with pytest.raises(bn.DataError, match="x is observed"):
        bn.sample(chain(), INIT, {"sequence": 2, "t": 3}, evidence={"x": [[0, 0, 0], [1, 1, 1]]})


def test_without_evidence_draws_are_what_they_were() -> None:
    sizes = {"sequence": 2, "t": 3}
    plain, none = bn.sample(chain(), INIT, sizes), bn.sample(chain(), INIT, sizes, evidence={})
    assert all(np.array_equal(plain[name], none[name]) for name in plain)


def two_levels() -> bn.Network:
    with bn.Network("two_levels") as net:
        mu, A, W = bn.parameter("mu", bn.Real(2)), bn.parameter("A", bn.Covariance(2)), bn.constant(np.eye(2))
        with bn.plate("group"):
            y = bn.latent("y", bn.Normal(mu, cov=A))
            with bn.plate("member"):
                bn.observed("x", bn.Normal(y, cov=W))
    return net


def test_numbers_of_gaussian_latents_are_evidence() -> None:
    """Known numbers are rows of the one joint Gaussian, NaN is unknown: density, posterior and EM of it."""
    rng = np.random.default_rng(3)
    known = np.array([[0.3, -1.0], [np.nan, 0.4], [np.nan, np.nan]])
    rows = [rng.normal(size=(count, 2)) for count in (2, 3, 1)]
    theta = {"mu": np.array([0.5, -0.2]), "A": np.array([[2.0, 0.6], [0.6, 1.0]])}
    given = {"evidence": {"y": known}, "progress": False}
    fit = bn.fit(two_levels(), {"x": rows}, init=theta, max_iter=0, **given)
    density, means = 0.0, []
    for one, x in zip(known, rows, strict=True):
        values = np.concatenate([one, x.ravel()])
        cov = np.kron(np.ones((len(x) + 1,) * 2), theta["A"])
        cov[2:, 2:] += np.eye(2 * len(x))
        mean, seen = np.tile(theta["mu"], len(x) + 1), ~np.isnan(values)
        density += float(multivariate_normal.logpdf(values[seen], mean[seen], cov[np.ix_(seen, seen)]))
        gain = np.linalg.solve(cov[np.ix_(seen, seen)], values[seen] - mean[seen])
        means.append(mean[:2] + cov[:2, seen] @ gain)
    np.testing.assert_allclose(fit.log_likelihood, [density], rtol=ROUNDING)
    posterior = fit.posterior({"x": rows}, evidence={"y": known})["y"]
    np.testing.assert_allclose(posterior["mean"], means, rtol=1e-10)  # a solve of 8 x 8 numbers
    np.testing.assert_allclose(posterior["cov"][0], 0, atol=ROUNDING)
    better = bn.fit(two_levels(), {"x": rows}, init=theta, max_iter=20, tol=0, **given).log_likelihood
    assert np.all(np.diff(better) > -ROUNDING * abs(density))
    assert better[-1] > density + 1


def test_numbers_of_a_filtered_latent_and_draws_given_numbers_are_refused_by_name() -> None:
    with bn.Network("walk") as net:
        q = bn.parameter("q", bn.Positive())
        with bn.chain("t"):
            level = bn.latent("level", bn.Normal(bn.previous("level"), var=q), first=bn.Normal(0.0, var=1.0))
            bn.observed("x", bn.Normal(level, var=1.0))
    with pytest.raises(bn.IntractableError, match="`level` is read by .* at other steps"):
        bn.fit(net, {"x": np.zeros(3)}, evidence={"level": np.array([0.0, np.nan, np.nan])}, progress=False)
    with pytest.raises(bn.DataError, match="y is continuous"):
        bn.sample(
            two_levels(),
            {"mu": np.zeros(2), "A": np.eye(2)},
            {"group": 1, "member": 2},
            evidence={"y": np.zeros((1, 2))},
        )


@pytest.mark.parametrize("members", [1, 2])
def test_a_few_known_values_of_a_gaussian_latent_are_no_start_for_its_spread(members: int) -> None:
    """Their scatter is singular, or 0: EM starts as it does without evidence."""
    with bn.Network("groups") as net:
        mu = bn.parameter("mu", bn.Real(2))
        B, W = bn.parameter("B", bn.Covariance(2)), bn.parameter("W", bn.Covariance(2))
        with bn.plate("group"):
            z = bn.latent("z", bn.Normal(mu, cov=B))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(z, cov=W))
    rng = np.random.default_rng(0)
    z = rng.normal(size=(6, 2))
    x = z[:, None] + rng.normal(size=(6, 4, 2)) / 2
    known = np.where(np.arange(6)[:, None] < members, z, np.nan)
    found = bn.fit(net, {"x": x}, evidence={"z": known}, max_iter=3, tol=0, progress=False)
    assert np.isfinite(found.log_likelihood).all()
    assert (np.diff(found.log_likelihood) > 0).all()
    plain = bn.fit(net, {"x": x}, max_iter=0, progress=False)
    start = bn.fit(net, {"x": x}, evidence={"z": known}, max_iter=0, progress=False)
    for name, value in plain.parameters.items():
        np.testing.assert_allclose(start.parameters[name], value)
