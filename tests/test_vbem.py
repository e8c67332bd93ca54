"""`bn.fit(method="vbem")`: against a mixture written by hand, and what a fit by it offers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import digamma, gammaln, logsumexp, multigammaln

import bnlab as bn
from bnlab.errors import FitError
from bnlab.runtime.load import load_source
from tests.models import model

K, D = 2, 2
ALPHA, M0, V0, DF, SCALE = 0.7, np.array([1.0, -1.0]), 30.0, 5.0, np.array([[1.5, 0.2], [0.2, 0.8]])


def mixture() -> bn.Network:
    with bn.Network("mixture") as net:
        pi = bn.parameter("pi", bn.Simplex(K), prior=bn.Dirichlet(ALPHA))
        with bn.plate("k", K):
            mu = bn.parameter("mu", bn.Real(D), prior=bn.Normal(M0, cov=V0 * np.eye(D)))
            Sigma = bn.parameter("Sigma", bn.Covariance(D), prior=bn.InverseWishart(DF, SCALE))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def data(rows: int = 60) -> np.ndarray:
    rng = np.random.default_rng(5)
    away = rng.random(rows) < 0.4
    return np.where(away[:, None], rng.normal(3, 0.7, (rows, D)), rng.normal(0, 1, (rows, D)))


def start() -> dict[str, np.ndarray]:
    return {
        "pi": np.array([0.5, 0.5]),
        "mu": np.array([[0.0, 0.5], [2.0, 2.0]]),
        "Sigma": np.stack([np.eye(2)] * 2),
    }


def by_hand(x: np.ndarray, iterations: int) -> np.ndarray:
    """The ELBO after each iteration, term by term: E[ln p(x, z, pi, mu, Sigma)] - E[ln q] (Bishop 2006, 10.71 to 10.77)."""
    n, theta = len(x), start()
    log_rho = np.log(theta["pi"]) + np.stack(
        [
            -0.5
            * (np.linalg.slogdet(2 * np.pi * S)[1] + np.einsum("ni,ij,nj->n", x - m, np.linalg.inv(S), x - m))
            for m, S in zip(theta["mu"], theta["Sigma"], strict=True)
        ],
        1,
    )
    precision = np.linalg.inv(theta["Sigma"])
    trace = []
    for _ in range(iterations + 1):
        r = np.exp(log_rho - logsumexp(log_rho, axis=1, keepdims=True))
        # q(pi), then q(mu) with the old precisions, then q(Sigma)
        a = ALPHA + r.sum(0)
        df = DF + r.sum(0)
        m, V, scale = np.zeros((K, D)), np.zeros((K, D, D)), np.zeros((K, D, D))
        for k in range(K):
            V[k] = np.linalg.inv(np.eye(D) / V0 + r[:, k].sum() * precision[k])
            m[k] = V[k] @ (M0 / V0 + precision[k] @ (r[:, k] @ x))
            scale[k] = SCALE + (r[:, k] * (x - m[k]).T) @ (x - m[k]) + r[:, k].sum() * V[k]
        precision = df[:, None, None] * np.linalg.inv(scale)
        log_pi = digamma(a) - digamma(a.sum())
        log_det = np.linalg.slogdet(scale)[1] - D * np.log(2) - sum(digamma((df - j) / 2) for j in range(D))
        square = np.stack([np.einsum("ni,ij,nj->n", x - m[k], precision[k], x - m[k]) for k in range(K)], 1)
        spread = np.einsum("kij,kji->k", precision, V)
        log_rho = log_pi - 0.5 * (D * np.log(2 * np.pi) + log_det + square + spread)
        # the best q(z) for this q(theta)
        r = np.exp(log_rho - logsumexp(log_rho, axis=1, keepdims=True))
        likelihood = (r * log_rho).sum()
        entropy_z = -(r * np.log(r)).sum()
        prior_pi = gammaln(K * ALPHA) - K * gammaln(ALPHA) + (ALPHA - 1) * log_pi.sum()
        q_pi = gammaln(a.sum()) - gammaln(a).sum() + ((a - 1) * log_pi).sum()
        away = ((m - M0) ** 2).sum() + np.trace(V, axis1=1, axis2=2).sum()
        prior_mu = -0.5 * (K * D * np.log(2 * np.pi * V0) + away / V0)
        q_mu = -0.5 * (K * D * (np.log(2 * np.pi) + 1) + np.linalg.slogdet(V)[1].sum())
        prior_Sigma = K * wishart(DF, SCALE) - ((DF + D + 1) * log_det.sum() + (SCALE * precision).sum()) / 2
        q_Sigma = sum(
            wishart(df[k], scale[k]) - ((df[k] + D + 1) * log_det[k] + D * df[k]) / 2 for k in range(K)
        )
        trace.append(likelihood + entropy_z + prior_pi + prior_mu + prior_Sigma - q_pi - q_mu - q_Sigma)
        assert n == len(r)
    return np.array(trace)


def wishart(df: float, scale: np.ndarray) -> float:
    """The log normaliser of an inverse Wishart."""
    return float(df / 2 * np.linalg.slogdet(scale)[1] - df * D / 2 * np.log(2) - multigammaln(df / 2, D))


@pytest.fixture(scope="module")
def fitted() -> bn.Fit:
    return bn.fit(mixture(), {"x": data()}, method="vbem", init=start(), max_iter=30, tol=0, progress=False)


def test_every_iteration_is_that_of_a_mixture_written_by_hand(fitted: bn.Fit) -> None:
    np.testing.assert_allclose(fitted.objective, by_hand(data(), 30), rtol=0, atol=1e-9)


def test_parameters_are_the_means_of_the_draws(fitted: bn.Fit) -> None:
    assert fitted.draws is not None and fitted.status == "max_iter"
    for name, value in fitted.parameters.items():
        draws = fitted.draws[name][0]
        error = draws.std(0) / np.sqrt(len(draws))
        assert (np.abs(draws.mean(0) - value) < 5 * error).all(), name  # standard errors
    assert fitted.effort["e_steps"] == 31


def test_the_likelihood_is_that_at_the_means(fitted: bn.Fit) -> None:
    scored = fitted.score({"x": data()})
    assert fitted.log_likelihood[-1] == pytest.approx(float(np.sum(scored)), rel=1e-10)
    assert len(fitted.log_likelihood) == len(fitted.objective) == 31


def test_it_converges_and_restarts(fitted: bn.Fit) -> None:
    found = bn.fit(mixture(), {"x": data()}, method="vbem", n_init=2, tol=1e-10, max_iter=500, progress=False)
    assert found.converged and found.restarts is not None and len(found.restarts.starts) == 2
    assert found.objective[-1] >= fitted.objective[-1] - 1e-6


def test_an_empty_component_falls_back_on_the_prior() -> None:
    """Far more components than the data need: what is left over has the prior's hyperparameters, and the ELBO is finite."""
    with bn.Network("sparse") as net:
        pi = bn.parameter("pi", bn.Simplex(5), prior=bn.Dirichlet(1e-3))
        with bn.plate("k", 5):
            mu = bn.parameter("mu", bn.Real(), prior=bn.Normal(0.0, var=50.0))
            v = bn.parameter("v", bn.Positive(), prior=bn.InverseGamma(2.0, 1.0))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
    x = np.random.default_rng(0).normal(size=80)
    found = bn.fit(net, {"x": x}, method="vbem", max_iter=2000, tol=1e-12, progress=False)
    assert np.isfinite(found.objective).all() and (found.parameters["pi"] < 1e-3).sum() >= 3


def test_the_file_runs_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=data())
    (tmp_path / "mixture_vbem.py").write_text(bn.emit(mixture(), "vbem"))
    command = [sys.executable, "mixture_vbem.py", "data.npz"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.startswith("ELBO = -") and "Sigma" in found.stdout


def test_its_own_fit_is_the_runtimes(fitted: bn.Fit) -> None:
    module = load_source(bn.emit(mixture(), "vbem"), "mixture")
    prepared = module.prepare({"x": data()})
    point = module.Parameters(**start(), offset_x=np.zeros(2))
    q, trace = module.fit(prepared, module.m_step(module.e_step(point, prepared), point), max_iter=5, tol=0)
    np.testing.assert_allclose(trace, fitted.objective[:6], rtol=1e-13)
    assert float(module.elbo(q, prepared)) == pytest.approx(trace[-1], rel=1e-13)


def test_missing_categories_tell_nothing() -> None:
    """ln p(x) of what is left: the Polya distribution."""
    with bn.Network("dice") as net:
        p = bn.parameter("p", bn.Simplex(3), prior=bn.Dirichlet(0.5))
        with bn.plate("n"):
            bn.observed("x", bn.Categorical(p))
    found = bn.fit(net, {"x": [0, 2, -1, 1, 2, -1]}, method="vbem", progress=False)
    exact = gammaln(1.5) - gammaln(5.5) + 2 * (gammaln(1.5) - gammaln(0.5)) + gammaln(2.5) - gammaln(0.5)
    assert found.objective[-1] == pytest.approx(exact, abs=1e-12)


@pytest.mark.slow
def test_evidence_is_part_of_the_data() -> None:
    """With every state told, the ELBO is that of the same network with the states observed."""
    x, z = data(), (np.arange(60) % 2)
    with bn.Network("classes") as net:
        pi = bn.parameter("pi", bn.Simplex(K), prior=bn.Dirichlet(ALPHA))
        with bn.plate("k", K):
            mu = bn.parameter("mu", bn.Real(D), prior=bn.Normal(M0, cov=V0 * np.eye(D)))
            Sigma = bn.parameter("Sigma", bn.Covariance(D), prior=bn.InverseWishart(DF, SCALE))
        with bn.plate("n"):
            c = bn.observed("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[c], cov=Sigma[c]))
    options = {"method": "vbem", "init": start(), "max_iter": 4, "tol": 0, "progress": False}
    told = bn.fit(mixture(), {"x": x}, evidence={"z": z}, **options)
    seen = bn.fit(net, {"x": x, "z": z}, **options)
    np.testing.assert_allclose(told.objective, seen.objective, rtol=1e-12)


@pytest.mark.slow
def test_compare_lines_it_up() -> None:
    found = bn.compare(mixture(), {"x": data()}, ("em", "vbem"), held_out=0.0, certify=False, progress=False)
    assert found.scores["vbem"].elbo == found.fits["vbem"].objective[-1]
    assert "VB-EM" in str(found)


def test_bad_options_are_refused() -> None:
    with pytest.raises(FitError, match="num_samples"):
        bn.fit(mixture(), {"x": data()}, method="vbem", guide="full-rank", progress=False)
    with pytest.raises(FitError, match="checkpoint"):
        bn.fit(mixture(), {"x": data()}, method="vbem", checkpoint="a.npz", progress=False)


def test_arviz_takes_it(fitted: bn.Fit) -> None:
    found = fitted.to_arviz()
    assert found.posterior["mu"].shape == (1, 1000, 2, 2)


def test_a_known_table_that_data_choose_from() -> None:
    """Columns of a table that is not learnt, chosen by an observed variable: an array of JAX like those that are learnt."""
    loaded = model("asia")
    data = {name: value[:40] for name, value in loaded.example().items()}
    net = bn.weakly_informative(loaded.network, data).network
    assert np.isfinite(bn.fit(net, data, "vbem", max_iter=1, progress=False).objective).all()
