"""Networks of shapes that a random search against brute force once found wrong, or broken."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import multivariate_normal

import bnlab as bn
from tests.laws.emitted import module

RNG = np.random.default_rng(0)


def log_p(net: bn.Network, data: dict[str, object], theta: dict[str, np.ndarray]) -> float:
    return float(bn.fit(net, data, init=theta, max_iter=0, progress=False).log_likelihood[0])


def test_a_latent_seen_alike_by_all_members_of_a_sized_plate() -> None:
    """Each of three members adds to its precision."""
    with bn.Network("items") as net:
        w, S = bn.parameter("w", bn.Real(2)), bn.parameter("S", bn.Covariance(2))
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(0.0, var=1.0))
            with bn.plate("item", 3):
                bn.observed("x", bn.Normal(w * y, cov=S))
    x = RNG.normal(size=(5, 3, 2))
    theta = {"w": np.array([1.0, -2.0]), "S": np.array([[1.0, 0.3], [0.3, 2.0]])}
    W = np.tile(theta["w"], 3)
    cov = np.outer(W, W) + np.kron(np.eye(3), theta["S"])
    expected = multivariate_normal(np.zeros(6), cov).logpdf(x.reshape(5, -1)).sum()
    assert log_p(net, {"x": x}, theta) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("states", [2, 3])
def test_counts_whose_table_has_its_subscripts_in_another_order(states: int) -> None:
    with bn.Network("counts") as net:
        p, q = bn.parameter("p", bn.Simplex(2)), bn.parameter("q", bn.Simplex(states))
        with bn.plate("j", states), bn.plate("k", 2):
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("g"):
            a = bn.latent("a", bn.Categorical(p))
            with bn.plate("n"):
                b = bn.latent("b", bn.Categorical(q))
                bn.observed("x", bn.Multinomial(B[b, a]))
    rng = np.random.default_rng(1)
    theta = {"p": np.array([0.6, 0.4]), "q": rng.dirichlet(np.ones(states))}
    theta["B"] = rng.dirichlet(np.ones(3), size=(states, 2))
    x = [rng.integers(4, size=(n, 3)).astype(float) for n in (2, 2, 1)]
    expected = 0.0
    for rows in x:
        of_a = np.log(theta["p"])
        for row in rows:
            ways = gammaln(row.sum() + 1) - gammaln(row + 1).sum()
            of_a = (
                of_a + ways + logsumexp(np.log(theta["q"]) + np.log(theta["B"].swapaxes(0, 1)) @ row, axis=1)
            )
        expected += logsumexp(of_a)
    assert log_p(net, {"x": x}, theta) == pytest.approx(expected, rel=1e-13)


def test_a_deviation_here_and_a_variance_there_is_refused() -> None:
    with bn.Network("both") as net:
        s = bn.parameter("s", bn.Positive())
        with bn.plate("n"):
            bn.observed("x", bn.Normal(0.0, std=s))
            bn.observed("w", bn.Normal(0.0, var=s))
    with pytest.raises(bn.IntractableError, match=r"`s` is std= here and var= there"):
        bn.emit(net, "em")


def test_a_row_of_weight_0_does_not_count_even_if_it_becomes_impossible() -> None:
    with bn.Network("rows") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Categorical(B[z]))
    weighted = bn.fit(net, {"x": [0, 1, 0, 1, 2]}, weights=[1, 1, 1, 1, 0], progress=False)
    plain = bn.fit(net, {"x": [0, 1, 0, 1]}, progress=False)
    assert weighted.status == plain.status == "converged"
    assert weighted.log_likelihood[-1] == pytest.approx(plain.log_likelihood[-1], abs=1e-9)


def test_a_square_table_of_variances_is_no_matrix() -> None:
    with bn.Network("chosen") as net:
        mu = bn.parameter("mu", bn.Real(2))
        with bn.plate("n"):
            a = bn.given("a", bn.Integer(2))
            bn.observed("y", bn.Normal(mu, var=bn.constant([[1.0, 2.0], [2.0, 1.0]])[a]))
    y = np.array([[1.0, 2.0], [3.0, 5.0]])
    found = bn.fit(net, {"y": y, "a": [0, 1]}, max_iter=1, progress=False).parameters["mu"]
    np.testing.assert_allclose(found, [(1 + 3 / 2) / 1.5, (2 / 2 + 5) / 1.5], rtol=1e-12)


def states_of_conditions(by_step: bool) -> bn.Network:
    with bn.Network("conditions") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("condition", 2), bn.plate("state", 2):
            A = bn.parameter("A", bn.Simplex(2))
        with bn.plate("state", 2):
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("s"):
            if not by_step:
                d = bn.given("d", bn.Integer(2))
            with bn.chain("t"):
                if by_step:
                    d = bn.given("d", bn.Integer(2))
                z = bn.latent("z", bn.Categorical(A[d, bn.previous("z")]), first=bn.Categorical(p))
                bn.observed("x", bn.Categorical(B[z]))
    return net


@pytest.mark.parametrize("method", ["em", "viterbi"])
def test_transitions_of_a_condition_of_the_sequence(method: str) -> None:
    """The same as where the condition is told again at each step."""
    x, d = [np.array([0, 2, 1, 1]), np.array([2, 0, 0])], np.array([1, 0])
    steps = [np.full(len(rows), each) for rows, each in zip(x, d, strict=True)]
    options = {"method": method, "max_iter": 5, "tol": 0, "progress": False}
    one = bn.fit(states_of_conditions(False), {"x": x, "d": d}, **options)
    other = bn.fit(states_of_conditions(True), {"x": x, "d": steps}, **options)
    np.testing.assert_allclose(one.objective, other.objective, rtol=1e-12)
    for left, right in zip(one.posterior()["z"], other.posterior()["z"], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9)


def levels_of_conditions(by_step: bool) -> bn.Network:
    with bn.Network("levels") as net:
        with bn.plate("condition", 2):
            a = bn.parameter("a", bn.Real())
        b, q, r = (
            bn.parameter("b", bn.Real()),
            bn.parameter("q", bn.Positive()),
            bn.parameter("r", bn.Positive()),
        )
        with bn.plate("s"):
            if not by_step:
                g, u = bn.given("g", bn.Integer(2)), bn.given("u", bn.Real())
            with bn.chain("t"):
                if by_step:
                    g, u = bn.given("g", bn.Integer(2)), bn.given("u", bn.Real())
                move = a[g] * bn.previous("y") + b * u
                y = bn.latent("y", bn.Normal(move, var=q), first=bn.Normal(0.0, var=1.0))
                bn.observed("x", bn.Normal(y, var=r))
    return net


def test_a_gaussian_chain_driven_by_what_is_given_of_the_sequence() -> None:
    x = [RNG.normal(size=4), RNG.normal(size=3)]
    g, u = np.array([1, 0]), np.array([0.5, -1.0])
    steps = {
        name: [np.full(len(rows), one) for rows, one in zip(x, each, strict=True)]
        for name, each in (("g", g), ("u", u))
    }
    start = {"a": np.array([0.5, 0.9]), "b": 0.3, "q": 0.7, "r": 0.4}
    options = {"init": start, "max_iter": 5, "tol": 0, "progress": False}
    one = bn.fit(levels_of_conditions(False), {"x": x, "g": g, "u": u}, **options)
    other = bn.fit(levels_of_conditions(True), {"x": x, **steps}, **options)
    np.testing.assert_allclose(one.objective, other.objective, rtol=1e-12)


def test_a_constant_spread_picked_from_a_table() -> None:
    with bn.Network("picked") as net:
        m = bn.parameter("m", bn.Real())
        with bn.plate("n"):
            bn.observed("x", bn.Normal(m, std=bn.constant([1.3, 1.8])[1]))
    x = np.array([0.3, 1.0, 2.0])
    expected = multivariate_normal(np.full(3, 0.5), 1.8**2).logpdf(x)
    assert log_p(net, {"x": x}, {"m": np.array(0.5)}) == pytest.approx(expected, rel=1e-13)


def test_a_negative_number_among_coefficients_of_chains() -> None:
    with bn.Network("two") as net:
        v = bn.parameter("v", bn.Positive())
        with bn.plate("s"), bn.chain("t"):
            first = bn.Normal(0.0, var=1.0)
            y = bn.latent("y", bn.Normal(0.5 * bn.previous("y"), var=1.0), first=first)
            u = bn.latent("u", bn.Normal(-0.5 * bn.previous("u") + y, var=1.0), first=first)
            bn.observed("x", bn.Normal(u, var=v))
    x = np.array([0.3, 1.0, -0.5])
    L = np.zeros((6, 6))  # y1 u1 y2 u2 y3 u3 from independent noise
    L[0, 0] = L[1, 1] = 1
    for t in (1, 2):
        L[2 * t] = 0.5 * L[2 * t - 2] + np.eye(6)[2 * t]
        L[2 * t + 1] = -0.5 * L[2 * t - 1] + L[2 * t] + np.eye(6)[2 * t + 1]
    cov = (L @ L.T)[1::2, 1::2] + 0.7 * np.eye(3)
    expected = multivariate_normal(np.zeros(3), cov).logpdf(x)
    assert log_p(net, {"x": [x]}, {"v": np.array(0.7)}) == pytest.approx(expected, rel=1e-12)


def test_the_derivation_of_a_chain_with_a_fixed_transition_table() -> None:
    with bn.Network("chain") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("state", 2):
            A = bn.parameter("A", bn.Simplex(2), value=[[0.9, 0.1], [0.2, 0.8]])
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("s"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(p))
            bn.observed("x", bn.Categorical(B[z]))
    assert r"\end{document}" in bn.emit(net, "latex")


def test_what_is_not_derived_yet_is_refused_by_name() -> None:
    with bn.Network("tied") as net:
        p, F = bn.parameter("p", bn.Simplex(2)), bn.parameter("F", bn.Simplex(2))
        with bn.plate("i", 2):
            B = bn.parameter("B", bn.Simplex(2))
            with bn.plate("j", 2):
                A = bn.parameter("A", bn.Simplex(2))
        with bn.plate("s"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(p))
            with bn.plate("item", 2):
                u = bn.latent("u", bn.Categorical(A[bn.previous("u"), z]), first=bn.Categorical(F))
                bn.observed("x", bn.Categorical(B[u]))
    with pytest.raises(bn.IntractableError, match="`z` ties together several chains.*not derived yet"):
        bn.derive(net)
    with bn.Network("first") as net:
        f, m = bn.parameter("f", bn.Real()), bn.parameter("m", bn.Real())
        with bn.plate("s"):
            y = bn.latent("y", bn.Normal(0.0, var=1.0))
            with bn.chain("t"):
                first = bn.Normal(m + y, var=1.0)
                bn.observed("x", bn.Normal(y + f * bn.previous("x"), var=1.0), first=first)
    with pytest.raises(
        bn.IntractableError, match="`x` depends on a Gaussian latent and has a distribution of"
    ):
        bn.derive(net)


def started(beside: bool) -> bn.Network:
    """A Gaussian chain whose first step reads what is given of it; `beside` it stands a latent without a past."""
    with bn.Network("started") as net:
        with bn.plate("k", 2):
            a, r = bn.parameter("a", bn.Real()), bn.parameter("r", bn.Positive())
        q, v = bn.parameter("q", bn.Positive()), bn.parameter("v", bn.Positive())
        with bn.plate("s"), bn.chain("t"):
            g, u = bn.given("g", bn.Integer(2)), bn.given("u", bn.Real())
            first = bn.Normal(a[g] + 2 * u, var=r[g])
            y = bn.latent("y", bn.Normal(0.5 * bn.previous("y"), var=q), first=first)
            if beside:
                e = bn.latent("e", bn.Normal(0.7 * u, var=q), first=bn.Normal(a[g] * u, var=r[g]))
            bn.observed("x", bn.Normal(y + e if beside else y, var=v))
    return net


@pytest.mark.parametrize("beside", [False, True])
def test_a_gaussian_chain_that_starts_at_what_is_given_of_its_first_step(beside: bool) -> None:
    net = started(beside)
    theta = {"a": np.array([0.3, -0.8]), "r": np.array([0.5, 2.0]), "q": np.array(0.7), "v": np.array(0.4)}
    a, r, q, v = theta.values()
    g, u = [np.array([0, 1, 1]), np.array([1, 0])], [np.array([0.4, 1.0, -0.2]), np.array([-1.0, 0.3])]
    x = [np.array([1.0, 0.0, 2.0]), np.array([0.2, -0.7])]
    expected = 0.0
    for cell, drive, seen in zip(g, u, x, strict=True):
        decay = np.tril(0.5 ** np.subtract.outer(np.arange(len(seen)), np.arange(len(seen))))
        noise = np.append(r[cell[0]], np.full(len(seen) - 1, q))
        mean, cov = decay[:, 0] * (a[cell[0]] + 2 * drive[0]), decay @ np.diag(noise) @ decay.T
        if beside:
            mean = mean + np.append(a[cell[0]] * drive[0], 0.7 * drive[1:])
            cov = cov + np.diag(noise)
        expected += multivariate_normal(mean, cov + v * np.eye(len(seen))).logpdf(seen)
    data = {"g": g, "u": u, "x": x}
    assert log_p(net, data, theta) == pytest.approx(expected, rel=1e-12)
    risen = bn.fit(net, data, init=theta, max_iter=5, tol=0, progress=False).log_likelihood
    assert (np.diff(risen) > 0).all()  # far from the optimum still
    assert r"\bar{f}_{s,1} &=" in bn.emit(net, "latex")


@pytest.mark.parametrize("kind", ["both latent", "one latent"])
def test_variances_that_are_selected_in_two_plates(kind: str) -> None:
    """One table of variances, read by the states of a row and by those of its group."""
    with bn.Network("shared") as net:
        p, w = bn.parameter("p", bn.Simplex(2)), bn.parameter("w", bn.Simplex(2))
        m, h, v = bn.parameter("m", bn.Real()), bn.parameter("h", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("k", 2):
            s = bn.parameter("s", bn.Positive())
        with bn.plate("g"):
            z = bn.latent("z", bn.Categorical(w))
            with bn.plate("n"):
                c = bn.latent("c", bn.Categorical(p))
                y = bn.latent("y", bn.Normal(m, var=s[c]))
                bn.observed("a", bn.Normal(y, var=v))
                if kind == "both latent":
                    bn.observed("x", bn.Normal(bn.latent("u", bn.Normal(h, var=s[z])), var=v))
                else:
                    bn.observed("x", bn.Normal(h, var=s[z]))
    rng = np.random.default_rng(2)
    group, a, x = np.repeat(np.arange(6), 3), rng.normal(size=18), 1 + 2 * rng.normal(size=18)
    theta = {"p": [0.4, 0.6], "w": [0.3, 0.7], "m": 0.2, "h": 0.3, "v": 0.5, "s": [0.5, 2.0]}
    s, extra = np.array([0.5, 2.0]), 0.5 if kind == "both latent" else 0.0

    def log_normal(r: np.ndarray, var: np.ndarray) -> np.ndarray:
        return -0.5 * (np.log(2 * np.pi * var) + r[:, None] ** 2 / var)

    of_a = logsumexp(np.log(theta["p"]) + log_normal(a - 0.2, s + 0.5), axis=1)
    of_x = log_normal(x - 0.3, s + extra)
    of_group = [logsumexp(np.log(theta["w"]) + of_x[group == j].sum(0)) for j in range(6)]
    data = {"g": group, "a": a, "x": x}
    fit = bn.fit(net, data, init=theta, max_iter=5, tol=0, progress=False)
    assert fit.log_likelihood[0] == pytest.approx(of_a.sum() + np.sum(of_group), rel=1e-12)
    assert (np.diff(fit.log_likelihood) > 0).all()
    assert r"\end{document}" in bn.emit(net, "latex")


def test_one_step_for_a_variance_that_is_selected_in_two_plates() -> None:
    """Scatter of both, over counts of both: by hand."""
    with bn.Network("shared") as net:
        p, w = bn.parameter("p", bn.Simplex(2)), bn.parameter("w", bn.Simplex(2))
        with bn.plate("k", 2):
            s = bn.parameter("s", bn.Positive())
        with bn.plate("g"):
            z = bn.latent("z", bn.Categorical(w))
            with bn.plate("n"):
                c = bn.latent("c", bn.Categorical(p))
                y = bn.latent("y", bn.Normal(0.0, var=s[c]))
                bn.observed("a", bn.Normal(y, var=0.5))
                bn.observed("x", bn.Normal(0.0, var=s[z]))
    group, a = np.array([0, 0, 1]), np.array([1.0, -2.0, 0.5])
    x, s0 = np.array([0.2, 1.5, -3.0]), np.array([0.5, 2.0])
    data, theta = {"g": group, "a": a, "x": x}, {"p": [0.4, 0.6], "w": [0.3, 0.7], "s": s0}
    found = bn.fit(net, data, init=theta, max_iter=1, tol=0, progress=False).parameters["s"]
    q_c = np.array([0.4, 0.6]) * np.exp(-0.5 * a[:, None] ** 2 / (s0 + 0.5)) / np.sqrt(s0 + 0.5)
    q_c /= q_c.sum(1, keepdims=True)
    of_x = -0.5 * (np.log(s0) + x[:, None] ** 2 / s0)
    q_z = np.array([0.3, 0.7]) * np.exp([of_x[group == j].sum(0) for j in range(2)])
    q_z /= q_z.sum(1, keepdims=True)
    shrink = s0 / (s0 + 0.5)
    squares = q_c * ((shrink * a[:, None]) ** 2 + shrink * 0.5) + q_z[group] * x[:, None] ** 2
    np.testing.assert_allclose(found, squares.sum(0) / (q_c + q_z[group]).sum(0), rtol=1e-12)


def test_the_derivation_of_rows_below_a_latent_whose_class_is_seen_beside_it() -> None:
    with bn.Network("classes") as net:
        pi, w, v = (
            bn.parameter("pi", bn.Simplex(2)),
            bn.parameter("w", bn.Real()),
            bn.parameter("v", bn.Positive()),
        )
        with bn.plate("k", 2):
            m, b, s = (
                bn.parameter("m", bn.Real()),
                bn.parameter("b", bn.Real()),
                bn.parameter("s", bn.Positive()),
            )
        with bn.plate("g"):
            z = bn.latent("z", bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(0.0, var=s[z]))
            bn.observed("a", bn.Normal(b[z] + w * y, var=v))
            with bn.plate("n"):
                bn.observed("x", bn.Normal(y + m[z], var=v))
    assert r"\ln p(x_{g,\cdot} \mid" in bn.emit(net, "latex")


def test_latents_that_nothing_reads_count_once_for_each_member_of_a_sized_plate() -> None:
    with bn.Network("unread") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2), prior=bn.Dirichlet([2.0, 3.0]))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(bn.constant([0.0, 2.0])[z], var=1.0))
            with bn.plate("item", 3):
                bn.latent("c", bn.Categorical(A[z]))
    x, A0 = np.array([1.0, 2.0, 0.0, 4.0, -1.0]), np.array([[0.3, 0.7], [0.6, 0.4]])
    theta = {"pi": [0.4, 0.6], "A": A0}
    found = bn.fit(net, {"x": x}, init=theta, max_iter=1, tol=0, progress=False).parameters["A"]
    q = np.array([0.4, 0.6]) * np.exp(-0.5 * (x[:, None] - np.array([0.0, 2.0])) ** 2)
    q /= q.sum(1, keepdims=True)
    counts = 3 * q.sum(0)[:, None] * A0 + np.array([1.0, 2.0])
    np.testing.assert_allclose(found, counts / counts.sum(1, keepdims=True), rtol=1e-12)


def moved(kind: str, order: int) -> bn.Network:
    """A chain whose first tables and moves are picked by what is given of the step."""
    coin = kind == "Bernoulli"
    cpd = bn.Bernoulli if coin else bn.Categorical
    with bn.Network("moved") as net:
        with bn.plate("g", 2):
            P = bn.parameter("P", bn.Probability() if coin else bn.Simplex(2))
            with bn.plate("k", 2):
                A = bn.parameter("A", bn.Probability() if coin else bn.Simplex(2))
        with bn.plate("k", 2):
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("s"), bn.chain("t"):
            u = bn.given("u", bn.Integer(2))
            first = [cpd(P[u])] * order
            z = bn.latent("z", cpd(A[u, bn.previous("z", order)]), first=first if order > 1 else first[0])
            bn.observed("x", bn.Categorical(B[z]))
    return net


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        ("Bernoulli", 1),
        ("Categorical", 2),
        pytest.param("Bernoulli", 2, marks=pytest.mark.slow),
        pytest.param("Categorical", 1, marks=pytest.mark.slow),
    ],
)
def test_a_chain_whose_first_table_and_moves_are_picked_by_the_step(kind: str, order: int) -> None:
    rng = np.random.default_rng(3)
    P, A, B = rng.random(2), rng.random((2, 2)), rng.dirichlet(np.ones(3), 2)
    both = {"P": np.stack([1 - P, P], -1), "A": np.stack([1 - A, A], -1), "B": B}
    theta = {"P": P, "A": A, "B": B} if kind == "Bernoulli" else both
    x, u = [np.array([0, 2, 1, 1]), np.array([2, 0])], [np.array([0, 1, 1, 0]), np.array([1, 0])]
    expected, counts = 0.0, np.zeros((2, 2, 2))
    for seen, given in zip(x, u, strict=True):
        ways = {}
        for z in itertools.product(range(2), repeat=len(seen)):
            moves = [
                both["P"][given[t], z[t]] if t < order else both["A"][given[t], z[t - order], z[t]]
                for t in range(len(z))
            ]
            ways[z] = float(np.prod(moves) * np.prod(B[list(z), seen]))
        total = sum(ways.values())
        expected += np.log(total)
        for z, p in ways.items():
            for t in range(order, len(z)):
                counts[given[t], z[t - order], z[t]] += p / total
    net, data = moved(kind, order), {"x": x, "u": u}
    fit = bn.fit(net, data, init=theta, max_iter=1, tol=0, progress=False)
    assert fit.log_likelihood[0] == pytest.approx(expected, rel=1e-12)
    table = counts / counts.sum(-1, keepdims=True)
    table = table[..., 1] if kind == "Bernoulli" else table
    np.testing.assert_allclose(fit.parameters["A"], table, rtol=1e-10)
    logs = module(net.graph, "em", messages="log")
    steps = {"s": np.repeat([0, 1], [4, 2]), "x": np.concatenate(x), "u": np.concatenate(u)}
    given = logs.Parameters(**{name: np.asarray(value) for name, value in theta.items()})
    moments = logs.e_step(given, logs.prepare(steps))
    assert float(moments.log_p) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(logs.m_step(moments, given).A, table, rtol=1e-10)
    hard = bn.fit(net, data, "viterbi", init=theta, max_iter=5, tol=0, progress=False)
    assert (np.diff(hard.objective) > -1e-12).all()
    assert r"\end{document}" in bn.emit(net, "latex")


def test_a_vector_and_a_number_of_a_chain_of_which_one_has_a_first_mean() -> None:
    """What is stacked is a number 0 beside a vector."""
    with bn.Network("stacked") as net:
        m, v = bn.parameter("m", bn.Real(2)), bn.parameter("v", bn.Positive())
        with bn.plate("s"), bn.chain("t"):
            y = bn.latent("y", bn.Normal(0.5 * bn.previous("y"), var=1.0), first=bn.Normal(0.0, var=1.0))
            w = bn.latent("w", bn.Normal(bn.previous("w"), var=1.0), first=bn.Normal(m, var=1.0))
            bn.observed("a", bn.Normal(y, var=v))
            bn.observed("x", bn.Normal(w + bn.constant([1.0, 1.0]) * y, var=v))
    a, x, mean = np.array([0.2, -1.0]), np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([0.3, -0.4])
    Y = np.array([[1.0, 0.5], [0.5, 1.25]])  # Cov(y), over the two steps
    W = np.array([[1.0, 1.0], [1.0, 2.0]])
    ones = np.ones((2, 2))
    cov = np.block(
        [[Y, np.kron(Y, [[1, 1]])], [np.kron(Y, [[1], [1]]), np.kron(Y, ones) + np.kron(W, np.eye(2))]]
    )
    seen = np.concatenate([a, x.ravel()])
    center = np.concatenate([np.zeros(2), np.tile(mean, 2)])
    expected = multivariate_normal(center, cov + 0.7 * np.eye(6)).logpdf(seen)
    assert log_p(net, {"a": [a], "x": [x]}, {"m": mean, "v": np.array(0.7)}) == pytest.approx(
        expected, rel=1e-12
    )


@pytest.mark.parametrize("edge", ["matrix", "number", "vector"])
@pytest.mark.parametrize("chain", [False, True])
def test_a_child_of_two_latents_of_which_one_is_the_parent_of_the_other(edge: str, chain: bool) -> None:
    """What the child says of the first through the second is a matrix, not a diagonal."""
    B = {
        "matrix": np.array([[0.4, 1.0], [-0.3, 0.2]]),
        "number": 0.7 * np.eye(2),
        "vector": np.diag([0.5, -2.0]),
    }[edge]
    p, r = np.array([[1.0, 0.5], [0.0, -1.0]]), np.array([[0.3, -1.0], [2.0, 0.4]])
    with bn.Network("two") as net:
        v = bn.parameter("v", bn.Positive())
        with bn.plate("s"), bn.chain("t") if chain else bn.plate("n"):
            a = bn.latent("a", bn.Normal(bn.zeros(2), var=1.0))
            moved = {
                "matrix": lambda: bn.constant(B) @ a,
                "number": lambda: 0.7 * a,
                "vector": lambda: bn.constant([0.5, -2.0]) * a,
            }
            b = bn.latent("b", bn.Normal(moved[edge](), var=0.5))
            bn.observed("x", bn.Normal(bn.constant(p) @ a + bn.constant(r) @ b, var=v))
    x = [np.array([[0.3, -1.0], [2.0, 0.5]]), np.array([[1.0, 1.5]])]
    W = p + r @ B
    cov = W @ W.T + 0.5 * r @ r.T + 0.7 * np.eye(2)
    expected = sum(multivariate_normal(np.zeros(2), cov).logpdf(rows).sum() for rows in x)
    assert log_p(net, {"x": x}, {"v": np.array(0.7)}) == pytest.approx(expected, rel=1e-12)


def test_a_latent_without_a_past_that_reads_an_effect_and_is_read_later() -> None:
    """The mean of the effect moves it once, at the first step too."""
    with bn.Network("later") as net:
        k, v = bn.parameter("k", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("s"):
            a = bn.latent("a", bn.Normal(0.9, var=1.0))
            with bn.chain("t"):
                e = bn.latent("e", bn.Normal(k * a, var=0.5))
                y = bn.latent("y", bn.Normal(bn.previous("e"), var=1.0), first=bn.Normal(0.0, var=1.0))
                bn.observed("x", bn.Normal(y + e, var=v))
    x, k0 = np.array([0.3, -1.0, 2.0]), 1.3
    # from a - 0.9, the noises of e[1..3] and those of y[1..3]
    e = np.concatenate([np.full((3, 1), k0), np.sqrt(0.5) * np.eye(3), np.zeros((3, 3))], axis=1)
    y = np.concatenate([np.zeros((3, 4)), np.eye(3)], axis=1)
    y[1:] += e[:-1]
    mean = 0.9 * k0 * np.array([1.0, 2.0, 2.0])
    expected = multivariate_normal(mean, (y + e) @ (y + e).T + 0.7 * np.eye(3)).logpdf(x)
    theta = {"k": np.array(k0), "v": np.array(0.7)}
    assert log_p(net, {"x": [x]}, theta) == pytest.approx(expected, rel=1e-12)
    assert (
        np.diff(bn.fit(net, {"x": [x]}, init=theta, max_iter=20, tol=0, progress=False).objective) > -1e-10
    ).all()


def test_a_vector_that_nothing_observed_reads_keeps_its_prior() -> None:
    with bn.Network("unread") as net:
        m, C, mu = (
            bn.parameter("m", bn.Real(2)),
            bn.parameter("C", bn.Covariance(2)),
            bn.parameter("mu", bn.Real()),
        )
        with bn.plate("n"):
            bn.latent("y", bn.Normal(m, cov=C))
            bn.observed("x", bn.Normal(mu, var=1.0))
    theta = {"m": np.array([1.0, -2.0]), "C": np.array([[1.0, 0.3], [0.3, 2.0]]), "mu": np.array(0.0)}
    found = bn.fit(net, {"x": np.array([1.0, 3.0])}, init=theta, max_iter=3, tol=0, progress=False)
    np.testing.assert_allclose(found.parameters["m"], theta["m"], rtol=1e-14)
    np.testing.assert_allclose(found.parameters["C"], theta["C"], rtol=1e-14)
    assert found.parameters["mu"] == pytest.approx(2.0, rel=1e-14)


def test_a_question_that_leaves_a_chain_without_variables() -> None:
    with bn.Network("asked") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            D, A, m = (
                bn.parameter("D", bn.Simplex(3)),
                bn.parameter("A", bn.Simplex(2)),
                bn.parameter("m", bn.Real()),
            )
        with bn.plate("s"):
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("d", bn.Categorical(D[c]))
            with bn.chain("t"):
                z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
                bn.observed("x", bn.Normal(m[z], var=1.0))
    theta = {
        "pi": [0.3, 0.7],
        "D": [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]],
        "A": [[0.5, 0.5], [0.1, 0.9]],
        "m": [0.0, 1.0],
    }
    np.testing.assert_allclose(bn.query(net, theta, {"d": [0, 1]}, "c")["c"], [[0.125, 0.875], [0.3, 0.7]])
    drawn = bn.sample(net, theta, sizes={"s": 4, "t": 2}, evidence={"c": np.zeros(4, int)})
    assert np.shape(drawn["x"]) == (4, 2)


def test_a_class_of_sequences_beside_latents_whose_spread_is_the_same_at_all_steps() -> None:
    """Their moments summed over the classes: the covariance within a class has no steps, that between classes has."""
    with bn.Network("alike") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            m, b = bn.parameter("m", bn.Real(2)), bn.parameter("b", bn.Real(2))
        with bn.plate("s"):
            c = bn.latent("c", bn.Categorical(pi))
            a = bn.latent("a", bn.Normal(m[c], cov=np.eye(2)))
            with bn.chain("t"):
                y = bn.latent("y", bn.Normal(a, cov=0.5 * np.eye(2)))
                bn.observed("x", bn.Normal(y + b[c], cov=0.3 * np.eye(2)))
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(steps, 2)) for steps in (3, 1, 2)]
    theta = {"pi": np.array([0.3, 0.7]), "m": rng.normal(size=(2, 2)), "b": rng.normal(size=(2, 2))}
    found = bn.fit(net, {"x": x}, init=theta, max_iter=0, progress=False).posterior()["y"]
    for rows, mean, cov in zip(x, found["mean"], found["cov"], strict=True):
        size = 2 * len(rows)
        prior = np.kron(np.ones((len(rows), len(rows))), np.eye(2)) + 0.5 * np.eye(size)
        gain = prior @ np.linalg.inv(prior + 0.3 * np.eye(size))
        log, means = np.log(theta["pi"]), np.zeros((2, size))
        for k in range(2):
            r = (rows - theta["m"][k] - theta["b"][k]).ravel()
            log[k] -= 0.5 * r @ np.linalg.solve(prior + 0.3 * np.eye(size), r)
            means[k] = np.tile(theta["m"][k], len(rows)) + gain @ r
        q = np.exp(log - log.max())
        q /= q.sum()
        away = means - q @ means
        expected = prior - gain @ prior + np.einsum("k,ki,kj->ij", q, away, away)
        np.testing.assert_allclose(np.ravel(mean), q @ means, atol=1e-12)  # sums of a few numbers of size 1
        for t in range(len(rows)):
            at = slice(2 * t, 2 * t + 2)
            np.testing.assert_allclose(cov[t], expected[at, at], atol=1e-12)


def test_a_known_start_that_is_a_number_beside_a_vector() -> None:
    """The effect of a sequence, a vector, and a scalar chain are one state."""
    with bn.Network("beside") as net:
        q, v, s = (bn.parameter(name, bn.Positive()) for name in "qvs")
        with bn.plate("g"):
            a = bn.latent("a", bn.Normal(bn.zeros(2), var=s))
            with bn.chain("t"):
                y = bn.latent("y", bn.Normal(bn.previous("y") + 0.2, var=q), first=bn.Normal(0.3, var=1.0))
                bn.observed("x", bn.Normal(a + bn.constant([1.0, 2.0]) * y, var=v))
    x, c = np.random.default_rng(0).normal(size=(2, 3, 2)), np.array([1.0, 2.0])
    walk = np.minimum.outer(np.arange(1, 4), np.arange(1, 4))
    cov = np.kron(walk, np.outer(c, c)) + np.kron(np.ones((3, 3)), np.eye(2)) + np.eye(6)
    mean = np.kron([0.3, 0.5, 0.7], c)
    expected = multivariate_normal(mean, cov).logpdf(x.reshape(2, 6)).sum()
    assert log_p(net, {"x": x}, {"q": 1.0, "v": 1.0, "s": 1.0}) == pytest.approx(expected, rel=1e-13)


def test_a_latent_that_is_less_what_it_was_beside_one_that_data_drive() -> None:
    with bn.Network("turning") as net:
        q, v, r = (bn.parameter(name, bn.Positive()) for name in "qvr")
        with bn.plate("g"):
            u = bn.given("u", bn.Real())
            with bn.chain("t"):
                bn.latent("a", bn.Normal(bn.previous("a"), var=q), first=bn.Normal(0.0, var=1.0))
                b = bn.latent(
                    "b",
                    bn.Normal(u * bn.previous("a") - bn.previous("b"), var=r),
                    first=bn.Normal(0.0, var=1.0),
                )
                bn.observed("x", bn.Normal(b, var=v))
    x, given, expected = np.random.default_rng(0).normal(size=(2, 2)), np.array([0.5, -2.0]), 0.0
    for row, drive in zip(x, given, strict=True):
        F = np.array([[1.0, 0.0], [drive, -1.0]])
        later = F @ F.T + np.eye(2)
        cov = np.array([[2.0, F[1, 1]], [F[1, 1], later[1, 1] + 1.0]])
        expected += multivariate_normal(np.zeros(2), cov).logpdf(row)
    theta = {"q": 1.0, "v": 1.0, "r": 1.0}
    assert log_p(net, {"x": x, "u": given}, theta) == pytest.approx(expected, rel=1e-13)


def test_steps_that_read_an_effect_of_the_chain_and_another_one() -> None:
    """`x` reads `a` beside `b`, which the chain hands on: both are parts of the state."""
    with bn.Network("effects") as net:
        r, s, q, p, v, w = (bn.parameter(name, bn.Positive()) for name in "rsqpvw")
        with bn.plate("g"):
            a, b = bn.latent("a", bn.Normal(0.0, var=r)), bn.latent("b", bn.Normal(0.0, var=s))
            with bn.chain("t"):
                y = bn.latent("y", bn.Normal(b + bn.previous("y"), var=q), first=bn.Normal(0.0, var=p))
                bn.observed("x", bn.Normal(a + b, var=v))
                bn.observed("z", bn.Normal(y, var=w))
    x, z = np.random.default_rng(0).normal(size=(2, 2, 3))
    made = np.zeros((6, 5))  # of a, b, and what each step adds
    made[:3, :2] = 1
    for step in range(3):
        made[3 + step, 1] = step
        made[3 + step, 2 : 3 + step] = 1
    cov = made @ made.T + np.eye(6)
    expected = multivariate_normal(np.zeros(6), cov).logpdf(np.concatenate([x, z], 1)).sum()
    found = bn.fit(net, {"x": x, "z": z}, init=dict.fromkeys("rsqpvw", 1.0), max_iter=0, progress=False)
    assert found.log_likelihood[0] == pytest.approx(expected, rel=1e-13)
    means = (made.T @ np.linalg.solve(cov, np.concatenate([x, z], 1).T)).T
    np.testing.assert_allclose(found.posterior()["a"]["mean"], means[:, 0], atol=1e-12)


def test_the_posterior_of_latents_that_nothing_reads_in_the_steps_of_sequences() -> None:
    with bn.Network("unread") as net:
        with bn.plate("item", 2):
            m = bn.parameter("m", bn.Real())
        v, w, mu = (
            bn.parameter("v", bn.Positive()),
            bn.parameter("w", bn.Positive()),
            bn.parameter("mu", bn.Real()),
        )
        with bn.plate("g"), bn.chain("t"), bn.plate("item", 2):
            bn.latent("y", bn.Normal(m, var=v))
            bn.observed("x", bn.Normal(mu, var=w))
    x = [np.ones((3, 2)), np.zeros((1, 2))]
    fit = bn.fit(net, {"x": x}, init={"m": [1.0, 2.0], "v": 3.0}, max_iter=0, progress=False)
    found = fit.posterior()["y"]
    for rows, mean, cov in zip(x, found["mean"], found["cov"], strict=True):
        np.testing.assert_array_equal(mean, np.broadcast_to([1.0, 2.0], rows.shape))
        np.testing.assert_array_equal(cov, np.full(rows.shape, 3.0))


def test_tex_of_a_discrete_latent_that_nothing_reads_below_another() -> None:
    with bn.Network("unread") as net:
        p, v = bn.parameter("p", bn.Simplex(2)), bn.parameter("v", bn.Positive())
        with bn.plate("k", 2):
            P, m = bn.parameter("P", bn.Simplex(2)), bn.parameter("m", bn.Real())
        with bn.plate("g"):
            c = bn.latent("c", bn.Categorical(p))
            with bn.plate("h"):
                bn.latent("d", bn.Categorical(P[c]))
                with bn.plate("n"):
                    bn.observed("x", bn.Normal(m[c], var=v))
    text = bn.emit(net, "latex")
    assert r"\ln 1 &= \sum_{h=1}^{H_{g}} \ln 1" in text and "log_one" not in text.replace(r"\_", "_")
