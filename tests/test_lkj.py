"""Priors that only samplers take: LKJ with half-normal standard deviations, and half-normal ones alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import bnlab as bn
from bnlab.comparison.certificates import densities_agree
from bnlab.families.base import registry
from bnlab.network.sites import sites
from bnlab.runtime.data import bind
from bnlab.runtime.em import precision
from bnlab.runtime.marginal import marginal, marginal_of
from bnlab.runtime.nuts import _start
from bnlab.runtime.proof import priors
from bnlab.runtime.records import Problem
from bnlab.runtime.sites import from_sites, to_sites
from tests import networks

ROUNDING = 1e-12
ETA, SCALE = 1.7, 2.0
SIGMA = np.array([[1.3, -0.6], [-0.6, 0.8]])


def normal(prior: object = None, dim: int = 2) -> bn.Network:
    """Vectors about 0."""
    with bn.Network("vectors") as net:
        S = bn.parameter("S", bn.Covariance(dim), prior=prior)
        with bn.plate("n"):
            bn.observed("x", bn.Normal(bn.zeros(dim), cov=S))
    return net


def rows(count: int = 12) -> np.ndarray:
    return np.random.default_rng(0).multivariate_normal(np.zeros(2), [[1.0, 0.7], [0.7, 2.0]], size=count)


def test_the_density_of_two_rows_by_scipy() -> None:
    """(r + 1) / 2 is a Beta for two rows, and d(a, b, c) = 4 s t (s t) d(s, t, r) for variances a, b and a covariance c."""
    std = np.sqrt(np.diag(SIGMA))
    r = SIGMA[0, 1] / std.prod()
    expected = stats.beta(ETA, ETA).logpdf((r + 1) / 2) - np.log(2)
    expected += stats.halfnorm(scale=SCALE).logpdf(std).sum() - np.log(4 * std.prod() ** 2)
    graph = normal(bn.LKJ(ETA, SCALE)).graph
    assert priors.log_prior(graph, {"S": SIGMA}) == pytest.approx(expected, rel=ROUNDING)


def test_the_volume_is_that_of_the_derivative() -> None:
    """By automatic differentiation of the covariance's lower triangle by deviations and free entries of the root."""
    family, rng, dim = registry()["LKJ"], np.random.default_rng(0), 3
    factor = rng.normal(size=(dim, dim))
    parts = family.apart(factor @ factor.T + np.eye(dim), np)
    np.testing.assert_allclose(family.together(parts), factor @ factor.T + np.eye(dim), rtol=ROUNDING)
    below, lower = np.tril_indices(dim, -1), np.tril_indices(dim)

    def covariance(u: jax.Array) -> jax.Array:
        root = jnp.zeros((dim, dim)).at[below].set(u[dim:])
        root += jnp.diag(jnp.sqrt(1 - (root**2).sum(-1)))
        return family.together({"std": u[:dim], "corr_root": root})[lower]

    at = jnp.asarray(np.concatenate([parts["std"], np.asarray(parts["corr_root"])[below]]))
    expected = np.linalg.slogdet(np.asarray(jax.jit(jax.jacobian(covariance))(at)))[1]
    assert family.log_volume(parts, np) == pytest.approx(expected, rel=1e-10)


def test_it_is_written_as_in_numpyro_s_own_examples() -> None:
    text = bn.emit(networks.covariances_in_parts(), "numpyro")
    for line in (
        'Sigma_corr_root = numpyro.sample("Sigma_corr_root", dist.LKJCholesky(3, 2.0))',
        'S_std = numpyro.sample("S_std", dist.HalfNormal(jnp.array([[1.0, 2.0], [3.0, 4.0]])).to_event(1))',
        "S_root = S_std[..., None] * S_corr_root",
        'S = numpyro.deterministic("S", S_root @ S_root.mT)',
    ):
        assert f"    {line}\n" in text
    assert "Sigma_std_2 = numpyro.sample(" in text  # a variable has the name that the site would have


def test_sites_make_the_parameters_again() -> None:
    graph = networks.covariances_in_parts().graph
    named = sites(graph)
    assert named["Sigma"] == {"std": "Sigma_std_2", "corr_root": "Sigma_corr_root"}
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 2, 3, 3))
    theta = {"mu": rng.normal(size=(5, 2, 3)), "Sigma": root @ root.swapaxes(-1, -2) + np.eye(3)}
    found = to_sites(graph, theta)
    assert found.keys() == {"mu", "Sigma_std_2", "Sigma_corr_root"}
    again = from_sites(graph, found)
    for name, value in theta.items():
        np.testing.assert_allclose(again[name], value, rtol=1e-10)


def test_the_joint_density_is_that_of_the_covariance() -> None:
    """Whatever the emitted model samples, ln p(x, theta) is a density over the user's parameters."""
    net, x = normal(bn.LKJ(ETA, SCALE)), rows()
    with precision("float64"):
        found = marginal_of(net, bind(net.graph, {"x": x}), "float64").log_joint({"S": SIGMA})
    expected = stats.multivariate_normal(np.zeros(2), SIGMA).logpdf(x).sum()
    expected += priors.log_prior(net.graph, {"S": SIGMA})
    assert float(found) == pytest.approx(float(expected), rel=ROUNDING)


def test_numpyro_s_models_are_certified_where_em_has_no_update() -> None:
    """A Gaussian latent of which NumPyro's joint density is integrated over."""
    with bn.Network("groups") as net:
        B = bn.parameter("B", bn.Covariance(2), prior=bn.LKJ(2.0, [1.0, 3.0]))
        s = bn.parameter("s", bn.Positive(), prior=bn.HalfNormal(1.0))
        with bn.plate("group"):
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=B))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(y, std=s))
    bound = bind(net.graph, {"x": rows(9), "group": np.repeat([0, 1, 2], 3)})
    found = list(densities_agree(net, bound, {"B": SIGMA, "s": np.array(0.7)}, "a point"))
    assert [one.names for one in found] == [("NumPyro's marginal_model", "NumPyro's joint density")]
    assert all(one.passed for one in found)


@pytest.mark.parametrize("target", ["em", "vbem", "latex"])
def test_em_is_refused_by_name(target: str) -> None:
    with pytest.raises(
        bn.IntractableError, match=r"cov of Normal .* LKJ, which is not conjugate\.\nUse bn\.Inv"
    ):
        bn.emit(normal(bn.LKJ(1.0, 1.0)), target)


@pytest.mark.parametrize(
    ("prior", "dim", "told"),
    [
        (
            bn.LKJ(1.0, 1.0),
            1,
            r"A covariance of one row has no correlations\.\n.*is bn\.InverseWishart, with",
        ),
        (bn.LKJ(1.0, [1.0, 2.0, 3.0]), 2, r"LKJ with .* scale of shape \(3,\) is not a prior of"),
        (bn.LKJ([1.0, 2.0], 1.0), 2, r"LKJ with concentration of shape \(2,\)"),
        (bn.LKJ(1.0, np.ones((2, 2))), 2, r"LKJ with .* scale of shape \(2, 2\)"),
        (bn.LKJ(0.0, 1.0), 2, "The concentration of LKJ is not allowed. It must be positive"),
        (bn.HalfNormal(1.0), 2, r"\(2, 2\); or bn\.LKJ, with numbers or 2 of them as its scale\."),
    ],
)
def test_what_is_no_prior_of_a_covariance(prior: object, dim: int, told: str) -> None:
    with pytest.raises(bn.ModelError, match=told):
        normal(prior, dim)


def test_numbers_for_each_member_of_a_plate_are_no_numbers_for_each_entry() -> None:
    with pytest.raises(bn.ModelError, match=r"InverseGamma with .* scale of shape \(3,\) is not a prior of"):  # noqa: SIM117
        with bn.Network("net"):
            with bn.plate("k", 3):
                v = bn.parameter("v", bn.Positive(2), prior=bn.InverseGamma(2.0, [1.0, 2.0, 3.0]))
            with bn.plate("n"):
                bn.observed("x", bn.Normal(bn.zeros(2), var=v[0]))


@pytest.mark.parametrize(
    "build",
    [networks.covariances_in_parts, networks.covariances_inside_plates, networks.half_normal_spreads],
    ids=lambda build: build.__name__,
)
def test_it_is_kept_in_files_and_drawn(build, tmp_path) -> None:
    net = build()
    bn.write(net, tmp_path / "net.json")
    assert bn.read(tmp_path / "net.json").graph == net.graph
    assert "<svg" in bn.draw(net).svg


@pytest.mark.slow  # 11 s: SVI and certificates compiled
def test_svi_runs_and_em_is_left_out_with_words() -> None:
    net = normal(bn.LKJ(2.0, 2.0))
    found = bn.compare(
        net, {"x": rows()}, ("em", "svi"), held_out=0, options={"svi": {"max_iter": 30}}, progress=False
    )
    assert list(found.fits) == ["svi"] and found.fits["svi"].draws["S"].shape == (1, 1000, 2, 2)
    assert any(one.concerns == "em" and "not conjugate" in one.message for one in found.warnings)
    assert found.certificates and all(one.passed for one in found.certificates)
    assert not any("MAP-EM" in line for line in found.symmetries)


def test_chains_start_where_em_ends_without_the_prior() -> None:
    net, x = normal(bn.LKJ(2.0, 2.0)), rows()
    bound = bind(net.graph, {"x": x})
    problem = Problem(net, net.graph, bound, "nuts", "data", 1, 200, 1e-6, 0, "float64", False, None)
    start, e_steps = _start(problem, marginal(problem))
    np.testing.assert_allclose(start["S"], x.T @ x / len(x), rtol=ROUNDING)
    assert e_steps > 0


@pytest.mark.slow  # 15 s: two compilations of NUTS
def test_nuts_finds_the_posterior_that_a_grid_has() -> None:
    """The mean of S, by adding up over a grid of two standard deviations and a correlation."""
    x, net = rows(), normal(bn.LKJ(2.0, scale=[1.0, 3.0]))
    s, t = np.linspace(0.01, 4, 120), np.linspace(0.01, 7, 120)
    r = np.linspace(-0.999, 0.999, 161)
    s, t, r = np.meshgrid(s, t, r, indexing="ij")
    a, b, c = (x[:, 0] ** 2).sum(), (x[:, 1] ** 2).sum(), (x[:, 0] * x[:, 1]).sum()
    inside = 1 - r**2
    log_p = -len(x) * (np.log(s * t) + 0.5 * np.log(inside))
    log_p -= 0.5 * (a / s**2 - 2 * r * c / (s * t) + b / t**2) / inside
    log_p += np.log(inside) - 0.5 * (s**2 + t**2 / 9)  # LKJ(2), and half normals of scales 1 and 3
    p = np.exp(log_p - log_p.max())
    mean = [(p * value).sum() / p.sum() for value in (s**2, r * s * t, t**2)]
    fit = bn.fit(net, {"x": x}, "nuts", num_samples=2000, progress=False)
    draws = fit.draws["S"].reshape(-1, 2, 2)
    for (i, j), expected in zip([(0, 0), (1, 0), (1, 1)], mean, strict=True):
        # 8000 draws are worth some 3000 independent ones, and the errors are those of their means
        assert draws[:, i, j].mean() == pytest.approx(expected, abs=5 * draws[:, i, j].std() / 3000**0.5)
    assert fit.status == "converged"
